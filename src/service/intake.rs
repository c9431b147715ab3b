//! `POST /onboardings` and `GET /onboardings/{id}`. JSON is camelCase. Keys are the layer's, in `idempotency`.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::{
        Path, State,
        rejection::{BytesRejection, PathRejection},
    },
    http::StatusCode,
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
        command::{Asker, Command, Refusal, Submission},
        reader::{Detail, Page, Query},
    },
};

/// What the intake's keys protect.
pub(super) const OPERATION: &str = "onboardings.trigger";

pub(super) async fn trigger(
    State(service): State<Arc<Service>>,
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
    submit(&service, request).await
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
    Ok(Json(body).into_response())
}

async fn submit(service: &Service, request: Request) -> Result<Response, Problem> {
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
    Ok((code, Json(answer)).into_response())
}

fn refusal_problem(refusal: &Refusal) -> Problem {
    let detail = SafeText::new(&refusal.to_string()).to_string();
    match refusal {
        Refusal::Invalid(_) => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail),
        Refusal::ReadOnly => Problem::new(StatusCode::FORBIDDEN, detail),
        Refusal::NoTargets | Refusal::Pace | Refusal::RefailLimit | Refusal::Limit | Refusal::Nothing(_) => {
            Problem::new(StatusCode::CONFLICT, detail)
        }
        Refusal::Store(_) => Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).retry_after(5),
    }
}
