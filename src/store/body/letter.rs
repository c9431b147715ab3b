//! Dead letters: written when an onboarding fails, closed when it goes on, back or through; with the kept counters of
//! their groups and the items of their replays.

use serde_json::{Value, json};
use sqlx::query;

use super::{
    Conn,
    onboarding::Onboarding,
    row::Columns,
    tx::{Born, Tx},
};
use crate::{
    domain::{
        fault::{FINGERPRINT_VERSION, Fault, fingerprint},
        id::LetterId,
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
    let error = clean(&fault.message);
    let operation = fault.operation.as_deref().map(clean);
    // Of what is stored, so that grouping it again comes to the same.
    let fingerprint = fingerprint(operation.as_deref(), fault.class.as_str(), &error);
    let insert = "INSERT INTO redrive_dead_letters (id, onboarding_id, tenant_id, repo_url, state, operation, error, error_class, \
        error_fingerprint, fingerprint_version, reason, status, request, idempotency_key, history, replays, created_at, revision, \
        version) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $17, $10, $16, $11, $12, $13, $14, $15, 1, 1)";
    // Replayed so often in vain, it is left alone until somebody looks at it.
    let status = match letter.replays >= i64::from(tx.rules.quarantine_after) {
        true => LetterStatus::Quarantined,
        false => LetterStatus::Open,
    };
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
        .bind(status.as_str())
        .bind(FINGERPRINT_VERSION)
        .execute(tx.conn())
        .await?;
    let now = tx.now;
    let group = tx.group(&fingerprint);
    group.enter(status);
    group.bear(Born { error, operation, count: 1, first: now, last: now, action: None });
    Ok(())
}

/// Closes the onboarding's letters, also those set aside. Answers how often the newest was replayed.
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
        "SELECT id, status, error_fingerprint, replays FROM redrive_dead_letters WHERE onboarding_id = $1 \
         AND status <> 'closed' ORDER BY id",
        for_update!()
    );
    let mut replays = 0;
    for row in query(select).bind(onboarding).fetch_all(tx.conn()).await? {
        let id = row.text("id")?;
        let was: Option<LetterStatus> = row.word("status")?;
        let was_replaying = was == Some(LetterStatus::Replaying);
        replays = replays.max(row.int("replays")?);
        // An open letter of an onboarding that went through was overtaken by a resume.
        let outcome = match outcome {
            LetterOutcome::Succeeded if !was_replaying => LetterOutcome::Resumed,
            outcome => outcome,
        };
        let update = "UPDATE redrive_dead_letters SET status = 'closed', outcome = $2, became = $3, closed_at = $4, \
            action_id = coalesce($5, action_id), revision = revision + 1, version = version + 1 WHERE id = $1";
        let update = query(update).bind(&id).bind(outcome.as_str()).bind(became.map(LetterId::as_str));
        update.bind(tx.now).bind(action).execute(tx.conn()).await?;
        let group = tx.group(&row.text("error_fingerprint")?);
        group.leave(was);
        if let Some(action) = action {
            group.action = Some(action.to_owned());
        }
        if was_replaying {
            end_item(tx, &id, outcome, became).await?;
        }
    }
    Ok(replays)
}

/// Moves a letter that is not closed to another status.
pub(super) async fn move_to(
    tx: &mut Tx,
    letter: &str,
    fingerprint: &str,
    from: LetterStatus,
    to: LetterStatus,
    action: Option<&str>,
) -> Result<(), sqlx::Error> {
    let update = "UPDATE redrive_dead_letters SET status = $2, action_id = coalesce($3, action_id), revision = revision + 1, \
        version = version + 1 WHERE id = $1";
    query(update).bind(letter).bind(to.as_str()).bind(action).execute(tx.conn()).await?;
    let group = tx.group(fingerprint);
    group.leave(Some(from));
    group.enter(to);
    if let Some(action) = action {
        group.action = Some(action.to_owned());
    }
    Ok(())
}

async fn end_item(
    tx: &mut Tx,
    letter: &str,
    outcome: LetterOutcome,
    became: Option<&LetterId>,
) -> Result<(), sqlx::Error> {
    let (outcome, reason) = match outcome {
        LetterOutcome::Succeeded => (ReplayOutcome::Succeeded, None),
        LetterOutcome::FailedAgain => (ReplayOutcome::FailedAgain, None),
        LetterOutcome::Resumed => (ReplayOutcome::Skipped, Some("its onboarding was resumed meanwhile")),
        LetterOutcome::RolledBack => {
            (ReplayOutcome::Skipped, Some("its onboarding was rolled back meanwhile"))
        }
    };
    let select = "SELECT replay_id FROM redrive_replay_items WHERE letter_id = $1 AND outcome = 'waiting'";
    let Some(row) = query(select).bind(letter).fetch_optional(tx.conn()).await? else { return Ok(()) };
    let ended = super::replay::Ended { outcome, reason, became };
    super::replay::end_item(tx, &row.text("replay_id")?, letter, ended).await
}

/// Locks the replays whose counters this transaction may move: before any work row, and in order.
pub(super) async fn lock_replays(
    conn: &mut Conn<'_>,
    onboardings: impl Iterator<Item = &str>,
) -> Result<(), sqlx::Error> {
    let mut replays = Vec::new();
    for onboarding in onboardings {
        let select =
            "SELECT replay_id FROM redrive_replay_items WHERE onboarding_id = $1 AND outcome = 'waiting'";
        for row in query(select).bind(onboarding).fetch_all(&mut *conn).await? {
            replays.push(row.text("replay_id")?);
        }
    }
    replays.sort();
    replays.dedup();
    for replay in replays {
        let lock = concat!("SELECT id FROM redrive_replays WHERE id = $1", for_update!());
        query(lock).bind(replay).fetch_optional(&mut *conn).await?;
    }
    Ok(())
}
