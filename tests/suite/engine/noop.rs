//! A workflow of eight states, as many as the pipeline has, against upstreams that do nothing: what is left is the
//! engine. The bench `onboardings` mounts this file too.
#![allow(dead_code, reason = "the tests and the bench each use a part of it")]

use std::{
    future::pending,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use redrive::{
    clock::{self, Random},
    config,
    domain::{
        fault::Fault,
        id::{OnboardingId, StateName},
        onboarding::{Request, State, WORKFLOW},
    },
    engine::{
        call::{Calls, StepCalls},
        command::{Asker, Command, Submission},
        policies::Policies,
        store::{Compensation, Opening, StepDone, Store, Write},
        worker::Worker,
        workflow::{OnExhaustion, Step, StepPolicy, Undone, Workflow},
    },
    resilience::backoff::{Backoff, Jitter},
};
use serde_json::Value;
use tokio::{sync::Notify, task::JoinSet};
use tokio_util::sync::CancellationToken;

/// Eight states, each of which makes one guarded call that succeeds at once.
pub(crate) struct Noop {
    states: Vec<StateName>,
    expected: usize,
    /// So many runs, the first ones, never end.
    to_hang: AtomicUsize,
    hangs: Notify,
    firsts: Mutex<Vec<Instant>>,
    lasts: Mutex<Vec<Instant>>,
    all: CancellationToken,
}

impl Noop {
    /// For so many onboardings: once the last of them is in its last state, the workers finish and go home.
    pub(crate) fn of(expected: usize) -> Arc<Self> {
        Self::hanging(expected, 0)
    }

    /// The same, whose first runs, so many, never end.
    pub(crate) fn hanging(expected: usize, to_hang: usize) -> Arc<Self> {
        Arc::new(Self {
            states: State::FORWARD.map(State::name).to_vec(),
            expected,
            to_hang: AtomicUsize::new(to_hang),
            hangs: Notify::new(),
            firsts: Mutex::default(),
            lasts: Mutex::default(),
            all: CancellationToken::new(),
        })
    }

    /// How many states there are.
    pub(crate) fn states(&self) -> usize {
        self.states.len()
    }

    /// Until a run has begun that will never end.
    pub(crate) async fn hangs(&self) {
        self.hangs.notified().await;
    }

    /// When first states ran to their end, in order.
    pub(crate) fn firsts(&self) -> Vec<Instant> {
        self.firsts.lock().unwrap().clone()
    }

    /// When last states ran, in order.
    pub(crate) fn lasts(&self) -> Vec<Instant> {
        self.lasts.lock().unwrap().clone()
    }
}

#[async_trait]
impl Workflow for Noop {
    fn name(&self) -> &'static str {
        WORKFLOW
    }
    fn version(&self) -> i32 {
        1
    }
    fn states(&self) -> &[StateName] {
        &self.states
    }
    fn policy(&self, _: &StateName) -> StepPolicy {
        let second = Duration::from_secs(1);
        StepPolicy {
            attempts: 3,
            backoff: Backoff { base: second, cap: second, jitter: Jitter::Full },
            timeout: Duration::from_secs(60),
            on_exhaustion: OnExhaustion::Fail,
        }
    }
    fn undo_policy(&self) -> StepPolicy {
        self.policy(&State::RollingBack.name())
    }
    fn opening(&self, _: &OnboardingId, _: &Request, _: &StateName, _: &Value) -> Opening {
        Opening::default()
    }
    async fn run(&self, step: Step<'_>) -> Result<StepDone, Fault> {
        let one_less = |left: usize| left.checked_sub(1);
        if self.to_hang.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok() {
            self.hangs.notify_one();
            pending::<()>().await;
        }
        step.calls.call("noop", async { Ok(()) }).await?;
        if Some(step.state) == self.states.first() {
            self.firsts.lock().unwrap().push(clock::instant());
        }
        if Some(step.state) == self.states.last() {
            let mut lasts = self.lasts.lock().unwrap();
            lasts.push(clock::instant());
            if lasts.len() == self.expected {
                self.all.cancel();
            }
        }
        Ok(StepDone { context: step.context.clone(), ..StepDone::default() })
    }
    async fn undo(
        &self,
        _: &OnboardingId,
        _: &Request,
        _: &Compensation,
        _: &StepCalls,
    ) -> Result<Undone, Fault> {
        Ok(Undone::NothingToUndo)
    }
    fn unrecorded_undo(&self, _: &StateName, _: &[String]) -> Vec<Write> {
        Vec::new()
    }
}

/// Triggers so many onboardings, each for a repository of its own.
pub(crate) async fn trigger(store: &dyn Store, many: usize) {
    for _ in 0..many {
        let repo_url = format!("https://github.com/acme/{}", clock::new_id());
        let request = Request { tenant_id: "acme".to_owned(), repo_url, workspace_id: None };
        let submission = Submission {
            action: clock::new_id().into(),
            asker: Asker::Operator("ana".to_owned()),
            reason: None,
            command: Command::Trigger { request },
        };
        store.act(&submission).await.expect("a trigger is taken");
    }
}

/// A worker for each store, in this process.
pub(crate) fn hire(stores: &[Arc<dyn Store>], config: &config::Engine, noop: &Arc<Noop>) -> JoinSet<()> {
    let mut crew = JoinSet::new();
    for (number, store) in stores.iter().enumerate() {
        let worker = Worker::new(
            format!("worker-{number}").as_str().into(),
            Arc::clone(store),
            vec![Arc::clone(noop) as Arc<dyn Workflow>],
            Calls::new(Policies::default(), Arc::new(())),
            config.clone(),
            Random::seeded(7),
        );
        crew.spawn(Arc::new(worker).run(noop.all.clone()));
    }
    crew
}

/// Until a crew has gone home.
pub(crate) async fn gone_home(mut crew: JoinSet<()>) {
    while let Some(ended) = crew.join_next().await {
        ended.expect("a worker goes home in peace");
    }
}

/// One that looks for work by itself once an hour, so that its sign of life is given once, at its beginning, and what is
/// counted is the work alone.
pub(crate) fn quiet(concurrency: usize) -> config::Engine {
    let hour = Duration::from_secs(3_600);
    config::Engine { concurrency, poll: hour, lease: hour, ..config::Engine::default() }
}
