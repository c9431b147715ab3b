//! Going forward: run a state, record it, go on with the next.

use std::panic::{AssertUnwindSafe, catch_unwind};

use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::{LetGo, Worker, hold::panicked};
use crate::{
    clock,
    domain::{
        fault::{Fault, FaultClass},
        id::StateName,
        letter::{LetterReason, ReplayOutcome},
    },
    engine::{
        call::StepCalls,
        decide::{self, Decision, Tried},
        observer::KeyOutcome,
        store::{Claimed, Conflict, Opening, Recorded, StepDone, StepOutcome, StepRecord, StoreError},
        workflow::{OnExhaustion, Step, StepPolicy, Workflow},
    },
};

/// It is read and written with every state, and read whenever somebody looks.
const LARGEST_CONTEXT: usize = 8 << 20;

impl Worker {
    /// Runs state after state under one lease.
    pub(super) async fn forward(
        &self,
        workflow: &dyn Workflow,
        mut work: Claimed,
        shutdown: &CancellationToken,
    ) -> Result<(), LetGo> {
        let mut begun = self.begin(workflow, &work).await?;
        loop {
            let mut policy = self.policy_of(workflow.policy(&work.state), &work.state);
            if work.unreadable.is_some() {
                // Going on would write over what is there.
                policy.on_exhaustion = OnExhaustion::Fail;
            }
            let tried = Tried { attempt: work.attempt, lost: work.lost };
            let began = clock::instant();
            let ran = match std::mem::replace(&mut begun, Ok(())) {
                Ok(()) => self.run_step(workflow, &work, &policy, tried).await?,
                Err(unfit) => Err(unfit),
            };
            self.observer()
                .state_ended(work.state.as_str(), clock::instant().saturating_duration_since(began));
            let outcome = match ran.and_then(|done| bounded(&work, done)) {
                Ok(done) => self.done(workflow, &work, done, shutdown),
                Err(fault) => self.failed(workflow, &work, &policy, tried, fault, shutdown),
            };
            let mut record = StepRecord {
                lease: work.lease.clone(),
                state: work.state.clone(),
                attempt: work.attempt,
                outcome,
            };
            let answer = match self.record(&record).await {
                // The database is there and does not take this: it would not be taken the next time either.
                Err(LetGo::Store(error @ StoreError::Failed { .. })) => {
                    let (onboarding, state) = (&work.lease.onboarding, &work.state);
                    let text = format!("cannot record what {state} of {onboarding} came to: {error}");
                    let fault = Fault::new(FaultClass::Unknown, text);
                    record.outcome = self.failed(workflow, &work, &policy, tried, fault, shutdown);
                    self.record(&record).await
                }
                answer => answer,
            };
            let recorded = match answer? {
                Ok(recorded) => {
                    self.tell(&work, &record.outcome);
                    recorded
                }
                Err(Conflict::Fenced) => return Err(LetGo::Fenced),
                Err(conflict @ Conflict::ForeignEntity { .. }) => {
                    return self.refuse_registration(&record, &work, &conflict).await;
                }
            };
            let StepOutcome::Advanced { done, next, opens: Some(opening) } = record.outcome else {
                return Ok(());
            };
            if recorded != Recorded::GoOn {
                return Ok(());
            }
            self.announce(&opening, false);
            (work.state, work.context, work.attempt, work.lost) = (next, done.context, 1, 0);
            work.done.clear();
            work.failed_at = None;
        }
    }

    /// Writes what the claimed state announces. Answers the fault where it cannot be run; nothing was, then.
    async fn begin(&self, workflow: &dyn Workflow, work: &Claimed) -> Result<Result<(), Fault>, LetGo> {
        let (onboarding, state) = (&work.lease.onboarding, &work.state);
        let tried = Tried { attempt: work.attempt, lost: work.lost };
        if tried.takes_workers_down(&self.policy_of(workflow.policy(state), state)) {
            let text =
                format!("{} workers vanished while running {state}: it is not started again", work.lost);
            return Ok(Err(Fault::permanent(text)));
        }
        if let Some(why) = &work.unreadable {
            return Ok(Err(Fault::permanent(format!(
                "cannot read the context of {onboarding} at {state}, it is no JSON: {why}; mend it in onboarding_state \
                 and resume it, or roll it back"
            ))));
        }
        let opening = match opening_of(workflow, work, state, &work.context) {
            Ok(opening) => opening,
            Err(fault) => return Ok(Err(fault)),
        };
        if opening != Opening::default() {
            let opened = self.store.open(&work.lease, state, &opening).await?;
            opened.map_err(|_| LetGo::Fenced)?;
        }
        self.announce(&opening, work.lost > 0);
        Ok(Ok(()))
    }

    async fn run_step(
        &self,
        workflow: &dyn Workflow,
        work: &Claimed,
        policy: &StepPolicy,
        tried: Tried,
    ) -> Result<Result<StepDone, Fault>, LetGo> {
        let longest = self.longest_call(policy.timeout);
        let calls = StepCalls::new(self.calls.clone(), work.attempt, tried.is_last(policy), longest)
            .after(work.failed_at.clone());
        let step = Step {
            onboarding: &work.lease.onboarding,
            request: &work.request,
            state: &work.state,
            context: &work.context,
            attempt: work.attempt,
            done: &work.done,
            calls: &calls,
        };
        self.hold(&work.lease, policy.timeout, workflow.run(step)).await
    }

    /// A call ends before the lease that protects it, even if no renewal succeeds.
    pub(super) fn longest_call(&self, timeout: std::time::Duration) -> std::time::Duration {
        timeout.min(self.config.lease / 2)
    }

    /// The policy configured for `state`, else its workflow's `own`, with its times scaled by the time factor.
    pub(super) fn policy_of(&self, own: StepPolicy, state: &StateName) -> StepPolicy {
        let mut policy = self.calls.policies().states.get(state).copied().unwrap_or(own);
        let factor = self.config.time_factor;
        policy.backoff.base = policy.backoff.base.mul_f64(factor);
        policy.backoff.cap = policy.backoff.cap.mul_f64(factor);
        policy.timeout = policy.timeout.mul_f64(factor);
        policy
    }

    fn done(
        &self,
        workflow: &dyn Workflow,
        work: &Claimed,
        done: StepDone,
        shutdown: &CancellationToken,
    ) -> StepOutcome {
        let Some(next) = after(workflow, &work.state) else { return StepOutcome::Completed { done } };
        // Where the next state cannot be opened this one is done, and whoever claims the next is told why.
        let opens = (!shutdown.is_cancelled())
            .then(|| opening_of(workflow, work, &next, &done.context).ok())
            .flatten();
        StepOutcome::Advanced { done, next, opens }
    }

    fn failed(
        &self,
        workflow: &dyn Workflow,
        work: &Claimed,
        policy: &StepPolicy,
        tried: Tried,
        fault: Fault,
        shutdown: &CancellationToken,
    ) -> StepOutcome {
        match decide::after_fault(policy, tried, &fault, self.unit()) {
            Decision::Retry { delay, reason } => StepOutcome::Retry { fault, delay, reason },
            Decision::Park { operation, reason, delay, held } => {
                StepOutcome::Parked { operation, reason, delay, held }
            }
            Decision::Fail { letter, reason } => {
                StepOutcome::Failed { fault, letter, reason, letter_id: clock::new_id().into() }
            }
            Decision::GoOn { note } => {
                let done =
                    StepDone { context: work.context.clone(), note: Some(note), ..StepDone::default() };
                self.done(workflow, work, done, shutdown)
            }
        }
    }

    /// An entity of another tenant is in the way: the state fails for good, and nothing of it was written.
    async fn refuse_registration(
        &self,
        refused: &StepRecord,
        work: &Claimed,
        conflict: &Conflict,
    ) -> Result<(), LetGo> {
        let outcome = StepOutcome::Failed {
            fault: Fault::permanent(conflict.to_string()).of("catalog.register"),
            letter: LetterReason::Permanent,
            reason: "permanent: another tenant owns it".to_owned(),
            letter_id: clock::new_id().into(),
        };
        let record = StepRecord { outcome, ..refused.clone() };
        match self.record(&record).await? {
            Ok(_) => {
                self.tell(work, &record.outcome);
                Ok(())
            }
            Err(_) => Err(LetGo::Fenced),
        }
    }

    /// Tells the observer what a record, once taken, means.
    fn tell(&self, work: &Claimed, outcome: &StepOutcome) {
        let observer = self.observer();
        let operation = |fault: &Fault| fault.operation.clone().unwrap_or_else(|| work.state.0.clone());
        match outcome {
            StepOutcome::Retry { fault, delay, .. } => observer.retry_delayed(&operation(fault), *delay),
            StepOutcome::Failed { fault, letter, .. } => {
                observer.letter_written(&operation(fault), *letter);
                if work.replay.is_some() {
                    observer.replay_item_ended(ReplayOutcome::FailedAgain);
                }
            }
            StepOutcome::Completed { .. } if work.replay.is_some() => {
                observer.replay_item_ended(ReplayOutcome::Succeeded);
            }
            _ => {}
        }
    }

    fn announce(&self, opening: &Opening, taken_over: bool) {
        let outcome = if taken_over { KeyOutcome::Recovered } else { KeyOutcome::New };
        for key in &opening.keys {
            self.observer().key_asked(&key.operation, outcome);
        }
    }
}

/// What `state` announces, given `context`.
fn opening_of(
    workflow: &dyn Workflow,
    work: &Claimed,
    state: &StateName,
    context: &Value,
) -> Result<Opening, Fault> {
    let opening = || workflow.opening(&work.lease.onboarding, &work.request, state, context);
    catch_unwind(AssertUnwindSafe(opening))
        .map_err(|panic| panicked(&format!("the opening of {state}"), &*panic))
}

/// What a state left, unless it is more than is kept.
fn bounded(work: &Claimed, done: StepDone) -> Result<StepDone, Fault> {
    /// Counts what is written to it.
    struct Count(usize);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    // A value is always JSON, and counting never fails.
    let _ = serde_json::to_writer(&mut count, &done.context);
    if count.0 <= LARGEST_CONTEXT {
        return Ok(done);
    }
    let (onboarding, state, size) = (&work.lease.onboarding, &work.state, count.0);
    Err(Fault::permanent(format!(
        "the context of {onboarding} after {state} has {size} bytes, more than the {LARGEST_CONTEXT} that are kept: let \
         {state} keep what is large elsewhere, and here where it is"
    )))
}

fn after(workflow: &dyn Workflow, state: &StateName) -> Option<StateName> {
    let at = workflow.states().iter().position(|s| s == state)?;
    workflow.states().get(at + 1).cloned()
}
