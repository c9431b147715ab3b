//! A database, stand-ins with a ledger, a worker that is to die (a process of its own), and one that takes over.

use std::{
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use redrive::{
    config,
    demo::upstreams::{Options, Running, Upstreams},
    domain::{
        id::OnboardingId,
        onboarding::{Phase, Request},
    },
    engine::{
        Access, Engine,
        command::{self, Elsewhere, Receipt, Refusal, Target},
        injection::Injections,
        policies::Policies,
    },
    service::process::Process,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::support::{place::PATIENCE, program::redrive, stores::TestStore, wait::eventually};

/// Policies run this much faster.
const HURRY: f64 = 0.2;

/// Which database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum On {
    Sqlite,
    Postgres,
}

/// Everything one crash needs, apart from all others.
pub(super) struct World {
    pub(super) store: TestStore,
    pub(super) upstreams: Running,
    tracker: TaskTracker,
    shutdown: CancellationToken,
}

impl Drop for World {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

impl World {
    pub(super) async fn on(on: On, seed: u64) -> Self {
        let store = match on {
            On::Sqlite => TestStore::sqlite().await,
            On::Postgres => TestStore::postgres().await,
        };
        Self::over(store, seed).await
    }

    pub(super) async fn over(store: TestStore, seed: u64) -> Self {
        store.time.free();
        let (tracker, shutdown) = (TaskTracker::new(), CancellationToken::new());
        let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let options = Options { seed, ..Options::default() };
        let upstreams = Upstreams::start(anywhere, options, &tracker, shutdown.clone()).await;
        Self { store, upstreams: upstreams.expect("a free port"), tracker, shutdown }
    }

    /// A worker in a process of its own, with faults.
    pub(super) fn victim(&self, name: &str, database: &str, lease: &str, faults: &[&str]) -> Victim {
        self.victim_by(redrive(&[]), name, database, lease, faults)
    }

    /// The same, started by `command`.
    pub(super) fn victim_by(
        &self,
        mut command: Command,
        name: &str,
        database: &str,
        lease: &str,
        faults: &[&str],
    ) -> Victim {
        let mut args = vec!["worker", "--listen", "127.0.0.1:0", "--name", name, "--database-url", database];
        for fault in faults {
            args.extend(["--fault", *fault]);
        }
        let at = |path: &str| format!("http://{}/{path}", self.upstreams.addr);
        command
            .args(args)
            .env("REDRIVE_GITHUB_URL", at("github"))
            .env("REDRIVE_TFC_URL", at("tfc"))
            .env("REDRIVE_NOTIFY_URL", at("notify"))
            .env("REDRIVE_CALLBACK_URL", at("callback"))
            .env("REDRIVE_LEASE", lease)
            .env("REDRIVE_TIME_FACTOR", HURRY.to_string())
            .env("REDRIVE_LOG", "off")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit());
        Victim(command.spawn().expect("the binary starts"))
    }

    /// A worker that nothing troubles, here, until what is answered is dropped.
    pub(super) async fn heir(&self, name: &str, lease: Duration) -> Heir {
        let opened = self.store.again().await;
        let engine = Engine::new(Arc::clone(&opened.store), opened.reader, Access::ReadWrite);
        let stop = self.shutdown.child_token();
        let process = Process {
            worker: name.into(),
            store: opened.store,
            engine,
            config: config::Engine {
                lease,
                time_factor: HURRY,
                poll: Duration::from_millis(100),
                ..config::Engine::default()
            },
            policies: Policies::default(),
            intake: config::Intake::default(),
            upstreams: self.upstreams.settings(),
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            token: None,
            injections: Injections::new(Vec::new()),
        };
        process.start(&self.tracker, &stop).await.expect("it starts");
        Heir(stop)
    }

    /// Stops it, and waits until it said goodbye.
    pub(super) async fn part_with(&self, heir: Heir) {
        drop(heir);
        eventually("it said goodbye", PATIENCE, async || {
            (self.store.cell("SELECT count(*) FROM redrive_workers").await == "0").then_some(())
        })
        .await;
    }

    /// The lease of whoever held the onboarding is over.
    pub(super) async fn lease_is_over(&self) {
        let past = "2020-01-01T00:00:00.000000+00:00";
        let sql = format!(
            "UPDATE redrive_work SET lease_until = '{past}', run_at = '{past}' WHERE lease_until IS NOT NULL"
        );
        self.store.sql(&sql).await;
    }

    pub(super) async fn trigger(&self, name: &str) -> OnboardingId {
        self.trigger_in(name, "ws-a1b2c3").await
    }

    pub(super) async fn trigger_in(&self, name: &str, workspace: &str) -> OnboardingId {
        let request = Request {
            tenant_id: "acme".to_owned(),
            repo_url: format!("https://github.com/acme/{name}"),
            workspace_id: Some(workspace.to_owned()),
        };
        let receipt = self.store.submit(command::Command::Trigger { request }).await.expect("it triggers");
        receipt.triggered.expect("an answer").onboarding_id
    }

    pub(super) async fn roll_back(&self, id: &OnboardingId) -> Result<Receipt, Refusal> {
        let onboarding = Target { id: id.clone(), seen: None };
        self.store.submit(command::Command::RollBack { onboarding, elsewhere: Elsewhere::Leave }).await
    }

    /// What the worker `name` says of itself; 0 where it says nothing.
    pub(super) async fn metric(&self, name: &str, metric: &str) -> f64 {
        let url =
            self.store.cell(&format!("SELECT metrics_url FROM redrive_workers WHERE id = '{name}'")).await;
        let client = redrive::http::client(Duration::from_secs(2)).expect("a client");
        let Ok(answer) = client.get(url).send().await else { return 0.0 };
        let text = answer.text().await.unwrap_or_default();
        let value = text.lines().find_map(|line| line.strip_prefix(metric)?.trim().parse().ok());
        value.unwrap_or_default()
    }

    /// Waits until the onboarding is in `phase` and nobody works at it.
    pub(super) async fn until(&self, id: &OnboardingId, phase: Phase) {
        eventually(&format!("{id} is {phase}"), PATIENCE, async || {
            let sql = format!("SELECT phase FROM onboarding_history WHERE id = '{id}'");
            (self.store.cell(&sql).await == phase.as_str()).then_some(())
        })
        .await;
    }
}

/// Stops when dropped.
pub(super) struct Heir(CancellationToken);

impl Drop for Heir {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// A process that is to die; it does so at the latest when this is dropped.
pub(super) struct Victim(Child);

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Victim {
    pub(super) fn signal(&self, name: &str) {
        let sent = std::process::Command::new("kill").args(["-s", name, &self.0.id().to_string()]).status();
        assert!(sent.expect("there is a kill").success());
    }

    /// Waits until it died by `kill -9`.
    pub(super) async fn dies(&mut self) {
        use std::os::unix::process::ExitStatusExt as _;
        let status =
            eventually("the victim dies", PATIENCE, async || self.0.try_wait().expect("a child")).await;
        assert_eq!(status.signal(), Some(9), "it was killed, not {status}");
    }

    /// Waits until it stands still.
    pub(super) async fn stands_still(&self) {
        let pid = self.0.id().to_string();
        eventually("the victim stops", PATIENCE, async || {
            let ps =
                std::process::Command::new("ps").args(["-o", "state=", "-p", &pid]).output().expect("ps");
            String::from_utf8_lossy(&ps.stdout).trim_start().starts_with('T').then_some(())
        })
        .await;
    }
}
