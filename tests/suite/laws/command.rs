//! Commands: judged again where they act, applied once, audited in the same transaction.

use std::time::Duration;

use redrive::{
    domain::{
        fault::Fault,
        id::OnboardingId,
        onboarding::{Phase, Status},
    },
    engine::{
        command::{Command, Elsewhere, LeftOut, Refusal, Target},
        plan,
        store::{Direction, Recorded, StepOutcome},
    },
};
use tokio::task::JoinSet;

use crate::support::stores::{LEASE, TestStore, done, parked, request, submission};

laws!(
    resuming_goes_on_where_it_failed_with_fresh_attempts,
    what_cannot_be_resumed_is_left_out_with_the_reason,
    a_row_that_changed_is_left_alone_and_the_operator_is_named,
    the_same_action_twice_applies_once,
    sixteen_submissions_of_one_action_apply_once,
    no_audit_no_action,
    the_audit_tells_who_what_and_why,
    when_every_target_is_left_out_nothing_is_written,
    a_preview_judges_as_the_action_does,
    a_resumes_preview_tells_how_many_would_fail_alike,
    a_roll_back_of_waiting_work_begins_at_once,
    a_wish_is_obeyed_at_the_holders_next_record,
    a_wish_is_obeyed_by_others_after_the_lease,
    a_wish_survives_completion,
    a_roll_back_that_was_asked_for_is_not_asked_for_again,
    a_stuck_roll_back_is_taken_up_again,
    rows_of_others_need_a_confirmation,
    a_state_nobody_knows_is_not_run,
    an_older_failure_yields_to_the_one_that_stands,
);

fn left_out(refusal: Refusal) -> LeftOut {
    match refusal {
        Refusal::Nothing(mut outcomes) => outcomes.pop().and_then(|o| o.left_out).expect("a reason"),
        other => panic!("every target was left out, not {other:?}"),
    }
}

async fn resuming_goes_on_where_it_failed_with_fresh_attempts(store: TestStore) {
    let id = store.trigger("ledger").await;
    let claimed = store.claim_one().await;
    let next = StepOutcome::Advanced { done: done(), next: "VALIDATING".into(), opens: None };
    assert_eq!(store.record(&claimed, next).await, Ok(Recorded::Released));
    let claimed = store.claim_one().await;
    store.fail(&claimed, Fault::transient("503")).await;
    let page = store.page(&id).await;
    assert_eq!((page.row.status, page.row.phase), (Status::Failed, Some(Phase::Failed)));
    assert!(page.row.failed_at.is_some() && page.row.letter.is_some());
    store.resume(&id, Some(page.row.version)).await.expect("it resumes");
    let page = store.page(&id).await;
    assert_eq!((page.row.status, page.row.phase), (Status::InProgress, Some(Phase::Queued)));
    assert_eq!((page.row.failed_at, &page.row.letter), (None, &None));
    assert_eq!(page.letters[0].outcome.map(|o| o.as_str()), Some("resumed"));
    let claimed = store.claim_one().await;
    assert_eq!((claimed.state.as_str(), claimed.attempt), ("VALIDATING", 1));
    assert_eq!(claimed.context, serde_json::json!({"seen": true}), "what was found out is kept");
    assert_eq!(page.attempts.len(), 2, "the history is kept");
}

async fn what_cannot_be_resumed_is_left_out_with_the_reason(store: TestStore) {
    let why = async |id: &OnboardingId| left_out(store.resume(id, None).await.expect_err("left out"));
    assert_eq!(why(&"nowhere".into()).await, LeftOut::NotFound);
    let id = store.trigger("ledger").await;
    assert_eq!(why(&id).await, LeftOut::InProgress { owner: None });
    let claimed = store.claim_one().await;
    assert_eq!(why(&id).await, LeftOut::InProgress { owner: Some("worker-a".into()) });
    store.record(&claimed, StepOutcome::Completed { done: done() }).await.expect("it completes");
    assert_eq!(why(&id).await, LeftOut::AlreadyCompleted);
    store.roll_back(&id, None).await.expect("it rolls back");
    assert_eq!(why(&id).await, LeftOut::RollingBack);
    let claimed = store.claim_one().await;
    store.record(&claimed, StepOutcome::RolledBack { writes: vec![] }).await.expect("it ends");
    assert_eq!(why(&id).await, LeftOut::RolledBack);
    let again = left_out(store.roll_back(&id, None).await.expect_err("left out"));
    assert_eq!(again, LeftOut::RolledBack);
}

async fn a_row_that_changed_is_left_alone_and_the_operator_is_named(store: TestStore) {
    let (id, _) = store.failed("ledger").await;
    let seen = store.page(&id).await.row.version;
    store.resume(&id, Some(seen)).await.expect("ana is first");
    match left_out(store.resume(&id, Some(seen)).await.expect_err("left out")) {
        LeftOut::Changed { last: Some(last) } => {
            assert_eq!((last.operator.as_str(), last.kind.as_str()), ("ana", "resume"));
            assert_eq!(last.at, crate::support::stores::noon());
        }
        other => panic!("it changed, not {other:?}"),
    }
}

async fn the_same_action_twice_applies_once(store: TestStore) {
    let (id, _) = store.failed("ledger").await;
    let onboardings = vec![Target { id: id.clone(), seen: None }];
    let submission = submission(Command::Resume { onboardings, elsewhere: Elsewhere::Leave });
    let first = store.opened.store.act(&submission).await.expect("it acts");
    let before = store.everything().await;
    let second = store.opened.store.act(&submission).await.expect("it answers");
    assert!(!first.repeated && second.repeated);
    assert_eq!((first.outcomes, first.at), (second.outcomes, second.at));
    assert_eq!(store.everything().await, before);
}

async fn sixteen_submissions_of_one_action_apply_once(store: TestStore) {
    let (id, _) = store.failed("ledger").await;
    let onboardings = vec![Target { id: id.clone(), seen: None }];
    let submission = submission(Command::Resume { onboardings, elsewhere: Elsewhere::Leave });
    let handles = [store.again().await, store.again().await];
    let mut acting = JoinSet::new();
    for n in 0..16 {
        let (handle, submission) = (handles[n % 2].store.clone(), submission.clone());
        acting.spawn(async move { handle.act(&submission).await.expect("it answers").repeated });
    }
    let first = acting.join_all().await.into_iter().filter(|repeated| !repeated).count();
    assert_eq!(first, 1);
    assert_eq!(store.cell("SELECT count(*) FROM redrive_operator_actions WHERE kind = 'resume'").await, "1");
}

async fn no_audit_no_action(store: TestStore) {
    let (id, letter) = store.failed("ledger").await;
    for table in ["redrive_operator_actions", "redrive_operator_action_targets"] {
        let (make, drop) = match store.is_sqlite() {
            true => (
                format!(
                    "CREATE TRIGGER deny BEFORE INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'no audit today'); END"
                ),
                "DROP TRIGGER deny".to_owned(),
            ),
            false => (
                format!(
                    "CREATE OR REPLACE FUNCTION deny() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''no audit today''; END'; \
                     CREATE TRIGGER deny BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION deny()"
                ),
                format!("DROP TRIGGER deny ON {table}"),
            ),
        };
        store.sql(&make).await;
        let before = store.everything().await;
        let replay = Command::Replay {
            letters: vec![Target { id: letter.as_str().into(), seen: None }],
            pace: redrive::engine::command::Pace::default(),
        };
        assert!(matches!(store.resume(&id, None).await, Err(Refusal::Store(_))));
        assert!(matches!(store.roll_back(&id, None).await, Err(Refusal::Store(_))));
        assert!(matches!(store.submit(replay).await, Err(Refusal::Store(_))));
        let trigger = Command::Trigger { request: request("payments") };
        assert!(matches!(store.submit(trigger).await, Err(Refusal::Store(_))));
        assert_eq!(store.everything().await, before, "{table}");
        store.sql(&drop).await;
    }
    store.resume(&id, None).await.expect("with its audit it acts");
}

async fn the_audit_tells_who_what_and_why(store: TestStore) {
    let (id, _) = store.failed("ledger").await;
    store.resume(&id, None).await.expect("it resumes");
    let page = store.page(&id).await;
    let audit: Vec<_> =
        page.audit.iter().map(|a| (a.kind.as_str(), a.operator.as_str(), a.applied)).collect();
    assert_eq!(audit, [("resume", "ana", 1), ("trigger", "ana", 1)]);
    assert_eq!(page.audit[0].reason.as_ref().map(|r| r.as_str()), Some("the outage is over"));
    assert_eq!(page.audit[0].targets[0].as_str(), id.as_str());
    assert_eq!(page.row.last_action.expect("an action").operator, "ana");
}

async fn when_every_target_is_left_out_nothing_is_written(store: TestStore) {
    store.trigger("ledger").await;
    let before = store.everything().await;
    assert_eq!(
        left_out(store.resume(&"nowhere".into(), None).await.expect_err("left out")),
        LeftOut::NotFound
    );
    assert_eq!(store.everything().await, before);
}

async fn a_preview_judges_as_the_action_does(store: TestStore) {
    let (failed, _) = store.failed("ledger").await;
    let queued = store.trigger("payments").await;
    let targets =
        [&failed, &queued, &"nowhere".into()].map(|id: &OnboardingId| Target { id: id.clone(), seen: None });
    let command = Command::Resume { onboardings: targets.to_vec(), elsewhere: Elsewhere::Leave };
    let standing = store.opened.reader.standing(&command).await.expect("it looks");
    let plan = plan::draw(&command, &standing);
    let receipt = store.submit(command).await.expect("one of them resumes");
    let planned: Vec<_> = plan.lines.iter().map(|l| (l.id.clone(), l.left_out.clone())).collect();
    let done: Vec<_> = receipt.outcomes.iter().map(|o| (o.id.clone(), o.left_out.clone())).collect();
    assert_eq!(planned, done);
    assert_eq!((plan.will_run(), receipt.applied()), (1, 1));
}

async fn a_resumes_preview_tells_how_many_would_fail_alike(store: TestStore) {
    let mut onboardings = Vec::new();
    for name in ["ledger", "payments", "billing"] {
        let (id, letter) = store.failed(name).await;
        if name != "ledger" {
            store
                .sql(&format!("UPDATE redrive_dead_letters SET reason = 'permanent' WHERE id = '{letter}'"))
                .await;
        }
        onboardings.push(Target { id, seen: None });
    }
    store.resume(&onboardings[2].id, None).await.expect("it goes on");
    let command = Command::Resume { onboardings, elsewhere: Elsewhere::Leave };
    let plan = plan::draw(&command, &store.opened.reader.standing(&command).await.expect("it looks"));
    let warnings: Vec<_> = plan.warnings.iter().map(|warning| warning.as_str()).collect();
    assert_eq!(
        warnings,
        ["1 of them ended with a permanent error: they fail alike unless its cause was mended"]
    );
}

async fn a_roll_back_of_waiting_work_begins_at_once(store: TestStore) {
    let (id, letter) = store.failed("ledger").await;
    store.roll_back(&id, None).await.expect("it rolls back");
    let page = store.page(&id).await;
    assert_eq!((page.row.status, page.row.phase), (Status::InProgress, Some(Phase::RollingBack)));
    assert_eq!(page.row.current_state.as_ref().map(|s| s.as_str()), Some("ROLLING_BACK"));
    assert_eq!(
        (page.letters[0].id.as_str(), page.letters[0].outcome.map(|o| o.as_str())),
        (letter.as_str(), Some("rolled_back"))
    );
    let claimed = store.claim_one().await;
    assert_eq!(
        (claimed.direction, claimed.state.as_str(), claimed.attempt),
        (Direction::Back, "RECEIVED", 1)
    );
    assert_eq!(
        store.record(&claimed, StepOutcome::RolledBack { writes: vec![] }).await,
        Ok(Recorded::Released)
    );
    let row = store.page(&id).await.row;
    assert_eq!((row.status, row.phase), (Status::FailedCleanedUp, Some(Phase::RolledBack)));
    assert_ne!(store.cell("SELECT cleaned_up_at FROM onboarding_history").await, "NULL");
    assert_eq!(store.cell("SELECT count(*) FROM redrive_work").await, "0");
}

async fn a_wish_is_obeyed_at_the_holders_next_record(store: TestStore) {
    let outcomes = [
        StepOutcome::Advanced { done: done(), next: "VALIDATING".into(), opens: Some(Default::default()) },
        StepOutcome::Retry { fault: Fault::transient("503"), delay: LEASE, reason: "transient".into() },
        parked("github.tree", LEASE),
        StepOutcome::HandedBack,
    ];
    for (n, outcome) in outcomes.into_iter().enumerate() {
        let id = store.trigger(&format!("repo-{n}")).await;
        let holder = store.claim_one().await;
        store.roll_back(&id, None).await.expect("it is wished");
        assert_eq!(
            store.page(&id).await.row.phase,
            Some(Phase::Running),
            "nothing is undone under its holder"
        );
        assert!(store.claim("worker-b", 10).await.is_empty());
        assert_eq!(store.record(&holder, outcome).await, Ok(Recorded::RollBackBegan));
        let back = store.claim("worker-b", 10).await.pop().expect("the roll-back is due");
        assert_eq!(back.direction, Direction::Back);
        assert_eq!(
            store.record(&holder, StepOutcome::HandedBack).await,
            Err(redrive::engine::store::Conflict::Fenced)
        );
        assert_eq!(
            store.record(&back, StepOutcome::RolledBack { writes: vec![] }).await,
            Ok(Recorded::Released)
        );
    }
}

async fn a_wish_is_obeyed_by_others_after_the_lease(store: TestStore) {
    let id = store.trigger("ledger").await;
    store.claim_one().await;
    store.roll_back(&id, None).await.expect("it is wished");
    store.time.advance(LEASE);
    let back = store.claim_one().await;
    assert_eq!((back.direction, back.attempt), (Direction::Back, 1));
    assert_eq!(store.page(&id).await.row.phase, Some(Phase::RollingBack));
}

async fn a_roll_back_that_was_asked_for_is_not_asked_for_again(store: TestStore) {
    let id = store.trigger("ledger").await;
    store.claim_one().await;
    store.roll_back(&id, None).await.expect("it is wished");
    let refused = store.roll_back(&id, None).await.expect_err("it was asked for").to_string();
    assert!(
        refused.contains("its roll-back was asked for already by ana at 12:00:00 UTC: its worker"),
        "{refused}"
    );
    assert_eq!(
        store.cell("SELECT count(*) FROM redrive_operator_actions WHERE kind = 'roll_back'").await,
        "1"
    );
}

async fn a_wish_survives_completion(store: TestStore) {
    let id = store.trigger("ledger").await;
    let holder = store.claim_one().await;
    store.roll_back(&id, None).await.expect("it is wished");
    let answer = store.record(&holder, StepOutcome::Completed { done: done() }).await;
    assert_eq!(answer, Ok(Recorded::RollBackBegan));
    assert_eq!(store.claim_one().await.direction, Direction::Back);
}

async fn a_stuck_roll_back_is_taken_up_again(store: TestStore) {
    let (id, _) = store.failed("ledger").await;
    store.roll_back(&id, None).await.expect("it rolls back");
    let back = store.claim_one().await;
    let stuck = StepOutcome::Stuck { reason: "stuck: 0 of 1 compensations undone".to_owned() };
    assert_eq!(store.record(&back, stuck).await, Ok(Recorded::Released));
    let row = store.page(&id).await.row;
    assert_eq!((row.status, row.phase), (Status::Failed, Some(Phase::Stuck)));
    assert_eq!(store.board(Default::default()).await.counts.stuck.0, 1);
    assert_eq!(left_out(store.resume(&id, None).await.expect_err("left out")), LeftOut::RollingBack);
    store.roll_back(&id, Some(row.version)).await.expect("it is taken up again");
    assert_eq!(store.claim_one().await.direction, Direction::Back);
}

async fn rows_of_others_need_a_confirmation(store: TestStore) {
    store
        .sql(
            "INSERT INTO onboarding_history (id, tenant_id, repo_url, fingerprint, status, current_state, entities_created, created_at) \
             VALUES ('theirs', 'acme', 'r', 'f', 'in_progress', 'REGISTERING', '[\"e1\"]', '2026-03-01 11:00:00+00:00')",
        )
        .await;
    let id: OnboardingId = "theirs".into();
    let elsewhere = LeftOut::Elsewhere { status: Status::InProgress };
    assert_eq!(left_out(store.resume(&id, None).await.expect_err("left out")), elsewhere);
    assert_eq!(left_out(store.roll_back(&id, None).await.expect_err("left out")), elsewhere);
    let onboardings = vec![Target { id: id.clone(), seen: None }];
    store.submit(Command::Resume { onboardings, elsewhere: Elsewhere::TakeOver }).await.expect("confirmed");
    let claimed = store.claim_one().await;
    assert_eq!((claimed.state.as_str(), claimed.workflow.as_str()), ("REGISTERING", "onboarding"));
    assert_eq!(claimed.entities_created, ["e1"]);
}

async fn a_state_nobody_knows_is_not_run(store: TestStore) {
    for (id, state) in [("a", "DREAMING"), ("b", "ROLLING_BACK")] {
        store
            .sql(&format!(
                "INSERT INTO onboarding_history (id, tenant_id, repo_url, fingerprint, status, current_state, created_at) \
                 VALUES ('{id}', 'acme', '{id}', '{id}', 'failed', '{state}', '2026-03-01 11:00:00+00:00')"
            ))
            .await;
    }
    let unknown = left_out(store.resume(&"a".into(), None).await.expect_err("left out"));
    assert_eq!(unknown, LeftOut::UnknownState { state: "DREAMING".into() });
    assert_eq!(left_out(store.resume(&"b".into(), None).await.expect_err("left out")), LeftOut::RollingBack);
    store.roll_back(&"a".into(), None).await.expect("undoing needs no known state");
    let back = store.claim_one().await;
    assert_eq!((back.direction, back.state.as_str()), (Direction::Back, "DREAMING"));
}

async fn an_older_failure_yields_to_the_one_that_stands(store: TestStore) {
    let fingerprint = request("ledger").fingerprint();
    let insert = |id: &str, status: &str, hour: u32| {
        format!(
            "INSERT INTO onboarding_history (id, tenant_id, repo_url, fingerprint, status, current_state, created_at) \
             VALUES ('{id}', 'acme', 'https://github.com/acme/ledger', '{fingerprint}', '{status}', 'REGISTERING', '2026-03-01 0{hour}:00:00+00:00')"
        )
    };
    store.sql(&insert("old", "failed", 1)).await;
    store.sql(&insert("new", "completed", 2)).await;
    let old: OnboardingId = "old".into();
    let why = left_out(store.resume(&old, None).await.expect_err("left out"));
    assert_eq!(why, LeftOut::Superseded { by: "new".into() });
    store.roll_back(&old, None).await.expect("it can still be undone");
    let row = store.page(&old).await.row;
    assert_eq!((row.status, row.phase), (Status::Failed, Some(Phase::RollingBack)));
    let back = store.claim_one().await;
    assert_eq!(store.record(&back, StepOutcome::RolledBack { writes: vec![] }).await, Ok(Recorded::Released));
    store.time.advance(Duration::from_secs(1));
    assert_eq!(store.page(&old).await.row.status, Status::FailedCleanedUp);
}
