//! Simulated incidents at scrapes 15 s apart, ten seeds each: every storm is called in time, and what is none never is.

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use redrive::{
    clock::{self, Random},
    metrics::{
        collector::Collector,
        exposition,
        scrape::{ScrapeResult, Scraped},
        signals::{Signals, VerdictKind},
        verdict::Rules,
    },
};

const INTERVAL: f64 = 15.0;
const SEEDS: std::ops::Range<u64> = 0..10;

/// What happens to calls at one moment.
#[derive(Debug, Clone, Copy)]
struct Traffic {
    /// First tries per second.
    rate: f64,
    /// Retries per first try.
    retries: f64,
    /// The share of first tries that succeed.
    first_ok: f64,
    /// The share of retries that succeed.
    retries_ok: f64,
}

impl Traffic {
    const CALM: Self = Self { rate: 20.0, retries: 0.01, first_ok: 0.99, retries_ok: 0.95 };

    /// A storm with this share of retries among all attempts.
    fn storm(ratio: f64) -> Self {
        Self { retries: ratio / (1.0 - ratio), first_ok: 0.1, retries_ok: 0.02, ..Self::CALM }
    }
}

/// One process that counts, and a collector that watches it.
struct Sky {
    random: Random,
    collector: Collector,
    begun: Instant,
    /// Seconds since then.
    now: f64,
    counts: [f64; 4],
    began: u32,
}

impl Sky {
    fn new(seed: u64) -> Self {
        let begun = clock::instant();
        let interval = Duration::from_secs_f64(INTERVAL);
        let collector = Collector::new(Rules::default(), interval, begun, DateTime::UNIX_EPOCH);
        Self { random: Random::seeded(seed), collector, begun, now: 0.0, counts: [0.0; 4], began: 1 }
    }

    /// How often something happens that is expected to happen so often.
    fn times(&mut self, expected: f64) -> f64 {
        if expected > 50.0 {
            // Near enough to a Poisson distribution: the sum of twelve uniform numbers has a variance of 1.
            let normal: f64 = (0..12).map(|_| self.random.unit()).sum::<f64>() - 6.0;
            return (expected + normal * expected.sqrt()).round().max(0.0);
        }
        let (limit, mut product, mut count) = ((-expected).exp(), self.random.unit(), 0.0);
        while product > limit {
            product *= self.random.unit();
            count += 1.0;
        }
        count
    }

    fn wall(&self) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::milliseconds((self.now * 1_000.0) as i64)
    }

    /// Lives until the next scrape, second by second.
    fn scrape(&mut self, traffic: impl Fn(f64) -> Traffic) -> Signals {
        for _ in 0..INTERVAL as u32 {
            let now = traffic(self.now);
            let first = self.times(now.rate);
            let retries = self.times(now.rate * now.retries);
            let first_ok = self.times(first * now.first_ok).min(first);
            let retries_ok = self.times(retries * now.retries_ok).min(retries);
            for (count, by) in
                self.counts.iter_mut().zip([first_ok, first - first_ok, retries_ok, retries - retries_ok])
            {
                *count += by;
            }
            self.now += 1.0;
        }
        let labels = [("first", "success"), ("first", "failure"), ("retry", "success"), ("retry", "failure")];
        let mut text = format!("process_start_time_seconds {}\n", self.began);
        for ((attempt, outcome), count) in labels.iter().zip(self.counts) {
            text += &format!(
                "http_client_requests_total{{operation=\"pay\",attempt=\"{attempt}\",outcome=\"{outcome}\"}} {count}\n"
            );
        }
        let result = ScrapeResult {
            name: "shop".to_owned(),
            url: "http://shop:9100/metrics".to_owned(),
            address: "shop:9100".to_owned(),
            took: Duration::from_millis(2),
            outcome: Ok(Scraped::Exposition(exposition::parse(&text).expect("readable"))),
        };
        self.collector.observe(self.begun + Duration::from_secs_f64(self.now), self.wall(), vec![result]);
        self.collector.signals()
    }

    fn restarts(&mut self) {
        self.counts = [0.0; 4];
        self.began += 100;
    }
}

/// How long after `from` a storm is called, in seconds.
fn called_after(sky: &mut Sky, from: f64, traffic: impl Fn(f64) -> Traffic) -> f64 {
    for _ in 0..40 {
        let signals = sky.scrape(&traffic);
        if matches!(signals.verdict.kind, VerdictKind::Storm | VerdictKind::Stuck) {
            return sky.now - from;
        }
    }
    panic!("no storm was called within ten minutes");
}

#[test]
fn every_storm_is_called_in_time() {
    let mut table = String::new();
    for (ratio, rate, limit) in [
        (0.8, 20.0, 30.0),
        (0.6, 20.0, 30.0),
        (0.6, 3.0, 30.0),
        (0.5, 20.0, 45.0),
        (0.4, 20.0, 45.0),
        (0.3, 20.0, 75.0),
        (0.3, 5.0, 75.0),
        (0.25, 20.0, 75.0),
    ] {
        let mut slowest: f64 = 0.0;
        for seed in SEEDS {
            let mut sky = Sky::new(seed);
            // At any moment between two scrapes.
            let onset = 600.0 + (seed as f64 * 1.5);
            let traffic = |now: f64| Traffic {
                rate,
                ..if now < onset { Traffic::CALM } else { Traffic::storm(ratio) }
            };
            while sky.now < 600.0 {
                let signals = sky.scrape(traffic);
                assert_ne!(signals.verdict.kind, VerdictKind::Storm, "nothing has begun");
            }
            let after = called_after(&mut sky, onset, traffic);
            slowest = slowest.max(after);
            let began = sky.collector.signals().verdict.began.expect("known");
            let off = (began - (DateTime::UNIX_EPOCH + TimeDelta::milliseconds((onset * 1e3) as i64)))
                .num_seconds();
            assert!(off.abs() <= 15, "it is said to have begun {off} s off (ρ {ratio}, seed {seed})");
        }
        table += &format!(
            "ρ {ratio}, {rate} first tries/s: at the latest {slowest} s after its onset, {limit} s allowed\n"
        );
        assert!(slowest <= limit, "{table}");
    }
    println!("{table}");
}

#[test]
fn a_storm_is_called_soon_by_a_dashboard_opened_in_the_middle_of_it() {
    for (ratio, limit) in [(0.6, 45.0), (0.4, 60.0), (0.25, 75.0)] {
        for seed in SEEDS {
            let mut sky = Sky::new(seed);
            let after = called_after(&mut sky, 0.0, |_| Traffic::storm(ratio));
            // The first scrape has nothing to compare with, and it comes 15 s after the beginning here.
            assert!(after - INTERVAL <= limit, "ρ {ratio}, seed {seed}: {after} s");
        }
    }
}

/// What is said over `hours` of `traffic`, scrape by scrape, with what `happens` before each.
fn watch(
    seed: u64,
    hours: f64,
    traffic: impl Fn(f64) -> Traffic,
    happens: impl Fn(&mut Sky),
) -> Vec<VerdictKind> {
    let mut sky = Sky::new(seed);
    let mut kinds = Vec::new();
    while sky.now < hours * 3_600.0 {
        happens(&mut sky);
        kinds.push(sky.scrape(&traffic).verdict.kind);
    }
    kinds
}

fn alarms(kinds: &[VerdictKind]) -> usize {
    kinds.iter().filter(|kind| matches!(kind, VerdictKind::Storm | VerdictKind::Stuck)).count()
}

/// Traffic that is no storm, however it looks, and what happens to the process before a scrape.
type Harmless = (&'static str, fn(f64) -> Traffic, fn(&mut Sky));

const HARMLESS: [Harmless; 4] = [
    ("calm", |_| Traffic::CALM, |_| {}),
    // For 20 s out of five minutes ten times as many calls come, and a tenth of them needs one retry, which helps.
    (
        "bursty",
        |now| match now % 300.0 {
            burst if burst < 20.0 => Traffic { rate: 200.0, retries: 0.11, first_ok: 0.9, retries_ok: 0.93 },
            _ => Traffic::CALM,
        },
        |_| {},
    ),
    // Three calls a minute: one of three is retried, and half of those retries help.
    ("few calls", |_| Traffic { rate: 0.05, retries: 0.33, first_ok: 0.67, retries_ok: 0.5 }, |_| {}),
    // Every half an hour the process restarts, and for 20 s a quarter of what it calls needs a second try.
    (
        "deploying",
        |now| match now % 1_800.0 {
            fresh if fresh < 20.0 => {
                Traffic { retries: 0.3, first_ok: 0.75, retries_ok: 0.85, ..Traffic::CALM }
            }
            _ => Traffic::CALM,
        },
        |sky| {
            if sky.now % 1_800.0 == 0.0 {
                sky.restarts();
            }
        },
    ),
];

fn no_alarm_in(hours: f64) {
    for (name, traffic, happens) in HARMLESS {
        for seed in SEEDS {
            let kinds = watch(seed, hours, traffic, happens);
            assert_eq!(alarms(&kinds), 0, "{name}, seed {seed}");
        }
    }
}

#[test]
fn twenty_four_hours_of_traffic_that_only_looks_bad_have_no_alarm() {
    no_alarm_in(2.4);
}

#[test]
#[ignore = "long: ten days of each kind of traffic"]
fn ten_days_of_traffic_that_only_looks_bad_have_no_alarm() {
    no_alarm_in(24.0);
}

#[test]
fn catching_up_after_an_outage_reads_recovering_and_not_storm() {
    for seed in SEEDS {
        let mut sky = Sky::new(seed);
        // Ten minutes down, then ten in which what was put off is done: many retries, and nearly all help.
        let traffic = |now: f64| match now {
            now if now < 600.0 => Traffic::CALM,
            now if now < 840.0 => Traffic::storm(0.6),
            now if now < 1_440.0 => {
                Traffic { retries: 0.8, first_ok: 0.97, retries_ok: 0.95, ..Traffic::CALM }
            }
            _ => Traffic::CALM,
        };
        let mut kinds = Vec::new();
        while sky.now < 1_800.0 {
            kinds.push((sky.now, sky.scrape(traffic).verdict.kind));
        }
        let at = |second: f64| kinds.iter().rev().find(|(now, _)| *now <= second).expect("scraped").1;
        assert_eq!(at(720.0), VerdictKind::Storm);
        for second in [1_000.0, 1_200.0, 1_430.0] {
            assert_eq!(at(second), VerdictKind::Recovering, "seed {seed}, {second} s");
        }
        assert_eq!(at(1_790.0), VerdictKind::Calm);
    }
}

#[test]
fn a_storm_that_goes_on_by_itself_becomes_stuck_after_five_minutes() {
    for seed in SEEDS {
        let mut sky = Sky::new(seed);
        let traffic = |now: f64| if now < 900.0 { Traffic::CALM } else { Traffic::storm(0.7) };
        let mut stuck = None;
        while sky.now < 2_100.0 {
            let kind = sky.scrape(traffic).verdict.kind;
            if kind == VerdictKind::Stuck {
                stuck.get_or_insert(sky.now - 900.0);
            }
        }
        let after = stuck.expect("stuck");
        assert!((300.0..=360.0).contains(&after), "seed {seed}: {after} s");
        assert_eq!(sky.collector.signals().verdict.kind, VerdictKind::Stuck, "and it stays so");
    }
}

#[test]
fn a_storm_is_not_stuck_while_more_is_asked_than_usual_or_the_load_falls() {
    let flood = |now: f64| Traffic {
        rate: if now < 900.0 { 20.0 } else { 40.0 },
        ..if now < 900.0 { Traffic::CALM } else { Traffic::storm(0.7) }
    };
    let falling = |now: f64| match now {
        now if now < 900.0 => Traffic::CALM,
        now => Traffic::storm((0.8 - (now - 900.0) / 1_500.0).max(0.0)),
    };
    for seed in SEEDS {
        for kinds in [watch(seed, 0.45, flood, |_| {}), watch(seed, 0.45, falling, |_| {})] {
            assert!(!kinds.contains(&VerdictKind::Stuck), "seed {seed}");
            assert!(kinds.contains(&VerdictKind::Storm), "seed {seed}");
        }
    }
}

#[test]
fn a_clock_set_back_an_hour_changes_no_rate() {
    let rates = |back: bool| {
        let mut sky = Sky::new(1);
        let mut rates = Vec::new();
        for round in 0..20 {
            if back && round == 10 {
                // The wall clock only: what is measured is measured on the other.
                sky.collector.observe(
                    sky.begun + Duration::from_secs_f64(sky.now),
                    sky.wall() - TimeDelta::hours(1),
                    Vec::new(),
                );
            }
            let signals = sky.scrape(|_| Traffic::CALM);
            let row = signals.operations.first().map(|row| (row.first_rate, row.retry_rate));
            rates.push((row, signals.verdict.kind, signals.verdict.sentence));
        }
        rates
    };
    assert_eq!(rates(true), rates(false));
}
