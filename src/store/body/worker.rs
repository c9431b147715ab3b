//! Workers' signs of life, their circuits, and what their gauges show.

use std::time::Duration;

use serde_json::Value;
use sqlx::query;

use super::{Conn, row::Columns, tx::Tx};
use crate::{
    domain::{id::WorkerId, letter::LetterStatus, onboarding::Status},
    engine::{
        reader::Query,
        store::{CircuitReport, Gauges, Heartbeat},
    },
    store::value::clean,
};

/// After so long without a sign of life nobody asks what became of a worker.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(24 * 3_600);

pub(super) async fn beat(tx: &mut Tx, beat: &Heartbeat) -> Result<(), sqlx::Error> {
    let now = tx.now;
    let worker = clean(beat.worker.as_str());
    let upsert = "INSERT INTO redrive_workers (id, started_at, beat_at, running, metrics_url, runs) VALUES ($1, $2, $2, $3, $4, $5) \
        ON CONFLICT (id) DO UPDATE SET beat_at = excluded.beat_at, running = excluded.running, metrics_url = excluded.metrics_url, \
        runs = excluded.runs";
    let upsert = query(upsert).bind(&worker).bind(now).bind(i64::from(beat.running));
    let runs = beat.runs.iter().map(|(workflow, newest)| (clean(workflow), (*newest).into()));
    let upsert = upsert.bind(beat.metrics_url.as_deref().map(clean)).bind(Value::Object(runs.collect()));
    upsert.execute(tx.conn()).await?;
    let mut reports: Vec<_> = beat.circuits.iter().collect();
    reports.sort_by_key(|report| &report.operation);
    for report in reports {
        circuit(tx, &worker, report).await?;
    }
    Ok(())
}

async fn circuit(tx: &mut Tx, worker: &str, report: &CircuitReport) -> Result<(), sqlx::Error> {
    let now = tx.now;
    let upsert = "INSERT INTO redrive_circuit_reports (operation, worker, state, failure_rate, opens_at, slow_rate, slow_opens_at, calls, \
        probe_at, budget_left, first_tries, retries, in_flight, places, denied, reported_at) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16) \
        ON CONFLICT (operation, worker) DO UPDATE SET state = excluded.state, failure_rate = excluded.failure_rate, \
        opens_at = excluded.opens_at, slow_rate = excluded.slow_rate, slow_opens_at = excluded.slow_opens_at, \
        calls = excluded.calls, probe_at = excluded.probe_at, budget_left = excluded.budget_left, \
        first_tries = excluded.first_tries, retries = excluded.retries, in_flight = excluded.in_flight, \
        places = excluded.places, denied = excluded.denied, reported_at = excluded.reported_at";
    let denied = report.denied.iter().map(|(reason, count)| (reason.as_str().to_owned(), (*count).into()));
    query(upsert)
        .bind(clean(&report.operation))
        .bind(worker)
        .bind(report.state.as_str())
        .bind(report.failure_rate)
        .bind(report.opens_at)
        .bind(report.slow_rate)
        .bind(report.slow_opens_at)
        .bind(i64::from(report.calls))
        .bind(report.probe_in.map(|wait| now.plus(wait)))
        .bind(report.budget_left)
        .bind(report.first_tries)
        .bind(report.retries)
        .bind(report.in_flight.map(|(under_way, _)| i64::from(under_way)))
        .bind(report.in_flight.map(|(_, places)| i64::from(places)))
        .bind(Value::Object(denied.collect()))
        .bind(now)
        .execute(tx.conn())
        .await
        .map(|_| ())
}

pub(super) async fn leave(tx: &mut Tx, worker: &WorkerId) -> Result<(), sqlx::Error> {
    let worker = clean(worker.as_str());
    query("DELETE FROM redrive_workers WHERE id = $1").bind(&worker).execute(tx.conn()).await?;
    query("DELETE FROM redrive_circuit_reports WHERE worker = $1").bind(&worker).execute(tx.conn()).await?;
    // Those that never said goodbye go with whoever does.
    let long_ago = tx.now.minus(FORGOTTEN_AFTER);
    query("DELETE FROM redrive_workers WHERE beat_at < $1").bind(long_ago).execute(tx.conn()).await?;
    query("DELETE FROM redrive_circuit_reports WHERE reported_at < $1")
        .bind(long_ago)
        .execute(tx.conn())
        .await?;
    Ok(())
}

pub(super) async fn gauges(conn: &mut Conn<'_>) -> Result<Gauges, sqlx::Error> {
    let mut gauges = Gauges::default();
    for status in Status::ALL {
        let count = "SELECT count(*) AS n FROM (SELECT 1 AS one FROM onboarding_history WHERE status = $1 LIMIT $2) AS capped";
        let row = query(count).bind(status.as_str()).bind(Query::COUNT_CAP).fetch_one(&mut *conn).await?;
        gauges.onboardings.push((*status, row.int("n")?));
    }
    for status in LetterStatus::ALL {
        let count = "SELECT count(*) AS n FROM (SELECT 1 AS one FROM redrive_dead_letters WHERE status = $1 LIMIT $2) AS capped";
        let row = query(count).bind(status.as_str()).bind(Query::COUNT_CAP).fetch_one(&mut *conn).await?;
        gauges.letters.push((*status, row.int("n")?));
    }
    Ok(gauges)
}
