//! Refusals as problem documents (RFC 9457), and the token check.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde_json::json;

use super::Service;

/// A refusal: status, sentence, and how long to wait where that is known.
#[derive(Debug, Clone)]
pub struct Problem {
    status: StatusCode,
    kind: String,
    title: Option<&'static str>,
    detail: String,
    retry_after: Option<u64>,
}

impl Problem {
    /// A refusal with `status` that says `detail`.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, kind: "about:blank".to_owned(), title: None, detail: detail.into(), retry_after: None }
    }

    /// The same with a type of its own, a URI, and the title that belongs to it.
    #[must_use]
    pub fn of_kind(self, uri: impl Into<String>, title: &'static str) -> Self {
        Self { kind: uri.into(), title: Some(title), ..self }
    }

    /// The same, asking the caller to wait `seconds`.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds.max(1));
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let title = self.title.or(self.status.canonical_reason());
        let body = json!({
            "type": self.kind,
            "title": title.unwrap_or("refused"),
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        let mut response = (self.status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// Lets a request pass that carries the bearer token, or any where none is configured.
pub(super) async fn require_token(
    State(service): State<Arc<Service>>,
    request: Request,
    next: Next,
) -> Response {
    let Some(token) = service.token.as_deref().filter(|t| !t.is_empty()) else {
        return next.run(request).await;
    };
    let sent = request.headers().get(header::AUTHORIZATION).and_then(|v| v.to_str().ok());
    match sent.and_then(|v| v.split_once(' ')) {
        Some((scheme, sent))
            if scheme.eq_ignore_ascii_case("bearer") && same(sent.as_bytes(), token.as_bytes()) =>
        {
            next.run(request).await
        }
        _ => {
            let detail = "send the token of this worker as `Authorization: Bearer …`";
            let mut response = Problem::new(StatusCode::UNAUTHORIZED, detail).into_response();
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            response
        }
    }
}

/// Compares in a time that does not depend on where the two differ.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0_u8, |differ, (x, y)| differ | (x ^ y)) == 0
}
