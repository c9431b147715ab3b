//! What a layer must know of a kind of call: whether it may be made twice, what it tells, what its answer means.

use std::time::Duration;

use ::http::{HeaderMap, Method, Request, Response, StatusCode, header::RETRY_AFTER};

use super::header;
use crate::{
    clock,
    domain::fault::{Fault, FaultClass},
    resilience::{
        classify::{self, Classify},
        retry_after,
    },
};

/// How requests `Q` are told about their attempt, and answers `A` are read.
pub trait Protocol<Q, A>: Clone + Send + Sync + 'static {
    /// What makes an answer a failure.
    type Fault: Classify + Send;

    /// Whether the request may be made twice.
    fn repeatable(&self, request: &Q) -> bool;

    /// Tells the other side which attempt this is, and for how long its answer is awaited.
    fn tell(&self, request: &mut Q, attempt: u32, limit: Duration);

    /// Whether an answer is one.
    ///
    /// # Errors
    /// What it says when it is a failure.
    fn check(&self, answer: &A) -> Result<(), Self::Fault>;

    /// Says on a failure that is handed on that it was tried again here already.
    fn push_back(&self, answer: &mut A);
}

/// Any service: every request may be made twice, every answer is a success, and its error says what it is.
#[derive(Debug, Clone, Copy, Default)]
pub struct Plain;

impl<Q, A> Protocol<Q, A> for Plain {
    type Fault = std::convert::Infallible;

    fn repeatable(&self, _: &Q) -> bool {
        true
    }

    fn tell(&self, _: &mut Q, _: u32, _: Duration) {}

    fn check(&self, _: &A) -> Result<(), Self::Fault> {
        Ok(())
    }

    fn push_back(&self, _: &mut A) {}
}

/// HTTP: answers are read by status, `Retry-After`, `x-ratelimit-remaining` and `x-should-retry`; bodies are not.
///
/// What may be made twice: by its method (not `POST`, `PATCH`, `CONNECT` or what is unknown), or because it carries an
/// `Idempotency-Key`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Http;

impl<B, R> Protocol<Request<B>, Response<R>> for Http {
    type Fault = HttpFault;

    fn repeatable(&self, request: &Request<B>) -> bool {
        request.method().is_idempotent() && *request.method() != Method::CONNECT
            || request.headers().contains_key("idempotency-key")
    }

    fn tell(&self, request: &mut Request<B>, attempt: u32, limit: Duration) {
        header::tell(request.headers_mut(), attempt, limit);
    }

    fn check(&self, answer: &Response<R>) -> Result<(), HttpFault> {
        HttpFault::check(answer.status(), answer.headers())
    }

    fn push_back(&self, answer: &mut Response<R>) {
        header::push_back(answer.headers_mut());
    }
}

/// A failed attempt over HTTP: an answer that is a failure, or none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{fault}")]
pub struct HttpFault {
    /// What went wrong.
    pub fault: Fault,
    /// Whether the other side said not to try again.
    pub pushed_back: bool,
}

impl HttpFault {
    /// Whether an answer, of which the body is not looked at, is a success.
    ///
    /// # Errors
    /// What a 4xx or 5xx says.
    pub fn check(status: StatusCode, headers: &HeaderMap) -> Result<(), Self> {
        if !status.is_client_error() && !status.is_server_error() {
            return Ok(());
        }
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let dated = text(RETRY_AFTER.as_str()).and_then(|v| retry_after::parse(v, clock::now().into()));
        let retry_after = dated.max(header::grpc_wait(headers).map(|wait| wait.min(retry_after::LONGEST)));
        let class = classify::answer(classify::Answer {
            status: status.as_u16(),
            retry_after,
            ratelimit_remaining: text("x-ratelimit-remaining"),
            body: "",
        });
        let mut fault = Fault::new(class, format!("answered {status}"));
        fault.http_status = Some(status.as_u16());
        fault.retry_after = retry_after;
        Err(Self { fault, pushed_back: header::pushed_back(headers) })
    }

    /// No answer: the client's own error, in its words and class.
    pub fn broken(error: impl Classify + std::fmt::Display) -> Self {
        let mut fault = Fault::new(error.class(), error.to_string());
        fault.retry_after = error.retry_after();
        Self { fault, pushed_back: error.pushed_back() }
    }
}

impl Classify for HttpFault {
    fn class(&self) -> FaultClass {
        self.fault.class
    }

    fn retry_after(&self) -> Option<Duration> {
        self.fault.retry_after
    }

    fn throttled(&self) -> bool {
        self.fault.throttled()
    }

    fn pushed_back(&self) -> bool {
        self.pushed_back
    }
}
