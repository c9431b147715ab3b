//! Keys: those in trouble first, and why one will or will not be retried.

use std::cmp::Reverse;

use chrono::TimeDelta;
use serde_json::Value;
use sqlx::{QueryBuilder, query};

use super::{
    super::{
        Conn, Db,
        row::{Columns, Row},
    },
    filter::{self, Listed},
    lists::{self, About},
    order, page,
    payload::{self, payload},
    rows,
};
use crate::{
    domain::{
        id::KeyId,
        key::{KeyLife, KeyPhase, KeyStatus},
        mask,
        text::SafeText,
    },
    engine::{
        order::Order,
        reader::{Cursor, KeyPage, KeyRow, Query},
    },
    store::value::{Time, clean},
};

/// A part of a list that comes in parts, each read along an index of its own: an `OR` of two would be read along none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// In trouble: in flight, and nobody works under it.
    Stuck,
    /// In trouble: done, and its answer was not stored.
    FailedStorage,
    /// In no trouble.
    Well,
    /// In flight.
    InFlight,
    /// Not in flight.
    Ended,
}

pub(super) async fn list(
    conn: &mut Conn<'_>,
    now: Time,
    query: &Query,
    limit: u32,
) -> Result<Vec<KeyRow>, sqlx::Error> {
    let order = query.ordered();
    if !matches!(order, Order::Trouble | Order::LockAge) {
        let mut sql = QueryBuilder::<Db>::new(rows::KEY);
        sql.push(rows::KEY_FROM);
        let wanted = |sql: &mut _| filter::push(sql, Listed::Keys, &query.filter, now);
        order::push_query(&mut sql, &order::KEYS, query, limit, wanted);
        return sql.build().fetch_all(conn).await?.iter().map(|row| rows::key(row, now)).collect();
    }
    // The cursor's row says in which part of the list it stands.
    let in_first = match &query.after {
        None => true,
        Some(cursor) => match one(conn, &cursor.id).await? {
            Some(row) if order == Order::LockAge => row.text("status")? == KeyStatus::Started.as_str(),
            Some(row) => {
                let row = rows::key(&row, now)?;
                row.stuck || row.phase == Some(KeyPhase::FailedStorage)
            }
            None => false,
        },
    };
    let (first, rest): (&[Part], Part) = match order {
        Order::LockAge => (&[Part::InFlight], Part::Ended),
        _ => (&[Part::Stuck, Part::FailedStorage], Part::Well),
    };
    let mut keys = Vec::new();
    if in_first {
        for part in first {
            keys.extend(read(conn, now, query, *part, query.after.as_ref(), limit).await?);
        }
        if first.len() > 1 {
            // Within a part the database's order stays: the next page goes on from it.
            keys.sort_by_key(|key| Reverse(key.created_at));
        }
        keys.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    }
    let left = limit.saturating_sub(u32::try_from(keys.len()).unwrap_or(u32::MAX));
    if left > 0 {
        let after = query.after.as_ref().filter(|_| !in_first);
        keys.extend(read(conn, now, query, rest, after, left).await?);
    }
    Ok(keys)
}

async fn read(
    conn: &mut Conn<'_>,
    now: Time,
    query: &Query,
    part: Part,
    after: Option<&Cursor>,
    limit: u32,
) -> Result<Vec<KeyRow>, sqlx::Error> {
    let mut sql = QueryBuilder::<Db>::new(rows::KEY);
    sql.push(rows::KEY_FROM);
    let order = if part == Part::InFlight { Order::LockAge } else { Order::Newest };
    order::push(&mut sql, &order::KEYS, order, (after, limit), |sql: &mut QueryBuilder<Db>| {
        match part {
            Part::Stuck => {
                sql.push(" AND ");
                filter::stuck(sql, now);
            }
            Part::FailedStorage => {
                sql.push(" AND k.phase = 'failed_storage' AND NOT ");
                filter::stuck(sql, now);
            }
            Part::Well => {
                sql.push(" AND NOT ");
                filter::stuck(sql, now);
                sql.push(" AND (k.phase IS NULL OR k.phase <> 'failed_storage')");
            }
            Part::InFlight => {
                sql.push(" AND k.status = 'STARTED'");
            }
            Part::Ended => {
                sql.push(" AND k.status <> 'STARTED'");
            }
        }
        filter::push(sql, Listed::Keys, &query.filter, now);
    });
    sql.build().fetch_all(conn).await?.iter().map(|row| rows::key(row, now)).collect()
}

async fn one(conn: &mut Conn<'_>, key: &str) -> Result<Option<Row>, sqlx::Error> {
    let mut sql = QueryBuilder::<Db>::new(rows::KEY);
    sql.push(rows::KEY_FROM).push("WHERE k.key = ").push_bind(clean(key));
    sql.build().fetch_optional(conn).await
}

/// An onboarding's keys, oldest first.
pub(super) async fn of_onboarding(
    conn: &mut Conn<'_>,
    now: Time,
    onboarding: &str,
) -> Result<Vec<KeyRow>, sqlx::Error> {
    let mut sql = QueryBuilder::<Db>::new(rows::KEY);
    sql.push(rows::KEY_FROM).push("WHERE k.onboarding_id = ").push_bind(onboarding.to_owned());
    sql.push(" ORDER BY k.created_at, k.key LIMIT 200");
    sql.build().fetch_all(conn).await?.iter().map(|row| rows::key(row, now)).collect()
}

pub(super) async fn page(
    conn: &mut Conn<'_>,
    now: Time,
    key: &KeyId,
) -> Result<Option<KeyPage>, sqlx::Error> {
    let Some(found) = one(conn, key.as_str()).await? else { return Ok(None) };
    let row = rows::key(&found, now)?;
    let stored = query("SELECT status AS word FROM idempotency_keys WHERE key = $1");
    let word = stored.bind(clean(key.as_str())).fetch_one(&mut *conn).await?.text("word")?;
    let answer = answer(conn, key).await?;
    let onboarding = match &row.onboarding {
        Some(id) => page::onboarding_row(conn, now, id.as_str()).await?,
        None => None,
    };
    let letters = page::letters_where(conn, "l.idempotency_key = ", row.key.as_str()).await?;
    Ok(Some(KeyPage {
        why: super::super::row::told(&why(&row, &word, now)),
        response: answer.shape,
        response_bytes: answer.bytes,
        response_headers: answer.headers,
        onboarding,
        letters,
        audit: lists::audit_of(conn, About::Key(&clean(key.as_str()))).await?,
        row,
    }))
}

/// What is stored under a key, by shape and size.
#[derive(Default)]
struct Answer {
    shape: Option<Value>,
    bytes: Option<usize>,
    headers: Vec<SafeText>,
}

async fn answer(conn: &mut Conn<'_>, key: &KeyId) -> Result<Answer, sqlx::Error> {
    if !payload::may(conn, may_read!("idempotency_keys", "response_body")).await? {
        return Ok(Answer { shape: Some(mask::denied()), ..Answer::default() });
    }
    let raw = concat!(
        "SELECT CAST(response_headers AS text) AS headers, ",
        payload!("response_raw"),
        " FROM idempotency_keys WHERE key = $1"
    );
    let raw = query(raw).bind(clean(key.as_str())).fetch_one(&mut *conn).await?;
    let text =
        concat!("SELECT ", payload!("CAST(response_body AS text)"), " FROM idempotency_keys WHERE key = $1");
    let text = query(text).bind(clean(key.as_str())).fetch_one(&mut *conn).await?;
    let headers: Vec<(String, String)> = serde_json::from_value(raw.json("headers")?).unwrap_or_default();
    let bytes = raw.opt_int("size")?.or(text.opt_int("size")?);
    Ok(Answer {
        shape: payload::shape_of_bytes(&raw)?
            .map_or_else(|| payload::shape(&text), |shape| Ok(Some(shape)))?,
        bytes: bytes.and_then(|bytes| usize::try_from(bytes).ok()),
        headers: headers.iter().map(|(name, _)| SafeText::new(name)).collect(),
    })
}

/// Why the next request with the same payload will or will not run.
fn why(row: &KeyRow, word: &str, now: Time) -> String {
    let holder = row.locked_by.as_ref().map_or("somebody", SafeText::as_str);
    let code = row.response_code.map(|code| format!(" {code}")).unwrap_or_default();
    // What others wrote has no retention of its own.
    let kept = match row.expires_at {
        Some(at) => format!("for another {}", span(at - now.0)),
        None => "as long as whoever asks keeps its keys".to_owned(),
    };
    let stuck = match row.locked_at {
        Some(at) => format!("stuck: {holder} holds it without a lease since {} ago", span(now.0 - at)),
        None => format!("stuck: {holder} holds it without a lease since an unknown time"),
    };
    let until_released = "refused until L releases it, or until it is older than whoever asks keeps its keys";
    match row.life {
        KeyLife::Fresh => "its retention is over: the next request runs as if it were new".to_owned(),
        KeyLife::Elsewhere if word.parse::<KeyStatus>().is_err() => {
            format!(
                "its status {word} is not known here, so it is taken for held: the same request is {until_released}"
            )
        }
        KeyLife::Elsewhere => format!("{stuck}; the same request is {until_released}"),
        KeyLife::InFlight => {
            let left = row.lease_until.map_or(0, |until| (until - now.0).num_seconds().max(0));
            format!(
                "in flight: {holder} holds it for another {left} s; the same request is refused until then"
            )
        }
        KeyLife::LeaseOver => {
            let since = row.lease_until.map(|until| span(now.0 - until)).unwrap_or_default();
            format!(
                "stuck: {holder}'s lease ended {since} ago without an answer; the next request takes it over and runs again"
            )
        }
        KeyLife::Completed => {
            format!("completed: the stored response{code} is replayed {kept}, nothing runs again")
        }
        KeyLife::Failed => {
            let resume =
                row.onboarding.as_ref().map_or("", |_| "; resume its onboarding to run it before then");
            format!("failed for good: the stored error{code} is replayed {kept}{resume}")
        }
        KeyLife::FailedStorage => {
            "the work was done but its response could not be stored; the next request runs it again"
                .to_owned()
        }
        KeyLife::Freed if row.phase.is_none() => {
            "failed without a stored answer: the next request runs".to_owned()
        }
        KeyLife::Freed => {
            "free: its last try failed in a way that may pass, or it was released; the next request runs"
                .to_owned()
        }
    }
}

fn span(length: TimeDelta) -> String {
    match length.num_seconds().max(0) {
        s if s < 120 => format!("{s} s"),
        s if s < 7_200 => format!("{} min", s / 60),
        s if s < 172_800 => format!("{} h", s / 3_600),
        s => format!("{} d", s / 86_400),
    }
}
