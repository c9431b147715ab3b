//! The unprotected caller of GitHub: it retries at once, has no budget, no circuit and no backoff, and exports what any
//! HTTP client does. It shares GitHub's hooks with our worker, and it is what makes an outage a storm.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    DemoError, LEGACY, Plan, random, scaled,
    traffic::{Arrivals, Caller, Failed, Guarding, Manner},
    upstreams::{self, ledger::Ledger},
};
use crate::{
    http,
    resilience::backoff::{Backoff, Jitter},
};

/// The operation it calls.
pub(super) const OPERATION: &str = "github.create_hook";
/// First tries arrive this often.
const EVERY: Duration = Duration::from_millis(100);
/// Four attempts at once, each of which waits a second.
const AT_ONCE: Duration = Duration::from_nanos(1);
const MANNER: Manner = Manner::unprotected(
    4,
    Backoff { base: AT_ONCE, cap: AT_ONCE, jitter: Jitter::None },
    Duration::from_secs(1),
);

/// Starts calling, and serves the metrics; answers where.
pub(super) async fn start(
    stand_ins: &upstreams::Running,
    plan: &Plan,
    tracker: &TaskTracker,
    cancel: &CancellationToken,
) -> Result<SocketAddr, DemoError> {
    let manners = [(OPERATION, MANNER)];
    let caller = Caller::start(LEGACY, &manners, Guarding::Plain, random(plan, 2), tracker, cancel).await?;
    let address = caller.address();
    let base = format!("http://{}/github/repos/crm", stand_ins.addr);
    // The first tries come at one pace whatever the demo's: a storm is counted, not timed.
    let every = scaled(plan, EVERY).clamp(Duration::from_millis(40), EVERY);
    let customers = Arc::new(Mutex::new(random(plan, 3)));
    Arrivals { every, random: random(plan, 4) }.start(tracker, cancel, move || {
        let customer = customers.lock().unwrap_or_else(PoisonError::into_inner).bits() % 100_000;
        let (caller, url) = (Arc::clone(&caller), format!("{base}/customer-{customer}/hooks"));
        async move {
            caller.call(0, |_| create(&caller.client, &url)).await;
        }
    });
    Ok(address)
}

async fn create(client: &http::Client, url: &str) -> Result<(), Failed> {
    let hook = serde_json::json!({
        "name": "web",
        "active": true,
        "events": ["push"],
        "config": { "url": "https://crm.invalid/hook", "content_type": "json" },
    });
    let sent = client.post(url).header("x-caller", LEGACY).json(&hook).send().await;
    // "Already exists" is all it wants.
    let well = sent.is_ok_and(|answer| answer.status().is_success() || answer.status().as_u16() == 422);
    well.then_some(()).ok_or(Failed)
}

/// What it and all others sent to the operation, and how much of it failed.
pub(super) fn sent(ledger: &Ledger) -> [(u64, u64); 2] {
    let callers = ledger.callers();
    [true, false].map(|legacy| {
        let counted = callers.iter().filter(|c| c.operation == OPERATION && (c.caller == LEGACY) == legacy);
        counted.fold((0, 0), |(all, failed), c| (all + c.requests, failed + c.failed))
    })
}
