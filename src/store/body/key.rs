//! Idempotency keys: those callers begin and complete themselves, and those of an onboarding's calls, which live with
//! its lease.

use std::time::Duration;

use serde_json::Value;
use sqlx::query;

use super::{Conn, attempt::Held, row::Columns, tx::Tx};
use crate::{
    clock,
    domain::{
        fault::Fault,
        id::{KeyId, LeaseId},
        key::{KeyPhase, KeyStatus},
        letter::LetterReason,
    },
    engine::store::{KeyBegun, KeyIntent},
    store::value::{Time, clean},
};

pub(super) async fn begin(
    tx: &mut Tx,
    key: &KeyIntent,
    owner: &str,
    lease: Duration,
) -> Result<KeyBegun, sqlx::Error> {
    let (id, until) = (LeaseId(clock::new_id()), tx.now.plus(lease));
    let insert = "INSERT INTO idempotency_keys (key, request_hash, status, created_at, locked_at, locked_by, operation, client_key, \
        phase, lease_id, lease_until, attempts, revision, version) \
        VALUES ($1, $2, 'STARTED', $3, $3, $4, $5, $6, 'started', $7, $8, 1, 1, 1) ON CONFLICT (key) DO NOTHING";
    let insert = query(insert)
        .bind(clean(key.key.as_str()))
        .bind(clean(&key.request_hash))
        .bind(tx.now)
        .bind(clean(owner))
        .bind(clean(&key.operation))
        .bind(clean(&key.client_key))
        .bind(id.as_str())
        .bind(until);
    if insert.execute(tx.conn()).await?.rows_affected() == 1 {
        return Ok(KeyBegun::Fresh(id));
    }
    again(tx, key, owner, id, until).await
}

/// The key is there already: judge it under its lock.
async fn again(
    tx: &mut Tx,
    key: &KeyIntent,
    owner: &str,
    id: LeaseId,
    until: Time,
) -> Result<KeyBegun, sqlx::Error> {
    let select = concat!(
        "SELECT request_hash, status, phase, lease_until, CAST(response_code AS bigint) AS response_code, \
         response_body, response_raw FROM idempotency_keys WHERE key = $1",
        for_update!()
    );
    let stored = clean(key.key.as_str());
    let row = query(select).bind(&stored).fetch_one(tx.conn()).await?;
    if row.text("request_hash")? != key.request_hash {
        let count =
            "UPDATE idempotency_keys SET conflicts = conflicts + 1, revision = revision + 1 WHERE key = $1";
        query(count).bind(&stored).execute(tx.conn()).await?;
        return Ok(KeyBegun::Mismatch);
    }
    let code = row.opt_int("response_code")?.and_then(|code| u16::try_from(code).ok());
    let body = match row.bytes("response_raw")? {
        Some(raw) => raw,
        None => row.text("response_body")?.into_bytes(),
    };
    let taken_over = match (row.word::<KeyStatus>("status")?, row.word::<KeyPhase>("phase")?, code) {
        (Some(KeyStatus::Completed), _, code) => {
            return Ok(KeyBegun::Replay { code: code.unwrap_or(200), body });
        }
        // A permanent failure is stored and replayed; one of others, if they stored it.
        (Some(KeyStatus::Failed), Some(KeyPhase::Failed) | None, Some(code)) => {
            return Ok(KeyBegun::Replay { code, body });
        }
        (Some(KeyStatus::Failed), phase, _) => phase == Some(KeyPhase::FailedStorage),
        // In flight; a word we do not know is taken for that too, because running twice is worse than waiting.
        (Some(KeyStatus::Started) | None, _, _) => match row.opt_time("lease_until")? {
            None => return Ok(KeyBegun::InFlight { retry_after: None }),
            Some(held) if held > tx.now => {
                return Ok(KeyBegun::InFlight { retry_after: Some(held.since(tx.now)) });
            }
            Some(_) => true,
        },
    };
    let take = "UPDATE idempotency_keys SET status = 'STARTED', phase = 'started', locked_at = $2, locked_by = $3, lease_id = $4, \
        lease_until = $5, operation = $6, client_key = $7, response_code = NULL, response_body = NULL, response_raw = NULL, \
        attempts = attempts + 1, revision = revision + 1, version = version + 1 WHERE key = $1";
    query(take)
        .bind(&stored)
        .bind(tx.now)
        .bind(clean(owner))
        .bind(id.as_str())
        .bind(until)
        .bind(clean(&key.operation))
        .bind(clean(&key.client_key))
        .execute(tx.conn())
        .await?;
    Ok(if taken_over { KeyBegun::TakenOver(id) } else { KeyBegun::Fresh(id) })
}

/// Stores a response under a lease that nobody has taken over.
pub(super) async fn complete(
    tx: &mut Tx,
    key: &KeyId,
    lease: &LeaseId,
    code: u16,
    body: &[u8],
) -> Result<bool, sqlx::Error> {
    let update = "UPDATE idempotency_keys SET status = 'COMPLETED', phase = 'completed', response_code = $3, response_body = $4, \
        response_raw = $5, locked_at = NULL, locked_by = NULL, lease_id = NULL, lease_until = NULL, revision = revision + 1, \
        version = version + 1 WHERE key = $1 AND lease_id = $2 AND status = 'STARTED'";
    let update = query(update)
        .bind(clean(key.as_str()))
        .bind(lease.as_str())
        .bind(i64::from(code))
        .bind(clean(&String::from_utf8_lossy(body)))
        .bind(body);
    Ok(update.execute(tx.conn()).await?.rows_affected() == 1)
}

pub(super) async fn free(tx: &mut Tx, key: &KeyId, lease: &LeaseId) -> Result<bool, sqlx::Error> {
    let update = "UPDATE idempotency_keys SET status = 'FAILED', phase = 'freed', locked_at = NULL, locked_by = NULL, lease_id = NULL, \
        lease_until = NULL, revision = revision + 1, version = version + 1 \
        WHERE key = $1 AND lease_id = $2 AND status = 'STARTED'";
    let update = query(update).bind(clean(key.as_str())).bind(lease.as_str());
    Ok(update.execute(tx.conn()).await?.rows_affected() == 1)
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
            locked_by = excluded.locked_by, lease_id = excluded.lease_id, lease_until = excluded.lease_until, \
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
        lease_until = $6, attempts = attempts + 1, revision = revision + 1, version = version + 1 \
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
        lease_until = NULL, revision = revision + 1, version = version + 1 \
        WHERE onboarding_id = $1 AND phase = 'started' AND (CAST($2 AS text) IS NULL OR state = $2)";
    query(update).bind(onboarding).bind(state).execute(tx.conn()).await.map(|_| ())
}

/// Stores what the calls of a finished state were answered, and frees the keys that were not needed.
pub(super) async fn settle(
    tx: &mut Tx,
    onboarding: &str,
    state: &str,
    responses: &[(KeyId, u16, Value)],
) -> Result<(), sqlx::Error> {
    for (key, code, body) in responses {
        let bytes = body.to_string().into_bytes();
        let update = "UPDATE idempotency_keys SET status = 'COMPLETED', phase = 'completed', response_code = $3, response_body = $4, \
            response_raw = $5, locked_at = NULL, locked_by = NULL, lease_id = NULL, lease_until = NULL, \
            revision = revision + 1, version = version + 1 WHERE key = $1 AND onboarding_id = $2 AND phase IS NOT NULL";
        query(update)
            .bind(clean(key.as_str()))
            .bind(onboarding)
            .bind(i64::from(*code))
            .bind(clean(&body.to_string()))
            .bind(bytes)
            .execute(tx.conn())
            .await?;
    }
    free_started(tx, onboarding, Some(state)).await
}

/// The key the failing call of a state carried.
pub(super) async fn carried(
    conn: &mut Conn,
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
        let body = serde_json::json!({ "error": fault.message, "class": fault.class }).to_string();
        let update = "UPDATE idempotency_keys SET status = 'FAILED', phase = 'failed', response_code = $2, response_body = $3, \
            response_raw = $4, locked_at = NULL, locked_by = NULL, lease_id = NULL, lease_until = NULL, \
            revision = revision + 1, version = version + 1 WHERE key = $1";
        query(update)
            .bind(key)
            .bind(i64::from(fault.http_status.unwrap_or(500)))
            .bind(clean(&body))
            .bind(body.as_bytes())
            .execute(tx.conn())
            .await?;
    }
    free_started(tx, onboarding, None).await
}
