//! Stand-ins for GitHub, Terraform Cloud and a notification webhook, on one loopback listener.
//!
//! ```text
//!   /github/…  GitHub REST            ┐
//!   /tfc/…     Terraform Cloud        ├ auth → faults → answer; every effect into the ledger
//!   /notify    the webhook            ┘
//!   /_ledger   GET  effects, what stands now, requests by caller
//!   /_faults   GET, PUT  what is wrong, by operation
//! ```
//! They follow the published schemas and their quirks (Link paging, truncated trees, base64 with line breaks, JSON:API
//! paging, 403 rate limits, 422 "Hook already exists on this repository"), and know nothing of the pipeline.

mod answer;
mod control;
mod door;
pub mod fault;
mod github;
pub mod ledger;
mod notify;
pub mod repository;
mod terraform_cloud;

use std::{io, net::SocketAddr, sync::Arc};

use axum::{Router, middleware};
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub(super) use self::{answer::lost, repository::STUBBORN};
use self::{fault::Faults, ledger::Ledger};
use crate::config;

/// How the stand-ins are set up.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The token GitHub wants; `None`: none is asked for.
    pub github_token: Option<String>,
    /// The token Terraform Cloud wants; `None`: none is asked for.
    pub tfc_token: Option<String>,
    /// Seed of the chances in faults.
    pub seed: u64,
}

/// The stand-ins.
pub struct Upstreams;

/// The stand-ins while they run, until their cancellation token is cancelled.
#[derive(Clone)]
pub struct Running {
    /// Where they listen.
    pub addr: SocketAddr,
    /// What was done to them.
    pub ledger: Arc<Ledger>,
    /// What is wrong with them.
    pub faults: Arc<Faults>,
}

/// What every handler shares.
#[derive(Clone)]
struct Standing {
    options: Arc<Options>,
    ledger: Arc<Ledger>,
    faults: Arc<Faults>,
    shutdown: CancellationToken,
}

impl Upstreams {
    /// Listens on `listen` (port 0: any free one) and serves on `tasks` until `shutdown`.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub async fn start(
        listen: SocketAddr,
        options: Options,
        tasks: &TaskTracker,
        shutdown: CancellationToken,
    ) -> io::Result<Running> {
        let listener = TcpListener::bind(listen).await?;
        let running = Running {
            addr: listener.local_addr()?,
            ledger: Arc::new(Ledger::default()),
            faults: Arc::new(Faults::seeded(options.seed)),
        };
        let standing = Standing {
            options: Arc::new(options),
            ledger: Arc::clone(&running.ledger),
            faults: Arc::clone(&running.faults),
            shutdown: shutdown.clone(),
        };
        let app = router(standing);
        tasks.spawn(async move {
            let serving = axum::serve(listener, app).with_graceful_shutdown(shutdown.cancelled_owned());
            if let Err(error) = serving.await {
                tracing::error!(%error, "the stand-ins stopped serving");
            }
        });
        Ok(running)
    }
}

impl Running {
    /// The settings that lead a pipeline here.
    pub fn settings(&self) -> config::Upstreams {
        let base = format!("http://{}", self.addr);
        config::Upstreams {
            github_url: format!("{base}/github"),
            tfc_url: format!("{base}/tfc"),
            notify_url: Some(format!("{base}/notify")),
            callback_url: format!("{base}/callback"),
            ..config::Upstreams::default()
        }
    }
}

fn router(standing: Standing) -> Router {
    let guarded = Router::new()
        .nest("/github", github::routes())
        .nest("/tfc", terraform_cloud::routes())
        .nest("/notify", notify::routes())
        .fallback(answer::no_such_path)
        .layer(middleware::from_fn_with_state(standing.clone(), door::guard));
    guarded.merge(control::routes()).with_state(standing)
}
