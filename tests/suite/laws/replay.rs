//! Replays: paced, one at a time for a letter, and told to the end.

use std::{collections::HashSet, time::Duration};

use redrive::{
    domain::fault::Fault,
    engine::{
        command::{Asker, Command, LeftOut, Pace, Refusal, Submission, Target},
        reader::{Detail, LetterPage, Page, Query},
        store::{Recorded, StepOutcome},
    },
};
use tokio::task::JoinSet;

use crate::support::stores::{TestStore, done, noon, submission};

laws!(
    a_replay_resumes_its_onboardings_paced,
    a_replay_that_succeeds_closes_its_letter,
    a_replay_that_fails_again_leaves_a_new_letter,
    two_operators_at_the_same_moment_apply_once,
    two_letters_of_one_onboarding_are_replayed_once,
    a_roll_back_skips_what_was_still_waiting,
    counters_of_groups_never_drift,
);

fn replay(letters: &[&str]) -> Submission {
    let letters = letters.iter().map(|id| Target { id: (*id).into(), seen: None }).collect();
    submission(Command::Replay { letters, pace: Pace { per_second: 2.0 } })
}

async fn letter(store: &TestStore, id: &str) -> LetterPage {
    let query = Query { detail: Some(Detail::Letter(id.into())), ..Query::default() };
    match store.board(query).await.page {
        Some(Page::Letter(page)) => *page,
        other => panic!("{id} has a page, not {other:?}"),
    }
}

async fn a_replay_resumes_its_onboardings_paced(store: TestStore) {
    let mut letters = Vec::new();
    for name in ["one", "two", "three"] {
        letters.push(store.failed(name).await.1);
    }
    let ids: Vec<&str> = letters.iter().map(String::as_str).collect();
    let receipt =
        store.opened.store.act(&replay(&[ids[2], "nowhere", ids[0], ids[1]])).await.expect("it replays");
    assert_eq!(receipt.applied(), 3);
    assert_eq!(receipt.outcomes[1].left_out, Some(LeftOut::NotFound));
    let due = store.column("SELECT run_at FROM work ORDER BY run_at").await;
    let offsets = [0.0, 2.5, 3.0];
    for (due, offset) in due.iter().zip(offsets) {
        let expected = noon() + Duration::from_secs_f64(offset);
        let expected =
            expected.format(if store.is_sqlite() { "%Y-%m-%dT%H:%M:%S%.6f" } else { "%Y-%m-%d %H:%M:%S" });
        assert!(due.starts_with(&expected.to_string()), "{due} is {offset} s after noon");
    }
    assert_eq!(store.claim_one().await.replay, receipt.replay, "the canary alone");
    let board = store.board(Query::default()).await;
    assert_eq!((board.counts.letters.0, board.counts.replaying.0), (0, 3));
    assert_eq!((board.replays[0].total, board.replays[0].waiting), (3, 3));
    assert_eq!((board.letter_groups[0].open, board.letter_groups[0].replaying), (0, 3));
}

async fn a_replay_that_succeeds_closes_its_letter(store: TestStore) {
    let (_, id) = store.failed("ledger").await;
    store.opened.store.act(&replay(&[&id])).await.expect("it replays");
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
    assert_ne!(store.cell("SELECT ended_at FROM replays").await, "NULL");
}

async fn a_replay_that_fails_again_leaves_a_new_letter(store: TestStore) {
    let (_, old) = store.failed("ledger").await;
    store.opened.store.act(&replay(&[&old])).await.expect("it replays");
    let claimed = store.claim_one().await;
    let new = store.fail(&claimed, Fault::permanent("422 invalid").of("github.tree")).await;
    let (old, new) = (letter(&store, &old).await, letter(&store, &new).await);
    assert_eq!(
        (old.row.status.as_str(), old.row.outcome.map(|o| o.as_str())),
        ("closed", Some("failed_again"))
    );
    assert_eq!(old.replays[0].became.as_ref(), Some(&new.row.id));
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
        let taken = store.claim("worker-a", 10).await;
        assert_eq!(taken.len(), 1);
        store.record(&taken[0], StepOutcome::Completed { done: done() }).await.expect("it completes");
    }
    assert_eq!(store.cell("SELECT count(*) FROM replays").await, "6");
}

async fn two_letters_of_one_onboarding_are_replayed_once(store: TestStore) {
    let (onboarding, id) = store.failed("ledger").await;
    let columns = "tenant_id, repo_url, state, error, error_class, error_fingerprint, reason, status, request, history, created_at";
    store
        .sql(&format!(
            "INSERT INTO dead_letters (id, onboarding_id, {columns}) SELECT 'twin', onboarding_id, {columns} FROM dead_letters; \
             UPDATE letter_groups SET open = 2"
        ))
        .await;
    let receipt = store.opened.store.act(&replay(&[&id, "twin"])).await.expect("it replays");
    assert_eq!(receipt.outcomes[1].left_out, Some(LeftOut::InProgress { owner: None }));
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
    assert_ne!(store.cell("SELECT ended_at FROM replays").await, "NULL");
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
            0 => drop(store.opened.store.act(&replay(&[&id])).await.expect("it replays")),
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
        .column("SELECT error_fingerprint || ' ' || open || ' ' || replaying FROM letter_groups ORDER BY 1")
        .await;
    let counted = "SELECT g.error_fingerprint || ' ' || \
        (SELECT count(*) FROM dead_letters l WHERE l.error_fingerprint = g.error_fingerprint AND l.status = 'open') || ' ' || \
        (SELECT count(*) FROM dead_letters l WHERE l.error_fingerprint = g.error_fingerprint AND l.status = 'replaying') \
        FROM letter_groups g ORDER BY 1";
    assert_eq!(kept, store.column(counted).await);
}
