//! Services whose requests are calls of a policy.

use std::{
    fmt,
    future::Future,
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tower::{Layer, Service, ServiceExt as _};

use super::{
    caller::Caller,
    protocol::{Http, Plain, Protocol},
};
use crate::{
    domain::fault::FaultClass,
    resilience::{
        classify::Classify,
        policy::{Allowance, Failure, Policy, Real, Stopped, Time},
    },
};

/// Makes each request a call of a policy, with as many attempts as it takes and may take; see the module.
///
/// The last answer is handed on even where it is a failure, so that its body can be read. That the service inside gets
/// ready is part of an attempt: a connection that cannot be had is a failure like another.
///
/// ```
/// use std::{convert::Infallible, sync::Arc};
/// use http::{Request, Response};
/// use redrive::resilience::{layer::RetryLayer, policy::{Policy, Settings}};
/// use tower::{ServiceBuilder, ServiceExt};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let policy = Arc::new(Policy::new("ledger.book", Settings::default())?);
/// let ledger = tower::service_fn(async |_: Request<String>| Ok::<_, Infallible>(Response::new("booked")));
/// let client = ServiceBuilder::new().layer(RetryLayer::http(policy)).service(ledger);
/// assert_eq!(client.oneshot(Request::new("100".to_owned())).await?.into_body(), "booked");
/// # Ok(())
/// # }
/// ```
pub type RetryLayer<P = Http, T = Real> = PolicyLayer<Again, P, T>;

/// Makes each request a call of a policy with one attempt: its circuit, its timeout, its deadline. Requests need not be
/// clonable. Where both layers share a policy they share its circuit; around one another, each needs its own.
pub type CircuitLayer<P = Http, T = Real> = PolicyLayer<Once, P, T>;

/// A service that tries again; made by a [`RetryLayer`].
pub type Retry<S, P = Http, T = Real> = Guarded<Again, S, P, T>;

/// A service behind a circuit; made by a [`CircuitLayer`].
pub type Circuit<S, P = Http, T = Real> = Guarded<Once, S, P, T>;

/// Says of a layer that it tries again.
#[derive(Debug, Clone, Copy)]
pub enum Again {}

/// Says of a layer that it tries once.
#[derive(Debug, Clone, Copy)]
pub enum Once {}

/// What [`RetryLayer`] and [`CircuitLayer`] have in common.
pub struct PolicyLayer<M, P, T = Real> {
    policy: Arc<Policy<T>>,
    protocol: P,
    tries: PhantomData<M>,
}

impl<M, T> PolicyLayer<M, Http, T> {
    /// For HTTP.
    pub fn http(policy: Arc<Policy<T>>) -> Self {
        Self::of(policy, Http)
    }
}

impl<M, T> PolicyLayer<M, Plain, T> {
    /// For any service, by its errors alone.
    pub fn plain(policy: Arc<Policy<T>>) -> Self {
        Self::of(policy, Plain)
    }
}

impl<M, P, T> PolicyLayer<M, P, T> {
    /// For another protocol.
    pub fn of(policy: Arc<Policy<T>>, protocol: P) -> Self {
        Self { policy, protocol, tries: PhantomData }
    }
}

impl<M, P: Clone, T> Clone for PolicyLayer<M, P, T> {
    fn clone(&self) -> Self {
        Self::of(Arc::clone(&self.policy), self.protocol.clone())
    }
}

impl<M, P: fmt::Debug, T: fmt::Debug> fmt::Debug for PolicyLayer<M, P, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PolicyLayer").field(&self.policy).field(&self.protocol).finish()
    }
}

impl<S, M, P: Clone, T> Layer<S> for PolicyLayer<M, P, T> {
    type Service = Guarded<M, S, P, T>;

    fn layer(&self, inner: S) -> Self::Service {
        Guarded { inner, layer: self.clone() }
    }
}

/// What [`Retry`] and [`Circuit`] have in common.
pub struct Guarded<M, S, P, T = Real> {
    inner: S,
    layer: PolicyLayer<M, P, T>,
}

impl<M, S: Clone, P: Clone, T> Clone for Guarded<M, S, P, T> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), layer: self.layer.clone() }
    }
}

impl<M, S: fmt::Debug, P: fmt::Debug, T: fmt::Debug> fmt::Debug for Guarded<M, S, P, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guarded").field("inner", &self.inner).field("layer", &self.layer).finish()
    }
}

/// The future of both: the answer, a failed one included, or why there is none.
type Made<A, E> = Pin<Box<dyn Future<Output = Result<A, Stopped<E>>> + Send>>;

impl<S, Q, P, T> Service<Q> for Retry<S, P, T>
where
    S: Service<Q> + Clone + Send + 'static,
    S::Future: Send,
    S::Response: Send,
    S::Error: Classify + Send,
    Q: Clone + Send + 'static,
    P: Protocol<Q, S::Response>,
    T: Time + 'static,
{
    type Response = S::Response;
    type Error = Stopped<S::Error>;
    type Future = Made<S::Response, S::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Q) -> Self::Future {
        let (caller, inner) = (Caller::current(), self.inner.clone());
        let mut allowance = caller.allowance();
        if !self.layer.protocol.repeatable(&request) {
            allowance.attempts = 1;
        }
        let each = move || (inner.clone(), request.clone());
        Box::pin(make(self.layer.clone(), caller, allowance, each))
    }
}

impl<S, Q, P, T> Service<Q> for Circuit<S, P, T>
where
    S: Service<Q> + Clone + Send + 'static,
    S::Future: Send,
    S::Response: Send,
    S::Error: Classify + Send,
    Q: Send + 'static,
    P: Protocol<Q, S::Response>,
    T: Time + 'static,
{
    type Response = S::Response;
    type Error = Stopped<S::Error>;
    type Future = Made<S::Response, S::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Q) -> Self::Future {
        let caller = Caller::current();
        let allowance = Allowance { attempts: 1, ..caller.allowance() };
        let mut only = Some((self.inner.clone(), request));
        let each = move || only.take().expect("a call with one attempt is made once");
        Box::pin(make(self.layer.clone(), caller, allowance, each))
    }
}

/// One call; `each` gives what an attempt is made of.
async fn make<M, S, Q, P, T>(
    layer: PolicyLayer<M, P, T>,
    caller: Caller,
    allowance: Allowance,
    mut each: impl FnMut() -> (S, Q),
) -> Result<S::Response, Stopped<S::Error>>
where
    S: Service<Q>,
    S::Error: Classify,
    P: Protocol<Q, S::Response>,
    T: Time,
{
    let PolicyLayer { policy, protocol, .. } = layer;
    let made = policy.run_within(allowance, |attempt| {
        let (service, mut request) = each();
        protocol.tell(&mut request, caller.counted(attempt.number), attempt.limit);
        let protocol = &protocol;
        async move {
            let answer = service.oneshot(request).await.map_err(Failed::Error)?;
            match protocol.check(&answer) {
                Ok(()) => Ok(answer),
                Err(fault) => Err(Failed::Answer(answer, fault)),
            }
        }
    });
    let stopped = match made.await {
        Ok(answer) => return Ok(answer),
        Err(stopped) => stopped,
    };
    caller.heard(&stopped);
    let Stopped { operation, reason, attempts, last } = stopped;
    let last = match last {
        Some(Failure::Error(Failed::Answer(mut answer, _))) => {
            if attempts > 1 {
                protocol.push_back(&mut answer);
            }
            return Ok(answer);
        }
        Some(Failure::Error(Failed::Error(error))) => Some(Failure::Error(error)),
        Some(Failure::TimedOut(after)) => Some(Failure::TimedOut(after)),
        None => None,
    };
    Err(Stopped { operation, reason, attempts, last })
}

/// How an attempt failed: with an answer that is a failure, or without.
enum Failed<A, F, E> {
    Answer(A, F),
    Error(E),
}

impl<A, F: Classify, E: Classify> Failed<A, F, E> {
    fn said(&self) -> &dyn Classify {
        match self {
            Self::Answer(_, fault) => fault,
            Self::Error(error) => error,
        }
    }
}

impl<A, F: Classify, E: Classify> Classify for Failed<A, F, E> {
    fn class(&self) -> FaultClass {
        self.said().class()
    }

    fn retry_after(&self) -> Option<Duration> {
        self.said().retry_after()
    }

    fn throttled(&self) -> bool {
        self.said().throttled()
    }

    fn pushed_back(&self) -> bool {
        self.said().pushed_back()
    }
}
