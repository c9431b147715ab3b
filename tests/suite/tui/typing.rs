//! What may be typed where, and what is said when it cannot be obeyed.

use redrive::{
    engine::filter::Filter,
    tui::{
        model::{Entry, View},
        msg::Msg,
    },
};

use super::{story::Story, worlds};

const NARROW: (u16, u16) = (80, 24);

fn storm() -> Story {
    Story::of(worlds::storm(), NARROW)
}

#[test]
fn a_filter_may_be_typed_as_a_command() {
    let mut story = storm();
    story.press("3 : 'filter_status:stuck' Enter").see("filter status:stuck");
    assert_eq!(story.snapshot().query.filter, Filter::parse("status:stuck").unwrap());
    // Where there is nothing to filter it goes to the onboardings.
    story.press("1 : 'filter_tenant:acme' Enter").see("filter tenant:acme");
    assert_eq!(story.model.view, View::Onboardings);
    story.press(": 'filter_colour:red' Enter").see("no field");
}

#[test]
fn a_command_that_takes_no_argument_says_so() {
    for (typed, said) in [
        ("'resume_123'", "resume takes no argument"),
        ("'pulse_now'", "pulse takes no argument"),
        ("'theme_pink'", "which one? theme dark, theme light, theme high-contrast, theme colour-blind"),
        ("'nope_1'", "no command \"nope\""),
    ] {
        let mut story = storm();
        story.press(":").press(typed).press("Enter").see(said);
        assert_eq!(story.asked(), [], "{typed}");
    }
}

#[test]
fn every_command_is_found_however_narrow_the_screen() {
    let mut story = storm();
    story.press(":").see("to do");
    for word in
        ["audit", "circuits", "letters", "onboardings", "roll-back", "theme dark", "theme colour-blind"]
    {
        let mut story = storm();
        story.press(":").press(&format!("'{}'", word.replace(' ', "_"))).see(word);
    }
}

#[test]
fn a_slash_on_pulse_filters_the_onboardings_and_what_follows_never_acts() {
    for keys in ["1 /", "5 /", "2 Enter /"] {
        let mut story = storm();
        story.press(keys).press("'qRU'");
        assert!(matches!(&story.model.entry, Entry::Filter(input, _) if input.value() == "qRU"), "{keys}");
        assert_eq!(story.model.view, View::Onboardings);
        assert_eq!(story.asked(), [], "{keys}");
    }
}

#[test]
fn a_key_that_does_nothing_here_says_why() {
    for (key, said) in [
        ("Enter", "no row to open here"),
        ("y", "no id to copy here"),
        ("Space", "no rows to mark here"),
        ("z", "no groups here: 4 Letters has some"),
        ("B", "roll back has nothing to act on here"),
    ] {
        storm().press("1").press(key).see(said);
    }
}

#[test]
fn a_status_that_no_row_can_have_is_refused_with_those_there_are() {
    let mut story = storm();
    story
        .press("2 / 'status:faild' Enter")
        .see("no status \"faild\"")
        .see("onboardings are in_progress")
        .see("rolled_back")
        .not_see("discarded");
    assert!(story.model.query().filter.is_empty(), "nothing was applied");
    story.press("Backspace Backspace 'led' Enter").see("filter status:failed");
}

#[test]
fn a_filter_begins_with_the_one_there_is_and_typing_replaces_it() {
    let filtered = || {
        let mut story = storm();
        story.press("2 / 'status:failed' Enter").see("filter status:failed");
        story
    };
    filtered().press("/").see("/status:failed typing replaces it").press("Enter").see("filter status:failed");
    filtered().press("/ Esc").see("filter status:failed");
    filtered().press("/ 'tenant:acme' Enter").see("filter tenant:acme").not_see("status:failed");
    filtered().press("/ Backspace Enter").not_see("filter status:failed");
    filtered().press("/ Right '_tenant:acme' Enter").see("filter status:failed tenant:acme");
    let mut story = filtered();
    story.press("/").tell(Msg::Paste("tenant:globex".to_owned())).press("Enter").see("filter tenant:globex");
}
