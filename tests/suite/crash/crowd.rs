//! Many onboardings, several workers, and something that keeps going wrong: workers killed at random, or the whole
//! database server.

use std::time::Duration;

use redrive::{clock, demo::upstreams::ledger::Applied, domain::id::OnboardingId};

use super::world::{On, Victim, World};
use crate::support::{postgres::Server, stores::TestStore, wait::eventually};

/// The longest a crowd of `count` may take.
fn patience(count: usize) -> Duration {
    Duration::from_secs(180 + count as u64)
}

/// Everything that is not as it has to be once all have ended.
async fn complaints(world: &World, count: usize) -> Vec<String> {
    let mut found = Vec::new();
    for (what, query, should) in [
        ("completed", "SELECT count(*) FROM onboarding_history WHERE status = 'completed'", count),
        ("work left", "SELECT count(*) FROM redrive_work", 0),
        ("open attempts", "SELECT count(*) FROM redrive_attempts WHERE outcome IS NULL", 0),
        ("keys left in flight", "SELECT count(*) FROM idempotency_keys WHERE status = 'STARTED'", 0),
        (
            "entities nobody owns",
            "SELECT count(*) FROM entities WHERE id NOT IN (SELECT entity_id FROM redrive_entity_owners)",
            0,
        ),
    ] {
        let is = world.store.cell(query).await;
        if is != should.to_string() {
            found.push(format!("{what}: {is}, not {should}"));
        }
    }
    found.extend(world.store.column("SELECT state || ': ' || error FROM redrive_dead_letters").await);
    let counts = world.upstreams.ledger.counts();
    for (what, is) in [
        ("hooks", counts.hooks),
        ("notifications", counts.notifications),
        ("announcements", counts.announcements as usize),
    ] {
        if is != count {
            found.push(format!("{what}: {is}, not {count}"));
        }
    }
    let mut keys: Vec<String> = world
        .upstreams
        .ledger
        .entries()
        .into_iter()
        .filter(|entry| entry.applied == Applied::Applied)
        .filter_map(|entry| entry.idempotency_key.map(|key| format!("{:?} {key}", entry.effect)))
        .collect();
    let all = keys.len();
    keys.sort();
    keys.dedup();
    if keys.len() != all {
        found.push(format!("{} effects were made twice", all - keys.len()));
    }
    found
}

async fn trigger(world: &World, count: usize) -> Vec<OnboardingId> {
    let mut ids = Vec::new();
    for n in 0..count {
        ids.push(world.trigger_in(&format!("repo-{n}"), &format!("ws-{n}")).await);
    }
    ids
}

/// How many have come to an end, good or bad.
async fn ended(world: &World) -> usize {
    let sql = "SELECT count(*) FROM onboarding_history WHERE status <> 'in_progress'";
    world.store.try_cell(sql).await.ok().and_then(|cell| cell.parse().ok()).unwrap_or(0)
}

/// Workers are killed at random while others, and those started in their place, go on.
async fn killed_at_random(on: On, workers: usize, count: usize) {
    let world = World::on(on, 1).await;
    trigger(&world, count).await;
    // A call may last half a lease. A large crowd keeps a small machine busy: one that is only slow is no failure here.
    let lease = if count > 100 { "20s" } else { "2s" };
    let mut random = clock::Random::seeded(7);
    let mut started = 0;
    let mut start = || {
        started += 1;
        world.victim(&format!("victim-{started}"), &world.store.url, lease, &[])
    };
    let mut crowd: Vec<Victim> = (0..workers).map(|_| start()).collect();
    let (mut kills, mut seen) = (0, 0);
    eventually("all have ended", patience(count), async || {
        let done = ended(&world).await;
        // A kill for every eighth that is done: as often as there is progress, however fast this machine is.
        if done > seen + count / 8 && done < count {
            seen = done;
            let unlucky = (random.unit() * workers as f64) as usize % workers;
            crowd[unlucky] = start();
            kills += 1;
        }
        (done == count).then_some(())
    })
    .await;
    // How many there are is up to how fast they end; none at all would prove nothing.
    assert!(kills >= 2, "{kills} kills");
    assert_eq!(complaints(&world, count).await, Vec::<String>::new());
}

/// The server is restarted, without so much as a goodbye, while workers go on.
async fn the_server_restarts(count: usize) {
    let mut server = Server::own();
    let world = World::over(TestStore::postgres_at(server.url()).await, 1).await;
    trigger(&world, count).await;
    let _workers = ["one", "two"].map(|name| world.victim(name, &world.store.url, "3s", &[]));
    let (mut restarts, mut seen) = (0, 0);
    eventually("all have ended", patience(count), async || {
        let done = ended(&world).await;
        if done >= seen + count / 6 && done < count {
            seen = done;
            server.restart();
            restarts += 1;
        }
        (done == count).then_some(())
    })
    .await;
    assert!(restarts >= 2, "{restarts} restarts");
    assert_eq!(complaints(&world, count).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_killed_at_random_lose_and_double_nothing_on_sqlite() {
    killed_at_random(On::Sqlite, 2, 60).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_killed_at_random_lose_and_double_nothing_on_postgres() {
    killed_at_random(On::Postgres, 3, 100).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: eight workers, 2,000 onboardings"]
async fn eight_workers_killed_at_random_lose_and_double_nothing_of_2000_on_postgres() {
    killed_at_random(On::Postgres, 8, 2_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: eight workers, 2,000 onboardings"]
async fn eight_workers_killed_at_random_lose_and_double_nothing_of_2000_on_sqlite() {
    killed_at_random(On::Sqlite, 8, 2_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgres_that_restarts_again_and_again_loses_and_doubles_nothing() {
    the_server_restarts(60).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: 1,000 onboardings"]
async fn a_postgres_that_restarts_again_and_again_loses_and_doubles_nothing_of_1000() {
    the_server_restarts(1_000).await;
}
