//! Locks with an end: who has one, until when, and the token that fences a holder that was paused past it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use redrive::engine::lock::Locked;
use tokio::task::JoinSet;

use crate::support::{keys::TestKeys, stores::noon};

memory_laws!(
    taken_again_by_its_owner_it_lasts_anew_under_the_same_token,
    anothers_is_refused_with_its_end,
    only_its_owner_lets_go,
    after_its_end_the_next_holder_gets_a_larger_token,
    tokens_grow_across_a_release,
    of_sixty_four_takers_one_has_it,
    each_resource_has_a_lock_of_its_own,
    a_lock_for_ever_is_held,
    a_lock_for_no_time_is_over_at_once;
    databases:
);

const TTL: Duration = Duration::from_secs(30);

async fn lock(store: &TestKeys, resource: &str, owner: &str) -> Locked {
    store.locks.lock(resource, owner, TTL).await.expect("it answers")
}

async fn taken(store: &TestKeys, owner: &str) -> (i64, DateTime<Utc>) {
    match lock(store, "ledger", owner).await {
        Locked::Taken { token, until } => (token, until),
        held @ Locked::Held { .. } => panic!("{owner} takes it: {held:?}"),
    }
}

async fn unlock(store: &TestKeys, owner: &str) -> bool {
    store.locks.unlock("ledger", owner).await.expect("it answers")
}

async fn taken_again_by_its_owner_it_lasts_anew_under_the_same_token(store: TestKeys) {
    let (token, until) = taken(&store, "ana").await;
    assert_eq!(until, noon() + TTL);
    store.time.advance(Duration::from_secs(10));
    assert_eq!(taken(&store, "ana").await, (token, until + Duration::from_secs(10)));
    store.time.advance(TTL - Duration::from_secs(1));
    assert!(matches!(lock(&store, "ledger", "ben").await, Locked::Held { .. }));
}

async fn anothers_is_refused_with_its_end(store: TestKeys) {
    let (token, until) = taken(&store, "ana").await;
    store.time.advance(Duration::from_secs(10));
    let held = Locked::Held { until, retry_after: TTL - Duration::from_secs(10) };
    assert_eq!(lock(&store, "ledger", "ben").await, held);
    assert_eq!(lock(&store, "ledger", "ben").await, held, "asking changed nothing");
    assert_eq!(taken(&store, "ana").await.0, token);
}

async fn only_its_owner_lets_go(store: TestKeys) {
    assert!(!unlock(&store, "ana").await, "nobody has it");
    taken(&store, "ana").await;
    assert!(!unlock(&store, "ben").await);
    assert!(matches!(lock(&store, "ledger", "ben").await, Locked::Held { .. }));
    assert!(unlock(&store, "ana").await);
    assert!(!unlock(&store, "ana").await, "it is no longer hers");
    taken(&store, "ben").await;
    store.time.advance(TTL);
    assert!(!unlock(&store, "ben").await, "its end has come");
}

async fn after_its_end_the_next_holder_gets_a_larger_token(store: TestKeys) {
    let (first, _) = taken(&store, "ana").await;
    store.time.advance(TTL);
    let (second, _) = taken(&store, "ben").await;
    assert!(second > first, "{second} > {first}");
    assert!(!unlock(&store, "ana").await, "the paused holder lets go of nobody's");
    store.time.advance(TTL);
    let (third, _) = taken(&store, "ben").await;
    assert!(third > second, "a holding of its own, though by the same owner: {third} > {second}");
}

async fn tokens_grow_across_a_release(store: TestKeys) {
    let mut last = 0;
    for round in 0..5 {
        let owner = ["ana", "ben"][round % 2];
        let (token, _) = taken(&store, owner).await;
        assert!(token > last, "round {round}: {token} > {last}");
        assert!(unlock(&store, owner).await);
        last = token;
    }
    store.time.set(noon() - TTL);
    let (token, _) = taken(&store, "ana").await;
    assert!(token > last, "under a clock that was set back too: {token} > {last}");
}

async fn of_sixty_four_takers_one_has_it(store: TestKeys) {
    let handles = [store.again().await.1, store.again().await.1];
    let mut last = 0;
    for round in 0..3 {
        let mut taking = JoinSet::new();
        for n in 0..64 {
            let handle = handles[n % 2].clone();
            taking.spawn(async move {
                let owner = format!("owner {n}");
                let locked = handle.lock("ledger", &owner, TTL).await.expect("it answers");
                (owner, locked)
            });
        }
        let taken = taking.join_all().await;
        let taken: Vec<_> = taken
            .into_iter()
            .filter_map(|(owner, locked)| match locked {
                Locked::Taken { token, .. } => Some((owner, token)),
                Locked::Held { .. } => None,
            })
            .collect();
        let [(owner, token)] = taken.as_slice() else { panic!("round {round}: one has it: {taken:?}") };
        assert!(*token > last);
        last = *token;
        assert!(unlock(&store, owner).await);
    }
}

async fn each_resource_has_a_lock_of_its_own(store: TestKeys) {
    taken(&store, "ana").await;
    for resource in ["ledger ", "Ledger", "{ledger}", "led\0ger", "größe"] {
        assert!(matches!(lock(&store, resource, "ben").await, Locked::Taken { .. }), "{resource:?}");
    }
}

async fn a_lock_for_ever_is_held(store: TestKeys) {
    let first = store.locks.lock("ledger", "ana", Duration::MAX).await.expect("it answers");
    let Locked::Taken { token, until } = first else { panic!("nobody has it: {first:?}") };
    store.time.advance(Duration::from_secs(90 * 365 * 86_400));
    assert!(matches!(lock(&store, "ledger", "ben").await, Locked::Held { until: ends, .. } if ends == until));
    assert_eq!(taken(&store, "ana").await.0, token);
    assert!(unlock(&store, "ana").await);
}

async fn a_lock_for_no_time_is_over_at_once(store: TestKeys) {
    let mut last = 0;
    for owner in ["ana", "", "ana"] {
        let taken = store.locks.lock("ledger", owner, Duration::ZERO).await.expect("it answers");
        let Locked::Taken { token, until } = taken else { panic!("nobody has it: {taken:?}") };
        assert!(token > last && until == noon(), "{token} > {last}, {until}");
        assert!(!unlock(&store, owner).await, "it is over");
        last = token;
    }
}
