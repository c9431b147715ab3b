//! Filter terms as conditions. Values are always bound; what is pushed as text stands in this file.

use sqlx::QueryBuilder;

use super::{
    super::{Conn, Db, row::Columns},
    rows,
};
use crate::{
    engine::{
        filter::{Field, Filter, Term},
        reader::{Count, Cursor, Query},
    },
    store::value::{Time, clean},
};

/// Which list is filtered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Listed {
    Onboardings,
    Keys,
    Letters,
    Audit,
}

/// How a term compares.
enum Match {
    Equals(&'static [&'static str]),
    Contains(&'static [&'static str]),
    /// The list has no such column: nothing matches.
    Never,
}

fn columns(listed: Listed, field: Option<Field>) -> Match {
    use Field as F;
    use Match::{Contains, Equals, Never};
    match (listed, field) {
        (Listed::Onboardings, Some(F::Status)) => Equals(&["h.status", "h.phase"]),
        (Listed::Onboardings, Some(F::State)) => Equals(&["coalesce(s.current_state, h.current_state)"]),
        (Listed::Onboardings, Some(F::Tenant)) => Contains(&["h.tenant_id"]),
        (Listed::Onboardings, Some(F::Repo)) => Contains(&["h.repo_url"]),
        (Listed::Onboardings, Some(F::Error)) => Contains(&["h.error"]),
        (Listed::Onboardings, Some(F::Operation)) => Contains(&[
            "w.parked_by",
            "(SELECT l.operation FROM dead_letters l WHERE l.onboarding_id = h.id ORDER BY l.created_at DESC, l.id DESC LIMIT 1)",
        ]),
        (Listed::Onboardings, Some(F::Id)) => Contains(&["h.id"]),
        (Listed::Onboardings, Some(F::Operator)) => Contains(&["a.operator"]),
        (Listed::Onboardings, None) => {
            Contains(&["h.id", "h.tenant_id", "h.repo_url", "h.workspace_id", "h.error"])
        }
        (Listed::Keys, Some(F::Status)) => Equals(&["k.status", "k.phase"]),
        (Listed::Keys, Some(F::State)) => Equals(&["k.state"]),
        (Listed::Keys, Some(F::Operation)) => Contains(&["k.operation"]),
        (Listed::Keys, Some(F::Id)) => Contains(&["k.key", "k.onboarding_id"]),
        (Listed::Keys, Some(F::Operator)) => Contains(&["k.locked_by", "a.operator"]),
        (Listed::Keys, Some(F::Tenant)) => {
            Contains(&["(SELECT h.tenant_id FROM onboarding_history h WHERE h.id = k.onboarding_id)"])
        }
        (Listed::Keys, Some(F::Repo)) => {
            Contains(&["(SELECT h.repo_url FROM onboarding_history h WHERE h.id = k.onboarding_id)"])
        }
        (Listed::Keys, Some(F::Error)) => Never,
        (Listed::Keys, None) => {
            Contains(&["k.key", "k.operation", "k.locked_by", "k.onboarding_id", "k.request_path"])
        }
        (Listed::Letters, Some(F::Status)) => Equals(&["l.status", "l.outcome", "l.reason"]),
        (Listed::Letters, Some(F::State)) => Equals(&["l.state"]),
        (Listed::Letters, Some(F::Tenant)) => Contains(&["l.tenant_id"]),
        (Listed::Letters, Some(F::Repo)) => Contains(&["l.repo_url"]),
        (Listed::Letters, Some(F::Error)) => Contains(&["l.error"]),
        (Listed::Letters, Some(F::Operation)) => Contains(&["l.operation"]),
        (Listed::Letters, Some(F::Id)) => Contains(&["l.id", "l.onboarding_id"]),
        (Listed::Letters, Some(F::Operator)) => Contains(&["a.operator"]),
        (Listed::Letters, None) => {
            Contains(&["l.id", "l.onboarding_id", "l.tenant_id", "l.repo_url", "l.error", "l.operation"])
        }
        (Listed::Audit, Some(F::Status)) => Equals(&["a.kind"]),
        (Listed::Audit, Some(F::Id)) => Contains(&["a.id"]),
        (Listed::Audit, Some(F::Operator)) => Contains(&["a.operator"]),
        (Listed::Audit, Some(F::State | F::Tenant | F::Repo | F::Error | F::Operation)) => Never,
        (Listed::Audit, None) => Contains(&["a.id", "a.operator", "a.kind", "a.reason"]),
    }
}

/// Pushes ` AND …` for every term. The statement has a WHERE already.
pub(super) fn push(sql: &mut QueryBuilder<Db>, listed: Listed, filter: &Filter, now: Time) {
    for term in &filter.terms {
        sql.push(if term.negated { " AND NOT coalesce(" } else { " AND coalesce(" });
        condition(sql, listed, term, now);
        sql.push(", FALSE)");
    }
}

fn condition(sql: &mut QueryBuilder<Db>, listed: Listed, term: &Term, now: Time) {
    let value = clean(&term.value);
    match (listed, term.field, value.to_ascii_lowercase().as_str()) {
        // Words of the screen that are not words of a column.
        (Listed::Onboardings, Some(Field::Status), "elsewhere") => {
            sql.push("h.phase IS NULL");
            return;
        }
        (Listed::Keys, Some(Field::Status), "elsewhere") => {
            sql.push("k.phase IS NULL");
            return;
        }
        (Listed::Keys, Some(Field::Status), "stuck") => {
            stuck(sql, now);
            return;
        }
        (Listed::Keys, Some(Field::Status), "in_flight") => {
            sql.push("(k.status = 'STARTED' AND k.lease_until > ").push_bind(now).push(")");
            return;
        }
        (Listed::Keys, Some(Field::Status), "failed_for_good") => {
            sql.push("(k.status = 'FAILED' AND k.response_code IS NOT NULL AND coalesce(k.phase = 'failed', TRUE))");
            return;
        }
        _ => {}
    }
    // An audit row is also found by what it was done to.
    let by_target = listed == Listed::Audit && matches!(term.field, None | Some(Field::Id));
    sql.push("(");
    match columns(listed, term.field) {
        Match::Never => {
            sql.push("FALSE");
        }
        Match::Equals(columns) => {
            for (at, column) in columns.iter().enumerate() {
                sql.push(if at == 0 { "coalesce(lower(" } else { " OR coalesce(lower(" });
                sql.push(column).push(") = lower(").push_bind(value.clone()).push("), FALSE)");
            }
        }
        Match::Contains(columns) => {
            let pattern = pattern(&value);
            for (at, column) in columns.iter().enumerate() {
                sql.push(if at == 0 { "coalesce(lower(" } else { " OR coalesce(lower(" });
                sql.push(column)
                    .push(") LIKE lower(")
                    .push_bind(pattern.clone())
                    .push(") ESCAPE '\\', FALSE)");
            }
        }
    }
    if by_target {
        sql.push(
            " OR EXISTS (SELECT 1 FROM operator_action_targets t WHERE t.action_id = a.id AND t.target_id = ",
        );
        sql.push_bind(value).push(")");
    }
    sql.push(")");
}

/// In flight with its lease over, or without one.
pub(super) fn stuck(sql: &mut QueryBuilder<Db>, now: Time) {
    sql.push("(k.status = 'STARTED' AND (k.lease_until IS NULL OR k.lease_until <= ")
        .push_bind(now)
        .push("))");
}

/// `%value%` in which nothing is a wildcard but the ends.
fn pattern(value: &str) -> String {
    format!("%{}%", value.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_"))
}

/// Rows after `cursor` in a list that is newest first.
pub(super) fn push_after(
    sql: &mut QueryBuilder<Db>,
    columns: (&'static str, &'static str),
    cursor: Option<&Cursor>,
) {
    if let Some(cursor) = cursor {
        sql.push(" AND (").push(columns.0).push(", ").push(columns.1).push(") < (");
        sql.push_bind(Time::new(cursor.created_at)).push(", ").push_bind(clean(&cursor.id)).push(")");
    }
}

/// How many match, up to the cap.
pub(super) async fn count(
    conn: &mut Conn,
    now: Time,
    listed: Listed,
    filter: &Filter,
    group: Option<&str>,
) -> Result<Count, sqlx::Error> {
    let mut sql = QueryBuilder::<Db>::new("SELECT count(*) AS n FROM (SELECT 1 AS one ");
    sql.push(match listed {
        Listed::Onboardings => rows::ONBOARDING_FROM,
        Listed::Keys => rows::KEY_FROM,
        Listed::Letters => rows::LETTER_FROM,
        Listed::Audit => "FROM operator_actions a ",
    });
    sql.push("WHERE TRUE");
    if let Some(group) = group {
        sql.push(" AND l.error_fingerprint = ").push_bind(clean(group));
    }
    push(&mut sql, listed, filter, now);
    sql.push(" LIMIT ").push_bind(Query::COUNT_CAP).push(") AS capped");
    Ok(Count(sql.build().fetch_one(conn).await?.int("n")?))
}
