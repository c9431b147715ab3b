//! The board: everything one query asks for, read in one transaction.

use super::{Conn, WHY_READ_ONLY, row::Columns};
use crate::{
    domain::mask,
    engine::reader::{AttemptRow, Board, Count, Detail, List, Page, Query, Rows},
    store::value::Time,
};

mod circuits;
mod filter;
mod key;
mod lists;
mod order;
mod overview;
mod page;
mod payload;
mod poison;
mod rows;
mod unclaimed;

use filter::Listed;

pub(super) async fn board(conn: &mut Conn<'_>, now: Time, query: &Query) -> Result<Board, sqlx::Error> {
    let counts = overview::counts(conn, now).await?;
    let limit = match query.limit {
        0 => Query::DEFAULT_LIMIT,
        limit => limit,
    };
    let rows = match &query.list {
        List::None => Rows::None,
        List::Onboardings => Rows::Onboardings(lists::onboardings(conn, now, query, limit).await?),
        List::Keys => Rows::Keys(key::list(conn, now, query, limit).await?),
        List::Letters { group } => {
            Rows::Letters(lists::letters(conn, now, query, group.as_deref(), limit).await?)
        }
        List::Audit => Rows::Audit(lists::audit(conn, now, query, limit).await?),
    };
    let matching = match (&query.list, query.filter.is_empty()) {
        (List::None, _) => Count(0),
        (List::Onboardings, true) => counts.onboardings,
        (List::Keys, true) => counts.keys,
        (List::Audit, true) => counts.actions,
        (List::Letters { group }, _) => {
            filter::count(conn, now, Listed::Letters, &query.filter, group.as_deref()).await?
        }
        (List::Onboardings, false) => {
            filter::count(conn, now, Listed::Onboardings, &query.filter, None).await?
        }
        (List::Keys, false) => filter::count(conn, now, Listed::Keys, &query.filter, None).await?,
        (List::Audit, false) => filter::count(conn, now, Listed::Audit, &query.filter, None).await?,
    };
    let workers = overview::workers(conn, now).await?;
    let page = match &query.detail {
        None => None,
        Some(Detail::Onboarding(id)) => {
            page::onboarding(conn, now, id, &workers).await?.map(|p| Page::Onboarding(Box::new(p)))
        }
        Some(Detail::Key(id)) => key::page(conn, now, id).await?.map(|p| Page::Key(Box::new(p))),
        Some(Detail::Letter(id)) => page::letter(conn, id).await?.map(|p| Page::Letter(Box::new(p))),
    };
    let pauses = circuits::pauses(conn, now).await?;
    let read_only = sqlx::query(WHY_READ_ONLY).fetch_one(&mut *conn).await?.opt_text("why")?;
    Ok(Board {
        at: now.0,
        read_only,
        poison: poison::find(conn, now).await?,
        unclaimed: unclaimed::all(conn, now, &workers).await?,
        workers,
        circuits: circuits::all(conn, now).await?,
        pauses,
        letter_groups: overview::letter_groups(conn, now).await?,
        replays: overview::replays(conn).await?,
        page: page.or_else(|| query.detail.as_ref().map(|_| Page::Missing)),
        counts,
        rows,
        matching,
    })
}

/// An onboarding's attempts, oldest first, at most the newest 500.
pub(super) async fn attempts(conn: &mut Conn<'_>, onboarding: &str) -> Result<Vec<AttemptRow>, sqlx::Error> {
    let select = "SELECT seq, state, attempt, worker, started_at, ended_at, outcome, operation, class, error, reason, delay_seconds \
        FROM redrive_attempts WHERE onboarding_id = $1 ORDER BY seq DESC LIMIT 500";
    let rows = sqlx::query(select).bind(onboarding).fetch_all(conn).await?;
    let attempt = |row| -> Result<AttemptRow, sqlx::Error> {
        let row: &super::row::Row = row;
        Ok(told_attempt(AttemptRow {
            seq: row.int32("seq")?,
            state: row.id("state")?,
            attempt: row.int32("attempt")?,
            worker: row.id("worker")?,
            started_at: row.time("started_at")?.0,
            ended_at: row.opt_time("ended_at")?.map(|t| t.0),
            outcome: row.word("outcome")?,
            operation: row.opt_text("operation")?,
            class: row.word("class")?,
            error: row.opt_text("error")?,
            reason: row.opt_text("reason")?,
            delay_seconds: row.float("delay_seconds")?,
        }))
    };
    rows.iter().rev().map(attempt).collect()
}

/// An attempt without secrets in what went wrong.
fn told_attempt(attempt: AttemptRow) -> AttemptRow {
    let told = |text: Option<String>| text.map(|text| mask::secrets(&text));
    AttemptRow { error: told(attempt.error), reason: told(attempt.reason), ..attempt }
}
