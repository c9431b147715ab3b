//! Every screen in every world at the three designed sizes.

use redrive::engine::Access;

use redrive::{
    domain::circuit::Forced,
    engine::command::{Elsewhere, LeftOut},
    tui::msg::{Effect, Msg, Previewed},
};

use super::{
    plans,
    story::Story,
    worlds::{self, World},
};

const SIZES: [(u16, u16); 3] = [(80, 24), (120, 36), (200, 50)];

fn picture(name: &str, story: &Story) {
    let (columns, rows) = story.model.size;
    insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true, snapshot_path => "snapshots" }, {
        insta::assert_snapshot!(format!("{name}-{columns}x{rows}"), story.screen());
    });
}

fn check(name: &str, world: World, keys: &str) {
    for size in SIZES {
        let mut story = Story::of(world.clone(), size);
        story.press(keys);
        picture(&format!("{name}-{}", world.name), &story);
    }
}

fn check_all(name: &str, keys: &str) {
    worlds::all().into_iter().for_each(|world| check(name, world, keys));
}

#[test]
fn pulse() {
    check_all("pulse", "1");
}

#[test]
fn charts() {
    check("pulse-load", worlds::storm(), "1 a");
    check("pulse-helped", worlds::storm(), "1 a a");
    check("pulse-frozen", worlds::calm(), "1 f Left");
}

#[test]
fn onboardings() {
    check_all("onboardings", "2");
}

#[test]
fn keys() {
    check_all("keys", "3");
}

#[test]
fn letters_by_error() {
    check_all("letters", "4");
}

#[test]
fn circuits() {
    check_all("circuits", "5");
    let mut paused = World { name: "paused", ..worlds::storm() };
    super::steering::paused(&mut paused);
    check("circuits", paused.clone(), "5");
    check("pulse", paused, "1");
}

#[test]
fn audit() {
    check_all("audit", "6");
}

#[test]
fn letters_one_by_one() {
    check("letters-ungrouped", worlds::storm(), "4 z j Space");
    check("letters-of-a-group", worlds::storm(), "4 Enter");
}

#[test]
fn pages() {
    for world in [worlds::storm(), worlds::hostile()] {
        check("page-onboarding", world.clone(), "2 Enter");
        check("page-key", world.clone(), "3 Enter");
        check("page-payload", world.clone(), "2 Enter v");
        check("page-letter", world, "4 z Enter");
    }
}

#[test]
fn help_filter_and_command_line() {
    check("help", worlds::storm(), "?");
    check("filter", worlds::storm(), "2 / 'colour:red'");
    check("command", worlds::storm(), ": 're'");
}

#[test]
fn before_the_first_answer() {
    let nothing = World { name: "nothing", board: None, last_ok: None, ..worlds::empty() };
    check("pulse", nothing, "1");
    let refused = World {
        name: "refused",
        board: None,
        last_ok: None,
        error: Some("the database sqlite:demo.db has no redrive tables: run `redrive migrate`"),
        ..worlds::empty()
    };
    check("pulse", refused, "1");
}

#[test]
fn read_only() {
    for size in SIZES {
        let mut story = Story::with(worlds::storm(), size, Access::ReadOnly);
        story.press("2 U");
        picture("read-only-storm", &story);
    }
}

fn dialog(name: &str, keys: &str, previewed: &Previewed, then: &str) {
    for size in SIZES.into_iter().chain([(60, 15)]) {
        let mut story = Story::of(worlds::storm(), size);
        story.press(keys);
        let ticket = story.asked().into_iter().find_map(|effect| match effect {
            Effect::Preview(ticket, _) => Some(ticket),
            _ => None,
        });
        let ticket = ticket.expect("the keys open a dialog");
        story.tell(Msg::Preview { ticket, result: Ok(previewed.clone()) });
        story.press(then);
        picture(&format!("dialog-{name}"), &story);
    }
}

#[test]
fn dialogs() {
    dialog("resume", "2 U", &plans::resume("on-0000", Elsewhere::Leave, None), "Tab");
    dialog("replay", "4 R", &plans::replay(412, 41), "Tab Enter");
    let live = plans::release(vec![("github.create_hook/on-0002:hook", super::release::live())]);
    dialog("release", "3 j j L", &live, "y");
    let force = plans::force("github.create_hook", Some(Forced::Open), Some(LeftOut::Unreasoned));
    dialog("force", "5 O", &force, "");
    dialog("pause", "1 P", &plans::pause("onboarding", Some(LeftOut::Unreasoned)), "y");
    dialog("roll-back", "2 B", &plans::roll_back("on-0000"), "");
    dialog(
        "take-over",
        "2 j j j j U",
        &plans::resume("on-0004", Elsewhere::TakeOver, None),
        "Tab Tab 'take'",
    );
}
