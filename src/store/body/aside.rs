//! Rows that cannot be taken: what others wrote there is more than the database, or a trigger of theirs, lets us go on
//! with. Such a row is tried again slowly and ends in a letter, or stuck when it goes back; the others flow meanwhile.

use std::time::Duration;

use sqlx::query;

use super::{
    attempt::{Held, open_attempt},
    onboarding, record,
    tx::Tx,
};
use crate::{
    clock,
    domain::{
        attempt::AttemptOutcome,
        fault::{Fault, FaultClass},
        id::{LeaseId, OnboardingId, WorkerId},
        letter::LetterReason,
        onboarding::{Phase, State},
    },
    engine::store::{Lease, StepOutcome, StepRecord},
    store::value::clean,
};

/// Long enough for somebody to mend it, and for the log not to fill.
const SLOWLY: Duration = Duration::from_secs(60);
/// So many times, then its letter is written.
const ATTEMPTS: i64 = 5;

/// Where it is told why. What makes a row bad may be in the way of telling, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// As any attempt that failed: in the row, in its attempts and at last in a letter.
    Everywhere,
    /// Among its attempts alone.
    AsAnAttempt,
    /// In the log alone.
    Nowhere,
}

pub(super) async fn put(
    tx: &mut Tx,
    id: &OnboardingId,
    worker: &WorkerId,
    why: &str,
    told: Told,
) -> Result<(), sqlx::Error> {
    let later = "UPDATE redrive_work SET run_at = $2, owner = NULL, lease_id = NULL, lease_until = NULL \
        WHERE kind = 'onboarding' AND subject_id = $1 AND (lease_until IS NULL OR lease_until <= $3)";
    let later = query(later).bind(id.as_str()).bind(tx.now.plus(SLOWLY)).bind(tx.now);
    // Somebody else could take it meanwhile.
    if later.execute(tx.conn()).await?.rows_affected() == 0 || told == Told::Nowhere {
        return Ok(());
    }
    let error = format!(
        "{id} cannot be taken as it stands in the database: {why}; mend its row, then resume it or roll it back"
    );
    match told {
        Told::Everywhere => fail(tx, id, worker, error).await,
        _ => note(tx, id, worker, &error).await,
    }
}

/// An attempt that fails as it begins.
async fn fail(tx: &mut Tx, id: &OnboardingId, worker: &WorkerId, error: String) -> Result<(), sqlx::Error> {
    let work = onboarding::lock_work(tx.conn(), id.as_str()).await?;
    let found = onboarding::lock_history(tx.conn(), id.as_str()).await?;
    let (Some(work), Some(found)) = (work, found) else { return Ok(()) };
    let going_back = found.phase == Some(Phase::RollingBack);
    let state = if going_back { State::RollingBack.name() } else { found.next_state(false) };
    let (lease, attempt) = (LeaseId(clock::new_id()), work.attempt + 1);
    let take = "UPDATE redrive_work SET lease_id = $2, attempt = $3, lost = $4, elsewhere = $5 \
        WHERE kind = 'onboarding' AND subject_id = $1";
    let take = query(take).bind(id.as_str()).bind(lease.as_str()).bind(attempt).bind(work.lost);
    take.bind(found.elsewhere).execute(tx.conn()).await?;
    let until = tx.now.plus(SLOWLY);
    let held = Held { id: id.as_str(), worker: worker.as_str(), lease: &lease, until };
    open_attempt(tx, &held, state.as_str(), attempt).await?;
    let fault = Fault::new(FaultClass::Unknown, error);
    let last = attempt >= ATTEMPTS;
    let again = || format!("attempt {} of {ATTEMPTS} follows in {} s", attempt + 1, SLOWLY.as_secs());
    let outcome = match (going_back, last) {
        (false, false) => StepOutcome::Retry { fault, delay: SLOWLY, reason: again() },
        (false, true) => StepOutcome::Failed {
            fault,
            letter: LetterReason::Exhausted,
            reason: format!("all {ATTEMPTS} attempts are used"),
            letter_id: clock::new_id().into(),
        },
        // It is about none of its compensations.
        (true, false) => StepOutcome::CompensationRetry { seq: 0, fault, delay: SLOWLY },
        (true, true) => StepOutcome::Stuck { reason: format!("stuck: {}", fault.message) },
    };
    let lease = Lease { onboarding: id.clone(), id: lease };
    let attempt = u32::try_from(attempt).unwrap_or(u32::MAX);
    // Under its locks nobody is faster: it is not fenced.
    record::one(tx, &StepRecord { lease, state, attempt, outcome }, until).await.map(|_| ())
}

async fn note(tx: &mut Tx, id: &OnboardingId, worker: &WorkerId, error: &str) -> Result<(), sqlx::Error> {
    let insert = "INSERT INTO redrive_attempts (onboarding_id, seq, state, attempt, worker, lease_id, started_at, ended_at, outcome, \
        class, error, delay_seconds) SELECT $1, coalesce(max(seq), 0) + 1, coalesce(max(state), ''), 0, $2, '', $3, $3, $4, $5, $6, $7 \
        FROM redrive_attempts WHERE onboarding_id = $1";
    query(insert)
        .bind(id.as_str())
        .bind(worker.as_str())
        .bind(tx.now)
        .bind(AttemptOutcome::Failed.as_str())
        .bind(FaultClass::Unknown.as_str())
        .bind(clean(error))
        .bind(SLOWLY.as_secs_f64())
        .execute(tx.conn())
        .await
        .map(|_| ())
}
