//! A world for the whole program: stand-ins and a database; workers as a test asks for them, each its own process.

use std::time::Duration;

use serde_json::Value;

use super::{daemon::Daemon, program, wait::eventually};

/// The longest anything may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

/// Stand-ins and a database; workers as a test asks for them.
pub(crate) struct Place {
    pub(crate) url: String,
    pub(crate) upstreams: Daemon,
    pub(crate) client: redrive::http::Client,
}

impl Place {
    /// With stand-ins that fail only when they are told to.
    pub(crate) fn open(url: &str) -> Self {
        Self::beside(url, &[], "_faults")
    }

    /// With `more` arguments for the stand-ins, which are up once they said a line with `until` in it.
    pub(crate) fn beside(url: &str, more: &[&str], until: &str) -> Self {
        let args = [&["demo", "--only", "upstreams", "--listen", "127.0.0.1:0"], more].concat();
        let upstreams = Daemon::start(&args, &[("REDRIVE_LOG", "warn")], until);
        let client = redrive::http::client(Duration::from_secs(5)).unwrap();
        Self { url: url.to_owned(), upstreams, client }
    }

    /// A worker in a hurry.
    pub(crate) fn worker(&self, name: &str) -> Daemon {
        self.worker_with(name, "1s", "0.05")
    }

    pub(crate) fn worker_with(&self, name: &str, lease: &str, time_factor: &str) -> Daemon {
        let base = self.upstreams.base();
        let at = |path: &str| format!("{base}/{path}");
        Daemon::start(
            &["worker", "--listen", "127.0.0.1:0", "--name", name, "--database-url", &self.url],
            &[
                ("REDRIVE_GITHUB_URL", &at("github")),
                ("REDRIVE_TFC_URL", &at("tfc")),
                ("REDRIVE_NOTIFY_URL", &at("notify")),
                ("REDRIVE_CALLBACK_URL", &at("callback")),
                ("REDRIVE_LEASE", lease),
                ("REDRIVE_TIME_FACTOR", time_factor),
                ("REDRIVE_LOG", "error"),
            ],
            "listens on",
        )
    }

    /// Tells the stand-ins what fails from now on.
    pub(crate) async fn trouble(&self, troubles: Value) {
        let url = format!("{}/_faults", self.upstreams.base());
        let answer = self.client.put(url).json(&troubles).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    }

    /// What stands at the stand-ins.
    pub(crate) async fn ledger(&self) -> Value {
        let url = format!("{}/_ledger", self.upstreams.base());
        self.client.get(url).send().await.unwrap().json().await.unwrap()
    }

    /// Runs a twin with `--json` and reads its answer.
    pub(crate) fn twin(&self, args: &[&str]) -> Value {
        let (code, out, err) = program::run(&[args, &["--json", "--database-url", &self.url]].concat());
        assert_eq!(code, 0, "{args:?}: {err}");
        serde_json::from_str(&out).unwrap()
    }

    /// Triggers the repository of tenant acme; answers the onboarding's id.
    pub(crate) fn trigger(&self, repo: &str) -> String {
        let url = format!("https://github.com/acme/{repo}");
        let args =
            ["onboardings", "trigger", "--tenant", "acme", "--repo-url", &url, "--workspace-id", "ws-a1b2c3"];
        self.twin(&args)["triggered"]["onboardingId"].as_str().unwrap().to_owned()
    }

    /// Waits until the onboarding is in `phase`; answers its page.
    pub(crate) async fn until(&self, id: &str, phase: &str) -> Value {
        eventually(&format!("{id} is {phase}"), PATIENCE, async || {
            let page = self.twin(&["onboardings", "show", id]);
            (page["row"]["phase"] == phase).then_some(page)
        })
        .await
    }
}
