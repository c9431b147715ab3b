//! Reading the ledger and setting the faults over HTTP, for stand-ins that run alone.

use std::collections::BTreeMap;

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Query, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Standing, fault::Trouble};

pub(super) fn routes() -> Router<Standing> {
    Router::new().route("/_ledger", get(ledger)).route("/_faults", get(faults).put(set_faults))
}

#[derive(Deserialize)]
struct About {
    /// Only this repository or workspace.
    subject: Option<String>,
}

async fn ledger(State(standing): State<Standing>, Query(about): Query<About>) -> Json<Value> {
    let ledger = &standing.ledger;
    let wanted = |subject: &str| about.subject.as_ref().is_none_or(|wanted| wanted == subject);
    let entries: Vec<_> = ledger.entries().into_iter().filter(|entry| wanted(&entry.subject)).collect();
    let hooks: Vec<_> = ledger.hooks().into_iter().filter(|hook| wanted(&hook.repository)).collect();
    let notifications: Vec<_> = ledger.notifications().into_iter().filter(|n| wanted(&n.workspace)).collect();
    Json(json!({
        "counts": ledger.counts(), "callers": ledger.callers(), "hooks": hooks, "notifications": notifications,
        "entries": entries,
    }))
}

async fn faults(State(standing): State<Standing>) -> Json<BTreeMap<String, Trouble>> {
    Json(standing.faults.current())
}

async fn set_faults(State(standing): State<Standing>, body: Bytes) -> Response {
    match serde_json::from_slice::<BTreeMap<String, Trouble>>(&body) {
        Ok(troubles) => {
            standing.faults.replace(troubles);
            StatusCode::NO_CONTENT.into_response()
        }
        Err(error) => {
            let text = format!(
                "not a map from operation to trouble: {error}; for example {{\"github.create_hook\": {{\"mode\": \"unavailable\", \"share\": 0.9, \"latency_ms\": 800}}}}\n"
            );
            (StatusCode::UNPROCESSABLE_ENTITY, text).into_response()
        }
    }
}
