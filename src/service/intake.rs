//! `POST /onboardings` and `GET /onboardings/{id}`. JSON is camelCase.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{
        Path, State,
        rejection::{BytesRejection, PathRejection},
    },
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

use super::{Problem, Service};
use crate::{
    clock,
    domain::{
        id::OnboardingId,
        onboarding::{Request, TriggerStatus},
        text::SafeText,
    },
    engine::{
        command::{Asker, Command, Refusal, Submission, TriggerAnswer},
        idempotency::{Held, Operation, Outcome, Source, Worked},
        key::Answer,
        reader::{Detail, Page, Query},
    },
};

/// What the intake's keys protect.
pub(super) const OPERATION: &str = "onboardings.trigger";

pub(super) async fn trigger(
    State(service): State<Arc<Service>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let body = body.map_err(|rejected| Problem::new(rejected.status(), rejected.body_text()))?;
    let request: Request = serde_json::from_slice(&body).map_err(|error| {
        let detail = format!(
            "the body is not a trigger: {error}; send {{\"tenantId\": …, \"repoUrl\": …, \"workspaceId\": …}}"
        );
        Problem::new(StatusCode::BAD_REQUEST, detail)
    })?;
    request
        .validate()
        .map_err(|invalid| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, invalid.to_string()))?;
    let Some(key) = client_key(&headers)? else {
        let (code, body) = submit(&service, request).await?;
        return Ok(answer(code, body, false));
    };
    let operation = Operation::new(OPERATION).leased_for(service.lease).kept_for(service.retention);
    let mut refused = None;
    let work = async {
        match submit(&service, request.clone()).await {
            Ok((code, body)) => Worked::Completed(Answer::new(code, body)),
            Err(problem) => {
                refused = Some(problem);
                Worked::Freed(Answer::default())
            }
        }
    };
    let done = service.keys.once(&operation, &key, &request, || work).await;
    match (refused, done) {
        (Some(problem), _) => Err(problem),
        (None, Ok(Outcome { answer: stored, source })) => {
            Ok(answer(stored.code, stored.body, source == Source::Stored))
        }
        (None, Err(held)) => Err(held_problem(held)),
    }
}

pub(super) async fn show(
    State(service): State<Arc<Service>>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let Path(id) = id.map_err(|rejected| Problem::new(rejected.status(), rejected.body_text()))?;
    let query = Query { detail: Some(Detail::Onboarding(OnboardingId(id))), ..Query::default() };
    let board = service.engine.reader().read(&query).await.map_err(|e| refusal_problem(&e.into()))?;
    let Some(Page::Onboarding(page)) = board.page else {
        return Err(Problem::new(StatusCode::NOT_FOUND, "no such onboarding"));
    };
    let row = page.row;
    let body = json!({
        "onboardingId": row.id,
        "tenantId": row.tenant_id,
        "repoUrl": row.repo_url,
        "workspaceId": row.workspace_id,
        "status": row.status,
        "phase": row.phase,
        "currentState": row.current_state,
        "entities": page.entities,
        "error": row.error,
        "createdAt": row.created_at,
        "updatedAt": row.updated_at,
        "failedAt": row.failed_at,
    });
    Ok(answer(200, body.to_string().into_bytes(), false))
}

async fn submit(service: &Service, request: Request) -> Result<(u16, Vec<u8>), Problem> {
    let submission = Submission {
        action: clock::new_id().into(),
        asker: Asker::Caller(request.tenant_id.clone()),
        reason: None,
        command: Command::Trigger { request },
    };
    let receipt = service.engine.submit(&submission).await.map_err(|refusal| refusal_problem(&refusal))?;
    let answer = receipt
        .triggered
        .ok_or_else(|| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the trigger was not answered"))?;
    let code = match answer.status {
        TriggerStatus::Started | TriggerStatus::Resumed => StatusCode::ACCEPTED,
        _ => StatusCode::OK,
    };
    Ok((code.as_u16(), body_of(&answer)))
}

fn body_of(answer: &TriggerAnswer) -> Vec<u8> {
    serde_json::to_vec(answer).expect("a trigger's answer is plain JSON")
}

/// The one `Idempotency-Key`, its structured-field quotes taken off.
fn client_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let bad = |detail: &str| Problem::new(StatusCode::BAD_REQUEST, detail);
    let mut sent = headers.get_all("idempotency-key").iter();
    let Some(key) = sent.next() else { return Ok(None) };
    if sent.next().is_some() {
        return Err(bad("more than one Idempotency-Key was sent: send one"));
    }
    let key =
        key.to_str().map_err(|_| bad("the Idempotency-Key holds a character that is not printable ASCII"))?;
    let bare = key.strip_prefix('"').and_then(|k| k.strip_suffix('"')).unwrap_or(key);
    Ok(Some(bare.to_owned()))
}

fn held_problem(held: Held) -> Problem {
    let detail = held.to_string();
    match held {
        Held::InFlight { retry_after } => {
            let wait = retry_after.map_or(60, |after| after.as_secs());
            Problem::new(StatusCode::CONFLICT, detail).retry_after(wait)
        }
        Held::Mismatch => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail),
        Held::Invalid(_) => Problem::new(StatusCode::BAD_REQUEST, detail),
        Held::Request(_) => Problem::new(StatusCode::INTERNAL_SERVER_ERROR, detail),
        Held::Lost => Problem::new(StatusCode::CONFLICT, detail).retry_after(1),
        Held::Store(_) => Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).retry_after(5),
    }
}

fn refusal_problem(refusal: &Refusal) -> Problem {
    let detail = SafeText::new(&refusal.to_string()).to_string();
    match refusal {
        Refusal::Invalid(_) => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail),
        Refusal::ReadOnly => Problem::new(StatusCode::FORBIDDEN, detail),
        Refusal::NoTargets | Refusal::Pace | Refusal::Nothing(_) => {
            Problem::new(StatusCode::CONFLICT, detail)
        }
        Refusal::Store(_) => Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).retry_after(5),
    }
}

fn answer(code: u16, body: Vec<u8>, replayed: bool) -> Response {
    let code = StatusCode::from_u16(code).unwrap_or(StatusCode::OK);
    let mut response = (code, [(header::CONTENT_TYPE, "application/json")], body).into_response();
    if replayed {
        response.headers_mut().insert("idempotent-replayed", header::HeaderValue::from_static("true"));
    }
    response
}
