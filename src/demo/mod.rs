//! The whole thing on one machine with nothing installed: stand-ins for the upstreams, an incident with its services and
//! callers, a steady arrival of onboardings, a worker, and the dashboard on top, or a report at the end.
//!
//! ```text
//!  Scenario ─▶ incident: sets up traffic, plays its phases ─┐ worker, stand-ins, SQLite ─▶ poll ─▶ dashboard
//!              stage: its time, the phases                  └────────── metrics ──────────▶      └▶ seen ─▶ Report
//! ```
//! Everything lives in one process and one temporary folder, on ports the system picks, so that any number of demos run
//! side by side and none leaves anything behind. In a scenario durations scale with the time factor and rates do not: a
//! storm is counted, not timed.

mod arrivals;
mod incident;
pub mod lab;
mod lateness;
mod legacy;
mod report;
mod scenario;
mod seen;
mod stage;
mod traffic;
pub mod upstreams;

use std::{
    fs::Permissions, net::SocketAddr, os::unix::fs::PermissionsExt as _, path::PathBuf, sync::Arc,
    time::Duration,
};

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
        discovery::Origin,
        scrape::{BadTarget, Target},
        source::Presets,
        verdict::Rules,
    },
    poll::{self, Feed, Sources},
    resilience::invalid::Invalid,
    service::process::{Process, ProcessError},
    store::{self, OpenOptions},
};

use incident::{Ground, Incident};
pub use report::{Expectation, Figure, Report};
pub use scenario::{Scenario, UnknownScenario};
pub use seen::{Said, Turn};
pub use stage::Phase;
use stage::{Operator, Stage};

/// The name of the demo's worker, on the screen and in its metrics.
const WORKER: &str = "worker-a";
/// The name of the unprotected caller.
const LEGACY: &str = "legacy-crm";
/// How long the parts may take to stop.
const GRACE: Duration = Duration::from_secs(3);
/// Looks within one window of the verdict.
const LOOKS: u32 = 10;
/// Targets are not scraped more often than this.
const SOONEST: Duration = Duration::from_millis(100);
/// Onboardings that are not what a scenario is about are hurried no more than this.
const SLOWEST_TO_SCALE: f64 = 0.25;
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
    /// A caller whose manner makes no sense.
    #[error("a caller of the demo cannot be: {0}")]
    Manner(#[from] Invalid),
    /// A command of its own was refused.
    #[error("the demo could not prepare its database: {0}")]
    Refused(String),
}

/// A demo while it runs.
pub struct Running {
    /// What the dashboard acts through.
    pub engine: Engine,
    /// What the dashboard looks at.
    pub feed: Feed,
    incident: Arc<dyn Incident>,
    stage: Arc<Stage>,
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
    let running = set_up(plan, Operator::Present).await?;
    let (incident, stage) = (Arc::clone(&running.incident), Arc::clone(&running.stage));
    let cancel = running.cancel.clone();
    running.tracker.spawn(async move { cancel.run_until_cancelled(incident.play(&stage)).await });
    Ok(running)
}

/// Plays the scenario to its end without a dashboard, looking at what one would have shown, and tells.
///
/// # Errors
/// See [`DemoError`].
pub async fn rehearse(plan: &Plan) -> Result<Report, DemoError> {
    let running = set_up(plan, Operator::Played).await?;
    let (incident, stage) = (Arc::clone(&running.incident), Arc::clone(&running.stage));
    let mut snapshots = running.feed.snapshots.clone();
    let mut seen = seen::Seen::default();
    let mut lateness = lateness::Lateness::default();
    {
        let mut playing = std::pin::pin!(incident.play(&stage));
        let mut watching = std::pin::pin!(lateness.watch());
        loop {
            tokio::select! {
                () = &mut playing => break,
                () = &mut watching => {}
                Ok(()) = snapshots.changed() => {
                    let snapshot = Arc::clone(&snapshots.borrow_and_update());
                    seen.look(&snapshot, &stage);
                }
            }
        }
    }
    let (phases, real_seconds) = (stage.phases(), stage.real_seconds());
    running.halt().await;
    let expectations = incident.expectations(&stage, &seen);
    Ok(Report {
        scenario: plan.scenario,
        says: plan.scenario.says(),
        tamed_by: plan.scenario.tamed_by(),
        seed: plan.seed,
        time_factor: plan.time_factor,
        real_seconds,
        timers_late_ms: lateness.millis(),
        phases,
        met: expectations.iter().all(|expectation| expectation.met),
        verdicts: seen.verdicts,
        operations: seen.turns,
        figures: incident.figures(&stage),
        expectations,
    })
}

async fn set_up(plan: &Plan, operator: Operator) -> Result<Running, DemoError> {
    let (tracker, cancel) = (TaskTracker::new(), CancellationToken::new());
    let owners = Permissions::from_mode(0o700);
    let folder = tempfile::Builder::new().prefix("redrive-demo-").permissions(owners).tempdir()?;
    let url = format!("sqlite:{}", database(&folder).display());
    let engine_config = engine_config(plan);
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
    arrivals::start(intake, plan, &tracker, &cancel)?;
    let ground = Ground {
        plan,
        engine: &engine,
        database: &url,
        stand_ins: &stand_ins,
        tracker: &tracker,
        cancel: &cancel,
    };
    let incident = incident::set_up(&ground).await?;

    let mut targets = vec![Target::parse(&format!("http://{intake}/metrics"))?.named(WORKER)];
    targets.extend(incident.targets()?);
    let rules = Rules { time_factor: plan.time_factor, ..Rules::default() };
    let sources = Sources {
        reader: opened.reader,
        interval: plan.interval,
        origins: targets.into_iter().map(Origin::One).collect(),
        prometheus: None,
        scrape_interval: scrape_interval(plan, &rules),
        rules,
        presets: Presets::default(),
    };
    let stage = Arc::new(Stage::new(plan.time_factor, operator));
    let feed = poll::start(sources, &tracker, &cancel)?;
    Ok(Running { engine, feed, incident, stage, tracker, cancel, folder })
}

/// Often enough for a few looks within the verdict's window, however short the demo makes it.
fn scrape_interval(plan: &Plan, rules: &Rules) -> Duration {
    let often = rules.scaled(rules.window) / LOOKS;
    often.clamp(SOONEST, Duration::from_secs(1)).min(plan.interval)
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
        let (incident, stage) = (Arc::clone(&self.incident), Arc::clone(&self.stage));
        self.halt().await;
        format!("side by side\n{}", report::lines(&incident.figures(&stage)))
    }

    async fn halt(self) {
        self.cancel.cancel();
        self.tracker.close();
        // What does not stop in time ends with the process; its folder goes all the same.
        let _ = tokio::time::timeout(GRACE, self.tracker.wait()).await;
        let folder = self.folder.path().to_owned();
        if let Err(error) = self.folder.close() {
            tracing::warn!(%error, folder = %folder.display(), "the demo's folder could not be removed");
        }
    }
}

/// Runs only the stand-ins, and for the outage its troubles and the legacy caller, until `shutdown`; answers what to tell
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
    if plan.scenario == Scenario::Outage {
        let legacy = legacy::start(&stand_ins, plan, tracker, shutdown).await?;
        let stage = Stage::new(plan.time_factor, Operator::Present);
        let (faults, stop) = (Arc::clone(&stand_ins.faults), shutdown.clone());
        let troubles = async move { incident::troubles(&faults, &stage).await };
        tracker.spawn(async move { stop.run_until_cancelled(troubles).await });
        said.push_str(&format!("\n{LEGACY}'s metrics http://{legacy}/metrics"));
    }
    Ok(said)
}

fn database(folder: &tempfile::TempDir) -> PathBuf {
    folder.path().join("demo.db")
}

fn engine_config(plan: &Plan) -> config::Engine {
    let onboardings = plan.scenario.is_about_onboardings();
    config::Engine {
        lease: Duration::from_secs(5),
        concurrency: 64,
        time_factor: if onboardings { plan.time_factor } else { plan.time_factor.max(SLOWEST_TO_SCALE) },
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
