//! Named sets of the values of [`crate::resilience`], one for each layer of callers, and the live budgets and circuits
//! made of them.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::scenario::Group;
use crate::resilience::{
    backoff::Backoff,
    budget::{Budget, BudgetPolicy, Roof, RoofPolicy},
    circuit::{Circuit, CircuitPolicy},
};

/// How all callers of a scenario behave.
#[derive(Debug, Clone)]
pub struct Policy {
    /// What `--policy` calls it.
    pub name: &'static str,
    /// What it does, in a few words.
    pub says: &'static str,
    /// One for each layer of the scenario, from outside in.
    pub layers: Vec<Layer>,
}

/// How one layer handles its calls.
#[derive(Debug, Clone, Copy)]
pub struct Layer {
    /// Attempts in all, from 1.
    pub attempts: u32,
    /// The waits between them.
    pub backoff: Backoff,
    /// How long it waits for an answer.
    pub timeout: Duration,
    /// How many retries are affordable.
    pub budget: Budgeting,
    /// When to stop asking; each group has its own.
    pub circuit: Option<CircuitPolicy>,
}

/// Whose retries a budget bounds.
#[derive(Debug, Clone, Copy)]
pub enum Budgeting {
    /// Nobody's.
    Unbounded,
    /// All groups' together, whoever comes first.
    Shared(BudgetPolicy),
    /// Each group's by itself, and all of them together under a roof that keeps each its part by weight.
    Weighted(BudgetPolicy, RoofPolicy),
}

/// One layer's live budget and circuit for one group.
#[derive(Debug)]
pub(super) struct Guard {
    pub(super) layer: Layer,
    pub(super) budget: Option<Arc<Budget>>,
    pub(super) circuit: Option<Circuit>,
}

impl Policy {
    /// What each group goes through, by layer.
    pub(super) fn guards(&self, groups: &[Group], now: Instant) -> Vec<Vec<Guard>> {
        let by_layer = self.layers.iter().map(|layer| layer.guards(groups, now));
        by_layer.fold(groups.iter().map(|_| Vec::new()).collect(), |mut by_group: Vec<Vec<Guard>>, guards| {
            by_group.iter_mut().zip(guards).for_each(|(own, guard)| own.push(guard));
            by_group
        })
    }
}

impl Layer {
    fn guards(&self, groups: &[Group], now: Instant) -> Vec<Guard> {
        let shared = match self.budget {
            Budgeting::Shared(policy) => Some(Arc::new(Budget::new(policy, now))),
            Budgeting::Unbounded | Budgeting::Weighted(..) => None,
        };
        let weighted = match self.budget {
            Budgeting::Weighted(policy, roof) => Some((policy, Roof::new(roof))),
            Budgeting::Unbounded | Budgeting::Shared(_) => None,
        };
        let guard = |group: &Group| Guard {
            layer: *self,
            budget: match &weighted {
                Some((policy, roof)) => Some(Arc::new(Budget::under(roof, *policy, group.weight, now))),
                None => shared.clone(),
            },
            circuit: self.circuit.map(|policy| Circuit::new(policy, now)),
        };
        groups.iter().map(guard).collect()
    }
}
