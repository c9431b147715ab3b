//! The answers both stand-ins give, in the words of the originals.

use axum::{
    Json,
    body::{Body, Bytes},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use crate::clock;

/// A JSON answer.
pub(super) fn json_answer(status: StatusCode, body: Value) -> Response {
    (status, Json(body)).into_response()
}

/// GitHub's error document.
pub(super) fn github_error(status: StatusCode, message: &str) -> Response {
    let body = json!({
        "message": message, "documentation_url": "https://docs.github.com/rest", "status": status.as_str(),
    });
    json_answer(status, body)
}

/// A JSON:API document with Terraform Cloud's media type.
pub(super) fn jsonapi(status: StatusCode, body: Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/vnd.api+json")], body.to_string()).into_response()
}

/// Terraform Cloud's error document.
pub(super) fn jsonapi_error(status: StatusCode, title: &str, detail: &str) -> Response {
    jsonapi(status, json!({ "errors": [{ "status": status.as_str(), "title": title, "detail": detail }] }))
}

/// A 403 for having asked too often, with GitHub's headers.
pub(super) fn rate_limited() -> Response {
    let message = "API rate limit exceeded for user ID 1. If you reach out to GitHub Support for help, please include the request ID.";
    let mut answer = github_error(StatusCode::FORBIDDEN, message);
    let reset = clock::now().timestamp() + 60;
    let headers = answer.headers_mut();
    set(headers, "x-ratelimit-limit", "5000");
    set(headers, "x-ratelimit-remaining", "0");
    set(headers, "x-ratelimit-used", "5000");
    set(headers, "x-ratelimit-resource", "core");
    set(headers, "x-ratelimit-reset", &reset.to_string());
    answer
}

/// Terraform Cloud's 429, with its headers: 30 requests a second.
pub(super) fn too_many_requests() -> Response {
    let detail = "You have exceeded the API's rate limit.";
    let mut answer = jsonapi_error(StatusCode::TOO_MANY_REQUESTS, "Too many requests", detail);
    let headers = answer.headers_mut();
    set(headers, "x-ratelimit-limit", "30");
    set(headers, "x-ratelimit-remaining", "0");
    set(headers, "x-ratelimit-reset", "0.5");
    answer
}

/// A login page where an API answer was expected, with a status that claims success.
pub(super) fn login_page() -> Response {
    let page =
        "<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body>Please sign in.</body></html>\n";
    (StatusCode::OK, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], page).into_response()
}

/// An answer that breaks off before anything is sent: the effect stands, the caller does not learn of it.
pub(in crate::demo) fn lost() -> Response {
    let broken =
        futures_util::stream::once(async { Err::<Bytes, _>(std::io::Error::other("the reply is lost")) });
    Response::new(Body::from_stream(broken))
}

/// Nothing is served there.
pub(super) async fn no_such_path() -> Response {
    github_error(StatusCode::NOT_FOUND, "Not Found")
}

/// Sets a header whose value is plain ASCII.
pub(super) fn set(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
