//! Tells a story to the dashboard without a terminal: keys in, effects and the screen's text out.

use std::time::Duration;

use chrono::TimeDelta;
use ratatui::{Terminal, backend::TestBackend};
use redrive::{
    domain::text::SafeText,
    engine::Access,
    poll::Snapshot,
    tui::{
        model::{Model, Setting},
        msg::{Effect, Key, Msg},
        preferences::Preferences,
        theme::Look,
        update::update,
        view,
    },
};

use super::worlds::{World, noon};

/// A dashboard in a world, and what it asked for.
pub(crate) struct Story {
    pub(crate) model: Model,
    pub(crate) world: World,
    pub(crate) effects: Vec<Effect>,
}

impl Story {
    /// A dashboard that has seen `world`.
    pub(crate) fn of(world: World, size: (u16, u16)) -> Self {
        Self::with(world, size, Access::ReadWrite)
    }

    pub(crate) fn with(world: World, size: (u16, u16), access: Access) -> Self {
        let setting = Setting {
            title: SafeText::new("demo · sqlite"),
            operator: "ana".to_owned(),
            access,
            database: None,
            interval: Duration::from_secs(1),
            playback: None,
            recording: false,
            preferences: Preferences::default(),
        };
        let model = Model::new(setting, Look::default(), size, noon());
        let mut story = Self { model, world, effects: Vec::new() };
        story.look();
        story.effects.clear();
        story
    }

    /// The poll answers what the screen wants to look at.
    pub(crate) fn look(&mut self) -> &mut Self {
        let picture = self.world.picture(&self.model.query());
        self.tell(Msg::Snapshot(picture))
    }

    /// One message; whatever is looked at is answered at once.
    pub(crate) fn tell(&mut self, msg: Msg) -> &mut Self {
        let effects = update(&mut self.model, msg);
        let looks: Vec<_> = effects.iter().filter(|e| matches!(e, Effect::Look(_))).cloned().collect();
        self.effects.extend(effects.into_iter().filter(|e| !matches!(e, Effect::Look(_))));
        for look in looks {
            let Effect::Look(query) = look else { continue };
            let picture = self.world.picture(&query);
            self.tell(Msg::Snapshot(picture));
        }
        self
    }

    /// Keys, separated by spaces: `j Enter Ctrl+d Space`; a quoted word is typed letter by letter, in one burst.
    pub(crate) fn press(&mut self, keys: &str) -> &mut Self {
        for word in keys.split_whitespace() {
            let quoted = word
                .strip_prefix('\'')
                .and_then(|word| word.strip_suffix('\''))
                .filter(|word| !word.is_empty());
            let typed: Vec<Key> = match quoted {
                Some(typed) => typed.chars().map(|c| Key::Char(if c == '_' { ' ' } else { c })).collect(),
                None => vec![key(word)],
            };
            // A quoted word comes in one burst, the others as a person types: between them the screen is drawn.
            self.tell(Msg::Drawn);
            for key in typed {
                self.tell(Msg::Key(key));
            }
        }
        self
    }

    /// Lets time go by without a newer picture.
    pub(crate) fn wait(&mut self, seconds: i64) -> &mut Self {
        let now = self.model.now + TimeDelta::seconds(seconds);
        self.tell(Msg::Tick(now))
    }

    /// What the screen shows.
    pub(crate) fn screen(&self) -> String {
        render(&self.model)
    }

    /// The screen shows `text`; lines are joined, borders and runs of spaces count as one space.
    #[track_caller]
    pub(crate) fn see(&mut self, text: &str) -> &mut Self {
        let screen = self.screen();
        assert!(flat(&screen).contains(text), "{text:?} is not on the screen:\n{screen}");
        self
    }

    #[track_caller]
    pub(crate) fn not_see(&mut self, text: &str) -> &mut Self {
        let screen = self.screen();
        assert!(!flat(&screen).contains(text), "{text:?} is on the screen:\n{screen}");
        self
    }

    /// Where the terminal's cursor stands: its row and column.
    pub(crate) fn cursor(&self) -> (u16, u16) {
        let at = drawn(&self.model).get_cursor_position().expect("a test's terminal");
        (at.y, at.x)
    }

    /// What was asked for since the last time, beside looking.
    pub(crate) fn asked(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// The picture goes on with what `change` makes of it.
    pub(crate) fn world_with(&mut self, change: impl FnOnce(&mut World)) -> &mut Self {
        change(&mut self.world);
        self.world.number += 1;
        self.look()
    }

    pub(crate) fn snapshot(&self) -> &Snapshot {
        self.model.snapshot.as_deref().expect("a story begins with a picture")
    }
}

fn flat(screen: &str) -> String {
    let bare: String = screen
        .chars()
        .map(|c| if matches!(c, '│' | '┌' | '┐' | '└' | '┘' | '─' | '\n') { ' ' } else { c })
        .collect();
    bare.split_whitespace().collect::<Vec<_>>().join(" ")
}

pub(super) fn drawn(model: &Model) -> Terminal<TestBackend> {
    let mut terminal =
        Terminal::new(TestBackend::new(model.size.0, model.size.1)).expect("a test's terminal");
    terminal.draw(|frame| view::draw(model, frame)).expect("a test's terminal");
    terminal
}

/// What `model` looks like, as text.
pub(crate) fn render(model: &Model) -> String {
    let terminal = drawn(model);
    let buffer = terminal.backend().buffer();
    let mut text = String::new();
    for row in 0..buffer.area.height {
        let mut line = String::new();
        let mut hidden = 0;
        for column in 0..buffer.area.width {
            let symbol = buffer[(column, row)].symbol();
            if hidden > 0 {
                hidden -= 1;
                continue;
            }
            hidden = unicode_width::UnicodeWidthStr::width(symbol).saturating_sub(1);
            line.push_str(symbol);
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn key(word: &str) -> Key {
    match word {
        "Enter" => Key::Enter,
        "Esc" => Key::Esc,
        "Tab" => Key::Tab,
        "BackTab" => Key::BackTab,
        "Space" => Key::Char(' '),
        "PgDn" => Key::PageDown,
        "PgUp" => Key::PageUp,
        "Up" => Key::Up,
        "Down" => Key::Down,
        "Left" => Key::Left,
        "Right" => Key::Right,
        "Backspace" => Key::Backspace,
        _ => match word.strip_prefix("Ctrl+") {
            Some(letter) => Key::Ctrl(letter.chars().next().expect("a letter after Ctrl+")),
            None => Key::Char(word.chars().next().expect("a key")),
        },
    }
}
