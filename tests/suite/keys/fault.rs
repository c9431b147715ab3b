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
        idempotency::{Held, Keys, Operation, Outcome, Source, Worked},
        key::{Answer, Hold, KeyBegun, KeyEnd, KeyIntent, KeyStore},
        store::StoreError,
    },
    store::BoundTime,
};

use crate::support::{
    keys::{TestKeys, open_at},
    proxy::{Lost, Proxy},
};

const LEASE: Duration = Duration::from_secs(30);
/// More requests than one call needs.
const ENOUGH: usize = 60;

/// A caller who asks with the same key until there is an answer, waiting out leases on a bound clock.
async fn until_answered(keys: &Keys, name: &str, time: &BoundTime, ran: &AtomicUsize) -> Outcome {
    let operation = Operation::new("payments.charge").leased_for(LEASE);
    for _ in 0..10 {
        let work = || async {
            ran.fetch_add(1, Ordering::Relaxed);
            Worked::Completed(Answer::new(201, "charged"))
        };
        match keys.once(&operation, name, &"a request", work).await {
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

/// One effect, and its answer is stored.
async fn check(store: &TestKeys, name: &str, done: &Outcome, ran: &AtomicUsize) {
    assert_eq!(done.answer, Answer::new(201, "charged"), "{name}");
    assert_eq!(ran.load(Ordering::Relaxed), 1, "{name}");
    let again = until_answered(&Keys::new(store.keys.clone(), "another"), name, &store.time, ran).await;
    assert_eq!((again.source, ran.load(Ordering::Relaxed)), (Source::Stored, 1), "{name}");
}

async fn any_verb_may_be_lost_before_or_after_it_took_effect(store: TestKeys) {
    let errors = [
        ("busy", StoreError::Busy { doing: "a test", why: "a time-out".to_owned() }),
        ("unknown", StoreError::UnknownOutcome { doing: "a test" }),
    ];
    for (word, error) in errors {
        for lost in [Lost::Before, Lost::After] {
            for at in 1.. {
                let (name, ran) = (format!("verb {at} {lost:?} {word}"), AtomicUsize::new(0));
                let losing = Arc::new(Losing {
                    inner: store.keys.clone(),
                    at,
                    lost,
                    error: error.clone(),
                    said: Mutex::default(),
                });
                let keys = Keys::new(losing.clone(), "caller");
                let done = until_answered(&keys, &name, &store.time, &ran).await;
                check(&store, &name, &done, &ran).await;
                if *losing.said.lock().unwrap() < at {
                    break;
                }
            }
        }
    }
}

/// The wire is cut at every request a call makes, logging in included.
async fn any_request_may_be_lost_before_or_after_it_took_effect(store: TestKeys) {
    let (url, prefix) = store.address();
    let (login, place) = url.split_once('@').expect("a URL with a user");
    let (server, rest) = place.split_once('/').unwrap_or((place, ""));
    let proxy = Proxy::to(server);
    let plain = if login.starts_with("postgres") { "?sslmode=disable" } else { "" };
    let url = format!("{login}@{}/{rest}{plain}", proxy.address);
    let mut cuts = 0;
    for lost in [Lost::Before, Lost::After] {
        for at in 1..=ENOUGH {
            let (name, ran) = (format!("request {at} {lost:?}"), AtomicUsize::new(0));
            proxy.cut(usize::MAX, lost);
            let keys = Keys::new(open_at(&url, prefix, &store.time).await, "caller");
            proxy.cut(at, lost);
            let done = until_answered(&keys, &name, &store.time, &ran).await;
            check(&store, &name, &done, &ran).await;
            if !proxy.was_cut() {
                break;
            }
            cuts += 1;
        }
    }
    assert!(cuts >= 4, "a call makes some requests, and each was lost: {cuts}");
}

mod sqlite {
    use super::TestKeys;

    #[tokio::test]
    async fn any_verb_may_be_lost_before_or_after_it_took_effect() {
        super::any_verb_may_be_lost_before_or_after_it_took_effect(TestKeys::sqlite().await).await;
    }
}

macro_rules! servers {
    ($($(#[$only:meta])? $store:ident),+) => {$(
        $(#[$only])?
        mod $store {
            use super::TestKeys;

            #[tokio::test]
            async fn any_verb_may_be_lost_before_or_after_it_took_effect() {
                super::any_verb_may_be_lost_before_or_after_it_took_effect(TestKeys::$store().await).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn any_request_may_be_lost_before_or_after_it_took_effect() {
                super::any_request_may_be_lost_before_or_after_it_took_effect(TestKeys::$store().await).await;
            }
        }
    )+};
}

servers!(
    postgres,
    #[cfg(feature = "redis")]
    redis
);
