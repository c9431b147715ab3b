//! Workers that freeze past their lease and wake up while another is at work, or done.

use std::time::Duration;

use futures_util::StreamExt as _;
use redrive::{demo::upstreams::ledger::Applied, domain::onboarding::Phase};

use super::{
    audit::{End, complaints},
    world::{On, World},
};
use crate::support::{place::PATIENCE, wait::eventually};

/// As short as a lease may be.
const LEASE: Duration = Duration::from_secs(1);

/// How often something was changed at the stand-ins. A request that comes late, repeated, changes nothing.
fn effects(world: &World) -> usize {
    world.upstreams.ledger.entries().iter().filter(|entry| entry.applied == Applied::Applied).count()
}

/// The victim's newest sign of life: when, and how many onboardings it runs.
async fn beat(world: &World) -> String {
    world.store.cell("SELECT beat_at || ' ' || running FROM redrive_workers WHERE id = 'victim'").await
}

/// One zombie: it stops itself at `fault`, its lease ends by the database's clock, another finishes, it wakes up.
async fn zombie(on: On, fault: &str, seed: u64) -> Vec<String> {
    let (world, id, victim) = loop {
        let world = World::on(on, seed).await;
        let id = world.trigger("payments").await;
        let victim = world.victim("victim", &world.store.url, "1s", &[fault]);
        victim.stands_still().await;
        // SQLite's one lock is the file's: frozen with it, in a heartbeat say, a process holds up everybody.
        if on == On::Postgres || world.store.try_sql("BEGIN IMMEDIATE; ROLLBACK").await.is_ok() {
            break (world, id, victim);
        }
    };
    let _heir = world.heir("heir", LEASE).await;
    world.until(&id, Phase::Completed).await;
    let (before, made) = (world.store.everything().await, effects(&world));
    let mut beats = vec![beat(&world).await];
    victim.signal("CONT");
    // Told that its lease is lost, or, where its questions timed out while it stood still, having given up without an
    // answer: of two signs of life the second was begun after it woke up.
    eventually(&format!("{fault}: it lets go"), PATIENCE, async || {
        let newest = beat(&world).await;
        if beats.last() != Some(&newest) {
            beats.push(newest);
        }
        let idle = beats.len() > 2 && beats.last().is_some_and(|beat| beat.ends_with(" 0"));
        (idle || world.metric("victim", "redrive_lease_lost_total").await >= 1.0).then_some(())
    })
    .await;
    let mut found = complaints(&world, &id, End::Completed).await;
    if world.store.everything().await != before || effects(&world) != made {
        found.push("the zombie changed something".to_owned());
    }
    found
}

async fn zombies(on: On, count: u64) {
    // Before the call, after it, and on its way to record.
    let faults = [
        "CONFIGURING_SYNC.after=stop*1",
        "record:CONFIGURING_SYNC.before=stop*1",
        "record:REGISTERING.before=stop*1",
        "NOTIFYING.after=stop*1",
    ];
    let found: Vec<String> = futures_util::stream::iter(0..count)
        .map(|seed| async move {
            let fault = faults[seed as usize % faults.len()];
            let found = zombie(on, fault, seed).await;
            found.into_iter().map(|said| format!("{fault}: {said}")).collect::<Vec<_>>()
        })
        .buffer_unordered(4)
        .concat()
        .await;
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_wakes_up_past_its_lease_abandons_what_another_finished_on_sqlite() {
    zombies(On::Sqlite, 4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_wakes_up_past_its_lease_abandons_what_another_finished_on_postgres() {
    zombies(On::Postgres, 4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: fifty zombies"]
async fn fifty_zombies_change_nothing_on_sqlite() {
    zombies(On::Sqlite, 50).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: fifty zombies"]
async fn fifty_zombies_change_nothing_on_postgres() {
    zombies(On::Postgres, 50).await;
}
