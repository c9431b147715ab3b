//! Poison: onboardings that no attempt can bring to an end. Each ends in a letter that says why, while others flow.

use std::time::Duration;

use redrive::{
    domain::{
        attempt::AttemptOutcome,
        id::OnboardingId,
        letter::{LetterReason, LetterStatus},
        onboarding::Phase,
    },
    engine::workflow::StepPolicy,
    resilience::backoff::{Backoff, Jitter},
};

use super::{
    script::{PATIENCE, Script, Turn, World},
    stories::letter,
};
use crate::support::stores::try_sql;

/// What is wrong with it, how it is made so, and what its letter says after how many attempts.
struct Poison {
    name: &'static str,
    /// What its runs come to.
    turn: Option<(&'static str, Turn)>,
    /// What others wrote to its state: a column, its value on SQLite and on Postgres.
    written: Option<(&'static str, &'static str)>,
    ends_in: LetterReason,
    attempts: usize,
    says: &'static str,
}

const OTHERS: usize = 20;

fn poisons() -> Vec<Poison> {
    use LetterReason::{Exhausted, Permanent};
    let acts = |name, place, turn, attempts, says| {
        let ends_in = if attempts == 1 { Permanent } else { Exhausted };
        Poison { name, turn: Some((place, turn)), written: None, ends_in, attempts, says }
    };
    let is = |name, column, value, attempts, says| {
        let ends_in = if attempts == 1 { Permanent } else { Exhausted };
        Poison { name, turn: None, written: Some((column, value)), ends_in, attempts, says }
    };
    let huge = 10 << 20;
    vec![
        acts("panics", "REGISTERING", Turn::Panic, 2, "the step panicked: the story panics"),
        acts(
            "panics-at-first",
            "open RECEIVED",
            Turn::Panic,
            2,
            "the opening of RECEIVED panicked: the story panics",
        ),
        acts(
            "panics-between",
            "open REGISTERING",
            Turn::Panic,
            2,
            "the opening of REGISTERING panicked: the story panics",
        ),
        acts("never-answers", "REGISTERING", Turn::Never, 3, "the step was stopped after its 0.3 s"),
        acts("yields-for-ever", "REGISTERING", Turn::Yield, 3, "the step was stopped after its 0.3 s"),
        acts(
            "hogs-memory",
            "REGISTERING",
            Turn::Grow(huge),
            1,
            "the context of {id} after REGISTERING has 10485809 bytes, more than the 8388608 that are kept: let \
             REGISTERING keep what is large elsewhere, and here where it is",
        ),
        is(
            "is-no-json",
            "context",
            "'{\"pieces\": 2'",
            1,
            "cannot read the context of {id} at RECEIVED, it is no JSON: {why}; mend it in onboarding_state and resume \
             it, or roll it back",
        ),
        is(
            "is-another-shape",
            "context",
            "'[1, 2]'",
            1,
            "cannot read the context of {id} at RECEIVED: invalid type: sequence, expected a map; deploy a definition \
             that reads it and resume it, or roll it back",
        ),
        is(
            "is-elsewhere",
            "current_state",
            "'DREAMING'",
            3,
            "cannot run the workflow onboarding version 1 at DREAMING: this worker has only its version 1; deploy \
             workers that have it, then replay the letter",
        ),
    ]
}

fn quick(attempts: u32) -> StepPolicy {
    let short = Duration::from_millis(10);
    StepPolicy {
        attempts,
        backoff: Backoff { base: short, cap: short, jitter: Jitter::None },
        timeout: Duration::from_millis(300),
        ..StepPolicy::default()
    }
}

/// A world of [`OTHERS`] and the poisons, which nobody has touched yet.
async fn poisoned(url: &str) -> (World, Vec<OnboardingId>, Vec<(Poison, OnboardingId)>) {
    let mut script = Script::new();
    for poison in poisons() {
        if let Some((place, turn)) = poison.turn {
            script = script.always(poison.name, place, turn);
        }
    }
    let world = World::open(url, script).await.with_lease(PATIENCE).with_policies(|policies| {
        for state in ["RECEIVED", "REGISTERING", "DREAMING"] {
            policies.states.insert(state.into(), quick(3));
        }
    });
    let mut bad = Vec::new();
    for poison in poisons() {
        let id = world.trigger_of(poison.name).await;
        if let Some((column, value)) = poison.written {
            let write =
                format!("UPDATE onboarding_state SET {column} = {value} WHERE onboarding_id = '{id}'");
            try_sql(url, &write).await.expect("others write it");
        }
        bad.push((poison, id));
    }
    let mut good = Vec::new();
    for n in 0..OTHERS {
        good.push(world.trigger_of(&format!("good-{n}")).await);
    }
    (world, good, bad)
}

async fn poison_ends_in_letters_that_say_why_while_others_flow(url: &str) {
    let (world, good, bad) = poisoned(url).await;
    let _hand = world.hire("one");
    for id in &good {
        world.until(id, Phase::Completed).await;
    }
    for (poison, id) in &bad {
        let page = world.until(id, Phase::Failed).await;
        let told = letter(&world, &page.row.letter.expect("it has a letter")).await;
        let says = poison.says.replace("{id}", id.as_str());
        let (says, why) = (says.split("{why}").collect::<Vec<_>>(), told.row.error.as_str());
        assert!(why.starts_with(says[0]) && why.ends_with(says[says.len() - 1]), "{}: {why}", poison.name);
        let state = page.attempts.last().map(|a| a.state.clone());
        let spent = page.attempts.iter().filter(|a| Some(&a.state) == state.as_ref()).count();
        let ended = (told.row.status, told.row.reason, spent);
        assert_eq!(ended, (LetterStatus::Open, poison.ends_in, poison.attempts), "{}", poison.name);
    }
    let log = world.script.log();
    let received = log.iter().filter(|place| *place == "RECEIVED").count();
    // Those whose first state could not be begun never ran it; all others ran it once, whatever came after.
    assert_eq!(received, OTHERS + bad.len() - 4, "{log:?}");
}

async fn what_cannot_be_read_is_left_as_it_is_and_goes_on_once_it_is_mended(url: &str) {
    let (world, _, bad) = poisoned(url).await;
    let (_, id) = bad.into_iter().find(|(poison, _)| poison.name == "is-no-json").expect("it is one of them");
    let stands = format!("SELECT context FROM onboarding_state WHERE onboarding_id = '{id}'");
    let before = crate::support::stores::column(url, &stands).await;
    let _hand = world.hire("one");
    world.until(&id, Phase::Failed).await;
    assert_eq!(crate::support::stores::column(url, &stands).await, before);
    let mend =
        format!("UPDATE onboarding_state SET context = '{{\"pieces\": 2}}' WHERE onboarding_id = '{id}'");
    try_sql(url, &mend).await.expect("somebody mends it");
    world.resume(&id).await.expect("it is resumed");
    world.until(&id, Phase::Completed).await;
    assert_eq!(world.context(&id).await["pieces"], 2);
}

async fn a_large_context_within_bounds_is_recorded_with_every_state(url: &str) {
    let some = 2 << 20;
    let world = World::open(url, Script::new().always("large", "RECEIVED", Turn::Grow(some))).await;
    let world = world.with_lease(PATIENCE);
    let large = world.trigger_of("large").await;
    let other = world.trigger_of("other").await;
    let _hand = world.hire("one");
    world.until(&other, Phase::Completed).await;
    let page = world.until(&large, Phase::Completed).await;
    let succeeded = page.attempts.iter().filter(|a| a.outcome == Some(AttemptOutcome::Succeeded));
    assert_eq!(succeeded.count(), 4, "one a state");
    let kept = format!(
        "SELECT length(CAST(context AS text)) > {some} FROM onboarding_state WHERE onboarding_id = '{large}'"
    );
    assert!(["1", "true"].contains(&crate::support::stores::column(url, &kept).await[0].as_str()));
}

stories! {
    poison_ends_in_letters_that_say_why_while_others_flow,
    what_cannot_be_read_is_left_as_it_is_and_goes_on_once_it_is_mended,
    a_large_context_within_bounds_is_recorded_with_every_state,
}
