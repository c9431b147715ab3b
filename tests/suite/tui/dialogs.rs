//! Where keys go while a dialog is open: Tab follows the eye, the cursor follows Tab, and nothing leaks.

use redrive::{
    engine::command::Elsewhere,
    tui::{
        model::View,
        msg::{Key, Msg},
    },
};

use super::{
    plans,
    stories::{preview, storm, submitted},
};

#[test]
fn tab_goes_through_a_dialog_as_it_stands_and_the_cursor_goes_with_it() {
    for (keys, previewed, to_first, stops) in [
        ("2 U", plans::resume("on-0000", Elsewhere::Leave, None), "BackTab", 3),
        ("4 R", plans::replay(412, 41), "BackTab BackTab", 4),
    ] {
        let mut story = storm();
        story.press(keys);
        preview(&mut story, previewed);
        story.press(to_first);
        let mut seen = vec![story.cursor()];
        for _ in 1..stops {
            seen.push(story.press("Tab").cursor());
        }
        assert!(seen.is_sorted() && seen.windows(2).all(|two| two[0] != two[1]), "{seen:?}");
        let (row, column) = seen[stops - 1];
        let screen = story.screen();
        let under: String =
            screen.lines().nth(row.into()).unwrap_or_default().chars().skip(column.into()).take(2).collect();
        assert_eq!(under, "Re", "the cursor stands on the button that acts:\n{screen}");
        assert_eq!(story.press("Tab").cursor(), seen[0], "and round again");
    }
}

#[test]
fn what_is_typed_on_a_button_goes_nowhere() {
    let mut story = storm();
    story.press("2 U");
    preview(&mut story, plans::resume("on-0000", Elsewhere::Leave, None));
    story.press("'no_1_quick' Tab 'no_1_quick'");
    assert_eq!(story.asked(), []);
    let dialog = story.model.dialog.as_ref().expect("only Esc and Cancel leave");
    assert_eq!((dialog.reason.value(), dialog.typed.value()), ("", ""));

    let mut story = storm();
    story.press("4 R");
    preview(&mut story, plans::replay(412, 41));
    story.press("'371'").see("nothing is typed into a button: Tab moves to the fields");
    assert_eq!(story.model.dialog.as_ref().map(|dialog| dialog.typed.value()), Some(""));
}

#[test]
fn enter_in_a_field_goes_on_to_the_next_control_and_the_dialog_says_so() {
    let mut story = storm();
    story.press("4 R");
    preview(&mut story, plans::replay(412, 41));
    story.press("Tab Tab '371'").see("Enter next · Esc leaves").press("Enter 'GitHub_is_back' Enter");
    assert_eq!(story.asked(), [], "a field never acts");
    story.press("Enter");
    assert_eq!(submitted(&mut story).1.reason.as_deref(), Some("GitHub is back"));
}

#[test]
fn a_preview_of_which_nothing_would_run_announces_nothing() {
    let mut story = storm();
    story.press("4 R");
    preview(&mut story, plans::replay(5, 5));
    story.see("5 selected: 0 will run").see("nothing would run").not_see("what will run:");
}

#[test]
fn keys_typed_behind_a_dialog_that_closed_reach_nothing_until_the_screen_shows_it() {
    let mut story = storm();
    story.press("2 U");
    preview(&mut story, plans::resume("on-0000", Elsewhere::Leave, None));
    story.press("'yUjq5'");
    submitted(&mut story);
    assert!(story.model.dialog.is_none() && story.model.view == View::Onboardings);
    assert_eq!(story.model.list().index, 0);
    story.press("j");
    assert_eq!(story.model.list().index, 1);

    story.press("U").asked();
    story.tell(Msg::Key(Key::Esc)).tell(Msg::Key(Key::Char('q')));
    assert_eq!(story.asked(), [], "it was meant for the dialog");
}
