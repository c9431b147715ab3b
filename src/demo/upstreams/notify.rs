//! The notification webhook: takes any JSON, recognises a repeated key.

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::Response,
    routing::post,
};
use serde_json::{Value, json};

use super::{Standing, answer, door, ledger::Applied};

pub(super) fn routes() -> Router<Standing> {
    Router::new().route("/", post(take)).route("/{*rest}", post(take))
}

async fn take(State(standing): State<Standing>, headers: HeaderMap, body: Bytes) -> Response {
    let Ok(announced) = serde_json::from_slice::<Value>(&body) else {
        return answer::json_answer(StatusCode::BAD_REQUEST, json!({ "error": "not JSON" }));
    };
    let url = announced.get("repoUrl").and_then(Value::as_str).unwrap_or("unknown");
    let mut parts = url.trim_end_matches('/').rsplit('/');
    let subject = match (parts.next(), parts.next()) {
        (Some(name), Some(owner)) => format!("{owner}/{name}"),
        _ => url.to_owned(),
    };
    match standing.ledger.announce(&subject, &door::asker(&headers)) {
        Applied::Applied => answer::json_answer(StatusCode::ACCEPTED, json!({ "status": "accepted" })),
        Applied::Repeated => answer::json_answer(StatusCode::OK, json!({ "status": "repeated" })),
    }
}
