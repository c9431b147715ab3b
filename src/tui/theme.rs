//! Colours by meaning. Without colour the same meanings are told by weight and words, never by colour alone.

use ratatui::style::{Color, Modifier, Style};

/// Which colours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Palette {
    /// For a dark background.
    #[default]
    Dark,
    /// For a light background.
    Light,
    /// None at all: `NO_COLOR`, `TERM=dumb`.
    Mono,
}

/// Which characters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Glyphs {
    /// Boxes, braille, arrows.
    #[default]
    Unicode,
    /// For a terminal or locale without them.
    Ascii,
}

/// How the screen looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Look {
    /// Which colours.
    pub palette: Palette,
    /// Which characters.
    pub glyphs: Glyphs,
}

impl Look {
    /// What the environment allows: `NO_COLOR`, `TERM`, `LC_ALL`, `LC_CTYPE` and `LANG` as `variable` answers them.
    pub fn of_environment(variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let dumb = set("TERM").is_some_and(|term| term == "dumb");
        let locale = set("LC_ALL").or_else(|| set("LC_CTYPE")).or_else(|| set("LANG"));
        let plain = locale.is_some_and(|locale| {
            let locale = locale.to_ascii_lowercase().replace('-', "");
            !locale.contains("utf8")
        });
        Self {
            palette: if dumb || set("NO_COLOR").is_some() { Palette::Mono } else { Palette::Dark },
            glyphs: if dumb || plain { Glyphs::Ascii } else { Glyphs::Unicode },
        }
    }

    /// The other background; without colours there is none.
    #[must_use]
    pub fn toggled(self) -> Self {
        let palette = match self.palette {
            Palette::Dark => Palette::Light,
            Palette::Light => Palette::Dark,
            Palette::Mono => Palette::Mono,
        };
        Self { palette, ..self }
    }

    fn pick(self, dark: Color, light: Color, mono: Modifier) -> Style {
        match self.palette {
            Palette::Dark => Style::new().fg(dark),
            Palette::Light => Style::new().fg(light),
            Palette::Mono => Style::new().add_modifier(mono),
        }
    }

    /// The background and plain text.
    pub fn base(self) -> Style {
        match self.palette {
            Palette::Dark => Style::new().fg(Color::Rgb(0xd5, 0xd9, 0xe0)).bg(Color::Rgb(0x14, 0x17, 0x1c)),
            Palette::Light => Style::new().fg(Color::Rgb(0x24, 0x29, 0x2f)).bg(Color::Rgb(0xfb, 0xfb, 0xfa)),
            Palette::Mono => Style::new(),
        }
    }

    /// What is read second.
    pub fn dim(self) -> Style {
        self.pick(Color::Rgb(0x8b, 0x93, 0xa1), Color::Rgb(0x6e, 0x77, 0x81), Modifier::empty())
    }

    /// Borders.
    pub fn border(self) -> Style {
        self.pick(Color::Rgb(0x3d, 0x44, 0x50), Color::Rgb(0xc4, 0xc9, 0xd0), Modifier::empty())
    }

    /// Titles and column heads.
    pub fn title(self) -> Style {
        self.pick(Color::Rgb(0xa9, 0xb4, 0xc6), Color::Rgb(0x45, 0x4f, 0x5b), Modifier::BOLD)
    }

    /// Keys and links.
    pub fn accent(self) -> Style {
        self.pick(Color::Rgb(0x6c, 0xb6, 0xff), Color::Rgb(0x09, 0x5c, 0xbf), Modifier::BOLD)
    }

    /// All is well.
    pub fn good(self) -> Style {
        self.pick(Color::Rgb(0x6b, 0xc4, 0x6d), Color::Rgb(0x1a, 0x7f, 0x37), Modifier::empty())
    }

    /// Look here.
    pub fn warn(self) -> Style {
        self.pick(Color::Rgb(0xe8, 0xb3, 0x39), Color::Rgb(0x8f, 0x5b, 0x00), Modifier::BOLD)
    }

    /// Something is wrong.
    pub fn bad(self) -> Style {
        self.pick(Color::Rgb(0xff, 0x7b, 0x72), Color::Rgb(0xc2, 0x1f, 0x2c), Modifier::BOLD)
    }

    /// Under way.
    pub fn busy(self) -> Style {
        self.pick(Color::Rgb(0x56, 0xc8, 0xd8), Color::Rgb(0x0b, 0x72, 0x85), Modifier::empty())
    }

    /// First tries in the chart.
    pub fn first(self) -> Style {
        self.busy()
    }

    /// Retries in the chart.
    pub fn retry(self) -> Style {
        self.pick(Color::Rgb(0xff, 0x9e, 0x64), Color::Rgb(0xc4, 0x53, 0x0a), Modifier::BOLD)
    }

    /// The row under the cursor.
    pub fn cursor(self) -> Style {
        match self.palette {
            Palette::Dark => Style::new().bg(Color::Rgb(0x26, 0x33, 0x4a)),
            Palette::Light => Style::new().bg(Color::Rgb(0xdb, 0xe9, 0xfb)),
            Palette::Mono => Style::new().add_modifier(Modifier::REVERSED),
        }
    }

    /// The tab shown, the button in focus.
    pub fn chosen(self) -> Style {
        match self.palette {
            Palette::Dark => Style::new().fg(Color::Rgb(0x10, 0x13, 0x18)).bg(Color::Rgb(0x6c, 0xb6, 0xff)),
            Palette::Light => Style::new().fg(Color::Rgb(0xff, 0xff, 0xff)).bg(Color::Rgb(0x09, 0x5c, 0xbf)),
            Palette::Mono => Style::new().add_modifier(Modifier::REVERSED),
        }
        .add_modifier(Modifier::BOLD)
    }

    /// Drawn over everything that is stale.
    pub fn stale(self) -> Style {
        self.pick(Color::Rgb(0x6f, 0x76, 0x82), Color::Rgb(0x9a, 0xa1, 0xaa), Modifier::DIM)
    }
}
