//! May this be done to that? One function a command, the same for the preview and for the act.

use chrono::{DateTime, Utc};

use super::standing::{KeyStanding, LetterStanding, OnboardingStanding, OperationStanding, ReplayStanding};
use crate::{
    domain::{
        circuit::Forced,
        id::StateName,
        key::{KeyEvent, KeyLife},
        letter::LetterStatus,
        onboarding::{Event, Phase, State, Status},
    },
    engine::command::{Elsewhere, LastAction, LeftOut, LifeSign, Reasoned},
};

/// May this onboarding go forward again?
///
/// # Errors
/// Why not.
pub fn judge_resume(
    standing: &OnboardingStanding,
    seen: Option<i64>,
    elsewhere: Elsewhere,
) -> Result<(), LeftOut> {
    unchanged(seen, standing.version, standing.last_action.as_ref())?;
    if let Some(by) = &standing.superseded_by {
        return Err(LeftOut::Superseded { by: by.clone() });
    }
    let Some(phase) = standing.phase else {
        return match standing.status {
            Status::Completed => Err(LeftOut::AlreadyCompleted),
            Status::FailedCleanedUp => Err(LeftOut::RolledBack),
            Status::InProgress if elsewhere == Elsewhere::Leave => {
                Err(LeftOut::Elsewhere { status: standing.status })
            }
            Status::InProgress | Status::Failed => runnable(standing.state.as_ref()),
        };
    };
    if phase.next(Event::ResumeAsked).is_some() {
        return Ok(());
    }
    Err(match phase {
        Phase::Completed => LeftOut::AlreadyCompleted,
        Phase::RollingBack | Phase::Stuck => LeftOut::RollingBack,
        Phase::RolledBack => LeftOut::RolledBack,
        _ => LeftOut::InProgress { owner: standing.leased.as_ref().map(|(owner, _)| owner.clone()) },
    })
}

/// Others may have left it in a state that no workflow of ours can go on from.
fn runnable(state: Option<&StateName>) -> Result<(), LeftOut> {
    match state.map(|state| (state, state.as_str().parse())) {
        None => Ok(()),
        Some((_, Ok(State::RollingBack))) => Err(LeftOut::RollingBack),
        Some((_, Ok(_))) => Ok(()),
        Some((state, Err(_))) => Err(LeftOut::UnknownState { state: state.clone() }),
    }
}

/// May this onboarding be undone? Leased work may: its holder obeys at its next boundary.
///
/// # Errors
/// Why not.
pub fn judge_roll_back(
    standing: &OnboardingStanding,
    seen: Option<i64>,
    elsewhere: Elsewhere,
) -> Result<(), LeftOut> {
    // A running onboarding's version moves under the operator's eyes: for it the status is what counts.
    if !standing.phase.is_some_and(Phase::is_live) {
        unchanged(seen, standing.version, standing.last_action.as_ref())?;
    }
    match (standing.phase, standing.status) {
        (None, Status::FailedCleanedUp) => Err(LeftOut::RolledBack),
        (None, Status::InProgress) if elsewhere == Elsewhere::Leave => {
            Err(LeftOut::Elsewhere { status: standing.status })
        }
        (None, _) => Ok(()),
        _ if standing.roll_back_asked => Err(LeftOut::RollBackAsked { last: standing.last_action.clone() }),
        (Some(phase), _) if phase.next(Event::RollBackAsked).is_some() => Ok(()),
        (Some(Phase::RolledBack), _) => Err(LeftOut::RolledBack),
        (Some(_), _) => Err(LeftOut::RollingBack),
    }
}

/// May this letter be replayed?
///
/// # Errors
/// Why not.
pub fn judge_replay(letter: &LetterStanding, seen: Option<i64>) -> Result<(), LeftOut> {
    if letter.status != LetterStatus::Open {
        return Err(dealt_with(letter));
    }
    unchanged(seen, letter.version, letter.last_action.as_ref())?;
    let onboarding = letter.onboarding.as_ref().ok_or(LeftOut::NoOnboarding)?;
    judge_resume(onboarding, None, Elsewhere::Leave)
}

/// May this letter be set aside?
///
/// # Errors
/// Why not.
pub fn judge_discard(letter: &LetterStanding, seen: Option<i64>) -> Result<(), LeftOut> {
    if !matches!(letter.status, LetterStatus::Open | LetterStatus::Quarantined) {
        return Err(dealt_with(letter));
    }
    unchanged(seen, letter.version, letter.last_action.as_ref())
}

/// May this letter be opened again?
///
/// # Errors
/// Why not.
pub fn judge_restore(letter: &LetterStanding, seen: Option<i64>) -> Result<(), LeftOut> {
    if !matches!(letter.status, LetterStatus::Discarded | LetterStatus::Quarantined) {
        return Err(LeftOut::NotSetAside { status: letter.status });
    }
    unchanged(seen, letter.version, letter.last_action.as_ref())
}

fn dealt_with(letter: &LetterStanding) -> LeftOut {
    LeftOut::Letter { status: letter.status, outcome: letter.outcome, last: letter.last_action.clone() }
}

/// May this replay be stopped?
///
/// # Errors
/// Why not.
pub fn judge_stop(replay: &ReplayStanding) -> Result<(), LeftOut> {
    // Its version moves with every letter: that it still runs is what counts.
    match (replay.running, &replay.stopped) {
        (true, None) => Ok(()),
        (_, stopped) => Err(LeftOut::ReplayEnded { stopped: stopped.clone() }),
    }
}

/// May this key be set free? At once where its holder shows no sign of life: its lease is over and it is no worker that
/// beats. What others hold has no lease that could be over, and a heartbeat of theirs would not be seen here: like a live
/// lease it takes a reason, because running twice is worse than asking twice.
///
/// # Errors
/// Why not.
pub fn judge_release(key: &KeyStanding, seen: Option<i64>, reasoned: Reasoned) -> Result<(), LeftOut> {
    if key.life.next(KeyEvent::Released).is_none() {
        return Err(LeftOut::NotHeld { life: key.life, last: key.last_action.clone() });
    }
    unchanged(seen, key.version, key.last_action.as_ref())?;
    let sign = match (key.life, key.lease_until) {
        (KeyLife::InFlight, Some(until)) => LifeSign::Lease { until },
        (KeyLife::LeaseOver, _) if key.holder_alive => LifeSign::Heartbeat,
        (KeyLife::LeaseOver, _) => return Ok(()),
        _ => LifeSign::NoLease,
    };
    match reasoned {
        Reasoned::Yes => Ok(()),
        Reasoned::No => Err(LeftOut::NeedsReason { holder: key.holder.clone(), sign }),
    }
}

/// May this payload be seen? Whoever says why may.
///
/// # Errors
/// Why not.
pub fn judge_reveal(found: bool, reasoned: Reasoned) -> Result<(), LeftOut> {
    match (found, reasoned) {
        (false, _) => Err(LeftOut::NotFound),
        (true, Reasoned::No) => Err(LeftOut::Unexplained),
        (true, Reasoned::Yes) => Ok(()),
    }
}

/// May this circuit's state be decided?
///
/// # Errors
/// Why not.
pub fn judge_force(
    standing: &OperationStanding,
    seen: Option<i64>,
    to: Option<Forced>,
    reasoned: Reasoned,
) -> Result<(), LeftOut> {
    known(standing, seen)?;
    match (to, standing.forced, reasoned) {
        (None, None, _) => Err(LeftOut::NotForced),
        (Some(_), _, Reasoned::No) => Err(LeftOut::Unreasoned),
        (None, Some(_), _) | (Some(_), _, Reasoned::Yes) => Ok(()),
    }
}

/// May this operation be held back? One that is may be again: with another limit, or another reason.
///
/// # Errors
/// Why not.
pub fn judge_pause(
    standing: &OperationStanding,
    seen: Option<i64>,
    reasoned: Reasoned,
) -> Result<(), LeftOut> {
    known(standing, seen)?;
    match reasoned {
        Reasoned::Yes => Ok(()),
        Reasoned::No => Err(LeftOut::Unreasoned),
    }
}

/// May this operation be let go?
///
/// # Errors
/// Why not.
pub fn judge_unpause(standing: &OperationStanding, seen: Option<i64>) -> Result<(), LeftOut> {
    known(standing, seen)?;
    if standing.paused { Ok(()) } else { Err(LeftOut::NotPaused) }
}

fn known(standing: &OperationStanding, seen: Option<i64>) -> Result<(), LeftOut> {
    if !standing.known {
        return Err(LeftOut::NotFound);
    }
    unchanged(seen, standing.version, standing.last_action.as_ref())
}

fn unchanged(seen: Option<i64>, version: i64, last: Option<&LastAction>) -> Result<(), LeftOut> {
    match seen {
        Some(seen) if seen != version => Err(LeftOut::Changed { last: last.cloned() }),
        _ => Ok(()),
    }
}

/// Would a trigger set this onboarding going again?
///
/// # Errors
/// Why not, as its answer would say.
pub fn judge_trigger(
    standing: &OnboardingStanding,
    cools_until: Option<DateTime<Utc>>,
) -> Result<(), LeftOut> {
    let going_back = matches!(standing.phase, Some(Phase::RollingBack | Phase::Stuck))
        || standing.state.as_ref().is_some_and(|state| state.as_str() == State::RollingBack.as_str());
    match (standing.status, cools_until) {
        _ if going_back => Err(LeftOut::RollingBack),
        (Status::Completed, _) => Err(LeftOut::AlreadyCompleted),
        (Status::Failed, Some(until)) => Err(LeftOut::CoolingDown { until }),
        (Status::Failed, None) => Ok(()),
        _ => Err(LeftOut::InProgress { owner: standing.leased.as_ref().map(|(owner, _)| owner.clone()) }),
    }
}
