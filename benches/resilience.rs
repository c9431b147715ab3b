//! What one successful call costs through a retry, a budget and a circuit: ours, others' and none at all; with one
//! thread, and with two that contend for the same operation. `cargo bench --bench resilience`.
//!
//! In nanoseconds a call and as a multiple of the bare call; believe only what a machine without other work says. The
//! time is told apart, because telling it may cost more than all the rest: ours takes it handed in, the others ask for it.
#![allow(clippy::unwrap_used, reason = "a panic is how a bench fails")]

use std::{
    future::Future,
    hint::black_box,
    mem::size_of,
    pin::pin,
    sync::Barrier,
    task::{Context, Poll, Waker},
    thread,
    time::{Duration, Instant},
};

use backon::{ExponentialBuilder, Retryable};
use recloser::Recloser;
use redrive::{
    clock,
    domain::fault::Fault,
    resilience::{
        budget::{Budget, BudgetPolicy, Deposit, TokenPolicy},
        circuit::{Circuit, CircuitPolicy, Window},
        policy::{Policy, Settings},
    },
};
use tower::retry::budget::{Budget as _, TpsBudget};

fn bare() -> Result<u64, Fault> {
    black_box(Ok(7))
}

/// Polls a future that is ready at once.
fn ready<F: Future>(future: F) -> F::Output {
    let mut context = Context::from_waker(Waker::noop());
    match pin!(future).poll(&mut context) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("a call that succeeds at once never waits"),
    }
}

/// Nanoseconds a call, with so many threads making so many each at once.
fn run(threads: usize, calls: u32, call: &(dyn Fn(u32) + Sync)) -> f64 {
    let barrier = Barrier::new(threads);
    let took = thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    barrier.wait();
                    let began = clock::instant();
                    call(calls);
                    clock::instant() - began
                })
            })
            .collect();
        running.into_iter().map(|thread| thread.join().unwrap()).max().unwrap()
    });
    took.as_nanos() as f64 / f64::from(calls)
}

/// Alone: the least of many short runs, for what other work on the machine adds is no part of the cost.
fn alone(call: &(dyn Fn(u32) + Sync)) -> f64 {
    (0..60).map(|_| run(1, 50_000, call)).fold(f64::INFINITY, f64::min)
}

/// Contending: the median of long runs, for in the least of them the threads may never have met.
fn contending(call: &(dyn Fn(u32) + Sync)) -> f64 {
    let mut runs: Vec<f64> = (0..15).map(|_| run(2, 500_000, call)).collect();
    runs.sort_by(f64::total_cmp);
    runs[runs.len() / 2]
}

/// Makes a call so many times.
type Loop<'a> = Box<dyn Fn(u32) + Sync + 'a>;

/// A loop over `call` that is compiled for it, so that only what it does is measured.
fn each(call: impl Fn() + Sync) -> impl Fn(u32) + Sync {
    move |times| (0..times).for_each(|_| call())
}

fn guarded(circuit: &Circuit, budget: &Budget, now: Instant) {
    let permit = circuit.ask(now).unwrap();
    budget.deposit(Deposit::FirstTry, now);
    let well = bare().is_ok();
    permit.report(well, Duration::ZERO, now);
    budget.deposit(Deposit::Success(None), now);
}

fn main() {
    let now = clock::instant();
    let circuit = Circuit::new(CircuitPolicy::default(), now);
    let timed = CircuitPolicy { window: Window::Time(Duration::from_secs(10)), ..CircuitPolicy::default() };
    let timed = Circuit::new(timed, now);
    let budget = Budget::new(BudgetPolicy::default(), now);
    let tokens = Budget::new(BudgetPolicy::Tokens(TokenPolicy::default()), now);
    let policy = Policy::new("bench", Settings::default()).unwrap();
    let recloser = Recloser::custom().build();
    let tower = TpsBudget::new(Duration::from_secs(10), 10, 0.2);
    let rows: Vec<(&str, Loop<'_>)> = vec![
        ("bare call", Box::new(each(|| drop(black_box(bare()))))),
        ("telling the time: exactly", Box::new(each(|| _ = black_box(clock::instant())))),
        ("telling the time: about", Box::new(each(|| _ = black_box(clock::coarse_instant())))),
        (
            "circuit + ratio budget, time handed in",
            Box::new(each(|| guarded(&circuit, &budget, black_box(now)))),
        ),
        (
            "circuit + ratio budget, and the time",
            Box::new(each(|| guarded(&circuit, &budget, clock::coarse_instant()))),
        ),
        (
            "time-window circuit + token bucket, and the time",
            Box::new(each(|| guarded(&timed, &tokens, clock::coarse_instant()))),
        ),
        (
            "policy.run: retry + budget + circuit + timeout",
            Box::new(each(|| drop(black_box(ready(policy.run(|_| async { bare() })))))),
        ),
        (
            "backon retry",
            Box::new(each(|| {
                drop(black_box(ready((|| async { bare() }).retry(ExponentialBuilder::default()))));
            })),
        ),
        ("recloser circuit", Box::new(each(|| drop(black_box(recloser.call(bare)))))),
        (
            "tower budget",
            Box::new(each(|| {
                tower.deposit();
                drop(black_box(bare()));
            })),
        ),
        (
            "backon + recloser + tower budget",
            Box::new(each(|| {
                tower.deposit();
                let call = || async { recloser.call(bare) };
                drop(black_box(ready(call.retry(ExponentialBuilder::default()))));
            })),
        ),
    ];
    println!(
        "{:<50} {:>9} {:>7} {:>11} {:>7}",
        "one successful call", "1 thread", "× bare", "2 threads", "× bare"
    );
    let mut bares = None;
    for (name, call) in &rows {
        let (one, two) = (alone(call.as_ref()), contending(call.as_ref()));
        let (bare_one, bare_two) = *bares.get_or_insert((one, two));
        println!("{name:<50} {one:>6.1} ns {:>7.1} {two:>8.1} ns {:>7.1}", one / bare_one, two / bare_two);
    }
    let (circuit, budget) = (size_of::<Circuit>(), size_of::<Budget>());
    println!(
        "memory per operation: circuit {circuit} B, budget {budget} B and its ledger, policy {} B with both",
        size_of::<Policy>()
    );
}
