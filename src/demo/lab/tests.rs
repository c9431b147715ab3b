//! The known results come out, for every seed tried; what else a run promises.
#![expect(clippy::disallowed_methods, reason = "the tests need some instant to begin from")]

use std::time::Duration;

use super::{policy::Budgeting, *};

const SEEDS: std::ops::RangeInclusive<u64> = 1..=10;

fn report(incident: Incident, seed: u64) -> Report {
    run(incident, &[], seed, Instant::now()).expect("all its policies")
}

/// The outcome of each of `policies` for each seed.
fn outcomes<const N: usize>(incident: Incident, policies: [&str; N]) -> Vec<[Outcome; N]> {
    let one = |policy: &str, seed| {
        let mut report = run(incident, &[policy.to_owned()], seed, Instant::now()).expect("it is known");
        report.policies.remove(0)
    };
    SEEDS.map(|seed| policies.map(|policy| one(policy, seed))).collect()
}

fn recovered(outcome: &Outcome) -> f64 {
    outcome.recovered_after_seconds.unwrap_or_else(|| panic!("{} never recovered", outcome.policy))
}

#[test]
fn without_jitter_a_thousand_clients_come_back_in_waves_and_full_jitter_is_done_first() {
    let seeds = outcomes(Incident::NoJitter, ["none", "equal", "full", "decorrelated"]);
    for [none, equal, full, decorrelated] in &seeds {
        assert!(none.requests > 3 * full.requests, "{} {}", none.requests, full.requests);
        assert!(recovered(none) > 15.0 * recovered(full), "{} {}", recovered(none), recovered(full));
        assert!(recovered(full) < recovered(equal), "{} {}", recovered(full), recovered(equal));
        // Not strictly the fewest calls: see the module's page.
        let fewest = equal.requests.min(decorrelated.requests) as f64;
        assert!((full.requests as f64) < 1.1 * fewest, "{} {fewest}", full.requests);
    }
    let all = |which: usize| seeds.iter().map(|outcomes| recovered(&outcomes[which])).sum::<f64>();
    assert!(all(2) < all(3), "full {} s, decorrelated {} s", all(2), all(3));
}

#[test]
fn ten_minutes_of_a_bad_release_become_an_hour_without_a_budget_and_stay_ten_with_one() {
    let policies = ["unprotected", "budget", "circuit", "budget+circuit"];
    for [unprotected, protected @ ..] in outcomes(Incident::Yandex, policies) {
        let down = recovered(&unprotected) / 60.0;
        assert!((45.0..=75.0).contains(&down), "{down} minutes");
        assert!(unprotected.amplification > 5.0, "{}", unprotected.amplification);
        for outcome in protected {
            let down = recovered(&outcome) / 60.0;
            assert!((9.0..=12.0).contains(&down), "{}: {down} minutes", outcome.policy);
            assert!(outcome.good > unprotected.good, "{}", outcome.policy);
            assert!(outcome.amplification < 1.2, "{}: {}", outcome.policy, outcome.amplification);
        }
    }
}

#[test]
fn four_taps_and_a_balancer_that_retries_make_thirty_requests_of_one_person() {
    for [both, person, balancer, budget] in
        outcomes(Incident::TapTryAgain, ["both", "person", "balancer", "budget"])
    {
        assert_eq!(both.most_for_one_call, 30, "the first tap and four more, six times each");
        assert_eq!((person.most_for_one_call, balancer.most_for_one_call), (5, 6));
        for tamed in [person, balancer, budget] {
            assert!(3 * tamed.requests < both.requests, "{}: {}", tamed.policy, tamed.requests);
        }
    }
}

#[test]
fn a_heavy_operation_takes_a_third_of_a_uniform_budget_and_its_own_part_of_a_weighted_one() {
    for [uniform, weighted] in outcomes(Incident::HeavyEndpoint, ["uniform", "weighted"]) {
        let heavy = |outcome: &Outcome| {
            let [light, heavy] = &outcome.groups[..] else { panic!("two operations") };
            heavy.retries as f64 / (light.retries + heavy.retries) as f64
        };
        // What a light operation was denied, of what it asked for.
        let starved = |outcome: &Outcome| {
            let light = &outcome.groups[0];
            light.denied as f64 / (light.denied + light.retries) as f64
        };
        assert!((0.30..=0.42).contains(&heavy(&uniform)), "{}", heavy(&uniform));
        assert!(starved(&uniform) > 0.1, "{}", starved(&uniform));
        assert!(heavy(&weighted) < 0.07, "{}", heavy(&weighted));
        assert!(starved(&weighted) < 0.04, "{}", starved(&weighted));
    }
}

#[test]
fn protection_spares_an_upstream_that_is_down_and_parking_at_a_pace_loses_nothing() {
    let policies = ["legacy", "protected", "parked", "paced"];
    for [legacy, protected, parked, paced] in outcomes(Incident::Outage, policies) {
        let during = |outcome: &Outcome| outcome.load[6..15].iter().sum::<u64>();
        for spared in [&protected, &parked, &paced] {
            assert!(5 * during(spared) < during(&legacy), "{} {}", during(spared), during(&legacy));
        }
        assert!(legacy.failed > 500 && protected.failed > 500, "{} {}", legacy.failed, protected.failed);
        assert!(recovered(&protected) < 105.0, "{}", recovered(&protected));
        assert_eq!(paced.failed, 0);
        assert!(paced.goodput > 0.97, "{}", paced.goodput);
        // All that was parked comes back within a minute, opens the circuit again, and is parked once more.
        assert!(parked.goodput < 0.8, "{}", parked.goodput);
    }
}

#[test]
fn the_same_seed_gives_the_same_run_wherever_time_begins_and_another_seed_another() {
    let text = |seed, base| {
        let report = run(Incident::Outage, &[], seed, base).expect("all its policies");
        serde_json::to_string(&report).expect("plain values")
    };
    let base = Instant::now();
    let first = text(7, base);
    assert_eq!(first, text(7, base + Duration::from_nanos(1_234_567_891)));
    assert_ne!(first, text(8, base));
}

#[test]
fn every_call_is_counted_once_and_every_request() {
    for incident in [Incident::NoJitter, Incident::TapTryAgain, Incident::HeavyEndpoint, Incident::Outage] {
        for outcome in report(incident, 3).policies {
            let said = (incident, outcome.policy);
            assert_eq!(
                outcome.calls,
                outcome.good + outcome.late + outcome.failed + outcome.unfinished,
                "{said:?}"
            );
            assert_eq!(outcome.requests, outcome.load.iter().sum::<u64>(), "{said:?}");
            let last = outcome.layers.last().expect("a layer");
            assert_eq!(outcome.requests, last.attempts, "{said:?}");
            assert_eq!(outcome.calls, outcome.groups.iter().map(|group| group.calls).sum::<u64>());
        }
    }
}

#[test]
fn every_policy_says_what_can_be_meant_for_each_layer() {
    for incident in Incident::ALL {
        let scenario = scenario(*incident);
        for policy in &scenario.policies {
            assert_eq!(policy.layers.len(), scenario.layers.len(), "{incident} {}", policy.name);
            for layer in &policy.layers {
                layer.backoff.check().expect("backoff");
                layer.circuit.map_or(Ok(()), |circuit| circuit.check()).expect("circuit");
                match layer.budget {
                    Budgeting::Unbounded => {}
                    Budgeting::Shared(budget) => budget.check().expect("budget"),
                    Budgeting::Weighted(budget, roof) => {
                        budget.check().and_then(|()| roof.check()).expect("budget and roof");
                    }
                }
            }
        }
    }
}

#[test]
fn an_unknown_policy_is_told_which_there_are() {
    let error =
        run(Incident::HeavyEndpoint, &["uniform".into(), "fair".into()], 1, Instant::now()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "\"fair\" is not a policy of the lab scenario heavy-endpoint: expected one of uniform, weighted"
    );
}
