//! Tables and JSON for the headless twins. Every cell is display-safe.

use std::{
    borrow::Cow,
    io::{self, Write},
};

use chrono::{DateTime, Utc};
use serde::Serialize;
use unicode_width::UnicodeWidthStr;

use crate::domain::text::{SafeText, is_hostile, written_out};

/// Prints `value` as JSON. Ids in it are raw, because actions use them: what of them could act on a terminal is written
/// in JSON's own escapes, which every reader takes back.
///
/// # Errors
/// When standard output is closed.
pub(super) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(value)?;
    print(&escaped(&text))
}

fn escaped(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        // Line ends between the values are JSON's own; inside of strings they are escaped already.
        if c == '\u{7f}' || (!c.is_ascii() && is_hostile(c)) {
            text.extend(c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")));
        } else {
            text.push(c);
        }
    }
    text
}

/// Prints rows under a heading, columns aligned; the last column is not padded.
///
/// # Errors
/// When standard output is closed.
pub(super) fn table(heading: &[&str], rows: &[Vec<String>]) -> anyhow::Result<()> {
    let safe = |cell: &str| SafeText::new(cell).to_string();
    let rows: Vec<Vec<String>> = std::iter::once(heading.iter().map(|h| (*h).to_owned()).collect::<Vec<_>>())
        .chain(rows.iter().cloned())
        .map(|row| row.iter().map(|cell| safe(cell)).collect())
        .collect();
    let widths: Vec<usize> = (0..heading.len())
        .map(|column| {
            rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.width()).max().unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            line.push_str(cell);
            let pad = widths.get(column).map_or(0, |w| w.saturating_sub(cell.width()));
            line.extend(std::iter::repeat_n(' ', pad + 2));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    print(text.trim_end())
}

/// Prints one text and a line end.
///
/// # Errors
/// When standard output is closed.
pub(super) fn print(text: &str) -> anyhow::Result<()> {
    // The last guard: whatever was put into a line, nothing in it acts on a terminal.
    let text = text.split('\n').map(safe_line).collect::<Vec<_>>().join("\n");
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()?;
    Ok(())
}

fn safe_line(line: &str) -> Cow<'_, str> {
    if line.contains(is_hostile) { Cow::Owned(written_out(line)) } else { Cow::Borrowed(line) }
}

/// `2026-11-22 14:02:31`, or a dash.
pub(super) fn time(at: Option<DateTime<Utc>>) -> String {
    at.map_or_else(|| "-".to_owned(), |at| at.format("%Y-%m-%d %H:%M:%S").to_string())
}

/// The word, or a dash.
pub(super) fn or_dash<T: ToString>(value: Option<&T>) -> String {
    value.map_or_else(|| "-".to_owned(), ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_carries_hostile_ids_without_showing_them_and_brings_them_back() {
        let id = "a\u{202e}b\u{e0041}\u{7f}\u{9b}é😀";
        let text = escaped(&serde_json::to_string(id).unwrap());
        assert!(!text.contains(is_hostile), "{text}");
        assert!(text.contains("é😀"), "{text}");
        assert_eq!(serde_json::from_str::<String>(&text).unwrap(), id);
    }
}
