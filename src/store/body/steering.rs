//! What operators decide about an operation, who is told, and how what it held back comes back.

use std::time::Duration;

use sqlx::query;

use super::{
    Conn,
    act::Acted,
    audit::Touched,
    row::{Columns, Row},
    tx::Tx,
};
use crate::{
    domain::{circuit::Forced, id::OperationName, onboarding::WORKFLOW},
    engine::{
        command::{LeftOut, Reasoned},
        plan::{self, OperationStanding},
        reader::Query,
        store::{Order, Steering},
    },
    store::{
        error::Fail,
        value::{Time, clean},
    },
};

/// Whether a decision that ends at `until` still holds at `now`.
pub(super) fn holds(until: Option<Time>, now: Time) -> bool {
    until.is_none_or(|until| until > now)
}

pub(super) async fn steering(conn: &mut Conn<'_>, now: Time) -> Result<Vec<Steering>, sqlx::Error> {
    let select = "SELECT c.operation, c.forced, c.forced_until, f.operator AS forced_operator, f.reason AS forced_reason, \
        c.paused_at, c.paused_until, p.operator AS paused_operator, p.reason AS paused_reason \
        FROM redrive_circuits c LEFT JOIN redrive_operator_actions f ON f.id = c.forced_by \
        LEFT JOIN redrive_operator_actions p ON p.id = c.paused_by \
        WHERE c.forced IS NOT NULL OR c.paused_at IS NOT NULL ORDER BY c.operation";
    let mut all = Vec::new();
    for row in query(select).fetch_all(conn).await? {
        let operation = row.text("operation")?;
        let until = row.opt_time("forced_until")?;
        if let Some(forced) = row.word("forced")?.filter(|_| holds(until, now)) {
            all.push(Steering {
                operation: operation.clone(),
                order: Order::Force(forced),
                left: until.map(|until| until.since(now)),
                owner: row.text("forced_operator")?,
                reason: row.text("forced_reason")?,
            });
        }
        let until = row.opt_time("paused_until")?;
        if row.opt_time("paused_at")?.is_some() && holds(until, now) {
            all.push(Steering {
                operation,
                order: Order::Pause,
                left: until.map(|until| until.since(now)),
                owner: row.text("paused_operator")?,
                reason: row.text("paused_reason")?,
            });
        }
    }
    Ok(all)
}

/// Whether anything is held back as a whole, so that who claims has to look closer.
pub(super) async fn anything_paused(conn: &mut Conn<'_>, now: Time) -> Result<bool, sqlx::Error> {
    let select = "SELECT 1 FROM redrive_circuits WHERE paused_at IS NOT NULL AND (paused_until IS NULL OR paused_until > $1) LIMIT 1";
    Ok(query(select).bind(now).fetch_optional(conn).await?.is_some())
}

/// What must be known of an operation to judge a decision about it.
pub(super) async fn standing(
    conn: &mut Conn<'_>,
    now: Time,
    operation: &str,
    per_second: f64,
) -> Result<OperationStanding, sqlx::Error> {
    let select = "SELECT c.forced, c.forced_until, c.paused_at, c.paused_until, c.version, \
        a.operator AS a_operator, a.kind AS a_kind, a.at AS a_at \
        FROM redrive_circuits c LEFT JOIN redrive_operator_actions a ON a.id = c.action_id WHERE c.operation = $1";
    let decided = query(select).bind(operation).fetch_optional(&mut *conn).await?;
    let reported =
        query("SELECT 1 FROM redrive_circuit_reports WHERE operation = $1 LIMIT 1").bind(operation);
    let running = "SELECT 1 FROM redrive_work JOIN onboarding_history h ON h.id = redrive_work.subject_id WHERE h.workflow = $1 LIMIT 1";
    let workflow =
        operation == WORKFLOW || query(running).bind(operation).fetch_optional(&mut *conn).await?.is_some();
    let known = workflow || decided.is_some() || reported.fetch_optional(&mut *conn).await?.is_some();
    let mut standing = OperationStanding {
        operation: operation.into(),
        known,
        workflow,
        version: 0,
        forced: None,
        paused: false,
        holds: held(conn, now, operation).await?,
        per_second,
        last_action: None,
    };
    if let Some(row) = decided {
        standing.version = row.int("version")?;
        standing.forced = row
            .word("forced")?
            .filter(|_: &Forced| holds(row.opt_time("forced_until").unwrap_or_default(), now));
        standing.paused = row.opt_time("paused_at")?.is_some() && holds(row.opt_time("paused_until")?, now);
        standing.last_action = row.last_action()?;
    }
    Ok(standing)
}

/// What waits for the operation `$1` at `$2`: what is parked by it, and of a workflow what is due.
macro_rules! waits {
    () => {
        "parked_by = $1 OR run_at <= $2 AND $1 = \
         (SELECT coalesce(h.workflow, 'onboarding') FROM onboarding_history h WHERE h.id = redrive_work.subject_id)"
    };
}

/// How much work waits for `operation`.
async fn held(conn: &mut Conn<'_>, now: Time, operation: &str) -> Result<i64, sqlx::Error> {
    let count = concat!(
        "SELECT count(*) AS n FROM (SELECT 1 AS one FROM redrive_work WHERE ",
        waits!(),
        " LIMIT $3) AS capped"
    );
    query(count).bind(operation).bind(now).bind(Query::COUNT_CAP).fetch_one(conn).await?.int("n")
}

/// What is decided.
pub(super) enum Decide {
    Force(Option<Forced>, Option<u64>),
    Pause(Option<u64>),
    Unpause,
}

pub(super) async fn decide(
    tx: &mut Tx,
    target: (&OperationName, Option<i64>),
    what: &Decide,
    reasoned: Reasoned,
    action: &str,
) -> Result<Acted, Fail> {
    let (operation, seen) = (clean(target.0.as_str()), target.1);
    // Others who decide about it wait here.
    let lock = concat!("SELECT version FROM redrive_circuits WHERE operation = $1", for_update!());
    query(lock).bind(&operation).fetch_optional(tx.conn()).await?;
    let (now, per_second) = (tx.now, tx.rules.per_second);
    let found = standing(tx.conn(), now, &operation, per_second).await?;
    let judged = match what {
        Decide::Force(to, _) => plan::judge_force(&found, seen, *to, reasoned),
        Decide::Pause(_) => plan::judge_pause(&found, seen, reasoned),
        Decide::Unpause => plan::judge_unpause(&found, seen),
    };
    let touched = |left_out: Option<LeftOut>| Touched {
        kind: "circuit",
        id: operation.clone(),
        onboarding: None,
        left_out,
    };
    if let Err(why) = judged {
        return Ok(Acted { touched: vec![touched(Some(why))], ..Acted::default() });
    }
    let insert = "INSERT INTO redrive_circuits (operation) VALUES ($1) ON CONFLICT (operation) DO NOTHING";
    query(insert).bind(&operation).execute(tx.conn()).await?;
    let until = |seconds: Option<u64>| seconds.map(|seconds| now.plus(Duration::from_secs(seconds)));
    match what {
        Decide::Force(to, seconds) => {
            let update = "UPDATE redrive_circuits SET forced = $2, forced_until = $3, forced_by = $4, action_id = $4, version = version + 1 \
                WHERE operation = $1";
            let update = query(update).bind(&operation).bind(to.map(Forced::as_str)).bind(until(*seconds));
            update.bind(action).execute(tx.conn()).await?;
        }
        Decide::Pause(seconds) => {
            let update = "UPDATE redrive_circuits SET paused_at = $2, paused_until = $3, paused_by = $4, action_id = $4, version = version + 1 \
                WHERE operation = $1";
            let update = query(update).bind(&operation).bind(now).bind(until(*seconds)).bind(action);
            update.execute(tx.conn()).await?;
        }
        Decide::Unpause => {
            let update = "UPDATE redrive_circuits SET paused_at = NULL, paused_until = NULL, paused_by = NULL, action_id = $2, version = version + 1 \
                WHERE operation = $1";
            query(update).bind(&operation).bind(action).execute(tx.conn()).await?;
        }
    }
    let after = standing(tx.conn(), now, &operation, per_second).await?;
    if !after.paused && after.forced != Some(Forced::Open) {
        come_back(tx, &operation).await?;
    }
    Ok(Acted { touched: vec![touched(None)], ..Acted::default() })
}

/// What `operation` held back is due again from now on, one after the other: all at once would only bring down what was
/// spared.
async fn come_back(tx: &mut Tx, operation: &str) -> Result<(), sqlx::Error> {
    let one_after_the_other = concat!(
        "UPDATE redrive_work SET run_at = ",
        after!("$2", "(waiting.place * CAST($3 AS double precision))"),
        " FROM (SELECT subject_id, row_number() OVER (ORDER BY run_at, subject_id) - 1 AS place FROM redrive_work \
         WHERE kind = 'onboarding' AND (",
        waits!(),
        ")) AS waiting WHERE redrive_work.kind = 'onboarding' AND redrive_work.subject_id = waiting.subject_id"
    );
    let gap = 1.0 / tx.rules.per_second;
    let update = query(one_after_the_other).bind(operation).bind(tx.now).bind(gap);
    tx.has_work |= update.execute(tx.conn()).await?.rows_affected() > 0;
    Ok(())
}

/// When what is parked by `operation` for `delay` is due: after those that were parked before it. What a decision of an
/// operator `held` that was taken back meanwhile, unknown to the worker, is due at once.
pub(super) async fn next_place(
    tx: &mut Tx,
    operation: &str,
    delay: Duration,
    held: bool,
) -> Result<Time, sqlx::Error> {
    let wait = match held && !still_held(tx, operation).await? {
        true => delay.min(A_MOMENT),
        false => delay,
    };
    let earliest = tx.now.plus(wait);
    let last = query("SELECT max(run_at) AS last FROM redrive_work WHERE parked_by = $1").bind(operation);
    let last: Row = last.fetch_one(tx.conn()).await?;
    let gap = Duration::try_from_secs_f64(1.0 / tx.rules.per_second).unwrap_or_default();
    Ok(last.opt_time("last")?.map_or(earliest, |last| earliest.max(last.plus(gap))))
}

/// Until a worker has heard that a decision was taken back.
const A_MOMENT: Duration = Duration::from_secs(1);

/// Whether a decision holds `operation`; whoever takes it back waits until this transaction has ended, and then finds
/// what it parked.
async fn still_held(tx: &mut Tx, operation: &str) -> Result<bool, sqlx::Error> {
    let now = tx.now;
    let select = concat!(
        "SELECT forced, forced_until, paused_at, paused_until FROM redrive_circuits WHERE operation = $1",
        for_update!()
    );
    let Some(row) = query(select).bind(operation).fetch_optional(tx.conn()).await? else { return Ok(false) };
    let forced: Option<Forced> = row.word("forced")?;
    let open = forced == Some(Forced::Open) && holds(row.opt_time("forced_until")?, now);
    let paused = row.opt_time("paused_at")?.is_some() && holds(row.opt_time("paused_until")?, now);
    Ok(open || paused)
}
