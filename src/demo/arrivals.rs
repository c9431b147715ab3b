//! A steady arrival of onboardings through the worker's intake, as tenants would send them.

use std::{net::SocketAddr, time::Duration};

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{Plan, Scenario, random, scaled, upstreams::STUBBORN};
use crate::{
    clock,
    domain::onboarding::Request,
    http::{self, HttpError},
};

/// One onboarding arrives every so often.
const EVERY: Duration = Duration::from_millis(1_400);
/// How many arrive at once when the demo begins, so that there is something to look at.
const FIRST: usize = 12;
/// Arrivals that fail, and how their repositories' names begin: one does not exist, one has a catalog file that cannot be
/// read.
const ODD: &[(usize, &str)] = &[(5, "missing-"), (9, "poison-")];
/// The same where one is to fail alone.
const ALONE: &[(usize, &str)] = &[(9, STUBBORN)];

const TENANTS: [&str; 8] = ["acme", "globex", "initech", "umbrella", "hooli", "stark", "wayne", "wonka"];
const NAMES: [&str; 12] = [
    "payments", "ledger", "identity", "billing", "search", "catalog", "shipping", "pricing", "orders",
    "accounts", "reports", "gateway",
];

/// Starts the arrivals at the worker that listens on `intake`.
pub(super) fn start(
    intake: SocketAddr,
    plan: &Plan,
    tracker: &TaskTracker,
    cancel: &CancellationToken,
) -> Result<(), HttpError> {
    let client = http::client(Duration::from_secs(5))?;
    let every = match plan.scenario.is_about_onboardings() {
        true => scaled(plan, EVERY).max(Duration::from_millis(50)),
        false => EVERY,
    };
    let odd = if plan.scenario == Scenario::Poison { ALONE } else { ODD };
    let mut random = random(plan, 1);
    let cancel = cancel.clone();
    let url = format!("http://{intake}/onboardings");
    tracker.spawn(async move {
        let arriving = async {
            for number in 0.. {
                let request = request(number, random.bits(), odd);
                let sent = client.post(&url).header("idempotency-key", clock::new_id()).json(&request).send();
                if let Err(error) = sent.await {
                    tracing::warn!(%error, "an onboarding could not be sent");
                }
                if number >= FIRST {
                    clock::sleep(every.mul_f64(0.5 + random.unit())).await;
                }
            }
        };
        cancel.run_until_cancelled(arriving).await;
    });
    Ok(())
}

/// Arrival `number`: every one another repository, most with a workspace.
fn request(number: usize, chance: u64, odd: &[(usize, &str)]) -> Request {
    let pick = |count: usize, shift: u32| usize::try_from(chance >> shift).unwrap_or_default() % count;
    let tenant = TENANTS[pick(TENANTS.len(), 0)];
    let name = NAMES[pick(NAMES.len(), 8)];
    let prefix = odd.iter().find(|(which, _)| *which == number).map_or("", |(_, prefix)| prefix);
    let workspace = (!(chance >> 16).is_multiple_of(4)).then(|| format!("ws-{:016x}", chance));
    Request {
        tenant_id: tenant.to_owned(),
        repo_url: format!("https://github.com/{tenant}/{prefix}{name}-{number}"),
        workspace_id: workspace,
    }
}
