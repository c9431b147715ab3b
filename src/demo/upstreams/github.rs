//! GitHub's REST API as the pipeline uses it, over synthetic repositories and the ledger.

use std::collections::BTreeSet;

use axum::{
    Router,
    body::Bytes,
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{delete, get},
};
use base64::Engine as _;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Standing,
    answer::{github_error, json_answer, set},
    door,
    repository::{File, OTHERS_HOOKS, STUBBORN, Synthetic},
};

/// Above this GitHub's contents come without content.
const INLINE_LIMIT: usize = 1_000_000;

pub(super) fn routes() -> Router<Standing> {
    Router::new()
        .route("/repos/{owner}/{name}", get(repository))
        .route("/repos/{owner}/{name}/git/trees/{sha}", get(tree))
        .route("/repos/{owner}/{name}/git/blobs/{sha}", get(blob))
        .route("/repos/{owner}/{name}/contents/{*path}", get(contents))
        .route("/repos/{owner}/{name}/hooks", get(hooks).post(create_hook))
        .route("/repos/{owner}/{name}/hooks/{id}", delete(delete_hook))
}

fn not_found() -> Response {
    github_error(StatusCode::NOT_FOUND, "Not Found")
}

async fn repository(Path((owner, name)): Path<(String, String)>) -> Response {
    let Some(repository) = Synthetic::find(&owner, &name) else { return not_found() };
    let slug = repository.slug();
    json_answer(
        StatusCode::OK,
        json!({
            "id": repository.id(), "name": name, "full_name": slug, "private": true,
            "owner": { "login": owner, "type": "Organization" },
            "html_url": format!("https://github.com/{slug}"),
            "description": format!("Infrastructure of {name}"),
            "default_branch": "main", "archived": false, "topics": ["infrastructure", "terraform"],
            "language": "HCL", "size": 108, "visibility": "private",
        }),
    )
}

#[derive(Deserialize)]
struct TreeQuery {
    recursive: Option<String>,
}

async fn tree(
    Path((owner, name, sha)): Path<(String, String, String)>,
    Query(query): Query<TreeQuery>,
) -> Response {
    let Some(repository) = Synthetic::find(&owner, &name) else { return not_found() };
    if repository.is(STUBBORN) {
        return github_error(StatusCode::INTERNAL_SERVER_ERROR, "Server Error");
    }
    if repository.is("empty-") {
        return github_error(StatusCode::CONFLICT, "Git Repository is empty.");
    }
    let files = repository.files();
    let folders: BTreeSet<&str> = files.iter().flat_map(|file| folders_of(&file.path)).collect();
    let folder = match sha.as_str() {
        "main" => Some(""),
        sha => folders.iter().copied().find(|folder| repository.sha(folder) == sha),
    };
    let Some(folder) = folder else { return not_found() };
    let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
    let recursive = query.recursive.is_some();
    let below = |path: &str| {
        path.strip_prefix(&prefix).filter(|rest| recursive || !rest.contains('/')).map(str::to_owned)
    };
    let trees = folders.iter().filter(|f| !f.is_empty()).filter_map(|path| {
        let sha = repository.sha(path);
        Some(json!({ "path": below(path)?, "mode": "040000", "type": "tree", "sha": sha }))
    });
    let blobs = files.iter().filter_map(|file| {
        let (sha, size) = (repository.sha(&file.path), file.text.len());
        Some(
            json!({ "path": below(&file.path)?, "mode": "100644", "type": "blob", "sha": sha, "size": size }),
        )
    });
    let mut entries: Vec<Value> = trees.chain(blobs).collect();
    entries.sort_by_key(|entry| entry["path"].to_string());
    // What GitHub does with trees over 100,000 entries; here both the root and one folder are too large.
    let truncated = repository.is("huge-") && recursive && matches!(folder, "" | "live");
    if truncated {
        entries.truncate(entries.len() / 3);
    }
    json_answer(
        StatusCode::OK,
        json!({ "sha": repository.sha(folder), "tree": entries, "truncated": truncated }),
    )
}

/// Every folder on the way to `path`, the root included.
fn folders_of(path: &str) -> impl Iterator<Item = &str> {
    std::iter::once("").chain(path.match_indices('/').map(|(at, _)| &path[..at]))
}

async fn blob(Path((owner, name, sha)): Path<(String, String, String)>) -> Response {
    let Some(repository) = Synthetic::find(&owner, &name) else { return not_found() };
    let Some(file) = repository.files().into_iter().find(|file| repository.sha(&file.path) == sha) else {
        return not_found();
    };
    let body =
        json!({ "sha": sha, "size": file.text.len(), "content": encoded(&file), "encoding": "base64" });
    json_answer(StatusCode::OK, body)
}

async fn contents(Path((owner, name, path)): Path<(String, String, String)>) -> Response {
    let Some(repository) = Synthetic::find(&owner, &name) else { return not_found() };
    let files = repository.files();
    let folder = format!("{path}/");
    if files.iter().any(|file| file.path.starts_with(&folder)) {
        return json_answer(StatusCode::OK, json!([]));
    }
    let Some(file) = files.into_iter().find(|file| file.path == path) else { return not_found() };
    let inline = file.text.len() <= INLINE_LIMIT;
    let (content, encoding) = if inline { (encoded(&file), "base64") } else { (String::new(), "none") };
    json_answer(
        StatusCode::OK,
        json!({
            "type": "file", "name": path.rsplit('/').next(), "path": path, "sha": repository.sha(&path),
            "size": file.text.len(), "encoding": encoding, "content": content,
        }),
    )
}

/// Base64 in lines of 60 characters, as GitHub sends it.
fn encoded(file: &File) -> String {
    let whole = base64::engine::general_purpose::STANDARD.encode(&file.text);
    let mut lines = String::with_capacity(whole.len() + whole.len() / 60 + 1);
    for (index, c) in whole.char_indices() {
        if index > 0 && index % 60 == 0 {
            lines.push('\n');
        }
        lines.push(c);
    }
    lines.push('\n');
    lines
}

#[derive(Deserialize)]
struct PageQuery {
    page: Option<usize>,
    per_page: Option<usize>,
}

fn hook_json(slug: &str, id: u64, url: &str, events: &Value, created_at: &Value) -> Value {
    json!({
        "type": "Repository", "id": id, "name": "web", "active": true, "events": events,
        "config": { "content_type": "json", "insecure_ssl": "0", "url": url, "secret": "********" },
        "created_at": created_at, "updated_at": created_at,
        "url": format!("https://api.github.com/repos/{slug}/hooks/{id}"),
    })
}

async fn hooks(
    State(standing): State<Standing>,
    Path((owner, name)): Path<(String, String)>,
    Query(query): Query<PageQuery>,
    headers: HeaderMap,
) -> Response {
    let Some(repository) = Synthetic::find(&owner, &name) else { return not_found() };
    let slug = repository.slug();
    let others = if repository.is("hooked-") { OTHERS_HOOKS } else { 0 };
    let mut all: Vec<Value> = (1..=others)
        .map(|id| {
            let url = format!("https://ci.example.com/{slug}/{id}");
            hook_json(&slug, id, &url, &json!(["push"]), &json!("2024-01-01T00:00:00Z"))
        })
        .collect();
    let ours = standing.ledger.hooks().into_iter().filter(|hook| hook.repository.eq_ignore_ascii_case(&slug));
    all.extend(ours.map(|h| hook_json(&slug, h.id, &h.url, &json!(h.events), &json!(h.created_at))));

    let per_page = query.per_page.unwrap_or(30).clamp(1, 100);
    let page = query.page.unwrap_or(1).max(1);
    let last = all.len().div_ceil(per_page).max(1);
    let host = headers.get(header::HOST).and_then(|v| v.to_str().ok()).unwrap_or("localhost");
    let link = |page: usize, rel: &str| {
        format!("<http://{host}/github/repos/{slug}/hooks?per_page={per_page}&page={page}>; rel=\"{rel}\"")
    };
    let mut links = Vec::new();
    if page > 1 {
        links.extend([link(page - 1, "prev"), link(1, "first")]);
    }
    if page < last {
        links.extend([link(page + 1, "next"), link(last, "last")]);
    }
    let shown: Vec<Value> =
        all.into_iter().skip((page - 1).saturating_mul(per_page)).take(per_page).collect();
    let mut answer = json_answer(StatusCode::OK, Value::Array(shown));
    if !links.is_empty() {
        set(answer.headers_mut(), "link", &links.join(", "));
    }
    answer
}

async fn create_hook(
    State(standing): State<Standing>,
    Path((owner, name)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Some(repository) = Synthetic::find(&owner, &name) else { return not_found() };
    let Ok(wanted) = serde_json::from_slice::<Value>(&body) else {
        return github_error(StatusCode::BAD_REQUEST, "Problems parsing JSON");
    };
    let Some(url) = wanted.pointer("/config/url").and_then(Value::as_str).filter(|url| url.contains("://"))
    else {
        return invalid("Config must contain URL for webhooks");
    };
    let events =
        wanted.get("events").and_then(Value::as_array).cloned().unwrap_or_else(|| vec![json!("push")]);
    let events: Vec<String> = events.iter().filter_map(|event| event.as_str().map(str::to_owned)).collect();
    let slug = repository.slug();
    match standing.ledger.create_hook(&slug, url, events, &door::asker(&headers)) {
        Some(hook) => {
            let body = hook_json(&slug, hook.id, url, &json!(hook.events), &json!(hook.created_at));
            json_answer(StatusCode::CREATED, body)
        }
        None => invalid("Hook already exists on this repository"),
    }
}

fn invalid(message: &str) -> Response {
    json_answer(
        StatusCode::UNPROCESSABLE_ENTITY,
        json!({
            "message": "Validation Failed",
            "errors": [{ "resource": "Hook", "code": "custom", "message": message }],
            "documentation_url": "https://docs.github.com/rest/repos/webhooks#create-a-repository-webhook",
            "status": "422",
        }),
    )
}

async fn delete_hook(
    State(standing): State<Standing>,
    Path((owner, name, id)): Path<(String, String, String)>,
    headers: HeaderMap,
) -> Response {
    let Some(repository) = Synthetic::find(&owner, &name) else { return not_found() };
    let deleted = id
        .parse()
        .is_ok_and(|id| standing.ledger.delete_hook(&repository.slug(), id, &door::asker(&headers)));
    match deleted {
        true => StatusCode::NO_CONTENT.into_response(),
        false => not_found(),
    }
}
