//! An onboarding as the tables have it, and the two ways an operator's decision changes it: forward again, or back.

use serde_json::{Value, json};
use sqlx::query;

use super::{
    Conn, letter,
    row::{Columns, Row, strings},
    tx::Tx,
};
use crate::{
    domain::{
        id::{LeaseId, OnboardingId, ReplayId, StateName, WorkerId},
        letter::LetterOutcome,
        onboarding::{Phase, Request, State, Status, WORKFLOW, WORKFLOW_VERSION},
    },
    engine::command::LastAction,
    store::value::Time,
};

/// Numbers beyond were written by others.
const MOST_ATTEMPTS: i64 = 1_000_000;

/// `onboarding_history` with `onboarding_state`.
#[derive(Debug, Clone)]
pub(super) struct Onboarding {
    pub(super) id: OnboardingId,
    pub(super) request: Request,
    pub(super) fingerprint: String,
    /// A word we do not know counts as in progress: somebody works on it in a way we do not understand.
    pub(super) status: Status,
    pub(super) phase: Option<Phase>,
    pub(super) state: Option<String>,
    pub(super) checkpoint: Option<String>,
    pub(super) context: Value,
    /// Why the context cannot be read.
    pub(super) unreadable: Option<String>,
    pub(super) entities_created: Vec<String>,
    pub(super) workflow: String,
    pub(super) workflow_version: i64,
    pub(super) failed_at: Option<Time>,
    pub(super) version: i64,
    /// How often others wrote to it.
    pub(super) elsewhere: i64,
    pub(super) last_action: Option<LastAction>,
}

/// What `work` says of it.
#[derive(Debug, Clone)]
pub(super) struct Work {
    pub(super) owner: Option<WorkerId>,
    pub(super) lease_id: Option<LeaseId>,
    pub(super) lease_until: Option<Time>,
    pub(super) wants_roll_back: bool,
    pub(super) attempt: i64,
    pub(super) lost: i64,
    pub(super) elsewhere: i64,
    pub(super) replay: Option<ReplayId>,
}

impl Work {
    /// Who holds it at `now`, and until when.
    pub(super) fn leased(&self, now: Time) -> Option<(WorkerId, Time)> {
        let until = self.lease_until.filter(|until| *until > now)?;
        Some((self.owner.clone()?, until))
    }
}

macro_rules! select_onboarding {
    () => {
        "SELECT h.id, h.tenant_id, h.repo_url, h.workspace_id, h.fingerprint, h.status, h.phase, \
         coalesce(s.current_state, h.current_state) AS state, s.checkpoint, s.context, \
         CAST(h.entities_created AS text) AS entities_created, \
         h.workflow, h.workflow_version, h.failed_at, \
         h.version, s.version AS s_version, h.elsewhere, s.elsewhere AS s_elsewhere, \
         a.operator AS a_operator, a.kind AS a_kind, a.at AS a_at \
         FROM onboarding_history h LEFT JOIN onboarding_state s ON s.onboarding_id = h.id \
         LEFT JOIN redrive_operator_actions a ON a.id = h.action_id WHERE h.id = $1"
    };
}
macro_rules! select_work {
    () => {
        "SELECT owner, lease_id, lease_until, wish, attempt, lost, elsewhere, replay_id FROM redrive_work \
         WHERE kind = 'onboarding' AND subject_id = $1"
    };
}

fn onboarding_of(row: &Row) -> Result<Onboarding, sqlx::Error> {
    let (context, unreadable) = row.json_or_why("context")?;
    let mut entities_created = strings(&row.json("entities_created")?);
    for id in strings(context.get("entityIds").unwrap_or(&Value::Null)) {
        if !entities_created.contains(&id) {
            entities_created.push(id);
        }
    }
    Ok(Onboarding {
        id: row.id("id")?,
        request: Request {
            tenant_id: row.text("tenant_id")?,
            repo_url: row.text("repo_url")?,
            workspace_id: row.opt_text("workspace_id")?,
        },
        fingerprint: row.text("fingerprint")?,
        status: row.word("status")?.unwrap_or(Status::InProgress),
        phase: row.word("phase")?,
        state: row.opt_text("state")?.filter(|s| !s.is_empty()),
        checkpoint: row.opt_text("checkpoint")?.filter(|state| !state.is_empty()),
        context: if context.is_null() { json!({}) } else { context },
        unreadable,
        entities_created,
        workflow: row.opt_text("workflow")?.unwrap_or_else(|| WORKFLOW.to_owned()),
        workflow_version: row.opt_int("workflow_version")?.unwrap_or(WORKFLOW_VERSION.into()),
        failed_at: row.opt_time("failed_at")?,
        version: row.sum("version", "s_version")?,
        elsewhere: row.sum("elsewhere", "s_elsewhere")?,
        last_action: row.last_action()?,
    })
}

fn work_of(row: &Row) -> Result<Work, sqlx::Error> {
    Ok(Work {
        owner: row.opt_id("owner")?,
        lease_id: row.opt_id("lease_id")?,
        lease_until: row.opt_time("lease_until")?,
        wants_roll_back: row.opt_text("wish")?.as_deref() == Some("roll_back"),
        // There is always a next one.
        attempt: row.int("attempt")?.clamp(0, MOST_ATTEMPTS),
        lost: row.int("lost")?.clamp(0, MOST_ATTEMPTS),
        elsewhere: row.int("elsewhere")?,
        replay: row.opt_id("replay_id")?,
    })
}

/// Looks at it; changes nothing and locks nothing.
pub(super) async fn peek(
    conn: &mut Conn<'_>,
    id: &str,
) -> Result<Option<(Onboarding, Option<Work>)>, sqlx::Error> {
    let Some(row) = query(select_onboarding!()).bind(id).fetch_optional(&mut *conn).await? else {
        return Ok(None);
    };
    let work = query(select_work!()).bind(id).fetch_optional(conn).await?;
    Ok(Some((onboarding_of(&row)?, work.as_ref().map(work_of).transpose()?)))
}

/// Locks its work row, if it has one.
pub(super) async fn lock_work(conn: &mut Conn<'_>, id: &str) -> Result<Option<Work>, sqlx::Error> {
    let row = query(concat!(select_work!(), for_update!())).bind(id).fetch_optional(conn).await?;
    row.as_ref().map(work_of).transpose()
}

/// Locks its history row. After its work row, as everywhere.
pub(super) async fn lock_history(conn: &mut Conn<'_>, id: &str) -> Result<Option<Onboarding>, sqlx::Error> {
    let locked = concat!(select_onboarding!(), for_update_of_h!());
    let row = query(locked).bind(id).fetch_optional(conn).await?;
    row.as_ref().map(onboarding_of).transpose()
}

/// Locks its history row, unless somebody else has: whoever claims does not wait for one row while others are due.
pub(super) async fn lock_history_if_free(conn: &mut Conn<'_>, id: &str) -> Result<Lock, sqlx::Error> {
    let locked = concat!(select_onboarding!(), unless_locked_of_h!());
    if let Some(row) = query(locked).bind(id).fetch_optional(&mut *conn).await? {
        return onboarding_of(&row).map(|found| Lock::Ours(Box::new(found)));
    }
    let there = query("SELECT 1 FROM onboarding_history WHERE id = $1").bind(id);
    Ok(there.fetch_optional(conn).await?.map_or(Lock::Nothing, |_| Lock::Others))
}

/// What locking a row that may be another's came to.
pub(super) enum Lock {
    /// It is ours.
    Ours(Box<Onboarding>),
    /// Somebody else holds it.
    Others,
    /// There is no such row.
    Nothing,
}

/// Another onboarding that is live or completed for the same request.
pub(super) async fn superseded_by(
    conn: &mut Conn<'_>,
    onboarding: &Onboarding,
) -> Result<Option<OnboardingId>, sqlx::Error> {
    let select = "SELECT id FROM onboarding_history WHERE fingerprint = $1 AND tenant_id = $2 AND repo_url = $3 \
        AND coalesce(workspace_id, '') = $4 AND id <> $5 AND status NOT IN ('failed', 'failed_cleaned_up') LIMIT 1";
    let request = &onboarding.request;
    let row = query(select)
        .bind(&onboarding.fingerprint)
        .bind(&request.tenant_id)
        .bind(&request.repo_url)
        .bind(request.workspace_id.as_deref().unwrap_or_default())
        .bind(onboarding.id.as_str())
        .fetch_optional(conn)
        .await?;
    row.map(|row| row.id("id")).transpose()
}

impl Onboarding {
    /// The state to run next, or while going back the last one that went forward.
    pub(super) fn next_state(&self, going_back: bool) -> StateName {
        let rolling_back = State::RollingBack.as_str();
        let state = self.state.as_deref().unwrap_or(State::Received.as_str());
        if !going_back || state != rolling_back {
            return state.into();
        }
        match self.checkpoint.as_deref() {
            Some(checkpoint) => checkpoint.into(),
            // Others note none: their entities, if they noted any, still go.
            None => State::Registering.name(),
        }
    }
}

/// Forward again at `due`, with fresh attempts. The caller has judged it and holds its locks.
pub(super) async fn resume(
    tx: &mut Tx,
    onboarding: &Onboarding,
    due: Time,
    action: &str,
    replay: Option<&ReplayId>,
) -> Result<(), sqlx::Error> {
    let (id, now) = (onboarding.id.as_str(), tx.now);
    own(tx, id, Phase::Queued, onboarding.phase, Status::InProgress, Some(action)).await?;
    query(
        "UPDATE onboarding_history SET failed_at = NULL, attempt = 0, revision = revision + 1 WHERE id = $1",
    )
    .bind(id)
    .execute(tx.conn())
    .await?;
    let state = onboarding.next_state(false);
    let keep = "INSERT INTO onboarding_state (onboarding_id, current_state, checkpoint, context, last_checkpoint, updated_at, revision) \
        VALUES ($1, $2, $2, $3, $4, $4, 1) ON CONFLICT (onboarding_id) DO UPDATE SET current_state = excluded.current_state, \
        checkpoint = excluded.checkpoint, last_checkpoint = excluded.last_checkpoint, updated_at = excluded.updated_at, \
        revision = onboarding_state.revision + 1";
    let keep = query(keep).bind(id).bind(state.as_str()).bind("{}").bind(now);
    keep.execute(tx.conn()).await?;
    queue(tx, id, due, replay).await?;
    // A stored permanent error would only be replayed: fresh attempts run again.
    let freed = "UPDATE idempotency_keys SET phase = 'freed', response_code = NULL, response_body = NULL, \
        response_raw = NULL, revision = revision + 1, version = version + 1 \
        WHERE onboarding_id = $1 AND phase = 'failed'";
    query(freed).bind(id).execute(tx.conn()).await?;
    Ok(())
}

/// Back from here, by itself: nobody holds it, or its holder is just letting go.
pub(super) async fn begin_roll_back(
    tx: &mut Tx,
    onboarding: &Onboarding,
    action: Option<&str>,
) -> Result<(), sqlx::Error> {
    let (id, now) = (onboarding.id.as_str(), tx.now);
    // Where another onboarding stands for the request, this one keeps its place among the failed.
    let status = match superseded_by(tx.conn(), onboarding).await? {
        Some(_) => Status::Failed,
        None => Status::InProgress,
    };
    own(tx, id, Phase::RollingBack, onboarding.phase, status, action).await?;
    let update = "UPDATE onboarding_history SET current_state = 'ROLLING_BACK', attempt = 0, revision = revision + 1 WHERE id = $1";
    query(update).bind(id).execute(tx.conn()).await?;
    let keep = "INSERT INTO onboarding_state (onboarding_id, current_state, context, checkpoint, last_checkpoint, updated_at, revision) \
        VALUES ($1, 'ROLLING_BACK', '{}', $2, $3, $4, 1) ON CONFLICT (onboarding_id) DO UPDATE SET \
        current_state = 'ROLLING_BACK', checkpoint = coalesce(excluded.checkpoint, onboarding_state.checkpoint), \
        last_checkpoint = coalesce(excluded.last_checkpoint, onboarding_state.last_checkpoint), \
        updated_at = excluded.updated_at, revision = onboarding_state.revision + 1";
    let last = onboarding.state.as_deref().filter(|state| *state != State::RollingBack.as_str());
    let keep = query(keep).bind(id).bind(last).bind(last.map(|_| now)).bind(now);
    keep.execute(tx.conn()).await?;
    queue(tx, id, now, None).await?;
    let again = "UPDATE redrive_compensations SET status = 'recorded', attempts = 0 WHERE onboarding_id = $1 AND status = 'failed'";
    query(again).bind(id).execute(tx.conn()).await?;
    letter::close(tx, id, LetterOutcome::RolledBack, None, action).await?;
    super::step_key::free_started(tx, id, None).await
}

/// Makes the row ours in `phase`; `version` moves, because this is a decision.
async fn own(
    tx: &mut Tx,
    id: &str,
    phase: Phase,
    was: Option<Phase>,
    status: Status,
    action: Option<&str>,
) -> Result<(), sqlx::Error> {
    debug_assert!(was != Some(Phase::RolledBack), "nothing leads out of rolled_back");
    let update = "UPDATE onboarding_history SET status = $2, phase = $3, workflow = coalesce(workflow, $4), \
        workflow_version = coalesce(workflow_version, $5), action_id = coalesce($6, action_id), \
        revision = revision + 1, version = version + 1 WHERE id = $1";
    let update = query(update).bind(id).bind(status.as_str()).bind(phase.as_str()).bind(WORKFLOW);
    update.bind(i64::from(WORKFLOW_VERSION)).bind(action).execute(tx.conn()).await.map(|_| ())
}

/// Puts it before the workers, due at `due`, whatever its work row said before.
pub(super) async fn queue(
    tx: &mut Tx,
    id: &str,
    due: Time,
    replay: Option<&ReplayId>,
) -> Result<(), sqlx::Error> {
    let upsert = "INSERT INTO redrive_work (kind, subject_id, run_at, replay_id) VALUES ('onboarding', $1, $2, $3) \
        ON CONFLICT (kind, subject_id) DO UPDATE SET run_at = excluded.run_at, parked_by = NULL, attempt = 0, lost = 0, \
        owner = NULL, lease_id = NULL, lease_until = NULL, wish = NULL, replay_id = excluded.replay_id";
    let upsert = query(upsert).bind(id).bind(due).bind(replay.map(ReplayId::as_str));
    upsert.execute(tx.conn()).await?;
    tx.has_work = true;
    Ok(())
}
