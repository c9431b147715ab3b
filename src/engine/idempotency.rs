//! Doing a thing once under a key: begin, run while the lease is kept, then store the answer or set the key free.
//!
//! ```text
//!   once ─▶ begin ─Run─▶ work ─────────────▶ end: completed | failed | freed
//!             │           └ keep, at a third  └ cannot be stored, 5 tries: failed storage, the next try runs again
//!             └─Replay: the stored answer · InFlight, Mismatch: refused · no store: refused, or run unprotected
//! ```
//! What that promises: of all who ask with one key, one at a time runs the work, and its stored answer is everybody's.
//! An effect outside the store happens at least once: a process can die between the effect and the storing. Where the
//! effect is in the caller's own database, `store::postgres::once_in` and `store::sqlite::once_in` commit both together.

use std::{
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde::Serialize;

use super::{
    key::{Answer, Hold, KeyBegun, KeyEnd, KeyIntent, KeyStore},
    observer::{KeyOutcome, Observer},
    store::StoreError,
};
use crate::{
    clock::{self, Random},
    config::Retention,
    domain::{
        canonical,
        key::{InvalidKey, KeyRun},
    },
    resilience::backoff::{Backoff, Jitter},
};

/// How often storing an answer is tried before it is given up.
const STORING_TRIES: u32 = 5;
/// Between those tries.
const STORING: Backoff =
    Backoff { base: Duration::from_millis(100), cap: Duration::from_secs(2), jitter: Jitter::Full };
/// A third of the lease: two renewals may fail before it is lost.
const KEEPS_PER_LEASE: u32 = 3;
/// Between two renewals at least, however short the lease: the store has others to serve.
const BETWEEN_KEEPS: Duration = Duration::from_millis(10);

/// What to do while the store of keys does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WhenDown {
    /// Nothing runs: the caller is told to come again.
    #[default]
    Refuse,
    /// The work runs without protection, which is counted. Not while the store is merely busy.
    RunUnprotected,
}

/// Something that is to be done once per key: its name scopes the keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// One callee and verb: `payments.charge`.
    pub name: String,
    /// How long a run is trusted without a sign of life.
    pub lease: Duration,
    /// How long an answer is replayed.
    pub retention: Duration,
    /// What to do while the store does not answer.
    pub when_down: WhenDown,
    /// How long `once_in` waits for another transaction that has the key.
    pub wait: Duration,
}

impl Operation {
    /// An operation that callers request: its answers are replayed for [`Retention::REQUEST`].
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            lease: Duration::from_secs(30),
            retention: Retention::REQUEST,
            when_down: WhenDown::Refuse,
            wait: Duration::from_secs(2),
        }
    }

    /// The same with answers replayed for `retention`.
    #[must_use]
    pub fn kept_for(self, retention: Duration) -> Self {
        Self { retention, ..self }
    }

    /// The same with a lease of `lease`.
    #[must_use]
    pub fn leased_for(self, lease: Duration) -> Self {
        Self { lease, ..self }
    }

    /// The same, with `once_in` waiting for `wait` at most.
    #[must_use]
    pub fn waiting_for(self, wait: Duration) -> Self {
        Self { wait, ..self }
    }

    /// The same, doing `when_down` while the store does not answer.
    #[must_use]
    pub fn when_down(self, when_down: WhenDown) -> Self {
        Self { when_down, ..self }
    }
}

/// What the work under a key came to. The caller is given the answer in any case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Worked {
    /// It succeeded: stored and replayed.
    Completed(Answer),
    /// It failed and will not pass by itself: stored and replayed.
    Failed(Answer),
    /// It failed in a way that may pass: the key is free, the next call runs.
    Freed(Answer),
}

/// Where an answer comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The work ran just now.
    Ran(KeyRun),
    /// An earlier run's answer was stored.
    Stored,
    /// The work ran just now without protection, because the store did not answer.
    Unprotected,
}

/// An answer and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The answer.
    pub answer: Answer,
    /// Where it comes from. On [`Source::Stored`] a use case may read the current state instead of using `answer`.
    pub source: Source,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Held {
    /// The key cannot be used; nothing was run.
    #[error(transparent)]
    Invalid(#[from] InvalidKey),
    /// The request cannot be hashed; nothing was run.
    #[error("the request cannot be written as JSON: {0}")]
    Request(String),
    /// Somebody is working under the key; nothing was run.
    #[error("a request with this idempotency key is being worked on{}", wait(*.retry_after))]
    InFlight {
        /// How long its lease still runs; `None` where it has none.
        retry_after: Option<Duration>,
    },
    /// The key belongs to another request; nothing was run.
    #[error("this idempotency key was used for another request: send a new key")]
    Mismatch,
    /// The lease ran out while the work was running, and somebody took over: theirs is the answer.
    #[error("this request took longer than its lease and was taken over: ask again with the same key")]
    Lost,
    /// The store does not answer; nothing was run.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn wait(retry_after: Option<Duration>) -> String {
    // Rounded up: a moment too early would be refused again.
    let seconds = |after: Duration| after.as_millis().div_ceil(1_000).max(1);
    retry_after.map_or_else(String::new, |after| format!(": try again in {} s", seconds(after)))
}

/// Keys for one process: the store, in whose name they are held, and who counts.
#[derive(Clone)]
pub struct Keys {
    store: Arc<dyn KeyStore>,
    owner: String,
    observer: Arc<dyn Observer>,
    random: Arc<Mutex<Random>>,
}

impl Keys {
    /// Keys in `store`, held in the name of `owner`.
    pub fn new(store: Arc<dyn KeyStore>, owner: impl Into<String>) -> Self {
        let random = Arc::new(Mutex::new(Random::system()));
        Self { store, owner: owner.into(), observer: Arc::new(()), random }
    }

    /// The same, telling `observer` what happens.
    #[must_use]
    pub fn observed_by(self, observer: Arc<dyn Observer>) -> Self {
        Self { observer, ..self }
    }

    /// Runs `work` unless `client_key` says that it was done or is being done for this `request`. Two requests are
    /// the same when their canonical JSON is.
    ///
    /// While `work` runs its lease is kept; when the lease is lost all the same, `work` is dropped where it waits.
    /// When this future is dropped the key stays in flight until its lease ends: spawn it where callers may go away.
    ///
    /// # Errors
    /// [`Held`]; `work` was not run then, unless it is [`Held::Lost`].
    pub async fn once<F, W>(
        &self,
        operation: &Operation,
        client_key: &str,
        request: &(impl Serialize + ?Sized),
        work: F,
    ) -> Result<Outcome, Held>
    where
        F: FnOnce() -> W,
        W: Future<Output = Worked>,
    {
        let hash = canonical::hash(request).map_err(|error| Held::Request(error.to_string()))?;
        self.once_as(operation, &KeyIntent::new(&operation.name, client_key, hash)?, work).await
    }

    /// As [`Keys::once`], for a request that was hashed already.
    ///
    /// # Errors
    /// As [`Keys::once`].
    pub async fn once_as<F, W>(
        &self,
        operation: &Operation,
        key: &KeyIntent,
        work: F,
    ) -> Result<Outcome, Held>
    where
        F: FnOnce() -> W,
        W: Future<Output = Worked>,
    {
        let asked = |outcome| self.observer.key_asked(&key.operation, outcome);
        let hold = Hold::new(self.owner.as_str(), operation.lease, operation.retention);
        let begun = self.begin(key, &hold).await;
        if let Ok(begun) = &begun {
            asked(begun.outcome());
        }
        let run = match begun {
            Ok(KeyBegun::Run(run)) => run,
            Ok(KeyBegun::Replay(answer)) => return Ok(Outcome { answer, source: Source::Stored }),
            Ok(KeyBegun::InFlight { retry_after }) => return Err(Held::InFlight { retry_after }),
            Ok(KeyBegun::Mismatch) => return Err(Held::Mismatch),
            // A store that is busy or full is not down: somebody may hold this very key.
            Err(error)
                if operation.when_down == WhenDown::RunUnprotected
                    && !matches!(error, StoreError::Busy { .. } | StoreError::Full { .. }) =>
            {
                asked(KeyOutcome::Unprotected);
                tracing::warn!(%error, operation = key.operation, "the store of keys does not answer: running unprotected");
                let (Worked::Completed(answer) | Worked::Failed(answer) | Worked::Freed(answer)) =
                    work().await;
                return Ok(Outcome { answer, source: Source::Unprotected });
            }
            Err(error) => {
                asked(KeyOutcome::Error);
                return Err(Held::Store(error));
            }
        };
        let worked = tokio::select! {
            biased;
            worked = work() => worked,
            () = self.keep(key, &hold) => {
                self.observer.lease_lost();
                return Err(Held::Lost);
            }
        };
        let (answer, end) = match worked {
            Worked::Completed(answer) => (answer.clone(), KeyEnd::Completed(answer)),
            Worked::Failed(answer) => (answer.clone(), KeyEnd::Failed(answer)),
            Worked::Freed(answer) => (answer, KeyEnd::Freed),
        };
        if self.end(key, &hold, &end).await {
            Ok(Outcome { answer, source: Source::Ran(run) })
        } else {
            self.observer.lease_lost();
            Err(Held::Lost)
        }
    }

    /// Begins; again under the same lease when the answer was lost on its way.
    async fn begin(&self, key: &KeyIntent, hold: &Hold) -> Result<KeyBegun, StoreError> {
        match self.store.begin(key, hold).await {
            Err(StoreError::UnknownOutcome { .. }) => self.store.begin(key, hold).await,
            other => other,
        }
    }

    /// Keeps the lease; returns once it is lost.
    async fn keep(&self, key: &KeyIntent, hold: &Hold) {
        loop {
            clock::sleep((hold.lasts / KEEPS_PER_LEASE).max(BETWEEN_KEEPS)).await;
            match self.store.keep(&key.key, hold).await {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => tracing::warn!(%error, key = %key.key, "could not keep a key's lease"),
            }
        }
    }

    /// Ends; `false` when the lease was no longer ours. What cannot be stored is given up after some tries: the answer
    /// is true all the same, and the next call runs again.
    async fn end(&self, key: &KeyIntent, hold: &Hold, end: &KeyEnd) -> bool {
        for attempt in 1..=STORING_TRIES {
            match self.store.end(&key.key, hold, end).await {
                Ok(ours) => return ours,
                Err(error) => {
                    tracing::warn!(%error, key = %key.key, attempt, "could not store how a key's work ended");
                }
            }
            if attempt < STORING_TRIES {
                let unit = self.random.lock().unwrap_or_else(PoisonError::into_inner).unit();
                clock::sleep(STORING.delay(attempt, unit)).await;
            }
        }
        self.observer.storage_failed(&key.client_key);
        // Where even this fails the lease runs out, which comes to the same.
        if let Err(error) = self.store.end(&key.key, hold, &KeyEnd::FailedStorage).await {
            tracing::error!(%error, key = %key.key, "an answer could not be stored: its key waits for its lease to end");
        }
        true
    }
}
