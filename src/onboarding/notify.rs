//! The webhook that is told how an onboarding went.
//!
//! Knows nothing of who listens: any 2xx is an acknowledgement.

use reqwest::Method;
use serde::Serialize;

use super::call::{Call, IDEMPOTENCY_KEY};
use crate::{config::Upstreams, domain::fault::Fault, engine::call::StepCalls};

/// What is announced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Announcement {
    /// The onboarding.
    pub onboarding_id: String,
    /// Who asked for it.
    pub tenant_id: String,
    /// The repository.
    pub repo_url: String,
    /// The workspace, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workspace_id: Option<String>,
    /// `completed`.
    pub status: String,
    /// References of the registered entities, `component:acme/payments`.
    pub entities: Vec<String>,
}

/// A client for the webhook, if one is configured.
#[derive(Clone)]
pub struct Notify {
    client: reqwest::Client,
    url: Option<String>,
}

impl Notify {
    /// A client for the webhook in `upstreams`.
    pub fn new(client: reqwest::Client, upstreams: &Upstreams) -> Self {
        Self { client, url: upstreams.notify_url.clone() }
    }

    /// Announces; does nothing where no webhook is configured. `key` goes along as `Idempotency-Key`.
    ///
    /// # Errors
    /// Anything but a 2xx.
    pub async fn send(&self, calls: &StepCalls, announcement: &Announcement, key: &str) -> Result<(), Fault> {
        let Some(url) = &self.url else { return Ok(()) };
        // The URL of a chat webhook is a secret in itself: it is not repeated in faults.
        let what = format!("{} of the announcement", Method::POST);
        let call = Call { service: "the notification webhook", operation: "notify.send", what };
        let request = self.client.post(url).header(IDEMPOTENCY_KEY, key).json(announcement);
        call.send(calls, request).await
    }
}
