//! Terraform Cloud's API as the pipeline uses it: JSON:API documents over synthetic workspaces and the ledger.
//!
//! Any `ws-…` of letters and digits exists but those beginning `ws-missing`; one beginning `ws-many` manages 250
//! resources, more than two pages.

use axum::{
    Router,
    body::Bytes,
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{delete, get},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Standing,
    answer::{jsonapi, jsonapi_error},
    door,
    ledger::StandingNotification,
    repository::{POOL, number},
};
use crate::domain::onboarding::sha256_hex;

pub(super) fn routes() -> Router<Standing> {
    Router::new()
        .route("/api/v2/workspaces/{id}", get(workspace))
        .route("/api/v2/workspaces/{id}/resources", get(resources))
        .route(
            "/api/v2/workspaces/{id}/notification-configurations",
            get(notifications).post(create_notification),
        )
        .route("/api/v2/notification-configurations/{id}", delete(delete_notification))
}

fn not_found() -> Response {
    jsonapi_error(StatusCode::NOT_FOUND, "not found", "The requested resource was not found")
}

fn exists(id: &str) -> bool {
    let named = id
        .strip_prefix("ws-")
        .is_some_and(|rest| !rest.is_empty() && rest.chars().all(|c| c.is_ascii_alphanumeric()));
    named && !id.starts_with("ws-missing")
}

async fn workspace(Path(id): Path<String>) -> Response {
    if !exists(&id) {
        return not_found();
    }
    let short = &sha256_hex(id.as_bytes())[..6];
    let body = json!({ "data": {
        "id": id, "type": "workspaces",
        "attributes": {
            "name": format!("production-{short}"), "description": "Applied from the main branch",
            "terraform-version": "1.9.8", "execution-mode": "remote", "locked": false,
            "resource-count": managed(&id).len(), "vcs-repo": null, "tag-names": ["production"],
        },
        "relationships": { "organization": { "data": { "id": "demo", "type": "organizations" } } },
        "links": { "self": format!("/api/v2/workspaces/{id}") },
    } });
    jsonapi(StatusCode::OK, body)
}

/// What a workspace manages: always the same for the same id.
fn managed(id: &str) -> Vec<Value> {
    let hash = number(&sha256_hex(id.as_bytes()));
    let resource = |(index, (address, kind)): (usize, (String, String))| {
        let name = address.rsplit('.').next().unwrap_or_default().to_owned();
        json!({
            "id": format!("wsr-{}-{index}", &id[3..]), "type": "resources",
            "attributes": {
                "address": address, "name": name, "provider-type": kind, "provider": "hashicorp/aws",
                "module": if address.starts_with("module.") { "network" } else { "root" },
            },
        })
    };
    let many = (0..if id.starts_with("ws-many") { 250 } else { 0 })
        .map(|n| (format!("aws_sqs_queue.queue_{n:03}"), "aws_sqs_queue".to_owned()));
    let some = POOL.iter().cycle().skip((hash % 7) as usize).take(2 + (hash % 4) as usize);
    some.map(|(kind, name, _)| (format!("{kind}.{name}"), (*kind).to_owned()))
        .chain([
            ("module.network.aws_vpc.main".to_owned(), "aws_vpc".to_owned()),
            ("data.aws_caller_identity.current".to_owned(), "aws_caller_identity".to_owned()),
        ])
        .chain(many)
        .enumerate()
        .map(resource)
        .collect()
}

#[derive(Deserialize)]
struct PageQuery {
    #[serde(rename = "page[number]")]
    number: Option<usize>,
    #[serde(rename = "page[size]")]
    size: Option<usize>,
}

/// One page of `all`, with the links and the meta Terraform Cloud adds.
fn page(all: Vec<Value>, query: &PageQuery, host: &HeaderMap, path: &str) -> Response {
    let size = query.size.unwrap_or(20).clamp(1, 100);
    let number = query.number.unwrap_or(1).max(1);
    let (total, pages) = (all.len(), all.len().div_ceil(size).max(1));
    let next = (number < pages).then_some(number + 1);
    let previous = number.checked_sub(1).filter(|n| *n > 0);
    let host = host.get(header::HOST).and_then(|v| v.to_str().ok()).unwrap_or("localhost");
    let link = |n: usize| format!("http://{host}{path}?page%5Bnumber%5D={n}&page%5Bsize%5D={size}");
    let shown: Vec<Value> = all.into_iter().skip((number - 1).saturating_mul(size)).take(size).collect();
    let body = json!({
        "data": shown,
        "links": {
            "self": link(number), "first": link(1), "prev": previous.map(link), "next": next.map(link),
            "last": link(pages),
        },
        "meta": { "pagination": {
            "current-page": number, "page-size": size, "prev-page": previous, "next-page": next,
            "total-pages": pages, "total-count": total,
        } },
    });
    jsonapi(StatusCode::OK, body)
}

async fn resources(Path(id): Path<String>, Query(query): Query<PageQuery>, headers: HeaderMap) -> Response {
    match exists(&id) {
        true => page(managed(&id), &query, &headers, &format!("/tfc/api/v2/workspaces/{id}/resources")),
        false => not_found(),
    }
}

fn notification_json(notification: &StandingNotification) -> Value {
    json!({
        "id": notification.id, "type": "notification-configurations",
        "attributes": {
            "name": notification.name, "url": notification.url, "enabled": true, "destination-type": "generic",
            "triggers": notification.triggers, "token": null, "created-at": notification.created_at,
            "delivery-responses": [],
        },
        "relationships": { "subscribable": { "data": { "id": notification.workspace, "type": "workspaces" } } },
    })
}

async fn notifications(
    State(standing): State<Standing>,
    Path(id): Path<String>,
    Query(query): Query<PageQuery>,
    headers: HeaderMap,
) -> Response {
    if !exists(&id) {
        return not_found();
    }
    let standing = standing.ledger.notifications();
    let all = standing.iter().filter(|n| n.workspace == id).map(notification_json).collect();
    page(all, &query, &headers, &format!("/tfc/api/v2/workspaces/{id}/notification-configurations"))
}

async fn create_notification(
    State(standing): State<Standing>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if !exists(&id) {
        return not_found();
    }
    let Ok(document) = serde_json::from_slice::<Value>(&body) else {
        return jsonapi_error(StatusCode::BAD_REQUEST, "bad request", "The request body is not JSON");
    };
    let attribute = |name: &str| document.pointer(&format!("/data/attributes/{name}"));
    let text = |name: &str| attribute(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    for required in ["name", "url", "destination-type"] {
        if text(required).is_none() {
            let detail = format!("{required} can't be blank");
            return jsonapi_error(StatusCode::UNPROCESSABLE_ENTITY, "invalid attribute", &detail);
        }
    }
    let triggers = attribute("triggers").and_then(Value::as_array).into_iter().flatten();
    let triggers = triggers.filter_map(|t| t.as_str().map(str::to_owned)).collect();
    let (name, url) = (text("name").unwrap_or_default(), text("url").unwrap_or_default());
    let made = standing.ledger.create_notification(&id, name, url, triggers, &door::asker(&headers));
    jsonapi(StatusCode::CREATED, json!({ "data": notification_json(&made) }))
}

async fn delete_notification(
    State(standing): State<Standing>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    match standing.ledger.delete_notification(&id, &door::asker(&headers)) {
        true => StatusCode::NO_CONTENT.into_response(),
        false => not_found(),
    }
}
