//! A worker process: the worker, its circuits, its metrics and its HTTP service, wired together.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{IdempotencyLayer, Service, ServiceError, Shedding, intake};
use crate::{
    clock::Random,
    config::{self, Retention},
    domain::id::WorkerId,
    engine::{
        Engine,
        call::Calls,
        idempotency::{Keys, Operation},
        injection::Injections,
        observer::Observer,
        policies::Policies,
        store::Store,
        sweeper,
        worker::Worker,
    },
    http::HttpError,
    metrics::export::Metrics,
    onboarding::{Clients, Pipeline, pipeline::OPERATIONS},
};

/// How often keys whose retention is over are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// What a worker process is made of.
pub struct Process {
    /// Its name.
    pub worker: WorkerId,
    /// Where its work is.
    pub store: Arc<dyn Store>,
    /// Where triggers go.
    pub engine: Engine,
    /// How it behaves.
    pub config: config::Engine,
    /// How everything is tried, in real time.
    pub policies: Policies,
    /// When it turns triggers away.
    pub intake: config::Intake,
    /// Whom its pipeline talks to.
    pub upstreams: config::Upstreams,
    /// Where it listens.
    pub listen: SocketAddr,
    /// What callers of its intake must send.
    pub token: Option<String>,
    /// Faults for its steps.
    pub injections: Arc<Injections>,
}

/// Why a worker process does not start.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// Its HTTP service.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// Its HTTP client.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// Its listener.
    #[error("the listener has no address: {0}")]
    Address(std::io::Error),
}

impl Process {
    /// Starts it; it stops at `shutdown`, finishing the steps in hand. Answers where it listens.
    ///
    /// # Errors
    /// When it cannot listen, or cannot build an HTTP client.
    pub async fn start(
        self,
        tracker: &TaskTracker,
        shutdown: &CancellationToken,
    ) -> Result<SocketAddr, ProcessError> {
        let metrics = Arc::new(Metrics::new());
        let observer: Arc<dyn Observer> = metrics.clone();
        let policies = self.policies.scaled(self.config.time_factor);
        let pipeline = Pipeline::new(Clients::new(&self.upstreams, policies.longest_call())?);
        let calls = Calls::new(policies, Arc::clone(&observer));
        calls.expect(&OPERATIONS);
        let retention = self.config.retention.of(intake::OPERATION, Retention::REQUEST);
        let operation = Operation::new(intake::OPERATION).leased_for(self.config.lease).kept_for(retention);
        let keys = Keys::new(self.engine.keys(), self.worker.as_str()).observed_by(Arc::clone(&observer));
        let keys = IdempotencyLayer::new(keys, tracker.clone()).operations(move |_| operation.clone());
        let worker = Worker::new(
            self.worker,
            self.store,
            vec![self.injections.around_workflow(Arc::new(pipeline))],
            calls,
            self.config,
            Random::system(),
        );
        let service = Arc::new(Service {
            keys,
            shedding: Shedding::new(&self.intake, worker.backlog()),
            intake: self.intake,
            observer,
            engine: self.engine,
            metrics: Arc::new(move || metrics.encode()),
            token: self.token,
        });
        let keys = service.engine.keys();
        let listener = service.listen(self.listen).await?;
        let address = listener.local_addr().map_err(ProcessError::Address)?;
        let worker = worker.with_metrics_at(format!("http://{address}/metrics"));
        tracker.spawn(Arc::new(worker).run(shutdown.clone()));
        tracker.spawn(sweeper::run(keys, SWEEP_EVERY, shutdown.clone()));
        let stop = shutdown.clone();
        tracker.spawn(async move {
            if let Err(error) = service.serve(listener, async move { stop.cancelled().await }).await {
                tracing::error!(%error, "the HTTP service ended");
            }
        });
        Ok(address)
    }
}
