//! What a command's targets look like, for the preview and, under locks, for the judgement that acts.

use std::collections::BTreeSet;

use sqlx::{QueryBuilder, query};

use super::{
    Conn, Db,
    answer::{self, Begin},
    key::lease_of,
    onboarding::{Onboarding, Work, peek, superseded_by},
    row::{Columns, Row},
    steering,
    tx::Rules,
};
use crate::{
    domain::{attempt::CompensationStatus, id::OnboardingId, key::KeyLife, letter::LetterStatus},
    engine::{
        command::{Command, Target},
        plan::{CompensationStanding, KeyStanding, LetterStanding, OnboardingStanding, Standing},
        reader::Detail,
    },
    store::value::{Time, clean},
};

/// A worker not heard of for so long does not count any more.
pub(super) const ALIVE: std::time::Duration = std::time::Duration::from_secs(15);

macro_rules! select_key {
    () => {
        "SELECT h.key, h.version, h.status, h.phase, h.lease_until, h.expires_at, h.locked_by, h.onboarding_id, \
         CAST(h.response_code AS bigint) AS response_code, w.beat_at, \
         a.operator AS a_operator, a.kind AS a_kind, a.at AS a_at \
         FROM idempotency_keys h LEFT JOIN redrive_operator_actions a ON a.id = h.action_id \
         LEFT JOIN redrive_workers w ON w.id = h.locked_by WHERE h.key = $1"
    };
}

macro_rules! select_letter {
    () => {
        "SELECT h.id, h.version, h.status, h.outcome, h.operation, h.reason, h.onboarding_id, h.error_fingerprint, h.replays, \
         a.operator AS a_operator, a.kind AS a_kind, a.at AS a_at \
         FROM redrive_dead_letters h LEFT JOIN redrive_operator_actions a ON a.id = h.action_id WHERE h.id = $1"
    };
}

/// Everything `command` names.
pub(super) async fn of_command(
    conn: &mut Conn<'_>,
    now: Time,
    command: &Command,
    rules: &Rules,
) -> Result<Standing, sqlx::Error> {
    let open = open_circuits(conn, now).await?;
    let mut standing = Standing { open_circuits: open.iter().cloned().collect(), ..Standing::default() };
    let onboardings = match command {
        Command::Trigger { request } => {
            standing_for(conn, now, &Begin::pipeline(request), rules, &open, &mut standing).await?;
            Vec::new()
        }
        Command::Begin { workflow, version, state, request, input } => {
            let begin = Begin::new(workflow, *version, state.clone(), request, input.clone());
            standing_for(conn, now, &begin, rules, &open, &mut standing).await?;
            Vec::new()
        }
        Command::Resume { onboardings, .. } => {
            standing.permanent = permanent(conn, onboardings).await?;
            onboardings.iter().collect()
        }
        Command::RollBack { onboarding, .. } => vec![onboarding],
        Command::Release { keys } => {
            for target in keys {
                let select = query(select_key!()).bind(clean(target.id.as_str()));
                if let Some(row) = select.fetch_optional(&mut *conn).await? {
                    standing.keys.push(key_of(&row, now)?);
                }
            }
            Vec::new()
        }
        Command::Discard { letters } | Command::Restore { letters } => {
            for target in letters {
                standing.letters.extend(of_letter(conn, now, target.id.as_str(), &open).await?);
            }
            Vec::new()
        }
        Command::Stop { replay } => {
            standing.replay = super::replay::standing(conn, &clean(replay.id.as_str())).await?;
            Vec::new()
        }
        Command::Reveal { of: Detail::Onboarding(id) } => {
            if let Some((onboarding, work)) = peek(conn, &clean(id.as_str())).await? {
                let found = of_onboarding(conn, now, onboarding, work.as_ref(), &open).await?;
                standing.onboardings.push(found);
            }
            Vec::new()
        }
        Command::Reveal { of: Detail::Key(id) } => {
            let select = query(select_key!()).bind(clean(id.as_str()));
            if let Some(row) = select.fetch_optional(&mut *conn).await? {
                standing.keys.push(key_of(&row, now)?);
            }
            Vec::new()
        }
        Command::Reveal { of: Detail::Letter(id) } => {
            standing.letters.extend(of_letter(conn, now, id.as_str(), &open).await?);
            Vec::new()
        }
        Command::Force { circuit: target, .. }
        | Command::Pause { operation: target, .. }
        | Command::Unpause { operation: target } => {
            let operation = clean(target.id.as_str());
            standing.operation = Some(steering::standing(conn, now, &operation, rules.per_second).await?);
            Vec::new()
        }
        Command::Replay { letters, .. } => {
            for target in letters {
                standing.letters.extend(of_letter(conn, now, target.id.as_str(), &open).await?);
            }
            Vec::new()
        }
    };
    for target in onboardings {
        if let Some((onboarding, work)) = peek(conn, &clean(target.id.as_str())).await? {
            standing.onboardings.push(of_onboarding(conn, now, onboarding, work.as_ref(), &open).await?);
        }
    }
    Ok(standing)
}

/// The onboarding that a trigger would find, if one stands for its request.
async fn standing_for(
    conn: &mut Conn<'_>,
    now: Time,
    begin: &Begin,
    rules: &Rules,
    open: &BTreeSet<String>,
    standing: &mut Standing,
) -> Result<(), sqlx::Error> {
    let Some(id) = answer::newest(conn, begin).await? else { return Ok(()) };
    let Some((onboarding, work)) = peek(conn, &id).await? else { return Ok(()) };
    let cools = onboarding.failed_at.map(|failed| failed.plus(rules.cool_down)).filter(|until| *until > now);
    standing.cools_until = cools.map(|until| until.0);
    standing.onboardings.push(of_onboarding(conn, now, onboarding, work.as_ref(), open).await?);
    Ok(())
}

/// Which of them ended with a permanent error.
async fn permanent(
    conn: &mut Conn<'_>,
    onboardings: &[Target<OnboardingId>],
) -> Result<Vec<OnboardingId>, sqlx::Error> {
    /// Either database takes more values in one statement.
    const AT_ONCE: usize = 1_000;
    let mut found = Vec::new();
    for some in onboardings.chunks(AT_ONCE) {
        let mut sql = QueryBuilder::<Db>::new(
            "SELECT DISTINCT onboarding_id FROM redrive_dead_letters WHERE status = 'open' AND reason = 'permanent' \
             AND onboarding_id IN (",
        );
        let mut ids = sql.separated(", ");
        for target in some {
            ids.push_bind(clean(target.id.as_str()));
        }
        sql.push(")");
        for row in sql.build().fetch_all(&mut *conn).await? {
            found.push(row.id("onboarding_id")?);
        }
    }
    Ok(found)
}

/// One onboarding, from what was read of it.
pub(super) async fn of_onboarding(
    conn: &mut Conn<'_>,
    now: Time,
    onboarding: Onboarding,
    work: Option<&Work>,
    open_circuits: &BTreeSet<String>,
) -> Result<OnboardingStanding, sqlx::Error> {
    let superseded_by = superseded_by(conn, &onboarding).await?;
    let compensations = compensations(conn, onboarding.id.as_str(), open_circuits).await?;
    let request = &onboarding.request;
    Ok(OnboardingStanding {
        label: super::row::told(&format!("{} {}", request.tenant_id, request.repo_url)),
        version: onboarding.version,
        status: onboarding.status,
        phase: onboarding.phase,
        state: onboarding.state.clone().map(Into::into),
        roll_back_asked: work.is_some_and(|work| work.wants_roll_back),
        leased: work.and_then(|w| w.leased(now)).map(|(owner, until)| (owner, until.0)),
        superseded_by,
        last_action: onboarding.last_action.clone(),
        compensations,
        entities: onboarding.entities_created.len(),
        id: onboarding.id,
    })
}

/// One letter with its onboarding.
async fn of_letter(
    conn: &mut Conn<'_>,
    now: Time,
    id: &str,
    open_circuits: &BTreeSet<String>,
) -> Result<Option<LetterStanding>, sqlx::Error> {
    let row = query(select_letter!()).bind(clean(id)).fetch_optional(&mut *conn).await?;
    let Some(row) = row else { return Ok(None) };
    let mut letter = letter_of(&row)?;
    if let Some((onboarding, work)) = peek(conn, &row.text("onboarding_id")?).await? {
        letter.onboarding = Some(of_onboarding(conn, now, onboarding, work.as_ref(), open_circuits).await?);
    }
    Ok(Some(letter))
}

/// Locks a letter's row; after its onboarding's.
pub(super) async fn lock_letter(conn: &mut Conn<'_>, id: &str) -> Result<Option<Row>, sqlx::Error> {
    query(concat!(select_letter!(), for_update_of_h!())).bind(id).fetch_optional(conn).await
}

/// A letter without its onboarding.
pub(super) fn letter_of(row: &Row) -> Result<LetterStanding, sqlx::Error> {
    Ok(LetterStanding {
        id: row.id("id")?,
        version: row.int("version")?,
        status: row.word("status")?.unwrap_or(LetterStatus::Quarantined),
        outcome: row.word("outcome")?,
        operation: row.opt_text("operation")?,
        reason: row.word("reason")?,
        onboarding: None,
        last_action: row.last_action()?,
    })
}

/// Locks a key's row; answers the onboarding behind it besides.
pub(super) async fn lock_key(
    conn: &mut Conn<'_>,
    now: Time,
    key: &str,
) -> Result<Option<(KeyStanding, Option<String>)>, sqlx::Error> {
    let select = query(concat!(select_key!(), for_update_of_h!())).bind(key);
    let row = select.fetch_optional(conn).await?;
    row.map(|row| Ok((key_of(&row, now)?, row.opt_text("onboarding_id")?))).transpose()
}

fn key_of(row: &Row, now: Time) -> Result<KeyStanding, sqlx::Error> {
    Ok(KeyStanding {
        id: row.id("key")?,
        version: row.int("version")?,
        life: life_of(row, now)?,
        holder: row.opt_id("locked_by")?,
        lease_until: row.opt_time("lease_until")?.map(|until| until.0),
        holder_alive: holder_alive(row, now)?,
        last_action: row.last_action()?,
    })
}

/// Where a key stands, by the columns of its row. What others keep is kept as long as whoever asks keeps its own, so
/// nothing of theirs counts as expired here.
pub(super) fn life_of(row: &Row, now: Time) -> Result<KeyLife, sqlx::Error> {
    let lease = lease_of(row.opt_time("lease_until")?, now);
    let expired = row.opt_time("expires_at")?.is_some_and(|at| at <= now);
    let answered = row.opt_int("response_code")?.is_some();
    Ok(KeyLife::of(row.word("status")?, row.word("phase")?, lease, answered, expired))
}

/// Whether the joined holder is a worker that was heard of just now.
pub(super) fn holder_alive(row: &Row, now: Time) -> Result<bool, sqlx::Error> {
    Ok(row.opt_time("beat_at")?.is_some_and(|beat| beat > now.minus(ALIVE)))
}

/// What was recorded to be undone, oldest first.
pub(super) async fn compensations(
    conn: &mut Conn<'_>,
    onboarding: &str,
    open_circuits: &BTreeSet<String>,
) -> Result<Vec<CompensationStanding>, sqlx::Error> {
    let select = concat!(
        "SELECT c.seq, c.state, c.operation, c.name, c.status, ",
        relied_on_by!(),
        " FROM redrive_compensations c WHERE c.onboarding_id = $1 ORDER BY c.seq"
    );
    let rows = query(select).bind(onboarding).fetch_all(conn).await?;
    let standing = |row: &Row| {
        let operation = row.text("operation")?;
        Ok(CompensationStanding {
            seq: row.int32("seq")?,
            state: row.id("state")?,
            name: row.name("name")?,
            status: row.word("status")?.unwrap_or(CompensationStatus::Recorded),
            circuit_open: open_circuits.contains(&operation),
            relied_on_by: row.opt_text("relied_on_by")?.map(Into::into),
            operation,
        })
    };
    rows.iter().map(standing).collect()
}

/// Operations of which no call is made: paused, their circuit forced open, or computed to be open by some living worker.
pub(super) async fn open_circuits(conn: &mut Conn<'_>, now: Time) -> Result<BTreeSet<String>, sqlx::Error> {
    let select = "SELECT r.operation FROM redrive_circuit_reports r JOIN redrive_workers w ON w.id = r.worker \
        WHERE r.state = 'open' AND w.beat_at > $1 \
        AND NOT EXISTS (SELECT 1 FROM redrive_circuits c WHERE c.operation = r.operation AND c.forced IN ('forced_closed', 'disabled') \
        AND (c.forced_until IS NULL OR c.forced_until > $2)) \
        UNION SELECT operation FROM redrive_circuits WHERE forced = 'forced_open' AND (forced_until IS NULL OR forced_until > $2) \
        UNION SELECT operation FROM redrive_circuits WHERE paused_at IS NOT NULL AND (paused_until IS NULL OR paused_until > $2) \
        ORDER BY 1 LIMIT 1000";
    let rows = query(select).bind(now.minus(ALIVE)).bind(now).fetch_all(conn).await?;
    rows.iter().map(|row| row.text("operation")).collect()
}
