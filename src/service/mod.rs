//! What a worker serves over HTTP: the intake, its metrics and a sign of health. Every refusal is a problem document.

pub mod idempotency;
mod intake;
mod problem;
pub mod process;
mod shed;

use std::{
    future::{Future, IntoFuture as _},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    extract::{DefaultBodyLimit, State},
    http::{StatusCode, header},
    middleware,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use tokio::{net::TcpListener, sync::Notify};

use crate::{
    clock,
    engine::{Engine, observer::Observer},
};

pub use idempotency::IdempotencyLayer;
pub use problem::Problem;
pub use shed::Shedding;

/// How long requests in hand may take to finish once the service stops; a caller who sends nothing more is not waited for.
const GRACE: Duration = Duration::from_secs(10);
/// Bodies over this many bytes are refused.
const MAX_BODY: usize = 64 * 1_024;

/// What the service needs.
pub struct Service {
    /// Where triggers go.
    pub engine: Engine,
    /// The intake's keys.
    pub keys: IdempotencyLayer,
    /// When the intake turns triggers away.
    pub shedding: Shedding,
    /// Hears of it.
    pub observer: Arc<dyn Observer>,
    /// Renders the metrics page.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// What callers off loopback must send as a bearer token.
    pub token: Option<String>,
}

/// Why the service does not listen.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// Anybody could trigger onboardings.
    #[error(
        "refusing to listen on {0}, which is not loopback, without a token: set REDRIVE_TOKEN, or listen on 127.0.0.1"
    )]
    Unprotected(SocketAddr),
    /// The address cannot be had.
    #[error("cannot listen on {address}: {why}; choose another with --listen ADDR")]
    Listen {
        /// Asked for.
        address: SocketAddr,
        /// The system's reason.
        why: std::io::Error,
    },
}

impl Service {
    /// Takes the address, without serving yet.
    ///
    /// # Errors
    /// When it is taken, or off loopback without a token.
    pub async fn listen(&self, address: SocketAddr) -> Result<TcpListener, ServiceError> {
        if !address.ip().is_loopback() && self.token.as_deref().is_none_or(str::is_empty) {
            return Err(ServiceError::Unprotected(address));
        }
        TcpListener::bind(address).await.map_err(|why| ServiceError::Listen { address, why })
    }

    /// Serves until `shutdown`, then lets requests in hand finish, but not for ever.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn serve(
        self: Arc<Self>,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> std::io::Result<()> {
        let stopping = Arc::new(Notify::new());
        let told = Arc::clone(&stopping);
        let shutdown = async move {
            shutdown.await;
            told.notify_one();
        };
        let serving = axum::serve(listener, self.router()).with_graceful_shutdown(shutdown).into_future();
        let patience = async {
            stopping.notified().await;
            clock::sleep(GRACE).await;
        };
        tokio::select! {
            served = serving => served,
            () = patience => {
                tracing::warn!("callers who had not finished their requests are cut off");
                Ok(())
            }
        }
    }

    fn router(self: Arc<Self>) -> Router {
        // The last layer added is the first to be met: token, shedding, key, handler.
        let shed = middleware::from_fn_with_state(Arc::clone(&self), shed::shed);
        let keys = self.keys.clone().optional().max_body(MAX_BODY);
        let protected = Router::new()
            .route("/onboardings", post(intake::trigger).route_layer(keys).route_layer(shed))
            .route("/onboardings/{id}", get(intake::show))
            .route_layer(middleware::from_fn_with_state(Arc::clone(&self), problem::require_token));
        Router::new()
            .merge(protected)
            .route("/metrics", get(metrics))
            .route("/healthz", get(healthz))
            .fallback(|| async {
                Problem::new(StatusCode::NOT_FOUND, "no such path: try /onboardings, /metrics or /healthz")
            })
            .method_not_allowed_fallback(|| async {
                let detail =
                    "no such method here: POST /onboardings, GET /onboardings/{id}, /metrics or /healthz";
                Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail)
            })
            .layer(DefaultBodyLimit::max(MAX_BODY))
            .with_state(self)
    }
}

async fn metrics(State(service): State<Arc<Service>>) -> Response {
    let kind = crate::metrics::export::CONTENT_TYPE;
    ([(header::CONTENT_TYPE, kind)], (service.metrics)()).into_response()
}

async fn healthz(State(service): State<Arc<Service>>) -> Response {
    match service.engine.reader().read(&crate::engine::reader::Query::default()).await {
        Ok(_) => "ok\n".into_response(),
        Err(error) => Problem::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string()).into_response(),
    }
}
