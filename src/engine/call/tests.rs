//! A guarded call: what it asks, what refuses it, and what it leaves behind.

use std::{collections::BTreeMap, sync::Mutex};

use super::{guarded::HELD_FOR, *};
use crate::{
    domain::circuit::{CircuitState, Forced},
    engine::{observer::Denial, policies::OperationPolicy},
    resilience::{
        budget::{BudgetPolicy, RatioPolicy, TokenPolicy},
        circuit::{CircuitPolicy, Window},
    },
};

const HOOK: &str = "github.create_hook";

#[derive(Default)]
struct Heard {
    attempts: Mutex<Vec<AttemptKind>>,
    denied: Mutex<Vec<Denial>>,
    rejected: Mutex<u32>,
}

impl Observer for Heard {
    fn attempt_ended(&self, _: &str, kind: AttemptKind, _: CallAttemptOutcome, _: Duration) {
        self.attempts.lock().unwrap().push(kind);
    }

    fn retry_denied(&self, _: &str, reason: Denial) {
        self.denied.lock().unwrap().push(reason);
    }

    fn call_ended(&self, _: &str, outcome: CallOutcome) {
        *self.rejected.lock().unwrap() += u32::from(outcome == CallOutcome::Rejected);
    }
}

fn all(policy: OperationPolicy) -> Policies {
    Policies { otherwise: policy, ..Policies::default() }
}

fn step(calls: &Arc<Calls>, attempt: u32) -> StepCalls {
    StepCalls::new(calls.clone(), attempt, false, Duration::from_secs(60))
}

async fn well(calls: &Arc<Calls>, attempt: u32) -> Result<(), Fault> {
    step(calls, attempt).call(HOOK, async { Ok(()) }).await
}

fn order(order: Order, left: Option<Duration>) -> Steering {
    let (owner, reason) = ("ana".to_owned(), "GitHub asked us to".to_owned());
    Steering { operation: HOOK.to_owned(), order, left, owner, reason }
}

#[tokio::test]
async fn what_an_earlier_attempt_never_reached_is_a_first_try() {
    let heard = Arc::new(Heard::default());
    let calls = Calls::new(Policies::default(), heard.clone());
    let step = StepCalls::new(calls, 2, false, Duration::from_secs(1))
        .after(Some(FailedAt { operation: "github.list_hooks".to_owned(), timed_out: false }));
    for operation in ["tfc.list_notifications", "github.list_hooks", "github.list_hooks", HOOK] {
        step.call(operation, async { Ok(()) }).await.unwrap();
    }
    use AttemptKind::{First, Retry};
    let kinds = heard.attempts.lock().unwrap().clone();
    assert_eq!(kinds, [Retry, Retry, First, First], "the second page is new as well");
}

#[tokio::test]
async fn a_dropped_call_says_nothing_about_its_callee_and_its_place_is_free() {
    let circuit = CircuitPolicy { window: Window::Calls(1), minimum_calls: 1, ..CircuitPolicy::default() };
    let policy = OperationPolicy { circuit, concurrency: Some(1), ..OperationPolicy::default() };
    let calls = Calls::new(all(policy), Arc::new(()));
    let step = step(&calls, 1);
    let hanging = step.call(HOOK, std::future::pending::<Result<(), Fault>>());
    assert!(tokio::time::timeout(Duration::from_millis(1), hanging).await.is_err());
    let report = calls.reports().remove(0);
    assert_eq!((report.calls, report.in_flight), (0, Some((0, 1))));
}

#[tokio::test]
async fn beyond_its_places_a_call_is_not_made_and_says_so() {
    let policy = OperationPolicy { concurrency: Some(1), ..OperationPolicy::default() };
    let heard = Arc::new(Heard::default());
    let calls = Calls::new(all(policy), heard.clone());
    let first = step(&calls, 1);
    let held = first.call(HOOK, async {
        let fault = well(&calls, 2).await.expect_err("there is one place");
        assert_eq!(fault.class, FaultClass::BulkheadFull);
        assert_eq!(fault.message, "1 call is under way at github.create_hook, as many as may be");
        Ok(())
    });
    held.await.expect("the first has the place");
    assert_eq!(*heard.denied.lock().unwrap(), [Denial::Bulkhead]);
    assert_eq!(calls.reports()[0].denied, BTreeMap::from([(Denial::Bulkhead, 1)]));
    well(&calls, 1).await.expect("the place is free again");
}

#[tokio::test]
async fn what_is_paused_waits_for_its_limit_and_what_else_there_is_goes_on() {
    let heard = Arc::new(Heard::default());
    let calls = Calls::new(Policies::default(), heard.clone());
    calls.steer(&[order(Order::Pause, Some(Duration::from_secs(600)))]);
    let fault = well(&calls, 1).await.expect_err("it is paused");
    assert_eq!(fault.class, FaultClass::Held);
    assert_eq!(fault.message, "github.create_hook is paused by ana: GitHub asked us to");
    let wait = fault.retry_after.expect("it knows for how long").as_secs();
    assert!((598..=600).contains(&wait), "{wait} s");
    assert_eq!((*heard.rejected.lock().unwrap(), heard.attempts.lock().unwrap().len()), (1, 0));
    step(&calls, 1).call("github.tree", async { Ok(()) }).await.expect("nobody paused that");
    calls.steer(&[]);
    well(&calls, 1).await.expect("it goes on");
}

#[tokio::test]
async fn a_pause_and_a_forced_circuit_are_over_by_themselves_at_their_limit() {
    for order_ in [Order::Pause, Order::Force(Forced::Open)] {
        let calls = Calls::new(Policies::default(), Arc::new(()));
        calls.steer(&[order(order_, Some(Duration::ZERO))]);
        well(&calls, 1).await.expect("it was over at once");
    }
}

#[tokio::test]
async fn what_operators_decided_holds_for_operations_not_called_yet_and_names_them() {
    let calls = Calls::new(Policies::default(), Arc::new(()));
    calls.steer(&[order(Order::Force(Forced::Open), None)]);
    let fault = well(&calls, 3).await.expect_err("it is forced open");
    assert_eq!(fault.class, FaultClass::Held);
    assert_eq!(fault.message, "circuit github.create_hook is forced open by ana: GitHub asked us to");
    assert_eq!(fault.retry_after, Some(HELD_FOR), "the store tells when it is let go");
    assert_eq!(calls.reports()[0].state, CircuitState::Closed, "what it computed stands apart");
}

#[tokio::test]
async fn an_operation_that_spent_its_own_budget_is_told_from_one_that_meets_the_roof() {
    let none = RatioPolicy { share: 0.0, floor: 0.0, ..RatioPolicy::default() };
    let own = OperationPolicy { budget: BudgetPolicy::Ratio(none), ..OperationPolicy::default() };
    let calls = Calls::new(all(own), Arc::new(()));
    let fault = well(&calls, 2).await.expect_err("no retry is affordable");
    assert_eq!(fault.message, "the retry budget of github.create_hook is spent");
    let mut policies = Policies::default();
    (policies.roof.share, policies.roof.floor) = (0.0, 0.0);
    let fault = well(&Calls::new(policies, Arc::new(())), 2).await.expect_err("nor under this roof");
    assert!(fault.message.starts_with("the retry budget over all operations is spent"), "{}", fault.message);
    assert_eq!(fault.class, FaultClass::BudgetSpent);
}

#[tokio::test]
async fn an_operations_own_timeout_is_kept_whatever_its_state_allows() {
    let policy = OperationPolicy { timeout: Duration::from_millis(5), ..OperationPolicy::default() };
    let calls = Calls::new(all(policy), Arc::new(()));
    let hanging = step(&calls, 1);
    let hanging = hanging.call(HOOK, std::future::pending::<Result<(), Fault>>());
    let fault = hanging.await.expect_err("it hangs");
    assert_eq!(
        (fault.class, fault.message.as_str()),
        (
            FaultClass::Timeout,
            "github.create_hook gave no answer within 5 ms: whether it was done is not known"
        )
    );
}

#[tokio::test]
async fn a_bucket_of_tokens_pays_for_retries_dearer_after_a_timeout_and_a_success_fills_it_again() {
    let tokens = TokenPolicy { capacity: 20, retry: 5, after_timeout: 10, success: 1 };
    let budget = BudgetPolicy::Tokens(tokens);
    let calls = Calls::new(all(OperationPolicy { budget, ..OperationPolicy::default() }), Arc::new(()));
    let left = || (calls.reports()[0].budget_left * 20.0).round();
    let retry = |timed_out| step(&calls, 2).after(Some(FailedAt { operation: HOOK.to_owned(), timed_out }));
    let fails = async { Err::<(), Fault>(Fault::transient("503")) };
    retry(true).call(HOOK, fails).await.expect_err("it fails");
    assert_eq!(left(), 10.0);
    retry(false).call(HOOK, async { Ok(()) }).await.expect("it passes");
    assert_eq!(left(), 10.0, "it gives back what it cost");
    well(&calls, 1).await.expect("it passes");
    assert_eq!(left(), 11.0, "and a first try a little");
}

#[tokio::test]
async fn an_operation_that_throttles_is_sent_to_at_the_rate_it_bears_and_no_worker_waits_for_long() {
    let budget = BudgetPolicy::Adaptive(TokenPolicy::default());
    let calls = Calls::new(all(OperationPolicy { budget, ..OperationPolicy::default() }), Arc::new(()));
    let throttled =
        || async { Err::<(), Fault>(Fault { http_status: Some(429), ..Fault::transient("429") }) };
    let mut said = None;
    for _ in 0..20 {
        let fault = step(&calls, 1).call(HOOK, throttled()).await.expect_err("it throttles");
        if fault.class == FaultClass::BudgetSpent {
            said = Some(fault);
            break;
        }
    }
    let fault = said.expect("after a while its turn is too far off to wait for");
    assert!(fault.message.starts_with("calls of github.create_hook are held to 0.5 a second"), "{fault}");
    assert!(fault.retry_after.is_some_and(|wait| wait > Duration::from_secs(1)), "{fault:?}");
}
