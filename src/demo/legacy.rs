//! The unprotected caller: it retries at once, has no budget, no circuit and no backoff, and exports its own metrics.
//! It shares GitHub's hooks with our worker, and it is what makes an outage a storm.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, routing::get};
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{ANYWHERE, DemoError, LEGACY, Plan, WORKER, random, scaled, upstreams};
use crate::{clock, http};

/// The operation it calls.
const OPERATION: &str = "github.create_hook";
/// First tries arrive this often.
const EVERY: Duration = Duration::from_millis(100);
/// It gives up after so many attempts.
const ATTEMPTS: usize = 4;
/// It waits this long for an answer.
const TIMEOUT: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    operation: &'static str,
    attempt: &'static str,
    outcome: &'static str,
}

/// Starts calling, and serves the metrics; answers where.
pub(super) async fn start(
    stand_ins: &upstreams::Running,
    plan: &Plan,
    tracker: &TaskTracker,
    cancel: &CancellationToken,
) -> Result<SocketAddr, DemoError> {
    let requests = Family::<Labels, Counter>::default();
    let mut registry = Registry::default();
    registry.register("http_client_requests", "Requests sent, by attempt and outcome", requests.clone());
    let registry = Arc::new(registry);
    let listener = TcpListener::bind(ANYWHERE).await?;
    let address = listener.local_addr()?;
    let page = move || {
        let registry = Arc::clone(&registry);
        async move {
            let mut text = String::new();
            // Writing to a String cannot fail.
            let _ = encode(&mut text, &registry);
            text
        }
    };
    let app = Router::new().route("/metrics", get(page));
    let stop = cancel.clone();
    tracker.spawn(async move {
        let serving = axum::serve(listener, app).with_graceful_shutdown(stop.cancelled_owned());
        if let Err(error) = serving.await {
            tracing::error!(%error, "the legacy caller's metrics are gone");
        }
    });

    let client = http::client(TIMEOUT)?;
    let base = format!("http://{}/github", stand_ins.addr);
    // The first tries come at one pace whatever the demo's: a storm is counted, not timed.
    let every = scaled(plan, EVERY).clamp(Duration::from_millis(40), Duration::from_millis(100));
    let mut random = random(plan, 2);
    let (calls, cancelled) = (tracker.clone(), cancel.clone());
    tracker.spawn(async move {
        let calling = async {
            loop {
                let url = format!("{base}/repos/crm/customer-{}/hooks", random.bits() % 100_000);
                let (client, requests, cancelled) = (client.clone(), requests.clone(), cancelled.clone());
                calls.spawn(async move {
                    cancelled.run_until_cancelled(call(&client, &url, &requests)).await;
                });
                clock::sleep(every.mul_f64(0.5 + random.unit())).await;
            }
        };
        cancelled.run_until_cancelled(calling).await;
    });
    Ok(address)
}

/// One call with all its retries, at once and without mercy.
async fn call(client: &http::Client, url: &str, requests: &Family<Labels, Counter>) {
    let hook = serde_json::json!({
        "name": "web",
        "active": true,
        "events": ["push"],
        "config": { "url": "https://crm.invalid/hook", "content_type": "json" },
    });
    for attempt in 0..ATTEMPTS {
        let sent = client.post(url).header("x-caller", LEGACY).json(&hook).send().await;
        // "Already exists" is all it wants.
        let worked = sent.is_ok_and(|answer| answer.status().is_success() || answer.status().as_u16() == 422);
        let labels = Labels {
            operation: OPERATION,
            attempt: if attempt == 0 { "first" } else { "retry" },
            outcome: if worked { "success" } else { "failure" },
        };
        requests.get_or_create(&labels).inc();
        if worked {
            return;
        }
    }
}

/// What protection was worth: requests that failed, by caller.
pub(super) fn worth(ledger: &upstreams::ledger::Ledger) -> String {
    let callers = ledger.callers();
    let of = |legacy: bool| {
        let counted = callers.iter().filter(|c| c.operation == OPERATION && (c.caller == LEGACY) == legacy);
        counted.fold((0, 0), |(all, failed), c| (all + c.requests, failed + c.failed))
    };
    let ((theirs, theirs_failed), (ours, ours_failed)) = (of(true), of(false));
    let counts = ledger.counts();
    format!(
        "{OPERATION}, side by side\n  {LEGACY:<12} sent {theirs:>6} requests, {theirs_failed:>6} failed\n  \
         {WORKER:<12} sent {ours:>6} requests, {ours_failed:>6} failed\n\
         {} hooks and {} notifications stood at the stand-ins when they closed.",
        counts.hooks, counts.notifications
    )
}
