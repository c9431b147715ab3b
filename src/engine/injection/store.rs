//! A store whose verbs are troubled.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use async_trait::async_trait;
use chrono::TimeDelta;

use super::{Injections, Left, Moment};
use crate::{
    domain::id::{KeyId, StateName, WorkerId},
    engine::{
        command::{Receipt, Refusal, Submission},
        key::{Hold, KeyBegun, KeyEnd, KeyIntent, KeyStore},
        lock::{LockStore, Locked},
        runs::Runs,
        store::{
            Claimed, Conflict, Gauges, Heartbeat, Lease, Opening, Recorded, Steering, StepRecord, Store,
            StoreError,
        },
    },
};

pub(super) struct Injected {
    inner: Arc<dyn Store>,
    injections: Arc<Injections>,
}

impl Injected {
    pub(super) fn new(inner: Arc<dyn Store>, injections: Arc<Injections>) -> Self {
        Self { inner, injections }
    }

    /// One verb, with what strikes before, at and after it.
    async fn around<T, E: From<StoreError>, F: Future<Output = Result<T, E>>>(
        &self,
        verb: &'static str,
        state: Option<&StateName>,
        call: impl Fn() -> F,
    ) -> Result<T, E> {
        if self.injections.at(verb, state, Moment::Before).await == Left::Fail {
            let why = "a fault was injected before it".to_owned();
            return Err(StoreError::Busy { doing: verb, why }.into());
        }
        let crashes = self.injections.strikes(verb, state, Moment::Commit).is_some();
        if crashes {
            // Another verb may commit in between, and is struck instead: as good a place to crash.
            self.injections.at_commit.store(true, Ordering::Relaxed);
        }
        let answer = call().await;
        match self.injections.at(verb, state, Moment::After).await {
            Left::Fail => Err(StoreError::UnknownOutcome { doing: verb }.into()),
            Left::Repeat => call().await,
            Left::Timeout | Left::Nothing => answer,
        }
    }
}

#[async_trait]
impl KeyStore for Injected {
    async fn begin(&self, key: &KeyIntent, hold: &Hold) -> Result<KeyBegun, StoreError> {
        self.around("begin", None, || self.inner.begin(key, hold)).await
    }

    async fn keep(&self, key: &KeyId, hold: &Hold) -> Result<bool, StoreError> {
        self.around("keep", None, || self.inner.keep(key, hold)).await
    }

    async fn end(&self, key: &KeyId, hold: &Hold, end: &KeyEnd) -> Result<bool, StoreError> {
        self.around("end", None, || self.inner.end(key, hold, end)).await
    }

    async fn sweep(&self, at_most: u32) -> Result<u64, StoreError> {
        self.inner.sweep(at_most).await
    }
}

#[async_trait]
impl LockStore for Injected {
    async fn lock(&self, resource: &str, owner: &str, ttl: Duration) -> Result<Locked, StoreError> {
        self.around("lock", None, || self.inner.lock(resource, owner, ttl)).await
    }

    async fn unlock(&self, resource: &str, owner: &str) -> Result<bool, StoreError> {
        self.around("unlock", None, || self.inner.unlock(resource, owner)).await
    }
}

#[async_trait]
impl Store for Injected {
    async fn act(&self, submission: &Submission) -> Result<Receipt, Refusal> {
        self.around("act", None, || self.inner.act(submission)).await
    }

    async fn claim(
        &self,
        worker: &WorkerId,
        runs: &Runs,
        limit: usize,
        lease: Duration,
    ) -> Result<Vec<Claimed>, StoreError> {
        self.around("claim", None, || self.inner.claim(worker, runs, limit, lease)).await
    }

    async fn open(
        &self,
        lease: &Lease,
        state: &StateName,
        opening: &Opening,
    ) -> Result<Result<(), Conflict>, StoreError> {
        self.around("open", Some(state), || self.inner.open(lease, state, opening)).await
    }

    async fn record(
        &self,
        records: &[StepRecord],
        lease: Duration,
    ) -> Result<Vec<Result<Recorded, Conflict>>, StoreError> {
        let state = records.first().map(|record| &record.state);
        self.around("record", state, || self.inner.record(records, lease)).await
    }

    async fn pace_replays(&self) -> Result<u64, StoreError> {
        self.around("pace_replays", None, || self.inner.pace_replays()).await
    }

    async fn clean_up(&self) -> Result<u64, StoreError> {
        self.around("clean_up", None, || self.inner.clean_up()).await
    }

    async fn regroup(&self) -> Result<u64, StoreError> {
        self.around("regroup", None, || self.inner.regroup()).await
    }

    async fn renew(&self, leases: &[Lease], lease: Duration) -> Result<Vec<Lease>, StoreError> {
        self.around("renew", None, || self.inner.renew(leases, lease)).await
    }

    async fn beat(&self, beat: &Heartbeat) -> Result<(), StoreError> {
        self.around("beat", None, || self.inner.beat(beat)).await
    }

    async fn steering(&self) -> Result<Vec<Steering>, StoreError> {
        self.around("steering", None, || self.inner.steering()).await
    }

    async fn leave(&self, worker: &WorkerId) -> Result<(), StoreError> {
        self.around("leave", None, || self.inner.leave(worker)).await
    }

    async fn next_due(&self, runs: &Runs) -> Result<Option<TimeDelta>, StoreError> {
        self.around("next_due", None, || self.inner.next_due(runs)).await
    }

    async fn wait(&self, at_most: Duration) {
        self.inner.wait(at_most).await;
    }

    async fn gauges(&self) -> Result<Gauges, StoreError> {
        self.around("gauges", None, || self.inner.gauges()).await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}
