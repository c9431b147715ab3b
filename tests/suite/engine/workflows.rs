//! Workflows of others: a second definition beside the pipeline, in several versions, and rows that nobody here can run.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

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
        workflow::{Step, StepPolicy, Undone, Workflow},
    },
    resilience::backoff::{Backoff, Jitter},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    script::{Script, World},
    stories::letter,
};

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

fn quick(attempts: u32) -> StepPolicy {
    let short = Duration::from_millis(10);
    StepPolicy {
        attempts,
        backoff: Backoff { base: short, cap: short, jitter: Jitter::None },
        ..StepPolicy::default()
    }
}

async fn a_second_workflow_runs_forward_and_back_beside_the_pipeline(url: &str) {
    let world = World::open(url, Script::new()).await;
    let (ledger, onboarding) = (Arc::<Ledger>::default(), world.trigger().await);
    let orders = orders(1, &ledger);
    let id = order(&world, &*orders, "order-7").await;
    let _hand = world.hire_for("one", vec![Arc::clone(&orders)]);
    let page = world.until(&id, Phase::Completed).await;
    assert_eq!(ledger.log(), ["1 CHARGE", "1 SHIP"]);
    assert_eq!(page.context, json!({ "pieces": 2, "done": ["CHARGE", "SHIP"] }));
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

async fn a_row_of_a_newer_version_ends_in_a_letter_after_its_attempts_while_others_keep_flowing(url: &str) {
    let world = World::open(url, Script::new()).await.one_at_a_time();
    let world = world.with_policies(|policies| {
        policies.states.insert("CHARGE".into(), quick(3));
    });
    let ledger = Arc::<Ledger>::default();
    let (one, two) = (orders(1, &ledger), orders(2, &ledger));
    let id = order(&world, &*two, "order-7").await;
    let (old, onboarding) = (order(&world, &*one, "order-8").await, world.trigger().await);
    let _hand = world.hire_for("one", vec![one]);
    world.until(&old, Phase::Completed).await;
    world.until(&onboarding, Phase::Completed).await;
    let page = world.until(&id, Phase::Failed).await;
    let tried: Vec<_> = page.attempts.iter().map(|a| (a.attempt, a.delay_seconds.is_some())).collect();
    assert_eq!(tried, [(1, true), (2, true), (3, false)]);
    let told = letter(&world, &page.row.letter.expect("it has a letter")).await;
    assert_eq!(told.row.reason, LetterReason::Exhausted);
    assert_eq!(
        told.row.error.as_str(),
        "cannot run the workflow order version 2 at CHARGE: this worker has only its version 1; deploy workers that \
         have it, then replay the letter"
    );
    assert_eq!(ledger.log(), ["1 CHARGE", "1 SHIP"], "nothing of it was run");
}

async fn a_row_of_an_unknown_workflow_is_given_back_and_tried_again_slowly(url: &str) {
    let world = World::open(url, Script::new()).await.one_at_a_time();
    let ledger = Arc::<Ledger>::default();
    let id = order(&world, &*orders(1, &ledger), "order-7").await;
    let onboarding = world.trigger().await;
    let _hand = world.hire("one");
    let page = world.until(&id, Phase::Waiting).await;
    world.until(&onboarding, Phase::Completed).await;
    assert_eq!(page.row.owner, None, "nobody holds it meanwhile");
    let [tried] = page.attempts.as_slice() else { panic!("{:?}", page.attempts) };
    assert!(tried.delay_seconds.is_some_and(|wait| wait >= 30.0), "{:?}", tried.delay_seconds);
    let said = tried.error.as_ref().expect("it says why").to_string();
    assert!(said.contains("the workflow order version 1 at CHARGE"), "{said}");
    assert!(said.contains("no workflow of that name"), "{said}");
}

async fn a_roll_back_that_no_worker_here_knows_stands_until_one_does(url: &str) {
    let world = World::open(url, Script::new()).await.with_policies(|policies| {
        policies.states.insert("ROLLING_BACK".into(), quick(2));
    });
    let ledger = Arc::<Ledger>::default();
    let orders = orders(1, &ledger);
    let id = order(&world, &*orders, "order-7").await;
    let knows = world.hire_for("knows", vec![Arc::clone(&orders)]);
    world.until(&id, Phase::Completed).await;
    knows.stop().await;
    let other = world.hire("other");
    world.roll_back(&id).await.unwrap();
    let page = world.until(&id, Phase::Stuck).await;
    assert!(page.compensations.iter().all(|c| c.status == CompensationStatus::Failed));
    other.stop().await;
    let _knows = world.hire_for("knows", vec![orders]);
    world.roll_back(&id).await.unwrap();
    world.until(&id, Phase::RolledBack).await;
    assert_eq!(ledger.log()[2..], ["1 post.cancel order-7", "1 bank.refund order-7"]);
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
    a_row_of_a_newer_version_ends_in_a_letter_after_its_attempts_while_others_keep_flowing,
    a_row_of_an_unknown_workflow_is_given_back_and_tried_again_slowly,
    a_roll_back_that_no_worker_here_knows_stands_until_one_does,
    a_paused_workflow_stands_still_while_the_pipeline_goes_on,
    a_context_that_cannot_be_read_is_a_permanent_fault_in_words,
}
