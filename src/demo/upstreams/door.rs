//! What every request passes before and after its answer: counting, the token, and the faults.

use axum::{
    extract::{Request, State},
    http::{HeaderMap, Method, StatusCode, header},
    middleware::Next,
    response::Response,
};

use super::{
    Standing, answer,
    fault::{Mode, Verdict},
    ledger::Asker,
};
use crate::clock;

/// GitHub's own words for a 503 of its API.
const UNAVAILABLE: &str = "No server is currently available to service your request. Sorry about that. Please try resubmitting your request and contact us if the problem persists.";

pub(super) async fn guard(State(standing): State<Standing>, request: Request, next: Next) -> Response {
    let Some(operation) = operation(request.method(), request.uri().path()) else {
        return next.run(request).await;
    };
    let caller = asker(request.headers()).caller;
    // Whoever hangs up while waiting is counted as failed.
    let mut counted = Counted { standing: &standing, caller, operation, failed: true };
    let answer = answered(&standing, operation, request, next).await;
    counted.failed = answer.extensions().get::<Lost>().is_some()
        || !(answer.status().is_success() || answer.status().is_redirection());
    answer
}

async fn answered(standing: &Standing, operation: &'static str, request: Request, next: Next) -> Response {
    let upstream = operation.split('.').next().unwrap_or_default();
    let Verdict { mode, latency } = standing.faults.judge(operation);
    let refusal = match mode {
        Mode::Unavailable => Some(failure(upstream, StatusCode::SERVICE_UNAVAILABLE, UNAVAILABLE)),
        Mode::Error => Some(failure(upstream, StatusCode::INTERNAL_SERVER_ERROR, "Server Error")),
        Mode::RateLimit if upstream == "tfc" => Some(answer::too_many_requests()),
        Mode::RateLimit => Some(answer::rate_limited()),
        Mode::Html => Some(answer::login_page()),
        Mode::None | Mode::LostReply | Mode::Hang => unauthorized(standing, upstream, request.headers()),
    };
    // The effect comes before the wait: a caller that gives up early has been served all the same.
    let answer = match refusal {
        Some(refusal) => refusal,
        None => next.run(request).await,
    };
    tokio::select! {
        () = clock::sleep(latency) => {}
        () = standing.shutdown.cancelled() => {}
    }
    match mode {
        Mode::LostReply => lost(),
        Mode::Hang => {
            standing.shutdown.cancelled().await;
            lost()
        }
        _ => answer,
    }
}

/// Marks an answer that will not arrive.
#[derive(Clone)]
struct Lost;

fn lost() -> Response {
    let mut answer = answer::lost();
    answer.extensions_mut().insert(Lost);
    answer
}

struct Counted<'a> {
    standing: &'a Standing,
    caller: String,
    operation: &'static str,
    failed: bool,
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.standing.ledger.count(&self.caller, self.operation, self.failed);
    }
}

fn failure(upstream: &str, status: StatusCode, message: &str) -> Response {
    match upstream {
        "tfc" => answer::jsonapi_error(status, message, message),
        _ => answer::github_error(status, message),
    }
}

fn unauthorized(standing: &Standing, upstream: &str, headers: &HeaderMap) -> Option<Response> {
    let wanted = match upstream {
        "github" => standing.options.github_token.as_ref()?,
        "tfc" => standing.options.tfc_token.as_ref()?,
        _ => return None,
    };
    let given = headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let given = given.strip_prefix("Bearer ").or(given.strip_prefix("token "));
    if given == Some(wanted.as_str()) {
        return None;
    }
    Some(match (upstream, given) {
        ("tfc", _) => answer::jsonapi_error(StatusCode::UNAUTHORIZED, "unauthorized", "Unauthorized"),
        (_, None) => answer::github_error(StatusCode::UNAUTHORIZED, "Requires authentication"),
        (_, Some(_)) => answer::github_error(StatusCode::UNAUTHORIZED, "Bad credentials"),
    })
}

/// Who asks, and under which key.
pub(super) fn asker(headers: &HeaderMap) -> Asker {
    let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
    let agent = || text("user-agent").and_then(|a| a.split(['/', ' ']).next().map(str::to_owned));
    Asker {
        caller: text("x-caller").or_else(agent).unwrap_or_else(|| "unknown".to_owned()),
        key: text("idempotency-key"),
    }
}

/// The operation a request is, as the pipeline names it.
fn operation(method: &Method, path: &str) -> Option<&'static str> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    Some(match (method.as_str(), parts.as_slice()) {
        ("GET", ["github", "repos", _, _]) => "github.repository",
        ("GET", ["github", "repos", _, _, "git", "trees", _]) => "github.tree",
        ("GET", ["github", "repos", _, _, "git", "blobs", _] | ["github", "repos", _, _, "contents", ..]) => {
            "github.contents"
        }
        ("GET", ["github", "repos", _, _, "hooks"]) => "github.list_hooks",
        ("POST", ["github", "repos", _, _, "hooks"]) => "github.create_hook",
        ("DELETE", ["github", "repos", _, _, "hooks", _]) => "github.delete_hook",
        ("GET", ["tfc", "api", "v2", "workspaces", _]) => "tfc.workspace",
        ("GET", ["tfc", "api", "v2", "workspaces", _, "resources"]) => "tfc.resources",
        ("GET", ["tfc", "api", "v2", "workspaces", _, "notification-configurations"]) => {
            "tfc.list_notifications"
        }
        ("POST", ["tfc", "api", "v2", "workspaces", _, "notification-configurations"]) => {
            "tfc.create_notification"
        }
        ("DELETE", ["tfc", "api", "v2", "notification-configurations", _]) => "tfc.delete_notification",
        ("POST", ["notify", ..]) => "notify.send",
        _ => return None,
    })
}
