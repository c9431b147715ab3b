//! What is let through, what is left out, and why.

use chrono::DateTime;

use super::*;
use crate::{
    domain::{letter::LetterStatus, onboarding::Phase},
    engine::command::{Elsewhere, LastAction, Target},
};

fn onboarding(id: &str, phase: Phase) -> OnboardingStanding {
    OnboardingStanding {
        id: id.into(),
        label: SafeText::new("acme payments"),
        version: 3,
        status: phase.status(),
        phase: Some(phase),
        state: Some("CONFIGURING_SYNC".into()),
        roll_back_asked: false,
        leased: None,
        superseded_by: None,
        last_action: None,
        compensations: Vec::new(),
        entities: 0,
    }
}

fn letter(id: &str, reason: LetterReason) -> LetterStanding {
    LetterStanding {
        id: id.into(),
        version: 1,
        status: LetterStatus::Open,
        outcome: None,
        operation: None,
        reason: Some(reason),
        onboarding: Some(onboarding(id, Phase::Failed)),
        last_action: None,
    }
}

#[test]
fn a_replays_preview_says_its_pace_and_how_many_would_fail_alike() {
    let standing = Standing {
        letters: vec![letter("a", LetterReason::Exhausted), letter("b", LetterReason::Permanent)],
        ..Standing::default()
    };
    let letters = ["a", "b", "gone"].map(|id| Target { id: id.into(), seen: None }).to_vec();
    let plan = draw(&Command::Replay { letters, pace: Pace::default() }, &standing);
    assert_eq!(plan.summary(), "3 selected: 2 will run, 1 not found");
    assert_eq!(plan.lines[0].label.as_str(), "acme payments from CONFIGURING_SYNC");
    let warnings: Vec<_> = plan.warnings.iter().map(SafeText::as_str).collect();
    assert_eq!(
        warnings,
        [
            "paced: one first, then ten, then 5 a second; stops when the first fails again, or later more than 20 %",
            "1 of them ended with a permanent error: they fail alike unless its cause was mended",
        ]
    );
    let letters = ["a", "b"].map(|id| Target { id: id.into(), seen: None }).to_vec();
    let pace = Pace { refail_limit: 1.0, ..Pace::default() };
    let plan = draw(&Command::Replay { letters, pace }, &standing);
    assert!(plan.warnings[0].as_str().ends_with("; does not stop by itself"), "{:?}", plan.warnings);
}

#[test]
fn a_resumes_preview_says_how_many_would_fail_alike() {
    let standing = Standing {
        onboardings: ["a", "b", "c"].map(|id| onboarding(id, Phase::Failed)).to_vec(),
        permanent: vec!["a".into(), "c".into()],
        ..Standing::default()
    };
    let mut onboardings = ["a", "b", "c"].map(|id| Target { id: id.into(), seen: None }).to_vec();
    onboardings[2].seen = Some(1);
    let plan = draw(&Command::Resume { onboardings, elsewhere: Elsewhere::Leave }, &standing);
    let warnings: Vec<_> = plan.warnings.iter().map(SafeText::as_str).collect();
    assert_eq!(
        (plan.will_run(), warnings),
        (2, vec!["1 of them ended with a permanent error: they fail alike unless its cause was mended"]),
        "what is left out is not counted"
    );
}

#[test]
fn what_was_begun_elsewhere_and_goes_on_there_needs_a_confirmation() {
    let theirs = OnboardingStanding {
        phase: None,
        status: Status::InProgress,
        ..onboarding("theirs", Phase::Running)
    };
    assert!(matches!(
        judge_resume(&theirs, None, Elsewhere::Leave),
        Err(LeftOut::Elsewhere { status: Status::InProgress })
    ));
    assert_eq!(judge_resume(&theirs, None, Elsewhere::TakeOver), Ok(()));
    assert!(judge_roll_back(&theirs, None, Elsewhere::Leave).is_err());
}

#[test]
fn a_triggers_preview_says_what_it_would_be_answered() {
    let request = crate::domain::onboarding::Request {
        tenant_id: "acme".to_owned(),
        repo_url: "https://github.com/acme/payments".to_owned(),
        workspace_id: None,
    };
    let said = |found: Option<Phase>, cools_until| {
        let onboardings = found.map(|phase| onboarding("on-1", phase)).into_iter().collect();
        let standing = Standing { onboardings, cools_until, ..Standing::default() };
        draw(&Command::Trigger { request: request.clone() }, &standing).summary()
    };
    let until = DateTime::from_timestamp(1_795_000_000, 0);
    assert_eq!(said(None, None), "1 selected: 1 will run");
    assert_eq!(said(Some(Phase::Failed), None), "1 selected: 1 will run");
    assert!(
        said(Some(Phase::Failed), until).contains("0 will run, 1 failed lately: try again at 2026-11-18")
    );
    assert_eq!(said(Some(Phase::Completed), None), "1 selected: 0 will run, 1 already completed");
    assert_eq!(said(Some(Phase::Parked), None), "1 selected: 0 will run, 1 already in progress");
    assert!(said(Some(Phase::Stuck), None).contains("its roll-back has begun"));
}

#[test]
fn a_roll_backs_preview_says_whether_it_could_be_taken_back() {
    let failed = onboarding("a", Phase::Failed);
    let completed = onboarding("a", Phase::Completed);
    let theirs = OnboardingStanding { phase: None, ..failed.clone() };
    for (standing, said) in
        [(failed, None), (completed, Some("it completed:")), (theirs, Some("it was begun elsewhere:"))]
    {
        let onboarding = Target { id: "a".into(), seen: None };
        let command = Command::RollBack { onboarding, elsewhere: Elsewhere::Leave };
        let plan = draw(&command, &Standing { onboardings: vec![standing], ..Standing::default() });
        let irreversible = plan.irreversible.as_ref().map(SafeText::as_str);
        assert_eq!(irreversible.is_some(), said.is_some(), "{irreversible:?}");
        assert!(irreversible.unwrap_or_default().starts_with(said.unwrap_or_default()), "{irreversible:?}");
    }
}

#[test]
fn once_a_roll_back_began_nothing_goes_forward() {
    for phase in [Phase::RollingBack, Phase::Stuck, Phase::RolledBack] {
        assert!(judge_resume(&onboarding("a", phase), None, Elsewhere::TakeOver).is_err(), "{phase}");
    }
    assert_eq!(judge_roll_back(&onboarding("a", Phase::Stuck), None, Elsewhere::Leave), Ok(()));
}

#[test]
fn a_row_that_moved_since_it_was_seen_is_left_out_with_who_moved_it() {
    let last = LastAction {
        operator: "ana".to_owned(),
        kind: ActionKind::Resume,
        at: DateTime::from_timestamp(1_795_000_000, 0).unwrap(),
    };
    let moved = OnboardingStanding { last_action: Some(last), ..onboarding("a", Phase::Failed) };
    let why = judge_resume(&moved, Some(2), Elsewhere::Leave).unwrap_err().to_string();
    assert!(why.starts_with("changed since you looked: resumed by ana at "), "{why}");
    assert_eq!(judge_resume(&moved, Some(3), Elsewhere::Leave), Ok(()));
}
