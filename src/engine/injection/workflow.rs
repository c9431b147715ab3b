//! A workflow whose steps are troubled.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

use super::{Injections, Left, Moment};
use crate::{
    domain::{
        fault::{Fault, FaultClass},
        id::{OnboardingId, StateName},
        onboarding::{Request, State},
    },
    engine::{
        call::StepCalls,
        store::{Compensation, Opening, StepDone, Write},
        workflow::{Step, StepPolicy, Undone, Workflow},
    },
};

pub(super) struct Injected {
    inner: Arc<dyn Workflow>,
    injections: Arc<Injections>,
}

impl Injected {
    pub(super) fn new(inner: Arc<dyn Workflow>, injections: Arc<Injections>) -> Self {
        Self { inner, injections }
    }

    async fn before(&self, state: &StateName) -> Result<(), Fault> {
        match self.injections.at(state.as_str(), None, Moment::Before).await {
            Left::Fail => Err(Fault::transient(format!("a fault was injected before {state}"))),
            _ => Ok(()),
        }
    }

    /// Whether it is to be done once more.
    async fn after(&self, state: &StateName) -> Result<bool, Fault> {
        match self.injections.at(state.as_str(), None, Moment::After).await {
            Left::Nothing => Ok(false),
            Left::Repeat => Ok(true),
            Left::Fail => Err(Fault::transient(format!("a fault was injected after {state}"))),
            Left::Timeout => {
                let said = format!("a time-out was injected after {state}: whether it was done is not known");
                Err(Fault::new(FaultClass::Timeout, said))
            }
        }
    }
}

#[async_trait]
impl Workflow for Injected {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn version(&self) -> i32 {
        self.inner.version()
    }

    fn states(&self) -> &[StateName] {
        self.inner.states()
    }

    fn policy(&self, state: &StateName) -> StepPolicy {
        self.inner.policy(state)
    }

    fn undo_policy(&self) -> StepPolicy {
        self.inner.undo_policy()
    }

    fn opening(
        &self,
        onboarding: &OnboardingId,
        request: &Request,
        state: &StateName,
        context: &Value,
    ) -> Opening {
        self.inner.opening(onboarding, request, state, context)
    }

    async fn run(&self, step: Step<'_>) -> Result<StepDone, Fault> {
        self.before(step.state).await?;
        let mut done = self.inner.run(step).await?;
        if self.after(step.state).await? {
            done = self.inner.run(step).await?;
        }
        Ok(done)
    }

    async fn undo(
        &self,
        onboarding: &OnboardingId,
        request: &Request,
        compensation: &Compensation,
        calls: &StepCalls,
    ) -> Result<Undone, Fault> {
        let state = State::RollingBack.name();
        self.before(&state).await?;
        let mut undone = self.inner.undo(onboarding, request, compensation, calls).await?;
        if self.after(&state).await? {
            undone = self.inner.undo(onboarding, request, compensation, calls).await?;
        }
        Ok(undone)
    }

    fn unrecorded_undo(&self, state: &StateName, entities: &[String]) -> Vec<Write> {
        self.inner.unrecorded_undo(state, entities)
    }
}
