//! Callers that give up where they wait, and a store whose connections are all in use: what runs then, and what does not.

use std::{
    future::poll_fn,
    pin::pin,
    sync::atomic::{AtomicUsize, Ordering},
    task::Poll,
    time::Duration,
};

use redrive::{
    engine::{
        idempotency::{Held, Keys, Operation, WhenDown, Worked},
        key::{Answer, Hold, KeyIntent},
        store::StoreError,
    },
    store::{OpenOptions, open},
};
use sqlx::{Connection as _, PgConnection};

use crate::support::{
    keys::TestKeys,
    stores::{LEASE, TestStore},
    wait::eventually,
};

const PATIENCE: Duration = Duration::from_secs(20);

/// What `future` comes to within so many polls; else it is dropped where it waits.
async fn within<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    let (mut future, mut left) = (pin!(future), polls);
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending if left == 0 => Poll::Ready(None),
        Poll::Pending => {
            left -= 1;
            Poll::Pending
        }
    })
    .await
}

async fn a_call_given_up_anywhere_leaves_a_key_that_ends_well(store: TestKeys) {
    let operation = Operation::new("payments.charge").leased_for(LEASE);
    let keys = Keys::new(store.keys.clone(), "caller");
    for polls in 0.. {
        let (name, ran) = (format!("{polls} polls"), AtomicUsize::new(0));
        let work = || async {
            ran.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            Worked::Completed(Answer::new(201, "charged"))
        };
        let first = within(polls, keys.once(&operation, &name, &"a request", work)).await;
        let done = loop {
            match keys.once(&operation, &name, &"a request", work).await {
                Err(Held::InFlight { retry_after }) => {
                    store.time.advance(retry_after.expect("it has a lease"));
                }
                other => break other.unwrap_or_else(|held| panic!("{name}: {held}")),
            }
        };
        assert_eq!(done.answer, Answer::new(201, "charged"), "{name}");
        let ran = ran.load(Ordering::Relaxed);
        if let Some(first) = first {
            assert_eq!((first.expect("it is done").answer, ran), (done.answer, 1));
            return;
        }
        assert!((1..=2).contains(&ran), "{name}: ran {ran} times");
    }
}

macro_rules! stores {
    ($($(#[$only:meta])? $store:ident),+) => {$(
        $(#[$only])?
        mod $store {
            use super::TestKeys;

            #[tokio::test]
            async fn a_call_given_up_anywhere_leaves_a_key_that_ends_well() {
                super::a_call_given_up_anywhere_leaves_a_key_that_ends_well(TestKeys::$store().await).await;
            }
        }
    )+};
}

stores!(
    sqlite,
    postgres,
    #[cfg(feature = "redis")]
    redis
);

/// On Postgres, where every connection waits for a lock and the store is far from down.
#[tokio::test]
async fn nothing_runs_unprotected_because_connections_are_scarce() {
    let store = TestStore::postgres().await;
    let options = OpenOptions {
        connections: 3,
        connect_timeout: Duration::from_millis(200),
        statement_timeout: PATIENCE,
        lock_timeout: PATIENCE,
        ..OpenOptions::default()
    };
    let scarce = open(&store.url, options).await.expect("it opens").store;
    let key = KeyIntent::new("payments.charge", "k", String::new()).unwrap();
    let hold = Hold::new("caller", LEASE, LEASE);
    let mut others = PgConnection::connect(&store.url).await.unwrap();
    let insert = "BEGIN; INSERT INTO idempotency_keys (key, request_hash, status) VALUES ('payments.charge/k', '', 'STARTED')";
    sqlx::raw_sql(insert).execute(&mut others).await.unwrap();
    let meanwhile = async {
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        let both = async || (store.cell(waiting).await == "2").then_some(());
        eventually("every connection is in use", PATIENCE, both).await;
        let ran = AtomicUsize::new(0);
        let operation = Operation::new("payments.charge").when_down(WhenDown::RunUnprotected);
        let work = || async {
            ran.fetch_add(1, Ordering::Relaxed);
            Worked::Completed(Answer::new(201, "charged"))
        };
        let held = Keys::new(scarce.clone(), "caller").once(&operation, "k", &"", work).await;
        sqlx::raw_sql("ROLLBACK").execute(&mut others).await.unwrap();
        assert!(matches!(held, Err(Held::Store(StoreError::Busy { .. }))), "{held:?}");
        assert_eq!(ran.load(Ordering::Relaxed), 0);
    };
    let (first, second, ()) = tokio::join!(scarce.begin(&key, &hold), scarce.begin(&key, &hold), meanwhile);
    assert!(first.is_ok() && second.is_ok());
}
