//! Filter terms as conditions. Values are always bound; what is pushed as text stands in this file.

use sqlx::QueryBuilder;

use super::{
    super::{Conn, Db, row::Columns},
    rows,
};
use crate::{
    domain::{
        key::{KeyPhase, KeyStatus},
        letter::LetterStatus,
        onboarding::{Phase, Status},
    },
    engine::{
        filter::{Comparison, Field, Filter, Term},
        reader::{Count, Query},
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
    /// A moment: its age is compared.
    Age(&'static str),
    Number(&'static str),
    Contains(&'static [&'static str]),
    /// The list has no such column: nothing matches.
    Never,
}

fn columns(listed: Listed, field: Option<Field>) -> Match {
    use Field as F;
    use Match::{Age, Contains, Equals, Never, Number};
    match (listed, field) {
        (Listed::Onboardings, Some(F::Age)) => Age("h.created_at"),
        (Listed::Keys, Some(F::Age)) => Age("k.created_at"),
        (Listed::Letters, Some(F::Age)) => Age("l.created_at"),
        (Listed::Audit, Some(F::Age)) => Age("a.at"),
        (Listed::Onboardings, Some(F::Attempts)) => Number("coalesce(w.attempt, h.attempt, 0)"),
        (Listed::Keys, Some(F::Attempts)) => Number("k.attempts"),
        (Listed::Keys, Some(F::Conflicts)) => Number("k.conflicts"),
        (Listed::Letters, Some(F::Replays)) => Number("l.replays"),
        (_, Some(F::Attempts | F::Replays | F::Conflicts)) => Never,
        (Listed::Onboardings, Some(F::Status)) => Equals(&["h.status", "h.phase"]),
        (Listed::Onboardings, Some(F::State)) => Equals(&["coalesce(s.current_state, h.current_state)"]),
        (Listed::Onboardings, Some(F::Tenant)) => Contains(&["h.tenant_id"]),
        (Listed::Onboardings, Some(F::Repo)) => Contains(&["h.repo_url"]),
        (Listed::Onboardings, Some(F::Error)) => Contains(&["h.error"]),
        (Listed::Onboardings, Some(F::Operation)) => Contains(&[
            "w.parked_by",
            "(SELECT l.operation FROM redrive_dead_letters l WHERE l.onboarding_id = h.id ORDER BY l.created_at DESC, l.id DESC LIMIT 1)",
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
        (Listed::Audit, Some(F::Action)) => Equals(&["a.kind"]),
        (Listed::Audit, Some(F::Status)) | (_, Some(F::Action)) => Never,
        (Listed::Audit, Some(F::Id)) => Contains(&["a.id"]),
        (Listed::Audit, Some(F::Operator)) => Contains(&["a.operator"]),
        (Listed::Audit, Some(F::State | F::Tenant | F::Repo | F::Error | F::Operation)) => Never,
        (Listed::Audit, None) => Contains(&["a.id", "a.operator", "a.kind", "a.reason"]),
    }
}

/// Pushes ` AND …` for every term. The statement has a WHERE already.
pub(super) fn push(sql: &mut QueryBuilder<Db>, listed: Listed, filter: &Filter, now: Time) {
    for term in &filter.terms {
        // What is not known does not match. Only a negated term has to say so: around others it would hide an index.
        sql.push(if term.negated { " AND NOT coalesce(" } else { " AND " });
        condition(sql, listed, term, now);
        sql.push(if term.negated { ", FALSE)" } else { "" });
    }
}

/// A status as one comparison with a literal, which an index can answer: the word of a finer column, which implies one
/// of the status others see, unless it is one of those itself.
fn status(listed: Listed, value: &str) -> Option<String> {
    fn one(column: &str, words: &[&'static str], value: &str) -> Option<String> {
        let word = words.iter().find(|word| word.eq_ignore_ascii_case(value))?;
        Some(format!("{column} = '{word}'"))
    }
    macro_rules! words {
        ($kind:ty) => {
            &<$kind>::ALL.iter().map(|word| word.as_str()).collect::<Vec<_>>()
        };
    }
    match listed {
        Listed::Onboardings => {
            one("h.status", words!(Status), value).or_else(|| one("h.phase", words!(Phase), value))
        }
        Listed::Keys => {
            one("k.status", words!(KeyStatus), value).or_else(|| one("k.phase", words!(KeyPhase), value))
        }
        Listed::Letters => one("l.status", words!(LetterStatus), value),
        Listed::Audit => None,
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
            sql.push("(k.status = 'FAILED' AND k.response_code IS NOT NULL AND (k.phase IS NULL OR k.phase = 'failed'))");
            return;
        }
        (_, Some(Field::Status), word) => {
            if let Some(equals) = status(listed, word) {
                sql.push(equals);
                return;
            }
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
        Match::Age(_) | Match::Number(_) if term.compared().is_none() => {
            sql.push("FALSE");
        }
        Match::Age(column) => {
            if let Some((comparison, seconds)) = term.compared() {
                let age = std::time::Duration::from_secs(seconds.unsigned_abs());
                // The older, the smaller the moment.
                sql.push(column).push(sign(comparison, true)).push_bind(now.minus(age));
            }
        }
        Match::Number(column) => {
            if let Some((comparison, number)) = term.compared() {
                sql.push(column).push(sign(comparison, false)).push_bind(number);
            }
        }
        Match::Equals(columns) => {
            for (at, column) in columns.iter().enumerate() {
                sql.push(if at == 0 { "lower(" } else { " OR lower(" });
                sql.push(column).push(") = lower(").push_bind(value.clone()).push(")");
            }
        }
        Match::Contains(columns) => {
            let pattern = pattern(&value);
            for (at, column) in columns.iter().enumerate() {
                sql.push(if at == 0 { "lower(" } else { " OR lower(" });
                sql.push(column).push(") LIKE lower(").push_bind(pattern.clone()).push(") ESCAPE '\\'");
            }
        }
    }
    if by_target {
        sql.push(
            " OR EXISTS (SELECT 1 FROM redrive_operator_action_targets t WHERE t.action_id = a.id AND t.target_id = ",
        );
        sql.push_bind(value).push(")");
    }
    sql.push(")");
}

fn sign(comparison: Comparison, turned: bool) -> &'static str {
    match (comparison, turned) {
        (Comparison::Equal, _) => " = ",
        (Comparison::Less, false) | (Comparison::More, true) => " < ",
        (Comparison::AtMost, false) | (Comparison::AtLeast, true) => " <= ",
        (Comparison::AtLeast, false) | (Comparison::AtMost, true) => " >= ",
        (Comparison::More, false) | (Comparison::Less, true) => " > ",
    }
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

/// How many match, up to the cap.
pub(super) async fn count(
    conn: &mut Conn<'_>,
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
        Listed::Audit => "FROM redrive_operator_actions a ",
    });
    sql.push("WHERE TRUE");
    if let Some(group) = group {
        sql.push(" AND l.error_fingerprint = ").push_bind(clean(group));
    }
    push(&mut sql, listed, filter, now);
    sql.push(" LIMIT ").push_bind(Query::COUNT_CAP).push(") AS capped");
    Ok(Count(sql.build().fetch_one(conn).await?.int("n")?))
}
