//! What a worker serves over HTTP/1: the intake, its metrics and signs of health. Every refusal is a problem document.
//!
//! ```text
//!  connection ─▶ serve: heads in time ─▶ guard: asked by its own name ─▶ /livez, /readyz, /metrics
//!                                                                     └─▶ token ─▶ guard: no web page, JSON ─▶ shed: body
//!                                                                         in time, then a place ─▶ key ─▶ intake
//! ```

mod guard;
mod health;
pub mod idempotency;
mod intake;
mod problem;
pub mod process;
mod serve;
mod shed;

use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};

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
    clock, config,
    engine::{Engine, observer::Observer},
};
use health::Readiness;

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
    /// How long requests may take to arrive, and by which names the worker is asked.
    pub intake: config::Intake,
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
        let within = self.intake.header_timeout;
        let router = self.router(listener.local_addr()?);
        let serving = serve::serve(listener, router, within, shutdown);
        let patience = async {
            stopping.notified().await;
            clock::sleep(GRACE).await;
        };
        tokio::select! {
            () = serving => Ok(()),
            () = patience => {
                tracing::warn!("callers who had not finished their requests are cut off");
                Ok(())
            }
        }
    }

    fn router(self: Arc<Self>, address: SocketAddr) -> Router {
        // The last layer added is the first to be met: token, guard, shedding, key, handler.
        let keys = self.keys.clone().optional().max_body(MAX_BODY).body_timeout(self.intake.body_timeout);
        let shed = middleware::from_fn_with_state((Arc::clone(&self), keys.clone()), shed::shed);
        let json = middleware::from_fn(guard::json);
        let protected = Router::new()
            .route(
                "/onboardings",
                post(intake::trigger).route_layer(keys).route_layer(shed).route_layer(json),
            )
            .route("/onboardings/{id}", get(intake::show))
            .route_layer(middleware::from_fn(guard::no_web_page))
            .route_layer(middleware::from_fn_with_state(Arc::clone(&self), problem::require_token));
        let readiness = Arc::new(Readiness::new(Arc::clone(self.engine.reader())));
        let names = address.ip().is_loopback().then(|| self.intake.allowed_hosts.clone());
        let names = middleware::from_fn_with_state(names.map(Arc::new), guard::asked_by_its_name);
        Router::new()
            .merge(protected)
            .route("/metrics", get(metrics))
            .route("/livez", get(health::livez))
            .route("/readyz", get(health::readyz).with_state(Arc::clone(&readiness)))
            .route("/healthz", get(health::readyz).with_state(readiness))
            .fallback(|| async {
                let detail = "no such path: try /onboardings, /metrics, /livez or /readyz";
                Problem::new(StatusCode::NOT_FOUND, detail)
            })
            .method_not_allowed_fallback(|| async {
                let detail =
                    "no such method here: POST /onboardings, GET /onboardings/{id}, /metrics, /livez or /readyz";
                Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail)
            })
            .layer(DefaultBodyLimit::max(MAX_BODY))
            .layer(names)
            .with_state(self)
    }
}

async fn metrics(State(service): State<Arc<Service>>) -> Response {
    let kind = crate::metrics::export::CONTENT_TYPE;
    ([(header::CONTENT_TYPE, kind)], (service.metrics)()).into_response()
}
