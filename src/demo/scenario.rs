//! What goes wrong, and when.

use std::{sync::Arc, time::Duration};

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Plan, scaled,
    upstreams::fault::{Faults, Mode, Trouble},
};
use crate::{clock, domain::word::words};

words!(
    /// An incident the demo can show.
    Scenario, "scenario", {
        /// GitHub's hooks and some of its look-ups answer 503, and all of it slows down, for 90 s; then it recovers.
        Outage = "outage",
        /// Nothing goes wrong.
        Calm = "calm",
    }
);

/// A scenario that is not known.
pub type UnknownScenario = crate::domain::word::UnknownWord;

/// How long everything is well at first.
const CALM: Duration = Duration::from_secs(16);
/// How long the outage lasts.
const OUTAGE: Duration = Duration::from_secs(90);

/// Starts the scenario's timeline.
pub(super) fn start(plan: &Plan, faults: &Arc<Faults>, tracker: &TaskTracker, cancel: &CancellationToken) {
    let Scenario::Outage = plan.scenario else { return };
    let (calm, outage) = (scaled(plan, CALM), scaled(plan, OUTAGE));
    let (faults, cancel) = (Arc::clone(faults), cancel.clone());
    tracker.spawn(async move {
        let timeline = async {
            clock::sleep(calm).await;
            tracing::info!("the outage begins");
            // Hooks are down but for a few lucky calls; reading is slow, which is where it first shows.
            let hooks = Trouble {
                share: 0.97,
                latency_ms: millis(outage.mul_f64(0.004)),
                ..Trouble::always(Mode::Unavailable)
            };
            faults.set("github.create_hook", hooks);
            // A look-up has one attempt only: what it loses becomes a letter at once.
            faults.set("github.repository", Trouble { share: 0.3, ..Trouble::always(Mode::Unavailable) });
            faults.set("github", Trouble { latency_ms: millis(outage.mul_f64(0.002)), ..Trouble::default() });
            clock::sleep(outage).await;
            tracing::info!("the outage is over");
            for place in ["github.create_hook", "github.repository", "github"] {
                faults.clear(place);
            }
        };
        cancel.run_until_cancelled(timeline).await;
    });
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
