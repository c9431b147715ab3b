//! Replays: paced, one at a time for a letter, and told to the end.

use std::{collections::HashSet, time::Duration};

use redrive::{
    domain::{circuit::CircuitState, fault::Fault, id::OnboardingId},
    engine::{
        command::{Asker, Command, LeftOut, Pace, Refusal, Submission, Target},
        plan,
        reader::{Detail, LetterPage, Page, Query, ReplayRow},
        store::{CircuitReport, Heartbeat, Recorded, StepOutcome},
    },
};
use tokio::task::JoinSet;

use crate::support::stores::{TestStore, anything, done, noon, report, submission};

laws!(
    one_letter_goes_first_then_ten_then_the_rest_at_the_pace,
    ten_are_on_their_way_and_no_more_until_they_are_known,
    of_many_workers_that_ask_one_moves_it_on_and_another_goes_on_after_it,
    what_failed_again_before_goes_after_what_did_not,
    it_stops_when_its_first_letter_fails_again_and_the_rest_is_open,
    it_stops_when_too_many_fail_again,
    it_holds_while_a_circuit_it_needs_is_open_and_goes_on_after,
    an_operator_stops_it_and_what_has_begun_goes_on,
    what_was_dealt_with_before_its_turn_is_left_out_and_said_why,
    a_letter_replayed_too_often_in_vain_is_quarantined_until_it_is_restored,
    what_is_discarded_is_kept_and_can_be_restored,
    a_replay_that_succeeds_closes_its_letter,
    a_replay_that_fails_again_leaves_a_new_letter,
    two_operators_at_the_same_moment_apply_once,
    two_letters_of_one_onboarding_are_replayed_once,
    a_roll_back_skips_what_was_still_waiting,
    counters_of_groups_never_drift,
);

fn replay(letters: &[&str]) -> Submission {
    let letters = letters.iter().map(|id| Target { id: (*id).into(), seen: None }).collect();
    submission(Command::Replay { letters, pace: Pace { per_second: 2.0, ..Pace::default() } })
}

async fn letter(store: &TestStore, id: &str) -> LetterPage {
    let query = Query { detail: Some(Detail::Letter(id.into())), ..Query::default() };
    match store.board(query).await.page {
        Some(Page::Letter(page)) => *page,
        other => panic!("{id} has a page, not {other:?}"),
    }
}

/// Moves replays on, as every worker does several times a second; answers how many letters began.
async fn pace(store: &TestStore) -> u64 {
    store.opened.store.pace_replays().await.expect("it moves on")
}

/// So many failed onboardings and their letters, oldest first.
async fn failures(store: &TestStore, count: usize) -> Vec<(OnboardingId, String)> {
    let mut failed = Vec::new();
    for n in 0..count {
        failed.push(store.failed(&format!("repo-{n}")).await);
    }
    failed
}

fn ids(failed: &[(OnboardingId, String)]) -> Vec<&str> {
    failed.iter().map(|(_, letter)| letter.as_str()).collect()
}

/// Everything that began comes to its end: well, or with the same error again.
async fn all_end(store: &TestStore, well: bool) -> usize {
    let claimed = store.claim("worker-a", 100).await;
    for claimed in &claimed {
        match well {
            true => drop(store.record(claimed, StepOutcome::Completed { done: done() }).await),
            false => {
                drop(store.fail(claimed, Fault::transient("503 from api.github").of("github.tree")).await)
            }
        }
    }
    claimed.len()
}

async fn row(store: &TestStore) -> ReplayRow {
    store.board(Query::default()).await.replays.remove(0)
}

async fn one_letter_goes_first_then_ten_then_the_rest_at_the_pace(store: TestStore) {
    let failed = failures(&store, 16).await;
    let mut order = ids(&failed);
    order.insert(1, "nowhere");
    let receipt = store.opened.store.act(&replay(&order)).await.expect("it replays");
    assert_eq!((receipt.applied(), &receipt.outcomes[1].left_out), (16, &Some(LeftOut::NotFound)));
    let board = store.board(Query::default()).await;
    assert_eq!((board.counts.letters.0, board.counts.replaying.0), (0, 16));
    assert_eq!((board.letter_groups[0].open, board.letter_groups[0].replaying), (0, 16));
    assert!(store.claim("worker-a", 100).await.is_empty(), "nothing begins by itself");
    assert_eq!(pace(&store).await, 1);
    let canary = store.claim_one().await;
    assert_eq!(
        (&canary.lease.onboarding, &canary.replay),
        (&failed[0].0, &receipt.replay),
        "the first one asked"
    );
    store.time.advance(Duration::from_secs(5));
    assert_eq!(pace(&store).await, 0, "until it is known");
    store.record(&canary, StepOutcome::Completed { done: done() }).await.expect("it completes");
    let mut began = Vec::new();
    for _ in 0..12 {
        began.push(pace(&store).await);
        all_end(&store, true).await;
        store.time.advance(Duration::from_secs(1));
    }
    assert_eq!(began, [2, 2, 2, 2, 2, 2, 2, 1, 0, 0, 0, 0], "two a second");
    let row = row(&store).await;
    assert_eq!((row.total, row.succeeded, row.waiting, row.ended_at.is_some()), (16, 16, 0, true));
}

async fn ten_are_on_their_way_and_no_more_until_they_are_known(store: TestStore) {
    let failed = failures(&store, 14).await;
    store.opened.store.act(&replay(&ids(&failed))).await.expect("it replays");
    pace(&store).await;
    all_end(&store, true).await;
    let mut began = 0;
    for _ in 0..20 {
        store.time.advance(Duration::from_millis(500));
        began += pace(&store).await;
    }
    assert_eq!(began, 10);
    let claimed = store.claim("worker-a", 100).await;
    for claimed in &claimed[..9] {
        store.record(claimed, StepOutcome::Completed { done: done() }).await.expect("it completes");
    }
    assert_eq!(pace(&store).await, 0, "one of them is on its way");
    store.record(&claimed[9], StepOutcome::Completed { done: done() }).await.expect("it completes");
    assert_eq!(pace(&store).await, 2);
}

async fn of_many_workers_that_ask_one_moves_it_on_and_another_goes_on_after_it(store: TestStore) {
    let failed = failures(&store, 4).await;
    store.opened.store.act(&replay(&ids(&failed))).await.expect("it replays");
    for expected in [1, 0] {
        let mut asking = JoinSet::new();
        for _ in 0..4 {
            let handle = store.again().await.store;
            asking.spawn(async move { handle.pace_replays().await.expect("it answers") });
        }
        assert_eq!(asking.join_all().await.into_iter().sum::<u64>(), expected);
    }
    all_end(&store, true).await;
    store.time.advance(Duration::from_secs(1));
    assert_eq!(store.again().await.store.pace_replays().await, Ok(2), "whoever asks");
}

async fn what_failed_again_before_goes_after_what_did_not(store: TestStore) {
    let failed = failures(&store, 2).await;
    // The first fails again: what became of it is the newest letter, and asked for first.
    store.opened.store.act(&replay(&[&failed[0].1])).await.expect("it replays");
    pace(&store).await;
    all_end(&store, false).await;
    let became = "SELECT id FROM redrive_dead_letters WHERE replays = 1 AND status = 'open'";
    let worse = store.cell(became).await;
    store.opened.store.act(&replay(&[&worse, &failed[1].1])).await.expect("it replays");
    pace(&store).await;
    let first = store.claim_one().await;
    assert_eq!(first.lease.onboarding, failed[1].0, "it has not failed again yet");
}

async fn it_stops_when_its_first_letter_fails_again_and_the_rest_is_open(store: TestStore) {
    let failed = failures(&store, 3).await;
    store.opened.store.act(&replay(&ids(&failed))).await.expect("it replays");
    pace(&store).await;
    all_end(&store, false).await;
    assert_eq!(pace(&store).await, 0);
    let row = row(&store).await;
    assert_eq!(row.stopped.as_ref().map(|why| why.as_str()), Some("the first letter failed again"));
    assert_eq!((row.failed_again, row.new_errors, row.open_again, row.waiting), (1, 0, 2, 0));
    let page = letter(&store, &failed[1].1).await;
    assert_eq!((page.row.status.as_str(), page.row.replays), ("open", 0), "it was not replayed");
    assert_eq!(
        page.replays[0].reason.as_ref().map(|why| why.as_str()),
        Some("the replay was stopped: the first letter failed again")
    );
    assert_eq!(store.board(Query::default()).await.letter_groups[0].open, 3);
    store.opened.store.act(&replay(&[&failed[1].1])).await.expect("it can be replayed again");
}

async fn it_stops_when_too_many_fail_again(store: TestStore) {
    let failed = failures(&store, 20).await;
    store.opened.store.act(&replay(&ids(&failed))).await.expect("it replays");
    pace(&store).await;
    all_end(&store, true).await;
    let mut began = 0;
    while began < 10 {
        store.time.advance(Duration::from_secs(1));
        began += pace(&store).await;
    }
    for (n, claimed) in store.claim("worker-a", 100).await.iter().enumerate() {
        match n < 7 {
            true => drop(store.record(claimed, StepOutcome::Completed { done: done() }).await),
            false => drop(store.fail(claimed, Fault::permanent("422 another").of("github.tree")).await),
        }
    }
    assert_eq!(pace(&store).await, 0);
    let row = row(&store).await;
    let why = "3 of 11 failed again, more than 20 %";
    assert_eq!(row.stopped.as_ref().map(|why| why.as_str()), Some(why));
    assert_eq!((row.succeeded, row.failed_again, row.new_errors, row.open_again), (8, 3, 3, 9));
    assert!(row.ended_at.is_some());
}

async fn it_holds_while_a_circuit_it_needs_is_open_and_goes_on_after(store: TestStore) {
    let failed = failures(&store, 2).await;
    store.opened.store.act(&replay(&ids(&failed))).await.expect("it replays");
    let open = |state| async move {
        let circuits = vec![CircuitReport { state, ..report("github.tree") }];
        Heartbeat { worker: "one".into(), metrics_url: None, running: 0, runs: anything().newest(), circuits }
    };
    store.opened.store.beat(&open(CircuitState::Open).await).await.expect("it beats");
    assert_eq!(pace(&store).await, 0);
    assert_eq!(row(&store).await.held_by.as_ref().map(|by| by.as_str()), Some("github.tree"));
    store.opened.store.beat(&open(CircuitState::HalfOpen).await).await.expect("it beats");
    assert_eq!((pace(&store).await, row(&store).await.held_by), (1, None));
    all_end(&store, true).await;
    let pause = Command::Pause { operation: Target { id: "onboarding".into(), seen: None }, seconds: None };
    store.submit(pause).await.expect("everything is paused");
    store.time.advance(Duration::from_secs(1));
    assert_eq!(pace(&store).await, 0);
    assert_eq!(row(&store).await.held_by.as_ref().map(|by| by.as_str()), Some("onboarding"));
}

async fn an_operator_stops_it_and_what_has_begun_goes_on(store: TestStore) {
    let failed = failures(&store, 3).await;
    let receipt = store.opened.store.act(&replay(&ids(&failed))).await.expect("it replays");
    pace(&store).await;
    let stop =
        || Command::Stop { replay: Target { id: receipt.replay.clone().expect("it runs"), seen: None } };
    let standing = store.opened.reader.standing(&stop()).await.expect("it looks");
    let plan = plan::draw(&stop(), &standing);
    assert_eq!((plan.will_run(), plan.lines[0].label.as_str()), (1, "replay of 3 by ana"));
    assert_eq!(plan.warnings[0].as_str(), "what was begun goes on: 1; what is open again: 2");
    let stopped = store.submit(stop()).await.expect("it stops");
    assert_eq!((stopped.kind.as_str(), stopped.applied()), ("stop", 1));
    let audit = "SELECT a.kind || ' ' || t.target_kind FROM redrive_operator_actions a JOIN redrive_operator_action_targets t ON t.action_id = a.id \
        WHERE a.kind = 'stop'";
    assert_eq!(store.column(audit).await, ["stop replay"]);
    store.time.advance(Duration::from_secs(60));
    assert_eq!(pace(&store).await, 0);
    assert_eq!(row(&store).await.waiting, 1);
    all_end(&store, true).await;
    let row = row(&store).await;
    assert_eq!((row.succeeded, row.skipped, row.open_again, row.ended_at.is_some()), (1, 0, 2, true));
    match store.submit(stop()).await {
        Err(refusal) => assert!(refusal.to_string().contains("already stopped: by ana"), "{refusal}"),
        Ok(receipt) => panic!("it was stopped: {receipt:?}"),
    }
}

async fn what_was_dealt_with_before_its_turn_is_left_out_and_said_why(store: TestStore) {
    let failed = failures(&store, 4).await;
    store.opened.store.act(&replay(&ids(&failed))).await.expect("it replays");
    store.resume(&failed[1].0, None).await.expect("it resumes");
    store.roll_back(&failed[2].0, None).await.expect("it rolls back");
    store
        .sql(&format!("UPDATE onboarding_history SET status = 'completed' WHERE id = '{}'", failed[3].0))
        .await;
    pace(&store).await;
    for claimed in store.claim("worker-a", 100).await {
        if claimed.direction == redrive::engine::store::Direction::Forward {
            store.record(&claimed, StepOutcome::Completed { done: done() }).await.expect("it completes");
        }
    }
    store.time.advance(Duration::from_secs(1));
    assert_eq!(pace(&store).await, 1, "its turn comes, and it is left out");
    let mut why = Vec::new();
    for (_, id) in &failed {
        let item = letter(&store, id).await.replays.remove(0);
        why.push((item.outcome.as_str(), item.reason.map(|why| why.to_string())));
    }
    let said = |why: &str| Some(why.to_owned());
    assert_eq!(
        why,
        [
            ("succeeded", None),
            ("skipped", said("its onboarding was resumed meanwhile")),
            ("skipped", said("its onboarding was rolled back meanwhile")),
            ("skipped", said("already completed")),
        ]
    );
    let row = row(&store).await;
    assert_eq!((row.succeeded, row.skipped, row.waiting), (1, 3, 0));
}

async fn a_letter_replayed_too_often_in_vain_is_quarantined_until_it_is_restored(store: TestStore) {
    let (_, mut id) = store.failed("poison").await;
    for round in 1..=5 {
        store.opened.store.act(&replay(&[&id])).await.expect("it replays");
        assert_eq!(pace(&store).await, 1, "round {round}");
        let claimed = store.claim_one().await;
        id = store.fail(&claimed, Fault::transient("503 from api.github").of("github.tree")).await;
    }
    let page = letter(&store, &id).await;
    assert_eq!((page.row.status.as_str(), page.row.replays), ("quarantined", 5));
    let board = store.board(Query::default()).await;
    assert_eq!((board.counts.letters.0, board.counts.quarantined.0, board.letter_groups.len()), (0, 1, 0));
    let why = store.opened.store.act(&replay(&[&id])).await.expect_err("it is left alone").to_string();
    assert!(why.contains("letter already quarantined"), "{why}");
    let restore = || Command::Restore {
        letters: vec![Target { id: id.as_str().into(), seen: Some(page.row.version) }],
    };
    store.submit(restore()).await.expect("it is restored");
    assert_eq!(store.board(Query::default()).await.letter_groups[0].open, 1);
    let why = store.submit(restore()).await.expect_err("it is open").to_string();
    assert!(why.contains("only what was discarded or quarantined can be restored"), "{why}");
    store.opened.store.act(&replay(&[&id])).await.expect("and can be replayed");
}

async fn what_is_discarded_is_kept_and_can_be_restored(store: TestStore) {
    let failed = failures(&store, 2).await;
    let of = |id: &str| vec![Target { id: id.into(), seen: None }];
    let receipt =
        store.submit(Command::Discard { letters: of(&failed[0].1) }).await.expect("it is discarded");
    assert_eq!((receipt.kind.as_str(), receipt.applied()), ("discard", 1));
    let board = store.board(Query::default()).await;
    assert_eq!((board.counts.letters.0, board.counts.discarded.0, board.letter_groups[0].open), (1, 1, 1));
    assert_eq!(board.counts.failed.0, 2, "its onboarding stays failed");
    let page = letter(&store, &failed[0].1).await;
    assert_eq!((page.row.status.as_str(), page.history.len()), ("discarded", 1));
    assert_eq!(page.row.last_action.expect("an action").to_string(), "discarded by ana at 12:00:00 UTC");
    assert!(store.opened.store.act(&replay(&[&failed[0].1])).await.is_err());
    assert!(store.submit(Command::Discard { letters: of(&failed[0].1) }).await.is_err());
    store.submit(Command::Restore { letters: of(&failed[0].1) }).await.expect("it is restored");
    assert_eq!(store.board(Query::default()).await.counts.letters.0, 2);
    store.submit(Command::Discard { letters: of(&failed[1].1) }).await.expect("it is discarded");
    store.resume(&failed[1].0, None).await.expect("its onboarding goes on");
    assert_eq!(letter(&store, &failed[1].1).await.row.outcome.map(|o| o.as_str()), Some("resumed"));
}

async fn a_replay_that_succeeds_closes_its_letter(store: TestStore) {
    let (_, id) = store.failed("ledger").await;
    store.opened.store.act(&replay(&[&id])).await.expect("it replays");
    pace(&store).await;
    let claimed = store.claim_one().await;
    let retry = StepOutcome::Retry {
        fault: Fault::transient("503"),
        delay: Duration::ZERO,
        reason: "transient".into(),
    };
    assert_eq!(store.record(&claimed, retry).await, Ok(Recorded::Released));
    assert_eq!(letter(&store, &id).await.row.status.as_str(), "replaying", "waiting is not failing");
    let claimed = store.claim_one().await;
    store.record(&claimed, StepOutcome::Completed { done: done() }).await.expect("it completes");
    let page = letter(&store, &id).await;
    assert_eq!(
        (page.row.status.as_str(), page.row.outcome.map(|o| o.as_str())),
        ("closed", Some("succeeded"))
    );
    assert_eq!((page.row.replays, page.replays[0].outcome.as_str()), (1, "succeeded"));
    assert_eq!(page.audit[0].kind.as_str(), "replay");
    let row = &store.board(Query::default()).await.replays[0];
    assert_eq!((row.succeeded, row.failed_again, row.waiting), (1, 0, 0));
    assert_ne!(store.cell("SELECT ended_at FROM redrive_replays").await, "NULL");
}

async fn a_replay_that_fails_again_leaves_a_new_letter(store: TestStore) {
    let (_, old) = store.failed("ledger").await;
    store.opened.store.act(&replay(&[&old])).await.expect("it replays");
    pace(&store).await;
    let claimed = store.claim_one().await;
    let new = store.fail(&claimed, Fault::permanent("422 invalid").of("github.tree")).await;
    let (old, new) = (letter(&store, &old).await, letter(&store, &new).await);
    assert_eq!(
        (old.row.status.as_str(), old.row.outcome.map(|o| o.as_str())),
        ("closed", Some("failed_again"))
    );
    assert_eq!(old.replays[0].became.as_ref(), Some(&new.row.id));
    assert_eq!(
        (old.audit.len(), &new.audit),
        (1, &old.audit),
        "it stands at both what made one of the other"
    );
    assert_eq!((new.row.status.as_str(), new.row.replays), ("open", 1));
    assert_eq!(new.history.len(), 2, "the whole history, earlier attempts too");
    assert_eq!(store.board(Query::default()).await.replays[0].failed_again, 1);
}

async fn two_operators_at_the_same_moment_apply_once(store: TestStore) {
    for round in 0..6 {
        let (_, id) = store.failed(&format!("repo-{round}")).await;
        let mut acting = JoinSet::new();
        for operator in ["ana", "ben"] {
            let handle = store.again().await;
            let submission = Submission { asker: Asker::Operator(operator.to_owned()), ..replay(&[&id]) };
            acting.spawn(async move { (operator, handle.store.act(&submission).await) });
        }
        let answers = acting.join_all().await;
        let winner: Vec<_> = answers.iter().filter(|(_, a)| a.is_ok()).map(|(who, _)| *who).collect();
        assert_eq!(winner.len(), 1, "{answers:?}");
        let refused = answers.iter().find_map(|(_, a)| a.as_ref().err()).expect("one was refused");
        let Refusal::Nothing(outcomes) = refused else { panic!("left out, not {refused:?}") };
        match &outcomes[0].left_out {
            Some(LeftOut::Letter { last: Some(last), .. }) => {
                assert_eq!((last.operator.as_str(), last.at), (winner[0], noon()));
                assert!(
                    refused.to_string().contains(&format!("replayed by {} at 12:00:00 UTC", winner[0])),
                    "{refused}"
                );
            }
            other => panic!("the letter was taken, not {other:?}"),
        }
        assert_eq!(pace(&store).await, 1);
        let taken = store.claim("worker-a", 10).await;
        assert_eq!(taken.len(), 1);
        store.record(&taken[0], StepOutcome::Completed { done: done() }).await.expect("it completes");
    }
    assert_eq!(store.cell("SELECT count(*) FROM redrive_replays").await, "6");
}

async fn two_letters_of_one_onboarding_are_replayed_once(store: TestStore) {
    let (onboarding, id) = store.failed("ledger").await;
    let columns = "tenant_id, repo_url, state, error, error_class, error_fingerprint, reason, status, request, history, created_at";
    store
        .sql(&format!(
            "INSERT INTO redrive_dead_letters (id, onboarding_id, {columns}) SELECT 'twin', onboarding_id, {columns} FROM redrive_dead_letters; \
             UPDATE redrive_letter_groups SET open = 2"
        ))
        .await;
    let receipt = store.opened.store.act(&replay(&[&id, "twin"])).await.expect("it replays");
    assert_eq!(receipt.outcomes[1].left_out, Some(LeftOut::InProgress { owner: None }));
    pace(&store).await;
    let claimed = store.claim_one().await;
    assert_eq!(claimed.lease.onboarding, onboarding);
    store.record(&claimed, StepOutcome::Completed { done: done() }).await.expect("it completes");
    assert_eq!(letter(&store, "twin").await.row.outcome.map(|o| o.as_str()), Some("resumed"));
    assert!(store.board(Query::default()).await.letter_groups.is_empty());
}

async fn a_roll_back_skips_what_was_still_waiting(store: TestStore) {
    let (onboarding, id) = store.failed("ledger").await;
    store.opened.store.act(&replay(&[&id])).await.expect("it replays");
    store.roll_back(&onboarding, None).await.expect("it rolls back");
    let page = letter(&store, &id).await;
    assert_eq!(
        (page.row.outcome.map(|o| o.as_str()), page.replays[0].outcome.as_str()),
        (Some("rolled_back"), "skipped")
    );
    assert_eq!(store.board(Query::default()).await.replays[0].waiting, 0);
    assert_ne!(store.cell("SELECT ended_at FROM redrive_replays").await, "NULL");
}

async fn counters_of_groups_never_drift(store: TestStore) {
    let mut open = HashSet::new();
    for n in 0..6 {
        let id = store.trigger(&format!("repo-{n}")).await;
        let claimed = store.claim_one().await;
        let fault = Fault::transient(if n % 2 == 0 { "503 here" } else { "timeout there" });
        open.insert((id, store.fail(&claimed, fault).await));
    }
    for (n, (onboarding, id)) in open.into_iter().enumerate() {
        match n % 3 {
            0 => {
                store.opened.store.act(&replay(&[&id])).await.expect("it replays");
                pace(&store).await;
            }
            1 => drop(store.resume(&onboarding, None).await.expect("it resumes")),
            _ => drop(store.roll_back(&onboarding, None).await.expect("it rolls back")),
        }
        for claimed in store.claim("worker-a", 10).await {
            let outcome = match claimed.direction {
                redrive::engine::store::Direction::Back => StepOutcome::RolledBack { writes: vec![] },
                redrive::engine::store::Direction::Forward if n < 3 => {
                    StepOutcome::Completed { done: done() }
                }
                redrive::engine::store::Direction::Forward => {
                    store.fail(&claimed, Fault::transient("503 here")).await;
                    continue;
                }
            };
            assert_eq!(store.record(&claimed, outcome).await, Ok(Recorded::Released));
        }
    }
    let kept = store
        .column("SELECT error_fingerprint || ' ' || open || ' ' || replaying FROM redrive_letter_groups ORDER BY 1")
        .await;
    let counted = "SELECT g.error_fingerprint || ' ' || \
        (SELECT count(*) FROM redrive_dead_letters l WHERE l.error_fingerprint = g.error_fingerprint AND l.status = 'open') || ' ' || \
        (SELECT count(*) FROM redrive_dead_letters l WHERE l.error_fingerprint = g.error_fingerprint AND l.status = 'replaying') \
        FROM redrive_letter_groups g ORDER BY 1";
    assert_eq!(kept, store.column(counted).await);
}
