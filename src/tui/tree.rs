//! A payload as rows: one for each field or element, indented, folded where the operator folded it. Every row is safe to
//! show. Knows neither the model nor the screen.

use std::collections::BTreeSet;

use serde_json::Value;

use super::widget::text::{plural, width, wrap};
use crate::{domain::text::SafeText, engine::reveal::Revealed};

/// Deeper than this nothing is indented any more.
const DEEPEST: usize = 12;

/// One row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Where its value is, as a JSON pointer.
    pub at: String,
    /// What it says.
    pub text: String,
    /// Whether it can be folded, and then whether it is.
    pub folded: Option<bool>,
}

/// The rows of `value` in lines of at most `columns`, without what lies inside of `folded`.
pub fn rows(value: &Value, folded: &BTreeSet<String>, columns: usize) -> Vec<Row> {
    let mut rows = Vec::new();
    match value {
        Value::Object(fields) if !fields.is_empty() => inside(value, "", 0, folded, columns, &mut rows),
        Value::Array(items) if !items.is_empty() => inside(value, "", 0, folded, columns, &mut rows),
        leaf => push(&mut rows, "", 0, "", &shown(leaf), columns),
    }
    rows
}

/// The rows of what is revealed: text and bytes line by line.
pub fn revealed(revealed: &Revealed, folded: &BTreeSet<String>, columns: usize) -> Vec<Row> {
    match &revealed.content {
        crate::engine::reveal::Content::Json(value) => rows(value, folded, columns),
        _ => {
            let mut rows = Vec::new();
            for line in revealed.lines() {
                push(&mut rows, "", 0, "", &line, columns);
            }
            rows
        }
    }
}

fn inside(
    value: &Value,
    at: &str,
    depth: usize,
    folded: &BTreeSet<String>,
    columns: usize,
    rows: &mut Vec<Row>,
) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let at = format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
                child(value, at, depth, SafeText::new(name).as_str(), folded, columns, rows);
            }
        }
        Value::Array(items) => {
            for (place, value) in items.iter().enumerate() {
                child(value, format!("{at}/{place}"), depth, &place.to_string(), folded, columns, rows);
            }
        }
        _ => {}
    }
}

fn child(
    value: &Value,
    at: String,
    depth: usize,
    name: &str,
    folded: &BTreeSet<String>,
    columns: usize,
    rows: &mut Vec<Row>,
) {
    let holds = match value {
        Value::Object(fields) if !fields.is_empty() => {
            format!("{} {}", fields.len(), plural(fields.len(), "field"))
        }
        Value::Array(items) if !items.is_empty() => {
            format!("{} {}", items.len(), plural(items.len(), "element"))
        }
        leaf => return push(rows, &at, depth, &format!("{name}: "), &shown(leaf), columns),
    };
    let is_folded = folded.contains(&at);
    let sign = if is_folded { "▸" } else { "▾" };
    let first = rows.len();
    push(rows, &at, depth, &format!("{sign} {name}  "), &holds, columns);
    rows[first].folded = Some(is_folded);
    if !is_folded {
        inside(value, &at, depth + 1, folded, columns, rows);
    }
}

/// A value without anything inside; masks stand without quotes, because they are no text of the payload's.
fn shown(leaf: &Value) -> String {
    match leaf {
        Value::String(text) if text.starts_with('‹') => SafeText::new(text).to_string(),
        other => SafeText::new(&other.to_string()).to_string(),
    }
}

fn push(rows: &mut Vec<Row>, at: &str, depth: usize, name: &str, text: &str, columns: usize) {
    let indent = (depth.min(DEEPEST) * 2).min(columns / 2);
    let hanging = indent + if name.is_empty() { 0 } else { 4 };
    let room = columns.saturating_sub(hanging).max(1);
    // The name stands before the first line; what is wrapped hangs below it.
    let first_room = columns.saturating_sub(indent);
    let whole = format!("{name}{text}");
    let lines = match width(&whole) <= first_room {
        true => vec![whole],
        false => wrap(&whole, room),
    };
    for (row, line) in lines.into_iter().enumerate() {
        let indent = if row == 0 { indent } else { hanging };
        rows.push(Row { at: at.to_owned(), text: format!("{}{line}", " ".repeat(indent)), folded: None });
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn texts(rows: &[Row]) -> Vec<&str> {
        rows.iter().map(|row| row.text.as_str()).collect()
    }

    #[test]
    fn what_is_folded_says_how_much_it_holds() {
        let value = json!({ "a": { "b": [1, "x"], "c": null }, "d": [], "e/f": "‹secret›" });
        let all = rows(&value, &BTreeSet::new(), 40);
        let whole = [
            "▾ a  2 fields",
            "  ▾ b  2 elements",
            "    0: 1",
            "    1: \"x\"",
            "  c: null",
            "d: []",
            "e/f: ‹secret›",
        ];
        assert_eq!(texts(&all), whole);
        assert_eq!(all.last().map(|row| row.at.as_str()), Some("/e~1f"));
        let folded = rows(&value, &BTreeSet::from(["/a".to_owned()]), 40);
        assert_eq!(texts(&folded), ["▸ a  2 fields", "d: []", "e/f: ‹secret›"]);
    }

    #[test]
    fn nothing_is_wider_than_the_screen_and_nothing_hostile_is_left() {
        let deep =
            (0..40).fold(json!("\u{1b}[2J\u{202e} 東京".repeat(30)), |value, _| json!({ "\u{7}k": value }));
        for columns in [1, 7, 40, 200] {
            for row in rows(&deep, &BTreeSet::new(), columns) {
                assert!(width(&row.text) <= columns.max(9), "{columns}: {row:?}");
                assert_eq!(SafeText::new(&row.text).as_str(), row.text);
            }
        }
    }
}
