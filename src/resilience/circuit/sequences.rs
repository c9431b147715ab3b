//! Sequences written from what other libraries publish of their circuits: what is the same there is the same here.
#![expect(clippy::disallowed_methods, reason = "the tests need some instant to begin from")]

use std::time::{Duration, Instant};

use super::{Circuit, CircuitPolicy, Permit, Refusal, Slow, Trial, Window};
use crate::domain::circuit::CircuitState::{self, Closed, HalfOpen, Open};

struct Told {
    circuit: Circuit,
    now: Instant,
}

impl Told {
    fn new(policy: CircuitPolicy) -> Self {
        policy.check().expect("a policy that can be meant");
        let now = Instant::now();
        Self { circuit: Circuit::new(policy, now), now }
    }

    /// `.` a success, `x` a failure, `s` a slow success, `|` a second passes; what cannot be asked for is refused.
    fn plays(&mut self, calls: &str) -> CircuitState {
        for call in calls.chars() {
            if call == '|' {
                self.now += Duration::from_secs(1);
                continue;
            }
            let took = Duration::from_secs(if call == 's' { 60 } else { 0 });
            if let Ok(permit) = self.circuit.ask(self.now) {
                permit.report(call != 'x', took, self.now);
            }
        }
        self.circuit.standing(self.now).state
    }

    fn waits(&mut self, seconds: u64) -> CircuitState {
        self.now += Duration::from_secs(seconds);
        self.circuit.standing(self.now).state
    }
}

/// resilience4j: rates over a window, half open judged by the same rates once all permitted calls have ended.
fn resilience4j() -> CircuitPolicy {
    CircuitPolicy {
        window: Window::Calls(10),
        minimum_calls: 5,
        failure_rate: 0.5,
        slow: Some(Slow { from: Duration::from_secs(60), rate: 1.0 }),
        open_for: Duration::from_secs(60),
        open_growth: 1.0,
        open_cap: Duration::from_secs(60),
        probes: 4,
        trial: Trial::Rates,
        half_open_for: Duration::from_secs(20),
    }
}

#[test]
fn resilience4j_computes_no_rate_before_the_minimum_of_calls() {
    let mut told = Told::new(resilience4j());
    assert_eq!(told.plays("xxxx"), Closed);
    assert_eq!(told.plays("x"), Open);
}

#[test]
fn resilience4j_opens_when_the_rate_is_equal_to_its_threshold() {
    assert_eq!(Told::new(resilience4j()).plays("...xx"), Closed, "40 %");
    assert_eq!(Told::new(resilience4j()).plays("...xxx"), Open, "50 %");
}

#[test]
fn resilience4j_forgets_the_oldest_call_of_a_count_window() {
    let mut told = Told::new(resilience4j());
    assert_eq!(told.plays("xx........"), Closed);
    assert_eq!(told.plays("..xxxx"), Closed, "the two first failures are gone: 4 of 10");
    assert_eq!(told.plays("x"), Open);
}

#[test]
fn resilience4j_opens_when_every_call_is_slow() {
    assert_eq!(Told::new(resilience4j()).plays("ssss."), Closed);
    assert_eq!(Told::new(resilience4j()).plays("sssss"), Open);
}

#[test]
fn resilience4j_judges_half_open_by_rate_when_all_permitted_calls_have_ended() {
    let mut told = Told::new(resilience4j());
    told.plays("xxxxx");
    assert_eq!(told.waits(60), HalfOpen);
    assert_eq!(told.plays("x.."), HalfOpen, "three of four");
    assert_eq!(told.plays("."), Closed, "25 % failed");
    told.plays("xxxxx");
    told.waits(60);
    assert_eq!(told.plays("xx.."), Open, "50 % failed");
}

#[test]
fn resilience4j_half_open_goes_back_to_open_after_its_longest_wait() {
    let mut told = Told::new(resilience4j());
    told.plays("xxxxx");
    told.waits(60);
    let _hanging = told.circuit.ask(told.now).expect("a probe");
    let (before, after) = (told.now + Duration::from_secs(19), told.now + Duration::from_secs(20));
    assert_eq!(told.circuit.standing(before).state, HalfOpen);
    assert_eq!(told.circuit.standing(after).state, Open);
}

#[test]
fn resilience4j_keeps_a_time_window_in_buckets_that_fall_out_one_by_one() {
    let mut told =
        Told::new(CircuitPolicy { window: Window::Time(Duration::from_secs(10)), ..resilience4j() });
    assert_eq!(told.plays("....|xxx|"), Closed, "3 of 7");
    assert_eq!(told.plays("||||||||"), Closed, "time alone opens nothing, though the successes fell out");
    assert_eq!(told.circuit.standing(told.now).counts.calls, 3);
    assert_eq!(told.plays(".."), Open, "judged with the next calls: 3 of 5");
}

/// gobreaker: five failures in a row are borne, the sixth opens; half open takes one request.
fn gobreaker() -> CircuitPolicy {
    CircuitPolicy {
        window: Window::Calls(6),
        minimum_calls: 6,
        failure_rate: 1.0,
        slow: None,
        open_for: Duration::from_secs(60),
        open_growth: 1.0,
        open_cap: Duration::from_secs(60),
        probes: 1,
        trial: Trial::All,
        half_open_for: Duration::from_secs(3_600),
    }
}

#[test]
fn gobreaker_opens_with_the_sixth_failure_in_a_row() {
    let mut told = Told::new(gobreaker());
    assert_eq!(told.plays("xxxxx.xxxxx"), Closed, "a success begins the count anew");
    assert_eq!(told.plays("x"), Open);
    assert_eq!(told.waits(59), Open);
    assert_eq!(told.waits(1), HalfOpen);
}

#[test]
fn gobreaker_half_open_closes_with_a_success_and_opens_with_a_failure() {
    let mut told = Told::new(gobreaker());
    told.plays("xxxxxx");
    told.waits(60);
    assert_eq!(told.plays("x"), Open);
    assert_eq!(told.waits(60), HalfOpen);
    assert_eq!(told.plays("."), Closed);
}

#[test]
fn gobreaker_refuses_more_requests_than_half_open_takes_and_closes_after_as_many_successes() {
    let mut told = Told::new(CircuitPolicy { probes: 3, ..gobreaker() });
    told.plays("xxxxxx");
    told.waits(60);
    let probes: Vec<Permit<'_>> = (0..3).map(|_| told.circuit.ask(told.now).expect("a probe")).collect();
    assert_eq!(told.circuit.ask(told.now).unwrap_err().why, Refusal::ProbesOut);
    for (n, probe) in probes.into_iter().enumerate() {
        assert_eq!(told.circuit.standing(told.now).state, HalfOpen, "{n} have ended");
        probe.report(true, Duration::ZERO, told.now);
    }
    assert_eq!(told.circuit.standing(told.now).state, Closed);
}

#[test]
fn gobreaker_ignores_what_began_in_an_earlier_generation() {
    let mut told = Told::new(gobreaker());
    let now = told.now;
    let policy = *told.circuit.policy();
    let late = told.circuit.ask(now).expect("closed");
    for _ in 0..6 {
        told.circuit.ask(now).expect("closed").report(false, Duration::ZERO, now);
    }
    let probing = now + policy.open_for;
    told.circuit.ask(probing).expect("a probe").report(true, Duration::ZERO, probing);
    late.report(false, Duration::ZERO, probing);
    assert_eq!(told.circuit.standing(probing).counts.calls, 0);
    told.now = probing;
    assert_eq!(told.plays("xxxxx"), Closed);
}
