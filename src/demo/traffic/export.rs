//! A metrics page: as HTTP clients without protection export it, `http_client_requests_total`, or as we do.

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, routing::get};
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    demo::ANYWHERE,
    engine::observer::{AttemptKind, CallAttemptOutcome, Observer},
};

/// What renders a page.
pub(crate) type Page = Arc<dyn Fn() -> String + Send + Sync>;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    operation: String,
    attempt: &'static str,
    outcome: &'static str,
}

/// What an unprotected HTTP client counts: its attempts, and nothing else.
pub(super) struct HttpClient {
    requests: Family<Labels, Counter>,
    registry: Registry,
}

impl HttpClient {
    pub(super) fn new() -> Self {
        let requests = Family::<Labels, Counter>::default();
        let mut registry = Registry::default();
        registry.register("http_client_requests", "Requests sent, by attempt and outcome", requests.clone());
        Self { requests, registry }
    }

    pub(super) fn encode(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _: fmt::Result = encode(&mut text, &self.registry);
        text
    }
}

impl Observer for HttpClient {
    fn attempt_ended(&self, operation: &str, kind: AttemptKind, outcome: CallAttemptOutcome, _: Duration) {
        let labels = Labels {
            operation: operation.to_owned(),
            attempt: kind.as_str(),
            outcome: if outcome == CallAttemptOutcome::Success { "success" } else { "failure" },
        };
        self.requests.get_or_create(&labels).inc();
    }
}

/// Serves `page` as `/metrics` until `cancel`; answers where.
///
/// # Errors
/// When there is no port.
pub(crate) async fn serve(
    page: Page,
    tracker: &TaskTracker,
    cancel: &CancellationToken,
) -> std::io::Result<SocketAddr> {
    let app = Router::new().route("/metrics", get(move || std::future::ready(page())));
    listen(app, tracker, cancel).await
}

/// Serves `app` on any port of loopback until `cancel`; answers where.
pub(crate) async fn listen(
    app: Router,
    tracker: &TaskTracker,
    cancel: &CancellationToken,
) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind(ANYWHERE).await?;
    let address = listener.local_addr()?;
    let stop = cancel.clone();
    tracker.spawn(async move {
        let serving = axum::serve(listener, app).with_graceful_shutdown(stop.cancelled_owned());
        if let Err(error) = serving.await {
            tracing::error!(%error, "a part of the demo serves no more");
        }
    });
    Ok(address)
}
