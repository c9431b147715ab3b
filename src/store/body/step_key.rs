//! The keys of an onboarding's calls: they live with its lease, and are kept for a while once it needs them no more.

use serde_json::Value;
use sqlx::query;

use super::{Conn, attempt::Held, row::Columns, tx::Tx};
use crate::{
    config::Retention,
    domain::{
        fault::Fault,
        id::{KeyId, LeaseId},
        letter::LetterReason,
    },
    engine::key::KeyIntent,
    store::value::{Time, clean, clean_json},
};

/// A call's key is remembered as long as other systems resend.
fn kept_until(tx: &Tx) -> Time {
    tx.now.plus(Retention::WEBHOOK)
}

/// The keys a state's calls will carry, in flight under the onboarding's lease. One that is done, or another's, stays.
pub(super) async fn announce(
    tx: &mut Tx,
    held: &Held<'_>,
    state: &str,
    keys: &[KeyIntent],
) -> Result<(), sqlx::Error> {
    let mut sorted: Vec<&KeyIntent> = keys.iter().collect();
    sorted.sort_by_key(|key| &key.key);
    for key in sorted {
        let upsert = "INSERT INTO idempotency_keys (key, request_hash, status, created_at, locked_at, locked_by, operation, client_key, \
            phase, lease_id, lease_until, attempts, onboarding_id, state, revision, version) \
            VALUES ($1, $2, 'STARTED', $3, $3, $4, $5, $6, 'started', $7, $8, 1, $9, $10, 1, 1) \
            ON CONFLICT (key) DO UPDATE SET status = 'STARTED', phase = 'started', locked_at = excluded.locked_at, \
            locked_by = excluded.locked_by, lease_id = excluded.lease_id, lease_until = excluded.lease_until, expires_at = NULL, \
            attempts = idempotency_keys.attempts + 1, revision = idempotency_keys.revision + 1, \
            version = idempotency_keys.version + 1 WHERE idempotency_keys.onboarding_id = excluded.onboarding_id \
            AND idempotency_keys.phase IN ('freed', 'started', 'failed_storage') \
            AND (idempotency_keys.lease_id IS NULL OR idempotency_keys.lease_id <> excluded.lease_id)";
        query(upsert)
            .bind(clean(key.key.as_str()))
            .bind(clean(&key.request_hash))
            .bind(tx.now)
            .bind(held.worker)
            .bind(clean(&key.operation))
            .bind(clean(&key.client_key))
            .bind(held.lease.as_str())
            .bind(held.until)
            .bind(held.id)
            .bind(state)
            .execute(tx.conn())
            .await?;
    }
    Ok(())
}

/// A claim works under the keys of the state again: those set free, and those a vanished worker left in flight.
pub(super) async fn start_again(tx: &mut Tx, held: &Held<'_>, state: &str) -> Result<(), sqlx::Error> {
    let update = "UPDATE idempotency_keys SET status = 'STARTED', phase = 'started', locked_at = $3, locked_by = $4, lease_id = $5, \
        lease_until = $6, expires_at = NULL, attempts = attempts + 1, revision = revision + 1, version = version + 1 \
        WHERE onboarding_id = $1 AND state = $2 AND phase IN ('freed', 'started', 'failed_storage')";
    let update = query(update).bind(held.id).bind(state).bind(tx.now).bind(held.worker);
    update.bind(held.lease.as_str()).bind(held.until).execute(tx.conn()).await.map(|_| ())
}

/// Keeps the keys' leases as long as the onboarding's.
pub(super) async fn keep(
    tx: &mut Tx,
    onboarding: &str,
    lease: &LeaseId,
    until: Time,
) -> Result<(), sqlx::Error> {
    let update = "UPDATE idempotency_keys SET lease_until = $3, revision = revision + 1 \
        WHERE onboarding_id = $1 AND lease_id = $2 AND status = 'STARTED'";
    let update = query(update).bind(onboarding).bind(lease.as_str()).bind(until);
    update.execute(tx.conn()).await.map(|_| ())
}

/// Nobody works under the onboarding's keys any more, or only under those of another state.
pub(super) async fn free_started(
    tx: &mut Tx,
    onboarding: &str,
    state: Option<&str>,
) -> Result<(), sqlx::Error> {
    let update = "UPDATE idempotency_keys SET status = 'FAILED', phase = 'freed', locked_at = NULL, locked_by = NULL, lease_id = NULL, \
        lease_until = NULL, expires_at = $3, revision = revision + 1, version = version + 1 \
        WHERE onboarding_id = $1 AND phase = 'started' AND (CAST($2 AS text) IS NULL OR state = $2)";
    let until = kept_until(tx);
    query(update).bind(onboarding).bind(state).bind(until).execute(tx.conn()).await.map(|_| ())
}

/// Stores what the calls of a finished state were answered, and frees the keys that were not needed.
pub(super) async fn settle(
    tx: &mut Tx,
    onboarding: &str,
    state: &str,
    responses: &[(KeyId, u16, Value)],
) -> Result<(), sqlx::Error> {
    for (key, code, body) in responses {
        let update = "UPDATE idempotency_keys SET status = 'COMPLETED', phase = 'completed', response_code = $3, response_body = $4, \
            response_raw = NULL, locked_at = NULL, locked_by = NULL, lease_id = NULL, lease_until = NULL, expires_at = $5, \
            revision = revision + 1, version = version + 1 WHERE key = $1 AND onboarding_id = $2 AND phase IS NOT NULL";
        query(update)
            .bind(clean(key.as_str()))
            .bind(onboarding)
            .bind(i32::from(*code))
            .bind(clean_json(body))
            .bind(kept_until(tx))
            .execute(tx.conn())
            .await?;
    }
    free_started(tx, onboarding, Some(state)).await
}

/// The key the failing call of a state carried.
pub(super) async fn carried(
    conn: &mut Conn<'_>,
    onboarding: &str,
    state: &str,
    fault: &Fault,
) -> Result<Option<String>, sqlx::Error> {
    let select = "SELECT key, operation FROM idempotency_keys WHERE onboarding_id = $1 AND state = $2 \
        AND phase IS NOT NULL AND phase <> 'completed' ORDER BY key";
    let rows = query(select).bind(onboarding).bind(state).fetch_all(conn).await?;
    let mut keys = Vec::with_capacity(rows.len());
    for row in &rows {
        keys.push((row.text("key")?, row.opt_text("operation")?));
    }
    let of_call = keys.iter().find(|(_, operation)| operation.is_some() && *operation == fault.operation);
    Ok(match (of_call, keys.as_slice()) {
        (Some((key, _)), _) => Some(key.clone()),
        // One key only: it must be that one, even if the fault does not say.
        (None, [(key, _)]) => Some(key.clone()),
        _ => None,
    })
}

/// The onboarding failed: a permanent error is stored under the `carried` key, the others are set free.
pub(super) async fn fail(
    tx: &mut Tx,
    onboarding: &str,
    fault: &Fault,
    reason: LetterReason,
    carried: Option<&str>,
) -> Result<(), sqlx::Error> {
    if let (LetterReason::Permanent, Some(key)) = (reason, carried) {
        let body = serde_json::json!({ "error": fault.message, "class": fault.class });
        let update = "UPDATE idempotency_keys SET status = 'FAILED', phase = 'failed', response_code = $2, response_body = $3, \
            response_raw = NULL, locked_at = NULL, locked_by = NULL, lease_id = NULL, lease_until = NULL, expires_at = $4, \
            revision = revision + 1, version = version + 1 WHERE key = $1";
        query(update)
            .bind(key)
            .bind(i32::from(fault.http_status.unwrap_or(500)))
            .bind(clean_json(&body))
            .bind(kept_until(tx))
            .execute(tx.conn())
            .await?;
    }
    free_started(tx, onboarding, None).await
}
