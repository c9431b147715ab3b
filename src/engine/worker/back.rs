//! Going back: undo what was recorded, last-in first-out, each until it is undone or given up.

use super::{LetGo, Worker};
use crate::{
    domain::{attempt::CompensationStatus, fault::Fault, onboarding::State},
    engine::{
        call::StepCalls,
        decide::{self, Decision, Tried},
        store::{Claimed, Compensation, Recorded, StepOutcome, StepRecord},
        workflow::{StepPolicy, Undone, Workflow},
    },
};

impl Worker {
    /// Undoes compensation after compensation under one lease. One that fails for good does not stop the others.
    pub(super) async fn back(&self, workflow: &dyn Workflow, work: Claimed) -> Result<(), LetGo> {
        let policy = self.policy_of(workflow.undo_policy(), &State::RollingBack.name());
        let mut left = Vec::new();
        let tell = |what: &Compensation, why: Option<&str>| {
            format!("{} of {}: {}", what.operation, what.name, why.unwrap_or("no reason is known"))
        };
        // Workers vanished over the first that is still to be undone.
        let mut lost = work.lost;
        for compensation in work.compensations.iter().rev() {
            match compensation.status {
                CompensationStatus::Undone | CompensationStatus::NothingToUndo => continue,
                CompensationStatus::Failed => {
                    left.push(tell(compensation, compensation.error.as_deref()));
                    continue;
                }
                CompensationStatus::Recorded => {}
            }
            let lost = std::mem::take(&mut lost);
            let outcome = match &compensation.relied_on_by {
                Some(to) => StepOutcome::CompensationLeft { seq: compensation.seq, to: to.clone() },
                None => self.undo(workflow, &work, compensation, lost, &policy).await?,
            };
            if let StepOutcome::CompensationEnded { status: CompensationStatus::Failed, fault, .. } = &outcome
            {
                left.push(tell(compensation, fault.as_ref().map(|fault| fault.message.as_str())));
            }
            if self.record_back(&work, outcome).await? != Recorded::GoOn {
                return Ok(());
            }
        }
        let total = work.compensations.len();
        let outcome = if !left.is_empty() {
            let (undone, left) = (total - left.len(), left.join("; "));
            StepOutcome::Stuck {
                reason: format!("stuck: {undone} of {total} compensations undone; not undone: {left}"),
            }
        } else if total == 0 {
            StepOutcome::RolledBack { writes: workflow.unrecorded_undo(&work.state, &work.entities_created) }
        } else {
            StepOutcome::RolledBack { writes: Vec::new() }
        };
        self.record_back(&work, outcome).await.map(|_| ())
    }

    async fn undo(
        &self,
        workflow: &dyn Workflow,
        work: &Claimed,
        compensation: &Compensation,
        lost: u32,
        policy: &StepPolicy,
    ) -> Result<StepOutcome, LetGo> {
        let seq = compensation.seq;
        // An attempt that was lost with its worker was not counted.
        let tried = Tried { attempt: compensation.attempts.saturating_add(1).saturating_add(lost), lost };
        let longest = self.longest_call(policy.timeout);
        let calls = StepCalls::new(self.calls.clone(), tried.attempt, tried.is_last(policy), longest);
        let undo = async {
            let (name, operation) = (&compensation.name, &compensation.operation);
            if tried.takes_workers_down(policy) {
                return Err(Fault::permanent(format!(
                    "{lost} workers vanished while undoing {name} ({operation}): it is not tried again"
                )));
            }
            if let Some(why) = &compensation.unreadable {
                return Err(Fault::permanent(format!(
                    "cannot undo {name} ({operation}): its arguments are no JSON: {why}"
                )));
            }
            workflow.undo(&work.lease.onboarding, &work.request, compensation, &calls).await
        };
        let ended = |status, fault, writes| StepOutcome::CompensationEnded { seq, status, fault, writes };
        Ok(match self.hold(&work.lease, policy.timeout, undo).await? {
            Ok(Undone::Undone(writes)) => ended(CompensationStatus::Undone, None, writes),
            Ok(Undone::NothingToUndo) => ended(CompensationStatus::NothingToUndo, None, Vec::new()),
            Err(fault) => match decide::after_fault(policy, tried, &fault, self.unit()) {
                Decision::Park { operation, reason, delay, held } => {
                    StepOutcome::Parked { operation, reason, delay, held }
                }
                Decision::Retry { delay, .. } => {
                    self.retry_told(&fault, delay);
                    StepOutcome::CompensationRetry { seq, fault, delay }
                }
                Decision::Fail { .. } | Decision::GoOn { .. } => {
                    ended(CompensationStatus::Failed, Some(fault), Vec::new())
                }
            },
        })
    }

    fn retry_told(&self, fault: &Fault, delay: std::time::Duration) {
        self.observer().retry_delayed(fault.operation.as_deref().unwrap_or("ROLLING_BACK"), delay);
    }

    async fn record_back(&self, work: &Claimed, outcome: StepOutcome) -> Result<Recorded, LetGo> {
        let state = State::RollingBack.name();
        let record = StepRecord { lease: work.lease.clone(), state, attempt: work.attempt, outcome };
        self.record(&record).await?.map_err(|_| LetGo::Fenced)
    }
}
