//! What an onboarding's page says of what ran, what failed and what never did.

use redrive::{
    domain::{
        attempt::AttemptOutcome,
        onboarding::{Phase, State, Status},
        text::SafeText,
    },
    engine::reader::OnboardingPage,
};

use super::{story::Story, worlds};

fn page(size: (u16, u16), keys: &str, retouch: fn(&mut OnboardingPage)) -> Story {
    let mut world = worlds::storm();
    world.retouch = retouch;
    let mut story = Story::of(world, size);
    story.press(keys);
    story
}

fn gone_back(page: &mut OnboardingPage) {
    page.row.current_state = Some(State::RollingBack.name());
    (page.row.phase, page.row.status) = (Some(Phase::RolledBack), Status::FailedCleanedUp);
    let mut undoing = page.attempts[1].clone();
    undoing.state = State::RollingBack.name();
    page.attempts.truncate(2);
    page.attempts[1].outcome = Some(AttemptOutcome::Failed);
    page.attempts.push(undoing);
    page.subtasks.clear();
    page.compensations.clear();
    page.entities.clear();
}

#[test]
fn a_state_that_never_ran_is_not_done_because_the_onboarding_went_back() {
    page((120, 36), "2 Enter", gone_back)
        .see("✓ RECEIVED")
        .see("✗ VALIDATING")
        .see("· DISCOVERING")
        .see("· CONFIGURING_SYNC")
        .see("· NOTIFYING")
        .see("✓ ROLLING_BACK");
    page((120, 36), "2 Enter", |page| {
        gone_back(page);
        (page.row.phase, page.row.status) = (Some(Phase::RollingBack), Status::InProgress);
        page.attempts[1].outcome = Some(AttemptOutcome::Lost);
    })
    .see("✗ VALIDATING")
    .see("· NOTIFYING")
    .see("● ROLLING_BACK");
}

#[test]
fn what_others_did_before_us_is_taken_as_done() {
    page((120, 36), "2 j j j j Enter", |page| page.attempts.clear())
        .see("✓ GENERATING")
        .see("✗ REGISTERING")
        .see("○ CONFIGURING_SYNC")
        .see("· NOTIFYING");
}

#[test]
fn attempts_are_counted_anew_after_a_resume_and_what_spends_none_has_no_number() {
    page((120, 60), "2 Enter", |page| {
        let mut parked = page.attempts[8].clone();
        parked.attempt = 1;
        let failed = parked.clone();
        parked.outcome = Some(AttemptOutcome::Parked);
        page.attempts.extend([parked.clone(), parked, failed]);
    })
    .see("4 attempts")
    .see("- 14:01:33 parked")
    .see("resumed: attempts are counted anew")
    .not_see("1. 14:01:33 parked");
}

#[test]
fn a_completed_onboarding_says_when_and_what_a_roll_back_would_undo() {
    page((120, 36), "2 j j j j j j j Enter", |_| {})
        .see("completed 14:01:34 UTC, 57 s ago")
        .see("if rolled back")
        .not_see("would run, ")
        .not_see("2. would run");
}

#[test]
fn a_narrow_page_shows_what_failed_and_what_would_be_undone_before_anything_else() {
    page((80, 24), "2 Enter", |page| {
        page.entities =
            (0..23).map(|n| SafeText::new(&format!("component:default/{n:02}-service"))).collect();
        page.subtasks = (0..23)
            .map(|n| {
                let name = SafeText::new(&format!("entity:Component:{n:02}-service"));
                (State::Registering.name(), name, worlds::noon())
            })
            .collect();
    })
    .see("failed · CONFIGURING_SYNC")
    .see("503 from api.github.com")
    .see("3. would run catalog.remove 2 entities of acme")
    .see("done: 23 subtasks")
    .see("✗ CONFIGURING_SYNC")
    .press("G")
    .see("23 entities")
    .see("… and 18 more");
}

#[test]
fn a_letters_age_is_said_to_be_the_letters() {
    page((120, 36), "2 Enter", |_| {}).see("open written 57 s ago");
}
