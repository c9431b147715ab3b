//! A workflow definition: what the states are and what each does. The onboarding pipeline is one, and
//! `examples/order_saga.rs` is another to begin from.
//!
//! A definition is pure but for `run` and `undo`, which talk to the world only through [`StepCalls`], so that every
//! call is asked of its circuit, counted and timed. Effects on our own tables are returned as data.
//!
//! A row is known by its workflow, its tenant and its subject, and begins with
//! [`Command::begin`](super::command::Command::begin). To the tables it is an onboarding: its subject stands in
//! `repo_url`, and `workspace_id` is empty.
//!
//! A changed definition gets a higher `version`. A worker that is given both finishes each row with the one that began
//! it. A worker that is given only the newer finishes the older rows with that, which then has to read their contexts and
//! undo their compensations, and they are of the newer from then on; where it could not, leave the older one beside it
//! until its rows are at their end. A worker leaves rows of workflows and of newer versions that it was not given to others:
//! workers of one database may have different ones, and what none of them has waits until one that has it is started.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{
    call::StepCalls,
    store::{Compensation, Opening, StepDone, Write},
};
use crate::{
    domain::{
        fault::Fault,
        id::{OnboardingId, StateName},
        onboarding::Request,
    },
    resilience::backoff::{Backoff, Jitter},
};

/// What to do when a state's attempts are used up or its error is permanent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnExhaustion {
    /// Fail, with a dead letter.
    Fail,
    /// Note it and go on.
    GoOn,
}

/// How one state is tried.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepPolicy {
    /// Attempts before it is given up, from 1.
    pub attempts: u32,
    /// The waits between them.
    pub backoff: Backoff,
    /// The longest one attempt may take.
    pub timeout: Duration,
    /// What happens then.
    pub on_exhaustion: OnExhaustion,
}

impl Default for StepPolicy {
    /// Five attempts of at most 30 seconds, 1 second up to a minute apart, then a dead letter.
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            attempts: 5,
            backoff: Backoff { base: seconds(1), cap: seconds(60), jitter: Jitter::Full },
            timeout: seconds(30),
            on_exhaustion: OnExhaustion::Fail,
        }
    }
}

/// What a state is given to work with.
#[derive(Clone, Copy)]
pub struct Step<'a> {
    /// Whose.
    pub onboarding: &'a OnboardingId,
    /// What was asked for.
    pub request: &'a Request,
    /// Which state.
    pub state: &'a StateName,
    /// What earlier states found out.
    pub context: &'a Value,
    /// The number of this attempt, from 1. Above 1 an earlier effect may already have happened.
    pub attempt: u32,
    /// Subtasks of this state already done: skip them.
    pub done: &'a [String],
    /// The way to the world.
    pub calls: &'a StepCalls,
}

impl Step<'_> {
    /// The context, as what the state before, or whoever began the row, wrote it from.
    ///
    /// # Errors
    /// A permanent fault when it is something else.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Fault> {
        T::deserialize(self.context).map_err(|error| {
            Fault::permanent(format!(
                "cannot read the context of {} at {}: {error}; deploy a definition that reads it and resume it, or roll \
                 it back",
                self.onboarding, self.state
            ))
        })
    }

    /// The state is done, and `context` is what the next one reads.
    ///
    /// # Errors
    /// A permanent fault when it cannot be written as JSON.
    pub fn finish<T: Serialize>(&self, context: &T) -> Result<StepDone, Fault> {
        let context = serde_json::to_value(context).map_err(|error| {
            let (onboarding, state) = (self.onboarding, self.state);
            Fault::permanent(format!("cannot write the context of {onboarding} after {state}: {error}"))
        })?;
        Ok(StepDone { context, ..StepDone::default() })
    }
}

impl Compensation {
    /// What the undoing needs to know, as what it was written from.
    ///
    /// # Errors
    /// A permanent fault when it is something else.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Fault> {
        T::deserialize(&self.args).map_err(|error| {
            Fault::permanent(format!(
                "cannot undo {} ({}): its arguments: {error}",
                self.name, self.operation
            ))
        })
    }
}

/// What became of undoing one compensation.
#[derive(Debug, Clone, PartialEq)]
pub enum Undone {
    /// It was undone now, or the effect was ours and is gone already.
    Undone(Vec<Write>),
    /// There was nothing of ours to undo.
    NothingToUndo,
}

/// A workflow: states, policies, effects and how to undo them.
#[async_trait]
pub trait Workflow: Send + Sync {
    /// Its name, stored with every row it runs.
    fn name(&self) -> &'static str;

    /// Its version, stored likewise; higher is newer.
    fn version(&self) -> i32;

    /// The forward states in order, first to last; not `ROLLING_BACK`, which every workflow has.
    fn states(&self) -> &[StateName];

    /// Runs one attempt of one state. Dropped at its timeout: what it did not report may still have happened. It must
    /// not block its thread, or nothing can stop it. The context it leaves is kept up to 8 MiB.
    async fn run(&self, step: Step<'_>) -> Result<StepDone, Fault>;

    /// How a state is tried.
    fn policy(&self, _state: &StateName) -> StepPolicy {
        StepPolicy::default()
    }

    /// How undoing one compensation is tried.
    fn undo_policy(&self) -> StepPolicy {
        StepPolicy::default()
    }

    /// What `state` may do that can be undone and the keys its calls carry; written before it runs. Pure.
    fn opening(
        &self,
        _onboarding: &OnboardingId,
        _request: &Request,
        _state: &StateName,
        _context: &Value,
    ) -> Opening {
        Opening::default()
    }

    /// Undoes one compensation; must be safe to repeat, and to do when the effect never happened.
    async fn undo(
        &self,
        _onboarding: &OnboardingId,
        _request: &Request,
        compensation: &Compensation,
        _calls: &StepCalls,
    ) -> Result<Undone, Fault> {
        let (name, version) = (self.name(), self.version());
        let what = &compensation.operation;
        Err(Fault::permanent(format!(
            "the workflow {name} version {version} does not know how to undo {what}"
        )))
    }

    /// What a roll-back writes when no compensation of ours is recorded: rows that others began. Pure.
    fn unrecorded_undo(&self, _state: &StateName, entities: &[String]) -> Vec<Write> {
        if entities.is_empty() { Vec::new() } else { vec![Write::Unregister] }
    }
}
