//! Undoing: three compensations, of which one or all fail for good, or take their workers down.

use redrive::{
    domain::{
        attempt::CompensationStatus,
        fault::Fault,
        id::OnboardingId,
        onboarding::{Phase, Status},
    },
    engine::{
        command::{LeftOut, Refusal},
        reader::OnboardingPage,
    },
};

use super::script::{Script, Turn, World};
use crate::support::stores::try_sql;

/// Last-in first-out, as they are undone: what it is about, and what undoes it.
const COMPENSATIONS: [(&str, &str); 3] =
    [("hook", "github.delete"), ("notification", "tfc.delete"), ("entities", "catalog.unregister")];

fn revoked() -> Turn {
    Turn::Fail(Fault::permanent("401 token revoked"))
}

fn undo(i: usize) -> String {
    format!("undo {}", COMPENSATIONS[i].0)
}

/// What was undone, in order, from the `from`th on.
fn undone(world: &World, from: usize) -> Vec<String> {
    world.script.log().into_iter().filter(|place| place.starts_with("undo")).skip(from).collect()
}

fn not_undone(page: &OnboardingPage) -> Vec<&str> {
    let left = page.compensations.iter().filter(|c| c.status == CompensationStatus::Failed);
    left.map(|c| c.name.as_str()).collect()
}

/// An onboarding that completed and left all three behind.
async fn completed(world: &World) -> OnboardingId {
    let id = world.trigger().await;
    world.until(&id, Phase::Completed).await;
    id
}

async fn never_forward(world: &World, id: &OnboardingId, because: LeftOut) {
    let forward = world.resume(id).await.expect_err("it is refused");
    let why = |refusal: &Refusal| match refusal {
        Refusal::Nothing(outcomes) => outcomes[0].left_out.clone(),
        _ => None,
    };
    assert_eq!(why(&forward), Some(because), "{forward:?}");
}

async fn whichever_compensation_fails_for_good_the_others_are_undone_and_it_alone_is_tried_again(url: &str) {
    for (i, (name, operation)) in COMPENSATIONS.iter().enumerate() {
        // Twice in vain, then it goes through.
        let script = Script::new().then(&undo(i), [revoked(), revoked()]);
        let world = World::open(url, script).await;
        let hand = world.hire("one");
        let id = completed(&world).await;
        world.roll_back(&id).await.expect("it is rolled back");
        let page = world.until(&id, Phase::Stuck).await;
        let why = format!(
            "stuck: 2 of 3 compensations undone; not undone: {operation} of {name}: 401 token revoked"
        );
        assert_eq!(page.row.error.as_ref().map(|e| e.as_str()), Some(why.as_str()));
        assert_eq!((page.row.status, not_undone(&page)), (Status::Failed, vec![*name]));
        assert_eq!(undone(&world, 0), [undo(0), undo(1), undo(2)], "last in, first out");
        never_forward(&world, &id, LeftOut::RollingBack).await;

        let tried = page.attempts.len();
        world.roll_back(&id).await.expect("it is tried again");
        let page = crate::support::wait::eventually("stuck again", super::script::PATIENCE, async || {
            let page = world.page(&id).await;
            (page.row.phase == Some(Phase::Stuck) && page.attempts.len() > tried).then_some(page)
        })
        .await;
        assert_eq!(page.row.error.as_ref().map(|e| e.as_str()), Some(why.as_str()));
        assert_eq!(undone(&world, 3), [undo(i)], "only what was left");
        never_forward(&world, &id, LeftOut::RollingBack).await;

        world.roll_back(&id).await.expect("it is tried once more");
        let page = world.until(&id, Phase::RolledBack).await;
        assert_eq!(undone(&world, 4), [undo(i)]);
        assert_eq!((page.row.status, not_undone(&page).len()), (Status::FailedCleanedUp, 0));
        never_forward(&world, &id, LeftOut::RolledBack).await;
        hand.stop().await;
    }
}

async fn where_all_fail_each_is_named_with_its_reason(url: &str) {
    let mut script = Script::new();
    for i in 0..COMPENSATIONS.len() {
        let transient = Turn::Fail(Fault::transient(format!("503, {i}")));
        // The first takes two tries, under two leases; the reasons of those before are still told.
        script = script.then(&undo(i), [transient.clone(), transient]);
    }
    let world = World::open(url, script).await;
    let _hand = world.hire("one");
    let id = completed(&world).await;
    world.roll_back(&id).await.expect("it is rolled back");
    let page = world.until(&id, Phase::Stuck).await;
    let why = "stuck: 0 of 3 compensations undone; not undone: github.delete of hook: 503, 0; tfc.delete of \
               notification: 503, 1; catalog.unregister of entities: 503, 2";
    assert_eq!(page.row.error.as_ref().map(|e| e.as_str()), Some(why));
    assert_eq!(not_undone(&page).len(), 3);
    world.roll_back(&id).await.expect("it is tried again");
    world.until(&id, Phase::RolledBack).await;
    assert_eq!(undone(&world, 6), [undo(0), undo(1), undo(2)]);
}

async fn a_compensation_that_takes_its_workers_down_is_left_and_the_others_are_undone(url: &str) {
    let world = World::open(url, Script::new()).await;
    let first = world.hire("first");
    let id = completed(&world).await;
    first.stop().await;
    let world = world.with_script(Script::new().always("payments", &undo(1), Turn::Never));
    world.roll_back(&id).await.expect("it is rolled back");
    for victim in 1..=5 {
        let hand = world.hire(&format!("victim-{victim}"));
        world.until_run(&undo(1), victim).await;
        hand.kill();
    }
    let _heir = world.hire("heir");
    let page = world.until(&id, Phase::Stuck).await;
    let why = "stuck: 2 of 3 compensations undone; not undone: tfc.delete of notification: 5 workers vanished while \
               undoing notification (tfc.delete): it is not tried again";
    assert_eq!(page.row.error.as_ref().map(|e| e.as_str()), Some(why));
    assert_eq!(not_undone(&page), ["notification"]);
    assert_eq!(undone(&world, 0).last(), Some(&undo(2)), "the one behind it was undone");
}

async fn a_compensation_whose_arguments_cannot_be_read_is_not_taken_for_nothing_to_undo(url: &str) {
    let world = World::open(url, Script::new()).await;
    let _hand = world.hire("one");
    let id = completed(&world).await;
    let bad = if url.starts_with("sqlite:") { "'{\"hook\": '" } else { "'{\"hook\": 1e999}'" };
    let which = format!("WHERE onboarding_id = '{id}' AND name = 'hook'");
    try_sql(url, &format!("UPDATE redrive_compensations SET args = {bad} {which}"))
        .await
        .expect("others write it");
    world.roll_back(&id).await.expect("it is rolled back");
    let page = world.until(&id, Phase::Stuck).await;
    let said = page.row.error.as_ref().map(|e| e.to_string()).unwrap_or_default();
    assert!(
        said.starts_with(
            "stuck: 2 of 3 compensations undone; not undone: github.delete of hook: cannot undo hook (github.delete): its \
             arguments are no JSON: "
        ),
        "{said}"
    );
    try_sql(url, &format!("UPDATE redrive_compensations SET args = '{{}}' {which}"))
        .await
        .expect("somebody mends it");
    world.roll_back(&id).await.expect("it is tried again");
    world.until(&id, Phase::RolledBack).await;
    assert_eq!(undone(&world, 0), [undo(1), undo(2), undo(0)]);
}

stories! {
    whichever_compensation_fails_for_good_the_others_are_undone_and_it_alone_is_tried_again,
    where_all_fail_each_is_named_with_its_reason,
    a_compensation_that_takes_its_workers_down_is_left_and_the_others_are_undone,
    a_compensation_whose_arguments_cannot_be_read_is_not_taken_for_nothing_to_undo,
}
