//! What a circuit promises.
#![expect(clippy::disallowed_methods, reason = "the tests need some instant to begin from")]

use std::time::{Duration, Instant};

use super::{Circuit, CircuitPolicy, Force, Permit, Refusal, Slow, Window};
use crate::domain::circuit::{CircuitState, Forced};

const QUICK: Duration = Duration::ZERO;

fn call(circuit: &Circuit, well: bool, now: Instant) {
    circuit.ask(now).expect("it admits").report(well, QUICK, now);
}

fn opened(policy: CircuitPolicy, now: Instant) -> Circuit {
    let circuit = Circuit::new(policy, now);
    for _ in 0..policy.minimum_calls {
        call(&circuit, false, now);
    }
    circuit
}

fn state(circuit: &Circuit, now: Instant) -> CircuitState {
    circuit.standing(now).state
}

fn force(to: Forced, until: Option<Instant>) -> Option<Force> {
    Some(Force { to, until, reason: "maintenance".to_owned(), owner: "ada".to_owned() })
}

#[test]
fn it_opens_at_its_failure_rate_but_not_before_enough_calls() {
    let (policy, now) = (CircuitPolicy::default(), Instant::now());
    let circuit = Circuit::new(policy, now);
    for _ in 1..policy.minimum_calls {
        call(&circuit, false, now);
    }
    assert_eq!(state(&circuit, now), CircuitState::Closed);
    call(&circuit, false, now);
    assert_eq!(state(&circuit, now), CircuitState::Open);
}

#[test]
fn a_success_opens_it_when_it_makes_enough_calls_of_which_too_many_failed() {
    let (policy, now) = (CircuitPolicy::default(), Instant::now());
    let circuit = Circuit::new(policy, now);
    for well in [false; 9].into_iter().chain([true]) {
        call(&circuit, well, now);
    }
    assert_eq!(state(&circuit, now), CircuitState::Open);
}

#[test]
fn an_open_circuit_refuses_with_the_time_to_wait_and_always_ends() {
    let (policy, now) = (CircuitPolicy::default(), Instant::now());
    let circuit = opened(policy, now);
    let refused = circuit.ask(now).unwrap_err();
    assert_eq!((refused.why, refused.wait), (Refusal::Open, policy.open_for));
    assert!(circuit.ask(now + policy.open_for).is_ok());
}

#[test]
fn half_open_admits_exactly_its_probes_and_closes_when_all_succeed() {
    let (policy, now) = (CircuitPolicy::default(), Instant::now());
    let circuit = opened(policy, now);
    let later = now + policy.open_for;
    let permits: Vec<Permit<'_>> = std::iter::from_fn(|| circuit.ask(later).ok()).take(10).collect();
    assert_eq!(permits.len(), policy.probes as usize);
    assert_eq!(circuit.ask(later).unwrap_err().why, Refusal::ProbesOut);
    for permit in permits {
        permit.report(true, QUICK, later);
    }
    assert_eq!(state(&circuit, later), CircuitState::Closed);
}

#[test]
fn one_failed_probe_opens_it_again_for_longer_each_time_up_to_the_cap_until_it_was_closed() {
    let seconds = Duration::from_secs;
    let policy = CircuitPolicy {
        open_for: seconds(10),
        open_growth: 2.0,
        open_cap: seconds(35),
        probes: 1,
        ..CircuitPolicy::default()
    };
    let mut now = Instant::now();
    let circuit = opened(policy, now);
    let mut waits = Vec::new();
    for _ in 0..4 {
        waits.push(circuit.ask(now).unwrap_err().wait.as_secs());
        now += circuit.ask(now).unwrap_err().wait;
        call(&circuit, false, now);
    }
    assert_eq!(waits, [10, 20, 35, 35]);
    now += seconds(35);
    call(&circuit, true, now);
    assert_eq!(state(&circuit, now), CircuitState::Closed);
    for _ in 0..policy.minimum_calls {
        call(&circuit, false, now);
    }
    assert_eq!(circuit.ask(now).unwrap_err().wait, seconds(10), "a closed circuit begins anew");
}

#[test]
fn a_dropped_probe_gives_its_place_back() {
    let (policy, now) = (CircuitPolicy { probes: 1, ..CircuitPolicy::default() }, Instant::now());
    let circuit = opened(policy, now);
    let later = now + policy.open_for;
    drop(circuit.ask(later).expect("a probe"));
    let _probe = circuit.ask(later).expect("the place was given back");
    assert!(circuit.ask(later).is_err());
}

#[test]
fn half_open_leaves_by_itself_when_its_probes_never_end() {
    let (policy, now) = (CircuitPolicy { probes: 1, ..CircuitPolicy::default() }, Instant::now());
    let circuit = opened(policy, now);
    let probing = now + policy.open_for;
    let hanging = circuit.ask(probing).expect("a probe");
    let over = probing + policy.half_open_for;
    assert_eq!(state(&circuit, over), CircuitState::Open);
    assert_eq!(circuit.ask(over).unwrap_err().wait, policy.open_for);
    let again = over + policy.open_for;
    let _probe = circuit.ask(again).expect("open ends again");
    hanging.report(true, QUICK, again);
    assert_eq!(state(&circuit, again), CircuitState::HalfOpen, "the late answer counts for nothing");
}

#[test]
fn nobody_asking_for_long_does_not_make_the_next_one_wait() {
    let (policy, now) = (CircuitPolicy { probes: 1, ..CircuitPolicy::default() }, Instant::now());
    let circuit = opened(policy, now);
    let probing = now + policy.open_for;
    drop(circuit.ask(probing).expect("a probe"));
    assert!(circuit.ask(probing + Duration::from_secs(3_600)).is_ok());
}

#[test]
fn an_answer_from_before_the_circuit_opened_counts_for_nothing() {
    let (policy, now) = (CircuitPolicy { probes: 1, ..CircuitPolicy::default() }, Instant::now());
    let circuit = Circuit::new(policy, now);
    let old: Vec<Permit<'_>> = (0..3).map(|_| circuit.ask(now).expect("closed")).collect();
    for _ in 0..policy.minimum_calls {
        call(&circuit, false, now);
    }
    let later = now + policy.open_for;
    let probe = circuit.ask(later).expect("a probe");
    for permit in old {
        permit.report(true, QUICK, later);
    }
    assert_eq!(state(&circuit, later), CircuitState::HalfOpen);
    probe.report(true, QUICK, later);
    assert_eq!(circuit.standing(later).counts.calls, 0, "closed with an empty window");
}

#[test]
fn slow_calls_open_it_though_they_succeed() {
    let slow = Some(Slow { from: Duration::from_secs(2), rate: 0.5 });
    let (policy, now) = (CircuitPolicy { slow, ..CircuitPolicy::default() }, Instant::now());
    let circuit = Circuit::new(policy, now);
    for n in 0..10 {
        let took = if n % 2 == 0 { Duration::from_secs(2) } else { Duration::from_millis(1_999) };
        circuit.ask(now).expect("closed").report(true, took, now);
    }
    assert_eq!(state(&circuit, now), CircuitState::Open);
}

#[test]
fn a_time_window_forgets_what_is_too_old() {
    let window = Window::Time(Duration::from_secs(10));
    let (policy, now) = (CircuitPolicy { window, ..CircuitPolicy::default() }, Instant::now());
    let circuit = Circuit::new(policy, now);
    for _ in 0..9 {
        call(&circuit, false, now);
    }
    let later = now + Duration::from_secs(10);
    assert_eq!(circuit.standing(later).counts.calls, 0);
    call(&circuit, false, later);
    assert_eq!(state(&circuit, later), CircuitState::Closed, "one call is not enough");
}

#[test]
fn what_is_forced_hides_what_is_computed_until_it_is_over() {
    let (policy, now) = (CircuitPolicy::default(), Instant::now());
    let circuit = Circuit::new(policy, now);
    let until = now + Duration::from_secs(600);
    circuit.force(force(Forced::Open, Some(until)));
    let refused = circuit.ask(now).unwrap_err();
    assert_eq!((refused.why, refused.wait), (Refusal::Forced, Duration::from_secs(600)));
    assert_eq!(state(&circuit, now), CircuitState::Closed, "the computed state is its own");
    assert_eq!(circuit.forced(now).unwrap().owner, "ada");
    assert_eq!(circuit.forced(until), None);
    assert!(circuit.ask(until).is_ok());
}

#[test]
fn forced_closed_lets_calls_pass_and_still_computes_but_disabled_does_not() {
    let (policy, now) = (CircuitPolicy::default(), Instant::now());
    for (to, computed) in [(Forced::Closed, CircuitState::Open), (Forced::Disabled, CircuitState::Closed)] {
        let circuit = Circuit::new(policy, now);
        circuit.force(force(to, None));
        for _ in 0..2 * policy.minimum_calls {
            call(&circuit, false, now);
        }
        assert_eq!(state(&circuit, now), computed, "{to}");
        circuit.force(None);
        assert_eq!(circuit.ask(now).is_ok(), computed == CircuitState::Closed, "{to} was taken back");
    }
}

#[test]
fn what_cannot_be_meant_is_said_exactly() {
    let good = CircuitPolicy::default();
    let said = |policy: CircuitPolicy| policy.check().unwrap_err().to_string();
    assert_eq!(good.check(), Ok(()));
    assert_eq!(
        said(CircuitPolicy { minimum_calls: 21, ..good }),
        "minimum_calls is 21: between 1 and 20 is expected"
    );
    for (rate, word) in [(f64::NAN, "NaN"), (0.0, "0"), (-0.5, "-0.5"), (1.01, "1.01")] {
        let expected = format!("failure_rate is {word}: more than 0 and at most 1 is expected");
        assert_eq!(said(CircuitPolicy { failure_rate: rate, ..good }), expected);
    }
    assert_eq!(
        said(CircuitPolicy { open_cap: Duration::from_secs(1), ..good }),
        "open_for is 30s, which is over open_cap (1s): at most that is expected"
    );
    assert_eq!(
        said(CircuitPolicy { open_growth: f64::INFINITY, ..good }),
        "open_growth is inf: between 1 and 100 is expected"
    );
    assert!(said(CircuitPolicy { probes: 0, ..good }).starts_with("probes is 0"));
    assert!(said(CircuitPolicy { half_open_for: Duration::ZERO, ..good }).starts_with("half_open_for is 0s"));
    assert!(said(CircuitPolicy { window: Window::Calls(0), ..good }).starts_with("window is 0"));
}
