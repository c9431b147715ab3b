//! What the headline says beyond the verdict, told on the screen.

use redrive::{
    domain::{circuit::Forced, text::SafeText},
    engine::{
        Access,
        reader::{Count, Poison, PoisonItem},
    },
    metrics::signals::VerdictKind,
    poll::advice::{Matter, advice},
};

use super::{
    story::Story,
    worlds::{self, World, noon},
};

const NARROW: (u16, u16) = (80, 24);
const WIDE: (u16, u16) = (120, 36);

/// The storm's database under metrics that are calm again.
fn after_the_storm() -> World {
    World { signals: worlds::calm().signals, ..worlds::storm() }
}

fn close_circuits(world: &mut World) {
    let board = world.board.as_mut().expect("the storm has a board");
    board.circuits.retain(|row| row.holds.0 == 0);
    board.counts.parked = Count(0);
}

fn silence_one_target(world: &mut World) {
    let signals = world.signals.as_mut().expect("it has metrics");
    signals.targets[1].error = Some(SafeText::new("connection refused"));
}

fn matters(world: &World) -> Vec<Matter> {
    let board = world.board.as_ref().expect("it has a board");
    advice(board, world.signals.as_ref(), noon()).into_iter().map(|advice| advice.about).collect()
}

#[test]
fn a_calm_verdict_does_not_hide_an_open_circuit() {
    for size in [NARROW, WIDE] {
        let mut story = Story::of(after_the_storm(), size);
        story.see("calm · circuit OPEN");
        story.see("circuit github.create_hook OPEN on 2 of 2 workers, holds 38 onboardings, probe in 12 s");
        story.see("1 roll-back is stuck: B tries again");
        // What failed would only fail again.
        story.not_see("R replays them");
    }
}

#[test]
fn letters_that_wait_when_the_storm_is_over_are_advised_to_be_replayed() {
    let mut story = Story::of(after_the_storm(), NARROW);
    story.world_with(close_circuits).see("37 dead letters are open: R replays them").not_see("circuit OPEN");
    let mut world = after_the_storm();
    close_circuits(&mut world);
    Story::with(world, NARROW, Access::ReadOnly).see("37 dead letters are open").not_see("R replays them");
}

#[test]
fn a_storm_keeps_its_own_levers_and_advises_no_replay() {
    let mut story = Story::of(worlds::storm(), WIDE);
    story.see("STORM 00:45").see("advise cap legacy-crm's retries").not_see("R replays them");
    story.see("holds 38 onboardings, probe in 12 s");
}

#[test]
fn onboardings_that_no_worker_will_move_are_told() {
    let mut story = Story::of(worlds::calm(), NARROW);
    story.not_see("no worker");
    story.world_with(|world| {
        let board = world.board.as_mut().expect("it has a board");
        board.workers.iter_mut().for_each(|worker| worker.alive = false);
    });
    story
        .see("calm · no worker")
        .see("no worker is running: nothing will move until one starts")
        .see("workers 0");
    story.world_with(|world| {
        world.board.as_mut().expect("it has a board").counts.in_progress = Count(0);
    });
    story.not_see("nothing will move");
}

#[test]
fn a_silent_target_is_told_and_stays_in_the_header_on_narrow_screens() {
    let mut world = worlds::calm();
    silence_one_target(&mut world);
    let mut story = Story::with(world, NARROW, Access::ReadOnly);
    story.see("1 of 2 targets does not answer: the verdict sees only a part").see("targets 1/2");
    // A frozen picture needs more room in the header.
    story.press("f").wait(200).see("‖ frozen 14:02:31, 3 min ago").see("targets 1/2");
    story.model.size = (60, 15);
    story.see("targets 1/2");
}

#[test]
fn advice_comes_in_the_order_of_its_importance() {
    let mut world = after_the_storm();
    silence_one_target(&mut world);
    let board = world.board.as_mut().expect("the storm has a board");
    board.workers.clear();
    assert_eq!(
        matters(&world),
        [Matter::CircuitOpen, Matter::NoWorker, Matter::Targets, Matter::StuckRollBacks]
    );
    close_circuits(&mut world);
    let board = world.board.as_mut().expect("the storm has a board");
    board.counts.failed = Count(40);
    assert_eq!(
        matters(&world),
        [Matter::NoWorker, Matter::Targets, Matter::StuckRollBacks, Matter::Letters, Matter::Failed]
    );
    assert_eq!(matters(&worlds::calm()), []);
    assert_eq!(matters(&worlds::empty()), []);
}

#[test]
fn a_bad_item_is_named_only_while_nothing_else_is_wrong() {
    let item = PoisonItem {
        id: "on-0007".into(),
        name: "https://github.com/acme/payments".into(),
        onboarding: true,
        at: Some("VALIDATING".into()),
        failures: 2,
    };
    let poison = Some(Poison { items: vec![item], done: Count(40) });
    let with = |mut world: World| {
        world.board.as_mut().expect("it has a board").poison = poison.clone();
        world
    };
    Story::of(with(worlds::calm()), WIDE).see(
        "onboarding https://github.com/acme/payments failed 2 times at VALIDATING while 40 others completed",
    );
    assert!(!matters(&with(worlds::storm())).contains(&Matter::Poison), "its victims are no bad items");
    assert!(!matters(&with(after_the_storm())).contains(&Matter::Poison), "nor are those a circuit holds");
}

#[test]
fn a_forced_circuit_counts_as_what_it_was_forced_to() {
    let mut world = worlds::calm();
    let force = |world: &mut World, forced| {
        world.board.as_mut().expect("it has a board").circuits[0].forced = Some(forced);
    };
    force(&mut world, Forced::Open);
    assert_eq!(matters(&world), [Matter::CircuitOpen]);
    Story::of(world.clone(), NARROW).see("circuit github.create_hook is forced OPEN");
    let mut world = after_the_storm();
    force(&mut world, Forced::Closed);
    assert!(!matters(&world).contains(&Matter::CircuitOpen));
}

#[test]
fn without_metrics_the_board_still_advises() {
    let mut world = World { signals: None, ..worlds::storm() };
    close_circuits(&mut world);
    Story::of(world, NARROW).see("no metrics").see("37 dead letters are open: R replays them");
    let verdict = |kind| {
        let mut world = after_the_storm();
        close_circuits(&mut world);
        world.signals.as_mut().expect("it has metrics").verdict.kind = kind;
        matters(&world).contains(&Matter::Letters)
    };
    assert!(verdict(VerdictKind::Calm) && verdict(VerdictKind::Unknown));
    assert!(
        !verdict(VerdictKind::Storm) && !verdict(VerdictKind::Stuck) && !verdict(VerdictKind::Recovering)
    );
}

#[test]
fn a_circuit_says_when_it_probes_and_what_it_holds_however_long_its_name() {
    let mut world = worlds::storm();
    let board = world.board.as_mut().expect("the storm has a board");
    board.circuits[0].operation = SafeText::new("github.create_a_hook_with_a_name_that_never_ends");
    let mut story = Story::of(world, NARROW);
    story.see("OPEN").see("probe in 12 s · holds 38");
    let screen = story.screen();
    let line = screen.lines().find(|line| line.contains("probe in 12 s · holds 38"));
    assert!(line.is_some(), "on one line:\n{screen}");
}

#[test]
fn a_group_is_named_by_what_its_errors_share() {
    let mut world = worlds::storm();
    let board = world.board.as_mut().expect("the storm has a board");
    board.letter_groups[0].error =
        SafeText::new("GitHub answered 404 to GET /repos/initech/catalog-80/hooks: Not Found");
    let mut story = Story::of(world, WIDE);
    story.press("4").see("GitHub answered 404 to GET # Not Found").not_see("catalog-80");
    story.press("Enter").see("dead letters: GitHub answered 404 to GET # Not Found");
    story.press("1").not_see("catalog-80");
}

#[test]
fn a_letter_names_its_repository_like_the_list_of_onboardings() {
    let mut world = worlds::storm();
    world.letters[0].label = SafeText::new("initech https://github.com/initech/catalog-80");
    let mut story = Story::of(world, NARROW);
    story.press("4 z").see("▌ initech/catalog-80").not_see("github.com/initech");
    story.see("dead letters · 5 · 37 open");
    story.press("z").see("dead letters by error · 3 groups · 37 open");
}

#[test]
fn every_screen_says_how_to_get_help() {
    for columns in [60, 80, 120] {
        for keys in ["1", "2", "3", "4", "4 z", "5", "6", "2 Enter", "3 Enter", "4 z Enter"] {
            let mut story = Story::of(worlds::storm(), (columns, 24));
            story.press(keys);
            let screen = story.screen();
            assert!(screen.lines().last().is_some_and(|line| line.contains("? help")), "{keys}:\n{screen}");
        }
    }
}
