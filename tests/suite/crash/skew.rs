//! Workers whose clocks are wrong: leases live by the database's clock, so nobody steals early and nobody waits long.

use std::process::Command;

use redrive::demo::upstreams::fault::Trouble;

use super::world::{On, World};
use crate::support::{place::PATIENCE, program::redrive, wait::eventually};

/// A worker whose wall clock is shifted, by `+5m` say.
fn at(shift: &str) -> Command {
    // Not by the program `faketime`, which stays between us and the worker.
    let library = std::env::var("REDRIVE_TEST_FAKETIME")
        .expect("no libfaketime for the tests: start them by tests/run, which provides it");
    let mut command = redrive(&[]);
    command.env("LD_PRELOAD", library).env("FAKETIME", shift).env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    command
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_five_minutes_ahead_and_behind_steal_nothing_from_each_other() {
    let world = World::on(On::Postgres, 1).await;
    // Every call takes a good part of the lease, so that there is something to steal.
    for upstream in ["github", "tfc", "notify"] {
        world.upstreams.faults.set(upstream, Trouble { latency_ms: 100, ..Trouble::default() });
    }
    let url = &world.store.url;
    let _workers = [
        world.victim_by(at("+5m"), "ahead", url, "2s", &[]),
        world.victim_by(at("-5m"), "behind", url, "2s", &[]),
        world.victim("right", url, "2s", &[]),
    ];
    eventually("all three are there", PATIENCE, async || {
        (world.store.cell("SELECT count(*) FROM redrive_workers").await == "3").then_some(())
    })
    .await;
    // More than any one of them takes at once.
    for n in 0..40 {
        world.trigger_in(&format!("repo-{n}"), &format!("ws-{n}")).await;
    }
    eventually("all are completed", PATIENCE, async || {
        let completed = "SELECT count(*) FROM onboarding_history WHERE status = 'completed'";
        (world.store.cell(completed).await == "40").then_some(())
    })
    .await;
    // A lease that really ran out on a busy machine is no theft.
    let stolen = "SELECT count(*) FROM redrive_attempts WHERE outcome = 'lost' AND ended_at - started_at < interval '2 seconds'";
    assert_eq!(world.store.cell(stolen).await, "0", "nobody stole before a lease was over");
    let ended = "SELECT count(*) FROM redrive_attempts WHERE outcome = 'succeeded'";
    assert_eq!(world.store.cell(ended).await, "320", "each state was run once");
    let wrong =
        "SELECT count(*) FROM redrive_attempts WHERE abs(extract(epoch FROM started_at - now())) > 120";
    assert_eq!(world.store.cell(wrong).await, "0", "times are the database's");
    let workers = "SELECT string_agg(DISTINCT worker, ' ' ORDER BY worker) FROM redrive_attempts";
    assert_eq!(world.store.cell(workers).await, "ahead behind right", "all three took part");
}
