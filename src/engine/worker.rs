//! A worker: claims due work, runs it state by state, records each state in one commit, and goes on until the work
//! is finished, waits or is somebody else's.
//!
//! ```text
//!   claim ──▶ (open) ──▶ run ──▶ record ──GoOn──▶ run the next state …
//!     ▲                   │        └──Released, RollBackBegan, Fenced──▶ let go
//!     └── wait, poll ◀────┘ lease renewed meanwhile at a third of its length
//! ```
//! The same loop serves first tries, retries, resumes, take-overs and roll-backs: what to do is always read from the
//! claimed row.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{
    backlog::Backlog,
    call::Calls,
    observer::Observer,
    store::{Claimed, Heartbeat, Store, StoreError},
    workflow::Workflow,
};
use crate::{
    clock::{self, Random},
    config,
    domain::id::WorkerId,
};
use definitions::Definitions;

mod back;
mod definitions;
mod forward;
mod hold;

/// A third of the lease: two renewals may fail before it is lost.
const RENEWALS_PER_LEASE: u32 = 3;
/// A forced circuit has to hold on all workers within a second of the decision.
const OBEYED_WITHIN: Duration = Duration::from_millis(400);
/// Gauges cost a count each: once in so many polls is enough.
const POLLS_PER_GAUGES: u32 = 5;

/// A worker of one process.
pub struct Worker {
    id: WorkerId,
    store: Arc<dyn Store>,
    definitions: Definitions,
    calls: Arc<Calls>,
    config: config::Engine,
    random: Mutex<Random>,
    metrics_url: Option<String>,
    backlog: Arc<Backlog>,
}

impl Worker {
    /// A worker named `id` that runs `workflows` from `store`: of one name as many versions as still have rows.
    ///
    /// A row is run by the version that began it; where that is not here by the nearest newer one that has its state, and
    /// from then on the row is of that version. Rows of a workflow or of a version beyond those are left to other workers.
    /// A row at a state that none of them has is given back, few times and slowly, and then ends in a dead letter.
    pub fn new(
        id: WorkerId,
        store: Arc<dyn Store>,
        workflows: Vec<Arc<dyn Workflow>>,
        calls: Arc<Calls>,
        config: config::Engine,
        random: Random,
    ) -> Self {
        let definitions = Definitions::new(workflows);
        let (random, backlog) = (Mutex::new(random), Arc::default());
        Self { id, store, definitions, calls, config, random, metrics_url: None, backlog }
    }

    /// The same worker, telling others that its metrics are at `url`.
    #[must_use]
    pub fn with_metrics_at(mut self, url: impl Into<String>) -> Self {
        self.metrics_url = Some(url.into());
        self
    }

    /// How far the workers are behind, as it sees it.
    pub fn backlog(&self) -> Arc<Backlog> {
        Arc::clone(&self.backlog)
    }

    /// Works until `shutdown`, then finishes the steps in hand, gives the rest back and says goodbye.
    pub async fn run(self: Arc<Self>, shutdown: CancellationToken) {
        let mut running = JoinSet::new();
        // Each by itself: one that is slow holds up no other.
        let mut chores = JoinSet::new();
        let running_now = Arc::new(std::sync::atomic::AtomicI32::new(0));
        chores.spawn(Arc::clone(&self).beat(Arc::clone(&running_now)));
        chores.spawn(Arc::clone(&self).obey());
        chores.spawn(Arc::clone(&self).pace());
        chores.spawn(Arc::clone(&self).measure());
        chores.spawn(Arc::clone(&self).count());
        chores.spawn(Arc::clone(&self).clean_up());
        chores.spawn(Arc::clone(&self).regroup());
        let mut failures = 0_u32;
        while !shutdown.is_cancelled() {
            while let Some(ended) = running.try_join_next() {
                self.ended(ended);
            }
            let free = self.config.concurrency.saturating_sub(running.len());
            let mut claimed = 0;
            if free > 0 {
                match self.store.claim(&self.id, self.definitions.runs(), free, self.config.lease).await {
                    Ok(work) => {
                        (claimed, failures) = (work.len(), 0);
                        for work in work {
                            running.spawn(Arc::clone(&self).onboard(work, shutdown.clone()));
                        }
                    }
                    Err(error) => {
                        failures = failures.saturating_add(1);
                        tracing::warn!(%error, failures, "cannot claim work");
                    }
                }
            }
            running_now.store(
                i32::try_from(running.len()).unwrap_or(i32::MAX),
                std::sync::atomic::Ordering::Relaxed,
            );
            if claimed > 0 && claimed == free {
                continue;
            }
            let full = running.len() >= self.config.concurrency;
            tokio::select! {
                () = shutdown.cancelled() => {}
                Some(ended) = running.join_next(), if !running.is_empty() => self.ended(ended),
                () = self.idle(failures), if !full => {}
            }
        }
        while let Some(ended) = running.join_next().await {
            self.ended(ended);
        }
        chores.shutdown().await;
        if let Err(error) = self.store.leave(&self.id).await {
            tracing::warn!(%error, "could not say goodbye: the registration will age instead");
        }
    }

    /// Until work may be due: the wake-up, the earliest `run_at` or the poll, whichever comes first.
    async fn idle(&self, failures: u32) {
        if failures > 0 {
            return clock::sleep(self.config.poll * failures.min(10)).await;
        }
        let due = self.store.next_due(self.definitions.runs()).await.ok().flatten();
        let due = due.map_or(self.config.poll, |due| due.to_std().unwrap_or_default());
        self.store.wait(due.clamp(Duration::from_millis(5), self.config.poll)).await;
    }

    async fn beat(self: Arc<Self>, running: Arc<std::sync::atomic::AtomicI32>) {
        let mut beating = Told::of("giving a sign of life");
        loop {
            let beat = Heartbeat {
                worker: self.id.clone(),
                metrics_url: self.metrics_url.clone(),
                running: running.load(std::sync::atomic::Ordering::Relaxed),
                runs: self.definitions.runs().newest(),
                circuits: self.calls.reports(),
            };
            beating.hears(self.store.beat(&beat).await);
            clock::sleep(self.config.poll).await;
        }
    }

    async fn clean_up(self: Arc<Self>) {
        let mut cleaning = Told::of("undoing what failed long ago");
        loop {
            if let Some(begun @ 1..) = cleaning.hears(self.store.clean_up().await) {
                tracing::info!(begun, "what failed long ago is rolled back");
            }
            clock::sleep(self.config.poll).await;
        }
    }

    async fn regroup(self: Arc<Self>) {
        let mut regrouping = Told::of("grouping letters again");
        loop {
            if let Some(grouped @ 1..) = regrouping.hears(self.store.regroup().await) {
                tracing::debug!(grouped, "letters of an older rule are grouped again");
            }
            clock::sleep(self.config.poll).await;
        }
    }

    async fn measure(self: Arc<Self>) {
        loop {
            if let Ok(due) = self.store.next_due(self.definitions.runs()).await {
                let late = due.and_then(|due| (-due).to_std().ok()).unwrap_or_default();
                self.backlog.set(late);
                self.observer().late(late);
            }
            clock::sleep(self.config.poll).await;
        }
    }

    async fn count(self: Arc<Self>) {
        let mut counting = Told::of("counting for the gauges");
        loop {
            if let Some(gauges) = counting.hears(self.store.gauges().await) {
                self.observer().gauges(&gauges);
            }
            clock::sleep(self.config.poll * POLLS_PER_GAUGES).await;
        }
    }

    /// Obeys what operators decided, within [`OBEYED_WITHIN`]. While the store does not answer what it said last holds,
    /// each until its own limit.
    async fn obey(self: Arc<Self>) {
        let mut reading = Told::of("reading what operators decided");
        loop {
            if let Some(steering) = reading.hears(self.store.steering().await) {
                self.calls.steer(&steering);
            }
            clock::sleep(OBEYED_WITHIN.min(self.config.poll)).await;
        }
    }

    async fn pace(self: Arc<Self>) {
        let mut pacing = Told::of("moving replays on");
        loop {
            pacing.hears(self.store.pace_replays().await);
            clock::sleep(OBEYED_WITHIN.min(self.config.poll)).await;
        }
    }

    /// Runs one claimed onboarding as far as it goes.
    async fn onboard(self: Arc<Self>, work: Claimed, shutdown: CancellationToken) {
        let onboarding = work.lease.onboarding.clone();
        let workflow = self.definitions.of(&work);
        let result = match work.direction {
            super::store::Direction::Forward => self.forward(&*workflow, work, &shutdown).await,
            super::store::Direction::Back => self.back(&*workflow, work).await,
        };
        match result {
            Ok(()) => {}
            Err(LetGo::Fenced) => {
                self.observer().lease_lost();
                tracing::warn!(%onboarding, "lease lost: another worker has taken over, nothing was written");
            }
            Err(LetGo::Store(error)) => {
                tracing::error!(%onboarding, %error, "could not record: the work is taken over after its lease");
            }
        }
    }

    fn ended(&self, ended: Result<(), tokio::task::JoinError>) {
        if let Err(error) = ended {
            // Steps catch their own panics; what is left is a fault of the loop itself, and its lease runs out.
            tracing::error!(%error, "a task ended badly: its work is taken over after its lease");
        }
    }

    fn observer(&self) -> &Arc<dyn Observer> {
        self.calls.observer()
    }

    fn unit(&self) -> f64 {
        self.random.lock().unwrap_or_else(PoisonError::into_inner).unit()
    }
}

/// Something done again and again: that it fails is logged once, and once that it goes again.
struct Told {
    what: &'static str,
    fails: bool,
}

impl Told {
    fn of(what: &'static str) -> Self {
        Self { what, fails: false }
    }

    fn hears<T>(&mut self, result: Result<T, StoreError>) -> Option<T> {
        match &result {
            Ok(_) if self.fails => tracing::info!("{} goes again", self.what),
            Err(error) if !self.fails => {
                tracing::warn!(%error, "{} fails: tried again until it goes", self.what)
            }
            _ => {}
        }
        self.fails = result.is_err();
        result.ok()
    }
}

/// Why a worker lets go of work it holds.
#[derive(Debug)]
enum LetGo {
    /// The lease is another's.
    Fenced,
    /// The database did not take the record while the lease lasted.
    Store(StoreError),
}

impl From<StoreError> for LetGo {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}
