//! Items that fail whoever tries them: few of them, again and again, and the rest flow.

use std::time::Duration;

use sqlx::query;

use super::super::{Conn, row::Columns};
use crate::{
    engine::reader::{Count, Poison, PoisonItem},
    store::value::Time,
};

/// Only what was first seen since then is looked at, and of that the newest.
const LATELY: Duration = Duration::from_secs(3_600);
const LOOKED_AT: i64 = 500;

/// So many that failed are few.
const FEW: usize = 3;
/// Failing so often in one place is failing again and again.
const AGAIN: i32 = 2;
/// So many that are done show that the rest flow.
const FLOW: i64 = 10;

/// The few onboardings and keys that fail again and again, if the rest flow. A step's keys are its onboarding's.
pub(super) async fn find(conn: &mut Conn<'_>, now: Time) -> Result<Option<Poison>, sqlx::Error> {
    let select = "WITH newest AS (\
        SELECT id, name, onboarding, at, \
            attempts - CASE WHEN coalesce(phase, '') IN ('running', 'started') THEN 1 ELSE 0 END AS failures, CASE WHEN onboarding = 1 AND phase IN ('queued', 'running', 'waiting') THEN 1 \
            WHEN onboarding = 0 AND status = 'STARTED' OR phase = 'freed' THEN 1 ELSE 0 END AS open, \
            CASE WHEN status IN ('completed', 'COMPLETED') THEN 1 ELSE 0 END AS done FROM (\
            SELECT * FROM (SELECT id, repo_url AS name, 1 AS onboarding, current_state AS at, attempt AS attempts, phase, status \
                FROM onboarding_history WHERE created_at > $1 ORDER BY created_at DESC, id DESC LIMIT $2) AS onboardings \
            UNION ALL SELECT * FROM (SELECT key AS id, key AS name, 0 AS onboarding, operation AS at, attempts, phase, status \
                FROM idempotency_keys WHERE created_at > $1 AND onboarding_id IS NULL ORDER BY created_at DESC, key DESC LIMIT $2) AS keys\
        ) AS both_kinds) \
        SELECT id, name, CAST(onboarding AS bigint) AS onboarding, at, failures, (SELECT count(*) FROM newest WHERE done = 1) AS done \
        FROM newest WHERE open = 1 AND failures > 0 ORDER BY failures DESC, id LIMIT 10";
    let rows = query(select).bind(now.minus(LATELY)).bind(LOOKED_AT).fetch_all(conn).await?;
    let done = rows.first().map_or(Ok(0), |row| row.int("done"))?;
    if rows.len() > FEW || done < FLOW {
        return Ok(None);
    }
    let mut items = Vec::new();
    for row in &rows {
        let item = PoisonItem {
            id: row.name("id")?,
            name: row.told("name")?,
            onboarding: row.int("onboarding")? == 1,
            at: row.opt_name("at")?,
            failures: row.int32("failures")?,
        };
        if item.failures >= AGAIN {
            items.push(item);
        }
    }
    Ok((!items.is_empty()).then_some(Poison { items, done: Count(done) }))
}
