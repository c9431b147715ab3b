//! Sort orders as ORDER BY, and where a page of them goes on. Along an index, or within a window of the newest rows, so
//! that no order reads a whole table.

use sqlx::QueryBuilder;

use super::{super::Db, rows};
use crate::{
    engine::{
        order::Order,
        reader::{Cursor, Query},
    },
    store::value::{Time, clean},
};

/// A list's tables and the two columns that make it newest first.
pub(super) struct Source {
    from: &'static str,
    created: &'static str,
    id: &'static str,
}

pub(super) const ONBOARDINGS: Source =
    Source { from: rows::ONBOARDING_FROM, created: "h.created_at", id: "h.id" };
pub(super) const KEYS: Source = Source { from: rows::KEY_FROM, created: "k.created_at", id: "k.key" };
pub(super) const LETTERS: Source = Source { from: rows::LETTER_FROM, created: "l.created_at", id: "l.id" };
pub(super) const AUDIT: Source =
    Source { from: "FROM redrive_operator_actions a ", created: "a.at", id: "a.id" };

/// When an onboarding moved last, as its row tells it.
const MOVED: &str = "(SELECT max(v) FROM (SELECT h.created_at AS v UNION ALL SELECT s.updated_at \
    UNION ALL SELECT h.failed_at UNION ALL SELECT h.cleaned_up_at) AS moved)";

/// What rows are ranked by where no index does it, and whether the largest come first; never NULL.
fn rank(source: &Source, order: Order) -> Option<(&'static str, bool)> {
    let onboardings = source.id == ONBOARDINGS.id;
    Some(match order {
        Order::Trouble | Order::Newest | Order::Oldest | Order::Count => return None,
        Order::Updated => (MOVED, true),
        Order::Tenant if onboardings => ("h.tenant_id", false),
        Order::Tenant => ("l.tenant_id", false),
        Order::State if onboardings => ("coalesce(s.current_state, h.current_state, '')", false),
        Order::State => ("l.state", false),
        Order::Attempts if onboardings => ("coalesce(w.attempt, h.attempt, 0)", true),
        Order::Attempts => ("k.attempts", true),
        Order::LockAge => ("coalesce(k.locked_at, k.created_at)", false),
        Order::Conflicts => ("k.conflicts", true),
        Order::Replays => ("l.replays", true),
    })
}

/// Pushes WHERE, what `wanted` pushes (` AND …`), ORDER BY and LIMIT.
pub(super) fn push(
    sql: &mut QueryBuilder<Db>,
    source: &Source,
    order: Order,
    (after, limit): (Option<&Cursor>, u32),
    wanted: impl Fn(&mut QueryBuilder<Db>),
) {
    let Source { from, created, id } = source;
    let Some((rank, down)) = rank(source, order) else {
        let (way, beyond) = if order == Order::Oldest { ("ASC", ">") } else { ("DESC", "<") };
        sql.push("WHERE TRUE");
        wanted(sql);
        if let Some(cursor) = after {
            sql.push(format!(" AND ({created}, {id}) {beyond} ("));
            sql.push_bind(Time::new(cursor.created_at)).push(", ").push_bind(clean(&cursor.id)).push(")");
        }
        sql.push(format!(" ORDER BY {created} {way}, {id} {way} LIMIT ")).push_bind(i64::from(limit));
        return;
    };
    let (way, beyond) = if down { ("DESC", "<") } else { ("ASC", ">") };
    // Of locks the oldest matter, of everything else the newest.
    let window = if order == Order::LockAge { "ASC" } else { "DESC" };
    sql.push(format!("WHERE {id} IN (SELECT {id} {from}WHERE TRUE"));
    wanted(sql);
    sql.push(format!(" ORDER BY {created} {window}, {id} {window} LIMIT {})", Order::WINDOW));
    if let Some(cursor) = after {
        let here = clean(&cursor.id);
        let at = format!("(SELECT {rank} {from}WHERE {id} = ");
        sql.push(format!(" AND ({rank} {beyond} {at}")).push_bind(here.clone());
        sql.push(format!(") OR ({rank} = {at}")).push_bind(here.clone());
        sql.push(format!(") AND ({created}, {id}) < ("));
        sql.push_bind(Time::new(cursor.created_at)).push(", ").push_bind(here).push(")))");
    }
    sql.push(format!(" ORDER BY {rank} {way}, {created} DESC, {id} DESC LIMIT ")).push_bind(i64::from(limit));
}

/// The same for a list that comes in one piece.
pub(super) fn push_query(
    sql: &mut QueryBuilder<Db>,
    source: &Source,
    query: &Query,
    limit: u32,
    wanted: impl Fn(&mut QueryBuilder<Db>),
) {
    push(sql, source, query.ordered(), (query.after.as_ref(), limit), wanted);
}
