//! The shared circuit in every order in which two threads can meet.
#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "the mounted files serve more than these tests"
)]
#![expect(clippy::disallowed_methods, reason = "the tests need some instant to begin from")]

use super::{Refusal, Refused, force, machine, policy, slices, window};

#[path = "shared.rs"]
mod shared;
#[path = "../stripe.rs"]
mod stripe;
#[path = "../sync_loom.rs"]
mod sync;

use std::time::{Duration, Instant};

use loom::{sync::Arc, thread};

use crate::domain::circuit::CircuitState;
use policy::CircuitPolicy;
use shared::Circuit;
use window::Window;

fn policy(calls: u32) -> CircuitPolicy {
    CircuitPolicy {
        window: Window::Calls(calls),
        minimum_calls: calls,
        probes: 1,
        ..CircuitPolicy::default()
    }
}

/// Runs `other` on a second thread beside `main`, in every order, and then `after`.
fn every_order(
    policy: CircuitPolicy,
    main: impl Fn(&Circuit, Instant) + Send + Sync + 'static,
    other: impl Fn(&Circuit, Instant) + Send + Sync + Copy + 'static,
    after: impl Fn(&Circuit, Instant) + Send + Sync + 'static,
) {
    let now = Instant::now();
    loom::model(move || {
        let circuit = Arc::new(Circuit::new(policy, now));
        let shared = circuit.clone();
        let second = thread::spawn(move || {
            sync::number_this_thread(1);
            other(&shared, now);
        });
        main(&circuit, now);
        second.join().expect("the second thread ends");
        after(&circuit, now);
    });
}

fn call(circuit: &Circuit, well: bool, now: Instant) {
    if let Ok(permit) = circuit.ask(now) {
        permit.report(well, Duration::ZERO, now);
    }
}

#[test]
fn no_call_is_lost_or_counted_twice() {
    every_order(
        policy(8),
        |circuit, now| {
            call(circuit, true, now);
            call(circuit, false, now);
        },
        |circuit, now| {
            call(circuit, true, now);
            call(circuit, true, now);
        },
        |circuit, now| {
            let counts = circuit.standing(now).counts;
            assert_eq!((counts.calls, counts.failed), (4, 1));
        },
    );
}

#[test]
fn a_success_of_an_era_that_is_over_is_never_counted() {
    let (policy, now) = (policy(1), Instant::now());
    loom::model(move || {
        let circuit: &'static Circuit = Box::leak(Box::new(Circuit::new(policy, now)));
        let late = circuit.ask(now).expect("closed");
        let second = thread::spawn(move || {
            sync::number_this_thread(1);
            late.report(true, Duration::ZERO, now);
        });
        call(circuit, false, now);
        let later = now + policy.open_for;
        call(circuit, true, later);
        second.join().expect("the second thread ends");
        let standing = circuit.standing(later);
        assert_eq!((standing.state, standing.counts.calls), (CircuitState::Closed, 0));
    });
}

#[test]
fn one_probe_is_admitted_and_its_place_given_back_when_it_is_dropped() {
    every_order(
        policy(1),
        |circuit, now| {
            call(circuit, false, now);
            drop(circuit.ask(now + circuit.policy().open_for));
        },
        |circuit, now| drop(circuit.ask(now + circuit.policy().open_for)),
        |circuit, now| {
            let later = now + circuit.policy().open_for;
            let probe = circuit.ask(later).expect("every place was given back");
            assert!(circuit.ask(later).is_err(), "and no more than one is admitted");
            drop(probe);
        },
    );
}
