//! Display-safe text: what comes from outside may be shown, never obeyed.
//!
//! Error texts, keys, labels and host names are hostile: an escape sequence moves the cursor, a bidi override turns a
//! name around, a zero-width character makes two ids look alike, a thousand combining marks land in one cell. Nothing
//! of this is dropped silently: it is written out, `␛`, `⏎`, `⇥`, `<U+202E>`, so that an operator sees that it was there.
//! Actions use the raw text, screens, JSON, logs and errors use this.

use serde::{Deserialize, Deserializer, Serialize};
use unicode_segmentation::UnicodeSegmentation as _;
use unicode_width::UnicodeWidthChar as _;

use super::onboarding::sha256_hex;

/// Text in which nothing can move the cursor, hide or reorder anything: made once, where the text comes in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct SafeText(String);

impl SafeText {
    /// The longest text kept, in characters; longer ones lose their middle to `…<10000 characters, 3f2a91c0>`: how long it was and
    /// the beginning of the whole text's SHA-256, so that two that differ there look different.
    pub const MAX_CHARS: usize = 4_096;
    /// The most code points that may share a cell: a letter and its marks.
    pub const MAX_MARKS: usize = 8;

    /// Makes `raw` safe to show: see the module.
    pub fn new(raw: &str) -> Self {
        if raw.len() <= Self::MAX_CHARS && raw.bytes().all(|b| (0x20..0x7f).contains(&b)) {
            return Self(raw.to_owned());
        }
        let Some((last_kept, _)) = raw.char_indices().nth(Self::MAX_CHARS) else {
            let pieces = pieces(raw);
            let length: usize = pieces.iter().map(|p| p.chars().count()).sum();
            return if length <= Self::MAX_CHARS {
                Self(pieces.concat())
            } else {
                Self::without_middle(raw, &pieces, &pieces)
            };
        };
        let first_of_tail = raw.char_indices().rev().nth(Self::MAX_CHARS).map_or(0, |(at, _)| at);
        Self::without_middle(raw, &pieces(&raw[..last_kept]), &pieces(&raw[first_of_tail..]))
    }

    /// The beginning of `head` and the end of `tail`, never with half an escape in it.
    fn without_middle(raw: &str, head: &[String], tail: &[String]) -> Self {
        let cut = format!("…<{} characters, {}>", raw.chars().count(), &sha256_hex(raw.as_bytes())[..8]);
        let half = (Self::MAX_CHARS - cut.chars().count()) / 2;
        let within = |pieces: &mut dyn Iterator<Item = &String>| {
            let mut length = 0;
            let fits = |piece: &&String| {
                length += piece.chars().count();
                length <= half
            };
            pieces.take_while(fits).cloned().collect::<Vec<_>>()
        };
        let begin = within(&mut head.iter());
        let mut end = within(&mut tail.iter().rev());
        end.reverse();
        Self(format!("{}{cut}{}", begin.concat(), end.concat()))
    }

    /// The safe text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The text cut into units that must stay whole: one escape, or one letter with its marks.
fn pieces(raw: &str) -> Vec<String> {
    let mut escaped: Vec<(bool, String)> = Vec::new();
    let mut plain = String::new();
    let mut chars = raw.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\r' && chars.peek() == Some(&'\n') {
            continue;
        }
        match escape(c) {
            None => plain.push(c),
            Some(written) => {
                if !plain.is_empty() {
                    escaped.push((false, std::mem::take(&mut plain)));
                }
                escaped.push((true, written));
            }
        }
    }
    escaped.push((false, plain));
    let mut pieces = Vec::new();
    for (is_escape, text) in escaped {
        if is_escape {
            pieces.push(text);
        } else {
            text.graphemes(true).for_each(|grapheme| push_grapheme(&mut pieces, grapheme));
        }
    }
    pieces
}

fn push_grapheme(pieces: &mut Vec<String>, grapheme: &str) {
    let mut rest = grapheme;
    // A mark without a letter would sit on its neighbour, on a border for example.
    while let Some(c) = rest.chars().next().filter(|c| c.width().unwrap_or(0) == 0) {
        pieces.push(code_point(c));
        rest = &rest[c.len_utf8()..];
    }
    let count = rest.chars().count();
    if count <= SafeText::MAX_MARKS {
        pieces.push(rest.to_owned());
    } else {
        pieces.push(rest.chars().take(SafeText::MAX_MARKS).collect());
        pieces.push(format!("<+{} marks>", count - SafeText::MAX_MARKS));
    }
}

fn code_point(c: char) -> String {
    format!("<U+{:04X}>", u32::from(c))
}

/// Whether `c` may not reach a terminal as it is.
pub fn is_hostile(c: char) -> bool {
    escape(c).is_some()
}

/// `text` with everything written out that may not reach a terminal; of any length.
pub fn written_out(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        match escape(c) {
            Some(written) => out.push_str(&written),
            None => out.push(c),
        }
        out
    })
}

/// How a character that may not reach a terminal is written out; `None` for all others.
fn escape(c: char) -> Option<String> {
    Some(match c {
        '\n' => "⏎".to_owned(),
        '\t' => "⇥".to_owned(),
        '\u{7f}' => "␡".to_owned(),
        '\0'..='\u{1f}' => char::from_u32(0x2400 + u32::from(c)).map_or_else(|| code_point(c), String::from),
        '\u{80}'..='\u{9f}'
        // Bidi marks, embeddings, overrides and isolates.
        | '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        // Zero-width spaces and joiners, soft hyphen, byte order mark, fillers.
        | '\u{ad}' | '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200d}' | '\u{2060}'..='\u{2065}' | '\u{206a}'..='\u{206f}' | '\u{3164}'
        | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
        // Blanks that are no space, what nobody gave a meaning, and what only a private font can draw.
        | '\u{a0}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{e000}'..='\u{f8ff}' | '\u{fdd0}'..='\u{fdef}'
        | '\u{fffe}' | '\u{ffff}' | '\u{f0000}'..='\u{10ffff}'
        // Skin tones by themselves or behind what takes none.
        | '\u{1f3fb}'..='\u{1f3ff}'
        // Variation selectors: terminals disagree about the width of what they follow.
        | '\u{fe00}'..='\u{fe0f}'
        // Line and paragraph separators.
        | '\u{2028}' | '\u{2029}'
        // Shorthand and musical controls, tags and supplementary selectors.
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}' => code_point(c),
        _ => return None,
    })
}

impl std::fmt::Display for SafeText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.0)
    }
}

/// What comes back from a file is from outside, too.
impl<'de> Deserialize<'de> for SafeText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Ok(Self::new(&raw))
    }
}

impl From<&str> for SafeText {
    fn from(raw: &str) -> Self {
        Self::new(raw)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_could_act_on_a_terminal_is_written_out() {
        for (raw, shown) in [
            ("plain text", "plain text"),
            ("Zürich 東京", "Zürich 東京"),
            ("a\tb\nc\r\nd\re", "a⇥b⏎c⏎d␍e"),
            ("\u{1b}[2J", "␛[2J"),
            ("\u{7f}\u{0}\u{85}", "␡␀<U+0085>"),
            ("evil\u{202e}gnp", "evil<U+202E>gnp"),
            ("a\u{200b}b\u{200d}c", "a<U+200B>b<U+200D>c"),
            ("x\u{2028}y\u{e0041}", "x<U+2028>y<U+E0041>"),
            ("\u{301}alone", "<U+0301>alone"),
            ("e\u{301}", "e\u{301}"),
        ] {
            assert_eq!(SafeText::new(raw).as_str(), shown);
        }
    }

    #[test]
    fn a_thousand_marks_in_one_cell_are_counted_instead() {
        let raw = format!("e{}!", "\u{301}".repeat(1_000));
        let safe = SafeText::new(&raw);
        assert_eq!(safe.as_str(), format!("e{}<+993 marks>!", "\u{301}".repeat(7)));
    }

    #[test]
    fn a_long_text_loses_its_middle() {
        let raw = format!("begin{}end", "x".repeat(10_000_000));
        let safe = SafeText::new(&raw);
        assert!(safe.as_str().starts_with("beginxxx") && safe.as_str().ends_with("xxxend"));
        assert!(safe.as_str().chars().count() <= SafeText::MAX_CHARS);
        assert_eq!(safe.as_str().matches('…').count(), 1);
        assert!(safe.as_str().contains("…<10000008 characters, "));
        let other = format!("begin{}y{}end", "x".repeat(5_000_000), "x".repeat(4_999_999));
        assert_ne!(SafeText::new(&other), safe, "two that differ in the middle look different");
    }

    proptest! {
        #[test]
        fn nothing_that_moves_hides_or_reorders_is_left(raw in any::<String>()) {
            let safe = SafeText::new(&raw);
            prop_assert!(safe.as_str().chars().all(|c| escape(c).is_none()));
            prop_assert!(safe.as_str().chars().count() <= SafeText::MAX_CHARS);
        }

        #[test]
        fn hostile_mixtures_are_tamed_too(
            raw in "[a\u{0}-\u{20}\u{300}-\u{310}\u{202a}-\u{202e}\u{200b}-\u{200f}\u{e0020}\u{fe0f}👨é\r\n]{0,600}"
        ) {
            let safe = SafeText::new(&raw);
            for grapheme in safe.as_str().graphemes(true) {
                prop_assert!(grapheme.chars().count() <= SafeText::MAX_MARKS, "{grapheme:?}");
            }
            prop_assert_eq!(&SafeText::new(safe.as_str()), &safe, "making it safe twice changes nothing");
        }
    }
}
