//! Counters to increases: resets, holes and first sights; and the arithmetic over them.

use std::time::Duration;

use proptest::prelude::*;
use redrive::{
    clock,
    metrics::{
        arithmetic::{Counts, wilson_lower},
        exposition::{Exposition, Labels, parse},
        rates::{Counters, Reading, Round, SeriesKey},
    },
};

use super::fixture;

const INTERVAL: Duration = Duration::from_secs(2);

fn reading(series: &str, value: f64) -> Reading {
    let labels = Labels::new(vec![("series".to_owned(), series.to_owned())]);
    Reading { key: SeriesKey { name: "m_total".to_owned(), labels }, value, start: None }
}

fn increases(round: Round) -> Vec<f64> {
    match round {
        Round::Counted { increases, .. } => increases.into_iter().map(|increase| increase.by).collect(),
        other => panic!("nothing was counted: {other:?}"),
    }
}

#[test]
fn the_first_sight_of_a_target_counts_nothing() {
    let mut counters = Counters::default();
    let round = counters.observe(clock::instant(), INTERVAL, &[reading("a", 50_000.0)]);
    assert_eq!(round, Round::First);
}

#[test]
fn a_series_new_on_a_known_target_counts_from_zero_and_says_so() {
    let (mut counters, at) = (Counters::default(), clock::instant());
    counters.observe(at, INTERVAL, &[reading("a", 5.0)]);
    let round = counters.observe(at + INTERVAL, INTERVAL, &[reading("a", 6.0), reading("b", 4.0)]);
    let Round::Counted { from, increases } = round else { panic!("{round:?}") };
    assert_eq!(from, at);
    assert_eq!(
        increases.iter().map(|i| (i.by, i.estimated)).collect::<Vec<_>>(),
        [(1.0, false), (4.0, true)]
    );
}

#[test]
fn a_fall_is_a_restart_and_counts_from_zero() {
    let (mut counters, at) = (Counters::default(), clock::instant());
    counters.observe(at, INTERVAL, &[reading("a", 1_000.0)]);
    assert_eq!(increases(counters.observe(at + INTERVAL, INTERVAL, &[reading("a", 3.0)])), [3.0]);
}

#[test]
fn another_start_time_is_a_restart_even_without_a_fall() {
    let (mut counters, at) = (Counters::default(), clock::instant());
    let started = |value, start| Reading { start: Some(start), ..reading("a", value) };
    counters.observe(at, INTERVAL, &[started(10.0, 1.0)]);
    assert_eq!(increases(counters.observe(at + INTERVAL, INTERVAL, &[started(12.0, 9.0)])), [12.0]);
}

#[test]
fn a_gap_over_two_and_a_half_intervals_is_a_hole_and_counting_goes_on_after_it() {
    let (mut counters, at) = (Counters::default(), clock::instant());
    counters.observe(at, INTERVAL, &[reading("a", 10.0)]);
    let just_in_time = at + INTERVAL.mul_f64(2.5);
    assert_eq!(increases(counters.observe(just_in_time, INTERVAL, &[reading("a", 15.0)])), [5.0]);
    let late = just_in_time + INTERVAL.mul_f64(2.6);
    assert_eq!(counters.observe(late, INTERVAL, &[reading("a", 99.0)]), Round::Hole);
    assert_eq!(increases(counters.observe(late + INTERVAL, INTERVAL, &[reading("a", 100.0)])), [1.0]);
}

#[test]
fn a_round_that_is_not_later_is_left_out() {
    let (mut counters, at) = (Counters::default(), clock::instant());
    counters.observe(at, INTERVAL, &[reading("a", 10.0)]);
    assert_eq!(counters.observe(at, INTERVAL, &[reading("a", 11.0)]), Round::Repeated);
    assert_eq!(increases(counters.observe(at + INTERVAL, INTERVAL, &[reading("a", 12.0)])), [2.0]);
}

#[test]
fn a_series_that_was_away_too_long_counts_nothing_when_it_comes_back() {
    let (mut counters, at) = (Counters::default(), clock::instant());
    counters.observe(at, INTERVAL, &[reading("a", 10.0), reading("b", 10.0)]);
    for n in 1..4 {
        counters.observe(at + INTERVAL * n, INTERVAL, &[reading("b", 10.0)]);
    }
    let back = counters.observe(at + INTERVAL * 4, INTERVAL, &[reading("a", 900.0), reading("b", 11.0)]);
    assert_eq!(increases(back), [1.0]);
}

#[test]
fn each_series_is_compared_with_itself_before_anything_is_added_up() {
    let sum = |dump: &str, name: &str| -> Vec<Reading> {
        let read = parse(&fixture(dump)).unwrap();
        let counted = read.samples.into_iter().filter(|sample| sample.name == name);
        let of = |name, labels| SeriesKey { name, labels };
        counted.map(|s| Reading { key: of(s.name, s.labels), value: s.value, start: None }).collect()
    };
    let (mut counters, at) = (Counters::default(), clock::instant());
    let name = "resilience4j_retry_calls_total";
    counters.observe(at, INTERVAL, &sum("resilience4j.t1.prom", name));
    let after = sum("resilience4j.t2-restarted.prom", name);
    let counted: f64 = increases(counters.observe(at + INTERVAL, INTERVAL, &after)).iter().sum();
    let since_restart: f64 = after.iter().map(|reading| reading.value).sum();
    assert_eq!(counted, since_restart, "a restarted process is neither a fall nor a spike");
}

proptest! {
    #[test]
    fn an_increase_is_never_negative_and_a_restart_never_a_spike(
        steps in prop::collection::vec((0_u32..1_000, prop::bool::weighted(0.2)), 1..40),
    ) {
        let (mut counters, mut at) = (Counters::default(), clock::instant());
        let mut value = 100_000.0;
        counters.observe(at, INTERVAL, &[reading("a", value)]);
        for (happened, restarted) in steps {
            value = f64::from(happened) + if restarted { 0.0 } else { value };
            at += INTERVAL;
            let counted = increases(counters.observe(at, INTERVAL, &[reading("a", value)]));
            prop_assert!(counted[0] >= 0.0 && counted[0] <= f64::from(happened), "{counted:?} of {happened}");
        }
    }

    #[test]
    fn ratios_stay_within_their_ranges(first in 0.0..1e6_f64, retries in 0.0..1e6_f64, helped in 0.0..1.0_f64) {
        let counts = Counts {
            first, retries, first_told: first, retries_told: retries,
            successes: first * helped, retry_successes: retries * helped, ..Counts::default()
        };
        for share in [counts.retry_ratio(), counts.efficacy(), counts.goodput()].into_iter().flatten() {
            prop_assert!((0.0..=1.0).contains(&share));
        }
        prop_assert!(counts.amplification().is_none_or(|factor| factor >= 1.0));
        prop_assert!(counts.surely_retried() <= counts.retry_ratio().unwrap_or(0.0) + 1e-9);
        prop_assert!((0.0..=1.0).contains(&counts.budget_left(0.2, 100.0)));
    }
}

#[test]
fn nothing_attempted_has_no_ratios() {
    let none = Counts::default();
    assert_eq!(
        (none.retry_ratio(), none.amplification(), none.efficacy(), none.goodput()),
        (None, None, None, None)
    );
    assert_eq!(none.surely_retried(), 0.0);
}

#[test]
fn what_a_source_does_not_tell_is_unknown_and_never_zero() {
    let silent = Counts { first: 10.0, retries: 5.0, ..Counts::default() };
    assert_eq!((silent.efficacy(), silent.goodput()), (None, None));
}

#[test]
fn the_arithmetic_of_a_real_storm_at_an_envoy() {
    let (before, after) =
        (parse(&fixture("envoy.t0.prom")).unwrap(), parse(&fixture("envoy.t1.prom")).unwrap());
    let value = |read: &Exposition, name: &str| {
        let whole = format!("envoy_cluster_upstream_rq_{name}");
        read.samples.iter().find(|sample| sample.name == whole).expect("in the dump").value
    };
    let rose = |name: &str| value(&after, name) - value(&before, name);
    let retries = rose("retry");
    let counts = Counts {
        first: rose("total") - retries,
        retries,
        retries_told: retries,
        retry_successes: rose("retry_success"),
        denied: rose("retry_overflow"),
        ..Counts::default()
    };
    assert_eq!(format!("{:.2}", counts.amplification().unwrap()), "2.74");
    assert_eq!(format!("{:.2}", counts.retry_ratio().unwrap()), "0.63");
    assert_eq!(format!("{:.1} %", counts.efficacy().unwrap() * 100.0), "1.8 %");
    assert_eq!(counts.budget_left(0.2, 100.0), 0.0, "a denial means that the budget is gone");
}

#[test]
fn the_budget_shrinks_with_every_retry_until_none_is_left() {
    let left = |retries| Counts { first: 100.0, retries, ..Counts::default() }.budget_left(0.2, 10.0);
    assert_eq!((left(0.0), left(15.0), left(30.0), left(90.0)), (1.0, 0.5, 0.0, 0.0));
}

#[test]
fn wilson_is_careful_with_few_and_close_with_many() {
    assert!(wilson_lower(1.0, 2.0) < 0.10);
    assert!((wilson_lower(5_000.0, 10_000.0) - 0.5).abs() < 0.02);
    assert!((wilson_lower(20.0, 100.0) - 0.1334).abs() < 0.001, "as tables give it");
}
