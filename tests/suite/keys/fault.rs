//! Every verb and every statement is lost once, before it takes effect and after it: there is one effect all the same.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use redrive::{
    domain::id::KeyId,
    engine::{
        idempotency::{Held, Keys, Operation, Outcome, Worked},
        key::{Answer, Hold, KeyBegun, KeyEnd, KeyIntent, KeyStore},
        store::StoreError,
    },
    store::{BoundTime, OpenOptions, open},
};

use crate::support::{
    proxy::{Lost, Proxy},
    stores::TestStore,
};

const LEASE: Duration = Duration::from_secs(30);
/// More requests than one call needs.
const ENOUGH: usize = 60;

/// A caller who asks with the same key until there is an answer, waiting out leases on a bound clock.
async fn until_answered(keys: &Keys, time: &BoundTime, ran: &AtomicUsize) -> Outcome {
    let operation = Operation::new("payments.charge").leased_for(LEASE);
    for _ in 0..10 {
        let work = || async {
            ran.fetch_add(1, Ordering::Relaxed);
            Worked::Completed(Answer::new(201, "charged"))
        };
        match keys.once(&operation, "k", &"a request", work).await {
            Ok(done) => return done,
            Err(Held::InFlight { retry_after }) => time.advance(retry_after.expect("it has a lease")),
            Err(Held::Store(_)) => {}
            Err(other) => panic!("{other}"),
        }
    }
    panic!("never answered");
}

/// Loses one verb.
struct Losing {
    inner: Arc<dyn KeyStore>,
    at: usize,
    lost: Lost,
    error: StoreError,
    said: Mutex<usize>,
}

impl Losing {
    /// Whether this verb is the lost one.
    fn now(&self) -> Option<Lost> {
        let mut said = self.said.lock().unwrap();
        *said += 1;
        (*said == self.at).then_some(self.lost)
    }

    async fn lose<T>(&self, verb: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        match self.now() {
            None => verb.await,
            Some(Lost::Before) => Err(self.error.clone()),
            Some(Lost::After) => {
                verb.await?;
                Err(self.error.clone())
            }
        }
    }
}

#[async_trait]
impl KeyStore for Losing {
    async fn begin(&self, key: &KeyIntent, hold: &Hold) -> Result<KeyBegun, StoreError> {
        self.lose(self.inner.begin(key, hold)).await
    }
    async fn keep(&self, key: &KeyId, hold: &Hold) -> Result<bool, StoreError> {
        self.lose(self.inner.keep(key, hold)).await
    }
    async fn end(&self, key: &KeyId, hold: &Hold, end: &KeyEnd) -> Result<bool, StoreError> {
        self.lose(self.inner.end(key, hold, end)).await
    }
    async fn sweep(&self, at_most: u32) -> Result<u64, StoreError> {
        self.inner.sweep(at_most).await
    }
}

async fn any_verb_may_be_lost_before_or_after_it_took_effect(store: TestStore) {
    let errors = [
        StoreError::Busy { doing: "a test", why: "a time-out".to_owned() },
        StoreError::UnknownOutcome { doing: "a test" },
    ];
    for error in errors {
        for lost in [Lost::Before, Lost::After] {
            for at in 1.. {
                store.sql("DELETE FROM idempotency_keys").await;
                let ran = AtomicUsize::new(0);
                let losing = Arc::new(Losing {
                    inner: store.opened.store.clone(),
                    at,
                    lost,
                    error: error.clone(),
                    said: Mutex::default(),
                });
                let keys = Keys::new(losing.clone(), "caller");
                let done = until_answered(&keys, &store.time, &ran).await;
                assert_eq!(done.answer, Answer::new(201, "charged"), "verb {at} {lost:?}: {error}");
                assert_eq!(ran.load(Ordering::Relaxed), 1, "verb {at} {lost:?}: {error}");
                assert_eq!(store.cell("SELECT status FROM idempotency_keys").await, "COMPLETED");
                if *losing.said.lock().unwrap() < at {
                    break;
                }
            }
        }
    }
}

mod sqlite {
    use super::TestStore;

    #[tokio::test]
    async fn any_verb_may_be_lost_before_or_after_it_took_effect() {
        super::any_verb_may_be_lost_before_or_after_it_took_effect(TestStore::sqlite().await).await;
    }
}

mod postgres {
    use super::*;

    #[tokio::test]
    async fn any_verb_may_be_lost_before_or_after_it_took_effect() {
        super::any_verb_may_be_lost_before_or_after_it_took_effect(TestStore::postgres().await).await;
    }

    /// The wire is cut at every request a call makes, logging in included.
    #[tokio::test(flavor = "multi_thread")]
    async fn any_statement_may_be_lost_before_or_after_it_took_effect() {
        let store = TestStore::postgres().await;
        let (server, database) =
            store.url.split_once('@').and_then(|(_, rest)| rest.split_once('/')).unwrap();
        let proxy = Proxy::to(server);
        let url = format!("postgres://redrive@{}/{database}?sslmode=disable", proxy.address);
        let mut cuts = 0;
        for lost in [Lost::Before, Lost::After] {
            for at in 1..=ENOUGH {
                store.sql("DELETE FROM idempotency_keys").await;
                proxy.cut(usize::MAX, lost);
                let options = OpenOptions { time: store.time.clone(), ..OpenOptions::default() };
                let opened = open(&url, options).await.expect("nothing is lost yet");
                proxy.cut(at, lost);
                let ran = AtomicUsize::new(0);
                let done = until_answered(&Keys::new(opened.store, "caller"), &store.time, &ran).await;
                assert_eq!(done.answer, Answer::new(201, "charged"), "request {at} {lost:?}");
                assert_eq!(ran.load(Ordering::Relaxed), 1, "request {at} {lost:?}");
                assert_eq!(store.cell("SELECT status FROM idempotency_keys").await, "COMPLETED");
                if !proxy.was_cut() {
                    break;
                }
                cuts += 1;
            }
        }
        assert!(cuts >= 6, "a call makes some requests, and each was lost: {cuts}");
    }
}
