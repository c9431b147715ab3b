//! Who asked: what the request being served says of itself, for the calls that are made to serve it.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Instant,
};

use ::http::{HeaderMap, Request, Response};
use tower::{Layer, Service};

use super::header;
use crate::{
    clock,
    resilience::policy::{Allowance, Attempt, Reason, Stopped},
};

tokio::task_local! {
    static CURRENT: Caller;
}

/// The caller of the request being served; clones are the same one. The default one is nobody: a first attempt that
/// is waited for as long as it takes.
#[derive(Debug, Clone)]
pub struct Caller {
    attempt: u32,
    until: Option<Instant>,
    pushed_back: Arc<AtomicBool>,
}

impl Default for Caller {
    fn default() -> Self {
        Self { attempt: 1, until: None, pushed_back: Arc::default() }
    }
}

impl Caller {
    /// What a request that came at `now` says. From outside: see [`ATTEMPT`](super::ATTEMPT) and
    /// [`TIMEOUT`](super::TIMEOUT).
    pub fn read(headers: &HeaderMap, now: Instant) -> Self {
        let until = header::timeout(headers).and_then(|timeout| now.checked_add(timeout));
        Self { attempt: header::attempt(headers), until, ..Self::default() }
    }

    /// The caller that this task works for.
    pub fn current() -> Self {
        CURRENT.try_with(Clone::clone).unwrap_or_default()
    }

    /// Does `work` for this caller: the layers used in it know.
    pub async fn scope<F: Future>(self, work: F) -> F::Output {
        CURRENT.scope(self, work).await
    }

    /// Which attempt of somebody's this is, from 1.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// When it stops waiting.
    pub fn until(&self) -> Option<Instant> {
        self.until
    }

    /// What it leaves the calls made for it: one attempt where it is a retry itself, and its time.
    pub fn allowance(&self) -> Allowance {
        let attempts = if self.attempt > 1 { 1 } else { u32::MAX };
        Allowance { attempts, until: self.until }
    }

    /// What a request says that is `attempt` of a call made for it. A retry stays one all the way down.
    pub fn headers(&self, attempt: Attempt) -> HeaderMap {
        let mut headers = HeaderMap::new();
        header::tell(&mut headers, self.counted(attempt.number), attempt.limit);
        headers
    }

    /// Tells it not to try again, should the answer be a failure.
    pub fn push_back(&self) {
        self.pushed_back.store(true, Ordering::Relaxed);
    }

    /// Tells it not to try again what ended so, if more of the same would come of it.
    pub fn heard<E>(&self, stopped: &Stopped<E>) {
        if stopped.attempts > 1
            || matches!(
                stopped.reason,
                Reason::PushedBack | Reason::Budget(_) | Reason::Circuit(_) | Reason::Bulkhead
            )
        {
            self.push_back();
        }
    }

    /// Attempt `number` of a call made for it, counted over everybody who tried.
    pub(super) fn counted(&self, number: u32) -> u32 {
        self.attempt.saturating_add(number - 1)
    }
}

/// Reads who asks, for the service inside it; see the module.
///
/// The handler finds the [`Caller`] among the request's extensions, with axum as `Extension<Caller>`.
#[derive(Debug, Clone, Copy, Default)]
pub struct CallerLayer;

impl<S> Layer<S> for CallerLayer {
    type Service = Calls<S>;

    fn layer(&self, inner: S) -> Calls<S> {
        Calls { inner }
    }
}

/// A service that knows who asks; made by a [`CallerLayer`].
#[derive(Debug, Clone)]
pub struct Calls<S> {
    inner: S,
}

impl<S, B, R> Service<Request<B>> for Calls<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<R>, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let caller = Caller::read(request.headers(), clock::instant());
        request.extensions_mut().insert(caller.clone());
        let answer = CURRENT.sync_scope(caller.clone(), || self.inner.call(request));
        Box::pin(async move {
            let mut answer = caller.clone().scope(answer).await?;
            let failed = answer.status().is_client_error() || answer.status().is_server_error();
            if failed && caller.pushed_back.load(Ordering::Relaxed) {
                header::push_back(answer.headers_mut());
            }
            Ok(answer)
        })
    }
}
