//! Fault injection: faults put where the real ones happen, on purpose, to see that nothing is lost or done twice.
//!
//! An [`Injection`] says where, when and what: `CONFIGURING_SYNC.after=crash`. Steps are troubled by a workflow around
//! the workflow, the database by a store around the store, so the engine itself knows nothing of it. Upstreams have
//! troubles of their own, at the stand-ins. Never for real data: `run` refuses databases that are not for it.

mod parse;
mod store;
mod workflow;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use super::{store::Store, workflow::Workflow};
use crate::{clock, domain::id::StateName};

pub use parse::BadInjection;

/// Verbs of the store that can be troubled; each is one transaction, or one look.
const VERBS: [&str; 18] = [
    "act",
    "claim",
    "open",
    "record",
    "renew",
    "pace_replays",
    "clean_up",
    "regroup",
    "beat",
    "leave",
    "steering",
    "next_due",
    "gauges",
    "begin",
    "keep",
    "end",
    "lock",
    "unlock",
];

/// One fault to inject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Injection {
    /// A state's step, or a verb of the store.
    place: String,
    /// Of a verb: only for this state.
    state: Option<String>,
    moment: Moment,
    what: What,
    /// The first time it strikes, from 1.
    from: u32,
    /// How often it strikes.
    times: u32,
}

impl Injection {
    /// The state it is about, if it is about one only.
    pub fn state(&self) -> Option<&str> {
        match VERBS.contains(&self.place.as_str()) {
            true => self.state.as_deref(),
            false => Some(&self.place),
        }
    }

    /// Whether the whole process ends or stands still by it.
    pub fn ends_the_process(&self) -> bool {
        matches!(self.what, What::Crash | What::Stop)
    }
}

/// When, as seen from the place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// Nothing was done yet.
    Before,
    /// Everything was done, and nobody told yet.
    After,
    /// While the database commits; SQLite only.
    Commit,
}

/// What happens there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    /// It fails in a way that may pass; after a verb: whether it happened is not known.
    Fail,
    /// It takes that much longer.
    Delay(Duration),
    /// The effect was made, and its answer is late.
    Timeout,
    /// The same once more.
    Repeat,
    /// The process ends as by `kill -9`.
    Crash,
    /// The process is held until it gets SIGCONT.
    Stop,
    /// A panic.
    Panic,
}

/// What is left to do by whoever asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    Nothing,
    Fail,
    Timeout,
    Repeat,
}

/// Faults to inject into one process.
#[derive(Debug, Default)]
pub struct Injections {
    rules: Vec<(Injection, AtomicU32)>,
    /// The verb that is under way is to be troubled when it commits.
    at_commit: AtomicBool,
}

impl Injections {
    /// These, each counted from now.
    pub fn new(injections: Vec<Injection>) -> Arc<Self> {
        let rules = injections.into_iter().map(|injection| (injection, AtomicU32::new(0))).collect();
        Arc::new(Self { rules, at_commit: AtomicBool::new(false) })
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// `store` with its verbs troubled; as it is when there are none.
    pub fn around_store(self: &Arc<Self>, store: Arc<dyn Store>) -> Arc<dyn Store> {
        match self.is_empty() {
            true => store,
            false => Arc::new(store::Injected::new(store, Arc::clone(self))),
        }
    }

    /// `workflow` with its steps troubled; as it is when there are none.
    pub fn around_workflow(self: &Arc<Self>, workflow: Arc<dyn Workflow>) -> Arc<dyn Workflow> {
        match self.is_empty() {
            true => workflow,
            false => Arc::new(workflow::Injected::new(workflow, Arc::clone(self))),
        }
    }

    /// What a database that can tell calls while it commits.
    pub fn committing(&self) {
        if self.at_commit.swap(false, Ordering::Relaxed) {
            end_by(rustix::process::Signal::KILL);
        }
    }

    /// Whether something strikes here and now, which counts as a time.
    fn strikes(&self, place: &str, state: Option<&StateName>, moment: Moment) -> Option<What> {
        let here = |rule: &Injection| {
            rule.moment == moment
                && rule.place == place
                && rule
                    .state
                    .as_deref()
                    .is_none_or(|wanted| state.is_some_and(|state| state.as_str() == wanted))
        };
        let (rule, count) = self.rules.iter().find(|(rule, _)| here(rule))?;
        let time = count.fetch_add(1, Ordering::Relaxed) + 1;
        let struck = time >= rule.from && time - rule.from < rule.times;
        struck.then(|| {
            tracing::warn!(place, ?moment, what = ?rule.what, "fault injected");
            rule.what
        })
    }

    async fn at(&self, place: &str, state: Option<&StateName>, moment: Moment) -> Left {
        match self.strikes(place, state, moment) {
            None => return Left::Nothing,
            Some(What::Fail) => return Left::Fail,
            Some(What::Timeout) => return Left::Timeout,
            Some(What::Repeat) => return Left::Repeat,
            Some(What::Delay(delay)) => clock::sleep(delay).await,
            Some(What::Panic) => panic!("a panic was injected at {place}"),
            Some(What::Crash) => end_by(rustix::process::Signal::KILL),
            Some(What::Stop) => end_by(rustix::process::Signal::STOP),
        }
        Left::Nothing
    }
}

/// Sends this process a signal that it cannot handle.
fn end_by(signal: rustix::process::Signal) {
    if let Err(error) = rustix::process::kill_process(rustix::process::getpid(), signal) {
        tracing::error!(%error, "the injected signal could not be sent");
    }
}
