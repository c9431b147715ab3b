//! The incidents as the demo plays them: one file each, values first. `src/demo/lab` has some of them in virtual time.

mod double_charge;
mod heavy_endpoint;
mod no_jitter;
mod outage;
mod payments;
mod poison;
mod storage_failure;
mod stuck_lock;
mod tap_try_again;
mod yandex;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    DemoError, Plan, Scenario,
    report::{Expectation, Figure},
    seen::Seen,
    stage::Stage,
    upstreams,
};
use crate::{engine::Engine, metrics::scrape::Target};

pub(super) use outage::troubles;

/// What an incident is set up with.
pub(super) struct Ground<'a> {
    /// How the demo runs.
    pub(super) plan: &'a Plan,
    /// The demo's engine.
    pub(super) engine: &'a Engine,
    /// Where its database is.
    pub(super) database: &'a str,
    /// The upstreams of its pipeline.
    pub(super) stand_ins: &'a upstreams::Running,
    /// Where background parts run.
    pub(super) tracker: &'a TaskTracker,
    /// When they stop.
    pub(super) cancel: &'a CancellationToken,
}

/// An incident that is set up.
#[async_trait]
pub(super) trait Incident: Send + Sync {
    /// What is scraped beside our worker.
    fn targets(&self) -> Result<Vec<Target>, DemoError>;

    /// Plays it from beginning to end.
    async fn play(&self, stage: &Stage);

    /// What was measured so far.
    fn figures(&self, stage: &Stage) -> Vec<Figure>;

    /// What had to be, after it was played.
    fn expectations(&self, stage: &Stage, seen: &Seen) -> Vec<Expectation>;
}

/// Sets up the incident of the plan's scenario.
pub(super) async fn set_up(ground: &Ground<'_>) -> Result<Arc<dyn Incident>, DemoError> {
    Ok(match ground.plan.scenario {
        Scenario::Yandex => Arc::new(yandex::Yandex::set_up(ground).await?),
        Scenario::TapTryAgain => Arc::new(tap_try_again::TapTryAgain::set_up(ground).await?),
        Scenario::HeavyEndpoint => Arc::new(heavy_endpoint::HeavyEndpoint::set_up(ground).await?),
        Scenario::NoJitter => Arc::new(no_jitter::NoJitter::set_up(ground).await?),
        Scenario::DoubleCharge => Arc::new(double_charge::DoubleCharge::set_up(ground).await?),
        Scenario::StorageFailure => Arc::new(storage_failure::StorageFailure::set_up(ground).await?),
        Scenario::StuckLock => Arc::new(stuck_lock::StuckLock::set_up(ground).await?),
        Scenario::Poison => Arc::new(poison::Poison::set_up(ground)),
        Scenario::Outage | Scenario::Calm => Arc::new(outage::Outage::set_up(ground).await?),
    })
}

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// The words that were headlines, for a report.
fn words(seen: &Seen) -> String {
    listed(&seen.words())
}

/// The words one operation was judged by, for a report.
fn words_of(seen: &Seen, operation: &str) -> String {
    let of = seen.turns.iter().filter(|turn| turn.operation == operation);
    listed(&of.map(|turn| turn.verdict).collect::<Vec<_>>())
}

fn listed<T: ToString>(words: &[T]) -> String {
    let words: Vec<String> = words.iter().map(ToString::to_string).collect();
    if words.is_empty() { "nothing".to_owned() } else { words.join(", then ") }
}
