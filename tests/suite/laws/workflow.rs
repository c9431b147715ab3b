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
        runs::Runs,
        store::{Claimed, Heartbeat, StepOutcome},
    },
};
use serde_json::json;

use crate::support::stores::{LEASE, TestStore, advanced, anything, request, submission};

laws!(
    a_row_begins_with_its_workflows_name_version_state_and_input,
    one_row_stands_for_workflow_tenant_and_subject,
    what_no_workflow_can_begin_with_is_refused_in_words,
    a_paused_workflow_holds_its_own_replays_and_no_others,
    what_a_workflow_held_back_comes_back_at_a_pace_and_the_rest_is_left_alone,
    a_worker_claims_what_it_can_run_and_leaves_the_rest_untouched,
    what_a_newer_version_claimed_is_of_that_version_from_then_on,
    due_work_that_no_living_worker_can_run_is_told_on_the_board_and_on_its_page,
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
    assert_eq!(store.cell("SELECT held_by FROM redrive_replays").await, "order");
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

/// A worker that has `order` in these versions, and nothing else.
fn orders(versions: &[(i32, &[&str])]) -> Runs {
    versions.iter().fold(Runs::default(), |runs, (version, states)| {
        let states: Vec<_> = states.iter().map(|state| (*state).into()).collect();
        runs.and("order", *version, &states)
    })
}

async fn claim(store: &TestStore, runs: &Runs) -> Vec<Claimed> {
    store.opened.store.claim(&"worker-a".into(), runs, 10, LEASE).await.expect("it claims")
}

async fn a_worker_claims_what_it_can_run_and_leaves_the_rest_untouched(store: TestStore) {
    ask(&store, begin("order", "acme", "order-7")).await;
    ask(&store, begin("refund", "acme", "order-7")).await;
    let onboarding = store.trigger("ledger").await;
    store.sql(&format!("UPDATE onboarding_history SET workflow = NULL, workflow_version = NULL, revision = revision + 1 WHERE id = '{onboarding}'")).await;
    let (older, before) = (orders(&[(2, &["RESERVING"])]), store.everything().await);
    for lacks in [&older, &Runs::default()] {
        assert_eq!(claim(&store, lacks).await, []);
        assert_eq!(store.opened.store.next_due(lacks).await, Ok(None), "nor does it wake up for it");
        // Paused or not.
        pause(&store, "refund").await;
        assert_eq!(claim(&store, lacks).await, []);
        assert_eq!(store.opened.store.next_due(lacks).await, Ok(None));
        unpause(&store, "refund").await;
    }
    let rows = |all: &str| {
        all.lines()
            .filter(|l| !l.starts_with("redrive_operator_action"))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(rows(&store.everything().await), rows(&before));
    let taken = claim(&store, &orders(&[(3, &["RESERVING"])])).await;
    assert_eq!(taken.iter().map(|c| c.workflow.as_str()).collect::<Vec<_>>(), ["order"]);
    let pipeline = Runs::default().and("onboarding", 1, &[]);
    let taken = claim(&store, &pipeline).await;
    assert_eq!(
        taken.iter().map(|c| &c.lease.onboarding).collect::<Vec<_>>(),
        [&onboarding],
        "without a name it is the pipeline's"
    );
}

async fn what_a_newer_version_claimed_is_of_that_version_from_then_on(store: TestStore) {
    let id = ask(&store, begin("order", "acme", "order-7")).await.onboarding_id;
    let version = format!("SELECT workflow_version FROM onboarding_history WHERE id = '{id}'");
    let (old, new) = ((3, &["RESERVING", "SHIPPING"][..]), (4, &["RESERVING", "PACKING"][..]));
    let both = claim(&store, &orders(&[old, new])).await.pop().expect("it is due");
    assert_eq!((both.workflow_version, store.cell(&version).await.as_str()), (3, "3"), "its own goes before");
    store.record(&both, StepOutcome::HandedBack).await.expect("it records");
    let newer = claim(&store, &orders(&[new])).await.pop().expect("it is due again");
    assert_eq!((newer.workflow_version, store.cell(&version).await.as_str()), (4, "4"));
    store.record(&newer, advanced("PACKING", Default::default())).await.expect("it records");
    store.time.advance(LEASE);
    assert_eq!(claim(&store, &orders(&[old])).await, [], "the older one knows no such state");
    let taken_over = claim(&store, &orders(&[old, new])).await.pop().expect("it is due");
    assert_eq!((taken_over.workflow_version, taken_over.state.as_str()), (4, "PACKING"));
}

async fn due_work_that_no_living_worker_can_run_is_told_on_the_board_and_on_its_page(store: TestStore) {
    let id = ask(&store, begin("order", "acme", "order-7")).await.onboarding_id;
    ask(&store, begin("order", "acme", "order-8")).await;
    let fine = store.trigger("ledger").await;
    let told = || async {
        let board = store.board(Default::default()).await;
        board.unclaimed.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let reason = |id| {
        let page = store.page(id);
        async { page.await.row.error.map(|error| error.to_string()) }
    };
    assert_eq!(
        (told().await, reason(&id).await),
        (Vec::new(), None),
        "while no worker is alive that is the matter"
    );
    let beat = |worker: &str, runs: &Runs| Heartbeat {
        worker: worker.into(),
        metrics_url: None,
        running: 0,
        runs: runs.newest(),
        circuits: Vec::new(),
    };
    let older = orders(&[(2, &["RESERVING"])]).and("onboarding", 1, &[]);
    store.opened.store.beat(&beat("older", &older)).await.expect("it beats");
    let lacks = "no worker that is alive has the workflow order version 3";
    assert_eq!(told().await, [format!("{lacks}: 2 wait until one that has it is started")]);
    assert_eq!(reason(&id).await, Some(format!("{lacks}: it waits until one that has it is started")));
    assert_eq!(reason(&fine).await, None);
    store.opened.store.beat(&beat("newer", &anything())).await.expect("it beats");
    assert_eq!((told().await, reason(&id).await), (Vec::new(), None));
    // What it had is forgotten with it, and with what it says now.
    store.opened.store.beat(&beat("newer", &older)).await.expect("it beats");
    assert_eq!(told().await.len(), 1);
    store.time.advance(Duration::from_secs(60));
    assert_eq!(told().await, Vec::<String>::new());
}
