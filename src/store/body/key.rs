//! Idempotency keys that callers begin, keep and end by themselves. Which answer follows from where a key stands is
//! `domain::key`'s table; here are its rows.

use std::time::Duration;

use serde_json::Value;
use sqlx::query;

use super::{
    Conn,
    row::{Columns, Row},
    tx::Tx,
};
use crate::{
    config::Retention,
    domain::{
        id::KeyId,
        key::{KeyAsked, KeyLease, KeyLife, KeyPhase, KeyRun, KeyStatus},
    },
    engine::key::{Answer, Hold, KeyBegun, KeyEnd, KeyIntent},
    store::value::{Time, clean, clean_json},
};

/// The longest a lease, a retention or a lock is bound: a hundred years, which both databases can add to a date.
pub(super) const LONGEST: Duration = Duration::from_secs(100 * 365 * 86_400);

pub(super) fn seconds(duration: Duration) -> f64 {
    duration.min(LONGEST).as_secs_f64()
}

/// Takes a key that nobody used, in one statement; `false` where there is one already. `at` is a bound time.
pub(super) async fn first(
    conn: &mut Conn<'_>,
    at: Option<Time>,
    key: &KeyIntent,
    hold: &Hold,
) -> Result<bool, sqlx::Error> {
    let insert = concat!(
        "INSERT INTO idempotency_keys (key, request_hash, status, created_at, locked_at, locked_by, operation, client_key, \
         phase, begun_as, lease_id, lease_until, expires_at, attempts, revision, version) VALUES ($1, $2, 'STARTED', ",
        now!("$3"),
        ", ",
        now!("$3"),
        ", $4, $5, $6, 'started', 'new', $7, ",
        after!("$3", "$8"),
        ", ",
        after!("$3", "$9"),
        ", 1, 1, 1) ON CONFLICT (key) DO NOTHING"
    );
    let insert = query(insert)
        .bind(clean(key.key.as_str()))
        .bind(clean(&key.request_hash))
        .bind(at)
        .bind(clean(&hold.owner))
        .bind(clean(&key.operation))
        .bind(clean(&key.client_key))
        .bind(hold.lease.as_str())
        .bind(seconds(hold.lasts))
        .bind(seconds(hold.retention));
    Ok(insert.execute(conn).await?.rows_affected() == 1)
}

macro_rules! select_found {
    () => {
        concat!(
            "SELECT request_hash, status, phase, begun_as, lease_id, lease_until, expires_at, created_at, \
             CAST(response_code AS bigint) AS response_code, CAST(response_body AS text) AS response_body, response_raw, CAST(response_headers AS text) AS response_headers, ",
            now!("$2"),
            " AS instant FROM idempotency_keys WHERE key = $1"
        )
    };
}

/// A key as it stands, and what somebody who asks for it is answered.
struct Found {
    life: KeyLife,
    same_request: bool,
    /// The asker's own lease is on it, begun for this reason: it asks again because the answer was lost.
    own: Option<KeyRun>,
    lease_left: Option<Duration>,
    answer: Answer,
}

fn found(row: &Row, key: &KeyIntent, hold: &Hold) -> Result<Found, sqlx::Error> {
    let now = row.time("instant")?;
    let (status, phase) = (row.word::<KeyStatus>("status")?, row.word::<KeyPhase>("phase")?);
    let until = row.opt_time("lease_until")?;
    let lease = lease_of(until, now);
    // A key of others is kept as long as the asker keeps its own.
    let expires = match (row.opt_time("expires_at")?, phase) {
        (Some(at), _) => Some(at),
        (None, None) => Some(row.time("created_at")?.plus(hold.retention)),
        (None, Some(_)) => None,
    };
    let code = row.opt_int("response_code")?;
    let body = match row.bytes("response_raw")? {
        Some(raw) => raw,
        None => row.text("response_body")?.into_bytes(),
    };
    let own = status == Some(KeyStatus::Started)
        && row.opt_text("lease_id")?.as_deref() == Some(hold.lease.as_str());
    let headers = serde_json::from_value(row.json("response_headers")?).unwrap_or_default();
    Ok(Found {
        life: KeyLife::of(status, phase, lease, code.is_some(), expires.is_some_and(|at| at <= now)),
        same_request: row.text("request_hash")? == key.request_hash,
        own: if own { row.word("begun_as")? } else { None },
        lease_left: until.map(|until| until.since(now)),
        // Others may have stored no code, or one that is none.
        answer: Answer { code: code.map_or(200, |code| u16::try_from(code).unwrap_or(500)), headers, body },
    })
}

impl Found {
    /// What needs no write is answered here; `None`: it has to be judged again under its lock.
    fn reply(self) -> Option<KeyBegun> {
        if self.own.is_some() || self.life == KeyLife::Fresh || !self.same_request {
            return None;
        }
        match self.life.asked() {
            KeyAsked::Run(_) => None,
            KeyAsked::Replay => Some(KeyBegun::Replay(self.answer)),
            KeyAsked::Wait => Some(KeyBegun::InFlight { retry_after: self.lease_left }),
        }
    }
}

/// What a key that is there already answers without being changed; `None` where it has to be.
pub(super) async fn look(
    conn: &mut Conn<'_>,
    at: Option<Time>,
    key: &KeyIntent,
    hold: &Hold,
) -> Result<Option<KeyBegun>, sqlx::Error> {
    let select = query(select_found!()).bind(clean(key.key.as_str())).bind(at);
    match select.fetch_optional(conn).await? {
        Some(row) => Ok(found(&row, key, hold)?.reply()),
        None => Ok(None),
    }
}

/// The whole judgement, under the key's lock.
pub(super) async fn begin(
    conn: &mut Conn<'_>,
    now: Time,
    key: &KeyIntent,
    hold: &Hold,
) -> Result<KeyBegun, sqlx::Error> {
    let stored = clean(key.key.as_str());
    let row = loop {
        if first(conn, Some(now), key, hold).await? {
            return Ok(KeyBegun::Run(KeyRun::New));
        }
        let select = query(concat!(select_found!(), for_update!())).bind(&stored).bind(now);
        if let Some(row) = select.fetch_optional(&mut *conn).await? {
            break row;
        }
        // It was forgotten in between.
    };
    let found = found(&row, key, hold)?;
    if let Some(run) = found.own {
        keep(conn, Some(now), &key.key, hold).await?;
        return Ok(KeyBegun::Run(run));
    }
    if found.life != KeyLife::Fresh && !found.same_request {
        let count =
            "UPDATE idempotency_keys SET conflicts = conflicts + 1, revision = revision + 1 WHERE key = $1";
        query(count).bind(&stored).execute(conn).await?;
        return Ok(KeyBegun::Mismatch);
    }
    let run = match found.life.asked() {
        // The row is there: its retention is over and nobody swept it yet.
        KeyAsked::Run(KeyRun::New) => KeyRun::Reused,
        KeyAsked::Run(run) => run,
        KeyAsked::Replay => return Ok(KeyBegun::Replay(found.answer)),
        KeyAsked::Wait => return Ok(KeyBegun::InFlight { retry_after: found.lease_left }),
    };
    let take = concat!(
        "UPDATE idempotency_keys SET request_hash = $2, status = 'STARTED', phase = 'started', locked_at = $3, locked_by = $4, \
         lease_id = $5, operation = $6, client_key = $7, response_code = NULL, response_body = NULL, response_raw = NULL, \
         response_headers = NULL, onboarding_id = NULL, state = NULL, attempts = CASE WHEN $10 THEN 1 ELSE attempts + 1 END, \
         created_at = CASE WHEN $10 THEN $3 ELSE created_at END, revision = revision + 1, version = version + 1, lease_until = ",
        after!("$3", "$8"),
        ", expires_at = ",
        after!("$3", "$9"),
        ", begun_as = $11 WHERE key = $1"
    );
    query(take)
        .bind(&stored)
        .bind(clean(&key.request_hash))
        .bind(now)
        .bind(clean(&hold.owner))
        .bind(hold.lease.as_str())
        .bind(clean(&key.operation))
        .bind(clean(&key.client_key))
        .bind(seconds(hold.lasts))
        .bind(seconds(hold.retention))
        .bind(run == KeyRun::Reused)
        .bind(run.as_str())
        .execute(conn)
        .await?;
    Ok(KeyBegun::Run(run))
}

/// Lets a lease that nobody has taken over last anew.
pub(super) async fn keep(
    conn: &mut Conn<'_>,
    at: Option<Time>,
    key: &KeyId,
    hold: &Hold,
) -> Result<bool, sqlx::Error> {
    let update = concat!(
        "UPDATE idempotency_keys SET revision = revision + 1, lease_until = ",
        after!("$3", "$4"),
        " WHERE key = $1 AND lease_id = $2 AND status = 'STARTED'"
    );
    let update = query(update).bind(clean(key.as_str())).bind(hold.lease.as_str()).bind(at);
    Ok(update.bind(seconds(hold.lasts)).execute(conn).await?.rows_affected() == 1)
}

/// Ends work under a lease that nobody has taken over. The lease's id stays, so that saying it again is recognised.
pub(super) async fn end(
    conn: &mut Conn<'_>,
    at: Option<Time>,
    key: &KeyId,
    hold: &Hold,
    end: &KeyEnd,
) -> Result<bool, sqlx::Error> {
    let update = concat!(
        "UPDATE idempotency_keys SET status = $3, phase = $4, response_code = $5, response_body = ",
        as_json!("$6"),
        ", response_raw = ",
        unless_printed!("$6", "$7"),
        ", response_headers = $8, locked_at = NULL, locked_by = NULL, lease_until = NULL, revision = revision + 1, \
         version = version + 1, expires_at = ",
        after!("$9", "$10"),
        " WHERE key = $1 AND lease_id = $2 AND status = 'STARTED'"
    );
    let (stored, answer) = (clean(key.as_str()), end.answer());
    let body = answer.map(|answer| Body::of(answer.body.clone())).unwrap_or_default();
    let headers = answer.filter(|answer| !answer.headers.is_empty());
    let headers = headers.map(|answer| clean_json(&serde_json::json!(answer.headers)));
    let phase = end.phase();
    let update = query(update)
        .bind(&stored)
        .bind(hold.lease.as_str())
        .bind(phase.status().as_str())
        .bind(phase.as_str())
        .bind(answer.map(|answer| i32::from(answer.code)))
        .bind(body.json)
        .bind(body.bytes)
        .bind(headers)
        .bind(at)
        .bind(seconds(hold.retention));
    if update.execute(&mut *conn).await?.rows_affected() == 1 {
        return Ok(true);
    }
    let ended = "SELECT 1 FROM idempotency_keys WHERE key = $1 AND lease_id = $2 AND status <> 'STARTED'";
    let ended = query(ended).bind(&stored).bind(hold.lease.as_str()).fetch_optional(conn).await?;
    Ok(ended.is_some())
}

/// Sets a held key free: whoever held it is fenced, and the next request runs. A key that had no end gets the longest.
pub(super) async fn release(tx: &mut Tx, key: &KeyId, action: &str) -> Result<(), sqlx::Error> {
    let update = "UPDATE idempotency_keys SET status = 'FAILED', phase = 'freed', response_code = NULL, response_body = NULL, \
        response_raw = NULL, response_headers = NULL, locked_at = NULL, locked_by = NULL, lease_id = NULL, lease_until = NULL, \
        expires_at = coalesce(expires_at, $3), action_id = $2, revision = revision + 1, version = version + 1 WHERE key = $1";
    let kept_until = tx.now.plus(Retention::WEBHOOK);
    let update = query(update).bind(clean(key.as_str())).bind(action).bind(kept_until);
    update.execute(tx.conn()).await.map(|_| ())
}

/// What a row says of its lease at `now`.
pub(super) fn lease_of(until: Option<Time>, now: Time) -> KeyLease {
    match until {
        None => KeyLease::Absent,
        Some(until) if until > now => KeyLease::Live,
        Some(_) => KeyLease::Over,
    }
}

/// A body as it is bound: as JSON for people and other services, and as bytes, which are stored where the database would
/// print that JSON otherwise.
#[derive(Default)]
struct Body {
    json: Option<String>,
    bytes: Option<Vec<u8>>,
}

impl Body {
    fn of(bytes: Vec<u8>) -> Self {
        let text = String::from_utf8_lossy(&bytes);
        let json = match serde_json::from_slice::<Value>(&bytes) {
            _ if bytes.is_empty() => None,
            Ok(_) if is_storable(&text) => Some(text.into_owned()),
            Ok(value) => Some(clean_json(&value).to_string()),
            Err(_) => Some(Value::from(clean(&text)).to_string()),
        };
        Self { json, bytes: Some(bytes) }
    }
}

/// Whether Postgres takes this JSON as it is written: no NUL in its text, no number beyond its own.
fn is_storable(json: &str) -> bool {
    let of_number = |c: char| matches!(c, '0'..='9' | '+' | '-' | '.' | 'e' | 'E');
    let is_far = |run: &str| {
        run.len() > 100 || run.contains(['e', 'E']) && run.starts_with(|c: char| c != 'e' && c != 'E')
    };
    !json.contains("\\u0000") && !json.split(|c| !of_number(c)).any(is_far)
}

/// Forgets what is kept no longer: ours, and nothing that is locked.
pub(super) async fn sweep(tx: &mut Tx, at_most: u32) -> Result<u64, sqlx::Error> {
    let keys = concat!(
        "DELETE FROM idempotency_keys WHERE key IN (SELECT key FROM idempotency_keys WHERE expires_at <= $1 \
         AND phase IS NOT NULL AND (status <> 'STARTED' OR coalesce(lease_until <= $1, TRUE)) \
         ORDER BY expires_at LIMIT $2",
        skip_locked!(),
        ")"
    );
    let messages = concat!(
        "DELETE FROM processed_messages WHERE message_id IN (SELECT message_id FROM processed_messages \
         WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2",
        skip_locked!(),
        ")"
    );
    let (now, mut swept) = (tx.now, 0);
    for delete in [keys, messages] {
        let left = i64::from(at_most) - i64::try_from(swept).unwrap_or(i64::MAX);
        swept += query(delete).bind(now).bind(left.max(0)).execute(tx.conn()).await?.rows_affected();
    }
    Ok(swept)
}
