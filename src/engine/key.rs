//! Keys in a store: what a memory of idempotency keys promises, whether SQLite, Postgres or Redis.
//!
//! ```text
//!   begin ──Run──▶ the work ──▶ end        keep, meanwhile, at a third of the lease
//!     └──Replay, InFlight, Mismatch: nothing runs
//! ```
//! Which answer follows from where the key stands is said once, in [`KeyLife`](crate::domain::key::KeyLife). The caller makes the lease's id, so that
//! a verb whose answer was lost can be said again: the same words under the same lease change nothing more.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{observer::KeyOutcome, store::StoreError};
use crate::{
    clock,
    domain::{
        id::{KeyId, LeaseId},
        key::{InvalidKey, KeyPhase, KeyRun, key_id},
    },
};

/// A key under which something is about to be done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeyIntent {
    /// `operation/client_key`.
    pub key: KeyId,
    /// What it protects: `github.create_hook`.
    pub operation: String,
    /// The part the client chose, or that is sent to the callee.
    pub client_key: String,
    /// Lowercase hex SHA-256 of the canonical request.
    pub request_hash: String,
}

impl KeyIntent {
    /// The key of `client_key` under `operation`, for the request whose hash is `request_hash`.
    ///
    /// # Errors
    /// When the key is empty, too long or not printable ASCII.
    pub fn new(operation: &str, client_key: &str, request_hash: String) -> Result<Self, InvalidKey> {
        Ok(Self {
            key: key_id(operation, client_key)?,
            operation: operation.to_owned(),
            client_key: client_key.to_owned(),
            request_hash,
        })
    }
}

/// How a key is held while the work runs, and kept afterwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// This holding of the key, made by whoever asks.
    pub lease: LeaseId,
    /// Who holds it: a worker's or a service's name.
    pub owner: String,
    /// How long before others may take over, counted from `begin` and from each `keep`.
    pub lasts: Duration,
    /// How long the key is remembered, counted from `begin` and again from `end`. A live lease outlasts it.
    pub retention: Duration,
}

impl Hold {
    /// A new holding by `owner`.
    pub fn new(owner: impl Into<String>, lasts: Duration, retention: Duration) -> Self {
        Self { lease: LeaseId(clock::new_id()), owner: owner.into(), lasts, retention }
    }
}

/// An answer as it is stored and replayed, byte for byte.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status, or what stands for one.
    pub code: u16,
    /// The headers worth replaying, names in lower case, in the order they were sent.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// An answer without headers.
    pub fn new(code: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { code, headers: Vec::new(), body: body.into() }
    }
}

/// What beginning work under a key answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyBegun {
    /// Run the work, then `end` under the same [`Hold`].
    Run(KeyRun),
    /// It was done: here is the stored answer.
    Replay(Answer),
    /// Somebody is working under it.
    InFlight {
        /// How long its lease still runs; `None` where it has none.
        retry_after: Option<Duration>,
    },
    /// The key was used for another request.
    Mismatch,
}

impl KeyBegun {
    /// What it counts for.
    pub const fn outcome(&self) -> KeyOutcome {
        match self {
            Self::Run(KeyRun::New | KeyRun::Reused | KeyRun::Again) => KeyOutcome::New,
            Self::Run(KeyRun::TakenOver | KeyRun::AfterFailedStorage) => KeyOutcome::Recovered,
            Self::Replay(_) => KeyOutcome::Replayed,
            Self::InFlight { .. } => KeyOutcome::InProgress,
            Self::Mismatch => KeyOutcome::Mismatch,
        }
    }
}

/// How work under a key ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyEnd {
    /// It succeeded: this is replayed from now on.
    Completed(Answer),
    /// It failed and will not pass by itself: this is replayed from now on.
    Failed(Answer),
    /// It failed in a way that may pass: the next try runs.
    Freed,
    /// It was done, but the answer could not be stored: the next try runs again.
    FailedStorage,
}

impl KeyEnd {
    /// The phase it leads to.
    pub const fn phase(&self) -> KeyPhase {
        match self {
            Self::Completed(_) => KeyPhase::Completed,
            Self::Failed(_) => KeyPhase::Failed,
            Self::Freed => KeyPhase::Freed,
            Self::FailedStorage => KeyPhase::FailedStorage,
        }
    }

    /// The answer to store.
    pub const fn answer(&self) -> Option<&Answer> {
        match self {
            Self::Completed(answer) | Self::Failed(answer) => Some(answer),
            Self::Freed | Self::FailedStorage => None,
        }
    }
}

/// A memory of idempotency keys. Each verb is atomic; leases and retention live by the store's own clock.
#[async_trait]
pub trait KeyStore: Send + Sync {
    /// Takes `key`, or says why not. Of any number of simultaneous callers exactly one is answered
    /// [`KeyBegun::Run`]. Begun again under the same lease while that still holds the key, it answers the same
    /// [`KeyRun`] again. A key that others hold without a lease is refused until its retention is over. A mismatch is
    /// counted on the key.
    async fn begin(&self, key: &KeyIntent, hold: &Hold) -> Result<KeyBegun, StoreError>;

    /// Lets the lease last anew, from now. `false`: it is no longer ours, and nothing was changed.
    async fn keep(&self, key: &KeyId, hold: &Hold) -> Result<bool, StoreError>;

    /// Ends the work. `false`: the lease is no longer ours and nothing was changed. Said again with the same hold it
    /// answers `true` and the first end stands.
    async fn end(&self, key: &KeyId, hold: &Hold, end: &KeyEnd) -> Result<bool, StoreError>;

    /// Forgets up to `at_most` keys and messages whose retention is over, and answers how many. Never a key whose
    /// lease is live, never one that others began. Waits for nobody: what is locked is left for the next time.
    async fn sweep(&self, at_most: u32) -> Result<u64, StoreError>;
}
