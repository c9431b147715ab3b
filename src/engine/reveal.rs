//! A payload in the clear, on its way to whoever asked for it with a reason. Knows no database and no screen.
//!
//! It is read in the transaction that writes the audit row, goes into a [`super::command::Receipt`] that was just given,
//! and nowhere else: it is not stored, not logged, not part of any picture.

use serde_json::Value;

/// Up to so many bytes a payload comes whole.
pub const WHOLE: usize = 64 * 1024;

/// Of a larger one its first bytes.
pub const FIRST: usize = 4 * 1024;

/// What a payload holds.
#[derive(Clone, PartialEq)]
pub enum Content {
    /// JSON.
    Json(Value),
    /// Other text, as stored: make it safe before showing it. Cut when [`Revealed::is_cut`].
    Text(String),
    /// Bytes that are no text, cut likewise.
    Bytes(Vec<u8>),
}

/// A payload in the clear.
#[derive(Clone, PartialEq)]
pub struct Revealed {
    /// What it holds.
    pub content: Content,
    /// How large it is as stored, in bytes.
    pub bytes: usize,
}

impl Revealed {
    /// What the stored `bytes` hold.
    pub fn of(bytes: &[u8]) -> Self {
        let is_whole = bytes.len() <= WHOLE;
        let shown = if is_whole { bytes } else { &bytes[..FIRST] };
        let content = match std::str::from_utf8(shown) {
            Ok(text) => match serde_json::from_str(text) {
                Ok(value) if is_whole => Content::Json(value),
                _ => Content::Text(text.to_owned()),
            },
            // Only the cut itself may have gone through a character.
            Err(error) if !is_whole && error.error_len().is_none() => {
                Content::Text(String::from_utf8_lossy(&shown[..error.valid_up_to()]).into_owned())
            }
            Err(_) => Content::Bytes(bytes[..bytes.len().min(FIRST)].to_vec()),
        };
        Self { content, bytes: bytes.len() }
    }

    /// Whether there is more of it than is held here.
    pub fn is_cut(&self) -> bool {
        match &self.content {
            Content::Json(_) => false,
            Content::Text(_) => self.bytes > WHOLE,
            Content::Bytes(held) => held.len() < self.bytes,
        }
    }

    /// The same line by line, each safe to show: JSON indented, bytes in hexadecimal.
    pub fn lines(&self) -> Vec<String> {
        match &self.content {
            Content::Json(value) => {
                safe_lines(&serde_json::to_string_pretty(value).unwrap_or_else(|error| error.to_string()))
            }
            Content::Text(text) => safe_lines(text),
            Content::Bytes(bytes) => hex(bytes),
        }
    }

    /// The same as JSON: what is none becomes a string.
    pub fn json(&self) -> Value {
        match &self.content {
            Content::Json(value) => value.clone(),
            Content::Text(text) => Value::String(text.clone()),
            Content::Bytes(bytes) => Value::String(bytes.iter().map(|byte| format!("{byte:02x}")).collect()),
        }
    }
}

fn safe_lines(text: &str) -> Vec<String> {
    text.lines().map(|line| crate::domain::text::SafeText::new(line).to_string()).collect()
}

/// `00000010  89 50 4e 47 … |.PNG…|`, sixteen bytes a line.
fn hex(bytes: &[u8]) -> Vec<String> {
    let line = |(row, bytes): (usize, &[u8])| {
        let codes: String = bytes.iter().map(|byte| format!("{byte:02x} ")).collect();
        let letters: String =
            bytes.iter().map(|b| if (0x20..0x7f).contains(b) { char::from(*b) } else { '.' }).collect();
        format!("{:08x}  {codes:48} |{letters}|", row * 16)
    };
    bytes.chunks(16).enumerate().map(line).collect()
}

/// Its size only: what is revealed stays out of logs and panics.
impl std::fmt::Debug for Revealed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Revealed({} bytes)", self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_payload_comes_as_what_it_is() {
        let of = |bytes: &[u8]| Revealed::of(bytes).content;
        assert!(of(br#"{"a":1}"#) == Content::Json(json!({ "a": 1 })));
        assert!(of("grüß".as_bytes()) == Content::Text("grüß".to_owned()));
        assert!(of(&[0x89, b'P', 0xff]) == Content::Bytes(vec![0x89, b'P', 0xff]));
        let lines = Revealed::of(&[0x89, b'P', 0xff]).lines();
        assert_eq!(lines, [format!("00000000  {:48} |.P.|", "89 50 ff ")]);
    }

    #[test]
    fn of_ten_megabytes_the_first_four_kilobytes_come_and_their_size() {
        let revealed = Revealed::of("é".repeat(5 * 1024 * 1024).as_bytes());
        assert!(matches!(&revealed.content, Content::Text(text) if text.len() == FIRST));
        assert!((revealed.bytes, revealed.is_cut()) == (10 * 1024 * 1024, true));
        let shifted = Revealed::of(format!("x{}", "é".repeat(5 * 1024 * 1024)).as_bytes());
        assert!(matches!(&shifted.content, Content::Text(text) if text.len() == FIRST - 1));
    }

    #[test]
    fn what_is_revealed_cannot_be_logged_and_its_lines_are_safe() {
        let revealed = Revealed::of(b"hunter2\n\x1b[2J");
        assert_eq!(format!("{revealed:?}"), "Revealed(12 bytes)");
        assert_eq!(revealed.lines(), ["hunter2", "␛[2J"]);
    }
}
