//! `O` and `P`: a circuit is forced and an operation paused for a time and with a reason, seen decided, and let go again.

use redrive::{
    domain::circuit::Forced,
    engine::{
        Access,
        command::{Command, LeftOut},
        reader::PauseRow,
    },
    poll::advice::Matter,
    tui::{
        dialog::Focus,
        msg::{Effect, Msg, Ticket, Wish},
    },
};

use super::{
    plans,
    stories::{preview, storm, submitted},
    story::Story,
    worlds::{self, World},
};

const WIDE: (u16, u16) = (120, 36);
const HOOK: &str = "github.create_hook";

#[track_caller]
fn asked(story: &mut Story) -> (Ticket, Wish) {
    match story.asked().as_slice() {
        [Effect::Preview(ticket, wish)] => (*ticket, wish.clone()),
        other => panic!("a preview was expected, not {other:?}"),
    }
}

fn forced(world: &mut World) {
    let circuit = &mut world.board.as_mut().expect("the storm has a board").circuits[0];
    circuit.forced = Some(Forced::Open);
    circuit.forced_by = Some(worlds::decision("ben", "GitHub asked us to stop"));
}

pub(super) fn paused(world: &mut World) {
    let board = world.board.as_mut().expect("the storm has a board");
    let decision = worlds::decision("ben", "until the storm is over");
    board.circuits[0].paused = Some(decision.clone());
    board.pauses = [HOOK, "onboarding"]
        .map(|operation| PauseRow {
            operation: redrive::domain::text::SafeText::new(operation),
            decision: decision.clone(),
            version: 7,
        })
        .to_vec();
}

#[test]
fn a_circuit_is_forced_open_for_ten_minutes_with_a_reason() {
    let mut story = storm();
    story.press("5 O");
    let (ticket, wish) = asked(&mut story);
    let Wish::Force(target, Some(Forced::Open)) = &wish else { panic!("{wish:?}") };
    assert_eq!((target.id.as_str(), target.seen), (HOOK, Some(3)));
    let previewed = plans::force(HOOK, Some(Forced::Open), Some(LeftOut::Unreasoned));
    story.tell(Msg::Preview { ticket, result: Ok(previewed.clone()) });
    story.see("Force the circuit?").see("[open]").see("for how long, empty until taken back: 10m");
    story.see("every worker obeys it: give a reason").see("[ Force open ]");
    story.press("y").see("not yet: a reason has to be typed first");
    assert_eq!(story.asked(), []);
    story.press("'GitHub_asked' Enter Tab Enter");
    let (ticket, submission) = submitted(&mut story);
    assert_eq!(submission.reason.as_deref(), Some("GitHub asked"));
    assert!(
        matches!(&submission.command, Command::Force { to: Some(Forced::Open), seconds: Some(600), .. }),
        "{submission:?}"
    );
    story.see("pending force");
    story.tell(Msg::Done { ticket, result: Ok(plans::receipt(&plans::reasoned(previewed), 0)) });
    story.see("every worker obeys within a second");
}

#[test]
fn arrows_choose_another_state_and_each_is_previewed() {
    let mut story = storm();
    story.press("5 O");
    let (first, _) = asked(&mut story);
    let mut chosen = Vec::new();
    for key in ["Right", "Right", "Right", "Right", "Left"] {
        story.press(key);
        let (ticket, wish) = asked(&mut story);
        let Wish::Force(_, to) = wish else { panic!("{wish:?}") };
        assert!(ticket > first);
        chosen.push(to);
    }
    assert_eq!(chosen, [Some(Forced::Closed), Some(Forced::Disabled), None, Some(Forced::Open), None]);
    story.see("[auto]").see("reading what it would do");
    // The answer to an earlier question is not the answer to this one.
    let late = plans::force(HOOK, Some(Forced::Open), Some(LeftOut::Unreasoned));
    story.tell(Msg::Preview { ticket: first, result: Ok(late) }).see("reading what it would do");
    story.press("y Tab Enter");
    assert_eq!(story.asked(), [], "nothing was confirmed before it was shown");
}

#[test]
fn a_limit_that_is_none_is_said_and_an_empty_one_is_until_taken_back() {
    let mut story = storm();
    story.press("5 P");
    preview(&mut story, plans::pause(HOOK, Some(LeftOut::Unreasoned)));
    // Cancel, Confirm, Limit.
    story.press("Tab Tab");
    assert_eq!(story.model.dialog.as_ref().map(|dialog| dialog.focus), Some(Focus::Limit));
    for (typed, complaint) in [
        ("'soon'", "not yet: \"soon\" is not a time such as 10m or 2h"),
        ("'900days'", "not yet: a time limit is between 1 second and 30 days"),
        ("'10ms'", "not yet: a time limit is between 1 second and 30 days"),
    ] {
        story.press(&format!("Ctrl+u {typed} Enter Ctrl+u 'why' Enter Tab Enter")).see(complaint);
        assert_eq!(story.asked(), []);
    }
    story.press("Ctrl+u Enter Enter Tab Enter");
    let (_, submission) = submitted(&mut story);
    assert!(matches!(submission.command, Command::Pause { seconds: None, .. }), "{submission:?}");
}

#[test]
fn what_is_forced_or_paused_is_proposed_to_be_let_go() {
    let mut story = storm();
    story.world_with(forced).press("5 O");
    assert!(matches!(asked(&mut story).1, Wish::Force(_, None)), "auto");
    let mut story = storm();
    story.world_with(paused).press("5 P");
    let (ticket, wish) = asked(&mut story);
    let Wish::Unpause(target) = wish else { panic!("{wish:?}") };
    assert_eq!(target.id.as_str(), HOOK);
    story.tell(Msg::Preview { ticket, result: Ok(plans::unpause(HOOK)) });
    story.see("Let it go on?").not_see("for how long").press("y");
    let (_, submission) = submitted(&mut story);
    assert!(matches!(submission.command, Command::Unpause { .. }));
}

#[test]
fn everything_that_goes_forward_is_paused_from_pulse_and_onboardings_whatever_is_selected() {
    for place in ["1", "2", "2 / 'id:nothing' Enter"] {
        let mut story = storm();
        story.press(place).press("P");
        let effects = story.asked();
        let wish = effects.iter().find_map(|effect| match effect {
            Effect::Preview(_, wish) => Some(wish),
            _ => None,
        });
        let Some(Wish::Pause(target)) = wish else { panic!("{place}: {effects:?}") };
        assert_eq!((target.id.as_str(), target.seen), ("onboarding", None));
        story.see("every onboarding, on every worker");
    }
    let mut story = storm();
    story.world_with(paused).press("1 P");
    let (_, wish) = asked(&mut story);
    assert!(
        matches!(wish, Wish::Unpause(target) if target.id.as_str() == "onboarding" && target.seen == Some(7))
    );
}

#[test]
fn what_was_decided_stands_beside_what_was_computed_with_who_and_why() {
    let mut story = storm();
    story.world_with(forced).press("5").see("OPEN forced open");
    story.see("forced open by ben, for 20 min more: GitHub asked us to stop");
    story.world_with(paused).see("paused, forced open");
    story.see("paused by ben, for 20 min more: until the storm is over");
    story.see("calls not made: 31 for want of budget, 1,204 by the circuit");
    story.see("worker-b open, probe in 12 s");
}

#[test]
fn a_pause_is_said_first_and_in_the_header() {
    let mut world = worlds::storm();
    paused(&mut world);
    let mut story = Story::of(world.clone(), WIDE);
    story.see("onboardings paused").see("onboarding is paused by ben for 20 min more: nothing goes forward");
    story.see("github.create_hook is paused by ben for 20 min more: holds 38 onboardings");
    let snapshot = world.picture(&redrive::engine::reader::Query::default());
    let about: Vec<_> = snapshot.advice(worlds::noon()).iter().map(|advice| advice.about).collect();
    assert_eq!(about[..2], [Matter::Paused, Matter::Paused]);
    assert!(!about.contains(&Matter::CircuitOpen), "it is paused: whether it is open does not matter");
}

#[test]
fn a_read_only_dashboard_steers_nothing() {
    let mut story = Story::with(worlds::storm(), WIDE, Access::ReadOnly);
    story.press("5").not_see("O force").not_see("P pause");
    story.press("O").see("this dashboard is read-only").press("P").see("this dashboard is read-only");
    assert_eq!(story.asked(), []);
}

#[test]
fn where_there_is_nothing_to_steer_the_keys_say_where_there_is() {
    let mut story = storm();
    for place in ["1", "2", "3", "4", "6"] {
        story.press(place).press("O").see("no circuit to force here: 5 Circuits has them");
    }
    for place in ["3", "4", "6"] {
        story.press(place).press("P").see("nothing to pause here: 5 Circuits has operations");
    }
    assert_eq!(story.asked(), []);
    let mut story = Story::of(worlds::empty(), WIDE);
    story.press("5 O").see("nothing selected").press("P").see("nothing selected");
    assert_eq!(story.asked(), []);
    let mut story = storm();
    story.press("5 : 'pau' Enter");
    assert!(matches!(asked(&mut story).1, Wish::Pause(_)));
}
