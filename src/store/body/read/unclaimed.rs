//! Work that is due and that no living worker can run: a workflow or a version of it that none of them was given.

use sqlx::query;

use super::super::{
    Conn,
    row::{Columns, Row},
};
use crate::{
    domain::{
        onboarding::{WORKFLOW, WORKFLOW_VERSION},
        text::SafeText,
    },
    engine::{
        reader::{Count, OnboardingRow, Unclaimed, WorkerRow},
        runs::may_run,
    },
    store::value::{Time, clean},
};

/// What nobody claims gathers where the queue begins: so far it is looked at.
const LOOKED_AT: i64 = 200;

/// By definition, as far as the first of the queue show it. Where no worker is alive, nothing is said.
pub(super) async fn all(
    conn: &mut Conn<'_>,
    now: Time,
    workers: &[WorkerRow],
) -> Result<Vec<Unclaimed>, sqlx::Error> {
    let select = "SELECT coalesce(h.workflow, $3) AS workflow, coalesce(h.workflow_version, $4) AS version, count(*) AS n \
        FROM (SELECT subject_id FROM redrive_work WHERE run_at <= $1 AND (lease_until IS NULL OR lease_until <= $1) \
        ORDER BY run_at LIMIT $2) AS first JOIN onboarding_history h ON h.id = first.subject_id \
        WHERE h.phase IS NOT NULL GROUP BY 1, 2 ORDER BY 1, 2";
    let select = query(select).bind(now).bind(LOOKED_AT).bind(WORKFLOW).bind(i64::from(WORKFLOW_VERSION));
    let rows = select.fetch_all(conn).await?;
    let found = rows.iter().map(|row| unclaimed(row, workers));
    found.filter_map(Result::transpose).collect()
}

/// Says it on the page of one that is due.
pub(super) async fn explain(
    conn: &mut Conn<'_>,
    now: Time,
    workers: &[WorkerRow],
    onboarding: &mut OnboardingRow,
) -> Result<(), sqlx::Error> {
    if onboarding.run_at.is_none_or(|at| at > now.0) {
        return Ok(());
    }
    let select = "SELECT coalesce(workflow, $2) AS workflow, coalesce(workflow_version, $3) AS version, CAST(1 AS bigint) AS n \
        FROM onboarding_history WHERE id = $1";
    let select = query(select).bind(clean(onboarding.id.as_str())).bind(WORKFLOW);
    let Some(row) = select.bind(i64::from(WORKFLOW_VERSION)).fetch_optional(conn).await? else {
        return Ok(());
    };
    if let Some(unclaimed) = unclaimed(&row, workers)? {
        onboarding.error = Some(SafeText::new(&unclaimed.to_string()));
    }
    Ok(())
}

fn unclaimed(row: &Row, workers: &[WorkerRow]) -> Result<Option<Unclaimed>, sqlx::Error> {
    let (workflow, version) = (row.text("workflow")?, row.int("version")?);
    let mut alive = workers.iter().filter(|worker| worker.alive).peekable();
    let nobody = alive.peek().is_some()
        && alive.all(|worker| worker.runs.as_ref().is_some_and(|runs| !may_run(runs, &workflow, version)));
    if !nobody {
        return Ok(None);
    }
    Ok(Some(Unclaimed { workflow: SafeText::new(&workflow), version, count: Count(row.int("n")?) }))
}
