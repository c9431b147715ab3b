//! Going forward: run a state, record it, go on with the next.

use tokio_util::sync::CancellationToken;

use super::{LetGo, Worker};
use crate::{
    clock,
    domain::{
        fault::Fault,
        id::StateName,
        letter::{LetterReason, ReplayOutcome},
    },
    engine::{
        call::StepCalls,
        decide::{self, Decision, Tried},
        observer::KeyOutcome,
        store::{Claimed, Conflict, Opening, Recorded, StepDone, StepOutcome, StepRecord},
        workflow::{Step, StepPolicy, Workflow},
    },
};

impl Worker {
    /// Runs state after state under one lease.
    pub(super) async fn forward(
        &self,
        workflow: &dyn Workflow,
        mut work: Claimed,
        shutdown: &CancellationToken,
    ) -> Result<(), LetGo> {
        let onboarding = work.lease.onboarding.clone();
        let opening = workflow.opening(&onboarding, &work.request, &work.state, &work.context);
        if opening != Opening::default() {
            let opened = self.store.open(&work.lease, &work.state, &opening).await?;
            opened.map_err(|_| LetGo::Fenced)?;
        }
        self.announce(&opening, work.lost > 0);
        loop {
            let policy = self.policy_of(workflow.policy(&work.state), &work.state);
            let tried = Tried { attempt: work.attempt, lost: work.lost };
            let began = clock::instant();
            let ran = if tried.takes_workers_down(&policy) {
                let text = format!(
                    "{} workers vanished while running {}: it is not started again",
                    work.lost, work.state
                );
                Err(Fault::permanent(text))
            } else {
                self.run_step(workflow, &work, &policy, tried).await?
            };
            self.observer()
                .state_ended(work.state.as_str(), clock::instant().saturating_duration_since(began));
            let outcome = match ran {
                Ok(done) => self.done(workflow, &work, done, shutdown),
                Err(fault) => self.failed(workflow, &work, &policy, tried, fault, shutdown),
            };
            let record = StepRecord {
                lease: work.lease.clone(),
                state: work.state.clone(),
                attempt: work.attempt,
                outcome,
            };
            let recorded = match self.record(&record).await? {
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
        let opens = (!shutdown.is_cancelled())
            .then(|| workflow.opening(&work.lease.onboarding, &work.request, &next, &done.context));
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
        let operation = |fault: &Fault| fault.operation.clone().unwrap_or_else(|| work.state.to_string());
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

fn after(workflow: &dyn Workflow, state: &StateName) -> Option<StateName> {
    let at = workflow.states().iter().position(|s| s == state)?;
    workflow.states().get(at + 1).cloned()
}
