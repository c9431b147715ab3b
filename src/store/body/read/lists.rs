//! The lists: newest first unless another order is asked for, paged by what the last row was.

use std::collections::HashMap;

use sqlx::QueryBuilder;

use super::{
    super::{Conn, Db, row::Columns},
    filter::{self, Listed},
    order, rows,
};
use crate::{
    domain::{action::ActionKind, text::SafeText},
    engine::reader::{AuditRow, LetterRow, OnboardingRow, Query},
    store::value::{Time, clean},
};

pub(super) async fn onboardings(
    conn: &mut Conn<'_>,
    now: Time,
    query: &Query,
    limit: u32,
) -> Result<Vec<OnboardingRow>, sqlx::Error> {
    let mut sql = QueryBuilder::<Db>::new(rows::ONBOARDING);
    sql.push(rows::ONBOARDING_FROM);
    let wanted = |sql: &mut _| filter::push(sql, Listed::Onboardings, &query.filter, now);
    order::push_query(&mut sql, &order::ONBOARDINGS, query, limit, wanted);
    let found = sql.build().fetch_all(conn).await?;
    found.iter().map(|row| rows::onboarding(row, now)).collect()
}

pub(super) async fn letters(
    conn: &mut Conn<'_>,
    now: Time,
    query: &Query,
    group: Option<&str>,
    limit: u32,
) -> Result<Vec<LetterRow>, sqlx::Error> {
    let mut sql = QueryBuilder::<Db>::new(rows::LETTER);
    sql.push(rows::LETTER_FROM);
    order::push_query(&mut sql, &order::LETTERS, query, limit, |sql: &mut QueryBuilder<Db>| {
        if let Some(group) = group {
            sql.push(" AND l.error_fingerprint = ").push_bind(clean(group));
        }
        filter::push(sql, Listed::Letters, &query.filter, now);
    });
    sql.build().fetch_all(conn).await?.iter().map(rows::letter).collect()
}

pub(super) async fn audit(
    conn: &mut Conn<'_>,
    now: Time,
    query: &Query,
    limit: u32,
) -> Result<Vec<AuditRow>, sqlx::Error> {
    let mut sql = QueryBuilder::<Db>::new(AUDIT);
    sql.push("FROM redrive_operator_actions a ");
    let wanted = |sql: &mut _| filter::push(sql, Listed::Audit, &query.filter, now);
    order::push_query(&mut sql, &order::AUDIT, query, limit, wanted);
    read_audit(conn, sql).await
}

const AUDIT: &str = "SELECT a.id, a.at, a.operator, a.kind, a.how, a.reason, a.applied, a.left_out ";

/// What the audit is asked about.
#[derive(Debug, Clone, Copy)]
pub(super) enum About<'a> {
    /// An onboarding, its letters and its keys.
    Onboarding(&'a str),
    /// A letter, and the one it came from.
    Letter(&'a str),
    Key(&'a str),
}

/// What operators did to one row, newest first.
pub(super) async fn audit_of(conn: &mut Conn<'_>, about: About<'_>) -> Result<Vec<AuditRow>, sqlx::Error> {
    let mut sql = QueryBuilder::<Db>::new(AUDIT);
    sql.push("FROM redrive_operator_actions a WHERE a.id IN (SELECT t.action_id FROM redrive_operator_action_targets t WHERE t.left_out IS NULL AND ");
    match about {
        About::Onboarding(id) => sql.push("t.onboarding_id = ").push_bind(id.to_owned()),
        About::Letter(id) => sql
            .push("t.target_kind = 'letter' AND t.target_id IN (SELECT CAST(")
            .push_bind(id.to_owned())
            .push(" AS text) UNION ALL SELECT i.letter_id FROM redrive_replay_items i WHERE i.became = ")
            .push_bind(id.to_owned())
            .push(")"),
        About::Key(id) => sql.push("t.target_kind = 'key' AND t.target_id = ").push_bind(id.to_owned()),
    };
    sql.push(") ORDER BY a.at DESC, a.id DESC LIMIT 200");
    read_audit(conn, sql).await
}

async fn read_audit(conn: &mut Conn<'_>, mut sql: QueryBuilder<Db>) -> Result<Vec<AuditRow>, sqlx::Error> {
    let found = sql.build().fetch_all(&mut *conn).await?;
    let mut audit = Vec::with_capacity(found.len());
    for row in &found {
        audit.push(AuditRow {
            id: row.id("id")?,
            at: row.time("at")?.0,
            operator: row.name("operator")?,
            kind: row.word("kind")?.unwrap_or(ActionKind::Resume),
            how: row.opt_told("how")?,
            reason: row.opt_told("reason")?,
            applied: row.int("applied")?,
            left_out: row.int("left_out")?,
            targets: Vec::new(),
        });
    }
    let mut targets = first_targets(conn, &audit).await?;
    for row in &mut audit {
        row.targets = targets.remove(row.id.as_str()).unwrap_or_default();
    }
    Ok(audit)
}

/// The first 20 targets of each.
async fn first_targets(
    conn: &mut Conn<'_>,
    audit: &[AuditRow],
) -> Result<HashMap<String, Vec<SafeText>>, sqlx::Error> {
    let mut targets: HashMap<String, Vec<SafeText>> = HashMap::new();
    if audit.is_empty() {
        return Ok(targets);
    }
    let mut sql = QueryBuilder::<Db>::new(
        "SELECT action_id, target_id FROM (SELECT action_id, target_id, \
         row_number() OVER (PARTITION BY action_id ORDER BY target_id) AS n \
         FROM redrive_operator_action_targets WHERE action_id IN (",
    );
    let mut ids = sql.separated(", ");
    for row in audit {
        ids.push_bind(row.id.0.clone());
    }
    sql.push(")) AS numbered WHERE n <= 20 ORDER BY action_id, n");
    for row in sql.build().fetch_all(conn).await? {
        targets.entry(row.text("action_id")?).or_default().push(row.name("target_id")?);
    }
    Ok(targets)
}
