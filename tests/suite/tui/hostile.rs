//! Everything from outside is hostile: what reaches the terminal is text and the program's own sequences, nothing else.

use std::collections::{BTreeMap, HashSet};

use ratatui::{Terminal, TerminalOptions, Viewport, backend::CrosstermBackend, layout::Rect};
use redrive::{
    domain::text::is_hostile,
    tui::{msg::Msg, view},
};

use super::{
    plans,
    stories::preview,
    story::Story,
    worlds::{self, PLACES},
};

/// What a terminal is sent to show `story`.
fn sent(story: &Story) -> Vec<u8> {
    let mut bytes = Vec::new();
    {
        let (columns, rows) = story.model.size;
        let viewport = Viewport::Fixed(Rect::new(0, 0, columns, rows));
        let backend = CrosstermBackend::new(&mut bytes);
        let mut terminal = Terminal::with_options(backend, TerminalOptions { viewport }).expect("a terminal");
        terminal.draw(|frame| view::draw(&story.model, frame)).expect("it draws");
    }
    bytes
}

/// Everything in `bytes` is text that stays in its cell, or moves the cursor, colours, or shows or hides the cursor.
#[track_caller]
fn is_tame(bytes: &[u8], on: &str) {
    let text = std::str::from_utf8(bytes).expect("UTF-8");
    let mut chars = text.chars();
    let mut kinds: BTreeMap<char, usize> = BTreeMap::new();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' {
            assert_eq!(chars.next(), Some('['), "on {on}: no OSC, no DCS, no single escape");
            let last = chars.by_ref().find(|c| ('@'..='~').contains(c)).expect("it ends");
            *kinds.entry(last).or_default() += 1;
        } else {
            assert!(!is_hostile(c), "on {on}: {c:?} is sent");
        }
    }
    for kind in kinds.keys() {
        assert!("mHhl".contains(*kind), "on {on}: a sequence ends with {kind:?}");
    }
}

#[test]
fn a_terminal_gets_no_sequence_that_is_not_the_programs_own() {
    for size in [(80, 24), (120, 36), (200, 50)] {
        for keys in PLACES {
            let mut story = Story::of(worlds::hostile(), size);
            story.press(keys);
            is_tame(&sent(&story), keys);
        }
    }
}

#[test]
fn neither_do_dialogs_messages_and_what_was_typed_bring_any() {
    let evil = worlds::EVIL;
    let mut story = Story::of(worlds::hostile(), (120, 36));
    story.press("2 U");
    preview(&mut story, plans::resume(evil, redrive::engine::command::Elsewhere::Leave, None));
    story.press("Tab Tab").tell(Msg::Paste(evil.to_owned()));
    is_tame(&sent(&story), "a dialog");
    story.press("Esc y");
    is_tame(&sent(&story), "a message");
    for entry in ["/", ":"] {
        story.press(entry).tell(Msg::Paste(evil.to_owned()));
        is_tame(&sent(&story), entry);
        story.press("Enter");
        is_tame(&sent(&story), entry);
        story.press("Esc Esc");
    }
}

#[test]
fn rows_that_differ_look_different() {
    let mut world = worlds::storm();
    // Each differs from `acme` by what many programs would not show.
    let twins = [
        "acme",
        "acme\u{200b}",
        "acme\u{202e}",
        "acme\t",
        "acme\n",
        "acme\r",
        "acme\u{7f}",
        "acme\u{ad}",
        "\u{feff}acme",
        "acme\u{e0061}",
        "acme\u{2028}",
        "ac\u{301}me",
        "acme\u{fe0f}",
        "acme\u{1b}",
        "acme\0",
        "acme\u{9b}",
    ];
    world.onboardings.truncate(twins.len());
    for (row, twin) in world.onboardings.iter_mut().zip(twins) {
        *row = redrive::engine::reader::OnboardingRow {
            id: "on-0001".into(),
            tenant_id: redrive::domain::text::SafeText::new(twin),
            ..worlds::onboarding(0, None, redrive::domain::onboarding::State::Received)
        };
    }
    let mut story = Story::of(world, (160, 40));
    story.press("2");
    let screen = story.screen();
    let rows: Vec<&str> = screen.lines().filter(|line| line.contains("payments")).collect();
    assert_eq!(rows.len(), twins.len(), "{screen}");
    // The cursor's sign is no difference.
    let looks: HashSet<String> = rows.iter().map(|row| row.replace('▌', " ")).collect();
    assert_eq!(looks.len(), twins.len(), "{screen}");
}

#[test]
fn a_key_of_ten_thousand_characters_is_cut_in_the_list_and_copied_whole() {
    let mut world = worlds::hostile();
    let long = format!("github.create_hook/{}", "k".repeat(10_000));
    world.keys[0].key = long.as_str().into();
    let mut story = Story::of(world, (120, 36));
    story.press("3 y");
    let copied = story.asked().into_iter().find_map(|effect| match effect {
        redrive::tui::msg::Effect::Copy(text) => Some(text),
        _ => None,
    });
    assert_eq!(copied, Some(long), "an action means the whole");
    story.press("Esc").see("…");
    story.press("Enter");
    is_tame(&sent(&story), "its page");
}

#[test]
fn long_keys_that_differ_only_in_the_middle_look_different() {
    for (size, length) in [((80, 24), 100), ((120, 36), 100), ((120, 36), 10_000)] {
        let mut world = worlds::storm();
        world.keys.truncate(3);
        for (n, row) in world.keys.iter_mut().enumerate() {
            row.key = format!("{}{n}{}", "k".repeat(length / 2), "y".repeat(length / 2)).into();
        }
        let mut story = Story::of(world, size);
        story.press("3");
        let screen = story.screen();
        let looks: HashSet<&str> = screen
            .lines()
            .filter_map(|line| line.split_whitespace().find(|word| word.starts_with("kk")))
            .collect();
        assert_eq!(looks.len(), 3, "{screen}");
    }
}
