//! Acting on a command: every target is judged again under its locks, by the same functions as the preview, and what
//! passes is done together with its audit row.

use std::collections::BTreeSet;

use sqlx::query;

use super::{
    answer::{self, Begin},
    audit::{self, Touched},
    key, letter, lock_action, onboarding,
    onboarding::Onboarding,
    replay, reveal,
    row::Columns,
    standing, steering,
    steering::Decide,
    tx::Tx,
};
use crate::{
    domain::{
        id::{KeyId, LetterId, OnboardingId, ReplayId},
        letter::{LetterOutcome, LetterStatus},
        onboarding::Phase,
    },
    engine::{
        command::{
            Asker, Command, Elsewhere, LeftOut, Reasoned, Receipt, Refusal, Submission, Target,
            TargetOutcome, TriggerAnswer,
        },
        plan::{self, OnboardingStanding},
        reveal::Revealed,
    },
    store::{error::Fail, value::clean},
};

/// What a command came to, before it is audited.
#[derive(Default)]
pub(super) struct Acted {
    pub(super) touched: Vec<Touched>,
    pub(super) replay: Option<ReplayId>,
    pub(super) triggered: Option<TriggerAnswer>,
    pub(super) revealed: Option<Revealed>,
}

pub(super) async fn act(tx: &mut Tx, submission: &Submission) -> Result<Receipt, Fail> {
    let action = clean(submission.action.as_str());
    lock_action(tx.conn(), &action).await?;
    if let Some(receipt) = audit::earlier(tx.conn(), &submission.action).await? {
        return reveal::again(tx.conn(), submission, receipt).await;
    }
    let acted = match &submission.command {
        Command::Trigger { request } => answer::trigger(tx, &Begin::pipeline(request), &action).await?,
        Command::Begin { workflow, version, state, request, input } => {
            let begin = Begin::new(workflow, *version, state.clone(), request, input.clone());
            answer::trigger(tx, &begin, &action).await?
        }
        Command::Resume { onboardings, elsewhere } => resume(tx, onboardings, *elsewhere, &action).await?,
        Command::RollBack { onboarding, elsewhere } => roll_back(tx, onboarding, *elsewhere, &action).await?,
        Command::Replay { letters, pace } => replay::begin(tx, letters, *pace, submission, &action).await?,
        Command::Stop { replay } => replay::stop(tx, &replay.id, submission, &action).await?,
        Command::Discard { letters } => set_aside(tx, letters, SetAside::Discard, &action).await?,
        Command::Restore { letters } => set_aside(tx, letters, SetAside::Restore, &action).await?,
        Command::Reveal { of } => reveal::reveal(tx, of, submission.reasoned()).await?,
        Command::Release { keys } => release(tx, keys, submission.reasoned(), &action).await?,
        Command::Force { circuit, to, seconds } => {
            let what = Decide::Force(*to, *seconds);
            steering::decide(tx, (&circuit.id, circuit.seen), &what, submission.reasoned(), &action).await?
        }
        Command::Pause { operation, seconds } => {
            let (target, what) = ((&operation.id, operation.seen), Decide::Pause(*seconds));
            steering::decide(tx, target, &what, submission.reasoned(), &action).await?
        }
        Command::Unpause { operation } => {
            let target = (&operation.id, operation.seen);
            steering::decide(tx, target, &Decide::Unpause, submission.reasoned(), &action).await?
        }
    };
    let outcome = |t: &Touched| TargetOutcome { id: t.id.clone(), left_out: t.left_out.clone() };
    let receipt = Receipt {
        action: submission.action.clone(),
        kind: submission.command.kind(),
        at: tx.now.0,
        outcomes: acted.touched.iter().map(outcome).collect(),
        replay: acted.replay,
        triggered: acted.triggered,
        revealed: acted.revealed,
        repeated: false,
    };
    if receipt.applied() > 0 && matches!(submission.asker, Asker::Operator(_)) {
        audit::write(tx, submission, &receipt, &acted.touched).await?;
    } else if receipt.triggered.is_none() {
        return Err(Fail::Refused(Box::new(Refusal::Nothing(receipt.outcomes))));
    }
    Ok(receipt)
}

/// An onboarding under lock, and how it is judged.
pub(super) struct Locked {
    pub(super) onboarding: Onboarding,
    pub(super) standing: OnboardingStanding,
    /// A live lease is on it.
    leased: bool,
}

pub(super) async fn lock(
    tx: &mut Tx,
    id: &str,
    open: &BTreeSet<String>,
) -> Result<Option<Locked>, sqlx::Error> {
    let now = tx.now;
    let work = onboarding::lock_work(tx.conn(), id).await?;
    let Some(onboarding) = onboarding::lock_history(tx.conn(), id).await? else { return Ok(None) };
    let standing = standing::of_onboarding(tx.conn(), now, onboarding.clone(), work.as_ref(), open).await?;
    let leased = standing.leased.is_some();
    Ok(Some(Locked { onboarding, standing, leased }))
}

async fn resume(
    tx: &mut Tx,
    targets: &[Target<OnboardingId>],
    elsewhere: Elsewhere,
    action: &str,
) -> Result<Acted, Fail> {
    let none = BTreeSet::new();
    let ids: Vec<String> = targets.iter().map(|target| clean(target.id.as_str())).collect();
    letter::lock_replays(tx.conn(), ids.iter().map(String::as_str)).await?;
    let mut touched: Vec<Option<Touched>> = targets.iter().map(|_| None).collect();
    let mut order: Vec<usize> = (0..targets.len()).collect();
    order.sort_by_key(|at| &targets[*at].id);
    for at in order {
        let (target, id) = (&targets[at], ids[at].clone());
        let mut left_out = Some(LeftOut::NotFound);
        if let Some(locked) = lock(tx, &id, &none).await? {
            left_out = plan::judge_resume(&locked.standing, target.seen, elsewhere).err();
            if left_out.is_none() {
                letter::close(tx, &id, LetterOutcome::Resumed, None, Some(action)).await?;
                let due = tx.now;
                onboarding::resume(tx, &locked.onboarding, due, action, None).await?;
            }
        }
        touched[at] = Some(of_onboarding(id, left_out));
    }
    Ok(Acted { touched: touched.into_iter().flatten().collect(), ..Acted::default() })
}

async fn roll_back(
    tx: &mut Tx,
    target: &Target<OnboardingId>,
    elsewhere: Elsewhere,
    action: &str,
) -> Result<Acted, Fail> {
    let id = clean(target.id.as_str());
    letter::lock_replays(tx.conn(), std::iter::once(id.as_str())).await?;
    let mut left_out = Some(LeftOut::NotFound);
    if let Some(locked) = lock(tx, &id, &BTreeSet::new()).await? {
        left_out = plan::judge_roll_back(&locked.standing, target.seen, elsewhere).err();
        let ours = locked.onboarding.phase.is_some_and(Phase::is_live);
        match left_out {
            Some(_) => {}
            // Leased work is never undone under its holder.
            None if locked.leased && ours => wish(tx, &id, action).await?,
            None => onboarding::begin_roll_back(tx, &locked.onboarding, Some(action)).await?,
        }
    }
    Ok(Acted { touched: vec![of_onboarding(id, left_out)], ..Acted::default() })
}

async fn wish(tx: &mut Tx, id: &str, action: &str) -> Result<(), sqlx::Error> {
    let wish = "UPDATE redrive_work SET wish = 'roll_back' WHERE kind = 'onboarding' AND subject_id = $1";
    query(wish).bind(id).execute(tx.conn()).await?;
    let decide = "UPDATE onboarding_history SET action_id = $2, revision = revision + 1, version = version + 1 WHERE id = $1";
    query(decide).bind(id).bind(action).execute(tx.conn()).await?;
    Ok(())
}

/// Which way letters are set aside.
#[derive(Clone, Copy)]
enum SetAside {
    Discard,
    Restore,
}

async fn set_aside(
    tx: &mut Tx,
    targets: &[Target<LetterId>],
    way: SetAside,
    action: &str,
) -> Result<Acted, Fail> {
    let mut touched: Vec<Option<Touched>> = targets.iter().map(|_| None).collect();
    let mut order: Vec<usize> = (0..targets.len()).collect();
    order.sort_by_key(|at| &targets[*at].id);
    for at in order {
        let target = &targets[at];
        let id = clean(target.id.as_str());
        let (mut left_out, mut onboarding) = (Some(LeftOut::NotFound), None);
        if let Some(row) = standing::lock_letter(tx.conn(), &id).await? {
            let letter = standing::letter_of(&row)?;
            onboarding = row.opt_text("onboarding_id")?;
            let (judged, to) = match way {
                SetAside::Discard => (plan::judge_discard(&letter, target.seen), LetterStatus::Discarded),
                SetAside::Restore => (plan::judge_restore(&letter, target.seen), LetterStatus::Open),
            };
            left_out = judged.err();
            if left_out.is_none() {
                let fingerprint = row.text("error_fingerprint")?;
                letter::move_to(tx, &id, &fingerprint, letter.status, to, Some(action)).await?;
            }
        }
        touched[at] = Some(Touched { kind: "letter", id: target.id.0.clone(), onboarding, left_out });
    }
    Ok(Acted { touched: touched.into_iter().flatten().collect(), ..Acted::default() })
}

async fn release(
    tx: &mut Tx,
    targets: &[Target<KeyId>],
    reasoned: Reasoned,
    action: &str,
) -> Result<Acted, Fail> {
    let mut touched: Vec<Option<Touched>> = targets.iter().map(|_| None).collect();
    let mut order: Vec<usize> = (0..targets.len()).collect();
    order.sort_by_key(|at| &targets[*at].id);
    for at in order {
        let target = &targets[at];
        let now = tx.now;
        let locked = standing::lock_key(tx.conn(), now, &clean(target.id.as_str())).await?;
        let (left_out, onboarding) = match locked {
            None => (Some(LeftOut::NotFound), None),
            Some((standing, onboarding)) => {
                let left_out = plan::judge_release(&standing, target.seen, reasoned).err();
                if left_out.is_none() {
                    key::release(tx, &target.id, action).await?;
                }
                (left_out, onboarding)
            }
        };
        touched[at] = Some(Touched { kind: "key", id: target.id.0.clone(), onboarding, left_out });
    }
    Ok(Acted { touched: touched.into_iter().flatten().collect(), ..Acted::default() })
}

pub(super) fn of_onboarding(id: String, left_out: Option<LeftOut>) -> Touched {
    Touched { kind: "onboarding", onboarding: Some(id.clone()), id, left_out }
}
