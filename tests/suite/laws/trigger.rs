//! Triggering twice gives the same onboarding, however it stands.

use std::{collections::HashSet, time::Duration};

use redrive::{
    domain::onboarding::{Request, TriggerStatus},
    engine::{
        command::{Command, TriggerAnswer},
        store::{Recorded, StepOutcome},
    },
};
use tokio::task::JoinSet;

use crate::support::stores::{TestStore, done, request, submission};

laws!(
    a_first_trigger_begins_and_a_second_finds_it,
    sixteen_at_once_begin_one,
    a_completed_one_is_answered_with_its_entities,
    a_failed_one_cools_down_then_resumes_where_it_failed,
    after_a_roll_back_it_begins_anew,
    a_roll_back_must_be_finished_first,
    others_rows_stand_for_the_request_too,
    a_fingerprint_alone_is_not_enough,
    nothing_is_audited_when_nothing_changed,
);

async fn ask(store: &TestStore, request: Request) -> TriggerAnswer {
    let receipt = store.submit(Command::Trigger { request }).await.expect("a trigger is answered");
    receipt.triggered.expect("a trigger's answer")
}

async fn a_first_trigger_begins_and_a_second_finds_it(store: TestStore) {
    let first = ask(&store, request("ledger")).await;
    assert_eq!(first.status, TriggerStatus::Started);
    assert_eq!(first.current_state.as_ref().map(|s| s.as_str()), Some("RECEIVED"));
    let second = ask(&store, request("ledger")).await;
    assert_eq!((second.status, &second.onboarding_id), (TriggerStatus::InProgress, &first.onboarding_id));
    assert_eq!(store.cell("SELECT count(*) FROM onboarding_history").await, "1");
    let stored = store.cell("SELECT fingerprint FROM onboarding_history").await;
    assert_eq!(stored, request("ledger").fingerprint());
}

async fn sixteen_at_once_begin_one(store: TestStore) {
    let handles = [store.again().await, store.again().await, store.again().await, store.again().await];
    let mut asking = JoinSet::new();
    for n in 0..16 {
        let handle = handles[n % 4].store.clone();
        asking.spawn(async move {
            let receipt = handle.act(&submission(Command::Trigger { request: request("ledger") })).await;
            receipt.expect("a trigger is answered").triggered.expect("a trigger's answer")
        });
    }
    let answers = asking.join_all().await;
    let started = answers.iter().filter(|a| a.status == TriggerStatus::Started).count();
    assert_eq!(started, 1, "{answers:?}");
    assert_eq!(answers.iter().map(|a| &a.onboarding_id).collect::<HashSet<_>>().len(), 1);
    assert_eq!(store.cell("SELECT count(*) FROM onboarding_history").await, "1");
    assert_eq!(store.cell("SELECT count(*) FROM redrive_work").await, "1");
}

async fn a_completed_one_is_answered_with_its_entities(store: TestStore) {
    let id = store.trigger("ledger").await;
    let claimed = store.claim_one().await;
    assert_eq!(store.record(&claimed, StepOutcome::Completed { done: done() }).await, Ok(Recorded::Released));
    store.sql("UPDATE onboarding_history SET entities_created = '[\"e-1\"]'").await;
    let answer = ask(&store, request("ledger")).await;
    assert_eq!((answer.status, answer.onboarding_id), (TriggerStatus::AlreadyCompleted, id));
    assert_eq!(answer.entities, ["e-1"]);
}

async fn a_failed_one_cools_down_then_resumes_where_it_failed(store: TestStore) {
    let (id, _) = store.failed("ledger").await;
    store.time.advance(Duration::from_secs(3_599));
    let early = ask(&store, request("ledger")).await;
    assert_eq!((early.status, &early.onboarding_id), (TriggerStatus::CoolingDown, &id));
    let failed_at = crate::support::stores::noon();
    assert_eq!(early.retry_at, Some(failed_at + Duration::from_secs(3_600)));
    store.time.advance(Duration::from_secs(2));
    let late = ask(&store, request("ledger")).await;
    assert_eq!((late.status, &late.onboarding_id), (TriggerStatus::Resumed, &id));
    assert_eq!(store.claim_one().await.attempt, 1, "resuming grants fresh attempts");
}

async fn after_a_roll_back_it_begins_anew(store: TestStore) {
    let (id, _) = store.failed("ledger").await;
    store.roll_back(&id, None).await.expect("it rolls back");
    let claimed = store.claim_one().await;
    let outcome = StepOutcome::RolledBack { writes: Vec::new() };
    assert_eq!(store.record(&claimed, outcome).await, Ok(Recorded::Released));
    let answer = ask(&store, request("ledger")).await;
    assert_eq!(answer.status, TriggerStatus::Started);
    assert_ne!(answer.onboarding_id, id);
}

async fn a_roll_back_must_be_finished_first(store: TestStore) {
    let (id, _) = store.failed("ledger").await;
    store.roll_back(&id, None).await.expect("it rolls back");
    let running = ask(&store, request("ledger")).await;
    assert_eq!((running.status, &running.onboarding_id), (TriggerStatus::InProgress, &id));
    let claimed = store.claim_one().await;
    let outcome = StepOutcome::Stuck { reason: "stuck: 1 of 2 compensations undone".to_owned() };
    assert_eq!(store.record(&claimed, outcome).await, Ok(Recorded::Released));
    store.time.advance(Duration::from_secs(7_200));
    let stuck = ask(&store, request("ledger")).await;
    assert_eq!((stuck.status, &stuck.onboarding_id), (TriggerStatus::InProgress, &id));
    assert!(stuck.message.contains("roll-back stands"), "{}", stuck.message);
}

async fn others_rows_stand_for_the_request_too(store: TestStore) {
    let fingerprint = request("ledger").fingerprint();
    let insert = format!(
        "INSERT INTO onboarding_history (id, tenant_id, repo_url, fingerprint, status, current_state, created_at) \
         VALUES ('theirs', 'acme', 'https://github.com/acme/ledger', '{fingerprint}', 'in_progress', 'EXTRACTING', '2026-03-01 11:00:00+00')"
    );
    store.sql(&insert).await;
    let answer = ask(&store, request("ledger")).await;
    assert_eq!((answer.status, answer.onboarding_id.as_str()), (TriggerStatus::InProgress, "theirs"));
    assert_eq!(answer.current_state.as_ref().map(|s| s.as_str()), Some("EXTRACTING"));
    assert!(
        store.try_sql(&insert.replace("'theirs'", "'second'")).await.is_err(),
        "one stands for a request"
    );
}

async fn a_fingerprint_alone_is_not_enough(store: TestStore) {
    let (a, b) = (
        Request { tenant_id: "t:https://h/o/r".into(), repo_url: "x".into(), workspace_id: None },
        Request { tenant_id: "t".into(), repo_url: "https://h/o/r:x".into(), workspace_id: None },
    );
    assert_eq!(a.fingerprint(), b.fingerprint(), "the parts hide their seam");
    let (a, b) = (ask(&store, a).await, ask(&store, b).await);
    assert_eq!((a.status, b.status), (TriggerStatus::Started, TriggerStatus::Started));
    assert_ne!(a.onboarding_id, b.onboarding_id);
}

async fn nothing_is_audited_when_nothing_changed(store: TestStore) {
    ask(&store, request("ledger")).await;
    ask(&store, request("ledger")).await;
    assert_eq!(store.cell("SELECT count(*) FROM redrive_operator_actions").await, "1");
}
