//! One row's page: everything about an onboarding, or about a letter.

use std::collections::BTreeSet;

use sqlx::{QueryBuilder, query};

use super::{
    super::{
        Conn, Db,
        row::{Columns, Row},
        standing,
    },
    attempts, key,
    lists::{self, About},
    payload::{self, payload},
    rows, told_attempt, unclaimed,
};
use crate::{
    domain::{
        id::{LetterId, OnboardingId},
        letter::ReplayOutcome,
        mask,
        text::SafeText,
    },
    engine::reader::{
        AttemptRow, LetterPage, LetterRow, OnboardingPage, OnboardingRow, ReplayItemRow, WorkerRow,
    },
    store::value::{Time, clean},
};

pub(super) async fn onboarding_row(
    conn: &mut Conn<'_>,
    now: Time,
    id: &str,
) -> Result<Option<OnboardingRow>, sqlx::Error> {
    let mut sql = QueryBuilder::<Db>::new(rows::ONBOARDING);
    sql.push(rows::ONBOARDING_FROM).push("WHERE h.id = ").push_bind(clean(id));
    sql.build().fetch_optional(conn).await?.map(|row| rows::onboarding(&row, now)).transpose()
}

/// Letters by one column, newest first.
pub(super) async fn letters_where(
    conn: &mut Conn<'_>,
    condition: &'static str,
    value: &str,
) -> Result<Vec<LetterRow>, sqlx::Error> {
    let mut sql = QueryBuilder::<Db>::new(rows::LETTER);
    sql.push(rows::LETTER_FROM).push("WHERE ").push(condition).push_bind(clean(value));
    sql.push(" ORDER BY l.created_at DESC, l.id DESC LIMIT 100");
    sql.build().fetch_all(conn).await?.iter().map(rows::letter).collect()
}

pub(super) async fn onboarding(
    conn: &mut Conn<'_>,
    now: Time,
    id: &OnboardingId,
    workers: &[WorkerRow],
) -> Result<Option<OnboardingPage>, sqlx::Error> {
    let id = &clean(id.as_str());
    let Some(mut row) = onboarding_row(conn, now, id).await? else { return Ok(None) };
    unclaimed::explain(conn, now, workers, &mut row).await?;
    let context = match payload::may(conn, may_read!("onboarding_state", "context")).await? {
        true => {
            let select =
                concat!("SELECT ", payload!("context"), " FROM onboarding_state WHERE onboarding_id = $1");
            let row = query(select).bind(id).fetch_optional(&mut *conn).await?;
            row.map(|row| payload::shape(&row)).transpose()?.flatten().unwrap_or_default()
        }
        false => mask::denied(),
    };
    let open: BTreeSet<String> = standing::open_circuits(conn, now).await?;
    Ok(Some(OnboardingPage {
        row,
        attempts: attempts(conn, id).await?,
        subtasks: subtasks(conn, id).await?,
        compensations: standing::compensations(conn, id, &open).await?,
        context,
        entities: entities(conn, id).await?,
        keys: key::of_onboarding(conn, now, id).await?,
        letters: letters_where(conn, "l.onboarding_id = ", id).await?,
        audit: lists::audit_of(conn, About::Onboarding(id)).await?,
    }))
}

type Subtask = (crate::domain::id::StateName, SafeText, chrono::DateTime<chrono::Utc>);

async fn subtasks(conn: &mut Conn<'_>, id: &str) -> Result<Vec<Subtask>, sqlx::Error> {
    let select = "SELECT state, subtask, completed_at FROM onboarding_progress WHERE onboarding_id = $1 \
        ORDER BY completed_at, state, subtask LIMIT 2000";
    let rows = query(select).bind(id).fetch_all(conn).await?;
    rows.iter().map(|row| Ok((row.id("state")?, row.name("subtask")?, row.time("completed_at")?.0))).collect()
}

/// Those it owns; for rows of others those they noted, as far as they exist.
async fn entities(conn: &mut Conn<'_>, id: &str) -> Result<Vec<SafeText>, sqlx::Error> {
    if !payload::may(conn, may_read!("entities", "metadata")).await? {
        return Ok(Vec::new());
    }
    let select = "SELECT e.kind, coalesce(e.metadata ->> 'namespace', 'default') AS namespace, e.metadata ->> 'name' AS name \
        FROM redrive_entity_owners o JOIN entities e ON e.id = o.entity_id WHERE o.onboarding_id = $1 ORDER BY 1, 2, 3 LIMIT 2000";
    let reference = |row: &Row| -> Result<SafeText, sqlx::Error> {
        let reference = format!("{}:{}/{}", row.text("kind")?, row.text("namespace")?, row.text("name")?);
        Ok(SafeText::new(&reference.to_lowercase()))
    };
    let owned = query(select).bind(id).fetch_all(&mut *conn).await?;
    if !owned.is_empty() {
        return owned.iter().map(reference).collect();
    }
    let Some((onboarding, _)) = super::super::onboarding::peek(conn, id).await? else {
        return Ok(Vec::new());
    };
    if onboarding.entities_created.is_empty() {
        return Ok(Vec::new());
    }
    let mut sql = QueryBuilder::<Db>::new(
        "SELECT e.kind, coalesce(e.metadata ->> 'namespace', 'default') AS namespace, e.metadata ->> 'name' AS name \
         FROM entities e WHERE e.id IN (",
    );
    let mut ids = sql.separated(", ");
    for entity in onboarding.entities_created.iter().take(2_000) {
        ids.push_bind(clean(entity));
    }
    sql.push(") ORDER BY 1, 2, 3");
    sql.build().fetch_all(conn).await?.iter().map(reference).collect()
}

pub(super) async fn letter(conn: &mut Conn<'_>, id: &LetterId) -> Result<Option<LetterPage>, sqlx::Error> {
    let id = clean(id.as_str());
    let Some(row) = letters_where(conn, "l.id = ", &id).await?.pop() else { return Ok(None) };
    let kept = query("SELECT idempotency_key FROM redrive_dead_letters WHERE id = $1");
    let kept = kept.bind(&id).fetch_one(&mut *conn).await?;
    let (request, history) = match payload::may(conn, may_read!("redrive_dead_letters", "request")).await? {
        true => {
            let select = concat!(
                "SELECT CAST(history AS text) AS history, ",
                payload!("CAST(request AS text)"),
                " FROM redrive_dead_letters WHERE id = $1"
            );
            let kept = query(select).bind(&id).fetch_one(&mut *conn).await?;
            let history: Vec<AttemptRow> = serde_json::from_value(kept.json("history")?).unwrap_or_default();
            let history = history.into_iter().map(told_attempt).collect();
            (payload::shape(&kept)?.unwrap_or_default(), history)
        }
        // What is kept with the letter is not for this role; what was recorded of the attempts is.
        false => (mask::denied(), attempts(conn, row.onboarding.as_str()).await?),
    };
    Ok(Some(LetterPage {
        row,
        key: kept.opt_id("idempotency_key")?,
        request,
        history,
        replays: replays(conn, &id).await?,
        audit: lists::audit_of(conn, About::Letter(&id)).await?,
    }))
}

/// What replays did with the letter, and with the one it came from.
async fn replays(conn: &mut Conn<'_>, letter: &str) -> Result<Vec<ReplayItemRow>, sqlx::Error> {
    let select = "SELECT i.replay_id, i.letter_id, i.outcome, i.ended_at, i.became, i.reason FROM redrive_replay_items i \
        JOIN redrive_replays r ON r.id = i.replay_id WHERE i.letter_id = $1 OR i.became = $1 ORDER BY r.created_at, r.id";
    let rows = query(select).bind(letter).fetch_all(conn).await?;
    let item = |row: &Row| {
        Ok(ReplayItemRow {
            replay: row.id("replay_id")?,
            letter: row.id("letter_id")?,
            outcome: row.word("outcome")?.unwrap_or(ReplayOutcome::Waiting),
            ended_at: row.opt_time("ended_at")?.map(|t| t.0),
            became: row.opt_id("became")?,
            reason: row.opt_told("reason")?,
        })
    };
    rows.iter().map(item).collect()
}
