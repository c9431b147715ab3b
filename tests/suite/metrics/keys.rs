//! What was asked of keys: added up over processes and five minutes, never guessed.

use std::time::Duration;

use redrive::{
    engine::observer::{KeyOutcome, Observer},
    metrics::{
        export::Metrics,
        exposition,
        scrape::{ScrapeResult, Scraped},
        signals::{KeySignal, KeySignals},
    },
};

use super::world::{INTERVAL, World};

const CHARGE: &str = "payments.charge";

fn scraped(name: &str, metrics: &Metrics) -> ScrapeResult {
    ScrapeResult {
        name: name.to_owned(),
        url: format!("http://{name}:9000/metrics"),
        address: format!("{name}:9000"),
        took: Duration::ZERO,
        outcome: Ok(Scraped::Exposition(exposition::parse(&metrics.encode()).expect("our own export"))),
    }
}

fn look(world: &mut World, processes: &[(&str, &Metrics)]) -> Option<KeySignals> {
    world.passes(INTERVAL);
    let scrapes = processes.iter().map(|(name, metrics)| scraped(name, metrics)).collect();
    world.collector.observe(world.at, world.wall, scrapes);
    world.collector.signals().keys
}

fn ask(metrics: &Metrics, outcome: KeyOutcome, times: usize) {
    (0..times).for_each(|_| metrics.key_asked(CHARGE, outcome));
}

#[test]
fn a_ratio_is_over_all_processes_and_not_a_mean_of_theirs() {
    let (mut world, busy, idle) = (World::new(Vec::new()), Metrics::new(), Metrics::new());
    ask(&busy, KeyOutcome::Replayed, 500);
    let first = look(&mut world, &[("busy", &busy), ("idle", &idle)]).expect("one of them tells");
    assert!(first.operations.is_empty(), "what came before is not counted");
    ask(&busy, KeyOutcome::Replayed, 10);
    ask(&busy, KeyOutcome::New, 80);
    ask(&busy, KeyOutcome::InProgress, 4);
    ask(&busy, KeyOutcome::Mismatch, 3);
    ask(&busy, KeyOutcome::Recovered, 2);
    ask(&idle, KeyOutcome::Unprotected, 1);
    busy.storage_failed("0a1b2c3d-4e5f");
    let keys = look(&mut world, &[("busy", &busy), ("idle", &idle)]).expect("they tell");
    let expected = KeySignal {
        operation: CHARGE.into(),
        asked: 100,
        hit_ratio: Some(0.1),
        in_progress: 4,
        mismatch: 3,
        recovered: 2,
        error: 0,
        unprotected: 1,
    };
    assert_eq!(keys, KeySignals { operations: vec![expected], not_stored: 1 });
}

#[test]
fn after_five_minutes_it_is_forgotten_and_then_no_ratio_is_known() {
    let (mut world, metrics) = (World::new(Vec::new()), Metrics::new());
    ask(&metrics, KeyOutcome::New, 1);
    look(&mut world, &[("a", &metrics)]);
    ask(&metrics, KeyOutcome::Replayed, 3);
    let mut seen = look(&mut world, &[("a", &metrics)]).expect("it tells").operations[0].clone();
    assert_eq!((seen.asked, seen.hit_ratio), (3, Some(1.0)));
    for _ in 0..(300 / INTERVAL.as_secs()) {
        seen = look(&mut world, &[("a", &metrics)]).expect("it tells").operations[0].clone();
    }
    assert_eq!((seen.asked, seen.hit_ratio), (0, None));
}

#[test]
fn where_no_process_tells_of_keys_nothing_is_claimed() {
    let (mut world, silent) = (World::new(Vec::new()), Metrics::new());
    assert_eq!(look(&mut world, &[("a", &silent)]), None);
    assert_eq!(look(&mut world, &[]), None);
}
