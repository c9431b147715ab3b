//! Attempts: opened with a claim or with the commit that records the state before, closed by whoever holds the lease, or
//! by the next claim when nobody did.

use std::time::Duration;

use sqlx::query;

use super::{record::Step, tx::Tx};
use crate::{
    domain::{attempt::AttemptOutcome, fault::Fault, id::LeaseId, onboarding::Phase},
    store::value::{Time, clean},
};

/// Who holds what, while it writes.
pub(super) struct Held<'a> {
    pub(super) id: &'a str,
    pub(super) worker: &'a str,
    pub(super) lease: &'a LeaseId,
    pub(super) until: Time,
}

pub(super) async fn open_attempt(
    tx: &mut Tx,
    held: &Held<'_>,
    state: &str,
    attempt: i64,
) -> Result<(), sqlx::Error> {
    let insert = "INSERT INTO redrive_attempts (onboarding_id, seq, state, attempt, worker, lease_id, started_at) \
        SELECT $1, coalesce(max(seq), 0) + 1, $2, $3, $4, $5, $6 FROM redrive_attempts WHERE onboarding_id = $1";
    let insert = query(insert).bind(held.id).bind(state).bind(attempt).bind(held.worker);
    insert.bind(held.lease.as_str()).bind(tx.now).execute(tx.conn()).await.map(|_| ())
}

/// Closes what a vanished worker left open.
pub(super) async fn close_lost(tx: &mut Tx, id: &str) -> Result<u64, sqlx::Error> {
    let update = "UPDATE redrive_attempts SET ended_at = $2, outcome = 'lost', reason = 'its worker vanished and the lease ran out' \
        WHERE onboarding_id = $1 AND ended_at IS NULL";
    let update = query(update).bind(id).bind(tx.now).execute(tx.conn()).await?;
    Ok(update.rows_affected())
}

/// How an attempt's row is closed.
pub(super) struct Closing<'a> {
    pub(super) fault: Option<&'a Fault>,
    pub(super) reason: Option<&'a str>,
    pub(super) delay: Option<Duration>,
    pub(super) outcome: AttemptOutcome,
}

/// Closes the attempt that is open under the lease. `false`: there is none, so this record was taken before.
pub(super) async fn close_attempt(
    tx: &mut Tx,
    step: &Step<'_>,
    closing: Closing<'_>,
) -> Result<bool, sqlx::Error> {
    // Going back, one attempt spans many compensations and is counted by the claim alone.
    let going_back = step.onboarding.phase == Some(Phase::RollingBack);
    let update = "UPDATE redrive_attempts SET ended_at = $3, outcome = $4, operation = $5, class = $6, http_status = $7, error = $8, \
        reason = $9, delay_seconds = $10 WHERE onboarding_id = $1 AND lease_id = $2 AND ended_at IS NULL \
        AND ($11 OR (state = $12 AND attempt = $13))";
    let fault = closing.fault;
    let update = query(update)
        .bind(step.id())
        .bind(step.record.lease.id.as_str())
        .bind(tx.now)
        .bind(closing.outcome.as_str())
        .bind(fault.and_then(|f| f.operation.as_deref()).map(clean))
        .bind(fault.map(|f| f.class.as_str()))
        .bind(fault.and_then(|f| f.http_status).map(i64::from))
        .bind(fault.map(|f| clean(&f.message)))
        .bind(closing.reason.map(clean))
        .bind(closing.delay.map(|d| d.as_secs_f64()))
        .bind(going_back)
        .bind(step.record.state.as_str())
        .bind(i64::from(step.record.attempt));
    Ok(update.execute(tx.conn()).await?.rows_affected() > 0)
}
