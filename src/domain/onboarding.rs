//! An onboarding: its request, its states, its status words and its one total transition table.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{id::StateName, mask, word::words};

/// The pipeline as a workflow: what its rows are stored under, and what is paused to hold all of it back.
pub const WORKFLOW: &str = "onboarding";

/// Which definition of the pipeline begins rows, and runs those that others began.
pub const WORKFLOW_VERSION: i32 = 1;

words!(
    /// `onboarding_history.status`: the words other services know. Everything finer is a [`Phase`].
    Status, "onboarding status", {
        /// Begun and not ended.
        InProgress = "in_progress",
        /// Every state was run.
        Completed = "completed",
        /// Ended early; its progress and effects are kept.
        Failed = "failed",
        /// Ended early and its effects were undone.
        FailedCleanedUp = "failed_cleaned_up",
    }
);

words!(
    /// The states of the pipeline, in the order they run; `ROLLING_BACK` can follow any of them.
    State, "state", {
        /// The request is in the table.
        Received = "RECEIVED",
        /// The request is checked against what the upstreams know.
        Validating = "VALIDATING",
        /// The repository tree and the workspace are read.
        Discovering = "DISCOVERING",
        /// The files that matter are fetched and parsed.
        Extracting = "EXTRACTING",
        /// Catalog entities are derived.
        Generating = "GENERATING",
        /// Entities and relationships are written to the catalog.
        Registering = "REGISTERING",
        /// The webhook and the workspace notification are created.
        ConfiguringSync = "CONFIGURING_SYNC",
        /// The outcome is announced.
        Notifying = "NOTIFYING",
        /// What was done is undone, last-in first-out.
        RollingBack = "ROLLING_BACK",
    }
);

impl State {
    /// The forward states, first to last.
    pub const FORWARD: [Self; 8] = [
        Self::Received,
        Self::Validating,
        Self::Discovering,
        Self::Extracting,
        Self::Generating,
        Self::Registering,
        Self::ConfiguringSync,
        Self::Notifying,
    ];

    /// Its name as a workflow state.
    pub fn name(self) -> StateName {
        self.as_str().into()
    }
}

words!(
    /// Where an onboarding of ours stands, finer than its [`Status`]; a column of ours, absent on rows of others.
    Phase, "phase", {
        /// Waiting for a worker.
        Queued = "queued",
        /// A worker holds its lease.
        Running = "running",
        /// Waiting out a retry's delay.
        Waiting = "waiting",
        /// Waiting for a circuit to close.
        Parked = "parked",
        /// Every state was run.
        Completed = "completed",
        /// Attempts exhausted or a permanent error: a dead letter tells the story.
        Failed = "failed",
        /// Compensations are running.
        RollingBack = "rolling_back",
        /// A compensation failed for good: the roll-back stands until an operator resumes it.
        Stuck = "stuck",
        /// Every compensation was undone.
        RolledBack = "rolled_back",
    }
);

words!(
    /// What can happen to an onboarding of ours.
    Event, "event", {
        /// A worker took its lease.
        Claimed = "claimed",
        /// A state was recorded and the next one opened under the same lease.
        Advanced = "advanced",
        /// The lease was given back, or ran out, with nothing wrong.
        HandedBack = "handed_back",
        /// An attempt failed and another is due later.
        AttemptFailed = "attempt_failed",
        /// A circuit is open: wait without spending an attempt.
        CircuitOpened = "circuit_opened",
        /// No attempt is left, or the error is permanent.
        Exhausted = "exhausted",
        /// The last state was recorded.
        Finished = "finished",
        /// An operator, a replay or a trigger after the cool-down asked it to go on.
        ResumeAsked = "resume_asked",
        /// An operator asked to undo it.
        RollBackAsked = "roll_back_asked",
        /// The last compensation was undone.
        Undone = "undone",
        /// A compensation failed for good.
        UndoFailed = "undo_failed",
    }
);

impl Phase {
    /// The one transition table: what `event` makes of this phase, or `None` where the event cannot happen.
    ///
    /// Going forward is impossible from the moment a roll-back begins.
    pub const fn next(self, event: Event) -> Option<Self> {
        use Event as E;
        Some(match (self, event) {
            (Self::Queued | Self::Waiting | Self::Parked | Self::Running, E::Claimed) => Self::Running,
            (Self::Running, E::Advanced) => Self::Running,
            (Self::Running, E::HandedBack) => Self::Queued,
            (Self::Running, E::AttemptFailed) => Self::Waiting,
            (Self::Running, E::CircuitOpened) => Self::Parked,
            (Self::Running, E::Exhausted) => Self::Failed,
            (Self::Running, E::Finished) => Self::Completed,
            (Self::Failed, E::ResumeAsked) => Self::Queued,
            (
                Self::Queued
                | Self::Running
                | Self::Waiting
                | Self::Parked
                | Self::Failed
                | Self::Completed
                | Self::Stuck,
                E::RollBackAsked,
            ) => Self::RollingBack,
            // A roll-back keeps its phase through claims, waits and parking: `redrive_work.run_at` tells them apart.
            (
                Self::RollingBack,
                E::Claimed | E::Advanced | E::HandedBack | E::AttemptFailed | E::CircuitOpened,
            ) => Self::RollingBack,
            (Self::RollingBack, E::Undone) => Self::RolledBack,
            (Self::RollingBack, E::UndoFailed) => Self::Stuck,
            _ => return None,
        })
    }

    /// The status other services see while an onboarding is in this phase.
    pub const fn status(self) -> Status {
        match self {
            Self::Queued | Self::Running | Self::Waiting | Self::Parked | Self::RollingBack => {
                Status::InProgress
            }
            Self::Completed => Status::Completed,
            Self::Failed | Self::Stuck => Status::Failed,
            Self::RolledBack => Status::FailedCleanedUp,
        }
    }

    /// Whether a `redrive_work` row stands behind it, that is, whether a worker will do something about it.
    pub const fn is_live(self) -> bool {
        matches!(self, Self::Queued | Self::Running | Self::Waiting | Self::Parked | Self::RollingBack)
    }
}

/// What is asked for: one business unit's repository and, if it has one, its workspace. Of another workflow than the
/// pipeline, [its subject](Self::about).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// The tenant who asks.
    pub tenant_id: String,
    /// `https://HOST/OWNER/NAME`.
    pub repo_url: String,
    /// The Terraform Cloud workspace id, `ws-…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace_id: Option<String>,
}

/// Why a [`Request`] cannot be accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRequest {
    /// The tenant is missing or too long.
    #[error("tenantId is {found}: give between 1 and 200 characters, none of them control characters")]
    Tenant {
        /// What was wrong.
        found: &'static str,
    },
    /// The repository URL has another shape.
    #[error(
        "repoUrl {url:?} {why}: expected https://HOST/OWNER/NAME, for example https://github.com/acme/payments"
    )]
    RepoUrl {
        /// What was given.
        url: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The workspace id has another shape.
    #[error(
        "workspaceId {id:?} is not a Terraform Cloud workspace id: expected ws- and 1 to 64 letters or digits, for example ws-a1b2c3d4e5f6g7h8"
    )]
    Workspace {
        /// What was given.
        id: String,
    },
    /// What another workflow is to begin with makes no sense.
    #[error("cannot begin a workflow: {part} {why}")]
    Begin {
        /// Which part.
        part: &'static str,
        /// What is wrong with it, and what is expected.
        why: String,
    },
}

impl Request {
    /// What a workflow other than the pipeline is about: a subject of a tenant, an order say. It stands where the
    /// pipeline has the repository, because other services know the table by its columns.
    pub fn about(tenant: impl Into<String>, subject: impl Into<String>) -> Self {
        Self { tenant_id: tenant.into(), repo_url: subject.into(), workspace_id: None }
    }

    /// What it is about.
    pub fn subject(&self) -> &str {
        &self.repo_url
    }

    /// Checks the shape of all three parts; says nothing about whether they exist.
    ///
    /// # Errors
    /// The first part that is malformed, with an example of what was expected.
    pub fn validate(&self) -> Result<(), InvalidRequest> {
        if let Some(found) = unfit(&self.tenant_id, 200) {
            return Err(InvalidRequest::Tenant { found });
        }
        self.repository()?;
        match &self.workspace_id {
            Some(id) if !is_workspace_id(id) => Err(InvalidRequest::Workspace { id: id.clone() }),
            _ => Ok(()),
        }
    }

    /// The owner and the name in `repo_url`.
    ///
    /// # Errors
    /// [`InvalidRequest::RepoUrl`] when the URL is not `https://HOST/OWNER/NAME`.
    pub fn repository(&self) -> Result<(&str, &str), InvalidRequest> {
        let bad = |why| InvalidRequest::RepoUrl { url: mask::secrets(&self.repo_url), why };
        if self.repo_url.len() > 2_000 {
            return Err(InvalidRequest::RepoUrl { url: "(over 2,000 bytes)".to_owned(), why: "is too long" });
        }
        let rest = self
            .repo_url
            .strip_prefix("https://")
            .or_else(|| self.repo_url.strip_prefix("http://"))
            .ok_or_else(|| bad("does not begin with https://"))?;
        let mut parts = rest.trim_end_matches('/').split('/');
        let host = parts.next().unwrap_or_default();
        if host.is_empty() || host.contains('@') || !host.chars().all(|c| c.is_ascii_graphic()) {
            return Err(bad("has no plain host name"));
        }
        let (Some(owner), Some(name), None) = (parts.next(), parts.next(), parts.next()) else {
            return Err(bad("does not name one owner and one repository"));
        };
        let name = name.strip_suffix(".git").unwrap_or(name);
        if !is_slug(owner) || !is_slug(name) {
            return Err(bad("holds characters that owner and repository names cannot have"));
        }
        Ok((owner, name))
    }

    /// Lowercase hex SHA-256 of `tenantId:repoUrl:workspaceId`, with `no-workspace` for a missing workspace.
    ///
    /// `:` can occur in the parts, so two requests can share a fingerprint: compare the parts after a hit.
    pub fn fingerprint(&self) -> String {
        let workspace = self.workspace_id.as_deref().unwrap_or("no-workspace");
        sha256_hex(format!("{}:{}:{workspace}", self.tenant_id, self.repo_url).as_bytes())
    }

    /// What it stands under as a row of `workflow`: of the pipeline its [fingerprint](Self::fingerprint), of another
    /// the same digest of the JSON array of workflow, tenant and subject, which no request of the pipeline spells.
    pub fn fingerprint_in(&self, workflow: &str) -> String {
        if workflow == WORKFLOW {
            return self.fingerprint();
        }
        let parts = serde_json::json!([workflow, self.tenant_id, self.subject()]);
        sha256_hex(parts.to_string().as_bytes())
    }
}

/// What keeps `text` from being a name in a column, if anything does.
pub(crate) fn unfit(text: &str, longest: usize) -> Option<&'static str> {
    match text.trim() {
        "" => Some("empty"),
        t if t.chars().count() > longest => Some("too long"),
        t if t.chars().any(char::is_control) => Some("holding control characters"),
        _ => None,
    }
}

/// Lowercase hex SHA-256.
pub fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

fn is_slug(part: &str) -> bool {
    (1..=100).contains(&part.len())
        && part != "."
        && part != ".."
        && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

fn is_workspace_id(id: &str) -> bool {
    id.strip_prefix("ws-")
        .is_some_and(|rest| (1..=64).contains(&rest.len()) && rest.chars().all(|c| c.is_ascii_alphanumeric()))
}

words!(
    /// `status` in the answer to a trigger.
    TriggerStatus, "trigger status", {
        /// A new onboarding began.
        Started = "started",
        /// The same request already completed.
        AlreadyCompleted = "already_completed",
        /// The same request is being worked on.
        InProgress = "in_progress",
        /// The same request failed lately: wait until `retryAt`.
        CoolingDown = "cooling_down",
        /// The same request had failed and goes on from its checkpoint.
        Resumed = "resumed",
    }
);
