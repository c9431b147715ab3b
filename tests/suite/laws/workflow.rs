//! Rows of other workflows than the pipeline: how they begin, what stands for what, and who holds them back.

use std::{collections::HashSet, time::Duration};

use redrive::{
    domain::{
        fault::Fault,
        onboarding::{Request, TriggerStatus},
    },
    engine::{
        Access, Engine,
        command::{Command, Pace, Target, TriggerAnswer},
    },
};
use serde_json::json;

use crate::support::stores::{TestStore, request, submission};

laws!(
    a_row_begins_with_its_workflows_name_version_state_and_input,
    one_row_stands_for_workflow_tenant_and_subject,
    what_no_workflow_can_begin_with_is_refused_in_words,
    a_paused_workflow_holds_its_own_replays_and_no_others,
    what_a_workflow_held_back_comes_back_at_a_pace_and_the_rest_is_left_alone,
);

async fn ask(store: &TestStore, command: Command) -> TriggerAnswer {
    let receipt = store.submit(command).await.expect("it is taken");
    receipt.triggered.expect("it is answered as a trigger is")
}

/// As [`Command::begin`] makes it.
fn begin(workflow: &str, tenant: &str, subject: &str) -> Command {
    Command::Begin {
        workflow: workflow.to_owned(),
        version: 3,
        state: "RESERVING".into(),
        request: Request::about(tenant, subject),
        input: json!({ "pieces": 2 }),
    }
}

async fn a_row_begins_with_its_workflows_name_version_state_and_input(store: TestStore) {
    let answer = ask(&store, begin("order", "acme", "order-7")).await;
    assert_eq!((answer.status, answer.message.as_str()), (TriggerStatus::Started, "order started"));
    let claimed = store.claim_one().await;
    assert_eq!((claimed.workflow.as_str(), claimed.workflow_version), ("order", 3));
    assert_eq!((claimed.state.as_str(), claimed.context), ("RESERVING", json!({ "pieces": 2 })));
    assert_eq!((claimed.request.tenant_id.as_str(), claimed.request.subject()), ("acme", "order-7"));
}

async fn one_row_stands_for_workflow_tenant_and_subject(store: TestStore) {
    let (url, mut ids) = (request("ledger").repo_url, HashSet::new());
    for (workflow, tenant, subject) in [
        ("order", "acme", &*url),
        ("refund", "acme", &*url),
        ("order", "zeta", &*url),
        ("order", "acme", "s"),
    ] {
        let first = ask(&store, begin(workflow, tenant, subject)).await;
        let again = ask(&store, begin(workflow, tenant, subject)).await;
        assert_eq!((first.status, again.status), (TriggerStatus::Started, TriggerStatus::InProgress));
        assert_eq!(first.onboarding_id, again.onboarding_id);
        ids.insert(first.onboarding_id);
    }
    let onboarding = ask(&store, Command::Trigger { request: request("ledger") }).await;
    assert_eq!(onboarding.status, TriggerStatus::Started, "the pipeline's row is another");
    ids.insert(onboarding.onboarding_id.clone());
    assert_eq!(ids.len(), 5);
    let fingerprint =
        format!("SELECT fingerprint FROM onboarding_history WHERE id = '{}'", onboarding.onboarding_id);
    // Of `acme:https://github.com/acme/ledger:no-workspace`: other services compute it too.
    assert_eq!(
        store.cell(&fingerprint).await,
        "24c0ec4ee8bdb1b658267eae617d8fdaa5b51630c0f8077a0e828722cc38bcc0"
    );
}

async fn what_no_workflow_can_begin_with_is_refused_in_words(store: TestStore) {
    let engine = Engine::new(store.opened.store.clone(), store.opened.reader.clone(), Access::ReadWrite);
    for (command, said) in [
        (
            begin("onboarding", "acme", "s"),
            "its name is onboarding, which is begun by a trigger: choose another",
        ),
        (
            begin("order", " ", "s"),
            "the tenant is empty: give between 1 and 200 characters, none of them control characters",
        ),
        (
            begin("order", "acme", "a\nb"),
            "the subject is holding control characters: give between 1 and 400 characters, none of them control \
             characters",
        ),
    ] {
        let refused = engine.submit(&submission(command)).await.expect_err(said);
        assert_eq!(refused.to_string(), format!("cannot begin a workflow: {said}"));
    }
    assert_eq!(store.cell("SELECT count(*) FROM onboarding_history").await, "0");
}

async fn pause(store: &TestStore, operation: &str) {
    let operation = Target { id: operation.into(), seen: None };
    store.submit(Command::Pause { operation, seconds: None }).await.expect("it is paused");
}

async fn unpause(store: &TestStore, operation: &str) {
    let operation = Target { id: operation.into(), seen: None };
    store.submit(Command::Unpause { operation }).await.expect("it goes on");
}

async fn a_paused_workflow_holds_its_own_replays_and_no_others(store: TestStore) {
    ask(&store, begin("order", "acme", "order-7")).await;
    let claimed = store.claim_one().await;
    // While it runs, the workflow is known by that.
    pause(&store, "order").await;
    pause(&store, "onboarding").await;
    let letter = store.fail(&claimed, Fault::transient("503 from the bank").of("card.charge")).await;
    let letters = vec![Target { id: letter.as_str().into(), seen: None }];
    store.submit(Command::Replay { letters, pace: Pace::default() }).await.expect("it is replayed");
    assert_eq!(store.opened.store.pace_replays().await, Ok(0));
    assert_eq!(store.cell("SELECT held_by FROM replays").await, "order");
    unpause(&store, "order").await;
    assert_eq!(store.opened.store.pace_replays().await, Ok(1), "the pipeline's pause is not its own");
    store.claim_one().await;
}

async fn what_a_workflow_held_back_comes_back_at_a_pace_and_the_rest_is_left_alone(store: TestStore) {
    for subject in ["order-1", "order-2", "order-3"] {
        ask(&store, begin("order", "acme", subject)).await;
    }
    pause(&store, "order").await;
    let onboarding = store.trigger("ledger").await;
    assert_eq!(store.claim_one().await.lease.onboarding, onboarding);
    store.trigger("payments").await;
    unpause(&store, "order").await;
    let due = store.claim("worker-a", 10).await;
    assert_eq!(due.len(), 2, "the first order and what was due beside it");
    store.time.advance(Duration::from_secs(1));
    assert_eq!(store.claim("worker-a", 10).await.len(), 2);
}
