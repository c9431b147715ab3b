//! Acting on a command: every target is judged again under its locks, by the same functions as the preview, and what
//! passes is done together with its audit row.

use std::collections::{BTreeSet, HashSet};

use sqlx::query;

use super::{
    answer,
    audit::{self, Touched},
    key, letter, lock_action, onboarding,
    onboarding::Onboarding,
    row::Columns,
    standing, steering,
    steering::Decide,
    tx::Tx,
};
use crate::{
    clock,
    domain::{
        id::{KeyId, LetterId, OnboardingId, ReplayId},
        letter::LetterOutcome,
        onboarding::Phase,
    },
    engine::{
        command::{
            Asker, Command, Elsewhere, LeftOut, Pace, Reasoned, Receipt, Refusal, Submission, Target,
            TargetOutcome, TriggerAnswer,
        },
        plan::{self, OnboardingStanding},
    },
    store::{error::Fail, value::clean},
};

/// What a command came to, before it is audited.
#[derive(Default)]
pub(super) struct Acted {
    pub(super) touched: Vec<Touched>,
    pub(super) replay: Option<ReplayId>,
    pub(super) triggered: Option<TriggerAnswer>,
}

pub(super) async fn act(tx: &mut Tx, submission: &Submission) -> Result<Receipt, Fail> {
    let action = clean(submission.action.as_str());
    lock_action(tx.conn(), &action).await?;
    if let Some(receipt) = audit::earlier(tx.conn(), &submission.action).await? {
        return Ok(receipt);
    }
    let acted = match &submission.command {
        Command::Trigger { request } => answer::trigger(tx, request, &action).await?,
        Command::Resume { onboardings, elsewhere } => resume(tx, onboardings, *elsewhere, &action).await?,
        Command::RollBack { onboarding, elsewhere } => roll_back(tx, onboarding, *elsewhere, &action).await?,
        Command::Replay { letters, pace } => replay(tx, letters, *pace, submission, &action).await?,
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
struct Locked {
    onboarding: Onboarding,
    standing: OnboardingStanding,
    /// A live lease is on it.
    leased: bool,
}

async fn lock(tx: &mut Tx, id: &str, open: &BTreeSet<String>) -> Result<Option<Locked>, sqlx::Error> {
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
    let mut touched: Vec<Option<Touched>> = targets.iter().map(|_| None).collect();
    let mut order: Vec<usize> = (0..targets.len()).collect();
    order.sort_by_key(|at| &targets[*at].id);
    for at in order {
        let target = &targets[at];
        let id = clean(target.id.as_str());
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
    let wish = "UPDATE work SET wish = 'roll_back' WHERE kind = 'onboarding' AND subject_id = $1";
    query(wish).bind(id).execute(tx.conn()).await?;
    let decide = "UPDATE onboarding_history SET action_id = $2, revision = revision + 1, version = version + 1 WHERE id = $1";
    query(decide).bind(id).bind(action).execute(tx.conn()).await?;
    Ok(())
}

/// A letter's onboarding or why it is left out, the letter's group, and the onboarding's id.
type Judged = (Result<Onboarding, LeftOut>, String, Option<String>);

async fn replay(
    tx: &mut Tx,
    targets: &[Target<LetterId>],
    pace: Pace,
    submission: &Submission,
    action: &str,
) -> Result<Acted, Fail> {
    let none = BTreeSet::new();
    let mut owners = Vec::with_capacity(targets.len());
    for (at, target) in targets.iter().enumerate() {
        let select = "SELECT onboarding_id FROM dead_letters WHERE id = $1";
        let row = query(select).bind(clean(target.id.as_str())).fetch_optional(tx.conn()).await?;
        owners.push((row.map(|row| row.text("onboarding_id")).transpose()?, at));
    }
    // First everything is locked and judged, in the order of the onboardings, which is the order of all locks.
    owners.sort();
    let mut judged: Vec<Option<Judged>> = targets.iter().map(|_| None).collect();
    for (owner, at) in owners {
        let target = &targets[at];
        let locked = match &owner {
            Some(owner) => lock(tx, owner, &none).await?,
            None => None,
        };
        let row = standing::lock_letter(tx.conn(), &clean(target.id.as_str())).await?;
        let Some(row) = row else {
            judged[at] = Some((Err(LeftOut::NotFound), String::new(), owner));
            continue;
        };
        let mut letter = standing::letter_of(&row)?;
        let onboarding = locked.map(|locked| {
            letter.onboarding = Some(locked.standing);
            locked.onboarding
        });
        let verdict =
            plan::judge_replay(&letter, target.seen).and_then(|()| onboarding.ok_or(LeftOut::NoOnboarding));
        judged[at] = Some((verdict, row.text("error_fingerprint")?, owner));
    }
    // Then they start in the order asked, because the first is the canary.
    let (replay, now) = (ReplayId(clock::new_id()), tx.now);
    let (mut touched, mut taken, mut started) = (Vec::new(), HashSet::new(), 0_usize);
    for (target, (verdict, fingerprint, owner)) in targets.iter().zip(judged.into_iter().flatten()) {
        let verdict = verdict.and_then(|onboarding| match taken.insert(onboarding.id.clone()) {
            true => Ok(onboarding),
            // Two letters of one onboarding: the first replay is the one.
            false => Err(LeftOut::InProgress { owner: None }),
        });
        let left_out = match verdict {
            Err(why) => Some(why),
            Ok(onboarding) => {
                let due = now.plus(std::time::Duration::from_secs_f64(pace.offset(started).min(1e9)));
                started += 1;
                let id = onboarding.id.as_str();
                let letter = LetterId(clean(target.id.as_str()));
                letter::begin_replay(tx, &letter, &fingerprint, id, &replay, action).await?;
                onboarding::resume(tx, &onboarding, due, action, Some(&replay)).await?;
                None
            }
        };
        touched.push(Touched { kind: "letter", id: target.id.0.clone(), onboarding: owner, left_out });
    }
    if started == 0 {
        return Ok(Acted { touched, ..Acted::default() });
    }
    let insert = "INSERT INTO replays (id, action_id, operator, per_second, total, created_at) VALUES ($1, $2, $3, $4, $5, $6)";
    query(insert)
        .bind(replay.as_str())
        .bind(action)
        .bind(clean(submission.asker.name()))
        .bind(pace.per_second)
        .bind(i64::try_from(started).unwrap_or(i64::MAX))
        .bind(now)
        .execute(tx.conn())
        .await?;
    Ok(Acted { touched, replay: Some(replay), triggered: None })
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
