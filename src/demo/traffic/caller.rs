//! One caller of other services: a process with a name, a policy for each operation it calls, and a metrics page.

use std::{
    future::Future,
    net::SocketAddr,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    export::{self, HttpClient, Page},
    tally::{Call, Tally},
};
use crate::{
    clock::{self, Random},
    demo::{ANYWHERE, DemoError},
    domain::fault::FaultClass,
    engine::observer::{AttemptKind, CallAttemptOutcome, CallOutcome, Denial, Observer},
    http,
    metrics::{export::Metrics, scrape::Target},
    resilience::{
        backoff::Backoff,
        budget::{BudgetPolicy, RatioPolicy, Roof, RoofPolicy},
        circuit::{CircuitPolicy, Window},
        classify::Classify,
        policy::{Allowance, Policy, Real, Reason, Settings, Stopped},
    },
};

/// How a caller makes its calls of one operation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manner {
    /// Attempts in all, from 1.
    pub(crate) attempts: u32,
    /// The waits between them.
    pub(crate) backoff: Backoff,
    /// How long it waits for an answer.
    pub(crate) timeout: Duration,
    /// How many retries are affordable; `None`: all.
    pub(crate) budget: Option<BudgetPolicy>,
    /// When to stop asking; `None`: never.
    pub(crate) circuit: Option<CircuitPolicy>,
    /// Its part of what a roof keeps.
    pub(crate) weight: f64,
}

impl Manner {
    /// With neither budget nor circuit.
    pub(crate) const fn unprotected(attempts: u32, backoff: Backoff, timeout: Duration) -> Self {
        Self { attempts, backoff, timeout, budget: None, circuit: None, weight: 1.0 }
    }

    fn settings(&self) -> Settings {
        // Without a budget a caller may retry a million times for each call; without a circuit it would have to see
        // nothing but failures for longer than any demo runs.
        let boundless = RatioPolicy { share: 1e6, floor: 1e6, ..RatioPolicy::default() };
        let never = CircuitPolicy {
            window: Window::Calls(100_000),
            minimum_calls: 100_000,
            failure_rate: 1.0,
            ..CircuitPolicy::default()
        };
        Settings {
            attempts: self.attempts,
            backoff: self.backoff,
            timeout: self.timeout,
            budget: self.budget.unwrap_or(BudgetPolicy::Ratio(boundless)),
            circuit: self.circuit.unwrap_or(never),
            weight: self.weight,
            ..Settings::default()
        }
    }
}

/// What a caller is, beside the manner of its calls.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Guarding {
    /// Nothing of ours: it exports what any HTTP client does.
    Plain,
    /// It uses our policies and exports what we do.
    Ours,
    /// The same, with a roof over the retries of all its operations.
    Under(RoofPolicy),
}

/// An attempt that failed, in a way that may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Failed;

impl Classify for Failed {
    fn class(&self) -> FaultClass {
        FaultClass::Transient
    }
}

/// What one attempt sends, for its number from 1.
pub(crate) trait Send<F>: FnMut(u32) -> F {}
impl<F, S: FnMut(u32) -> F> Send<F> for S {}

/// A caller while it runs.
pub(crate) struct Caller {
    /// Its name on the screen.
    pub(crate) name: &'static str,
    /// For what it sends.
    pub(crate) client: http::Client,
    operations: Vec<(String, Policy)>,
    roof: Option<RoofPolicy>,
    observer: Arc<dyn Observer>,
    began: Instant,
    /// Attempts at most, whatever the manner says: how an operator switches retries off.
    at_most: AtomicU32,
    tally: Mutex<Tally>,
    page: Page,
    metrics: OnceLock<SocketAddr>,
}

impl Caller {
    /// Begins to serve its metrics; it calls when it is told to.
    ///
    /// # Errors
    /// When there is no port, no HTTP client can be built, or its manner makes no sense.
    pub(crate) async fn start(
        name: &'static str,
        operations: &[(&str, Manner)],
        guarding: Guarding,
        mut random: Random,
        tracker: &TaskTracker,
        cancel: &CancellationToken,
    ) -> Result<Arc<Self>, DemoError> {
        let roof = if let Guarding::Under(policy) = guarding { Some(policy) } else { None };
        let over = roof.map(Roof::new);
        let mut policies = Vec::new();
        for (operation, manner) in operations {
            let own = Random::seeded(random.bits());
            let policy = Policy::in_time(operation, manner.settings(), over.as_ref(), own, Real)?;
            policies.push(((*operation).to_owned(), policy));
        }
        let (observer, page): (Arc<dyn Observer>, Page) = match guarding {
            Guarding::Plain => {
                let counted = Arc::new(HttpClient::new());
                (counted.clone(), Arc::new(move || counted.encode()))
            }
            Guarding::Ours | Guarding::Under(_) => {
                let counted = Arc::new(Metrics::new());
                (counted.clone(), Arc::new(move || counted.encode()))
            }
        };
        let longest = operations.iter().map(|(_, manner)| manner.timeout).max().unwrap_or_default();
        // Each attempt has its own limit; this one is for what nobody limits.
        let client = http::client(longest.saturating_mul(2))?;
        let caller = Arc::new(Self {
            name,
            client,
            operations: policies,
            roof,
            observer,
            began: clock::instant(),
            at_most: AtomicU32::new(u32::MAX),
            tally: Mutex::default(),
            page,
            metrics: OnceLock::new(),
        });
        let of = Arc::clone(&caller);
        let page = move || {
            of.tell();
            (of.page)()
        };
        let address = export::serve(Arc::new(page), tracker, cancel).await?;
        caller.metrics.get_or_init(|| address);
        Ok(caller)
    }

    /// Where its metrics are.
    pub(crate) fn address(&self) -> SocketAddr {
        self.metrics.get().copied().unwrap_or(ANYWHERE)
    }

    /// Its metrics, as a target.
    ///
    /// # Errors
    /// Never: an address of loopback makes a good URL.
    pub(crate) fn target(&self) -> Result<Target, DemoError> {
        Ok(Target::parse(&format!("http://{}/metrics", self.address()))?.named(self.name))
    }

    /// How long ago it began, in real time.
    pub(crate) fn elapsed(&self) -> Duration {
        clock::instant().saturating_duration_since(self.began)
    }

    /// From now on no call has more than so many attempts.
    pub(crate) fn at_most(&self, attempts: u32) {
        self.at_most.store(attempts, Ordering::Relaxed);
    }

    /// What became of its calls so far.
    pub(crate) fn tally(&self) -> Tally {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Makes one call of the operation at this place in its list; tells whether it succeeded.
    pub(crate) async fn call<F>(&self, operation: usize, mut send: impl Send<F>) -> bool
    where
        F: Future<Output = Result<(), Failed>>,
    {
        let Some((_, policy)) = self.operations.get(operation) else { return false };
        let began = clock::instant();
        let allowance = Allowance { attempts: self.at_most.load(Ordering::Relaxed), ..Allowance::default() };
        let mut made = 0;
        let answer = policy
            .run_within(allowance, |attempt| {
                made = attempt.number;
                let counted = Attempt {
                    caller: self,
                    operation,
                    number: attempt.number,
                    began: clock::instant(),
                    ended: None,
                };
                let sent = send(attempt.number);
                async move { counted.ends(sent.await) }
            })
            .await;
        let denied = self.end(operation, &answer);
        let call = Call {
            operation,
            began: began.saturating_duration_since(self.began),
            ended: clock::instant().saturating_duration_since(self.began),
            attempts: made,
            well: answer.is_ok(),
            denied,
        };
        self.tally.lock().unwrap_or_else(PoisonError::into_inner).0.push(call);
        answer.is_ok()
    }

    /// Counts how a call ended; tells whether something was denied to it.
    fn end(&self, operation: usize, answer: &Result<(), Stopped<Failed>>) -> bool {
        let name = self.name_of(operation);
        let Err(stopped) = answer else {
            self.observer.call_ended(name, CallOutcome::Success);
            return false;
        };
        let denial = match stopped.reason {
            Reason::Budget(_) => Some(Denial::Budget),
            Reason::Circuit(_) => Some(Denial::Circuit),
            Reason::Permanent
            | Reason::PushedBack
            | Reason::Exhausted
            | Reason::Deadline
            | Reason::Bulkhead => None,
        };
        match (denial, stopped.attempts) {
            (Some(_), 0) => self.observer.call_ended(name, CallOutcome::Rejected),
            (Some(denial), _) => {
                self.observer.retry_denied(name, denial);
                self.observer.call_ended(name, CallOutcome::Failed);
            }
            (None, _) => self.observer.call_ended(name, CallOutcome::Failed),
        }
        denial.is_some()
    }

    /// Tells how circuits and budgets stand.
    fn tell(&self) {
        let now = clock::instant();
        for (place, (name, policy)) in self.operations.iter().enumerate() {
            self.observer.circuit(name, policy.circuit().standing(now).state, None);
            let own = policy.budget().remaining(now);
            self.observer.budget_remaining(name, own.min(self.under_roof(place, now)));
        }
    }

    /// What the roof leaves an operation, in `[0, 1]`: its part by weight where that is kept for it, else what there is.
    fn under_roof(&self, place: usize, now: Instant) -> f64 {
        let Some(roof) = self.roof else { return 1.0 };
        let tallies: Vec<_> = self.operations.iter().map(|(_, policy)| policy.budget().tally(now)).collect();
        let first: f64 = tallies.iter().map(|tally| tally.first as f64).sum();
        let allowed = roof.share * first + roof.floor * roof.window.as_secs_f64();
        let (retries, part) = if roof.kept >= 1.0 {
            let weights: Vec<f64> =
                self.operations.iter().map(|(_, policy)| policy.settings().weight).collect();
            (tallies[place].retries as f64, weights[place] / weights.iter().sum::<f64>())
        } else {
            (tallies.iter().map(|tally| tally.retries as f64).sum(), 1.0)
        };
        // A part of a retry that is left affords none.
        let left = (allowed * part - retries).floor();
        if allowed * part > 0.0 { (left / (allowed * part)).clamp(0.0, 1.0) } else { 0.0 }
    }

    fn name_of(&self, operation: usize) -> &str {
        self.operations.get(operation).map_or("", |(name, _)| name.as_str())
    }
}

/// An attempt under way; dropped before it ended, it timed out.
struct Attempt<'a> {
    caller: &'a Caller,
    operation: usize,
    number: u32,
    began: Instant,
    ended: Option<CallAttemptOutcome>,
}

impl Attempt<'_> {
    fn ends(mut self, answer: Result<(), Failed>) -> Result<(), Failed> {
        self.ended = Some(match answer {
            Ok(()) => CallAttemptOutcome::Success,
            Err(Failed) => CallAttemptOutcome::Transient,
        });
        answer
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        let kind = if self.number == 1 { AttemptKind::First } else { AttemptKind::Retry };
        let outcome = self.ended.unwrap_or(CallAttemptOutcome::Timeout);
        let took = clock::instant().saturating_duration_since(self.began);
        self.caller.observer.attempt_ended(self.caller.name_of(self.operation), kind, outcome, took);
    }
}

/// Sends a plain request in the name of `person`; anything but a 2xx is a failure.
pub(crate) async fn post(client: &http::Client, url: &str, person: &str) -> Result<(), Failed> {
    let sent = client.post(url).header("x-person", person).send().await;
    sent.is_ok_and(|answer| answer.status().is_success()).then_some(()).ok_or(Failed)
}
