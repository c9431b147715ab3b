//! How an onboarding ends, and how its compensations do.

use sqlx::query;

use super::{
    attempt::{Closing, close_attempt},
    entity, letter,
    letter::NewLetter,
    record::{Kept, Step, end_work, finish_state, history, note_error, obey},
    step_key,
    tx::Tx,
};
use crate::{
    domain::{
        attempt::{AttemptOutcome, CompensationStatus},
        fault::Fault,
        id::{LetterId, OnboardingId},
        letter::{LetterOutcome, LetterReason},
        onboarding::{Phase, Status},
    },
    engine::store::{Conflict, Recorded, StepDone, Write},
    store::value::clean,
};

pub(super) async fn completed(tx: &mut Tx, step: &Step<'_>, done: &StepDone) -> Kept<Recorded> {
    if let Err(conflict) = finish_state(tx, step, done, None).await? {
        return Ok(Err(conflict));
    }
    // The wish came before the end: it is no less a wish.
    if step.work.wants_roll_back {
        return obey(tx, step).await;
    }
    let id = step.id();
    let update =
        "UPDATE onboarding_history SET failed_at = NULL, error = NULL, revision = revision + 1 WHERE id = $1";
    query(update).bind(id).execute(tx.conn()).await?;
    letter::close(tx, id, LetterOutcome::Succeeded, None, None).await?;
    step_key::free_started(tx, id, None).await?;
    finish(tx, step, Phase::Completed).await
}

pub(super) async fn failed(
    tx: &mut Tx,
    step: &Step<'_>,
    fault: &Fault,
    why: LetterReason,
    reason: &str,
    letter_id: &LetterId,
) -> Kept<Recorded> {
    let closing =
        Closing { fault: Some(fault), reason: Some(reason), delay: None, outcome: AttemptOutcome::Failed };
    if !close_attempt(tx, step, closing).await? {
        return Ok(Err(Conflict::Fenced));
    }
    let (id, state) = (step.id(), step.record.state.as_str());
    note_error(tx, id, &fault.message).await?;
    // What is undone by an operator's wish needs no letter: its attempts tell the story.
    if step.work.wants_roll_back {
        return obey(tx, step).await;
    }
    // Letters before keys, as everywhere; the key a letter names is known only after.
    let replays = letter::close(tx, id, LetterOutcome::FailedAgain, Some(letter_id), None).await?;
    let history = history(tx, id).await?;
    let key = step_key::carried(tx.conn(), id, state, fault).await?;
    let new = NewLetter {
        id: letter_id,
        onboarding: &step.onboarding,
        state,
        fault,
        reason: why,
        key: key.clone(),
        history,
        replays,
    };
    letter::write(tx, new).await?;
    super::replay::count_new_error(tx, letter_id).await?;
    step_key::fail(tx, id, fault, why, key.as_deref()).await?;
    let update =
        "UPDATE onboarding_history SET failed_at = $2, attempt = $3, revision = revision + 1 WHERE id = $1";
    query(update).bind(id).bind(tx.now).bind(step.work.attempt).execute(tx.conn()).await?;
    finish(tx, step, Phase::Failed).await
}

/// What became of one compensation.
pub(super) struct Compensated<'a> {
    pub(super) seq: i32,
    pub(super) status: CompensationStatus,
    pub(super) fault: Option<&'a Fault>,
}

pub(super) async fn compensated(
    tx: &mut Tx,
    step: &Step<'_>,
    ended: Compensated<'_>,
    writes: &[Write],
) -> Kept<Recorded> {
    let id = step.id();
    let update = "UPDATE redrive_compensations SET status = $3, attempts = attempts + 1, error = $4, ended_at = $5 \
        WHERE onboarding_id = $1 AND seq = $2";
    query(update)
        .bind(id)
        .bind(i64::from(ended.seq))
        .bind(ended.status.as_str())
        .bind(ended.fault.map(|fault| clean(&fault.message)))
        .bind(tx.now)
        .execute(tx.conn())
        .await?;
    if let Err(conflict) = entity::write(tx, &step.onboarding, writes).await? {
        return Ok(Err(conflict));
    }
    // Workers that vanished did so over this one: the next begins anew.
    let keep = "UPDATE redrive_work SET lease_until = $2, run_at = $2, lost = 0 WHERE kind = 'onboarding' AND subject_id = $1";
    query(keep).bind(id).bind(step.until).execute(tx.conn()).await?;
    Ok(Ok(Recorded::GoOn))
}

/// One compensation is left to another onboarding, which undoes it from now on. Should that one be undone at this very
/// moment, the thing stays: better than taking it away from somebody who works with it.
pub(super) async fn left(tx: &mut Tx, step: &Step<'_>, seq: i32, to: &OnboardingId) -> Kept<Recorded> {
    let inherit = "UPDATE redrive_compensations SET status = 'recorded', ended_at = NULL WHERE onboarding_id = $3 \
        AND status = 'nothing_to_undo' AND (operation, resource) IN \
        (SELECT operation, resource FROM redrive_compensations WHERE onboarding_id = $1 AND seq = $2)";
    let inherit = query(inherit).bind(step.id()).bind(i64::from(seq)).bind(to.as_str());
    inherit.execute(tx.conn()).await?;
    let fault = Fault::permanent(format!("kept: onboarding {to} relies on it"));
    let status = CompensationStatus::NothingToUndo;
    compensated(tx, step, Compensated { seq, status, fault: Some(&fault) }, &[]).await
}

/// One more try at undoing failed.
pub(super) async fn tried_to_undo(
    tx: &mut Tx,
    step: &Step<'_>,
    seq: i32,
    fault: &Fault,
) -> Result<(), sqlx::Error> {
    let update = "UPDATE redrive_compensations SET attempts = attempts + 1, error = $3 WHERE onboarding_id = $1 AND seq = $2";
    let update = query(update).bind(step.id()).bind(i64::from(seq)).bind(clean(&fault.message));
    update.execute(tx.conn()).await?;
    note_error(tx, step.id(), &fault.message).await
}

pub(super) async fn rolled_back(tx: &mut Tx, step: &Step<'_>, writes: &[Write]) -> Kept<Recorded> {
    close(tx, step, AttemptOutcome::Succeeded, None).await?;
    if let Err(conflict) = entity::write(tx, &step.onboarding, writes).await? {
        return Ok(Err(conflict));
    }
    let update = "UPDATE onboarding_history SET failed_at = coalesce(failed_at, $2), cleaned_up_at = $2, entities_created = '[]', \
        revision = revision + 1 WHERE id = $1";
    query(update).bind(step.id()).bind(tx.now).execute(tx.conn()).await?;
    finish(tx, step, Phase::RolledBack).await
}

pub(super) async fn stuck(tx: &mut Tx, step: &Step<'_>, reason: &str) -> Kept<Recorded> {
    close(tx, step, AttemptOutcome::Failed, Some(reason)).await?;
    note_error(tx, step.id(), reason).await?;
    let update = "UPDATE onboarding_history SET failed_at = $2, revision = revision + 1 WHERE id = $1";
    query(update).bind(step.id()).bind(tx.now).execute(tx.conn()).await?;
    finish(tx, step, Phase::Stuck).await
}

async fn close(
    tx: &mut Tx,
    step: &Step<'_>,
    outcome: AttemptOutcome,
    reason: Option<&str>,
) -> Result<bool, sqlx::Error> {
    close_attempt(tx, step, Closing { fault: None, reason, delay: None, outcome }).await
}

/// The last word on it: the status others see, our phase, and no work left.
async fn finish(tx: &mut Tx, step: &Step<'_>, phase: Phase) -> Kept<Recorded> {
    let status: Status = phase.status();
    let update = "UPDATE onboarding_history SET status = $2, phase = $3, revision = revision + 1, version = version + 1 WHERE id = $1";
    query(update).bind(step.id()).bind(status.as_str()).bind(phase.as_str()).execute(tx.conn()).await?;
    end_work(tx, step.id()).await?;
    Ok(Ok(Recorded::Released))
}
