//! Workers' signs of life, their circuits, and what their gauges show.

use std::time::Duration;

use sqlx::query;

use super::{Conn, row::Columns, tx::Tx};
use crate::{
    domain::{id::WorkerId, letter::LetterStatus, onboarding::Status},
    engine::{
        reader::Query,
        store::{ForcedCircuit, Gauges, Heartbeat},
    },
    store::value::{Time, clean},
};

pub(super) async fn beat(tx: &mut Tx, beat: &Heartbeat) -> Result<Vec<ForcedCircuit>, sqlx::Error> {
    let now = tx.now;
    let worker = clean(beat.worker.as_str());
    let upsert = "INSERT INTO workers (id, started_at, beat_at, running, metrics_url) VALUES ($1, $2, $2, $3, $4) \
        ON CONFLICT (id) DO UPDATE SET beat_at = excluded.beat_at, running = excluded.running, metrics_url = excluded.metrics_url";
    let upsert = query(upsert).bind(&worker).bind(now).bind(i64::from(beat.running));
    upsert.bind(beat.metrics_url.as_deref().map(clean)).execute(tx.conn()).await?;
    let mut reports: Vec<_> = beat.circuits.iter().collect();
    reports.sort_by_key(|report| &report.operation);
    for report in reports {
        let upsert = "INSERT INTO circuit_reports (operation, worker, state, failure_rate, calls, probe_at, reported_at) \
            VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (operation, worker) DO UPDATE SET state = excluded.state, \
            failure_rate = excluded.failure_rate, calls = excluded.calls, probe_at = excluded.probe_at, \
            reported_at = excluded.reported_at";
        query(upsert)
            .bind(clean(&report.operation))
            .bind(&worker)
            .bind(report.state.as_str())
            .bind(report.failure_rate)
            .bind(i64::from(report.calls))
            .bind(report.probe_in.map(|wait| now.plus(wait)))
            .bind(now)
            .execute(tx.conn())
            .await?;
    }
    let forced = "SELECT operation, forced FROM circuits WHERE forced IS NOT NULL AND (forced_until IS NULL OR forced_until > $1) ORDER BY operation";
    let mut circuits = Vec::new();
    for row in query(forced).bind(now).fetch_all(tx.conn()).await? {
        if let Some(forced) = row.word("forced")? {
            circuits.push(ForcedCircuit { operation: row.text("operation")?, forced });
        }
    }
    Ok(circuits)
}

pub(super) async fn leave(tx: &mut Tx, worker: &WorkerId) -> Result<(), sqlx::Error> {
    let worker = clean(worker.as_str());
    query("DELETE FROM workers WHERE id = $1").bind(&worker).execute(tx.conn()).await?;
    query("DELETE FROM circuit_reports WHERE worker = $1").bind(&worker).execute(tx.conn()).await?;
    Ok(())
}

pub(super) async fn next_due(conn: &mut Conn, now: Time) -> Result<Option<Duration>, sqlx::Error> {
    let row = query("SELECT min(run_at) AS due FROM work").fetch_one(conn).await?;
    Ok(row.opt_time("due")?.map(|due| due.since(now)))
}

pub(super) async fn gauges(conn: &mut Conn) -> Result<Gauges, sqlx::Error> {
    let mut gauges = Gauges::default();
    for status in Status::ALL {
        let count = "SELECT count(*) AS n FROM (SELECT 1 AS one FROM onboarding_history WHERE status = $1 LIMIT $2) AS capped";
        let row = query(count).bind(status.as_str()).bind(Query::COUNT_CAP).fetch_one(&mut *conn).await?;
        gauges.onboardings.push((*status, row.int("n")?));
    }
    for status in LetterStatus::ALL {
        let count = "SELECT count(*) AS n FROM (SELECT 1 AS one FROM dead_letters WHERE status = $1 LIMIT $2) AS capped";
        let row = query(count).bind(status.as_str()).bind(Query::COUNT_CAP).fetch_one(&mut *conn).await?;
        gauges.letters.push((*status, row.int("n")?));
    }
    Ok(gauges)
}
