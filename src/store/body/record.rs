//! Recording what a step came to: one commit a state, fenced by the lease, each record all or nothing.

use std::time::Duration;

use serde_json::Value;
use sqlx::query;

use super::{
    attempt::{Closing, Held, close_attempt, open_attempt},
    end, entity, letter, onboarding,
    onboarding::{Onboarding, Work},
    steering, step_key,
    tx::Tx,
};
use crate::{
    domain::{attempt::AttemptOutcome, id::StateName, onboarding::Phase},
    engine::store::{Conflict, Intent, Lease, Opening, Recorded, StepDone, StepOutcome, StepRecord},
    store::{
        error::Fail,
        value::{Time, clean, clean_json},
    },
};

/// Either recorded or in conflict; anything else undoes the whole transaction.
pub(super) type Kept<T> = Result<Result<T, Conflict>, sqlx::Error>;

/// A record's onboarding under lock, with the lease it was written under.
pub(super) struct Step<'a> {
    pub(super) record: &'a StepRecord,
    pub(super) onboarding: Onboarding,
    pub(super) work: Work,
    /// Renewed until then, if it is kept.
    pub(super) until: Time,
}

impl Step<'_> {
    pub(super) fn id(&self) -> &str {
        self.onboarding.id.as_str()
    }

    pub(super) fn held(&self) -> Held<'_> {
        let worker = self.work.owner.as_ref().map_or("", |owner| owner.as_str());
        Held { id: self.onboarding.id.as_str(), worker, lease: &self.record.lease.id, until: self.until }
    }
}

pub(super) async fn record(
    tx: &mut Tx,
    records: &[StepRecord],
    lease: Duration,
) -> Result<Vec<Result<Recorded, Conflict>>, Fail> {
    let until = tx.now.plus(lease);
    let mut order: Vec<usize> = (0..records.len()).collect();
    order.sort_by_key(|at| &records[*at].lease.onboarding);
    letter::lock_replays(tx.conn(), order.iter().map(|at| records[*at].lease.onboarding.as_str())).await?;
    // One alone needs no savepoint to be all or nothing, nor its work locked before the others'.
    if let [record] = records {
        let answer = one(tx, record, until).await?;
        tx.forgets = answer.is_err();
        return Ok(vec![answer]);
    }
    // All work rows first: records share entities, and whoever holds one must not wait for another's work.
    for at in &order {
        onboarding::lock_work(tx.conn(), records[*at].lease.onboarding.as_str()).await?;
    }
    let mut answers: Vec<Option<Result<Recorded, Conflict>>> = records.iter().map(|_| None).collect();
    for at in order {
        let saved = tx.save().await?;
        let answer = one(tx, &records[at], until).await?;
        match answer {
            Ok(_) => tx.release().await?,
            Err(_) => tx.back_to(saved).await?,
        }
        answers[at] = Some(answer);
    }
    Ok(answers.into_iter().flatten().collect())
}

/// The work and its onboarding, if the lease still holds: not another's, and nobody else wrote meanwhile. One that is
/// over but was taken by nobody holds: what was done under it counts, rather than being done again.
async fn fence(tx: &mut Tx, lease: &Lease) -> Kept<(Onboarding, Work)> {
    let id = lease.onboarding.as_str();
    let Some(work) = onboarding::lock_work(tx.conn(), id).await? else { return Ok(Err(Conflict::Fenced)) };
    let Some(found) = onboarding::lock_history(tx.conn(), id).await? else {
        return Ok(Err(Conflict::Fenced));
    };
    let holds = work.lease_id.as_ref() == Some(&lease.id) && work.elsewhere == found.elsewhere;
    Ok(if holds { Ok((found, work)) } else { Err(Conflict::Fenced) })
}

pub(super) async fn open(tx: &mut Tx, lease: &Lease, state: &StateName, opening: &Opening) -> Kept<()> {
    let (onboarding, work) = match fence(tx, lease).await? {
        Ok(held) => held,
        Err(conflict) => return Ok(Err(conflict)),
    };
    let until = work.lease_until.unwrap_or(tx.now);
    let worker = work.owner.map(|owner| owner.0).unwrap_or_default();
    let held = Held { id: onboarding.id.as_str(), worker: &worker, lease: &lease.id, until };
    write_opening(tx, &held, state.as_str(), opening).await?;
    Ok(Ok(()))
}

async fn write_opening(
    tx: &mut Tx,
    held: &Held<'_>,
    state: &str,
    opening: &Opening,
) -> Result<(), sqlx::Error> {
    for Intent { operation, name, resource, args } in &opening.intents {
        let insert = "INSERT INTO redrive_compensations (onboarding_id, seq, state, operation, name, args, status, created_at, resource) \
            SELECT $1, coalesce(max(seq), 0) + 1, $2, $3, $4, $5, 'recorded', $6, $7 FROM redrive_compensations \
            WHERE onboarding_id = $1 ON CONFLICT DO NOTHING";
        query(insert)
            .bind(held.id)
            .bind(state)
            .bind(clean(operation))
            .bind(clean(name))
            .bind(clean_json(args))
            .bind(tx.now)
            .bind(resource.as_deref().map(clean))
            .execute(tx.conn())
            .await?;
    }
    step_key::announce(tx, held, state, &opening.keys).await
}

pub(super) async fn one(tx: &mut Tx, record: &StepRecord, until: Time) -> Kept<Recorded> {
    let (onboarding, work) = match fence(tx, &record.lease).await? {
        Ok(held) => held,
        Err(conflict) => return Ok(Err(conflict)),
    };
    let going_back = onboarding.phase == Some(Phase::RollingBack);
    let step = &Step { record, onboarding, work, until };
    use StepOutcome as O;
    match &record.outcome {
        O::CompensationEnded { .. }
        | O::CompensationLeft { .. }
        | O::CompensationRetry { .. }
        | O::RolledBack { .. }
        | O::Stuck { .. }
            if !going_back =>
        {
            Ok(Err(Conflict::Fenced))
        }
        O::Advanced { .. } | O::Completed { .. } | O::Retry { .. } | O::Failed { .. } if going_back => {
            Ok(Err(Conflict::Fenced))
        }
        O::Advanced { done, next, opens } => advanced(tx, step, done, next, opens.as_ref()).await,
        O::Completed { done } => end::completed(tx, step, done).await,
        O::Retry { fault, delay, reason } => {
            let closing = Closing {
                fault: Some(fault),
                reason: Some(reason),
                delay: Some(*delay),
                outcome: AttemptOutcome::Failed,
            };
            if !close_attempt(tx, step, closing).await? {
                return Ok(Err(Conflict::Fenced));
            }
            note_error(tx, step.id(), &fault.message).await?;
            let due = tx.now.plus(*delay);
            pause(tx, step, Phase::Waiting, due, None, true).await
        }
        O::Parked { operation, reason, delay, held } => {
            let closing = Closing {
                fault: None,
                reason: Some(reason),
                delay: Some(*delay),
                outcome: AttemptOutcome::Parked,
            };
            if !close_attempt(tx, step, closing).await? {
                return Ok(Err(Conflict::Fenced));
            }
            let due = steering::next_place(tx, &clean(operation), *delay, *held).await?;
            let phase = if going_back { Phase::RollingBack } else { Phase::Parked };
            pause(tx, step, phase, due, Some(operation), false).await
        }
        O::HandedBack => {
            let closing =
                Closing { fault: None, reason: None, delay: None, outcome: AttemptOutcome::HandedBack };
            if !close_attempt(tx, step, closing).await? {
                return Ok(Err(Conflict::Fenced));
            }
            let phase = if going_back { Phase::RollingBack } else { Phase::Queued };
            let due = tx.now;
            pause(tx, step, phase, due, None, false).await
        }
        O::Failed { fault, letter, reason, letter_id } => {
            end::failed(tx, step, fault, *letter, reason, letter_id).await
        }
        O::CompensationLeft { seq, to } => end::left(tx, step, *seq, to).await,
        O::CompensationEnded { seq, status, fault, writes } => {
            let ended = end::Compensated { seq: *seq, status: *status, fault: fault.as_ref() };
            end::compensated(tx, step, ended, writes).await
        }
        O::CompensationRetry { seq, fault, delay } => {
            end::tried_to_undo(tx, step, *seq, fault).await?;
            let closing = Closing {
                fault: Some(fault),
                reason: None,
                delay: Some(*delay),
                outcome: AttemptOutcome::Failed,
            };
            close_attempt(tx, step, closing).await?;
            let due = tx.now.plus(*delay);
            pause(tx, step, Phase::RollingBack, due, None, true).await
        }
        O::RolledBack { writes } => end::rolled_back(tx, step, writes).await,
        O::Stuck { reason } => end::stuck(tx, step, reason).await,
    }
}

async fn advanced(
    tx: &mut Tx,
    step: &Step<'_>,
    done: &StepDone,
    next: &StateName,
    opens: Option<&Opening>,
) -> Kept<Recorded> {
    if let Err(conflict) = finish_state(tx, step, done, Some(next)).await? {
        return Ok(Err(conflict));
    }
    let (id, now) = (step.id(), tx.now);
    let (phase, attempt) = match (opens, step.work.wants_roll_back) {
        (Some(_), false) => (Phase::Running, 1_i64),
        _ => (Phase::Queued, 0),
    };
    let history = "UPDATE onboarding_history SET current_state = $2, phase = $3, attempt = $4, error = NULL, revision = revision + 1 WHERE id = $1";
    let history = query(history).bind(id).bind(next.as_str()).bind(phase.as_str()).bind(attempt);
    history.execute(tx.conn()).await?;
    if step.work.wants_roll_back {
        return obey(tx, step).await;
    }
    let Some(opening) = opens else {
        let release = "UPDATE redrive_work SET run_at = $2, attempt = 0, lost = 0, owner = NULL, lease_id = NULL, lease_until = NULL \
            WHERE kind = 'onboarding' AND subject_id = $1";
        query(release).bind(id).bind(now).execute(tx.conn()).await?;
        tx.has_work = true;
        return Ok(Ok(Recorded::Released));
    };
    let keep = "UPDATE redrive_work SET lease_until = $2, run_at = $2, attempt = 1, lost = 0 WHERE kind = 'onboarding' AND subject_id = $1";
    query(keep).bind(id).bind(step.until).execute(tx.conn()).await?;
    open_attempt(tx, &step.held(), next.as_str(), 1).await?;
    write_opening(tx, &step.held(), next.as_str(), opening).await?;
    Ok(Ok(Recorded::GoOn))
}

/// What a finished state leaves behind; `next` is the state to run from here on, unless it was the last.
pub(super) async fn finish_state(
    tx: &mut Tx,
    step: &Step<'_>,
    done: &StepDone,
    next: Option<&StateName>,
) -> Kept<()> {
    let closing = Closing {
        fault: None,
        reason: done.note.as_deref(),
        delay: None,
        outcome: AttemptOutcome::Succeeded,
    };
    if !close_attempt(tx, step, closing).await? {
        return Ok(Err(Conflict::Fenced));
    }
    let (id, state, now) = (step.id(), step.record.state.as_str(), tx.now);
    let keep = "UPDATE onboarding_state SET context = $2, updated_at = $3, current_state = coalesce($4, current_state), \
        checkpoint = coalesce($4, checkpoint), last_checkpoint = $3, revision = revision + 1 WHERE onboarding_id = $1";
    let keep = query(keep).bind(id).bind(clean_json(&done.context).to_string()).bind(now);
    keep.bind(next.map(StateName::as_str)).execute(tx.conn()).await?;
    for subtask in &done.subtasks {
        let insert = "INSERT INTO onboarding_progress (onboarding_id, state, subtask, completed_at) VALUES ($1, $2, $3, $4) \
            ON CONFLICT DO NOTHING";
        let insert = query(insert).bind(id).bind(state).bind(clean(subtask)).bind(now);
        insert.execute(tx.conn()).await?;
    }
    for settled in &done.settled {
        let update = "UPDATE redrive_compensations SET args = $3, status = $4, ended_at = CASE WHEN $4 = 'recorded' THEN NULL ELSE $5 END \
            WHERE onboarding_id = $1 AND name = $2 AND status = 'recorded'";
        query(update)
            .bind(id)
            .bind(clean(&settled.name))
            .bind(clean_json(&settled.args))
            .bind(settled.status.as_str())
            .bind(now)
            .execute(tx.conn())
            .await?;
    }
    step_key::settle(tx, id, state, &done.responses).await?;
    entity::write(tx, &step.onboarding, &done.writes).await
}

pub(super) async fn note_error(tx: &mut Tx, id: &str, error: &str) -> Result<(), sqlx::Error> {
    let update = "UPDATE onboarding_history SET error = $2, revision = revision + 1 WHERE id = $1";
    query(update).bind(id).bind(clean(error)).execute(tx.conn()).await.map(|_| ())
}

/// Gives the work back until `due`. An attempt that was not `spent` will carry the same number again.
async fn pause(
    tx: &mut Tx,
    step: &Step<'_>,
    phase: Phase,
    due: Time,
    parked_by: Option<&str>,
    spent: bool,
) -> Kept<Recorded> {
    if step.work.wants_roll_back && phase != Phase::RollingBack {
        return obey(tx, step).await;
    }
    let id = step.id();
    step_key::free_started(tx, id, None).await?;
    let attempt = step.work.attempt - i64::from(!spent);
    let release = "UPDATE redrive_work SET run_at = $2, parked_by = $3, attempt = $4, owner = NULL, lease_id = NULL, lease_until = NULL \
        WHERE kind = 'onboarding' AND subject_id = $1";
    let release = query(release).bind(id).bind(due).bind(parked_by.map(clean)).bind(attempt);
    release.execute(tx.conn()).await?;
    let history =
        "UPDATE onboarding_history SET phase = $2, attempt = $3, revision = revision + 1 WHERE id = $1";
    query(history).bind(id).bind(phase.as_str()).bind(attempt).execute(tx.conn()).await?;
    tx.has_work = true;
    Ok(Ok(Recorded::Released))
}

/// The holder lets go because an operator wants it undone: the roll-back begins in this commit.
pub(super) async fn obey(tx: &mut Tx, step: &Step<'_>) -> Kept<Recorded> {
    let id = step.id();
    match onboarding::lock_history(tx.conn(), id).await? {
        Some(found) => onboarding::begin_roll_back(tx, &found, None).await?,
        None => return Ok(Err(Conflict::Fenced)),
    }
    Ok(Ok(Recorded::RollBackBegan))
}

/// The whole error history as a letter keeps it.
pub(super) async fn history(tx: &mut Tx, id: &str) -> Result<Value, sqlx::Error> {
    let rows = super::read::attempts(tx.conn(), id).await?;
    serde_json::to_value(rows).map_err(|error| sqlx::Error::Encode(Box::new(error)))
}

/// Finished: no worker will look at it again.
pub(super) async fn end_work(tx: &mut Tx, id: &str) -> Result<(), sqlx::Error> {
    let delete = "DELETE FROM redrive_work WHERE kind = 'onboarding' AND subject_id = $1";
    query(delete).bind(id).execute(tx.conn()).await.map(|_| ())
}
