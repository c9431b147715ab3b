//! Dead letters: written when an onboarding fails, closed when it goes on, back or through; with the kept counters of
//! their groups and the items of their replays.

use serde_json::{Value, json};
use sqlx::query;

use super::{Conn, onboarding::Onboarding, row::Columns, tx::Tx};
use crate::{
    domain::{
        fault::Fault,
        id::{LetterId, ReplayId},
        letter::{LetterOutcome, LetterReason, LetterStatus, ReplayOutcome},
    },
    store::value::{clean, clean_json},
};

/// A new open letter.
pub(super) struct NewLetter<'a> {
    pub(super) id: &'a LetterId,
    pub(super) onboarding: &'a Onboarding,
    pub(super) state: &'a str,
    pub(super) fault: &'a Fault,
    pub(super) reason: LetterReason,
    pub(super) key: Option<String>,
    pub(super) history: Value,
    /// How often the letters it follows were replayed.
    pub(super) replays: i64,
}

pub(super) async fn write(tx: &mut Tx, letter: NewLetter<'_>) -> Result<(), sqlx::Error> {
    let (request, fault) = (&letter.onboarding.request, letter.fault);
    let fingerprint = fault.fingerprint();
    let error = clean(&fault.message);
    let operation = fault.operation.as_deref().map(clean);
    let insert = "INSERT INTO dead_letters (id, onboarding_id, tenant_id, repo_url, state, operation, error, error_class, \
        error_fingerprint, reason, status, request, idempotency_key, history, replays, created_at, revision, version) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 'open', $11, $12, $13, $14, $15, 1, 1)";
    let original = json!({
        "tenantId": request.tenant_id, "repoUrl": request.repo_url, "workspaceId": request.workspace_id,
    });
    query(insert)
        .bind(letter.id.as_str())
        .bind(letter.onboarding.id.as_str())
        .bind(&request.tenant_id)
        .bind(&request.repo_url)
        .bind(letter.state)
        .bind(&operation)
        .bind(&error)
        .bind(fault.class.as_str())
        .bind(&fingerprint)
        .bind(letter.reason.as_str())
        .bind(clean_json(&original))
        .bind(letter.key)
        .bind(clean_json(&letter.history))
        .bind(letter.replays)
        .bind(tx.now)
        .execute(tx.conn())
        .await?;
    let group = tx.group(&fingerprint);
    group.open += 1;
    let born = group.born.get_or_insert((error, operation, 0));
    born.2 += 1;
    Ok(())
}

/// Closes the onboarding's letters that are open or being replayed. Answers how often the newest was replayed.
///
/// Letters being replayed take their item's outcome from what happened: succeeded, failed again, or skipped.
pub(super) async fn close(
    tx: &mut Tx,
    onboarding: &str,
    outcome: LetterOutcome,
    became: Option<&LetterId>,
    action: Option<&str>,
) -> Result<i64, sqlx::Error> {
    let select = concat!(
        "SELECT id, status, error_fingerprint, replays FROM dead_letters WHERE onboarding_id = $1 \
         AND status IN ('open', 'replaying') ORDER BY id",
        for_update!()
    );
    let mut replays = 0;
    for row in query(select).bind(onboarding).fetch_all(tx.conn()).await? {
        let id = row.text("id")?;
        let was_replaying = row.text("status")? == LetterStatus::Replaying.as_str();
        replays = replays.max(row.int("replays")?);
        // An open letter of an onboarding that went through was overtaken by a resume.
        let outcome = match outcome {
            LetterOutcome::Succeeded if !was_replaying => LetterOutcome::Resumed,
            outcome => outcome,
        };
        let update = "UPDATE dead_letters SET status = 'closed', outcome = $2, became = $3, closed_at = $4, \
            action_id = coalesce($5, action_id), revision = revision + 1, version = version + 1 WHERE id = $1";
        let update = query(update).bind(&id).bind(outcome.as_str()).bind(became.map(LetterId::as_str));
        update.bind(tx.now).bind(action).execute(tx.conn()).await?;
        let group = tx.group(&row.text("error_fingerprint")?);
        if was_replaying {
            group.replaying -= 1;
        } else {
            group.open -= 1;
        }
        if let Some(action) = action {
            group.action = Some(action.to_owned());
        }
        if was_replaying {
            end_item(tx, &id, outcome, became).await?;
        }
    }
    Ok(replays)
}

async fn end_item(
    tx: &mut Tx,
    letter: &str,
    outcome: LetterOutcome,
    became: Option<&LetterId>,
) -> Result<(), sqlx::Error> {
    let (outcome, succeeded, failed_again, skipped) = match outcome {
        LetterOutcome::Succeeded => (ReplayOutcome::Succeeded, 1_i64, 0_i64, 0_i64),
        LetterOutcome::FailedAgain => (ReplayOutcome::FailedAgain, 0, 1, 0),
        LetterOutcome::Resumed | LetterOutcome::RolledBack => (ReplayOutcome::Skipped, 0, 0, 1),
    };
    let update = "UPDATE replay_items SET outcome = $2, became = $3, ended_at = $4 \
        WHERE letter_id = $1 AND outcome = 'waiting' RETURNING replay_id";
    let update = query(update).bind(letter).bind(outcome.as_str()).bind(became.map(LetterId::as_str));
    let Some(row) = update.bind(tx.now).fetch_optional(tx.conn()).await? else { return Ok(()) };
    let count = "UPDATE replays SET succeeded = succeeded + $2, failed_again = failed_again + $3, skipped = skipped + $4, \
        ended_at = CASE WHEN succeeded + failed_again + skipped + 1 >= total THEN $5 ELSE ended_at END WHERE id = $1";
    let count = query(count).bind(row.text("replay_id")?).bind(succeeded).bind(failed_again).bind(skipped);
    count.bind(tx.now).execute(tx.conn()).await?;
    Ok(())
}

/// An open letter is being replayed from now on.
pub(super) async fn begin_replay(
    tx: &mut Tx,
    letter: &LetterId,
    fingerprint: &str,
    onboarding: &str,
    replay: &ReplayId,
    action: &str,
) -> Result<(), sqlx::Error> {
    let update = "UPDATE dead_letters SET status = 'replaying', replays = replays + 1, action_id = $2, \
        revision = revision + 1, version = version + 1 WHERE id = $1";
    query(update).bind(letter.as_str()).bind(action).execute(tx.conn()).await?;
    let insert = "INSERT INTO replay_items (replay_id, letter_id, onboarding_id, outcome) VALUES ($1, $2, $3, 'waiting')";
    let insert = query(insert).bind(replay.as_str()).bind(letter.as_str()).bind(onboarding);
    insert.execute(tx.conn()).await?;
    let group = tx.group(fingerprint);
    (group.open, group.replaying) = (group.open - 1, group.replaying + 1);
    group.action = Some(action.to_owned());
    Ok(())
}

/// Locks the replays whose counters this transaction may move: before any work row, and in order.
pub(super) async fn lock_replays(
    conn: &mut Conn,
    onboardings: impl Iterator<Item = &str>,
) -> Result<(), sqlx::Error> {
    let mut replays = Vec::new();
    for onboarding in onboardings {
        let select = "SELECT replay_id FROM work WHERE kind = 'onboarding' AND subject_id = $1 AND replay_id IS NOT NULL";
        if let Some(row) = query(select).bind(onboarding).fetch_optional(&mut *conn).await? {
            replays.push(row.text("replay_id")?);
        }
    }
    replays.sort();
    replays.dedup();
    for replay in replays {
        let lock = concat!("SELECT id FROM replays WHERE id = $1", for_update!());
        query(lock).bind(replay).fetch_optional(&mut *conn).await?;
    }
    Ok(())
}
