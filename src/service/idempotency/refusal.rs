//! Why the layer answers by itself: one table of statuses, slugs and titles, and the sentence that goes with each.

use std::time::Duration;

use axum::http::StatusCode;

use super::header::Malformed;
use crate::{domain::text::SafeText, engine::idempotency::Held, service::Problem};

/// Where the slugs lead unless a service documents its own keys: each is a fragment of this page.
pub(super) const DOCUMENTATION: &str =
    "https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/";

/// How long to wait for somebody who works under a key without a lease.
const NO_LEASE: u64 = 60;
/// How long to wait for a store that does not answer.
const STORE: u64 = 5;

const STORE_DOWN: &str =
    "the store of keys does not answer, and nothing was done: ask again with the same key";

/// Why a request has no answer of its handler.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error(
        "this operation needs an Idempotency-Key: send a unique value, for example a UUID, and the same one again with every retry"
    )]
    Missing,
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error("keys belong to callers here, and this request names none: authenticate first")]
    Nobody,
    #[error("the body has more than {0} bytes, which is all this operation takes")]
    TooLarge(usize),
    #[error("the body did not arrive within {}: send it faster", humantime::format_duration(*.0))]
    TooSlow(Duration),
    #[error("the body broke off: {0}")]
    BrokenOff(String),
    #[error(transparent)]
    Held(#[from] Held),
    #[error("the handler failed: ask again with the same key")]
    Panicked,
    #[error("the answer broke off while it was made: ask again with the same key")]
    AnswerBroken,
}

impl Refusal {
    /// Status, slug and title.
    fn kind(&self) -> (StatusCode, &'static str, &'static str) {
        const UNAVAILABLE: StatusCode = StatusCode::SERVICE_UNAVAILABLE;
        const FAILED: StatusCode = StatusCode::INTERNAL_SERVER_ERROR;
        match self {
            Self::Missing => {
                (StatusCode::BAD_REQUEST, "idempotency-key-missing", "Idempotency-Key is missing")
            }
            Self::Malformed(_) | Self::Held(Held::Invalid(_)) => {
                (StatusCode::BAD_REQUEST, "idempotency-key-malformed", "Idempotency-Key is malformed")
            }
            Self::Nobody => (StatusCode::FORBIDDEN, "caller-unknown", "Caller is unknown"),
            Self::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", "Body is too large"),
            Self::TooSlow(_) => (StatusCode::REQUEST_TIMEOUT, "body-too-slow", "Body is too slow"),
            Self::BrokenOff(_) => (StatusCode::BAD_REQUEST, "body-broken-off", "Body broke off"),
            Self::Held(Held::InFlight { .. } | Held::Lost) => {
                (StatusCode::CONFLICT, "idempotency-key-in-flight", "A request with this key is in flight")
            }
            Self::Held(Held::Mismatch) => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "idempotency-key-reused",
                "Idempotency-Key is already used",
            ),
            Self::Held(Held::Store(_)) => (UNAVAILABLE, "key-store-down", "Store of keys does not answer"),
            Self::Held(Held::Request(_)) | Self::Panicked => (FAILED, "handler-failed", "Handler failed"),
            Self::AnswerBroken => (FAILED, "answer-broken-off", "Answer broke off"),
        }
    }

    /// Seconds, where waiting helps.
    fn retry_after(&self) -> Option<u64> {
        match self {
            Self::Held(Held::InFlight { retry_after }) => {
                Some(retry_after.map_or(NO_LEASE, |after| {
                    after.as_millis().div_ceil(1_000).try_into().unwrap_or(NO_LEASE)
                }))
            }
            Self::Held(Held::Lost) => Some(1),
            Self::Held(Held::Store(_)) => Some(STORE),
            _ => None,
        }
    }

    /// The problem document, its type a page below `documentation`.
    pub(super) fn problem(&self, documentation: &str) -> Problem {
        let (status, slug, title) = self.kind();
        let detail = match self {
            // What exactly is wrong with the store is for its operator: `Keys` says it in the log.
            Self::Held(Held::Store(_)) => STORE_DOWN.to_owned(),
            other => SafeText::new(&other.to_string()).to_string(),
        };
        let problem = Problem::new(status, detail);
        let problem = problem.of_kind(format!("{documentation}#{slug}"), title);
        match self.retry_after() {
            Some(seconds) => problem.retry_after(seconds),
            None => problem,
        }
    }
}
