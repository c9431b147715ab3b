//! Many at once: on one key, and over many keys.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use redrive::engine::{
    idempotency::{Held, Keys, Operation, Source, Worked},
    key::{Answer, KeyStore},
};
use tokio::{sync::Barrier, task::JoinSet};

use crate::support::keys::TestKeys;

/// A quick share of it; the whole is run with the long tests.
const SOME: usize = 50;

async fn one_key(stores: [Arc<dyn KeyStore>; 2], rounds: usize) {
    let operation = Arc::new(Operation::new("payments.charge"));
    for round in 0..rounds {
        let (ran, together) = (Arc::new(AtomicUsize::new(0)), Arc::new(Barrier::new(64)));
        let mut asking = JoinSet::new();
        for n in 0..64 {
            let keys = Keys::new(stores[n % 2].clone(), format!("caller-{n}"));
            let (operation, ran, together) = (operation.clone(), ran.clone(), together.clone());
            asking.spawn(async move {
                together.wait().await;
                let work = || async {
                    ran.fetch_add(1, Ordering::Relaxed);
                    Worked::Completed(Answer::new(201, format!("by {n}")))
                };
                keys.once(&operation, &format!("key-{round}"), &round, work).await
            });
        }
        let answers = asking.join_all().await;
        assert_eq!(ran.load(Ordering::Relaxed), 1, "round {round}: one run");
        let bodies: Vec<_> = answers.iter().flatten().map(|done| &done.answer.body).collect();
        assert!(!bodies.is_empty() && bodies.iter().all(|body| *body == bodies[0]), "one answer for all");
        let runs = answers.iter().flatten().filter(|done| done.source != Source::Stored).count();
        assert_eq!(runs, 1);
        let refused = answers.iter().filter_map(|answer| answer.as_ref().err());
        for held in refused {
            assert!(matches!(held, Held::InFlight { retry_after: Some(_) }), "{held}");
        }
    }
}

async fn many_keys(stores: [Arc<dyn KeyStore>; 2], keys: usize) {
    let operation = Arc::new(Operation::new("payments.charge"));
    let effects: Arc<Vec<AtomicUsize>> = Arc::new((0..keys).map(|_| AtomicUsize::new(0)).collect());
    let mut workers = JoinSet::new();
    for worker in 0..8_usize {
        let holder = Keys::new(stores[worker % 2].clone(), format!("worker-{worker}"));
        let (operation, effects) = (operation.clone(), effects.clone());
        workers.spawn(async move {
            // Each begins elsewhere, so that all meet on every key.
            for key in (0..keys).map(|key| (key + worker * keys / 8) % keys) {
                let work = || async {
                    effects[key].fetch_add(1, Ordering::Relaxed);
                    Worked::Completed(Answer::new(200, key.to_string()))
                };
                match holder.once(&operation, &key.to_string(), &key, work).await {
                    Ok(done) => assert_eq!(done.answer.body, key.to_string().into_bytes()),
                    Err(held) => assert!(matches!(held, Held::InFlight { .. }), "{held}"),
                }
            }
        });
    }
    workers.join_all().await;
    let wrong = effects.iter().filter(|effect| effect.load(Ordering::Relaxed) != 1).count();
    assert_eq!(wrong, 0, "of {keys} keys so many did not have exactly one effect");
}

async fn two(store: &TestKeys) -> [Arc<dyn KeyStore>; 2] {
    store.time.free();
    [store.again().await.0, store.again().await.0]
}

macro_rules! crowds {
    ($($(#[$only:meta])? $dialect:ident),+) => {$(
        $(#[$only])?
        mod $dialect {
            use super::{SOME, TestKeys, many_keys, one_key, two};

            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn sixty_four_tasks_on_one_key_run_once() {
                let store = TestKeys::$dialect().await;
                one_key(two(&store).await, SOME).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            #[ignore = "long: a thousand rounds"]
            async fn sixty_four_tasks_on_one_key_run_once_a_thousand_times() {
                let store = TestKeys::$dialect().await;
                one_key(two(&store).await, 1_000).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn eight_workers_leave_one_effect_a_key() {
                let store = TestKeys::$dialect().await;
                many_keys(two(&store).await, 10 * SOME).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            #[ignore = "long: ten thousand keys"]
            async fn eight_workers_leave_one_effect_on_each_of_ten_thousand_keys() {
                let store = TestKeys::$dialect().await;
                many_keys(two(&store).await, 10_000).await;
            }
        }
    )+};
}

crowds!(
    sqlite,
    postgres,
    #[cfg(feature = "redis")]
    redis
);
