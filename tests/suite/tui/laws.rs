//! What holds for every screen, every size and every key.

use std::collections::HashSet;

use proptest::prelude::*;
use redrive::{
    domain::text::SafeText,
    engine::{Access, command::Elsewhere},
    tui::{
        keymap::Keymap,
        keys::{self, Kind},
        model::Place,
        msg::{Effect, Key, Msg},
        theme::{Glyphs, Look, Palette},
    },
};
use unicode_segmentation::UnicodeSegmentation as _;

use super::{
    plans,
    story::{Story, render},
    worlds::{self, PLACES},
};

#[test]
fn no_size_panics_whatever_is_shown() {
    for world in [worlds::empty(), worlds::hostile()] {
        for keys in PLACES {
            let mut story = Story::of(world.clone(), (120, 36));
            story.press(keys);
            for columns in [0, 1, 2, 20, 59, 60, 61, 83, 250] {
                for rows in [0, 1, 2, 14, 15, 16, 23, 60] {
                    story.tell(Msg::Resize(columns, rows));
                    render(&story.model);
                }
            }
        }
    }
}

#[test]
fn no_size_panics_under_a_dialog_and_the_target_is_whole_or_nothing_can_be_confirmed() {
    let long = format!("on-{}", "x".repeat(900));
    for size in
        (60..=120).step_by(12).flat_map(|columns| (15..=36).step_by(3).map(move |rows| (columns, rows)))
    {
        let mut story = Story::of(worlds::storm(), (120, 36));
        story.press("2 U");
        let asked = story.asked();
        let [Effect::Preview(ticket, _)] = asked.as_slice() else { panic!("{asked:?}") };
        let ticket = *ticket;
        story.tell(Msg::Preview { ticket, result: Ok(plans::resume(&long, Elsewhere::Leave, None)) });
        story.tell(Msg::Resize(size.0, size.1));
        let screen: String = story.screen().chars().filter(|c| *c == 'x').collect();
        story.press("y");
        let sent = story.asked().iter().any(|effect| matches!(effect, Effect::Submit(..)));
        if sent {
            assert!(screen.len() >= 900, "confirmed at {size:?} without showing the whole id");
        } else {
            assert!(story.screen().contains("does not fit"), "{}", story.screen());
        }
    }
}

#[test]
fn nothing_hostile_reaches_a_cell() {
    for keys in PLACES {
        let mut story = Story::of(worlds::hostile(), (120, 36));
        story.press(keys);
        for grapheme in story.screen().graphemes(true).filter(|g| *g != "\n") {
            assert_eq!(SafeText::new(grapheme).as_str(), grapheme, "on {keys}");
        }
    }
}

#[test]
fn no_secret_is_shown_in_an_error() {
    for keys in ["1", "2", "4", "4 z", "2 Enter", "4 z Enter", "3 Enter"] {
        let mut story = Story::of(worlds::storm(), (200, 80));
        let secret =
            SafeText::new("401 for https://bob:hunter2@host with Authorization: Bearer abcdefghijkl");
        story.world.onboardings.iter_mut().for_each(|row| row.error = Some(secret.clone()));
        story.world.letters.iter_mut().for_each(|row| row.error = secret.clone());
        story
            .world
            .board
            .as_mut()
            .unwrap()
            .letter_groups
            .iter_mut()
            .for_each(|group| group.error = secret.clone());
        story.look().press(keys);
        let screen = story.screen();
        for word in ["hunter2", "abcdefghijkl", "ghp_0123", "bob:pw", "ana@example.com"] {
            assert!(!screen.contains(word), "{word} on {keys}:\n{screen}");
        }
    }
}

#[test]
fn without_unicode_every_cell_is_ascii() {
    for keys in PLACES {
        let mut story = Story::of(worlds::hostile(), (120, 36));
        story.model.look = Look { palette: Palette::Mono, glyphs: Glyphs::Ascii };
        story.press(keys);
        let screen = story.screen();
        assert!(screen.is_ascii(), "on {keys}:\n{screen}");
    }
}

#[test]
fn the_environment_decides_colours_and_characters() {
    let look = |variables: &[(&str, &str)]| {
        Look::of_environment(|name| {
            variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned())
        })
    };
    let unicode = [("LANG", "en_US.UTF-8"), ("TERM", "xterm-256color")];
    assert_eq!(look(&unicode), Look { palette: Palette::Dark, glyphs: Glyphs::Unicode });
    assert_eq!(look(&[unicode[0], ("NO_COLOR", "1")]).palette, Palette::Mono);
    assert_eq!(look(&[unicode[0], ("TERM", "dumb")]), Look { palette: Palette::Mono, glyphs: Glyphs::Ascii });
    assert_eq!(look(&[("LANG", "C"), unicode[1]]).glyphs, Glyphs::Ascii);
    assert_eq!(look(&[("LC_ALL", "C"), unicode[0]]).glyphs, Glyphs::Ascii);
}

#[test]
fn no_key_is_bound_twice() {
    let mut seen = HashSet::new();
    for key in keys::TABLE.iter().flat_map(|binding| binding.keys) {
        assert!(seen.insert(key), "{key:?} is bound twice");
    }
}

#[test]
fn lower_case_never_writes_and_every_write_is_shift_and_a_letter() {
    for binding in keys::TABLE.iter().filter(|binding| binding.kind == Kind::Writes) {
        for key in binding.keys {
            assert!(matches!(key, Key::Char('A'..='Z')), "{key:?} writes");
        }
        assert!(!binding.places.is_empty(), "{} says where it acts", binding.label);
    }
}

#[test]
fn the_help_and_the_readme_list_every_key() {
    let mut story = Story::of(worlds::storm(), (120, 200));
    story.press("?");
    let (screen, readme) = (story.screen(), keys::markdown());
    for binding in keys::TABLE {
        let begin: String = binding.help.split_whitespace().take(3).collect::<Vec<_>>().join(" ");
        assert!(screen.contains(&begin), "{begin:?} is missing from the help:\n{screen}");
        let keys = Keymap::default().shown_keys(binding);
        assert!(screen.contains(&keys), "{keys} is missing from the help");
        assert!(readme.contains(binding.help));
    }
}

#[test]
fn the_help_can_be_scrolled_to_its_end_at_the_smallest_size() {
    let mut story = Story::of(worlds::storm(), (60, 15));
    story
        .press("? PgDn PgDn PgDn PgDn PgDn PgDn PgDn PgDn PgDn PgDn")
        .see("Shift + letter writes, always after a preview.");
}

#[test]
fn read_only_hides_writes_from_hints_and_help() {
    assert!(keys::available(true).all(|binding| binding.kind == Kind::Looks));
    assert!(
        keys::hints(&Keymap::default(), Place::Onboardings, true, false)
            .iter()
            .all(|(_, label)| *label != "resume")
    );
    let mut story = Story::with(worlds::storm(), (120, 200), Access::ReadOnly);
    story.press("?").not_see("Resume onboardings").see("This dashboard is read-only.");
}

#[test]
fn every_hint_fits_the_narrow_screen_or_is_left_out_whole() {
    for keys in PLACES {
        let mut story = Story::of(worlds::storm(), (80, 24));
        story.press(keys);
        let screen = story.screen();
        let last = screen.lines().last().unwrap_or_default();
        assert!(!last.contains('…') || keys.starts_with(':'), "{last:?} on {keys}");
    }
}

fn any_key() -> impl Strategy<Value = Key> {
    prop_oneof![
        6 => prop::sample::select(keys::TABLE.iter().flat_map(|b| b.keys.iter().copied()).collect::<Vec<_>>()),
        1 => any::<char>().prop_map(Key::Char),
        2 => prop::sample::select(vec![Key::Backspace, Key::Delete, Key::Left, Key::Right, Key::Other, Key::Char('y'), Key::Char('1'), Key::Char('r')]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn any_keys_in_any_order_break_nothing(
        typed in prop::collection::vec(any_key(), 1..40), columns in 0u16..130, rows in 0u16..40, hostile in any::<bool>()
    ) {
        let world = if hostile { worlds::hostile() } else { worlds::storm() };
        let mut story = Story::of(world, (columns, rows));
        for key in typed {
            story.tell(Msg::Key(key));
            // Without a preview that was answered nothing is ever submitted.
            prop_assert!(story.asked().iter().all(|effect| !matches!(effect, Effect::Submit(..))));
        }
        render(&story.model);
    }
}
