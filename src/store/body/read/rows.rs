//! One row each of the lists, from the columns their selects name.

use super::super::{
    row::{Columns, Row, told},
    standing,
};
use crate::{
    domain::{
        key::KeyStatus,
        letter::{LetterReason, LetterStatus},
        onboarding::{Phase, Status},
    },
    engine::reader::{KeyRow, LetterRow, OnboardingRow},
    store::value::Time,
};

pub(super) const ONBOARDING: &str = "SELECT h.id, h.tenant_id, h.repo_url, h.workspace_id, h.status, h.phase, \
    coalesce(s.current_state, h.current_state) AS state, coalesce(w.attempt, h.attempt) AS attempt, h.error, \
    w.run_at, w.parked_by, w.owner, w.lease_until, \
    (SELECT l.id FROM redrive_dead_letters l WHERE l.onboarding_id = h.id AND l.status = 'open' ORDER BY l.created_at DESC, l.id DESC LIMIT 1) AS letter, \
    h.created_at, s.updated_at, h.failed_at, h.cleaned_up_at, h.version, s.version AS s_version, \
    a.operator AS a_operator, a.kind AS a_kind, a.at AS a_at ";
pub(super) const ONBOARDING_FROM: &str = "FROM onboarding_history h \
    LEFT JOIN onboarding_state s ON s.onboarding_id = h.id \
    LEFT JOIN redrive_work w ON w.kind = 'onboarding' AND w.subject_id = h.id \
    LEFT JOIN redrive_operator_actions a ON a.id = h.action_id ";

pub(super) fn onboarding(row: &Row, now: Time) -> Result<OnboardingRow, sqlx::Error> {
    let phase: Option<Phase> = row.word("phase")?;
    let lease_until = row.opt_time("lease_until")?;
    let leased = lease_until.is_some_and(|until| until > now);
    let created_at = row.time("created_at")?;
    let moved = [row.opt_time("updated_at")?, row.opt_time("failed_at")?, row.opt_time("cleaned_up_at")?];
    let waits = !leased && phase.is_some_and(Phase::is_live);
    Ok(OnboardingRow {
        id: row.id("id")?,
        tenant_id: row.name("tenant_id")?,
        repo_url: row.told("repo_url")?,
        workspace_id: row.opt_name("workspace_id")?,
        status: row.word("status")?.unwrap_or(Status::InProgress),
        phase,
        current_state: row.opt_id("state")?,
        attempt: row.int32("attempt")?,
        error: row.opt_told("error")?,
        run_at: row.opt_time("run_at")?.filter(|_| waits).map(|t| t.0),
        parked_by: row.opt_name("parked_by")?,
        owner: row.opt_id("owner")?.filter(|_| leased),
        lease_until: lease_until.filter(|_| leased).map(|t| t.0),
        letter: row.opt_id("letter")?,
        created_at: created_at.0,
        updated_at: moved.into_iter().flatten().fold(created_at, Time::max).0,
        failed_at: row.opt_time("failed_at")?.map(|t| t.0),
        version: row.sum("version", "s_version")?,
        last_action: row.last_action()?,
    })
}

pub(super) const KEY: &str = "SELECT k.key, k.operation, k.status, k.phase, k.request_hash, k.conflicts, k.attempts, \
    CAST(k.response_code AS bigint) AS response_code, k.created_at, k.locked_at, k.locked_by, k.lease_until, k.expires_at, \
    k.onboarding_id, k.version, w.beat_at, a.operator AS a_operator, a.kind AS a_kind, a.at AS a_at ";
pub(super) const KEY_FROM: &str = "FROM idempotency_keys k LEFT JOIN redrive_workers w ON w.id = k.locked_by \
    LEFT JOIN redrive_operator_actions a ON a.id = k.action_id ";

pub(super) fn key(row: &Row, now: Time) -> Result<KeyRow, sqlx::Error> {
    // A word we do not know counts as in flight, as `begin` judges it.
    let status = row.word("status")?.unwrap_or(KeyStatus::Started);
    let lease_until = row.opt_time("lease_until")?;
    Ok(KeyRow {
        key: row.id("key")?,
        operation: row.opt_name("operation")?,
        status,
        phase: row.word("phase")?,
        request_hash: row.name("request_hash")?,
        conflicts: row.int32("conflicts")?,
        attempts: row.int32("attempts")?,
        response_code: row.opt_int("response_code")?.map(|code| i32::try_from(code).unwrap_or(i32::MAX)),
        created_at: row.time("created_at")?.0,
        locked_at: row.opt_time("locked_at")?.map(|t| t.0),
        locked_by: row.opt_name("locked_by")?,
        lease_until: lease_until.map(|t| t.0),
        holder_alive: standing::holder_alive(row, now)?,
        life: standing::life_of(row, now)?,
        stuck: status == KeyStatus::Started && lease_until.is_none_or(|until| until <= now),
        expires_at: row.opt_time("expires_at")?.map(|t| t.0),
        onboarding: row.opt_id("onboarding_id")?,
        version: row.int("version")?,
        last_action: row.last_action()?,
    })
}

pub(super) const LETTER: &str = "SELECT l.id, l.onboarding_id, l.tenant_id, l.repo_url, l.state, l.operation, l.error, \
    l.error_fingerprint, l.reason, l.status, l.outcome, l.replays, l.created_at, l.version, \
    a.operator AS a_operator, a.kind AS a_kind, a.at AS a_at ";
pub(super) const LETTER_FROM: &str =
    "FROM redrive_dead_letters l LEFT JOIN redrive_operator_actions a ON a.id = l.action_id ";

pub(super) fn letter(row: &Row) -> Result<LetterRow, sqlx::Error> {
    Ok(LetterRow {
        id: row.id("id")?,
        onboarding: row.id("onboarding_id")?,
        label: told(&format!("{} {}", row.text("tenant_id")?, row.text("repo_url")?)),
        state: row.id("state")?,
        operation: row.opt_name("operation")?,
        error: row.told("error")?,
        error_fingerprint: row.text("error_fingerprint")?,
        reason: row.word("reason")?.unwrap_or(LetterReason::Exhausted),
        status: row.word("status")?.unwrap_or(LetterStatus::Quarantined),
        outcome: row.word("outcome")?,
        replays: row.int32("replays")?,
        created_at: row.time("created_at")?.0,
        version: row.int("version")?,
        last_action: row.last_action()?,
    })
}
