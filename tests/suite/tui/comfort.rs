//! Finding and comfort: sorting, completing, saved views, themes, keys of one's own, contexts, production, the mouse.

use std::time::Duration;

use redrive::{
    engine::{filter::Filter, order::Order},
    tui::{
        Exit,
        keymap::Keymap,
        model::{Entry, Model, Place, View},
        msg::{Effect, Mouse, Msg},
        preferences::{Preferences, SavedView},
        theme::{Look, Palette},
        view,
    },
};

use super::{
    story::Story,
    worlds::{self, noon},
};

const NARROW: (u16, u16) = (80, 24);
const WIDE: (u16, u16) = (120, 36);

fn storm() -> Story {
    Story::of(worlds::storm(), NARROW)
}

/// A story whose operator chose something.
fn chosen(preferences: Preferences) -> Story {
    let mut story = storm();
    let setting = redrive::tui::model::Setting { preferences, ..story.model.setting.clone() };
    story.model = Model::new(setting, Look::default(), NARROW, noon());
    story.look();
    story.effects.clear();
    story
}

fn click(column: u16, row: u16) -> Msg {
    Msg::Mouse(Mouse::Click { column, row })
}

#[test]
fn s_offers_the_orders_of_the_list_and_the_database_sorts_by_the_chosen_one() {
    let mut story = storm();
    story.press("2 s").see("sort by").see("1 ● newest").see("6 attempts").not_see("conflicts");
    story.press("j j Enter").see("· by updated").not_see("sort by");
    assert_eq!(story.model.query().order, Some(Order::Updated));
    assert_eq!(story.snapshot().query.order, Some(Order::Updated), "the poll was asked");
    // Chosen by its number; the usual order is not spelled out.
    story.press("s").see("3 ● updated").press("1").not_see("· by ");
    assert_eq!(story.model.query().order, None);
    story.press("3 s").see("1 ● trouble").see("2 lock-age").press("Esc").not_see("sort by");
    story.press(": 'sort_lock-age' Enter").see("· by lock-age");
    assert_eq!(story.model.query().order, Some(Order::LockAge));
    story
        .press("1 s")
        .see("nothing to sort here")
        .press("5 : 'sort_newest' Enter")
        .see("nothing to sort here");
}

#[test]
fn groups_of_letters_are_sorted_on_the_screen_and_an_order_stays_with_its_list() {
    let mut story = storm();
    story.press("4");
    let by_count: Vec<String> = story.model.rows().iter().map(|row| row.id.to_owned()).collect();
    story.press("s 3").see("· by oldest");
    let mut oldest: Vec<_> = story
        .model
        .board()
        .unwrap()
        .letter_groups
        .iter()
        .map(|g| (g.first_seen, g.fingerprint.clone()))
        .collect();
    oldest.sort();
    let shown: Vec<String> = story.model.rows().iter().map(|row| row.id.to_owned()).collect();
    assert_eq!(shown, oldest.into_iter().map(|(_, id)| id).collect::<Vec<_>>());
    story.press("s 1");
    assert_eq!(story.model.rows().iter().map(|row| row.id).collect::<Vec<_>>(), by_count);
    story.press("Enter s 3").see("· by replays").press("Esc Esc 2").not_see("· by ");
}

#[test]
fn plus_and_minus_change_how_often_the_database_is_read() {
    let mut story = storm();
    story.press("+").see("the database is read every 2 s").press("j").see("every 2 s");
    assert_eq!(story.asked(), [Effect::Pace(Duration::from_secs(2))]);
    story.press("- - -").see("every 250 ms");
    story.asked();
    story.press("-").see("every 250 ms, not more often");
    assert_eq!(story.asked(), []);
    story.press("+ + + + + + + +").see("every 1 min, not more seldom");
}

#[test]
fn tab_completes_fields_their_words_and_what_is_on_the_picture() {
    let typed = |story: &Story| match &story.model.entry {
        Entry::Filter(input, _) => input.value().to_owned(),
        other => panic!("a filter is typed, not {other:?}"),
    };
    let mut story = storm();
    story.press("2 / 'sta'").see("Tab: status: state:").press("Tab");
    assert_eq!(typed(&story), "stat", "as much as both share");
    story.press("'u' Tab");
    assert_eq!(typed(&story), "status:");
    story.press("'par' Tab");
    assert_eq!(typed(&story), "status:parked ");
    story.press("'!state:not' Tab");
    assert_eq!(typed(&story), "status:parked !state:NOTIFYING ");
    story.press("Enter").see("filter status:parked !state:NOTIFYING");
    let mut story = storm();
    story.press("2 / 'tenant:' Tab").see("tenant:");
    assert!(typed(&story).starts_with("tenant:"));
    story.press("Esc 3 / 'err' Tab").not_see("Tab: error:");
}

#[test]
fn comparisons_and_mistakes_are_told_exactly() {
    let mut story = storm();
    story.press("2 / 'age:>1h_!state:NOTIFYING' Enter").see("filter age:>1h !state:NOTIFYING");
    assert_eq!(story.model.query().filter, Filter::parse("age:>1h !state:NOTIFYING").unwrap());
    let mut story = storm();
    story.press("2 / 'tenant:acme_age:1h' Enter").see("word 2, age:1h: age:1h is not a comparison: age:>1h");
    let mut story = storm();
    story.press("3 / 'error:503' Enter").see("keys have no error: use status");
}

#[test]
fn the_command_line_lists_everything_and_finds_it_by_what_it_does() {
    let mut story = storm();
    story.press(": 'undo'").see("roll-back").see("B");
    // The list is gone through with the arrows and obeyed with Enter.
    let mut story = storm();
    story.press(": 'circ' Down Enter");
    assert_eq!(story.model.view, View::Circuits);
    let mut story = storm();
    story.press(": 'the' Tab").see("theme").press("'_l' Tab Enter");
    assert_eq!(story.model.look.palette, Palette::Light);
}

#[test]
fn every_action_can_be_typed() {
    for binding in redrive::tui::keys::TABLE {
        let found = redrive::tui::update::found(&storm().model, &binding.name());
        let moves =
            ["down", "up", "top", "bottom", "half-down", "half-up", "page-down", "page-up", "command"];
        let wanted = !moves.contains(&binding.name().as_str());
        assert_eq!(found.iter().any(|entered| entered.text == binding.name()), wanted, "{}", binding.name());
    }
}

#[test]
fn t_goes_through_the_themes_and_theme_names_one() {
    let mut story = storm();
    let mut seen = vec![story.model.look.palette];
    for _ in 0..3 {
        story.press("t");
        seen.push(story.model.look.palette);
    }
    assert_eq!(seen, Palette::CHOICES);
    story.press(": 'theme_high-contrast' Enter");
    assert_eq!(story.model.look.palette, Palette::HighContrast);
}

#[test]
fn a_saved_view_is_its_screen_filter_and_order() {
    let saved = |name: &str, place, typed: &str, order| SavedView {
        name: name.to_owned(),
        place,
        typed: typed.to_owned(),
        filter: Filter::parse(typed).unwrap(),
        order,
    };
    let mut story = chosen(Preferences {
        views: vec![
            saved("held", Place::Onboardings, "status:parked", Some(Order::Oldest)),
            saved("mine", Place::Letters, "operator:ana", None),
        ],
        ..Preferences::default()
    });
    story.press(": 'view_' ").see("view held").see("view mine").press("'he' Tab Enter");
    story.see("onboardings").see("· by oldest").see("filter status:parked");
    assert_eq!(story.model.query().order, Some(Order::Oldest));
    story.press(": 'view_mine' Enter").see("dead letters").see("filter operator:ana");
    story.press(": 'view_nope' Enter").see("which one? view held, view mine");
    storm().press(": 'view_nope' Enter").see("no view is saved");
}

#[test]
fn keys_of_ones_own_are_obeyed_hinted_and_helped() {
    let changes = [("freeze", vec!["x"]), ("replay", vec!["Z"]), ("pause", vec!["W"]), ("group", vec![])];
    let changes: Vec<_> = changes
        .into_iter()
        .map(|(name, keys)| (name.to_owned(), keys.into_iter().map(str::to_owned).collect()))
        .collect();
    let keys = Keymap::changed(&changes).unwrap();
    let mut story = chosen(Preferences { keys, ..Preferences::default() });
    story.press("f").not_see("frozen").press("x").see("frozen").press("x");
    story.press("4 R").not_see("Replay?").see("Z replay").press("Z").see("Replay?").press("Esc");
    story.press("1").see("W pause onboardings");
    story.model.size = (120, 200);
    story.press("?");
    let screen = story.screen();
    let line =
        screen.lines().find(|line| line.contains("Hold the picture still")).expect("freeze is in the help");
    assert!(line.contains(" x "), "{line}");
}

#[test]
fn another_context_is_gone_to_with_the_screen_and_the_look() {
    let contexts = vec!["live".to_owned(), "staging".to_owned()];
    let mut story = chosen(Preferences { contexts, ..Preferences::default() });
    story.press("t 3 : 'ctx_' ").see("ctx live").see("ctx staging").press("'st' Tab Enter");
    let [Effect::Quit(Exit::Context(switch))] = story.asked()[..] else { panic!("it leaves for a context") };
    assert_eq!((switch.context, switch.view, switch.look.palette), (1, View::Keys, Palette::Light));
    storm().press(": 'ctx_live' Enter").see("no context is known");
}

#[test]
fn production_is_read_only_until_rw_and_wants_a_reason() {
    let mut story = chosen(Preferences { production: true, ..Preferences::default() });
    story.see("PRODUCTION").see("read-only").press("4 R").see("read-only until :rw").not_see("Replay?");
    story.press(": 'resume' Enter").see("read-only until :rw").press("Esc");
    story.press(": 'rw' Enter").see("with a reason: this is production");
    assert_eq!(story.asked(), [Effect::Arm(true)]);
    story.press(": 'ro' Enter").see("read-only until :rw");
    assert_eq!(story.asked(), [Effect::Arm(false)]);
    // One that was opened read-only stays so.
    let mut story = Story::with(worlds::storm(), NARROW, redrive::engine::Access::ReadOnly);
    story.press(": 'rw' Enter").see("start it without --read-only");
    assert_eq!(story.asked(), []);
}

#[test]
fn a_standby_is_named_and_nothing_is_written_until_it_is_promoted() {
    for size in [NARROW, WIDE] {
        let mut world = worlds::storm();
        let board = world.board.as_mut().unwrap();
        board.read_only = Some("the server is a standby".to_owned());
        let mut story = Story::of(world, size);
        story.see("read-only: the server is a standby");
        story.press("4 R").see("the database takes no writes: the server is a standby").not_see("Replay?");
        story.press(": 'rw' Enter").see("the database takes no writes").press("Esc");
        story.world.board.as_mut().unwrap().read_only = None;
        story.look().not_see("read-only:").press("R").see("Replay?");
    }
}

#[test]
fn a_click_selects_a_row_or_goes_to_a_screen_and_the_wheel_scrolls() {
    let mut story = storm();
    let tabs = story.screen().lines().nth(1).unwrap().to_owned();
    let at = tabs.chars().take(tabs.find("4 Letters").unwrap()).count() as u16;
    story.tell(click(at, 1));
    assert_eq!(story.model.view, View::Letters);
    story.tell(click(79, 1));
    assert_eq!(story.model.view, View::Letters, "beside the tabs is no tab");
    story.press("2");
    let rows: Vec<String> = story.model.rows().iter().map(|row| row.id.to_owned()).collect();
    assert!(rows.len() > 3);
    // The row that is drawn at a row of the screen is the one selected there.
    story.tell(click(10, 6));
    assert_eq!(story.model.list().cursor.as_deref(), Some(rows[2].as_str()));
    assert_eq!(story.cursor().0, 6);
    story.tell(click(10, 4));
    assert_eq!(story.cursor().0, 4);
    story.tell(Msg::Mouse(Mouse::WheelDown));
    assert_eq!(story.model.list().cursor.as_deref(), Some(rows[3].as_str()));
    story.tell(click(10, 22)).tell(click(10, 0)).tell(click(10, 3));
    assert_eq!(story.model.list().cursor.as_deref(), Some(rows[3].as_str()), "no row, no choice");
    assert_eq!(story.asked(), []);
}

#[test]
fn the_mouse_confirms_nothing_and_closes_no_dialog() {
    let mut story = storm();
    story.press("2 U").see("Resume?");
    for row in 0..24 {
        for column in (0..80).step_by(4) {
            story.tell(click(column, row));
        }
    }
    story.tell(Msg::Mouse(Mouse::WheelDown)).see("Resume?");
    assert!(story.asked().iter().all(|effect| matches!(effect, Effect::Preview(..))));
}

#[test]
fn nothing_of_comfort_breaks_a_small_or_ascii_screen() {
    for size in [(60, 15), (120, 36)] {
        let mut story = Story::of(worlds::hostile(), size);
        for keys in ["2 s", "Esc :", "Esc : 'sort'", "Esc / 'age:'", "Esc + +"] {
            story.press(keys);
            story.model.look.glyphs = redrive::tui::theme::Glyphs::Ascii;
            assert!(story.screen().is_ascii(), "{keys}:\n{}", story.screen());
        }
        assert!(view::tab_at(&story.model, 0) == Some(View::Pulse));
    }
}
