//! A workflow definition: what the states are and what each does. The onboarding pipeline is one.
//!
//! A definition is pure but for `run` and `undo`, which talk to the world only through [`StepCalls`], so that every
//! call is asked of its circuit, counted and timed. Effects on our own tables are returned as data.

use std::time::Duration;

use async_trait::async_trait;
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
    resilience::backoff::Backoff,
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

    /// Its version, stored likewise.
    fn version(&self) -> i32;

    /// The forward states in order, first to last.
    fn states(&self) -> &[StateName];

    /// How a state is tried.
    fn policy(&self, state: &StateName) -> StepPolicy;

    /// How undoing one compensation is tried.
    fn undo_policy(&self) -> StepPolicy;

    /// What `state` may do that can be undone and the keys its calls carry; written before it runs. Pure.
    fn opening(
        &self,
        onboarding: &OnboardingId,
        request: &Request,
        state: &StateName,
        context: &Value,
    ) -> Opening;

    /// Runs one attempt of one state. Dropped at its timeout: what it did not report may still have happened.
    async fn run(&self, step: Step<'_>) -> Result<StepDone, Fault>;

    /// Undoes one compensation; must be safe to repeat.
    async fn undo(
        &self,
        onboarding: &OnboardingId,
        request: &Request,
        compensation: &Compensation,
        calls: &StepCalls,
    ) -> Result<Undone, Fault>;

    /// What a roll-back writes when no compensation of ours is recorded: rows that others began. Pure.
    fn unrecorded_undo(&self, state: &StateName, entities: &[String]) -> Vec<Write>;
}
