//! Steps: one commit a state, compensations before their effects, letters with the whole story.

use std::time::Duration;

use redrive::{
    domain::{attempt::CompensationStatus, fault::Fault, letter::LetterReason, onboarding::Phase},
    engine::{
        key::KeyIntent,
        reader::{Detail, Page, Query},
        store::{Conflict, Intent, Opening, Recorded, Settled, StepDone, StepOutcome, StepRecord},
    },
};
use serde_json::{Value, json};

use crate::support::stores::{LEASE, TestStore, advanced, done, noon, parked};

laws!(
    one_commit_records_a_state_and_opens_the_next,
    a_state_that_cannot_open_the_next_is_not_recorded,
    opening_twice_writes_once,
    an_effect_that_was_not_ours_is_not_undone,
    a_retry_waits_and_counts,
    parking_and_handing_back_spend_no_attempt,
    a_letter_holds_the_request_the_key_and_every_attempt,
    a_permanent_error_is_stored_under_its_key_until_resumed,
    hostile_text_is_recorded,
    many_records_share_a_transaction_and_fail_alone,
    compensations_end_one_by_one_under_one_lease,
    what_another_relies_on_is_left_to_it_and_undone_by_the_last,
    a_failed_try_to_undo_is_counted_and_tried_again,
);

fn intent(name: &str) -> Intent {
    Intent::new("github.delete_hook", name, json!({"url": "u"}))
}

fn key(client_key: &str, operation: &str) -> KeyIntent {
    KeyIntent {
        key: format!("{operation}/{client_key}").into(),
        operation: operation.into(),
        client_key: client_key.into(),
        request_hash: "ab".repeat(32),
    }
}

async fn one_commit_records_a_state_and_opens_the_next(store: TestStore) {
    let id = store.trigger("ledger").await;
    let claimed = store.claim_one().await;
    let finished = StepDone {
        context: json!({"tree": ["a.tf"], "bad\0key": "\0"}),
        subtasks: vec!["entity:Component:ledger".into(), "entity:Component:ledger".into()],
        ..StepDone::default()
    };
    let opening = Opening { intents: vec![intent("hook")], keys: vec![key("k", "github.create_hook")] };
    let outcome =
        StepOutcome::Advanced { done: finished, next: "CONFIGURING_SYNC".into(), opens: Some(opening) };
    store.time.advance(Duration::from_secs(20));
    assert_eq!(store.record(&claimed, outcome).await, Ok(Recorded::GoOn));
    let page = store.page(&id).await;
    assert_eq!(page.row.current_state.as_ref().map(|s| s.as_str()), Some("CONFIGURING_SYNC"));
    assert_eq!((page.row.phase, page.row.attempt), (Some(Phase::Running), 1));
    assert_eq!(page.row.lease_until, Some(noon() + Duration::from_secs(20) + LEASE), "the lease was renewed");
    let context = store.cell("SELECT context FROM onboarding_state").await;
    assert_eq!(serde_json::from_str::<Value>(&context).expect("JSON")["tree"], json!(["a.tf"]));
    assert_eq!(page.subtasks.len(), 1);
    let attempts: Vec<_> =
        page.attempts.iter().map(|a| (a.state.as_str(), a.attempt, a.outcome.map(|o| o.as_str()))).collect();
    assert_eq!(attempts, [("RECEIVED", 1, Some("succeeded")), ("CONFIGURING_SYNC", 1, None)]);
    assert_eq!(page.compensations[0].status, CompensationStatus::Recorded, "before the effect");
    assert_eq!((page.keys[0].status.as_str(), page.keys[0].attempts), ("STARTED", 1));
    assert_eq!(store.cell("SELECT checkpoint FROM onboarding_state").await, "CONFIGURING_SYNC");
    let moved = "SELECT count(*) FROM onboarding_state WHERE last_checkpoint = updated_at";
    assert_eq!(store.cell(moved).await, "1");
}

async fn a_state_that_cannot_open_the_next_is_not_recorded(store: TestStore) {
    let id = store.trigger("ledger").await;
    let claimed = store.claim_one().await;
    store.sql(match store.is_sqlite() {
        true => "CREATE TRIGGER deny BEFORE INSERT ON redrive_compensations BEGIN SELECT RAISE(ABORT, 'full'); END",
        false => "CREATE FUNCTION deny() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''full''; END'; \
                  CREATE TRIGGER deny BEFORE INSERT ON redrive_compensations FOR EACH ROW EXECUTE FUNCTION deny()",
    }).await;
    let before = store.everything().await;
    let outcome = advanced("CONFIGURING_SYNC", Opening { intents: vec![intent("hook")], keys: vec![] });
    let record =
        StepRecord { lease: claimed.lease.clone(), state: claimed.state.clone(), attempt: 1, outcome };
    assert!(store.opened.store.record(&[record], LEASE).await.is_err());
    assert_eq!(store.everything().await, before);
    assert_eq!(store.page(&id).await.row.current_state.as_ref().map(|s| s.as_str()), Some("RECEIVED"));
}

async fn opening_twice_writes_once(store: TestStore) {
    store.trigger("ledger").await;
    let claimed = store.claim_one().await;
    let opening = Opening {
        intents: vec![intent("hook"), intent("notification")],
        keys: vec![key("k", "github.create_hook")],
    };
    for _ in 0..2 {
        let opened = store.opened.store.open(&claimed.lease, &claimed.state, &opening).await;
        assert_eq!(opened.expect("it opens"), Ok(()));
    }
    assert_eq!(
        store.column("SELECT name FROM redrive_compensations ORDER BY seq").await,
        ["hook", "notification"]
    );
    assert_eq!(store.cell("SELECT attempts FROM idempotency_keys").await, "1");
}

async fn an_effect_that_was_not_ours_is_not_undone(store: TestStore) {
    let id = store.trigger("ledger").await;
    let claimed = store.claim_one().await;
    let opening = Opening { intents: vec![intent("hook"), intent("notification")], keys: vec![] };
    store.opened.store.open(&claimed.lease, &claimed.state, &opening).await.expect("it opens").expect("held");
    let settled = |name: &str, status| Settled { name: name.into(), args: json!({"id": 7}), status };
    let finished = StepDone {
        settled: vec![
            settled("hook", CompensationStatus::Recorded),
            settled("notification", CompensationStatus::NothingToUndo),
        ],
        ..done()
    };
    store.record(&claimed, StepOutcome::Completed { done: finished }).await.expect("it completes");
    store.roll_back(&id, None).await.expect("it rolls back");
    let back = store.claim_one().await;
    let statuses: Vec<_> = back.compensations.iter().map(|c| (c.seq, c.status, c.args.clone())).collect();
    assert_eq!(
        statuses,
        [
            (1, CompensationStatus::Recorded, json!({"id": 7})),
            (2, CompensationStatus::NothingToUndo, json!({"id": 7}))
        ]
    );
}

async fn a_retry_waits_and_counts(store: TestStore) {
    let id = store.trigger("ledger").await;
    let claimed = store.claim_one().await;
    let opening = Opening { intents: vec![], keys: vec![key("k", "github.tree")] };
    store.opened.store.open(&claimed.lease, &claimed.state, &opening).await.expect("it opens").expect("held");
    let delay = Duration::from_millis(1_500);
    let outcome = StepOutcome::Retry {
        fault: Fault::transient("503").of("github.tree"),
        delay,
        reason: "transient: attempt 1 of 3".into(),
    };
    assert_eq!(store.record(&claimed, outcome).await, Ok(Recorded::Released));
    let page = store.page(&id).await;
    assert_eq!((page.row.phase, page.row.run_at), (Some(Phase::Waiting), Some(noon() + delay)));
    assert_eq!(page.row.error.as_ref().map(|e| e.as_str()), Some("503"));
    assert_eq!(
        (page.attempts[0].delay_seconds, page.attempts[0].reason.as_deref()),
        (Some(1.5), Some("transient: attempt 1 of 3"))
    );
    assert_eq!(page.keys[0].phase.map(|p| p.as_str()), Some("freed"), "a transient failure frees the key");
    store.time.advance(delay - Duration::from_millis(1));
    assert!(store.claim("worker-a", 1).await.is_empty());
    store.time.advance(Duration::from_millis(1));
    let again = store.claim_one().await;
    assert_eq!((again.attempt, again.lost), (2, 0));
    let key = &store.page(&id).await.keys[0];
    assert_eq!((key.status.as_str(), key.attempts), ("STARTED", 2), "and the next attempt takes it again");
}

async fn parking_and_handing_back_spend_no_attempt(store: TestStore) {
    let id = store.trigger("ledger").await;
    let claimed = store.claim_one().await;
    let waits = parked("github.tree", Duration::from_secs(5));
    assert_eq!(store.record(&claimed, waits).await, Ok(Recorded::Released));
    let board = store.board(Query::default()).await;
    assert_eq!((board.counts.parked.0, board.counts.in_progress.0), (1, 0));
    let row = store.page(&id).await.row;
    assert_eq!(
        (row.phase, row.parked_by.as_ref().map(|p| p.as_str())),
        (Some(Phase::Parked), Some("github.tree"))
    );
    store.time.advance(Duration::from_secs(5));
    let again = store.claim_one().await;
    assert_eq!(again.attempt, 1);
    assert_eq!(store.record(&again, StepOutcome::HandedBack).await, Ok(Recorded::Released));
    assert_eq!(store.claim_one().await.attempt, 1);
}

async fn a_letter_holds_the_request_the_key_and_every_attempt(store: TestStore) {
    let id = store.trigger("ledger").await;
    let claimed = store.claim_one().await;
    let opening = Opening {
        intents: vec![],
        keys: vec![key("k", "github.create_hook"), key("n", "tfc.create_notification")],
    };
    store.opened.store.open(&claimed.lease, &claimed.state, &opening).await.expect("it opens").expect("held");
    let fault = Fault::transient("503 from api.github").of("github.create_hook");
    let retry =
        StepOutcome::Retry { fault: fault.clone(), delay: Duration::ZERO, reason: "transient".into() };
    store.record(&claimed, retry).await.expect("it records");
    let claimed = store.claim_one().await;
    let letter = store.fail(&claimed, fault.clone()).await;
    let query = Query { detail: Some(Detail::Letter(letter.as_str().into())), ..Query::default() };
    let Some(Page::Letter(page)) = store.board(query).await.page else { panic!("the letter has a page") };
    assert_eq!(page.row.onboarding, id);
    assert_eq!(page.row.error_fingerprint, fault.fingerprint());
    assert_eq!((page.row.reason, page.row.status.as_str()), (LetterReason::Exhausted, "open"));
    assert_eq!(
        page.key.as_ref().map(|k| k.as_str()),
        Some("github.create_hook/k"),
        "of the call that failed"
    );
    assert_eq!(
        page.request,
        json!({"tenantId": "acme", "repoUrl": "https://github.com/acme/ledger", "workspaceId": null})
    );
    let history: Vec<_> = page.history.iter().map(|a| (a.attempt, a.error.as_deref())).collect();
    assert_eq!(history, [(1, Some("503 from api.github")), (2, Some("503 from api.github"))]);
    let keys = store.column("SELECT status || ' ' || phase FROM idempotency_keys ORDER BY key").await;
    assert_eq!(keys, ["FAILED freed", "FAILED freed"]);
}

async fn a_permanent_error_is_stored_under_its_key_until_resumed(store: TestStore) {
    let id = store.trigger("ledger").await;
    let claimed = store.claim_one().await;
    let opening = Opening {
        intents: vec![],
        keys: vec![key("k", "github.create_hook"), key("n", "tfc.create_notification")],
    };
    store.opened.store.open(&claimed.lease, &claimed.state, &opening).await.expect("it opens").expect("held");
    let mut fault = Fault::permanent("422 invalid workspace").of("tfc.create_notification");
    fault.http_status = Some(422);
    let outcome = StepOutcome::Failed {
        fault,
        letter: LetterReason::Permanent,
        reason: "permanent".into(),
        letter_id: "letter-1".into(),
    };
    assert_eq!(store.record(&claimed, outcome).await, Ok(Recorded::Released));
    let keys = "SELECT phase || ' ' || coalesce(response_code, 0) FROM idempotency_keys ORDER BY key";
    assert_eq!(store.column(keys).await, ["freed 0", "failed 422"]);
    store.resume(&id, None).await.expect("it resumes");
    assert_eq!(store.column(keys).await, ["freed 0", "freed 0"], "fresh attempts run again");
}

async fn hostile_text_is_recorded(store: TestStore) {
    let id = store.trigger("ledger").await;
    let claimed = store.claim_one().await;
    let opening = Opening {
        intents: vec![Intent::new("o\0", "n\0", json!({"\0": "\0"}))],
        keys: vec![key("k\0", "op\0")],
    };
    store.opened.store.open(&claimed.lease, &claimed.state, &opening).await.expect("it opens").expect("held");
    let message = format!("\u{1b}[2J\0 \u{202e} {}", "x".repeat(100_000));
    let letter = store.fail(&claimed, Fault::permanent(message).of("op\0")).await;
    let query = Query { detail: Some(Detail::Letter(letter.as_str().into())), ..Query::default() };
    let Some(Page::Letter(page)) = store.board(query).await.page else { panic!("the letter has a page") };
    assert!(page.history[0].error.as_ref().is_some_and(|e| e.len() > 100_000));
    assert!(!page.row.error.as_str().contains('\u{1b}'));
    assert_eq!(store.page(&id).await.row.phase, Some(Phase::Failed));
}

async fn many_records_share_a_transaction_and_fail_alone(store: TestStore) {
    for n in 0..5 {
        store.trigger(&format!("repo-{n}")).await;
    }
    let claimed = store.claim("worker-a", 10).await;
    let records: Vec<StepRecord> = claimed
        .iter()
        .enumerate()
        .map(|(n, claimed)| {
            let mut lease = claimed.lease.clone();
            if n == 2 {
                lease.id = "of-another".into();
            }
            let outcome = advanced("VALIDATING", Opening::default());
            StepRecord { lease, state: claimed.state.clone(), attempt: claimed.attempt, outcome }
        })
        .collect();
    let answers = store.opened.store.record(&records, LEASE).await.expect("it records");
    let expected: Vec<_> =
        (0..5).map(|n| if n == 2 { Err(Conflict::Fenced) } else { Ok(Recorded::GoOn) }).collect();
    assert_eq!(answers, expected, "answered in the order given");
}

async fn compensations_end_one_by_one_under_one_lease(store: TestStore) {
    let id = store.trigger("ledger").await;
    let claimed = store.claim_one().await;
    let opening = Opening { intents: vec![intent("first"), intent("second")], keys: vec![] };
    store.opened.store.open(&claimed.lease, &claimed.state, &opening).await.expect("it opens").expect("held");
    store.fail(&claimed, Fault::permanent("422")).await;
    store.roll_back(&id, None).await.expect("it rolls back");
    let back = store.claim_one().await;
    let ended = |seq, status| StepOutcome::CompensationEnded { seq, status, fault: None, writes: vec![] };
    assert_eq!(store.record(&back, ended(2, CompensationStatus::Undone)).await, Ok(Recorded::GoOn));
    let failed = StepOutcome::CompensationEnded {
        seq: 1,
        status: CompensationStatus::Failed,
        fault: Some(Fault::permanent("403")),
        writes: vec![],
    };
    assert_eq!(store.record(&back, failed).await, Ok(Recorded::GoOn));
    let stuck = StepOutcome::Stuck { reason: "stuck: 1 of 2 compensations undone".into() };
    assert_eq!(store.record(&back, stuck).await, Ok(Recorded::Released));
    store.roll_back(&id, None).await.expect("it is taken up again");
    let again = store.claim_one().await;
    let statuses: Vec<_> = again.compensations.iter().map(|c| (c.seq, c.status, c.attempts)).collect();
    assert_eq!(statuses, [(1, CompensationStatus::Recorded, 0), (2, CompensationStatus::Undone, 1)]);
}

async fn what_another_relies_on_is_left_to_it_and_undone_by_the_last(store: TestStore) {
    let hook = || Intent::new("github.delete_hook", "hook", json!({"id": "7"})).on("acme/ledger");
    let opened = async |name: &str, status: CompensationStatus| {
        let id = store.trigger(name).await;
        let claimed = store.claim_one().await;
        let opening = Opening { intents: vec![hook()], keys: Vec::new() };
        let opened = store.opened.store.open(&claimed.lease, &claimed.state, &opening).await;
        assert_eq!(opened.expect("it opens"), Ok(()));
        let settled = vec![Settled { name: "hook".to_owned(), args: json!({"id": "7"}), status }];
        let outcome = StepOutcome::Completed { done: StepDone { settled, ..done() } };
        assert_eq!(store.record(&claimed, outcome).await, Ok(Recorded::Released));
        id
    };
    let maker = opened("maker", CompensationStatus::Recorded).await;
    let finder = opened("finder", CompensationStatus::NothingToUndo).await;
    store.roll_back(&maker, None).await.expect("it rolls back");
    let back = store.claim_one().await;
    assert_eq!(back.compensations[0].relied_on_by.as_ref(), Some(&finder));
    let left = StepOutcome::CompensationLeft { seq: 1, to: finder.clone() };
    assert_eq!(store.record(&back, left).await, Ok(Recorded::GoOn));
    let rolled_back = StepOutcome::RolledBack { writes: Vec::new() };
    assert_eq!(store.record(&back, rolled_back).await, Ok(Recorded::Released));
    store.roll_back(&finder, None).await.expect("it rolls back");
    let back = store.claim_one().await;
    let last = &back.compensations[0];
    assert_eq!(
        (last.status, last.relied_on_by.as_ref()),
        (CompensationStatus::Recorded, None),
        "it is its own now"
    );
}

async fn a_failed_try_to_undo_is_counted_and_tried_again(store: TestStore) {
    let id = store.trigger("ledger").await;
    let claimed = store.claim_one().await;
    let opening = Opening { intents: vec![intent("hook")], keys: vec![] };
    store.opened.store.open(&claimed.lease, &claimed.state, &opening).await.expect("it opens").expect("held");
    store.fail(&claimed, Fault::permanent("422")).await;
    store.roll_back(&id, None).await.expect("it rolls back");
    let back = store.claim_one().await;
    let retry = StepOutcome::CompensationRetry {
        seq: 1,
        fault: Fault::transient("503"),
        delay: Duration::from_secs(3),
    };
    assert_eq!(store.record(&back, retry).await, Ok(Recorded::Released));
    assert!(store.claim("worker-a", 1).await.is_empty());
    store.time.advance(Duration::from_secs(3));
    let again = store.claim_one().await;
    assert_eq!((again.attempt, again.compensations[0].attempts), (2, 1));
    assert_eq!(store.page(&id).await.row.phase, Some(Phase::RollingBack));
}
