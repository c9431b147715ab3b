//! Colours by meaning. Without colour the same meanings are told by weight and words, never by colour alone.

use ratatui::style::{Color, Modifier, Style};

/// Which colours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Palette {
    /// For a dark background.
    #[default]
    Dark,
    /// For a light background.
    Light,
    /// White on black, no colour weaker than it must be.
    HighContrast,
    /// Good and bad told apart by blue and orange: for eyes that see red and green alike.
    ColourBlind,
    /// None at all: `NO_COLOR`, `TERM=dumb`.
    Mono,
}

impl Palette {
    /// Those that can be chosen, in the order in which `t` goes round.
    pub const CHOICES: [Self; 4] = [Self::Dark, Self::Light, Self::HighContrast, Self::ColourBlind];

    /// What flags, the config file and `:theme` call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dark => "dark",
            Self::Light => "light",
            Self::HighContrast => "high-contrast",
            Self::ColourBlind => "colour-blind",
            Self::Mono => "mono",
        }
    }

    /// For whom it is.
    pub const fn about(self) -> &'static str {
        match self {
            Self::Dark => "For dark terminals.",
            Self::Light => "For light terminals.",
            Self::HighContrast => "White on black, strong colours: for bright rooms and tired eyes.",
            Self::ColourBlind => "Blue, orange and yellow: told apart by everybody.",
            Self::Mono => "Without colours.",
        }
    }

    /// By its name.
    pub fn named(name: &str) -> Option<Self> {
        Self::CHOICES.into_iter().find(|palette| palette.name() == name)
    }
}

/// The colours of one palette, as `0xRRGGBB`.
struct Colours {
    ground: u32,
    cursor: u32,
    text: u32,
    dim: u32,
    border: u32,
    title: u32,
    accent: u32,
    good: u32,
    warn: u32,
    bad: u32,
    busy: u32,
    retry: u32,
    stale: u32,
    chosen: u32,
    chosen_ground: u32,
}

const DARK: Colours = Colours {
    ground: 0x14171c,
    cursor: 0x26334a,
    text: 0xd5d9e0,
    dim: 0x949caa,
    border: 0x3d4450,
    title: 0xa9b4c6,
    accent: 0x6cb6ff,
    good: 0x6bc46d,
    warn: 0xe8b339,
    bad: 0xff7b72,
    busy: 0x56c8d8,
    retry: 0xff9e64,
    stale: 0x969eab,
    chosen: 0x101318,
    chosen_ground: 0x6cb6ff,
};

const LIGHT: Colours = Colours {
    ground: 0xfbfbfa,
    cursor: 0xdbe9fb,
    text: 0x24292f,
    dim: 0x57606a,
    border: 0xc4c9d0,
    title: 0x454f5b,
    accent: 0x095cbf,
    good: 0x176b2f,
    warn: 0x7d4f00,
    bad: 0xb81c29,
    busy: 0x0a6374,
    retry: 0xa84306,
    stale: 0x5f6872,
    chosen: 0xffffff,
    chosen_ground: 0x095cbf,
};

const HIGH_CONTRAST: Colours = Colours {
    ground: 0x000000,
    cursor: 0x002a55,
    text: 0xffffff,
    dim: 0xd9d9d9,
    border: 0xa6a6a6,
    title: 0xffffff,
    accent: 0x7fd4ff,
    good: 0x6dff8a,
    warn: 0xffe04d,
    bad: 0xffb3ac,
    busy: 0x80f2ff,
    retry: 0xffc280,
    stale: 0xc8c8c8,
    chosen: 0x000000,
    chosen_ground: 0xffffff,
};

/// Okabe and Ito's blues, yellow and vermilion: they differ in lightness as well, never only from red to green.
const COLOUR_BLIND: Colours = Colours {
    ground: 0x12151a,
    cursor: 0x253045,
    text: 0xdee2e8,
    dim: 0x9aa2b0,
    border: 0x404855,
    title: 0xb4bed0,
    accent: 0x8fb8ff,
    good: 0x56b4e9,
    warn: 0xf0e442,
    bad: 0xff8c2e,
    busy: 0xb9c8e6,
    retry: 0xe69f00,
    stale: 0x939ba8,
    chosen: 0x101318,
    chosen_ground: 0x8fb8ff,
};

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

    /// The next theme; without colours there is none.
    #[must_use]
    pub fn next(self) -> Self {
        let at = Palette::CHOICES.iter().position(|palette| *palette == self.palette);
        match at {
            Some(at) => self.with(Palette::CHOICES[(at + 1) % Palette::CHOICES.len()]),
            None => self,
        }
    }

    /// In these colours, where there are any.
    #[must_use]
    pub fn with(self, palette: Palette) -> Self {
        match self.palette {
            Palette::Mono => self,
            _ => Self { palette, ..self },
        }
    }

    fn colours(self) -> Option<&'static Colours> {
        match self.palette {
            Palette::Dark => Some(&DARK),
            Palette::Light => Some(&LIGHT),
            Palette::HighContrast => Some(&HIGH_CONTRAST),
            Palette::ColourBlind => Some(&COLOUR_BLIND),
            Palette::Mono => None,
        }
    }

    fn pick(self, of: impl Fn(&Colours) -> u32, mono: Modifier) -> Style {
        match self.colours() {
            Some(colours) => Style::new().fg(Color::from_u32(of(colours))),
            None => Style::new().add_modifier(mono),
        }
    }

    /// The background and plain text.
    pub fn base(self) -> Style {
        let ground = |c: &Colours| Style::new().fg(Color::from_u32(c.text)).bg(Color::from_u32(c.ground));
        self.colours().map_or_else(Style::new, ground)
    }

    /// What is read second.
    pub fn dim(self) -> Style {
        self.pick(|c| c.dim, Modifier::empty())
    }

    /// Borders.
    pub fn border(self) -> Style {
        self.pick(|c| c.border, Modifier::empty())
    }

    /// Titles and column heads.
    pub fn title(self) -> Style {
        self.pick(|c| c.title, Modifier::BOLD)
    }

    /// Keys and links.
    pub fn accent(self) -> Style {
        self.pick(|c| c.accent, Modifier::BOLD)
    }

    /// All is well.
    pub fn good(self) -> Style {
        self.pick(|c| c.good, Modifier::empty())
    }

    /// Look here.
    pub fn warn(self) -> Style {
        self.pick(|c| c.warn, Modifier::BOLD)
    }

    /// Something is wrong.
    pub fn bad(self) -> Style {
        self.pick(|c| c.bad, Modifier::BOLD)
    }

    /// Under way.
    pub fn busy(self) -> Style {
        self.pick(|c| c.busy, Modifier::empty())
    }

    /// First tries in the chart.
    pub fn first(self) -> Style {
        self.busy()
    }

    /// Retries in the chart.
    pub fn retry(self) -> Style {
        self.pick(|c| c.retry, Modifier::BOLD)
    }

    /// The row under the cursor.
    pub fn cursor(self) -> Style {
        match self.colours() {
            Some(colours) => Style::new().bg(Color::from_u32(colours.cursor)),
            None => Style::new().add_modifier(Modifier::REVERSED),
        }
    }

    /// The tab shown, the button in focus.
    pub fn chosen(self) -> Style {
        match self.colours() {
            Some(c) => Style::new().fg(Color::from_u32(c.chosen)).bg(Color::from_u32(c.chosen_ground)),
            None => Style::new().add_modifier(Modifier::REVERSED),
        }
        .add_modifier(Modifier::BOLD)
    }

    /// A context in which mistakes are dear.
    pub fn danger(self) -> Style {
        match self.colours() {
            Some(c) => Style::new().fg(Color::from_u32(c.ground)).bg(Color::from_u32(c.bad)),
            None => Style::new().add_modifier(Modifier::REVERSED),
        }
        .add_modifier(Modifier::BOLD)
    }

    /// Drawn over everything that is stale.
    pub fn stale(self) -> Style {
        self.pick(|c| c.stale, Modifier::DIM)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The contrast of two colours, 1 to 21, as WCAG 2 computes it.
    fn contrast(a: u32, b: u32) -> f64 {
        let luminance = |colour: u32| {
            let part = |shift: u32| {
                let c = f64::from(colour >> shift & 0xff) / 255.0;
                if c <= 0.04045 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
            };
            0.2126 * part(16) + 0.7152 * part(8) + 0.0722 * part(0)
        };
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    fn texts(c: &Colours) -> [(&'static str, u32); 10] {
        [
            ("text", c.text),
            ("dim", c.dim),
            ("title", c.title),
            ("accent", c.accent),
            ("good", c.good),
            ("warn", c.warn),
            ("bad", c.bad),
            ("busy", c.busy),
            ("retry", c.retry),
            ("stale", c.stale),
        ]
    }

    #[test]
    fn every_text_stands_out_from_every_ground_it_is_written_on() {
        assert!((contrast(0x000000, 0xffffff) - 21.0).abs() < 0.001, "black on white is 21");
        for palette in Palette::CHOICES {
            let c = Look { palette, ..Look::default() }.colours().unwrap();
            let wanted = if palette == Palette::HighContrast { 7.0 } else { 4.5 };
            for (name, text) in texts(c) {
                for (ground, under) in [(c.ground, "the ground"), (c.cursor, "the cursor's row")] {
                    let found = contrast(text, ground);
                    assert!(found >= wanted, "{}: {name} on {under} is {found:.2}", palette.name());
                }
            }
            for (what, a, b) in [("chosen", c.chosen, c.chosen_ground), ("danger", c.ground, c.bad)] {
                let found = contrast(a, b);
                assert!(found >= wanted, "{}: {what} is {found:.2}", palette.name());
            }
        }
    }

    /// What somebody without the green cones sees (Viénot, Brettel and Mollon 1999), in linear light.
    fn deuteranopic(colour: u32) -> [f64; 3] {
        let part = |shift: u32| (f64::from(colour >> shift & 0xff) / 255.0).powf(2.2);
        let (r, g, b) = (part(16), part(8), part(0));
        let (l, s) = (17.8824 * r + 43.5161 * g + 4.11935 * b, 0.0299566 * r + 0.184309 * g + 1.46709 * b);
        let m = 0.494207 * l + 1.24827 * s;
        [
            0.080944 * l - 0.130504 * m + 0.116721 * s,
            -0.0102485 * l + 0.0540194 * m - 0.113615 * s,
            -0.000365294 * l - 0.00412163 * m + 0.693513 * s,
        ]
    }

    #[test]
    fn the_colour_blind_theme_tells_good_warning_and_bad_apart_without_green_cones() {
        let apart = |a: u32, b: u32| {
            let (a, b) = (deuteranopic(a), deuteranopic(b));
            (0..3)
                .map(|i| (a[i].max(0.0).powf(1.0 / 2.2) - b[i].max(0.0).powf(1.0 / 2.2)).powi(2))
                .sum::<f64>()
                .sqrt()
        };
        let c = &COLOUR_BLIND;
        for (what, a, b) in [
            ("good and bad", c.good, c.bad),
            ("good and warning", c.good, c.warn),
            ("warning and bad", c.warn, c.bad),
            ("first tries and retries", c.busy, c.retry),
        ] {
            assert!(apart(a, b) > 0.25, "{what}: {:.2}", apart(a, b));
        }
        assert!(
            apart(DARK.good, DARK.bad) < 0.25,
            "the dark theme's are not: {:.2}",
            apart(DARK.good, DARK.bad)
        );
    }

    #[test]
    fn t_goes_round_and_stays_without_colours() {
        let mut look = Look::default();
        for palette in [Palette::Light, Palette::HighContrast, Palette::ColourBlind, Palette::Dark] {
            look = look.next();
            assert_eq!(look.palette, palette);
        }
        let mono = Look { palette: Palette::Mono, ..look };
        assert_eq!((mono.next(), mono.with(Palette::Light)), (mono, mono));
    }
}
