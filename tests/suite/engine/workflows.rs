//! Workflows of others: a second definition beside the pipeline, in several versions, and workers that have different ones.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use redrive::{
    domain::{
        attempt::CompensationStatus,
        fault::Fault,
        id::{OnboardingId, StateName},
        letter::LetterReason,
        onboarding::{Phase, Request, TriggerStatus},
    },
    engine::{
        call::StepCalls,
        command::{Command, Target, TriggerAnswer},
        store::{Compensation, Intent, Opening, StepDone},
        workflow::{Step, Undone, Workflow},
    },
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    script::{PATIENCE, Script, World},
    stories::letter,
};
use crate::support::wait::eventually;

/// What was run, as `version STATE`, and where the next run fails.
#[derive(Default)]
struct Ledger {
    log: Mutex<Vec<String>>,
    fails_at: Mutex<Option<&'static str>>,
}

impl Ledger {
    fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    fn fail_at(&self, state: &'static str) {
        *self.fails_at.lock().unwrap() = Some(state);
    }
}

/// What an order carries from state to state.
#[derive(Serialize, Deserialize)]
struct Order {
    pieces: u32,
    #[serde(default)]
    done: Vec<String>,
}

/// Orders, of which only what a workflow must say is said.
struct Orders {
    version: i32,
    states: Vec<StateName>,
    ledger: Arc<Ledger>,
}

/// Version 2 packs before it ships, version 3 forgot how to.
fn orders(version: i32, ledger: &Arc<Ledger>) -> Arc<dyn Workflow> {
    let states: &[&str] = match version {
        2 => &["CHARGE", "PACK", "SHIP"],
        _ => &["CHARGE", "SHIP"],
    };
    let states = states.iter().copied().map(StateName::from).collect();
    Arc::new(Orders { version, states, ledger: Arc::clone(ledger) })
}

#[async_trait]
impl Workflow for Orders {
    fn name(&self) -> &'static str {
        "order"
    }
    fn version(&self) -> i32 {
        self.version
    }
    fn states(&self) -> &[StateName] {
        &self.states
    }
    fn opening(&self, _: &OnboardingId, request: &Request, state: &StateName, _: &Value) -> Opening {
        let args = json!({ "order": request.subject() });
        let intents = match state.as_str() {
            "CHARGE" => vec![Intent::new("bank.refund", "charge", args)],
            "SHIP" => vec![Intent::new("post.cancel", "parcel", args)],
            _ => Vec::new(),
        };
        Opening { intents, ..Opening::default() }
    }
    async fn run(&self, step: Step<'_>) -> Result<StepDone, Fault> {
        let mut order: Order = step.read()?;
        self.ledger.log.lock().unwrap().push(format!("{} {}", self.version, step.state));
        let fails = self.ledger.fails_at.lock().unwrap().take_if(|state| *state == step.state.as_str());
        if let Some(state) = fails {
            return Err(Fault::permanent(format!("{state} is refused")));
        }
        order.done.push(step.state.to_string());
        step.finish(&order)
    }
    async fn undo(
        &self,
        _: &OnboardingId,
        _: &Request,
        compensation: &Compensation,
        _: &StepCalls,
    ) -> Result<Undone, Fault> {
        #[derive(Deserialize)]
        struct Args {
            order: String,
        }
        let Args { order } = compensation.read()?;
        self.ledger.log.lock().unwrap().push(format!("{} {} {order}", self.version, compensation.operation));
        Ok(Undone::Undone(Vec::new()))
    }
}

async fn begin(world: &World, workflow: &dyn Workflow, subject: &str, input: Value) -> TriggerAnswer {
    let command = Command::begin(workflow, "acme", subject, &input).expect("it is JSON");
    let receipt = world.submit("ana", command).await.expect("it begins");
    receipt.triggered.expect("it is answered as a trigger is")
}

async fn order(world: &World, workflow: &dyn Workflow, subject: &str) -> OnboardingId {
    begin(world, workflow, subject, json!({ "pieces": 2 })).await.onboarding_id
}

async fn a_second_workflow_runs_forward_and_back_beside_the_pipeline(url: &str) {
    let world = World::open(url, Script::new()).await;
    let (ledger, onboarding) = (Arc::<Ledger>::default(), world.trigger().await);
    let orders = orders(1, &ledger);
    let id = order(&world, &*orders, "order-7").await;
    let _hand = world.hire_for("one", vec![Arc::clone(&orders)]);
    world.until(&id, Phase::Completed).await;
    assert_eq!(ledger.log(), ["1 CHARGE", "1 SHIP"]);
    assert_eq!(world.context(&id).await, json!({ "pieces": 2, "done": ["CHARGE", "SHIP"] }));
    let again = begin(&world, &*orders, "order-7", json!({ "pieces": 3 })).await;
    assert_eq!((again.status, &again.onboarding_id), (TriggerStatus::AlreadyCompleted, &id));
    world.until(&onboarding, Phase::Completed).await;
    world.roll_back(&id).await.unwrap();
    world.until(&id, Phase::RolledBack).await;
    assert_eq!(ledger.log()[2..], ["1 post.cancel order-7", "1 bank.refund order-7"]);
    assert_eq!(world.page(&onboarding).await.row.phase, Some(Phase::Completed));
    assert_eq!(world.script.log().len(), 4, "the pipeline ran its own states and undid nothing");
}

async fn a_row_of_version_1_is_finished_by_version_1_after_version_2_is_deployed(url: &str) {
    let world = World::open(url, Script::new()).await;
    let ledger = Arc::<Ledger>::default();
    let (one, two) = (orders(1, &ledger), orders(2, &ledger));
    let id = order(&world, &*one, "order-7").await;
    ledger.fail_at("SHIP");
    let before = world.hire_for("before", vec![Arc::clone(&one)]);
    world.until(&id, Phase::Failed).await;
    before.stop().await;
    let _after = world.hire_for("after", vec![one, Arc::clone(&two)]);
    let new = order(&world, &*two, "order-8").await;
    world.until(&new, Phase::Completed).await;
    world.resume(&id).await.unwrap();
    world.until(&id, Phase::Completed).await;
    assert_eq!(ledger.log(), ["1 CHARGE", "1 SHIP", "2 CHARGE", "2 PACK", "2 SHIP", "1 SHIP"]);
}

async fn where_its_own_version_is_gone_a_row_is_finished_by_the_nearest_newer_one_that_has_its_state(
    url: &str,
) {
    let world = World::open(url, Script::new()).await;
    let ledger = Arc::<Ledger>::default();
    let [one, two, three] = [1, 2, 3].map(|version| orders(version, &ledger));
    let id = order(&world, &*one, "order-7").await;
    ledger.fail_at("PACK");
    let newer = world.hire_for("newer", vec![Arc::clone(&three), Arc::clone(&two)]);
    world.until(&id, Phase::Failed).await;
    newer.stop().await;
    let _all = world.hire_for("all", vec![one, two, three]);
    world.resume(&id).await.unwrap();
    world.until(&id, Phase::Completed).await;
    // PACK is a state that version 2 alone has, SHIP went on in the same hands.
    assert_eq!(ledger.log(), ["2 CHARGE", "2 PACK", "2 PACK", "2 SHIP"]);
}

/// A row that nobody was given: untouched, and its page says what it waits for.
async fn waits_for(world: &World, id: &OnboardingId, version: &str) {
    let says = format!(
        "no worker that is alive has the workflow order version {version}: it waits until one that has it is started"
    );
    eventually("its page says so", PATIENCE, async || {
        let row = world.page(id).await.row;
        (row.error.as_ref().map(ToString::to_string).as_ref() == Some(&says)).then_some(())
    })
    .await;
    let page = world.page(id).await;
    assert_eq!((page.row.owner, page.row.letter, page.row.attempt), (None, None, 0), "nobody touched it");
}

async fn a_row_of_a_newer_version_waits_untouched_for_a_worker_that_has_it_while_others_flow(url: &str) {
    let world = World::open(url, Script::new()).await.one_at_a_time();
    let ledger = Arc::<Ledger>::default();
    let (one, two) = (orders(1, &ledger), orders(2, &ledger));
    let id = order(&world, &*two, "order-7").await;
    let (old, onboarding) = (order(&world, &*one, "order-8").await, world.trigger().await);
    let _hand = world.hire_for("one", vec![one]);
    world.until(&old, Phase::Completed).await;
    world.until(&onboarding, Phase::Completed).await;
    waits_for(&world, &id, "2").await;
    assert_eq!(world.page(&id).await.attempts, []);
    let _newer = world.hire_for("two", vec![two]);
    world.until(&id, Phase::Completed).await;
    assert_eq!(ledger.log(), ["1 CHARGE", "1 SHIP", "2 CHARGE", "2 PACK", "2 SHIP"]);
}

async fn a_worker_without_the_workflow_never_touches_its_rows_beside_one_that_has_it(url: &str) {
    let world = World::open(url, Script::new()).await;
    let ledger = Arc::<Ledger>::default();
    let (one, two) = (orders(1, &ledger), orders(2, &ledger));
    // One has no orders, one only the older: both idle while the third is busy with one at a time.
    let (_none, _older) = (world.hire("none"), world.hire_for("older", vec![Arc::clone(&one)]));
    let world = world.one_at_a_time();
    let _knows = world.hire_for("knows", vec![Arc::clone(&two)]);
    let mut newer = Vec::new();
    for n in 0..8 {
        newer.push(order(&world, &*two, &format!("order-{n}")).await);
    }
    let old = order(&world, &*one, "old").await;
    ledger.fail_at("PACK");
    let mut failed = 0;
    for id in &newer {
        let page = eventually("it ends", PATIENCE, async || {
            let page = world.page(id).await;
            matches!(page.row.phase, Some(Phase::Completed | Phase::Failed)).then_some(page)
        })
        .await;
        failed += usize::from(page.row.phase == Some(Phase::Failed));
        assert!(page.attempts.iter().all(|a| a.worker.as_str() == "knows"), "{:?}", page.attempts);
    }
    let page = world.until(&old, Phase::Completed).await;
    assert!(page.attempts.iter().all(|a| a.worker.as_str() != "none"), "{:?}", page.attempts);
    assert_eq!(failed, 1, "and that by its own fault");
}

async fn a_roll_back_waits_untouched_for_a_worker_that_knows_how(url: &str) {
    let world = World::open(url, Script::new()).await;
    let ledger = Arc::<Ledger>::default();
    let orders = orders(1, &ledger);
    let id = order(&world, &*orders, "order-7").await;
    let knows = world.hire_for("knows", vec![Arc::clone(&orders)]);
    world.until(&id, Phase::Completed).await;
    knows.stop().await;
    let _other = world.hire("other");
    world.roll_back(&id).await.unwrap();
    waits_for(&world, &id, "1").await;
    let page = world.page(&id).await;
    assert!(page.compensations.iter().all(|c| c.status == CompensationStatus::Recorded));
    let _knows = world.hire_for("knows", vec![orders]);
    world.until(&id, Phase::RolledBack).await;
    assert_eq!(ledger.log()[2..], ["1 post.cancel order-7", "1 bank.refund order-7"]);
}

async fn what_a_newer_version_did_is_undone_by_it_though_the_older_one_is_there(url: &str) {
    let world = World::open(url, Script::new()).await;
    let ledger = Arc::<Ledger>::default();
    let [one, two] = [1, 2].map(|version| orders(version, &ledger));
    let id = order(&world, &*one, "order-7").await;
    let newer = world.hire_for("newer", vec![Arc::clone(&two)]);
    world.until(&id, Phase::Completed).await;
    newer.stop().await;
    let _both = world.hire_for("both", vec![one, two]);
    world.roll_back(&id).await.unwrap();
    world.until(&id, Phase::RolledBack).await;
    assert_eq!(ledger.log()[3..], ["2 post.cancel order-7", "2 bank.refund order-7"]);
}

async fn a_paused_workflow_stands_still_while_the_pipeline_goes_on(url: &str) {
    let world = World::open(url, Script::new()).await;
    let ledger = Arc::<Ledger>::default();
    let orders = orders(1, &ledger);
    let id = order(&world, &*orders, "order-7").await;
    let target = || Target { id: "order".into(), seen: None };
    world.submit("ana", Command::Pause { operation: target(), seconds: None }).await.expect("it is paused");
    let onboarding = world.trigger().await;
    let _hand = world.hire_for("one", vec![orders]);
    world.until(&onboarding, Phase::Completed).await;
    assert_eq!((world.page(&id).await.row.phase, ledger.log()), (Some(Phase::Queued), Vec::new()));
    world.submit("ana", Command::Unpause { operation: target() }).await.expect("it goes on");
    world.until(&id, Phase::Completed).await;
}

async fn a_context_that_cannot_be_read_is_a_permanent_fault_in_words(url: &str) {
    let world = World::open(url, Script::new()).await;
    let ledger = Arc::<Ledger>::default();
    let orders = orders(1, &ledger);
    let id = begin(&world, &*orders, "order-7", json!({ "pieces": "many" })).await.onboarding_id;
    let _hand = world.hire_for("one", vec![Arc::clone(&orders)]);
    let page = world.until(&id, Phase::Failed).await;
    assert_eq!(page.attempts.len(), 1, "another attempt would read the same");
    let told = letter(&world, &page.row.letter.expect("it has a letter")).await;
    assert_eq!(told.row.reason, LetterReason::Permanent);
    assert_eq!(
        told.row.error.as_str(),
        format!(
            "cannot read the context of {id} at CHARGE: invalid type: string \"many\", expected u32; deploy a definition \
             that reads it and resume it, or roll it back"
        )
    );
    let good = order(&world, &*orders, "order-8").await;
    world.until(&good, Phase::Completed).await;
}

stories! {
    a_second_workflow_runs_forward_and_back_beside_the_pipeline,
    a_row_of_version_1_is_finished_by_version_1_after_version_2_is_deployed,
    where_its_own_version_is_gone_a_row_is_finished_by_the_nearest_newer_one_that_has_its_state,
    a_row_of_a_newer_version_waits_untouched_for_a_worker_that_has_it_while_others_flow,
    a_worker_without_the_workflow_never_touches_its_rows_beside_one_that_has_it,
    a_roll_back_waits_untouched_for_a_worker_that_knows_how,
    what_a_newer_version_did_is_undone_by_it_though_the_older_one_is_there,
    a_paused_workflow_stands_still_while_the_pipeline_goes_on,
    a_context_that_cannot_be_read_is_a_permanent_fault_in_words,
}
