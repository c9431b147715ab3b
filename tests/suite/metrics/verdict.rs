//! The rule table, and sequences of windows.

use std::time::Duration;

use chrono::DateTime;
use redrive::{
    clock,
    metrics::{
        arithmetic::Counts,
        signals::VerdictKind::{self, Calm, Elevated, Recovering, Storm},
        verdict::{Judge, Rules},
    },
};

fn window(first: f64, retries: f64, helped: f64, good: f64) -> Counts {
    Counts {
        first,
        retries,
        first_told: first,
        retries_told: retries,
        successes: first * good,
        retry_successes: retries * helped,
        ..Counts::default()
    }
}

fn verdicts(windows: &[Counts]) -> Vec<VerdictKind> {
    let (begun, wall) = (clock::instant(), DateTime::UNIX_EPOCH);
    let mut judge = Judge::new(wall);
    let at = (0..).map(|n| begun + Duration::from_secs(2 * n));
    windows
        .iter()
        .zip(at)
        .map(|(counts, at)| judge.evaluate(at, wall, &(*counts).into(), &Rules::default()))
        .collect()
}

#[test]
fn one_window_alone_amounts_to_what_the_table_says() {
    let level = |counts, baseline| Rules::default().level(&counts, baseline);
    assert_eq!(level(window(100.0, 170.0, 0.02, 0.1), 0.0), Storm);
    assert_eq!(level(window(100.0, 12.0, 0.5, 1.0), 0.0), Elevated);
    assert_eq!(level(window(100.0, 12.0, 0.9, 1.0), 0.0), Recovering, "planned backoff after an outage");
    assert_eq!(level(window(100.0, 9.0, 0.0, 0.1), 0.0), Calm, "below its line");
    assert_eq!(level(window(0.0, 0.0, 0.0, 0.0), 0.0), Calm, "nothing happened");
}

#[test]
fn few_retries_are_no_storm_however_large_their_share() {
    assert_eq!(Rules::default().level(&window(2.0, 8.0, 0.0, 0.0), 0.0), Calm);
    assert_eq!(Rules::default().level(&window(5.0, 15.0, 0.0, 0.0), 0.0), Elevated);
}

#[test]
fn retries_that_help_are_no_storm_unless_calls_fail_or_retries_are_denied() {
    let level = |counts| Rules::default().level(&counts, 0.0);
    assert_eq!(level(window(100.0, 60.0, 0.7, 0.99)), Elevated);
    assert_eq!(level(window(100.0, 60.0, 0.7, 0.80)), Storm);
    assert_eq!(level(Counts { denied: 1.0, ..window(100.0, 60.0, 0.7, 0.99) }), Storm);
}

#[test]
fn a_source_that_does_not_tell_how_retries_end_cannot_be_a_storm_without_denials() {
    let silent = Counts { first: 100.0, retries: 170.0, ..Counts::default() };
    assert_eq!(Rules::default().level(&silent, 0.0), Elevated);
    assert_eq!(Rules::default().level(&Counts { denied: 5.0, ..silent }, 0.0), Storm);
}

#[test]
fn the_lines_rise_with_the_baseline_but_never_out_of_reach() {
    let level = |baseline| Rules::default().level(&window(70.0, 30.0, 0.1, 0.5), baseline);
    assert_eq!((level(0.0), level(0.11)), (Storm, Elevated));
    let worst = |baseline| Rules::default().level(&window(30.0, 70.0, 0.1, 0.5), baseline);
    assert_eq!(worst(0.9), Storm, "a baseline above 0.2 counts as 0.2");
}

#[test]
fn a_storm_is_called_after_two_evaluations_running() {
    let (calm, storm) = (window(100.0, 0.0, 0.0, 1.0), window(100.0, 170.0, 0.02, 0.1));
    assert_eq!(
        verdicts(&[calm, storm, calm, storm, storm, storm]),
        [Calm, Elevated, Elevated, Elevated, Storm, Storm]
    );
}

#[test]
fn a_verdict_comes_down_only_after_three_windows_below_it() {
    let (calm, storm) = (window(100.0, 1.0, 1.0, 1.0), window(100.0, 170.0, 0.02, 0.1));
    let helped = window(100.0, 60.0, 0.95, 1.0);
    assert_eq!(
        verdicts(&[storm, storm, calm, calm, storm, calm, calm, calm]),
        [Elevated, Storm, Storm, Storm, Storm, Storm, Storm, Calm]
    );
    assert_eq!(
        verdicts(&[storm, storm, helped, helped, helped, calm, calm, calm]),
        [Elevated, Storm, Storm, Storm, Recovering, Recovering, Recovering, Calm]
    );
}

#[test]
fn the_baseline_is_the_median_of_calm_windows_and_frozen_from_elevated_on() {
    let (wall, rules) = (DateTime::UNIX_EPOCH, Rules::default());
    let mut judge = Judge::new(wall);
    assert_eq!(judge.baseline(), 0.0);
    let begun = clock::instant();
    for (n, retries) in [2.0, 4.0, 6.0].into_iter().enumerate() {
        judge.evaluate(
            begun + Duration::from_secs(n as u64),
            wall,
            &window(100.0 - retries, retries, 1.0, 1.0).into(),
            &rules,
        );
    }
    assert!((judge.baseline() - 0.04).abs() < 1e-9);
    for n in 3..100 {
        judge.evaluate(begun + Duration::from_secs(n), wall, &window(60.0, 40.0, 0.0, 0.1).into(), &rules);
    }
    assert_eq!(judge.kind(), Storm);
    assert!((judge.baseline() - 0.04).abs() < 1e-9, "a storm does not become the usual");
}

#[test]
fn calm_windows_older_than_an_hour_no_longer_make_the_baseline() {
    let (wall, rules, begun) = (DateTime::UNIX_EPOCH, Rules::default(), clock::instant());
    let mut judge = Judge::new(wall);
    judge.evaluate(begun, wall, &window(92.0, 8.0, 1.0, 1.0).into(), &rules);
    judge.evaluate(begun + Duration::from_secs(3_700), wall, &window(98.0, 2.0, 1.0, 1.0).into(), &rules);
    assert!((judge.baseline() - 0.02).abs() < 1e-9);
}

#[test]
fn the_window_scales_with_the_time_factor_but_holds_four_scrapes() {
    let fast = Rules { time_factor: 0.1, ..Rules::default() };
    assert_eq!(Rules::default().window_for(Duration::from_secs(2)), Duration::from_secs(60));
    assert_eq!(Rules::default().window_for(Duration::from_secs(30)), Duration::from_secs(120));
    assert_eq!(fast.window_for(Duration::from_secs(1)), Duration::from_secs(6));
    assert_eq!(fast.window_for(Duration::from_secs(2)), Duration::from_secs(8));
}
