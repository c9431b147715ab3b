//! The overview: capped counts, workers, groups of letters, replays. Nothing here costs more as tables grow.

use std::time::Duration;

use sqlx::query;

use super::super::{
    Conn,
    row::{Columns, Row},
    standing::ALIVE,
};
use crate::{
    engine::reader::{Count, Counts, LetterGroup, Query, ReplayRow, WorkerRow},
    store::value::Time,
};

const SHOWN_WORKERS: Duration = Duration::from_secs(3_600);
const NEW: Duration = Duration::from_secs(15 * 60);

macro_rules! capped {
    ($from:literal) => {
        concat!("SELECT count(*) AS n FROM (SELECT 1 AS one FROM ", $from, " LIMIT $1) AS capped")
    };
}

async fn count(conn: &mut Conn<'_>, sql: &'static str) -> Result<i64, sqlx::Error> {
    query(sql).bind(Query::COUNT_CAP).fetch_one(conn).await?.int("n")
}

pub(super) async fn counts(conn: &mut Conn<'_>, now: Time) -> Result<Counts, sqlx::Error> {
    let capped = |n: i64| Count(n.min(Query::COUNT_CAP));
    let ours =
        count(conn, capped!("onboarding_history WHERE phase IN ('queued', 'running', 'waiting')")).await?;
    let elsewhere =
        count(conn, capped!("onboarding_history WHERE status = 'in_progress' AND phase IS NULL")).await?;
    let unknown = count(
        conn,
        capped!("onboarding_history WHERE status NOT IN ('in_progress', 'completed', 'failed', 'failed_cleaned_up')"),
    )
    .await?;
    let stuck_keys = "SELECT count(*) AS n, min(due) AS oldest FROM (SELECT coalesce(lease_until, locked_at, created_at) AS due \
        FROM idempotency_keys WHERE status = 'STARTED' AND (lease_until IS NULL OR lease_until <= $2) LIMIT $1) AS capped";
    let stuck_keys = query(stuck_keys).bind(Query::COUNT_CAP).bind(now).fetch_one(&mut *conn).await?;
    let arrived = "SELECT count(*) AS n FROM (SELECT 1 AS one FROM redrive_dead_letters WHERE created_at > $2 LIMIT $1) AS capped";
    let arrived = query(arrived).bind(Query::COUNT_CAP).bind(now.minus(NEW)).fetch_one(&mut *conn).await?;
    let oldest =
        "SELECT created_at FROM redrive_dead_letters WHERE status = 'open' ORDER BY created_at, id LIMIT 1";
    let oldest = query(oldest).fetch_optional(&mut *conn).await?;
    Ok(Counts {
        onboardings: capped(count(conn, capped!("onboarding_history")).await?),
        in_progress: capped(ours + elsewhere + unknown),
        parked: capped(count(conn, capped!("onboarding_history WHERE phase = 'parked'")).await?),
        failed: capped(
            count(
                conn,
                capped!(
                    "onboarding_history WHERE status = 'failed' AND coalesce(phase, 'failed') = 'failed'"
                ),
            )
            .await?,
        ),
        rolling_back: capped(count(conn, capped!("onboarding_history WHERE phase = 'rolling_back'")).await?),
        stuck: capped(count(conn, capped!("onboarding_history WHERE phase = 'stuck'")).await?),
        completed: capped(count(conn, capped!("onboarding_history WHERE status = 'completed'")).await?),
        keys: capped(count(conn, capped!("idempotency_keys")).await?),
        keys_stuck: Count(stuck_keys.int("n")?),
        keys_failed_storage: capped(
            count(conn, capped!("idempotency_keys WHERE phase = 'failed_storage'")).await?,
        ),
        oldest_stuck_key: stuck_keys.opt_time("oldest")?.map(|t| t.0),
        letters: capped(count(conn, capped!("redrive_dead_letters WHERE status = 'open'")).await?),
        replaying: capped(count(conn, capped!("redrive_dead_letters WHERE status = 'replaying'")).await?),
        quarantined: capped(count(conn, capped!("redrive_dead_letters WHERE status = 'quarantined'")).await?),
        discarded: capped(count(conn, capped!("redrive_dead_letters WHERE status = 'discarded'")).await?),
        letter_groups: capped(
            count(conn, capped!("redrive_letter_groups WHERE open + replaying > 0")).await?,
        ),
        letters_arrived: Count(arrived.int("n")?),
        oldest_letter: oldest.map(|row| row.time("created_at")).transpose()?.map(|t| t.0),
        actions: capped(count(conn, capped!("redrive_operator_actions")).await?),
    })
}

pub(super) async fn workers(conn: &mut Conn<'_>, now: Time) -> Result<Vec<WorkerRow>, sqlx::Error> {
    let select = "SELECT id, beat_at, running, metrics_url, CAST(runs AS text) AS runs FROM redrive_workers WHERE beat_at > $1 ORDER BY id LIMIT 200";
    let rows = query(select).bind(now.minus(SHOWN_WORKERS)).fetch_all(conn).await?;
    let worker = |row: &Row| {
        let beat_at = row.time("beat_at")?;
        Ok(WorkerRow {
            id: row.id("id")?,
            beat_at: beat_at.0,
            running: row.int32("running")?,
            metrics_url: row.opt_told("metrics_url")?,
            runs: serde_json::from_value(row.json("runs")?).ok().flatten(),
            alive: beat_at > now.minus(ALIVE),
        })
    };
    rows.iter().map(worker).collect()
}

pub(super) async fn letter_groups(conn: &mut Conn<'_>, now: Time) -> Result<Vec<LetterGroup>, sqlx::Error> {
    let select = "SELECT g.error_fingerprint, g.error, g.operation, g.open, g.replaying, g.first_seen, g.last_seen, \
        a.operator AS a_operator, a.kind AS a_kind, a.at AS a_at \
        FROM redrive_letter_groups g LEFT JOIN redrive_operator_actions a ON a.id = g.action_id \
        WHERE g.open + g.replaying > 0 ORDER BY g.open + g.replaying DESC, g.error_fingerprint LIMIT 200";
    let rows = query(select).fetch_all(conn).await?;
    let group = |row: &Row| {
        let first_seen = row.time("first_seen")?;
        Ok(LetterGroup {
            fingerprint: row.text("error_fingerprint")?,
            error: row.told("error")?,
            operation: row.opt_name("operation")?,
            open: row.int("open")?,
            replaying: row.int("replaying")?,
            first_seen: first_seen.0,
            last_seen: row.time("last_seen")?.0,
            new: first_seen > now.minus(NEW),
            last_action: row.last_action()?,
        })
    };
    rows.iter().map(group).collect()
}

pub(super) async fn replays(conn: &mut Conn<'_>) -> Result<Vec<ReplayRow>, sqlx::Error> {
    macro_rules! replays {
        ($where:literal) => {
            concat!(
                "SELECT r.id, r.operator, r.created_at, r.per_second, r.refail_limit, r.total, r.dispatched, r.succeeded, \
                 r.failed_again, r.new_errors, r.skipped, r.held_by, r.stopped_at, r.stopped_why, r.ended_at, r.version, a.reason, \
                 CASE WHEN r.stopped_at IS NULL THEN 0 ELSE (SELECT count(*) FROM redrive_replay_items i WHERE i.replay_id = r.id \
                 AND i.outcome = 'skipped' AND i.dispatched_at IS NULL AND i.ended_at = r.stopped_at) END AS open_again \
                 FROM redrive_replays r LEFT JOIN redrive_operator_actions a ON a.id = r.action_id WHERE ",
                $where,
                " ORDER BY r.created_at DESC, r.id DESC LIMIT 20"
            )
        };
    }
    let mut rows = query(replays!("r.ended_at IS NULL")).fetch_all(&mut *conn).await?;
    rows.extend(query(replays!("r.ended_at IS NOT NULL")).fetch_all(conn).await?);
    rows.truncate(20);
    let replay = |row: &Row| -> Result<ReplayRow, sqlx::Error> {
        let (total, succeeded) = (row.int("total")?, row.int("succeeded")?);
        let (failed_again, all_skipped) = (row.int("failed_again")?, row.int("skipped")?);
        let open_again = row.int("open_again")?;
        Ok(ReplayRow {
            id: row.id("id")?,
            operator: row.name("operator")?,
            created_at: row.time("created_at")?.0,
            per_second: row.float("per_second")?.unwrap_or_default(),
            total,
            succeeded,
            failed_again,
            new_errors: row.int("new_errors")?,
            skipped: all_skipped.saturating_sub(open_again),
            open_again,
            dispatched: row.int("dispatched")?,
            waiting: total
                .saturating_sub(succeeded)
                .saturating_sub(failed_again)
                .saturating_sub(all_skipped)
                .max(0),
            refail_limit: row.float("refail_limit")?.unwrap_or(1.0),
            held_by: row.opt_name("held_by")?,
            stopped: match row.opt_time("stopped_at")? {
                Some(_) => Some(row.told("stopped_why")?),
                None => None,
            },
            reason: row.opt_told("reason")?,
            ended_at: row.opt_time("ended_at")?.map(|at| at.0),
            version: row.int("version")?,
        })
    };
    let mut replays = rows.iter().map(replay).collect::<Result<Vec<_>, _>>()?;
    replays.sort_by(|a, b| (b.created_at, &b.id).cmp(&(a.created_at, &a.id)));
    Ok(replays)
}
