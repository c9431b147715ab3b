//! What holds of a circuit whatever happens, on one thread and on several.
#![expect(clippy::disallowed_methods, reason = "the tests need some instant to begin from")]

use std::{
    sync::{Barrier, Mutex},
    time::{Duration, Instant},
};

use proptest::prelude::*;

use super::{Circuit, CircuitPolicy, Permit, Slow, Trial, Window, machine::Machine, window::Counts};

#[derive(Debug, Clone)]
enum Act {
    Ask,
    Report { which: usize, well: bool, slow: bool },
    Drop(usize),
    Wait(u64),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        4 => Just(Act::Ask),
        4 => (any::<usize>(), any::<bool>(), prop::bool::weighted(0.2))
            .prop_map(|(which, well, slow)| Act::Report { which, well, slow }),
        1 => any::<usize>().prop_map(Act::Drop),
        2 => (0_u64..4_000).prop_map(Act::Wait),
    ];
    prop::collection::vec(act, 0..300)
}

fn policies() -> impl Strategy<Value = CircuitPolicy> {
    let window = prop_oneof![(0_u32..8).prop_map(Window::Calls), Just(Window::Time(Duration::from_secs(5)))];
    let trial = prop_oneof![Just(Trial::All), Just(Trial::Rates)];
    let rate = prop_oneof![0.01..=1.0_f64, Just(f64::NAN), Just(0.0)];
    (window, 0_u32..5, rate, any::<bool>(), 0_u64..3_000, 0_u32..4, trial).prop_map(
        |(window, minimum_calls, failure_rate, slow, open_for, probes, trial)| CircuitPolicy {
            window,
            minimum_calls,
            failure_rate,
            slow: slow.then_some(Slow { from: Duration::from_secs(1), rate: 0.6 }),
            open_for: Duration::from_millis(open_for),
            open_growth: 1.5,
            open_cap: Duration::from_secs(5),
            probes,
            trial,
            half_open_for: Duration::from_secs(2),
        },
    )
}

proptest! {
    #[test]
    fn what_threads_share_behaves_as_the_machine_does_and_open_always_ends(
        policy in policies(), acts in acts(),
    ) {
        let mut now = Instant::now();
        let circuit = Circuit::new(policy, now);
        let mut machine = Machine::new(policy, now);
        let mut out: Vec<(Permit<'_>, u32)> = Vec::new();
        for act in acts {
            match act {
                Act::Ask => match (circuit.ask(now), machine.ask(now)) {
                    (Ok(permit), Ok(era)) => out.push((permit, era)),
                    (Err(refused), Err((_, wait))) => {
                        prop_assert_eq!(refused.wait, wait);
                        prop_assert!(wait <= policy.open_cap, "open ends");
                    }
                    (shared, alone) => prop_assert!(false, "{shared:?} is not {alone:?}"),
                },
                Act::Report { which, well, slow } if !out.is_empty() => {
                    let (permit, era) = out.swap_remove(which % out.len());
                    let took = if slow { Duration::from_secs(1) } else { Duration::ZERO };
                    permit.report(well, took, now);
                    machine.report(era, Counts::one(!well, slow && policy.slow.is_some()), now);
                }
                Act::Drop(which) if !out.is_empty() => {
                    let (permit, era) = out.swap_remove(which % out.len());
                    drop(permit);
                    machine.give_back(era);
                }
                Act::Wait(ms) => now += Duration::from_millis(ms),
                Act::Report { .. } | Act::Drop(_) => {}
            }
            let standing = circuit.standing(now);
            prop_assert_eq!(standing, machine.standing(0, now));
            prop_assert_eq!(circuit.standing(now), standing, "looking changes nothing");
        }
        drop(out);
        // Whatever happened: open for at most so long, half open for at most so long, open once more, and it admits.
        let longest = policy.open_cap + policy.half_open_for + policy.open_cap;
        prop_assert!(circuit.ask(now + longest).is_ok(), "it cannot be stuck");
    }
}

#[test]
fn half_open_never_admits_too_many_however_many_ask_at_once() {
    const THREADS: usize = 8;
    let policy =
        CircuitPolicy { probes: 3, half_open_for: Duration::from_secs(3_600), ..CircuitPolicy::default() };
    let begin = Instant::now();
    for _ in 0..200 {
        let circuit = Circuit::new(policy, begin);
        for _ in 0..policy.minimum_calls {
            circuit.ask(begin).expect("closed").report(false, Duration::ZERO, begin);
        }
        let (barrier, admitted) = (Barrier::new(THREADS), Mutex::new(Vec::new()));
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    barrier.wait();
                    for _ in 0..4 {
                        let later = begin + policy.open_for;
                        admitted.lock().unwrap().extend(circuit.ask(later).ok());
                    }
                });
            }
        });
        assert_eq!(admitted.into_inner().unwrap().len(), 3);
    }
}
