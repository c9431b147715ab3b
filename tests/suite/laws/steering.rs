//! What operators decide about an operation: told to all workers, over at its limit, audited, once; and what it held back
//! comes back at a pace.

use std::time::Duration;

use redrive::{
    domain::{circuit::Forced, fault::Fault, onboarding::Phase},
    engine::{
        command::{Command, LeftOut, Reasoned, Receipt, Refusal, Submission, Target},
        observer::Denial,
        plan,
        reader::{AuditRow, List, Query, Rows},
        store::{CircuitReport, Direction, Heartbeat, Order, Recorded, Steering, StepOutcome},
    },
};

use crate::support::stores::{LEASE, TestStore, anything, noon, parked, report, submission};

laws!(
    a_forced_circuit_is_told_to_every_worker_with_its_owner_reason_and_limit,
    what_is_decided_is_over_at_its_limit,
    a_decision_takes_a_reason_and_taking_it_back_does_not,
    an_operation_nobody_knows_cannot_be_steered,
    a_decision_made_since_is_not_overridden_unseen,
    the_same_decision_twice_applies_once_and_is_audited,
    without_an_audit_nothing_is_decided,
    a_preview_judges_a_decision_as_the_action_does,
    what_one_operation_parked_comes_back_one_after_the_other,
    what_was_held_back_is_due_at_a_pace_once_nothing_holds_it,
    what_is_still_held_by_the_other_decision_stays,
    what_a_worker_parks_for_a_decision_that_was_taken_back_is_due_at_once,
    a_paused_workflow_goes_not_forward_but_back,
    what_a_paused_workflow_held_comes_back_at_a_pace,
    a_row_shows_what_was_decided_apart_from_what_was_computed,
    the_audit_says_in_which_way,
);

const HOOK: &str = "github.create_hook";
const LIMIT: u64 = 600;

async fn known(store: &TestStore) {
    beat(store, "worker-a", report(HOOK)).await;
}

async fn beat(store: &TestStore, worker: &str, circuit: CircuitReport) {
    let beat = Heartbeat {
        worker: worker.into(),
        metrics_url: None,
        running: 0,
        runs: anything().newest(),
        circuits: vec![circuit],
    };
    store.opened.store.beat(&beat).await.expect("it beats");
}

fn target(seen: Option<i64>) -> Target<redrive::domain::id::OperationName> {
    Target { id: HOOK.into(), seen }
}

fn force(to: Option<Forced>, seconds: Option<u64>) -> Command {
    Command::Force { circuit: target(None), to, seconds }
}

fn pause(operation: &str, seconds: Option<u64>) -> Command {
    Command::Pause { operation: Target { id: operation.into(), seen: None }, seconds }
}

fn unpause(operation: &str) -> Command {
    Command::Unpause { operation: Target { id: operation.into(), seen: None } }
}

async fn steering(store: &TestStore) -> Vec<Steering> {
    store.opened.store.steering().await.expect("it answers")
}

#[track_caller]
fn left_out(answer: Result<Receipt, Refusal>) -> LeftOut {
    match answer {
        Err(Refusal::Nothing(mut outcomes)) => outcomes.pop().and_then(|o| o.left_out).expect("a reason"),
        other => panic!("it is left out, not {other:?}"),
    }
}

/// So many onboardings that wait for the operation's circuit, which says when to ask again.
async fn waiting(store: &TestStore, count: usize, delay: Duration) {
    for n in 0..count {
        store.trigger(&format!("repo-{n}")).await;
        let claimed = store.claim_one().await;
        assert_eq!(store.record(&claimed, parked(HOOK, delay)).await, Ok(Recorded::Released));
    }
}

/// How many are due at each of so many seconds from now.
async fn due_by(store: &TestStore, seconds: impl IntoIterator<Item = f64>) -> Vec<usize> {
    let from = store.opened.reader.read(&Query::default()).await.expect("the board").at;
    let mut due = Vec::new();
    for second in seconds {
        store.time.set(from + Duration::from_secs_f64(second));
        due.push(store.claim("worker-b", 100).await.len());
    }
    due
}

async fn the_audit_says_in_which_way(store: TestStore) {
    known(&store).await;
    for command in [
        force(Some(Forced::Open), Some(LIMIT)),
        force(Some(Forced::Disabled), None),
        force(None, None),
        pause(HOOK, Some(7_200)),
        unpause(HOOK),
    ] {
        store.submit(command).await.expect("it is done");
        store.time.advance(Duration::from_secs(1));
    }
    let Rows::Audit(rows) = store.board(Query { list: List::Audit, ..Query::default() }).await.rows else {
        panic!("the audit was asked for")
    };
    let what: Vec<String> = rows.iter().rev().map(AuditRow::what).collect();
    assert_eq!(what, ["force open for 10m", "force disabled", "force auto", "pause for 2h", "unpause"]);
}

async fn a_forced_circuit_is_told_to_every_worker_with_its_owner_reason_and_limit(store: TestStore) {
    known(&store).await;
    assert_eq!(steering(&store).await, []);
    let receipt = store.submit(force(Some(Forced::Open), Some(LIMIT))).await.expect("it is forced");
    assert_eq!((receipt.applied(), receipt.kind.as_str()), (1, "force"));
    store.time.advance(Duration::from_secs(100));
    let told = store.again().await.store.steering().await.expect("another process asks");
    let expected = Steering {
        operation: HOOK.to_owned(),
        order: Order::Force(Forced::Open),
        left: Some(Duration::from_secs(LIMIT - 100)),
        owner: "ana".to_owned(),
        reason: "the outage is over".to_owned(),
    };
    assert_eq!(told, std::slice::from_ref(&expected));
    store.submit(pause(HOOK, None)).await.expect("it is paused besides");
    let paused = Steering { order: Order::Pause, left: None, ..expected.clone() };
    assert_eq!(steering(&store).await, [expected, paused]);
    store.submit(force(None, None)).await.expect("it is taken back");
    store.submit(unpause(HOOK)).await.expect("it goes on");
    assert_eq!(steering(&store).await, []);
}

async fn what_is_decided_is_over_at_its_limit(store: TestStore) {
    known(&store).await;
    store.submit(force(Some(Forced::Disabled), Some(LIMIT))).await.expect("it is forced");
    store.submit(pause(HOOK, Some(LIMIT))).await.expect("it is paused");
    store.time.advance(Duration::from_secs(LIMIT) - Duration::from_millis(1));
    assert_eq!(steering(&store).await.len(), 2);
    store.time.advance(Duration::from_millis(1));
    assert_eq!(steering(&store).await, []);
    let board = store.board(Query::default()).await;
    assert!(board.pauses.is_empty());
    assert_eq!(left_out(store.submit(force(None, None)).await), LeftOut::NotForced);
    assert_eq!(left_out(store.submit(unpause(HOOK)).await), LeftOut::NotPaused);
}

async fn a_decision_takes_a_reason_and_taking_it_back_does_not(store: TestStore) {
    known(&store).await;
    let unreasoned = |command| Submission { reason: Some("  ".to_owned()), ..submission(command) };
    for command in [force(Some(Forced::Closed), None), pause(HOOK, None), pause("onboarding", None)] {
        let answer = store.opened.store.act(&unreasoned(command)).await;
        assert_eq!(left_out(answer), LeftOut::Unreasoned);
    }
    assert_eq!(steering(&store).await, []);
    store.submit(force(Some(Forced::Closed), None)).await.expect("with a reason it is forced");
    store.opened.store.act(&unreasoned(force(None, None))).await.expect("and taken back without one");
}

async fn an_operation_nobody_knows_cannot_be_steered(store: TestStore) {
    assert_eq!(left_out(store.submit(force(Some(Forced::Open), None)).await), LeftOut::NotFound);
    assert_eq!(left_out(store.submit(pause("githb.create_hook", None)).await), LeftOut::NotFound);
    assert_eq!(store.cell("SELECT count(*) FROM redrive_circuits").await, "0", "nothing is left of it");
    store.submit(pause("onboarding", None)).await.expect("the pipeline as a whole is always known");
}

async fn a_decision_made_since_is_not_overridden_unseen(store: TestStore) {
    known(&store).await;
    let row = store.board(Query::default()).await.circuits.remove(0);
    assert_eq!(row.version, 0);
    let seen = |to| Command::Force { circuit: target(Some(row.version)), to, seconds: None };
    store.submit(seen(Some(Forced::Open))).await.expect("ana is first");
    match left_out(store.submit(seen(Some(Forced::Closed))).await) {
        LeftOut::Changed { last: Some(last) } => {
            assert_eq!(last.to_string(), "forced by ana at 12:00:00 UTC");
        }
        other => panic!("it changed, not {other:?}"),
    }
    assert_eq!(steering(&store).await[0].order, Order::Force(Forced::Open));
}

async fn the_same_decision_twice_applies_once_and_is_audited(store: TestStore) {
    known(&store).await;
    let submission = submission(pause(HOOK, Some(LIMIT)));
    let first = store.opened.store.act(&submission).await.expect("it acts");
    let second = store.opened.store.act(&submission).await.expect("it answers");
    assert!(!first.repeated && second.repeated);
    assert_eq!(store.cell("SELECT version FROM redrive_circuits").await, "1");
    let audit = "SELECT kind || ' ' || reason || ' ' || target_kind || ' ' || target_id FROM redrive_operator_actions a \
        JOIN redrive_operator_action_targets t ON t.action_id = a.id";
    assert_eq!(store.column(audit).await, [format!("pause the outage is over circuit {HOOK}")]);
}

async fn without_an_audit_nothing_is_decided(store: TestStore) {
    known(&store).await;
    store.sql("ALTER TABLE redrive_operator_action_targets RENAME TO elsewhere").await;
    assert!(matches!(store.submit(force(Some(Forced::Open), None)).await, Err(Refusal::Store(_))));
    store.sql("ALTER TABLE elsewhere RENAME TO redrive_operator_action_targets").await;
    assert_eq!(steering(&store).await, []);
}

async fn a_preview_judges_a_decision_as_the_action_does(store: TestStore) {
    known(&store).await;
    waiting(&store, 3, LEASE).await;
    let drawn = |command: Command| {
        let reader = store.opened.reader.clone();
        async move {
            let standing = reader.standing(&command).await.expect("it looks");
            plan::draw(&command, &standing)
        }
    };
    let plan = drawn(force(Some(Forced::Open), None)).await;
    assert_eq!((plan.will_run(), plan.needs_reason()), (0, 1), "{plan:?}");
    assert_eq!(plan.clone().reasoned(Reasoned::Yes).will_run(), 1);
    let warnings: Vec<_> = plan.warnings.iter().map(|warning| warning.as_str()).collect();
    assert_eq!(
        warnings,
        [
            "no call is made: what needs one is parked and spends no attempt",
            "without a time limit it holds until somebody takes it back",
            "3 onboardings wait for it already",
        ]
    );
    assert_eq!(drawn(force(None, None)).await.lines[0].left_out, Some(LeftOut::NotForced));
    store.submit(pause(HOOK, Some(LIMIT))).await.expect("it is paused");
    let plan = drawn(unpause(HOOK)).await;
    assert_eq!(plan.will_run(), 1);
    assert_eq!(plan.warnings[0].as_str(), "3 onboardings wait for it and will come back at 10 a second");
}

async fn what_one_operation_parked_comes_back_one_after_the_other(store: TestStore) {
    known(&store).await;
    waiting(&store, 5, Duration::from_secs(30)).await;
    let board = store.board(Query::default()).await;
    assert_eq!(board.circuits[0].holds.0, 5);
    assert_eq!(due_by(&store, [29.9, 30.0, 30.1, 30.25, 30.4]).await, [0, 1, 1, 1, 2], "ten a second");
}

async fn what_was_held_back_is_due_at_a_pace_once_nothing_holds_it(store: TestStore) {
    known(&store).await;
    store.submit(force(Some(Forced::Open), None)).await.expect("it is forced");
    waiting(&store, 4, Duration::from_secs(3_600)).await;
    store.time.advance(Duration::from_secs(5));
    store.submit(force(None, None)).await.expect("it is taken back");
    assert_eq!(due_by(&store, [0.0, 0.1, 0.2, 0.3, 0.4]).await, [1, 1, 1, 1, 0]);
}

async fn what_is_still_held_by_the_other_decision_stays(store: TestStore) {
    known(&store).await;
    store.submit(force(Some(Forced::Open), None)).await.expect("it is forced");
    store.submit(pause(HOOK, None)).await.expect("it is paused besides");
    waiting(&store, 1, Duration::from_secs(3_600)).await;
    store.submit(force(None, None)).await.expect("it is taken back");
    assert_eq!(due_by(&store, [10.0]).await, [0], "it is still paused");
    store.submit(unpause(HOOK)).await.expect("it goes on");
    assert_eq!(due_by(&store, [0.0]).await, [1]);
}

async fn what_a_worker_parks_for_a_decision_that_was_taken_back_is_due_at_once(store: TestStore) {
    known(&store).await;
    let held = |delay| match parked(HOOK, delay) {
        StepOutcome::Parked { operation, reason, delay, .. } => {
            StepOutcome::Parked { operation, reason, delay, held: true }
        }
        other => other,
    };
    let wait = Duration::from_secs(3_600);
    store.submit(pause(HOOK, None)).await.expect("it is paused");
    store.trigger("early").await;
    let early = store.claim_one().await;
    store.trigger("late").await;
    let late = store.claim_one().await;
    assert_eq!(store.record(&early, held(wait)).await, Ok(Recorded::Released));
    assert_eq!(due_by(&store, [10.0]).await, [0], "while it is paused it waits");
    store.submit(unpause(HOOK)).await.expect("it goes on");
    assert_eq!(store.record(&late, held(wait)).await, Ok(Recorded::Released), "its worker has not heard yet");
    assert_eq!(due_by(&store, [0.0, 1.2]).await, [1, 1]);
}

async fn a_paused_workflow_goes_not_forward_but_back(store: TestStore) {
    let forward = store.trigger("forward").await;
    let claimed = store.claim_one().await;
    store.submit(pause("onboarding", Some(LIMIT))).await.expect("it is paused");
    assert_eq!(store.board(Query::default()).await.pauses[0].operation.as_str(), "onboarding");
    let retry = StepOutcome::Retry {
        fault: Fault::transient("503"),
        delay: Duration::ZERO,
        reason: "transient".to_owned(),
    };
    assert_eq!(store.record(&claimed, retry).await, Ok(Recorded::Released), "the step in hand is finished");
    let back = store.trigger("back").await;
    store.roll_back(&back, None).await.expect("it rolls back");
    let claimed = store.claim("worker-a", 10).await;
    assert_eq!(
        claimed.iter().map(|c| (&c.lease.onboarding, c.direction)).collect::<Vec<_>>(),
        [(&back, Direction::Back)]
    );
    assert_eq!(store.page(&forward).await.row.phase, Some(Phase::Waiting));
    let due =
        store.opened.store.next_due(&anything()).await.expect("it answers").expect("a lease ends some time");
    assert!(due > chrono::TimeDelta::zero(), "what may not be claimed is not due: {due}");
    store.time.advance(Duration::from_secs(LIMIT));
    assert!(!store.claim("worker-a", 10).await.is_empty(), "and at its limit it is over");
}

async fn what_a_paused_workflow_held_comes_back_at_a_pace(store: TestStore) {
    store.submit(pause("onboarding", None)).await.expect("it is paused");
    for n in 0..4 {
        store.trigger(&format!("repo-{n}")).await;
    }
    assert_eq!(store.claim("worker-a", 10).await.len(), 0);
    store.time.advance(Duration::from_secs(60));
    store.submit(unpause("onboarding")).await.expect("it goes on");
    assert_eq!(due_by(&store, [0.0, 0.1, 0.2, 0.3]).await, [1, 1, 1, 1]);
}

async fn a_row_shows_what_was_decided_apart_from_what_was_computed(store: TestStore) {
    use redrive::domain::circuit::CircuitState::{Closed, Open};
    let denied = std::collections::BTreeMap::from([(Denial::Circuit, 7), (Denial::Bulkhead, 1)]);
    let open =
        CircuitReport { state: Open, budget_left: 0.25, in_flight: Some((3, 8)), denied, ..report(HOOK) };
    beat(&store, "worker-a", open.clone()).await;
    beat(&store, "worker-b", CircuitReport { state: Closed, in_flight: None, ..open }).await;
    store.submit(force(Some(Forced::Closed), Some(LIMIT))).await.expect("it is forced");
    let row = store.board(Query::default()).await.circuits.remove(0);
    assert_eq!((row.state, row.forced, row.instances), (Open, Some(Forced::Closed), (1, 2)));
    let decision = row.forced_by.expect("who and why");
    assert_eq!((decision.operator.as_str(), decision.at), ("ana", noon()));
    assert_eq!(decision.until, Some(noon() + Duration::from_secs(LIMIT)));
    assert_eq!(decision.reason.as_ref().map(|why| why.as_str()), Some("the outage is over"));
    assert_eq!((row.budget_left, row.opens_at), (Some(0.25), Some(0.5)));
    assert_eq!(row.denied.into_iter().collect::<Vec<_>>(), [(Denial::Circuit, 14), (Denial::Bulkhead, 2)]);
    let each: Vec<_> = row.reports.iter().map(|r| (r.worker.as_str(), r.state, r.in_flight)).collect();
    assert_eq!(each, [("worker-a", Open, Some((3, 8))), ("worker-b", Closed, None)]);
}
