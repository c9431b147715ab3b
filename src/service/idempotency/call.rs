//! One request through the layer.

use std::{
    error::Error as _,
    fmt::Write as _,
    future::Future,
    mem,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{
    BoxError,
    body::{Body, Bytes, HttpBody},
    extract::{MatchedPath, OriginalUri},
    http::{HeaderValue, Request, Uri, Version, header, request::Parts},
    response::{IntoResponse as _, Response},
};
use futures_util::FutureExt as _;
use http_body_util::LengthLimitError;
use tower::Service;

use super::{
    Replay, Replayed, Rules, Storing,
    answer::{self, Read},
    header::client_key,
    refusal::Refusal,
};
use crate::{
    domain::{canonical, key::InvalidKey},
    engine::{
        idempotency::{Held, Operation, Outcome, Worked},
        key::{Answer, KeyIntent},
    },
};

/// A service whose work is done once per key; made by an [`IdempotencyLayer`](super::IdempotencyLayer).
#[derive(Clone)]
pub struct Idempotency<S> {
    inner: S,
    rules: Arc<Rules>,
}

impl<S> Idempotency<S> {
    pub(super) fn new(inner: S, rules: Arc<Rules>) -> Self {
        Self { inner, rules }
    }
}

impl<S, B, R> Service<Request<B>> for Idempotency<S>
where
    S: Service<Request<Body>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
    R: HttpBody<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    type Response = Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The one that was made ready is the one to call.
        let next = self.inner.clone();
        let mut inner = mem::replace(&mut self.inner, next);
        let rules = Arc::clone(&self.rules);
        let (head, body) = request.map(Body::new).into_parts();
        Box::pin(async move {
            let asked = match rules.asked(&head) {
                Ok(Some(asked)) => asked,
                Ok(None) => return Ok(inner.call(Request::from_parts(head, body)).await?.map(Body::new)),
                Err(refusal) => return Ok(rules.refused_unread(&refusal, head.version)),
            };
            let body = match rules.body(body).await {
                Ok(body) => body,
                Err(refusal) => return Ok(rules.refused_unread(&refusal, head.version)),
            };
            let work = Arc::clone(&rules).work(asked, inner, head, body);
            match rules.tracker.spawn(work).await {
                Ok(response) => response,
                Err(_) => Ok(rules.refused(&Refusal::Panicked)),
            }
        })
    }
}

/// A request under a key: its hash is still missing.
struct Asked {
    operation: Operation,
    key: KeyIntent,
}

/// What the caller asked for, also inside a nested router.
pub(super) fn target(head: &Parts) -> &Uri {
    head.extensions.get::<OriginalUri>().map_or(&head.uri, |original| &original.0)
}

impl Rules {
    fn refused(&self, refusal: &Refusal) -> Response {
        refusal.problem(&self.documentation).into_response()
    }

    /// The same before the body was read: what is left of it ends the connection, and whoever keeps connections for the
    /// next request has to be told.
    pub(super) fn refused_unread(&self, refusal: &Refusal, version: Version) -> Response {
        let mut refused = self.refused(refusal);
        if version < Version::HTTP_2 {
            refused.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        refused
    }

    /// The key a request is sent under; `None`: it is let through.
    fn asked(&self, head: &Parts) -> Result<Option<Asked>, Refusal> {
        if !self.methods.contains(&head.method) || !(self.meant)(head) {
            return Ok(None);
        }
        let Some(client_key) = client_key(&head.headers)? else {
            return if self.required { Err(Refusal::Missing) } else { Ok(None) };
        };
        let route = head.extensions.get::<MatchedPath>().map_or("*", MatchedPath::as_str);
        let operation = (self.operations)(&format!("{} {route}", head.method));
        let caller = match &self.callers {
            Some(caller) => format!("{}/", plain(&caller(head).ok_or(Refusal::Nobody)?)),
            None => String::new(),
        };
        let key = KeyIntent::new(&operation.name, &format!("{caller}{client_key}"), String::new());
        let key = key.map_err(|invalid: InvalidKey| Held::Invalid(invalid))?;
        Ok(Some(Asked { operation, key: KeyIntent { client_key, ..key } }))
    }

    /// The whole body, as long as it is small and in time.
    pub(super) async fn body(&self, body: Body) -> Result<Bytes, Refusal> {
        if usize::try_from(body.size_hint().lower()).map_or(true, |least| least > self.max_body) {
            return Err(Refusal::TooLarge(self.max_body));
        }
        let reading = axum::body::to_bytes(body, self.max_body);
        let read = tokio::time::timeout(self.body_timeout, reading).await;
        read.map_err(|_| Refusal::TooSlow(self.body_timeout))?.map_err(|error| {
            match error.source().is_some_and(|source| source.is::<LengthLimitError>()) {
                true => Refusal::TooLarge(self.max_body),
                false => Refusal::BrokenOff(error.to_string()),
            }
        })
    }

    /// Runs the handler, unless that was done before.
    async fn work<S, R>(
        self: Arc<Self>,
        asked: Asked,
        inner: S,
        head: Parts,
        body: Bytes,
    ) -> Result<Response, S::Error>
    where
        S: Service<Request<Body>, Response = Response<R>>,
        R: HttpBody<Data = Bytes> + Send + 'static,
        R::Error: Into<BoxError>,
    {
        let Asked { operation, mut key } = asked;
        let kind = head.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let sent = target(&head).path_and_query().map_or("/", |sent| sent.as_str());
        key.request_hash = canonical::hash_http(head.method.as_str(), sent, kind, &body);
        let mut todo = Some((inner, Request::from_parts(head, Body::from(body))));
        let mut done = None;
        let outcome = self.keys.once_as(&operation, &key, || {
            let (inner, request) = todo.take().expect("work is begun once");
            let done = &mut done;
            async {
                let (worked, response) = self.handled(inner, request).await;
                *done = Some(response);
                worked
            }
        });
        match (Box::pin(outcome).await, done, todo) {
            (Ok(_), Some(response), _) => response,
            (Ok(Outcome { answer, .. }), None, Some((mut inner, mut request)))
                if self.replay == Replay::Reread && answer.code < 400 =>
            {
                request.extensions_mut().insert(Replayed(answer));
                let reread = AssertUnwindSafe(async { inner.call(request).await }).catch_unwind().await;
                match reread {
                    Ok(response) => Ok(answer::marked(response?.map(Body::new))),
                    Err(_) => Ok(self.refused(&Refusal::Panicked)),
                }
            }
            (Ok(Outcome { answer, .. }), None, _) => Ok(answer::replayed(answer)),
            (Err(held), _, _) => Ok(self.refused(&held.into())),
        }
    }

    /// Calls the handler: what its answer makes of the key, and what the caller is sent.
    async fn handled<S, R>(&self, inner: S, request: Request<Body>) -> (Worked, Result<Response, S::Error>)
    where
        S: Service<Request<Body>, Response = Response<R>>,
        R: HttpBody<Data = Bytes> + Send + 'static,
        R::Error: Into<BoxError>,
    {
        let answered = AssertUnwindSafe(self.answered(inner, request)).catch_unwind().await;
        let freed = Worked::Freed(Answer::default());
        match answered {
            Ok(Ok((worked, response))) => (worked, Ok(response)),
            Ok(Err(error)) => (freed, Err(error)),
            Err(_) => {
                tracing::error!("a handler panicked: its key is free");
                (freed, Ok(self.refused(&Refusal::Panicked)))
            }
        }
    }

    async fn answered<S, R>(
        &self,
        mut inner: S,
        request: Request<Body>,
    ) -> Result<(Worked, Response), S::Error>
    where
        S: Service<Request<Body>, Response = Response<R>>,
        R: HttpBody<Data = Bytes> + Send + 'static,
        R::Error: Into<BoxError>,
    {
        let (head, body) = inner.call(request).await?.map(Body::new).into_parts();
        let storing = (self.storing)(head.status);
        let freed = Worked::Freed(Answer::default());
        if storing == Storing::Freed {
            return Ok((freed, Response::from_parts(head, body)));
        }
        Ok(match answer::read(&head, body, self.max_answer).await {
            Read::Whole(body) => {
                let stored = answer::stored(&head, &self.headers, &body);
                let worked = match storing {
                    Storing::Completed => Worked::Completed(stored),
                    Storing::Failed | Storing::Freed => Worked::Failed(stored),
                };
                (worked, Response::from_parts(head, Body::from(body)))
            }
            Read::Flowing(body) => {
                let cap = self.max_answer;
                tracing::warn!(
                    "an answer is not stored, being over {cap} bytes, a stream or with trailers: its key is free"
                );
                (freed, Response::from_parts(head, body))
            }
            Read::Broken(error) => {
                tracing::warn!(%error, "an answer broke off while it was made: its key is free");
                (freed, self.refused(&Refusal::AnswerBroken))
            }
        })
    }
}

/// A caller's name as part of a key: whatever could end it or be unprintable is written as `%2F`.
fn plain(caller: &str) -> String {
    caller.bytes().fold(String::with_capacity(caller.len()), |mut plain, byte| {
        match byte {
            b'%' | b'/' | ..=0x20 | 0x7f.. => write!(plain, "%{byte:02X}"),
            _ => write!(plain, "{}", char::from(byte)),
        }
        .expect("a string takes whatever is written");
        plain
    })
}
