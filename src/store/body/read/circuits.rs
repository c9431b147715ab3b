//! Circuits: what living workers computed and what operators decided, one row an operation; and what is held back.

use std::collections::BTreeMap;

use sqlx::query;

use super::super::{
    Conn,
    row::{Columns, Row},
    standing::ALIVE,
    steering::holds,
};
use crate::{
    domain::{circuit::CircuitState, onboarding::WORKFLOW, text::SafeText},
    engine::reader::{CircuitReportRow, CircuitRow, Count, Decision, PauseRow, Query},
    store::value::Time,
};

/// More operations than this are not shown.
const MOST: i64 = 2_000;

pub(super) async fn all(conn: &mut Conn<'_>, now: Time) -> Result<Vec<CircuitRow>, sqlx::Error> {
    let mut circuits: BTreeMap<String, CircuitRow> = BTreeMap::new();
    let select = "SELECT r.operation, r.worker, r.state, r.failure_rate, r.opens_at, r.slow_rate, r.slow_opens_at, r.calls, r.probe_at, \
        r.budget_left, r.first_tries, r.retries, r.in_flight, r.places, CAST(r.denied AS text) AS denied, r.reported_at \
        FROM redrive_circuit_reports r JOIN redrive_workers w ON w.id = r.worker WHERE w.beat_at > $1 ORDER BY r.operation, r.worker LIMIT $2";
    for row in query(select).bind(now.minus(ALIVE)).bind(MOST).fetch_all(&mut *conn).await? {
        let (operation, at) = (row.text("operation")?, row.time("reported_at")?);
        let circuit = circuits.entry(operation.clone()).or_insert_with(|| fresh(&operation, at));
        add(circuit, &row, at)?;
    }
    for row in query(DECIDED).bind(MOST).fetch_all(&mut *conn).await? {
        let operation = row.text("operation")?;
        let forced_until = row.opt_time("forced_until")?;
        let forced = row.word("forced")?.filter(|_| holds(forced_until, now));
        let paused = paused(&row, now)?;
        if !circuits.contains_key(&operation)
            && (operation == WORKFLOW || forced.is_none() && paused.is_none())
        {
            continue;
        }
        let circuit = circuits.entry(operation.clone()).or_insert_with(|| fresh(&operation, now));
        circuit.forced = forced;
        circuit.forced_by = match forced {
            Some(_) => Some(decision(&row, forced_until, ["forced_operator", "forced_at", "forced_reason"])?),
            None => None,
        };
        circuit.paused = paused;
        circuit.version = row.int("version")?;
        circuit.last_action = row.last_action()?;
    }
    for (operation, circuit) in &mut circuits {
        let held = "SELECT count(*) AS n FROM (SELECT 1 AS one FROM redrive_work WHERE parked_by = $2 LIMIT $1) AS capped";
        let held = query(held).bind(Query::COUNT_CAP).bind(operation.as_str());
        circuit.holds = Count(held.fetch_one(&mut *conn).await?.int("n")?);
    }
    let mut circuits: Vec<_> = circuits.into_values().collect();
    circuits.sort_by_key(|circuit| {
        circuit.state == CircuitState::Closed && circuit.forced.is_none() && circuit.paused.is_none()
    });
    Ok(circuits)
}

const DECIDED: &str = "SELECT c.operation, c.forced, c.forced_until, c.paused_at, c.paused_until, c.version, \
    f.operator AS forced_operator, f.at AS forced_at, f.reason AS forced_reason, \
    p.operator AS paused_operator, p.at AS paused_since, p.reason AS paused_reason, \
    a.operator AS a_operator, a.kind AS a_kind, a.at AS a_at \
    FROM redrive_circuits c LEFT JOIN redrive_operator_actions f ON f.id = c.forced_by LEFT JOIN redrive_operator_actions p ON p.id = c.paused_by \
    LEFT JOIN redrive_operator_actions a ON a.id = c.action_id ORDER BY c.operation LIMIT $1";

/// Everything that is held back, workflows too.
pub(super) async fn pauses(conn: &mut Conn<'_>, now: Time) -> Result<Vec<PauseRow>, sqlx::Error> {
    let mut pauses = Vec::new();
    for row in query(DECIDED).bind(MOST).fetch_all(conn).await? {
        if let Some(decision) = paused(&row, now)? {
            pauses.push(PauseRow {
                operation: row.name("operation")?,
                decision,
                version: row.int("version")?,
            });
        }
    }
    Ok(pauses)
}

fn paused(row: &Row, now: Time) -> Result<Option<Decision>, sqlx::Error> {
    let until = row.opt_time("paused_until")?;
    if row.opt_time("paused_at")?.is_none() || !holds(until, now) {
        return Ok(None);
    }
    decision(row, until, ["paused_operator", "paused_since", "paused_reason"]).map(Some)
}

fn decision(row: &Row, until: Option<Time>, [who, when, why]: [&str; 3]) -> Result<Decision, sqlx::Error> {
    Ok(Decision {
        until: until.map(|until| until.0),
        operator: row.name(who)?,
        at: row.time(when)?.0,
        reason: row.opt_told(why)?,
    })
}

fn fresh(operation: &str, at: Time) -> CircuitRow {
    CircuitRow {
        operation: SafeText::new(operation),
        state: CircuitState::Closed,
        forced: None,
        forced_by: None,
        paused: None,
        instances: (0, 0),
        failure_rate: None,
        opens_at: None,
        calls: 0,
        probe_at: None,
        holds: Count(0),
        budget_left: None,
        denied: BTreeMap::new(),
        reported_at: at.0,
        version: 0,
        last_action: None,
        reports: Vec::new(),
    }
}

/// The worst state any worker computed, and how many computed it.
fn add(circuit: &mut CircuitRow, row: &Row, at: Time) -> Result<(), sqlx::Error> {
    let badness = |state| match state {
        CircuitState::Closed => 0,
        CircuitState::HalfOpen => 1,
        CircuitState::Open => 2,
    };
    let report = CircuitReportRow {
        worker: row.id("worker")?,
        state: row.word("state")?.unwrap_or(CircuitState::Closed),
        failure_rate: row.float("failure_rate")?,
        slow_rate: row.float("slow_rate")?,
        slow_opens_at: row.float("slow_opens_at")?,
        calls: row.int32("calls")?,
        probe_at: row.opt_time("probe_at")?.map(|t| t.0),
        budget_left: row.float("budget_left")?,
        first_tries: row.int("first_tries")?,
        retries: row.int("retries")?,
        in_flight: row.opt_int("in_flight")?.zip(row.opt_int("places")?),
        reported_at: at.0,
    };
    if badness(report.state) > badness(circuit.state) {
        circuit.state = report.state;
        circuit.instances.0 = 0;
        circuit.probe_at = None;
    }
    if report.state == circuit.state {
        circuit.instances.0 += 1;
        circuit.probe_at = [circuit.probe_at, report.probe_at].into_iter().flatten().min();
    }
    circuit.instances.1 += 1;
    if report.failure_rate.is_some_and(|rate| circuit.failure_rate.is_none_or(|worst| rate >= worst)) {
        circuit.failure_rate = report.failure_rate;
        circuit.calls = report.calls;
    }
    circuit.opens_at = circuit.opens_at.or(row.float("opens_at")?);
    circuit.budget_left =
        [circuit.budget_left, report.budget_left].into_iter().flatten().min_by(f64::total_cmp);
    let denied = row.json("denied")?;
    for (reason, count) in denied.as_object().into_iter().flatten() {
        if let (Ok(reason), Some(count)) = (reason.parse(), count.as_u64()) {
            *circuit.denied.entry(reason).or_default() += count;
        }
    }
    circuit.reported_at = circuit.reported_at.max(at.0);
    circuit.reports.push(report);
    Ok(())
}
