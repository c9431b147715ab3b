//! A workflow that does what a story says, and a world in which a worker runs it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use redrive::{
    clock::Random,
    config,
    domain::{
        fault::Fault,
        id::{ActionId, OnboardingId, StateName},
        onboarding::{Phase, Request},
    },
    engine::{
        Access, Engine,
        backlog::Backlog,
        call::{Calls, StepCalls},
        command::{Asker, Command, Elsewhere, Receipt, Refusal, Submission, Target},
        policies::Policies,
        reader::{Detail, OnboardingPage, Page, Query},
        store::{Compensation, Intent, Opening, StepDone, Store},
        worker::Worker,
        workflow::{OnExhaustion, Step, StepPolicy, Undone, Workflow},
    },
    resilience::{
        backoff::{Backoff, Jitter},
        circuit::{CircuitPolicy, Window},
    },
    store::{self, OpenOptions},
};
use serde_json::{Value, json};
use tokio::{sync::Semaphore, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::support::wait::eventually;

/// The longest a story waits for something.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What one run of a state, or of an undoing, comes to.
#[derive(Clone)]
pub(crate) enum Turn {
    /// It fails.
    Fail(Fault),
    /// It panics.
    Panic,
    /// It never answers.
    Never,
    /// It does nothing, again and again, and lets others run in between.
    Yield,
    /// It succeeds, and its context grows by so many bytes.
    Grow(usize),
    /// It waits until the story lets it go on, then succeeds.
    Hold,
}

/// States A, B, C: B does something that can be undone, C something else that can.
#[derive(Default)]
pub(crate) struct Script {
    turns: Mutex<HashMap<String, Vec<Turn>>>,
    always: HashMap<(String, String), Turn>,
    log: Mutex<Vec<String>>,
    go_on: Option<Arc<Semaphore>>,
    states: Vec<StateName>,
}

impl Script {
    pub(crate) fn new() -> Self {
        // The names are the pipeline's, because triggers begin at RECEIVED.
        let states =
            ["RECEIVED", "REGISTERING", "CONFIGURING_SYNC", "NOTIFYING"].map(StateName::from).to_vec();
        Self { states, go_on: Some(Arc::new(Semaphore::new(0))), ..Self::default() }
    }

    /// The next runs of `place` (a state, or `undo hook`) come to `turns`; later ones succeed.
    pub(crate) fn then(self, place: &str, turns: impl IntoIterator<Item = Turn>) -> Self {
        self.turns.lock().unwrap().insert(place.to_owned(), turns.into_iter().collect());
        self
    }

    /// Every run of `place` (also `open STATE`) comes to `turn` for the repository `name`.
    pub(crate) fn always(mut self, name: &str, place: &str, turn: Turn) -> Self {
        self.always.insert((format!("https://github.com/acme/{name}"), place.to_owned()), turn);
        self
    }

    /// What was run, in order.
    pub(crate) fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// Lets one held run go on.
    pub(crate) fn go_on(&self) {
        self.go_on_by(1);
    }

    /// Lets so many held runs go on.
    pub(crate) fn go_on_by(&self, many: usize) {
        self.go_on.as_ref().unwrap().add_permits(many);
    }

    fn next(&self, request: &Request, place: &str) -> Option<Turn> {
        if let Some(turn) = self.always.get(&(request.repo_url.clone(), place.to_owned())) {
            return Some(turn.clone());
        }
        let mut turns = self.turns.lock().unwrap();
        let turns = turns.get_mut(place).filter(|turns| !turns.is_empty())?;
        Some(turns.remove(0))
    }

    /// Outside of any call, which would end by its own deadline.
    async fn stand_still(&self, request: &Request, place: &str) {
        match self.always.get(&(request.repo_url.clone(), place.to_owned())) {
            Some(Turn::Never) => std::future::pending().await,
            Some(Turn::Yield) => loop {
                tokio::task::yield_now().await;
            },
            _ => {}
        }
    }

    /// Answers by how many bytes the context grows.
    async fn turn(&self, request: &Request, place: &str) -> Result<usize, Fault> {
        self.log.lock().unwrap().push(place.to_owned());
        match self.next(request, place) {
            None => Ok(0),
            Some(Turn::Fail(fault)) => Err(fault),
            Some(Turn::Panic) => panic!("the story panics"),
            Some(Turn::Never | Turn::Yield) => std::future::pending().await,
            Some(Turn::Grow(bytes)) => Ok(bytes),
            Some(Turn::Hold) => {
                let permit = self.go_on.as_ref().unwrap().acquire().await.unwrap();
                permit.forget();
                Ok(0)
            }
        }
    }
}

fn policy() -> StepPolicy {
    StepPolicy {
        attempts: 3,
        backoff: Backoff {
            base: Duration::from_millis(10),
            cap: Duration::from_millis(40),
            jitter: Jitter::Full,
        },
        timeout: Duration::from_secs(10),
        on_exhaustion: OnExhaustion::Fail,
    }
}

/// Shared, because a story reads its log while the worker runs it.
pub(crate) struct Shared(pub(crate) Arc<Script>);

#[async_trait]
impl Workflow for Shared {
    fn name(&self) -> &'static str {
        "onboarding"
    }
    fn version(&self) -> i32 {
        1
    }
    fn states(&self) -> &[StateName] {
        &self.0.states
    }
    fn policy(&self, state: &StateName) -> StepPolicy {
        match state.as_str() {
            "NOTIFYING" => StepPolicy { attempts: 2, on_exhaustion: OnExhaustion::GoOn, ..policy() },
            _ => policy(),
        }
    }
    fn undo_policy(&self) -> StepPolicy {
        StepPolicy { attempts: 2, ..policy() }
    }
    fn opening(&self, _: &OnboardingId, request: &Request, state: &StateName, _: &Value) -> Opening {
        if let Some(Turn::Panic) = self.0.next(request, &format!("open {state}")) {
            panic!("the story panics");
        }
        let intent = |operation: &str, name: &str| Intent::new(operation, name, json!({}));
        let intents = match state.as_str() {
            "REGISTERING" => vec![intent("catalog.unregister", "entities")],
            "CONFIGURING_SYNC" => vec![intent("tfc.delete", "notification"), intent("github.delete", "hook")],
            _ => Vec::new(),
        };
        Opening { intents, keys: Vec::new() }
    }
    async fn run(&self, step: Step<'_>) -> Result<StepDone, Fault> {
        let operation = format!("story.{}", step.state.as_str().to_lowercase());
        self.0.stand_still(step.request, step.state.as_str()).await;
        let mut context: serde_json::Map<String, Value> = step.read()?;
        let grown = step.calls.call(&operation, self.0.turn(step.request, step.state.as_str())).await?;
        if grown > 0 {
            context.insert("ballast".to_owned(), json!("x".repeat(grown)));
        }
        context.insert(step.state.to_string(), json!(true));
        Ok(StepDone {
            context: context.into(),
            subtasks: vec![format!("did {}", step.state)],
            ..StepDone::default()
        })
    }
    async fn undo(
        &self,
        _: &OnboardingId,
        request: &Request,
        compensation: &Compensation,
        calls: &StepCalls,
    ) -> Result<Undone, Fault> {
        let place = format!("undo {}", compensation.name);
        calls.call(&compensation.operation, self.0.turn(request, &place)).await?;
        Ok(Undone::Undone(Vec::new()))
    }
    fn unrecorded_undo(&self, _: &StateName, _: &[String]) -> Vec<redrive::engine::store::Write> {
        Vec::new()
    }
}

/// A database, an engine, and workers that run one script.
pub(crate) struct World {
    pub(crate) engine: Engine,
    pub(crate) script: Arc<Script>,
    store: Arc<dyn Store>,
    policies: Policies,
    config: config::Engine,
}

/// A worker that a story can stop gently or kill.
pub(crate) struct Hand {
    pub(crate) backlog: Arc<Backlog>,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl Hand {
    /// Stops at once, in the middle of whatever it does, as `kill -9` would.
    pub(crate) fn kill(self) {
        self.task.abort();
    }

    /// Finishes the steps in hand.
    pub(crate) async fn stop(mut self) {
        self.shutdown.cancel();
        (&mut self.task).await.unwrap();
    }
}

impl Drop for Hand {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl World {
    /// A fresh world on the migrated database at `url`.
    pub(crate) async fn open(url: &str, script: Script) -> Self {
        Self::open_with(url, OpenOptions::default(), script).await
    }

    /// The same, whose database is opened by `options`.
    pub(crate) async fn open_with(url: &str, options: OpenOptions, script: Script) -> Self {
        let config = config::Engine {
            lease: Duration::from_secs(1),
            poll: Duration::from_millis(50),
            ..config::Engine::default()
        };
        let opened = store::open(url, options).await.expect("the database opens");
        let engine = Engine::new(Arc::clone(&opened.store), opened.reader, Access::ReadWrite);
        // Circuits stay out of the way unless a story is about them.
        let mut policies = Policies::default();
        policies.otherwise.circuit.minimum_calls = 1_000;
        Self { engine, script: Arc::new(script), store: opened.store, policies, config }
    }

    /// The same world, whose circuits open after two failures and stay open for `open_for`.
    pub(crate) fn with_touchy_circuits(mut self, open_for: Duration) -> Self {
        self.policies.otherwise.circuit = CircuitPolicy {
            window: Window::Calls(2),
            minimum_calls: 2,
            probes: 1,
            open_for,
            ..CircuitPolicy::default()
        };
        self
    }

    /// The same world, whose operations and states follow `change`d policies.
    pub(crate) fn with_policies(mut self, change: impl FnOnce(&mut Policies)) -> Self {
        change(&mut self.policies);
        self
    }

    /// The same world, whose workers hired from now on do what `script` says.
    pub(crate) fn with_script(mut self, script: Script) -> Self {
        self.script = Arc::new(script);
        self
    }

    /// The same world, whose workers are given up only after so long: what is large is slow on a busy machine.
    pub(crate) fn with_lease(mut self, lease: Duration) -> Self {
        self.config.lease = lease;
        self
    }

    /// The same world, whose workers run one onboarding at a time.
    pub(crate) fn one_at_a_time(mut self) -> Self {
        self.config.concurrency = 1;
        self
    }

    /// A worker begins.
    pub(crate) fn hire(&self, name: &str) -> Hand {
        self.hire_for(name, Vec::new())
    }

    /// A worker begins that runs `others` beside the script.
    #[expect(clippy::disallowed_methods, reason = "a story kills the task itself")]
    pub(crate) fn hire_for(&self, name: &str, others: Vec<Arc<dyn Workflow>>) -> Hand {
        let calls = Calls::new(self.policies.clone(), Arc::new(()));
        let mut workflows = others;
        workflows.push(Arc::new(Shared(Arc::clone(&self.script))));
        let worker = Worker::new(
            name.into(),
            Arc::clone(&self.store),
            workflows,
            calls,
            self.config.clone(),
            Random::seeded(7),
        );
        let shutdown = CancellationToken::new();
        let backlog = worker.backlog();
        let task = tokio::spawn(Arc::new(worker).run(shutdown.clone()));
        Hand { backlog, shutdown, task }
    }

    /// One onboarding is triggered.
    pub(crate) async fn trigger(&self) -> OnboardingId {
        self.trigger_of("payments").await
    }

    /// The onboarding of a repository of this name is triggered.
    pub(crate) async fn trigger_of(&self, name: &str) -> OnboardingId {
        let request = Request {
            tenant_id: "acme".to_owned(),
            repo_url: format!("https://github.com/acme/{name}"),
            workspace_id: None,
        };
        let receipt = self.submit("ana", Command::Trigger { request }).await.expect("a trigger is taken");
        receipt.triggered.expect("a trigger is answered").onboarding_id
    }

    pub(crate) async fn submit(&self, operator: &str, command: Command) -> Result<Receipt, Refusal> {
        let submission = Submission {
            action: ActionId(redrive::clock::new_id()),
            asker: Asker::Operator(operator.to_owned()),
            reason: Some("the story says so".to_owned()),
            command,
        };
        self.engine.submit(&submission).await
    }

    pub(crate) async fn resume(&self, id: &OnboardingId) -> Result<Receipt, Refusal> {
        let onboardings = vec![Target { id: id.clone(), seen: None }];
        self.submit("ana", Command::Resume { onboardings, elsewhere: Elsewhere::Leave }).await
    }

    pub(crate) async fn roll_back(&self, id: &OnboardingId) -> Result<Receipt, Refusal> {
        let onboarding = Target { id: id.clone(), seen: None };
        self.submit("ana", Command::RollBack { onboarding, elsewhere: Elsewhere::Leave }).await
    }

    pub(crate) async fn page(&self, id: &OnboardingId) -> OnboardingPage {
        let query = Query { detail: Some(Detail::Onboarding(id.clone())), ..Query::default() };
        match self.engine.reader().read(&query).await.expect("the board is read").page {
            Some(Page::Onboarding(page)) => *page,
            other => panic!("no page of {id}: {other:?}"),
        }
    }

    /// Waits until the onboarding is in `phase`.
    pub(crate) async fn until(&self, id: &OnboardingId, phase: Phase) -> OnboardingPage {
        eventually(&format!("{id} is {phase}"), PATIENCE, async || {
            let page = self.page(id).await;
            (page.row.phase == Some(phase)).then_some(page)
        })
        .await
    }

    /// The onboarding's context, as an operator reveals it.
    pub(crate) async fn context(&self, id: &OnboardingId) -> Value {
        let command = Command::Reveal { of: Detail::Onboarding(id.clone()) };
        let receipt = self.submit("ana", command).await.unwrap();
        receipt.revealed.expect("a context").json()
    }

    /// Waits until the script ran `place` so many times.
    pub(crate) async fn until_run(&self, place: &str, times: usize) {
        eventually(&format!("{place} ran {times} times"), PATIENCE, async || {
            (self.script.log().iter().filter(|ran| *ran == place).count() >= times).then_some(())
        })
        .await;
    }
}
