//! A call under a policy, in a time of the tests' own.
#![expect(clippy::disallowed_methods, reason = "the tests need some instant to begin from")]

use std::{future::pending, sync::atomic::AtomicU32, sync::atomic::Ordering};

use super::*;
use crate::{
    domain::{circuit::CircuitState, fault::Fault},
    resilience::{
        backoff::{Backoff, Jitter},
        budget::{BudgetPolicy, Denied, RatioPolicy, TokenPolicy},
        circuit::{CircuitPolicy, Refusal},
        classify::Classes,
    },
};

/// Time that passes only when somebody waits for it.
#[derive(Debug)]
struct Virtual(Mutex<Instant>);

impl Time for Arc<Virtual> {
    fn now(&self) -> Instant {
        *self.0.lock().unwrap()
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send {
        *self.0.lock().unwrap() += duration;
        std::future::ready(())
    }
}

struct World {
    policy: Policy<Arc<Virtual>>,
    time: Arc<Virtual>,
    begin: Instant,
    made: AtomicU32,
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn settings() -> Settings {
    let backoff = Backoff { base: seconds(1), cap: seconds(60), jitter: Jitter::None };
    Settings { backoff, ..Settings::default() }
}

fn world(settings: Settings) -> World {
    let begin = Instant::now();
    let time = Arc::new(Virtual(Mutex::new(begin)));
    let random = Random::seeded(1);
    let policy =
        Policy::in_time("github.tree", settings, None, random, time.clone()).expect("it can be meant");
    World { policy, time, begin, made: AtomicU32::new(0) }
}

impl World {
    /// A call whose attempts end with `answers` in turn, the last one again and again.
    async fn calls(&self, answers: &[Result<(), Fault>]) -> Result<(), Stopped<Fault>> {
        let answer = |attempt: Attempt| {
            self.made.fetch_add(1, Ordering::Relaxed);
            let answer = &answers[answers.len().min(attempt.number as usize) - 1];
            std::future::ready(answer.clone())
        };
        self.policy.run(answer).await
    }

    fn made(&self) -> u32 {
        self.made.load(Ordering::Relaxed)
    }

    fn passed(&self) -> u64 {
        (self.time.now() - self.begin).as_secs()
    }
}

fn failing() -> Result<(), Fault> {
    Err(Fault::transient("503"))
}

#[tokio::test]
async fn a_transient_failure_is_tried_again_after_its_delays_until_it_passes() {
    let world = world(settings());
    world.calls(&[failing(), failing(), failing(), Ok(())]).await.expect("the fourth attempt passes");
    assert_eq!((world.made(), world.passed()), (4, 1 + 2 + 4));
    let tally = world.policy.budget().tally(world.time.now());
    assert_eq!((tally.first, tally.retries), (1, 3));
}

#[tokio::test]
async fn attempts_end_and_say_what_the_last_one_said() {
    let world = world(settings());
    let stopped = world.calls(&[failing()]).await.unwrap_err();
    assert_eq!((stopped.reason, stopped.attempts, world.made()), (Reason::Exhausted, 5, 5));
    assert_eq!(stopped.to_string(), "github.tree failed after 5 attempts: none is left; the last said: 503");
}

#[tokio::test]
async fn a_permanent_failure_is_never_tried_again_and_an_unknown_one_once_and_slowly() {
    let world = world(settings());
    let stopped = world.calls(&[Err(Fault::permanent("422"))]).await.unwrap_err();
    assert_eq!((stopped.reason, world.made(), world.passed()), (Reason::Permanent, 1, 0));
    let stopped = world.calls(&[Err(Fault::new(FaultClass::Unknown, "418"))]).await.unwrap_err();
    assert_eq!((stopped.reason, stopped.attempts, world.passed()), (Reason::Exhausted, 2, 60));
}

#[tokio::test]
async fn what_the_other_side_asks_for_is_waited_up_to_the_longest() {
    let world = world(Settings { longest_asked: seconds(90), ..settings() });
    let asks = |wait| Err(Fault { retry_after: Some(seconds(wait)), ..Fault::transient("429") });
    world.calls(&[asks(30), asks(9_999), Ok(())]).await.expect("it passes");
    assert_eq!(world.passed(), 30 + 90);
}

#[tokio::test]
async fn no_wait_is_begun_that_would_pass_the_deadline() {
    let world = world(Settings { deadline: Some(seconds(7)), timeout: seconds(7), ..settings() });
    let stopped = world.calls(&[failing()]).await.unwrap_err();
    assert_eq!((stopped.reason, stopped.attempts, world.passed()), (Reason::Deadline, 3, 1 + 2));
}

#[tokio::test]
async fn an_attempt_that_hangs_is_dropped_at_its_timeout_or_at_the_deadline() {
    let world = world(Settings { deadline: Some(seconds(50)), timeout: seconds(30), ..settings() });
    let limits = Mutex::new(Vec::new());
    let hanging = |attempt: Attempt| {
        limits.lock().unwrap().push((attempt.until - world.time.now()).as_secs());
        pending::<Result<(), Fault>>()
    };
    let stopped = world.policy.run(hanging).await.unwrap_err();
    assert_eq!(*limits.lock().unwrap(), [30, 19], "thirty, a second's wait, and what the deadline leaves");
    assert_eq!((stopped.reason, stopped.last), (Reason::Deadline, Some(Failure::TimedOut(seconds(19)))));
}

#[tokio::test]
async fn a_call_that_must_not_be_made_twice_is_not_tried_again_after_a_timeout() {
    let classes = Classes { timeout: Tries::Once, ..Classes::default() };
    let world = world(Settings { classes, ..settings() });
    let stopped = world.policy.run(|_| pending::<Result<(), Fault>>()).await.unwrap_err();
    assert_eq!((stopped.reason, stopped.attempts), (Reason::Exhausted, 1));
}

#[tokio::test]
async fn a_retry_that_is_not_affordable_ends_the_call() {
    let budget = BudgetPolicy::Ratio(RatioPolicy { share: 0.0, floor: 0.1, window: seconds(10) });
    let world = world(Settings { budget, ..settings() });
    let stopped = world.calls(&[failing()]).await.unwrap_err();
    assert_eq!((stopped.reason, stopped.attempts), (Reason::Budget(Denied::Ratio), 2));
    assert_eq!(stopped.reason.word(), StopWord::Budget);
}

#[tokio::test]
async fn an_open_circuit_ends_the_call_and_spends_nothing() {
    let circuit = CircuitPolicy { minimum_calls: 2, ..CircuitPolicy::default() };
    let world = world(Settings { circuit, ..settings() });
    let stopped = world.calls(&[failing()]).await.unwrap_err();
    let Reason::Circuit(refused) = stopped.reason else { panic!("{:?}", stopped.reason) };
    assert_eq!((refused.why, stopped.attempts, world.made()), (Refusal::Open, 2, 2));
    let tally = world.policy.budget().tally(world.time.now());
    assert_eq!((tally.first, tally.retries), (1, 1), "the third attempt was not made, and not spent");
    let stopped = world.calls(&[Ok(())]).await.unwrap_err();
    assert_eq!((stopped.attempts, stopped.last, world.made()), (0, None, 2));
    world.time.sleep(seconds(30)).await;
    world.calls(&[Ok(())]).await.expect("half open lets it through");
}

#[tokio::test]
async fn a_call_dropped_while_it_waits_has_not_spent_its_retry() {
    let world = world(settings());
    let real = Policy::new("github.tree", settings()).expect("it can be meant");
    let call = real.run(|_| std::future::ready(failing()));
    assert!(tokio::time::timeout(Duration::from_millis(1), call).await.is_err());
    let tally = real.budget().tally(world.time.now() + Duration::from_millis(50));
    assert_eq!((tally.first, tally.retries), (1, 0));
}

#[tokio::test]
async fn what_a_call_is_allowed_bounds_its_attempts_and_its_time() {
    let world = world(settings());
    let within = async |allowance| {
        let call = |_| std::future::ready(failing());
        let begin = world.time.now();
        let stopped = world.policy.run_within(allowance, call).await.unwrap_err();
        (stopped.reason.word(), stopped.attempts, (world.time.now() - begin).as_secs())
    };
    let soon = |left| Allowance { until: Some(world.time.now() + seconds(left)), ..Allowance::default() };
    assert_eq!(within(Allowance { attempts: 2, until: None }).await, (StopWord::Exhausted, 2, 1));
    assert_eq!(within(Allowance { attempts: 0, until: None }).await, (StopWord::Exhausted, 1, 0));
    assert_eq!(within(soon(3)).await, (StopWord::Deadline, 2, 1));
    assert_eq!(within(soon(0)).await, (StopWord::Deadline, 0, 0), "none is made for nobody");
}

#[tokio::test]
async fn a_caller_in_a_hurry_does_not_open_the_circuit_and_one_without_does() {
    let circuit = CircuitPolicy { minimum_calls: 1, ..CircuitPolicy::default() };
    let world = world(Settings { circuit, attempts: 1, ..settings() });
    let state = || world.policy.circuit().standing(world.time.now()).state;
    let hangs = |_| pending::<Result<(), Fault>>();
    let hurried = Allowance { until: Some(world.time.now() + seconds(29)), ..Allowance::default() };
    world.policy.run_within(hurried, hangs).await.unwrap_err();
    assert_eq!(state(), CircuitState::Closed);
    let patient = Allowance { until: Some(world.time.now() + seconds(30)), ..Allowance::default() };
    world.policy.run_within(patient, hangs).await.unwrap_err();
    assert_eq!(state(), CircuitState::Open);
}

#[tokio::test]
async fn a_throttled_callee_sets_the_pace_of_first_tries_too() {
    let budget = BudgetPolicy::Adaptive(TokenPolicy::default());
    let world = world(Settings { budget, attempts: 1, ..settings() });
    world.calls(&[Ok(())]).await.expect("nothing is held back yet");
    let throttled = Fault { http_status: Some(429), ..Fault::transient("429") };
    world.calls(&[Err(throttled)]).await.unwrap_err();
    assert_eq!(world.passed(), 0);
    world.calls(&[Ok(())]).await.expect("it has its turn");
    assert_eq!(world.passed(), 2, "half a call a second");
}

#[test]
fn what_cannot_be_meant_is_said_exactly() {
    let said = |settings: Settings| Policy::new("x", settings).unwrap_err().to_string();
    let good = Settings::default;
    assert_eq!(good().check(), Ok(()));
    assert_eq!(said(Settings { attempts: 0, ..good() }), "attempts is 0: between 1 and 1000 is expected");
    assert_eq!(
        said(Settings { timeout: Duration::ZERO, ..good() }),
        "timeout is 0s: more than 0 and at most 365 days is expected"
    );
    assert_eq!(
        said(Settings { deadline: Some(seconds(10)), ..good() }),
        "timeout is 30s, which is over deadline (10s): at most that is expected"
    );
    assert_eq!(
        said(Settings { weight: f64::NAN, ..good() }),
        "weight is NaN: between 0.001 and 1000 is expected"
    );
    let slow = Some(crate::resilience::circuit::Slow { from: seconds(31), rate: 1.0 });
    assert_eq!(
        said(Settings { circuit: CircuitPolicy { slow, ..CircuitPolicy::default() }, ..good() }),
        "circuit.slow.from is 31s, which is over timeout (30s): at most that is expected"
    );
    let never = Backoff { base: Duration::ZERO, cap: Duration::ZERO, jitter: Jitter::Full };
    assert_eq!(
        Settings { attempts: 1, backoff: never, ..good() }.check(),
        Ok(()),
        "one attempt needs no waits"
    );
}

#[tokio::test]
async fn beyond_its_places_a_call_ends_at_once_and_a_place_is_given_back_whatever_becomes_of_the_call() {
    // In real time: a call that waits for ever has to stay under way.
    let policy = Policy::new("github.tree", Settings { concurrency: Some(1), ..settings() }).unwrap();
    let inner = policy.run(|_| async {
        let refused = policy.run(|_| async { Ok::<(), Fault>(()) }).await.unwrap_err();
        assert_eq!((refused.reason, refused.attempts), (Reason::Bulkhead, 0));
        assert_eq!(
            refused.to_string(),
            "github.tree failed after 0 attempts: as many of its calls as may be are under way"
        );
        assert_eq!(refused.class(), FaultClass::BulkheadFull);
        Ok::<(), Fault>(())
    });
    inner.await.expect("the first has the place");
    let mut dropped = Box::pin(policy.run(|_| pending::<Result<(), Fault>>()));
    assert!(futures_util::poll!(&mut dropped).is_pending());
    let answers = || policy.run(|_| std::future::ready(Ok::<(), Fault>(())));
    assert!(answers().await.is_err(), "the place is taken");
    drop(dropped);
    answers().await.expect("a dropped call gives it back");
    let tally = policy.budget().tally(Instant::now());
    assert_eq!(tally.first, 3, "what had no place was no first try");
}
