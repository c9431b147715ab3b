//! Answering a trigger: the onboarding that stands for the request is found, resumed, or begun.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use sqlx::query;

use super::{
    Conn,
    act::{Acted, of_onboarding},
    letter, onboarding,
    onboarding::Onboarding,
    row::Columns,
    tx::Tx,
};
use crate::{
    clock,
    domain::{
        id::{OnboardingId, StateName},
        letter::LetterOutcome,
        onboarding::{Phase, Request, State, Status, TriggerStatus, WORKFLOW, WORKFLOW_VERSION},
    },
    engine::command::TriggerAnswer,
    store::{
        error::Fail,
        value::{clean, clean_json},
    },
};

/// What is to stand, and how it begins if nothing does.
pub(super) struct Begin {
    workflow: String,
    version: i32,
    state: StateName,
    request: Request,
    fingerprint: String,
    input: Value,
}

impl Begin {
    pub(super) fn new(
        workflow: &str,
        version: i32,
        state: StateName,
        request: &Request,
        input: Value,
    ) -> Self {
        let workflow = clean(workflow);
        let request = Request {
            tenant_id: clean(&request.tenant_id),
            repo_url: clean(&request.repo_url),
            workspace_id: request.workspace_id.as_deref().map(clean),
        };
        let fingerprint = request.fingerprint_in(&workflow);
        Self { workflow, version, state, request, fingerprint, input }
    }

    pub(super) fn pipeline(request: &Request) -> Self {
        Self::new(WORKFLOW, WORKFLOW_VERSION, State::Received.name(), request, json!({}))
    }
}

pub(super) async fn trigger(tx: &mut Tx, what: &Begin, action: &str) -> Result<Acted, Fail> {
    // The unique index settles the race of two first triggers: who loses finds the winner's row.
    loop {
        if let Some(found) = newest(tx.conn(), what).await? {
            let work = onboarding::lock_work(tx.conn(), &found).await?;
            let Some(onboarding) = onboarding::lock_history(tx.conn(), &found).await? else { continue };
            // It was rolled back between the two looks: then it stands for nothing any more.
            if onboarding.status == Status::FailedCleanedUp {
                continue;
            }
            return found_one(tx, onboarding, work.is_some(), action).await;
        }
        if let Some(acted) = begin(tx, what, action).await? {
            return Ok(acted);
        }
    }
}

/// The row that stands for the request, or the newest that failed. A fingerprint alone is not enough: `:` can occur
/// in the parts.
pub(super) async fn newest(conn: &mut Conn<'_>, what: &Begin) -> Result<Option<String>, sqlx::Error> {
    let select = "SELECT id FROM onboarding_history WHERE fingerprint = $1 AND tenant_id = $2 AND repo_url = $3 \
        AND coalesce(workspace_id, '') = $4 AND status <> 'failed_cleaned_up' \
        ORDER BY CASE WHEN status = 'failed' THEN 1 ELSE 0 END, created_at DESC, id DESC LIMIT 1";
    let request = &what.request;
    let row = query(select)
        .bind(&what.fingerprint)
        .bind(&request.tenant_id)
        .bind(&request.repo_url)
        .bind(request.workspace_id.as_deref().unwrap_or_default())
        .fetch_optional(conn)
        .await?;
    row.map(|row| row.text("id")).transpose()
}

async fn begin(tx: &mut Tx, what: &Begin, action: &str) -> Result<Option<Acted>, Fail> {
    let id = OnboardingId(clock::new_id());
    if !start(tx, &id, what, action).await? {
        return Ok(None);
    }
    let Some(onboarding) = onboarding::lock_history(tx.conn(), id.as_str()).await? else { return Ok(None) };
    let answer = said(tx, &onboarding, TriggerStatus::Started, format!("{} started", what.workflow)).await?;
    Ok(Some(Acted { touched: vec![of_onboarding(id.0, None)], triggered: Some(answer), ..Acted::default() }))
}

/// A new onboarding, queued.
async fn start(tx: &mut Tx, id: &OnboardingId, begin: &Begin, action: &str) -> Result<bool, sqlx::Error> {
    let insert = "INSERT INTO onboarding_history (id, tenant_id, repo_url, workspace_id, fingerprint, status, current_state, \
        created_at, phase, workflow, workflow_version, action_id, revision, version) \
        VALUES ($1, $2, $3, $4, $5, 'in_progress', $6, $7, 'queued', $8, $9, $10, 1, 1) ON CONFLICT DO NOTHING";
    let (request, first) = (&begin.request, clean(begin.state.as_str()));
    let insert = query(insert)
        .bind(id.as_str())
        .bind(&request.tenant_id)
        .bind(&request.repo_url)
        .bind(request.workspace_id.as_deref())
        .bind(&begin.fingerprint)
        .bind(&first)
        .bind(tx.now)
        .bind(&begin.workflow)
        .bind(i64::from(begin.version))
        .bind(action);
    if insert.execute(tx.conn()).await?.rows_affected() == 0 {
        return Ok(false);
    }
    let now = tx.now;
    let state = "INSERT INTO onboarding_state (onboarding_id, current_state, checkpoint, context, last_checkpoint, updated_at, revision) \
        VALUES ($1, $2, $2, $3, $4, $4, 1) ON CONFLICT (onboarding_id) DO NOTHING";
    let input = clean_json(&begin.input).to_string();
    let state = query(state).bind(id.as_str()).bind(&first).bind(input).bind(now);
    state.execute(tx.conn()).await?;
    onboarding::queue(tx, id.as_str(), now, None).await?;
    Ok(true)
}

async fn found_one(tx: &mut Tx, found: Onboarding, has_work: bool, action: &str) -> Result<Acted, Fail> {
    let going_back = matches!(found.phase, Some(Phase::RollingBack | Phase::Stuck))
        || found.state.as_deref() == Some("ROLLING_BACK");
    let quiet = |answer| Acted { triggered: Some(answer), ..Acted::default() };
    match found.status {
        Status::Completed if !going_back => {
            let message = "already completed".to_owned();
            Ok(quiet(said(tx, &found, TriggerStatus::AlreadyCompleted, message).await?))
        }
        _ if going_back => {
            let message = match has_work {
                true => "its roll-back is running: trigger again when it is finished",
                false => "its roll-back stands: it must be finished by an operator before it can begin anew",
            };
            Ok(quiet(said(tx, &found, TriggerStatus::InProgress, message.to_owned()).await?))
        }
        Status::Failed => {
            let retry_at = found.failed_at.map(|failed| failed.plus(tx.rules.cool_down));
            if let Some(retry_at) = retry_at.filter(|at| *at > tx.now) {
                let message =
                    format!("failed lately: try again at {} UTC", retry_at.0.format("%Y-%m-%d %H:%M:%S"));
                let mut answer = said(tx, &found, TriggerStatus::CoolingDown, message).await?;
                answer.retry_at = Some(retry_at.0);
                return Ok(quiet(answer));
            }
            letter::close(tx, found.id.as_str(), LetterOutcome::Resumed, None, Some(action)).await?;
            let due = tx.now;
            onboarding::resume(tx, &found, due, action, None).await?;
            let message = format!("resumed from {}", found.next_state(false));
            let answer = said(tx, &found, TriggerStatus::Resumed, message).await?;
            Ok(Acted {
                touched: vec![of_onboarding(found.id.0, None)],
                triggered: Some(answer),
                ..Acted::default()
            })
        }
        _ => {
            let message = "already in progress".to_owned();
            Ok(quiet(said(tx, &found, TriggerStatus::InProgress, message).await?))
        }
    }
}

async fn said(
    tx: &mut Tx,
    onboarding: &Onboarding,
    status: TriggerStatus,
    message: String,
) -> Result<TriggerAnswer, sqlx::Error> {
    let mut entities: BTreeSet<String> = onboarding.entities_created.iter().cloned().collect();
    let owned = "SELECT entity_id FROM redrive_entity_owners WHERE onboarding_id = $1 ORDER BY entity_id";
    for row in query(owned).bind(onboarding.id.as_str()).fetch_all(tx.conn()).await? {
        entities.insert(row.text("entity_id")?);
    }
    Ok(TriggerAnswer {
        onboarding_id: onboarding.id.clone(),
        status,
        current_state: onboarding.state.clone().map(Into::into),
        entities: entities.into_iter().collect(),
        message,
        retry_at: None,
    })
}
