//! Replays: begun with all their items, moved on by whichever worker asks next, stopped by an operator or by themselves.

use std::collections::{BTreeSet, HashSet};

use sqlx::query;

use super::{
    Conn,
    act::{self, Acted},
    audit::Touched,
    letter, onboarding,
    onboarding::Onboarding,
    row::{Columns, Row},
    standing,
    tx::Tx,
};
use crate::{
    clock,
    domain::{
        id::{LetterId, ReplayId},
        letter::{LetterStatus, ReplayOutcome},
        onboarding::WORKFLOW,
        text::SafeText,
    },
    engine::{
        command::{Elsewhere, LeftOut, Pace, Submission, Target},
        plan::{self, ReplayStanding},
        replay::{self, Next, Progress},
    },
    store::{
        error::Fail,
        value::{Time, clean},
    },
};

/// Replays that one call moves on.
const AT_ONCE: i64 = 20;
/// Letters that one call begins of each.
const MOST: u64 = 200;

/// A letter under its locks, and how it was judged.
struct Judged {
    /// Its onboarding, or why it is left out.
    verdict: Result<Onboarding, LeftOut>,
    fingerprint: String,
    /// How often it was replayed before.
    replays: i64,
    onboarding: Option<String>,
}

/// Takes the letters that can be replayed into a new replay; none of them begins yet.
pub(super) async fn begin(
    tx: &mut Tx,
    targets: &[Target<LetterId>],
    pace: Pace,
    submission: &Submission,
    action: &str,
) -> Result<Acted, Fail> {
    let mut judged: Vec<_> = targets.iter().zip(judge(tx, targets).await?).enumerate().collect();
    let (replay, now) = (ReplayId(clock::new_id()), tx.now);
    let (mut touched, mut taken, mut begun) = (Vec::with_capacity(targets.len()), HashSet::new(), 0_i64);
    // In the order asked, because the first is the canary; but what failed again before goes after what did not, or one
    // bad letter would hold up its whole group again and again.
    judged.sort_by_key(|(_, (_, letter))| letter.replays);
    for (at, (target, Judged { verdict, fingerprint, onboarding: owner, .. })) in judged {
        let verdict = verdict.and_then(|onboarding| match taken.insert(onboarding.id.clone()) {
            true => Ok(onboarding),
            // Two letters of one onboarding: the first replay is the one.
            false => Err(LeftOut::InProgress { owner: None }),
        });
        let left_out = match verdict {
            Err(why) => Some(why),
            Ok(onboarding) => {
                begun += 1;
                let letter = clean(target.id.as_str());
                let insert = "INSERT INTO redrive_replay_items (replay_id, letter_id, onboarding_id, outcome, seq) \
                    VALUES ($1, $2, $3, 'waiting', $4)";
                let insert = query(insert).bind(replay.as_str()).bind(&letter);
                insert.bind(onboarding.id.as_str()).bind(begun).execute(tx.conn()).await?;
                let (from, to) = (LetterStatus::Open, LetterStatus::Replaying);
                letter::move_to(tx, &letter, &fingerprint, from, to, Some(action)).await?;
                None
            }
        };
        touched.push((at, Touched { kind: "letter", id: target.id.0.clone(), onboarding: owner, left_out }));
    }
    touched.sort_by_key(|(at, _)| *at);
    let touched: Vec<Touched> = touched.into_iter().map(|(_, touched)| touched).collect();
    if begun == 0 {
        return Ok(Acted { touched, ..Acted::default() });
    }
    let insert = "INSERT INTO redrive_replays (id, action_id, last_action_id, operator, per_second, refail_limit, total, created_at) \
        VALUES ($1, $2, $2, $3, $4, $5, $6, $7)";
    query(insert)
        .bind(replay.as_str())
        .bind(action)
        .bind(clean(submission.asker.name()))
        .bind(pace.per_second)
        .bind(pace.refail_limit)
        .bind(begun)
        .bind(now)
        .execute(tx.conn())
        .await?;
    Ok(Acted { touched, replay: Some(replay), ..Acted::default() })
}

/// Locks and judges every target, in the order of the onboardings, which is the order of all locks.
async fn judge(tx: &mut Tx, targets: &[Target<LetterId>]) -> Result<Vec<Judged>, Fail> {
    let none = BTreeSet::new();
    let mut owners = Vec::with_capacity(targets.len());
    for (at, target) in targets.iter().enumerate() {
        let select = "SELECT onboarding_id FROM redrive_dead_letters WHERE id = $1";
        let row = query(select).bind(clean(target.id.as_str())).fetch_optional(tx.conn()).await?;
        owners.push((row.map(|row| row.text("onboarding_id")).transpose()?, at));
    }
    owners.sort();
    let mut judged: Vec<Option<Judged>> = targets.iter().map(|_| None).collect();
    for (owner, at) in owners {
        let target = &targets[at];
        let locked = match &owner {
            Some(owner) => act::lock(tx, owner, &none).await?,
            None => None,
        };
        let row = standing::lock_letter(tx.conn(), &clean(target.id.as_str())).await?;
        let Some(row) = row else {
            let (verdict, fingerprint) = (Err(LeftOut::NotFound), String::new());
            judged[at] = Some(Judged { verdict, fingerprint, replays: 0, onboarding: owner });
            continue;
        };
        let mut letter = standing::letter_of(&row)?;
        let onboarding = locked.map(|locked| {
            letter.onboarding = Some(locked.standing);
            locked.onboarding
        });
        let verdict =
            plan::judge_replay(&letter, target.seen).and_then(|()| onboarding.ok_or(LeftOut::NoOnboarding));
        let (fingerprint, replays) = (row.text("error_fingerprint")?, row.int("replays")?);
        judged[at] = Some(Judged { verdict, fingerprint, replays, onboarding: owner });
    }
    Ok(judged.into_iter().flatten().collect())
}

/// Moves every running replay on. Of several workers that ask, each moves those that nobody else is moving.
pub(super) async fn pace(tx: &mut Tx) -> Result<u64, Fail> {
    let select = concat!(
        "SELECT id, per_second, refail_limit, total, dispatched, dispatched_at, succeeded, failed_again, skipped, held_by, \
         action_id FROM redrive_replays WHERE ended_at IS NULL AND stopped_at IS NULL AND dispatched < total \
         ORDER BY created_at, id LIMIT $1",
        skip_locked!()
    );
    let running = query(select).bind(AT_ONCE).fetch_all(tx.conn()).await?;
    if running.is_empty() {
        return Ok(0);
    }
    let now = tx.now;
    let open = standing::open_circuits(tx.conn(), now).await?;
    let mut begun = 0;
    for row in running {
        begun += move_on(tx, &row, &open).await?;
    }
    Ok(begun)
}

async fn move_on(tx: &mut Tx, row: &Row, open: &BTreeSet<String>) -> Result<u64, Fail> {
    let (id, now) = (row.text("id")?, tx.now);
    let pace = Pace {
        per_second: row.float("per_second")?.unwrap_or(1.0),
        refail_limit: row.float("refail_limit")?.unwrap_or(1.0),
    };
    let count = |name: &str| row.int(name).map(i64::unsigned_abs);
    let dispatched_at = row.opt_time("dispatched_at")?;
    let progress = Progress {
        total: count("total")?,
        dispatched: count("dispatched")?,
        succeeded: count("succeeded")?,
        failed_again: count("failed_again")?,
        skipped: count("skipped")?,
        since_last: dispatched_at.map(|at| now.since(at)),
    };
    let (room, spare) = match replay::next(pace, progress) {
        Next::Wait => return Ok(0),
        Next::Stop(why) => {
            halt(tx, &id, &why, None).await?;
            return Ok(0);
        }
        Next::Dispatch { count, spare } => (count.min(MOST), spare),
    };
    let select = "SELECT i.letter_id, i.onboarding_id, l.operation, h.workflow FROM redrive_replay_items i \
        JOIN redrive_dead_letters l ON l.id = i.letter_id LEFT JOIN onboarding_history h ON h.id = i.onboarding_id \
        WHERE i.replay_id = $1 AND i.outcome = 'waiting' AND i.dispatched_at IS NULL ORDER BY i.seq LIMIT $2";
    let limit = i64::try_from(room).unwrap_or(i64::MAX);
    let next = query(select).bind(&id).bind(limit).fetch_all(tx.conn()).await?;
    let (mut begun, mut held_by) = (0_i64, None);
    for item in next {
        // What it needs would only be parked: the replay holds until it is let through.
        let operation = item.opt_text("operation")?.unwrap_or_default();
        let workflow = item.opt_text("workflow")?.unwrap_or_else(|| WORKFLOW.to_owned());
        held_by = [operation, workflow].into_iter().find(|needed| open.contains(needed));
        if held_by.is_some() {
            break;
        }
        begun += 1;
        dispatch(tx, &id, &item.text("letter_id")?, &item.text("onboarding_id")?, &row.text("action_id")?)
            .await?;
    }
    let last = if begun > 0 { Some(now.minus(spare)) } else { dispatched_at };
    let update = "UPDATE redrive_replays SET dispatched = dispatched + $2, dispatched_at = $3, held_by = $4 WHERE id = $1";
    let update = query(update).bind(&id).bind(begun).bind(last).bind(held_by);
    update.execute(tx.conn()).await?;
    Ok(begun.unsigned_abs())
}

/// One letter's turn has come: it is judged again, and its onboarding resumed.
async fn dispatch(tx: &mut Tx, replay: &str, letter: &str, owner: &str, action: &str) -> Result<(), Fail> {
    let now = tx.now;
    let locked = act::lock(tx, owner, &BTreeSet::new()).await?;
    let judged = match &locked {
        None => Err(LeftOut::NoOnboarding),
        Some(locked) => plan::judge_resume(&locked.standing, None, Elsewhere::Leave),
    };
    let Some(row) = standing::lock_letter(tx.conn(), letter).await? else { return Ok(()) };
    let mark = "UPDATE redrive_replay_items SET dispatched_at = $3 WHERE replay_id = $1 AND letter_id = $2";
    query(mark).bind(replay).bind(letter).bind(now).execute(tx.conn()).await?;
    match (judged, locked) {
        (Ok(()), Some(locked)) => {
            let count = "UPDATE redrive_dead_letters SET replays = replays + 1, revision = revision + 1 WHERE id = $1";
            query(count).bind(letter).execute(tx.conn()).await?;
            let id = ReplayId(replay.to_owned());
            onboarding::resume(tx, &locked.onboarding, now, action, Some(&id)).await?;
        }
        (Err(why), _) => give_back(tx, replay, letter, &row, &why.to_string()).await?,
        (Ok(()), None) => {}
    }
    Ok(())
}

/// The letter is open again, and its item says why it was not replayed.
async fn give_back(tx: &mut Tx, replay: &str, letter: &str, row: &Row, why: &str) -> Result<(), sqlx::Error> {
    if row.word("status")? == Some(LetterStatus::Replaying) {
        let fingerprint = row.text("error_fingerprint")?;
        let (from, to) = (LetterStatus::Replaying, LetterStatus::Open);
        letter::move_to(tx, letter, &fingerprint, from, to, None).await?;
    }
    let ended = Ended { outcome: ReplayOutcome::Skipped, reason: Some(why), became: None };
    end_item(tx, replay, letter, ended).await
}

/// How a letter's part in a replay ended.
pub(super) struct Ended<'a> {
    pub(super) outcome: ReplayOutcome,
    pub(super) reason: Option<&'a str>,
    pub(super) became: Option<&'a LetterId>,
}

/// Records what became of one letter, and ends the replay with its last one.
pub(super) async fn end_item(
    tx: &mut Tx,
    replay: &str,
    letter: &str,
    ended: Ended<'_>,
) -> Result<(), sqlx::Error> {
    let Ended { outcome, reason, became } = ended;
    let update = "UPDATE redrive_replay_items SET outcome = $3, reason = $4, became = $5, ended_at = $6 \
        WHERE replay_id = $1 AND letter_id = $2 AND outcome = 'waiting'";
    let update = query(update).bind(replay).bind(letter).bind(outcome.as_str()).bind(reason.map(clean));
    let update = update.bind(became.map(LetterId::as_str)).bind(tx.now);
    if update.execute(tx.conn()).await?.rows_affected() == 0 {
        return Ok(());
    }
    let is = |of| i64::from(outcome == of);
    let count = "UPDATE redrive_replays SET succeeded = succeeded + $2, failed_again = failed_again + $3, skipped = skipped + $4, \
        version = version + 1, \
        ended_at = CASE WHEN succeeded + failed_again + skipped + 1 >= total THEN $5 ELSE ended_at END WHERE id = $1";
    let count =
        query(count).bind(replay).bind(is(ReplayOutcome::Succeeded)).bind(is(ReplayOutcome::FailedAgain));
    count.bind(is(ReplayOutcome::Skipped)).bind(tx.now).execute(tx.conn()).await.map(|_| ())
}

/// A letter that failed again became another one: with the same error, or a new one.
pub(super) async fn count_new_error(tx: &mut Tx, became: &LetterId) -> Result<(), sqlx::Error> {
    let update = "UPDATE redrive_replays SET new_errors = new_errors + 1 WHERE id IN (SELECT i.replay_id FROM redrive_replay_items i \
        JOIN redrive_dead_letters was ON was.id = i.letter_id JOIN redrive_dead_letters now ON now.id = i.became \
        WHERE i.became = $1 AND i.outcome = 'failed_again' AND was.error_fingerprint <> now.error_fingerprint \
        AND was.fingerprint_version = now.fingerprint_version)";
    query(update).bind(became.as_str()).execute(tx.conn()).await.map(|_| ())
}

/// What must be known of a replay to judge its stop.
pub(super) async fn standing(conn: &mut Conn<'_>, id: &str) -> Result<Option<ReplayStanding>, sqlx::Error> {
    let select = "SELECT id, operator, total, dispatched, ended_at, stopped_at, stopped_why FROM redrive_replays WHERE id = $1";
    let row = query(select).bind(id).fetch_optional(conn).await?;
    let standing = |row: Row| {
        Ok(ReplayStanding {
            id: row.id("id")?,
            operator: row.name("operator")?,
            running: row.opt_time("ended_at")?.is_none(),
            stopped: match row.opt_time("stopped_at")? {
                Some(_) => Some(row.text("stopped_why")?),
                None => None,
            },
            total: row.int("total")?,
            dispatched: row.int("dispatched")?,
        })
    };
    row.map(standing).transpose()
}

/// An operator stops it.
pub(super) async fn stop(
    tx: &mut Tx,
    replay: &ReplayId,
    submission: &Submission,
    action: &str,
) -> Result<Acted, Fail> {
    let id = clean(replay.as_str());
    let lock = concat!("SELECT id FROM redrive_replays WHERE id = $1", for_update!());
    query(lock).bind(&id).fetch_optional(tx.conn()).await?;
    let left_out = match standing(tx.conn(), &id).await? {
        None => Some(LeftOut::NotFound),
        Some(found) => plan::judge_stop(&found).err(),
    };
    if left_out.is_none() {
        let why = format!("by {}", SafeText::new(submission.asker.name()));
        halt(tx, &id, &why, Some(action)).await?;
    }
    let touched = Touched { kind: "replay", id: replay.0.clone(), onboarding: None, left_out };
    Ok(Acted { touched: vec![touched], ..Acted::default() })
}

/// What was not begun is open again; what was goes on.
async fn halt(tx: &mut Tx, id: &str, why: &str, action: Option<&str>) -> Result<(), Fail> {
    let now: Time = tx.now;
    let update = "UPDATE redrive_replays SET stopped_at = $2, stopped_why = $3, held_by = NULL, last_action_id = coalesce($4, last_action_id), \
        version = version + 1 WHERE id = $1";
    let update = query(update).bind(id).bind(now).bind(clean(why)).bind(action);
    update.execute(tx.conn()).await?;
    let select = "SELECT letter_id FROM redrive_replay_items WHERE replay_id = $1 AND outcome = 'waiting' AND dispatched_at IS NULL \
        ORDER BY letter_id";
    let why = format!("the replay was stopped: {why}");
    for item in query(select).bind(id).fetch_all(tx.conn()).await? {
        let letter = item.text("letter_id")?;
        if let Some(row) = standing::lock_letter(tx.conn(), &letter).await? {
            give_back(tx, id, &letter, &row, &why).await?;
        }
    }
    Ok(())
}
