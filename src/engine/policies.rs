//! How everything is tried: one policy for the calls of each operation, one for each state of a workflow, and a roof
//! over all retries.
//!
//! A call goes through, from outside in: deadline (the state's timeout) → idempotency (the key the step announced) →
//! retry (the state's attempts, over commits and restarts) → budget → circuit → bulkhead → timeout → call. Whatever
//! refuses it before it is made costs no attempt: the work is parked and comes back at a pace.

use std::{collections::BTreeMap, time::Duration};

use super::workflow::StepPolicy;
use crate::{
    domain::id::StateName,
    resilience::{
        budget::{BudgetPolicy, RoofPolicy},
        circuit::CircuitPolicy,
        invalid::{self, Invalid},
        policy::Settings,
    },
};

/// A call is a round trip to the real world: scaled down it is given at least this long.
const SHORTEST_CALL: Duration = Duration::from_secs(1);

/// How the calls of one operation are guarded, in this process.
#[derive(Debug, Clone, PartialEq)]
pub struct OperationPolicy {
    /// How long one call may take, whatever its state allows.
    pub timeout: Duration,
    /// How many may be under way at once; `None`: any number.
    pub concurrency: Option<u32>,
    /// How many of them may be retries.
    pub budget: BudgetPolicy,
    /// Its part of what the roof keeps, against the parts of other operations.
    pub weight: f64,
    /// When to stop asking.
    pub circuit: CircuitPolicy,
}

impl Default for OperationPolicy {
    fn default() -> Self {
        let Settings { concurrency, budget, weight, circuit, .. } = Settings::default();
        Self { timeout: Duration::from_secs(10), concurrency, budget, weight, circuit }
    }
}

impl OperationPolicy {
    /// Says what cannot be meant, or cannot be meant together.
    ///
    /// # Errors
    /// The first value that is out of range or contradicts another.
    pub fn check(&self) -> Result<(), Invalid> {
        let Self { timeout, concurrency, budget, weight, circuit } = self.clone();
        Settings { attempts: 1, timeout, concurrency, budget, weight, circuit, ..Settings::default() }.check()
    }

    fn scaled(self, factor: f64) -> Self {
        let timeout = self.timeout.mul_f64(factor).max(self.timeout.min(SHORTEST_CALL));
        Self { timeout, circuit: self.circuit.scaled(factor), ..self }
    }
}

impl StepPolicy {
    /// Says what cannot be meant, or cannot be meant together.
    ///
    /// # Errors
    /// The first value that is out of range or contradicts another.
    pub fn check(&self) -> Result<(), Invalid> {
        invalid::count("attempts", self.attempts, 1, 1_000)?;
        // A single attempt is never followed by a wait, and needs none.
        if self.attempts > 1 {
            self.backoff.check()?;
        }
        invalid::time("timeout", self.timeout)
    }
}

/// How everything is tried.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Policies {
    /// Over the retries of all operations.
    pub roof: RoofPolicy,
    /// Of every operation without one of its own.
    pub otherwise: OperationPolicy,
    /// By operation.
    pub operations: BTreeMap<String, OperationPolicy>,
    /// Of states, instead of what their workflow says.
    pub states: BTreeMap<StateName, StepPolicy>,
}

impl Policies {
    /// The policy of `operation`.
    pub fn of(&self, operation: &str) -> &OperationPolicy {
        self.operations.get(operation).unwrap_or(&self.otherwise)
    }

    /// The longest that any call may take.
    pub fn longest_call(&self) -> Duration {
        let all = self.operations.values().map(|policy| policy.timeout);
        all.fold(self.otherwise.timeout, Duration::max)
    }

    /// Says what cannot be meant, with the tables it stands in: `operation.github.tree.circuit.window`.
    ///
    /// # Errors
    /// The first value that is out of range or contradicts another.
    pub fn check(&self) -> Result<(), Invalid> {
        self.roof.check().map_err(|invalid| invalid.within("roof"))?;
        self.otherwise.check().map_err(|invalid| invalid.within("operation.default"))?;
        for (operation, policy) in &self.operations {
            policy.check().map_err(|invalid| invalid.within(&format!("operation.{operation}")))?;
        }
        for (state, policy) in &self.states {
            policy.check().map_err(|invalid| invalid.within(&format!("state.{state}")))?;
        }
        Ok(())
    }

    /// The same with the times of operations multiplied by `factor`; those of states are scaled where they are used.
    #[must_use]
    pub fn scaled(self, factor: f64) -> Self {
        let operations = self.operations.into_iter().map(|(name, policy)| (name, policy.scaled(factor)));
        Self { otherwise: self.otherwise.scaled(factor), operations: operations.collect(), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_without_a_policy_of_its_own_follows_the_default_one() {
        let slow = OperationPolicy { timeout: Duration::from_secs(60), ..OperationPolicy::default() };
        let policies = Policies {
            operations: BTreeMap::from([("github.tree".to_owned(), slow.clone())]),
            ..Policies::default()
        };
        assert_eq!(policies.of("github.tree"), &slow);
        assert_eq!(policies.of("tfc.workspace"), &OperationPolicy::default());
        assert_eq!(policies.longest_call(), Duration::from_secs(60));
        assert_eq!(policies.check(), Ok(()));
    }

    #[test]
    fn a_faster_demo_still_gives_a_call_the_time_for_a_round_trip() {
        let scaled = Policies::default().scaled(0.01);
        assert_eq!(scaled.otherwise.timeout, Duration::from_secs(1));
        assert_eq!(scaled.otherwise.circuit.open_for, Duration::from_millis(300));
        let short = OperationPolicy { timeout: Duration::from_millis(200), ..OperationPolicy::default() };
        assert_eq!(short.scaled(0.01).timeout, Duration::from_millis(200), "nor longer than it was given");
    }

    #[test]
    fn what_cannot_be_meant_names_the_tables_it_stands_in() {
        let circuit = CircuitPolicy { failure_rate: f64::NAN, ..CircuitPolicy::default() };
        let bad = OperationPolicy { circuit, ..OperationPolicy::default() };
        let policies =
            Policies { operations: BTreeMap::from([("github.tree".to_owned(), bad)]), ..Policies::default() };
        assert_eq!(
            policies.check().unwrap_err().to_string(),
            "operation.github.tree.circuit.failure_rate is NaN: more than 0 and at most 1 is expected"
        );
    }
}
