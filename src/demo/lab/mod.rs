//! The incident lab: known incidents in virtual time, with the policies of [`crate::resilience`] themselves in the callers.
//!
//! ```text
//!  scenario (values) ─┐
//!  policy (values) ───┼─▶ simulation ─▶ record ─▶ report
//!  seed ──────────────┘     │ callers: backoff, budget, circuit, layer by layer
//!                           └ server: slots, a queue, faults
//! ```
//! What is known of an incident is in its scenario's sentence. The rest had to be chosen: sizes, timeouts, patience; it stands
//! with its reason in `incident.rs`, the same for every seed. Rough edges of the model: the network takes 2 ms there and
//! back and loses nothing, a refusal costs the server nothing, and callers never go away.
//!
//! What it found, beyond what was known. `outage`: work that is parked and comes back within a minute finds the circuit
//! closed, overruns the upstream, opens the circuit and is parked again, for ever; spread over three minutes it is
//! done. `no-jitter`: full jitter is done first, and all three kinds of jitter make the same number of calls within a tenth, a
//! quarter of those without. It does not make the fewest: while the server does as much as it can, whoever waits longest
//! asks least, and equal jitter waits half as long again. `heavy-endpoint`: the weighted budget saves the light operation
//! at the cost of the heavy one, whose calls fail more often than before.

mod chart;
mod incident;
mod policy;
mod record;
mod scenario;
mod server;
mod simulation;
#[cfg(test)]
mod tests;

use std::time::Instant;

pub use chart::chart;
pub use policy::Policy;
pub use record::{GroupCount, LayerCount, Outcome, Report};
pub(super) use scenario::{Effect, Server as Capacity};
pub use scenario::{Incident, Scenario};

/// A policy that the scenario does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is not a policy of the lab scenario {scenario}: expected one of {expected}")]
pub struct UnknownPolicy {
    scenario: Incident,
    found: String,
    expected: String,
}

/// What happens in `incident`, and the policies it knows.
pub fn scenario(incident: Incident) -> Scenario {
    incident::scenario(incident)
}

/// Runs `incident` under each of the policies named, or under all it knows if none is named.
///
/// Virtual time begins at `base`, which changes nothing in what comes out.
///
/// # Errors
/// When the incident knows no policy of a name.
pub fn run(
    incident: Incident,
    policies: &[String],
    seed: u64,
    base: Instant,
) -> Result<Report, UnknownPolicy> {
    let scenario = scenario(incident);
    let named = |name: &String| {
        let known = scenario.policies.iter().find(|policy| policy.name == name);
        known.ok_or_else(|| UnknownPolicy {
            scenario: incident,
            found: name.clone(),
            expected: scenario.policies.iter().map(|policy| policy.name).collect::<Vec<_>>().join(", "),
        })
    };
    let chosen: Vec<&Policy> = match policies {
        [] => scenario.policies.iter().collect(),
        names => names.iter().map(named).collect::<Result<_, _>>()?,
    };
    let outcome = |policy: &Policy| {
        simulation::run(&scenario, policy, seed, base).outcome(&scenario, policy.name, policy.says)
    };
    Ok(Report {
        scenario: incident,
        says: scenario.says,
        seed,
        bucket_seconds: scenario.bucket.as_secs_f64(),
        policies: chosen.into_iter().map(outcome).collect(),
    })
}
