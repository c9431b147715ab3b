//! What can be configured, as plain types: read from a file, the environment and flags by `cli`, and only carried here.

use std::{collections::BTreeMap, time::Duration};

/// Where the pipeline's upstreams are and how to speak to them.
#[derive(Clone, PartialEq, Eq)]
pub struct Upstreams {
    /// GitHub's REST API: `https://api.github.com`. `REDRIVE_GITHUB_URL`.
    pub github_url: String,
    /// Bearer token; empty means none is sent. `REDRIVE_GITHUB_TOKEN`.
    pub github_token: String,
    /// Terraform Cloud: `https://app.terraform.io`. `REDRIVE_TFC_URL`.
    pub tfc_url: String,
    /// Bearer token; empty means none is sent. `REDRIVE_TFC_TOKEN`.
    pub tfc_token: String,
    /// Where the end of an onboarding is announced; `None`: nowhere. `REDRIVE_NOTIFY_URL`.
    pub notify_url: Option<String>,
    /// Where hooks and notifications are to call back. `REDRIVE_CALLBACK_URL`.
    pub callback_url: String,
    /// The secret hooks sign with. `REDRIVE_WEBHOOK_SECRET`.
    pub webhook_secret: String,
}

impl Default for Upstreams {
    fn default() -> Self {
        Self {
            github_url: "https://api.github.com".to_owned(),
            github_token: String::new(),
            tfc_url: "https://app.terraform.io".to_owned(),
            tfc_token: String::new(),
            notify_url: None,
            callback_url: "https://redrive.invalid/callback".to_owned(),
            webhook_secret: String::new(),
        }
    }
}

impl std::fmt::Debug for Upstreams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upstreams")
            .field("github_url", &self.github_url)
            .field("tfc_url", &self.tfc_url)
            .field("notify_url", &self.notify_url)
            .field("callback_url", &self.callback_url)
            .finish_non_exhaustive()
    }
}

/// How long keys are remembered: windows by operation, apart from the leases under which work runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Retention {
    /// What was configured, by operation.
    pub operations: BTreeMap<String, Duration>,
}

impl Retention {
    /// Requests of callers: a day covers a client's retries and its operator's morning.
    pub const REQUEST: Duration = Duration::from_secs(24 * 3_600);
    /// Payments: a weekend.
    pub const PAYMENT: Duration = Duration::from_secs(72 * 3_600);
    /// Messages of a queue that delivers at least once.
    pub const MESSAGE: Duration = Duration::from_secs(15 * 60);
    /// Webhooks and calls to other systems, which are resent for weeks.
    pub const WEBHOOK: Duration = Duration::from_secs(30 * 24 * 3_600);

    /// The window of `operation`, which is `otherwise` unless one was configured.
    pub fn of(&self, operation: &str, otherwise: Duration) -> Duration {
        self.operations.get(operation).copied().unwrap_or(otherwise)
    }
}

/// When a worker's intake turns triggers away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intake {
    /// How many triggers are answered at once.
    pub concurrency: u32,
    /// None is taken while due work has waited for longer than this.
    pub longest_wait: Duration,
    /// A request's headers arrive within this, or its connection is closed; an idle connection too.
    pub header_timeout: Duration,
    /// A request's body arrives within this, or the request is refused.
    pub body_timeout: Duration,
    /// Names by which a worker on loopback may be asked, besides those of loopback itself.
    pub allowed_hosts: Vec<String>,
}

impl Default for Intake {
    fn default() -> Self {
        Self {
            concurrency: 64,
            longest_wait: Duration::from_secs(300),
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(10),
            allowed_hosts: Vec::new(),
        }
    }
}

/// How the engine behaves; the defaults are the product's.
#[derive(Debug, Clone, PartialEq)]
pub struct Engine {
    /// How long a claim is held before others may take over. Renewed at a third of it.
    pub lease: Duration,
    /// How long a caller's trigger waits after a failure before it resumes the onboarding.
    pub cool_down: Duration,
    /// How many onboardings come back a second of those that one operation parked, all workers together.
    pub unpark_per_second: f64,
    /// How many onboardings one worker runs at a time.
    pub concurrency: usize,
    /// Every delay and timeout of the policies is multiplied by this; 1 is real time, a demo runs faster.
    pub time_factor: f64,
    /// How long a worker waits for a wake-up before it looks for itself.
    pub poll: Duration,
    /// A letter that failed again after so many replays is quarantined.
    pub quarantine_after: u32,
    /// What failed is rolled back by itself after so long; `None`: only when an operator says so.
    pub cleanup_after: Option<Duration>,
    /// How long keys are remembered.
    pub retention: Retention,
}

impl Default for Engine {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(30),
            cool_down: Duration::from_secs(3_600),
            unpark_per_second: 10.0,
            concurrency: 16,
            time_factor: 1.0,
            poll: Duration::from_secs(1),
            quarantine_after: 5,
            cleanup_after: Some(Duration::from_secs(24 * 3_600)),
            retention: Retention::default(),
        }
    }
}
