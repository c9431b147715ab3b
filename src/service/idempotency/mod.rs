//! A tower layer that lets a handler run once per `Idempotency-Key`, after the IETF draft "The Idempotency-Key HTTP
//! Header Field" (draft-ietf-httpapi-idempotency-key-header-07).
//!
//! ```text
//!  request ─▶ key ─▶ body, up to a cap ─▶ hash ─▶ ┌ a task of its own ───────────────────────┐
//!              │         │                        │ Keys::once ─▶ the handler ─▶ its answer │ ─▶ response
//!              400       413, 408                 └───── 409, 422, 503, or a replay ─────────┘
//! ```
//! - **The caller may go away**: once its body has arrived, the work runs to its end in a task of its own and the
//!   answer is stored for the retry. Bodies are read before, so that a stalled caller holds no key.
//! - **Same request**: method, path with query, and body have the same hash; JSON counts in canonical form, all else
//!   byte for byte (a multipart body only if its boundary is resent too). Trailers of a request are dropped.
//! - **What is stored** goes by status. 2xx and 3xx complete the key; 4xx are stored as its permanent error, but for
//!   401, 408, 409, 425 and 429, which may pass; those, 5xx and 1xx set it free. A handler that panics or fails counts
//!   as a 500: whatever it did before may be done again by the retry, as after a crash, only sooner.
//! - **Answers too large to store**, event streams and answers with trailers reach the caller whole as they are made,
//!   and the key is set free, which the log says: the next try runs again, so raise the cap where that matters. An
//!   answer that breaks off before it is stored becomes a 500 and frees the key. All other answers are stored first and
//!   sent then: what was sent is what is replayed.
//! - **A handler that never ends** keeps its key: put a time-out layer inside this one.

mod answer;
mod call;
mod header;
mod refusal;

use std::{sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes},
    http::{HeaderName, Method, StatusCode, request::Parts},
    response::Response,
};
use tokio_util::task::TaskTracker;
use tower::Layer;

use crate::engine::{
    idempotency::{Keys, Operation},
    key::Answer,
};

pub use call::Idempotency;

/// How a response ends the key it was made under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storing {
    /// Stored as the answer, replayed.
    Completed,
    /// Stored as the permanent error, replayed.
    Failed,
    /// Not stored: the key is free, the next try runs.
    Freed,
}

impl Storing {
    /// By what a status says about trying again.
    pub fn by_default(status: StatusCode) -> Self {
        match status.as_u16() {
            200..=399 => Self::Completed,
            401 | 408 | 409 | 425 | 429 => Self::Freed,
            400..=499 => Self::Failed,
            _ => Self::Freed,
        }
    }
}

/// What a request is answered whose work was done before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Replay {
    /// The stored answer, byte for byte.
    #[default]
    Stored,
    /// What the handler makes of it: it is called with [`Replayed`] among the request's extensions, skips the effect
    /// and answers the current state. A handler that does not look for [`Replayed`] runs its effect again. Stored
    /// errors are replayed as they are.
    Reread,
}

/// A request's extension under [`Replay::Reread`]: the effect was had before, and this was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replayed(pub Answer);

/// Protects the service inside it; see the module. Add it to a router with `Router::layer` or `route_layer`, inside
/// whatever authenticates callers.
///
/// ```
/// use std::time::Duration;
/// use axum::{Router, routing::post};
/// use redrive::{config::Retention, engine::idempotency::{Keys, Operation}, service::IdempotencyLayer};
/// use tokio_util::task::TaskTracker;
///
/// fn routes(keys: Keys, tracker: TaskTracker) -> Router {
///     let layer = IdempotencyLayer::new(keys, tracker)
///         .operations(|route| Operation::new(route).kept_for(Retention::PAYMENT))
///         .callers(|request| Some(request.headers.get("x-tenant")?.to_str().ok()?.to_owned()));
///     Router::new().route("/payments", post(async || "charged")).layer(layer)
/// }
/// ```
#[derive(Clone)]
pub struct IdempotencyLayer(Rules);

/// Whether a request is meant; which operation a route is; who asks; what a status does to its key.
type Meant = Arc<dyn Fn(&Parts) -> bool + Send + Sync>;
type Operations = Arc<dyn Fn(&str) -> Operation + Send + Sync>;
type Callers = Arc<dyn Fn(&Parts) -> Option<String> + Send + Sync>;
type Storings = Arc<dyn Fn(StatusCode) -> Storing + Send + Sync>;

#[derive(Clone)]
struct Rules {
    keys: Keys,
    tracker: TaskTracker,
    required: bool,
    methods: Vec<Method>,
    meant: Meant,
    operations: Operations,
    callers: Option<Callers>,
    headers: Vec<HeaderName>,
    storing: Storings,
    replay: Replay,
    max_body: usize,
    body_timeout: Duration,
    max_answer: usize,
    documentation: String,
}

impl IdempotencyLayer {
    /// With the draft's rules: `POST` and `PATCH` need a key, bodies and stored answers have at most 1 MiB, a body
    /// arrives within 30 s. Work runs on `tracker`: wait for it before the process ends.
    pub fn new(keys: Keys, tracker: TaskTracker) -> Self {
        Self(Rules {
            keys,
            tracker,
            required: true,
            methods: vec![Method::POST, Method::PATCH],
            meant: Arc::new(|_| true),
            operations: Arc::new(|route| Operation::new(route)),
            callers: None,
            headers: answer::STORED.to_vec(),
            storing: Arc::new(Storing::by_default),
            replay: Replay::Stored,
            max_body: 1_024 * 1_024,
            body_timeout: Duration::from_secs(30),
            max_answer: 1_024 * 1_024,
            documentation: refusal::DOCUMENTATION.to_owned(),
        })
    }

    /// The same where requests without a key are let through, unprotected.
    #[must_use]
    pub fn optional(mut self) -> Self {
        self.0.required = false;
        self
    }

    /// The same for these methods; all others are let through.
    #[must_use]
    pub fn methods(mut self, methods: impl IntoIterator<Item = Method>) -> Self {
        self.0.methods = methods.into_iter().collect();
        self
    }

    /// The same for requests that `meant` says yes to; all others are let through.
    #[must_use]
    pub fn only(mut self, meant: impl Fn(&Parts) -> bool + Send + Sync + 'static) -> Self {
        self.0.meant = Arc::new(meant);
        self
    }

    /// The same for these paths and what is below them: `/payments` means `/payments/7`, not `/payments-old`.
    #[must_use]
    pub fn paths<P: Into<String>>(self, paths: impl IntoIterator<Item = P>) -> Self {
        let paths: Vec<String> =
            paths.into_iter().map(|p| p.into().trim_end_matches('/').to_owned()).collect();
        self.only(move |request| {
            let asked = call::target(request).path();
            let below = |rest: &str| rest.is_empty() || rest.starts_with('/');
            paths.iter().any(|path| asked.strip_prefix(path.as_str()).is_some_and(below))
        })
    }

    /// The same with an operation for each route, which names its keys, lease and retention. A route reads
    /// `POST /payments/{id}` where axum matched one, else `POST *`; by default that is the operation's name. A
    /// constant name, `|_| Operation::new("payments.charge")`, survives a renamed path.
    #[must_use]
    pub fn operations(mut self, operations: impl Fn(&str) -> Operation + Send + Sync + 'static) -> Self {
        self.0.operations = Arc::new(operations);
        self
    }

    /// The same with keys that belong to callers: `caller` names the tenant or account that authentication found, never
    /// a secret, since it is stored in the key. Two callers may then use one key, and neither is answered what the
    /// other was. Requests with a key and without a name are refused. Needed wherever callers do not trust each other:
    /// without it, whoever sends another's key with the very same request is answered as the other was.
    #[must_use]
    pub fn callers(mut self, caller: impl Fn(&Parts) -> Option<String> + Send + Sync + 'static) -> Self {
        self.0.callers = Some(Arc::new(caller));
        self
    }

    /// The same storing these headers of an answer, which are by default those about the body and `location`, `link`,
    /// `etag` and `last-modified`. Cookies and headers of a connection are never stored, even if named here.
    #[must_use]
    pub fn headers(mut self, headers: impl IntoIterator<Item = HeaderName>) -> Self {
        self.0.headers = headers.into_iter().filter(answer::storable).collect();
        self
    }

    /// The same where `storing` says what a status does to its key, instead of [`Storing::by_default`].
    #[must_use]
    pub fn storing(mut self, storing: impl Fn(StatusCode) -> Storing + Send + Sync + 'static) -> Self {
        self.0.storing = Arc::new(storing);
        self
    }

    /// The same, answering work that was done before by `replay`.
    #[must_use]
    pub fn replay(mut self, replay: Replay) -> Self {
        self.0.replay = replay;
        self
    }

    /// The same for request bodies of at most `bytes`; larger ones are refused with 413.
    #[must_use]
    pub fn max_body(mut self, bytes: usize) -> Self {
        self.0.max_body = bytes;
        self
    }

    /// The same where a body must arrive within `limit`, else 408.
    #[must_use]
    pub fn body_timeout(mut self, limit: Duration) -> Self {
        self.0.body_timeout = limit;
        self
    }

    /// The same, storing answers of at most `bytes`.
    #[must_use]
    pub fn max_answer(mut self, bytes: usize) -> Self {
        self.0.max_answer = bytes;
        self
    }

    /// The same where problem types lead to `page`, a URI: each is `PAGE#idempotency-key-missing` and the like.
    #[must_use]
    pub fn documented_at(mut self, page: impl Into<String>) -> Self {
        self.0.documentation = page.into();
        self
    }
}

impl IdempotencyLayer {
    /// A request's whole body, for whoever needs it before the key is asked for; or why it is refused.
    pub(super) async fn arrived(&self, head: &Parts, body: Body) -> Result<Bytes, Response> {
        self.0.body(body).await.map_err(|refusal| self.0.refused_unread(&refusal, head.version))
    }
}

impl<S> Layer<S> for IdempotencyLayer {
    type Service = Idempotency<S>;

    fn layer(&self, inner: S) -> Idempotency<S> {
        Idempotency::new(inner, Arc::new(self.0.clone()))
    }
}
