//! Leases: taking due work, keeping it, and what a claimed row carries.

use std::time::Duration;

use chrono::TimeDelta;
use sqlx::{QueryBuilder, query};

use super::{
    Conn, Db,
    attempt::{Held, close_lost, open_attempt},
    onboarding,
    onboarding::{Lock, Onboarding},
    row::{Columns, Row},
    steering, step_key,
    tx::Tx,
};
use crate::{
    clock,
    domain::{
        attempt::CompensationStatus,
        fault::FaultClass,
        id::{LeaseId, OnboardingId, StateName, WorkerId},
        onboarding::{Phase, State, WORKFLOW, WORKFLOW_VERSION},
    },
    engine::{
        runs::Runs,
        store::{Claimed, Compensation, Direction, FailedAt, Lease},
    },
    store::value::Time,
};

/// Leaves out what would go forward while its workflow is paused at `now`; a roll-back goes on.
fn unless_paused(sql: &mut QueryBuilder<Db>, now: Time) {
    sql.push(
        " AND (wish IS NOT NULL OR NOT EXISTS (SELECT 1 FROM onboarding_history h \
         JOIN redrive_circuits c ON c.operation = coalesce(h.workflow, 'onboarding') WHERE h.id = redrive_work.subject_id \
         AND coalesce(h.phase, '') <> 'rolling_back' AND c.paused_at IS NOT NULL \
         AND (c.paused_until IS NULL OR c.paused_until > ",
    );
    sql.push_bind(now).push(")))");
}

/// Leaves out what `runs` cannot: other workflows, and versions beyond its newest. What is not ours any more stays in, to
/// be dismissed.
fn unless_beyond(sql: &mut QueryBuilder<Db>, runs: &Runs) {
    sql.push(
        " AND NOT EXISTS (SELECT 1 FROM onboarding_history r WHERE r.id = redrive_work.subject_id AND r.phase IS NOT NULL",
    );
    for (workflow, newest) in runs.newest() {
        sql.push(" AND NOT (coalesce(r.workflow, '").push(WORKFLOW).push("') = ").push_bind(workflow);
        // Others write words where numbers are: as they are read, they count as one.
        sql.push(" AND CAST(coalesce(r.workflow_version, ").push(WORKFLOW_VERSION).push(") AS bigint) <= ");
        sql.push_bind(i64::from(newest)).push(")");
    }
    sql.push(")");
}

/// Until a row that somebody else has locked is looked at again.
const A_MOMENT: Duration = Duration::from_secs(1);

/// Leaves in `taking` the row at which it failed, if it was at one.
pub(super) async fn claim(
    tx: &mut Tx,
    worker: &WorkerId,
    runs: &Runs,
    limit: usize,
    lease: Duration,
    taking: &mut Option<OnboardingId>,
) -> Result<Vec<Claimed>, sqlx::Error> {
    *taking = None;
    // While a row is leased its run_at is the lease's end, so what is due is one range of the index.
    let mut due = QueryBuilder::<Db>::new("SELECT subject_id FROM redrive_work WHERE run_at <= ");
    due.push_bind(tx.now).push(" AND (lease_until IS NULL OR lease_until <= ").push_bind(tx.now).push(")");
    unless_beyond(&mut due, runs);
    let now = tx.now;
    if steering::anything_paused(tx.conn(), now).await? {
        unless_paused(&mut due, now);
    }
    due.push(" ORDER BY run_at, subject_id LIMIT ").push_bind(i64::try_from(limit).unwrap_or(i64::MAX));
    due.push(skip_locked!());
    let due = due.build().fetch_all(tx.conn()).await?;
    let mut claimed = Vec::with_capacity(due.len());
    for row in due {
        let id = row.text("subject_id")?;
        *taking = Some(OnboardingId(id.clone()));
        claimed.extend(take(tx, &id, worker, runs, lease).await?);
    }
    *taking = None;
    Ok(claimed)
}

/// Takes one row that is due and locked. `None`: it is not ours any more.
async fn take(
    tx: &mut Tx,
    id: &str,
    worker: &WorkerId,
    runs: &Runs,
    lease: Duration,
) -> Result<Option<Claimed>, sqlx::Error> {
    let work = onboarding::lock_work(tx.conn(), id).await?;
    let found = match onboarding::lock_history_if_free(tx.conn(), id).await? {
        Lock::Ours(found) => Some(*found),
        Lock::Others => return look_again(tx, id).await,
        Lock::Nothing => None,
    };
    let (Some(mut work), Some(mut found)) = (work, found) else { return dismiss(tx, id).await };
    // Others have ended it, or taken it: their word counts.
    if !found.phase.is_some_and(Phase::is_live) {
        return dismiss(tx, id).await;
    }
    if close_lost(tx, id).await? > 0 {
        work.lost += 1;
    }
    if work.wants_roll_back && found.phase != Some(Phase::RollingBack) {
        onboarding::begin_roll_back(tx, &found, None).await?;
        (work.attempt, work.lost) = (0, 0);
        match onboarding::lock_history(tx.conn(), id).await? {
            Some(again) => found = again,
            None => return Ok(None),
        }
    }
    let direction = match found.phase {
        Some(Phase::RollingBack) => Direction::Back,
        _ => Direction::Forward,
    };
    let state = found.next_state(direction == Direction::Back);
    let version = i32::try_from(found.workflow_version).unwrap_or(i32::MAX);
    let version = runs.version_for(&found.workflow, version, direction, &state).unwrap_or(version);
    let (lease_id, until, attempt) = (LeaseId(clock::new_id()), tx.now.plus(lease), work.attempt + 1);
    let update = "UPDATE redrive_work SET owner = $2, lease_id = $3, epoch = epoch + 1, lease_until = $4, run_at = $4, parked_by = NULL, \
        attempt = $5, lost = $6, elsewhere = $7, wish = NULL WHERE kind = 'onboarding' AND subject_id = $1";
    query(update)
        .bind(id)
        .bind(worker.as_str())
        .bind(lease_id.as_str())
        .bind(until)
        .bind(attempt)
        .bind(work.lost)
        .bind(found.elsewhere)
        .execute(tx.conn())
        .await?;
    let running = "UPDATE onboarding_history SET phase = CASE WHEN phase = 'rolling_back' THEN phase ELSE 'running' END, \
        attempt = $2, workflow_version = $3, revision = revision + 1 WHERE id = $1";
    query(running).bind(id).bind(attempt).bind(i64::from(version)).execute(tx.conn()).await?;
    let held = Held { id, worker: worker.as_str(), lease: &lease_id, until };
    let tried = match direction {
        Direction::Forward => state.as_str(),
        Direction::Back => State::RollingBack.as_str(),
    };
    open_attempt(tx, &held, tried, attempt).await?;
    if direction == Direction::Forward {
        step_key::start_again(tx, &held, state.as_str()).await?;
    }
    let failed_at = failed_at(tx.conn(), id, tried).await?;
    let done = subtasks(tx.conn(), id, &state).await?;
    let compensations = compensations(tx.conn(), id).await?;
    let small = |n: i64| u32::try_from(n).unwrap_or(u32::MAX);
    let Onboarding { request, workflow, context, unreadable, entities_created, .. } = found;
    Ok(Some(Claimed {
        lease: Lease { onboarding: OnboardingId(id.to_owned()), id: lease_id },
        request,
        workflow,
        workflow_version: version,
        direction,
        state,
        context,
        unreadable,
        attempt: small(attempt),
        lost: small(work.lost),
        failed_at,
        done,
        compensations,
        entities_created,
        replay: work.replay,
    }))
}

/// Somebody else is writing to it: it is due again in a moment.
async fn look_again(tx: &mut Tx, id: &str) -> Result<Option<Claimed>, sqlx::Error> {
    let later = "UPDATE redrive_work SET run_at = $2 WHERE kind = 'onboarding' AND subject_id = $1";
    query(later).bind(id).bind(tx.now.plus(A_MOMENT)).execute(tx.conn()).await?;
    Ok(None)
}

/// Work on something that is not ours any more ends, quietly.
async fn dismiss(tx: &mut Tx, id: &str) -> Result<Option<Claimed>, sqlx::Error> {
    close_lost(tx, id).await?;
    step_key::free_started(tx, id, None).await?;
    query("DELETE FROM redrive_work WHERE kind = 'onboarding' AND subject_id = $1")
        .bind(id)
        .execute(tx.conn())
        .await?;
    Ok(None)
}

async fn failed_at(conn: &mut Conn<'_>, id: &str, state: &str) -> Result<Option<FailedAt>, sqlx::Error> {
    let select = "SELECT operation, class FROM redrive_attempts WHERE onboarding_id = $1 AND state = $2 AND outcome = 'failed' \
        ORDER BY seq DESC LIMIT 1";
    let row = query(select).bind(id).bind(state).fetch_optional(conn).await?;
    let Some(row) = row else { return Ok(None) };
    let timed_out = row.word("class")? == Some(FaultClass::Timeout);
    Ok(row.opt_text("operation")?.map(|operation| FailedAt { operation, timed_out }))
}

async fn subtasks(conn: &mut Conn<'_>, id: &str, state: &StateName) -> Result<Vec<String>, sqlx::Error> {
    let select = "SELECT subtask FROM onboarding_progress WHERE onboarding_id = $1 AND state = $2 ORDER BY completed_at, subtask";
    let rows = query(select).bind(id).bind(state.as_str()).fetch_all(conn).await?;
    rows.iter().map(|row| row.text("subtask")).collect()
}

async fn compensations(conn: &mut Conn<'_>, id: &str) -> Result<Vec<Compensation>, sqlx::Error> {
    let select = concat!(
        "SELECT c.seq, c.state, c.operation, c.name, CAST(c.args AS text) AS args, c.status, c.attempts, c.error, ",
        relied_on_by!(),
        " FROM redrive_compensations c WHERE c.onboarding_id = $1 ORDER BY c.seq"
    );
    let compensation = |row: &Row| {
        let (args, unreadable) = row.json_or_why("args")?;
        Ok(Compensation {
            seq: row.int32("seq")?,
            state: row.id("state")?,
            operation: row.text("operation")?,
            name: row.text("name")?,
            args,
            status: row.word("status")?.unwrap_or(CompensationStatus::Recorded),
            relied_on_by: row.opt_text("relied_on_by")?.map(OnboardingId),
            attempts: u32::try_from(row.int("attempts")?).unwrap_or(u32::MAX),
            error: row.opt_text("error")?,
            unreadable,
        })
    };
    query(select).bind(id).fetch_all(conn).await?.iter().map(compensation).collect()
}

/// How long until the earliest work is due that may be claimed, or, negative, for how long it has waited.
pub(super) async fn next_due(
    conn: &mut Conn<'_>,
    now: Time,
    runs: &Runs,
) -> Result<Option<TimeDelta>, sqlx::Error> {
    let mut due = QueryBuilder::<Db>::new("SELECT run_at AS due FROM redrive_work WHERE TRUE");
    unless_beyond(&mut due, runs);
    if steering::anything_paused(conn, now).await? {
        unless_paused(&mut due, now);
    }
    let row = due.push(" ORDER BY run_at LIMIT 1").build().fetch_optional(conn).await?;
    let due = row.map(|row| row.time("due")).transpose()?;
    Ok(due.map(|due| due.0 - now.0))
}

pub(super) async fn renew(tx: &mut Tx, leases: &[Lease], lease: Duration) -> Result<Vec<Lease>, sqlx::Error> {
    let until = tx.now.plus(lease);
    let mut sorted: Vec<&Lease> = leases.iter().collect();
    sorted.sort_by_key(|lease| &lease.onboarding);
    let mut lost = Vec::new();
    for lease in sorted {
        // A write by others fences the holder; here it learns of it before its next record.
        let renew = "UPDATE redrive_work SET lease_until = $3, run_at = $3 WHERE kind = 'onboarding' AND subject_id = $1 \
            AND lease_id = $2 AND elsewhere = (SELECT h.elsewhere + coalesce(s.elsewhere, 0) \
            FROM onboarding_history h LEFT JOIN onboarding_state s ON s.onboarding_id = h.id WHERE h.id = $1)";
        let renew = query(renew).bind(lease.onboarding.as_str()).bind(lease.id.as_str()).bind(until);
        if renew.execute(tx.conn()).await?.rows_affected() == 0 {
            lost.push(lease.clone());
            continue;
        }
        step_key::keep(tx, lease.onboarding.as_str(), &lease.id, until).await?;
    }
    Ok(lost)
}
