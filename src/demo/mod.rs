//! The whole thing on one machine with nothing installed: stand-ins for the upstreams, a scenario that troubles them,
//! an unprotected legacy caller, a steady arrival of onboardings, a worker, and the dashboard on top.
//!
//! Everything lives in one process and one temporary folder, on ports the system picks, so that any number of demos run
//! side by side and none leaves anything behind.

mod arrivals;
pub mod lab;
mod legacy;
mod scenario;
pub mod upstreams;

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    clock, config,
    engine::{
        Access, Engine,
        injection::{Injection, Injections},
        policies::Policies,
    },
    http::HttpError,
    metrics::{
        scrape::{BadTarget, Target},
        source::Presets,
        verdict::Rules,
    },
    poll::{self, Feed, Sources},
    service::process::{Process, ProcessError},
    store::{self, OpenOptions},
};

pub use scenario::{Scenario, UnknownScenario};

/// The name of the demo's worker, on the screen and in its metrics.
const WORKER: &str = "worker-a";
/// The name of the unprotected caller.
const LEGACY: &str = "legacy-crm";
/// How long the parts may take to stop.
const GRACE: Duration = Duration::from_secs(3);
/// A fresh address on loopback.
const ANYWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// How a demo runs.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What goes wrong.
    pub scenario: Scenario,
    /// Every time of the scenario, the policies and the verdict is multiplied by this.
    pub time_factor: f64,
    /// Makes arrivals and faults repeatable.
    pub seed: u64,
    /// How often the dashboard looks.
    pub interval: Duration,
    /// Faults for its worker and its database.
    pub faults: Vec<Injection>,
}

/// Why a demo does not start.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// No temporary folder, or no port.
    #[error("cannot set up the demo: {0}")]
    Setup(#[from] std::io::Error),
    /// The stand-ins' address is taken, or not ours.
    #[error("cannot listen on {address}: {why}; choose another with --listen ADDR")]
    Listen {
        /// Asked for.
        address: SocketAddr,
        /// The system's reason.
        why: std::io::Error,
    },
    /// The database.
    #[error(transparent)]
    Store(#[from] crate::engine::store::StoreError),
    /// The worker.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// An HTTP client.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// A target of our own.
    #[error(transparent)]
    Target(#[from] BadTarget),
}

/// A demo while it runs.
pub struct Running {
    /// What the dashboard acts through.
    pub engine: Engine,
    /// What the dashboard looks at.
    pub feed: Feed,
    ledger: Arc<upstreams::ledger::Ledger>,
    tracker: TaskTracker,
    cancel: CancellationToken,
    folder: tempfile::TempDir,
}

impl Running {
    /// The database's URL.
    pub fn database_url(&self) -> String {
        format!("sqlite:{}", database(&self.folder).display())
    }
}

/// Starts everything but the dashboard; it stops with [`Running::stop`].
///
/// # Errors
/// See [`DemoError`].
pub async fn start(plan: &Plan) -> Result<Running, DemoError> {
    let (tracker, cancel) = (TaskTracker::new(), CancellationToken::new());
    let folder = tempfile::Builder::new().prefix("redrive-demo-").tempdir()?;
    let url = format!("sqlite:{}", database(&folder).display());
    let engine_config = engine_config(plan.time_factor);
    store::migrate(&url).await?;
    let injections = Injections::new(plan.faults.clone());
    let options = OpenOptions { injections: Arc::clone(&injections), ..OpenOptions::default() };
    let opened = store::open(&url, options.of(&engine_config)).await?;
    let engine = Engine::new(Arc::clone(&opened.store), Arc::clone(&opened.reader), Access::ReadWrite);

    let options = upstreams::Options { seed: plan.seed, ..upstreams::Options::default() };
    let stand_ins = upstreams::Upstreams::start(ANYWHERE, options, &tracker, cancel.clone()).await?;
    let worker = Process {
        worker: WORKER.into(),
        store: injections.around_store(opened.store),
        engine: engine.clone(),
        config: engine_config,
        policies: Policies::default(),
        intake: config::Intake::default(),
        upstreams: stand_ins.settings(),
        listen: ANYWHERE,
        token: None,
        injections,
    };
    let intake = worker.start(&tracker, &cancel).await?;
    let legacy = legacy::start(&stand_ins, plan, &tracker, &cancel).await?;
    arrivals::start(intake, plan, &tracker, &cancel)?;
    scenario::start(plan, &stand_ins.faults, &tracker, &cancel);

    let targets = vec![
        Target::parse(&format!("http://{intake}/metrics"))?.named(WORKER),
        Target::parse(&format!("http://{legacy}/metrics"))?.named(LEGACY),
    ];
    let sources = Sources {
        reader: opened.reader,
        interval: plan.interval,
        targets,
        prometheus: None,
        scrape_interval: Duration::from_secs(1).min(plan.interval),
        rules: Rules { time_factor: plan.time_factor, ..Rules::default() },
        presets: Presets::default(),
    };
    let feed = poll::start(sources, &tracker, &cancel)?;
    Ok(Running { engine, feed, ledger: stand_ins.ledger, tracker, cancel, folder })
}

impl Running {
    /// Where background parts of the dashboard may run.
    pub fn tracker(&self) -> &TaskTracker {
        &self.tracker
    }

    /// Cancelled when the demo stops.
    pub fn cancel(&self) -> &CancellationToken {
        &self.cancel
    }

    /// Stops every part, removes the folder, and says what protection was worth.
    pub async fn stop(self) -> String {
        self.cancel.cancel();
        self.tracker.close();
        // What does not stop in time ends with the process; its folder goes all the same.
        let _ = tokio::time::timeout(GRACE, self.tracker.wait()).await;
        let folder = self.folder.path().to_owned();
        if let Err(error) = self.folder.close() {
            tracing::warn!(%error, folder = %folder.display(), "the demo's folder could not be removed");
        }
        legacy::worth(&self.ledger)
    }
}

/// Runs only the stand-ins, and with any scenario but calm the legacy caller, until `shutdown`; answers what to tell
/// the user.
///
/// # Errors
/// See [`DemoError`].
pub async fn only_upstreams(
    plan: &Plan,
    listen: SocketAddr,
    tracker: &TaskTracker,
    shutdown: &CancellationToken,
) -> Result<String, DemoError> {
    let options = upstreams::Options { seed: plan.seed, ..upstreams::Options::default() };
    let stand_ins = upstreams::Upstreams::start(listen, options, tracker, shutdown.clone())
        .await
        .map_err(|why| DemoError::Listen { address: listen, why })?;
    let at = stand_ins.addr;
    let mut said = format!(
        "stand-ins listen on {at}; point workers at them with\n  \
         export REDRIVE_GITHUB_URL=http://{at}/github REDRIVE_TFC_URL=http://{at}/tfc \
         REDRIVE_NOTIFY_URL=http://{at}/notify REDRIVE_CALLBACK_URL=http://{at}/callback\n\
         ledger of effects   http://{at}/_ledger\n\
         troubles (PUT JSON) http://{at}/_faults"
    );
    if plan.scenario != Scenario::Calm {
        let legacy = legacy::start(&stand_ins, plan, tracker, shutdown).await?;
        scenario::start(plan, &stand_ins.faults, tracker, shutdown);
        said.push_str(&format!("\n{LEGACY}'s metrics http://{legacy}/metrics"));
    }
    Ok(said)
}

fn database(folder: &tempfile::TempDir) -> PathBuf {
    folder.path().join("demo.db")
}

fn engine_config(time_factor: f64) -> config::Engine {
    config::Engine {
        lease: Duration::from_secs(5),
        concurrency: 64,
        time_factor,
        poll: Duration::from_millis(500),
        // What failed is what there is to see and to act on.
        cleanup_after: None,
        ..config::Engine::default()
    }
}

/// `duration` in the demo's time.
fn scaled(plan: &Plan, duration: Duration) -> Duration {
    duration.mul_f64(plan.time_factor)
}

/// A random source for one part of the demo, the same for the same seed.
fn random(plan: &Plan, part: u64) -> clock::Random {
    clock::Random::seeded(plan.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(part))
}
