//! Processes that die or are paused while they work under a key.

use std::{fs, time::Duration};

use redrive::engine::{
    idempotency::{Held, Keys, Outcome, Source, Worked},
    key::Answer,
};

use super::child::{self, Point, effect, operation};
use crate::support::{keys::TestKeys, wait::eventually};

const PATIENCE: Duration = Duration::from_secs(30);

/// How often the effect happened.
fn effects(file: &str) -> usize {
    fs::read_to_string(file).map(|text| text.lines().count()).unwrap_or_default()
}

/// Asks with the same key, here, in the name of the parent.
async fn ask(store: &TestKeys, name: &str, file: &str, lease: Duration) -> Result<Outcome, Held> {
    let keys = Keys::new(store.keys.clone(), "parent");
    let work = || async {
        effect(file, "parent");
        Worked::Completed(Answer::new(201, "by parent"))
    };
    keys.once(&operation(lease), name, &name, work).await
}

async fn a_process_killed_anywhere_leaves_a_key_that_ends_well(store: TestKeys) {
    let lease = Duration::from_secs(60);
    let folder = tempfile::tempdir().unwrap();
    for point in Point::ALL {
        let name = format!("{point:?}");
        let file = folder.path().join(&name).display().to_string();
        child::start(&store, &name, &file, lease, point).kill();
        let left = effects(&file);
        // Before its lease is over nobody else runs; what was stored is replayed at once.
        store.time.free();
        let answer = ask(&store, &name, &file, lease).await;
        if point == Point::AfterEnd {
            let done = answer.expect("it was stored");
            assert_eq!((done.source, done.answer), (Source::Stored, Answer::new(201, "by child")));
            assert_eq!(effects(&file), 1, "{point:?}");
            continue;
        }
        assert!(matches!(answer, Err(Held::InFlight { retry_after: Some(_) })), "{point:?}: {answer:?}");
        store.time.set(redrive::clock::now() + 2 * lease);
        let done = ask(&store, &name, &file, lease).await.expect("its lease is over");
        assert_eq!(done.answer, Answer::new(201, "by parent"), "{point:?}");
        // At least once: what the dead process did outside the store is done again.
        let expected = match point {
            Point::Begun | Point::BeforeEffect => (0, 1),
            _ => (1, 2),
        };
        assert_eq!((left, effects(&file)), expected, "{point:?}");
    }
}

async fn a_paused_process_changes_nothing_once_another_took_over_and_counts_its_lost_lease(store: TestKeys) {
    store.time.free();
    let lease = Duration::from_secs(1);
    let folder = tempfile::tempdir().unwrap();
    for point in [Point::BeforeEffect, Point::AfterEffect] {
        let name = format!("{point:?}");
        let file = folder.path().join(&name).display().to_string();
        let mut zombie = child::start(&store, &name, &file, lease, point);
        zombie.signal("STOP");
        let done = eventually("the lease of the paused process is over", PATIENCE, async || {
            ask(&store, &name, &file, lease).await.ok()
        })
        .await;
        assert_eq!(done.answer, Answer::new(201, "by parent"));
        zombie.signal("CONT");
        zombie.hear("done", PATIENCE);
        assert!(zombie.lines.iter().any(|line| line == "lost"), "{:?}", zombie.lines);
        assert!(zombie.lines.iter().any(|line| line == "redrive_lease_lost_total 1"), "{:?}", zombie.lines);
        let again = ask(&store, &name, &file, lease).await.expect("it is stored");
        assert_eq!((again.source, again.answer), (Source::Stored, done.answer), "the zombie changed nothing");
        let attempts = store.written(&format!("payments.charge/{name}"), "attempts").await;
        assert_eq!(attempts, "2", "the paused one and the one that took over");
    }
}

macro_rules! processes {
    ($($(#[$only:meta])? $dialect:ident),+) => {$(
        $(#[$only])?
        mod $dialect {
            use crate::support::keys::TestKeys;

            #[tokio::test(flavor = "multi_thread")]
            async fn a_process_killed_anywhere_leaves_a_key_that_ends_well() {
                super::a_process_killed_anywhere_leaves_a_key_that_ends_well(TestKeys::$dialect().await).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn a_paused_process_changes_nothing_once_another_took_over_and_counts_its_lost_lease() {
                super::a_paused_process_changes_nothing_once_another_took_over_and_counts_its_lost_lease(
                    TestKeys::$dialect().await,
                )
                .await;
            }
        }
    )+};
}

processes!(
    sqlite,
    postgres,
    #[cfg(feature = "redis")]
    redis
);
