//! One line of an exposition, taken apart with an eye on quotes. It knows neither numbers nor other lines.

use std::borrow::Cow;

use chrono::DateTime;

use super::{
    exposition::{Format, Kind},
    labels::{Labels, Pair},
};

/// What a line says.
pub(super) enum Line<'a> {
    /// Empty, or a comment.
    Nothing,
    /// `# TYPE`.
    Type { name: Cow<'a, str>, kind: Kind },
    /// A sample; its value is not looked at.
    Sample { name: Cow<'a, str>, labels: Labels, value: &'a str, millis: Option<i64> },
}

/// Reads one line of an exposition of that format.
pub(super) fn read(raw: &str, format: Format) -> Result<Line<'_>, &'static str> {
    let line = raw.trim();
    if line.is_empty() {
        return Ok(Line::Nothing);
    }
    if let Some(comment) = line.strip_prefix('#') {
        return Ok(declared(comment).unwrap_or(Line::Nothing));
    }
    let mut cursor = Cursor { rest: line };
    let bare = cursor.take_while(|c| c != '{' && !c.is_whitespace());
    if !bare.chars().all(is_name) || bare.starts_with(|c: char| c.is_ascii_digit()) {
        return Err("it does not begin with a metric's name");
    }
    cursor.skip_spaces();
    let (quoted, labels) = match cursor.rest.starts_with('{') && !is_composite(cursor.rest) {
        true => pairs(&mut cursor)?,
        false => (None, Labels::default()),
    };
    let name = match (quoted, bare) {
        (None, "") => return Err("it has no metric's name"),
        (Some(_), name) if !name.is_empty() => return Err("it names the metric twice"),
        (Some(name), _) => name,
        (None, name) => Cow::Borrowed(name),
    };
    cursor.skip_spaces();
    if is_composite(cursor.rest) {
        return Err("it is a whole histogram in one line, which is not read");
    }
    let (value, millis) = numbers(cursor.rest, format)?;
    Ok(Line::Sample { name, labels, value, millis })
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == ':'
}

/// Whether this begins a value such as `{count:3,sum:1.5,schema:0,…}`: labels have no colon there.
fn is_composite(rest: &str) -> bool {
    let inside = rest.strip_prefix('{').map_or("", str::trim_start);
    ["count:", "sum:", "schema:", "gcount:"].iter().any(|field| inside.starts_with(field))
}

fn declared(comment: &str) -> Option<Line<'_>> {
    let rest = comment.strip_prefix([' ', '\t'])?.trim_start().strip_prefix("TYPE")?;
    let mut cursor = Cursor { rest: rest.strip_prefix([' ', '\t'])?.trim_start() };
    let name = if cursor.eat('"') {
        cursor.quoted().ok()?
    } else {
        Cow::Borrowed(cursor.take_while(|c| !c.is_whitespace()))
    };
    let kind = match cursor.rest.trim() {
        "counter" => Kind::Counter,
        "gauge" | "info" | "stateset" | "gaugehistogram" => Kind::Gauge,
        "histogram" => Kind::Histogram,
        "summary" => Kind::Summary,
        _ => Kind::Untyped,
    };
    Some(Line::Type { name, kind })
}

/// The value and the timestamp; what follows a `#` is an exemplar.
fn numbers(rest: &str, format: Format) -> Result<(&str, Option<i64>), &'static str> {
    let mut words = rest.split('#').next().unwrap_or_default().split_ascii_whitespace();
    let value = words.next().ok_or("it has no value")?;
    // A start time behind them is a proposal for OpenMetrics 2; `_created` says the same.
    let mut words = words.filter(|word| !word.starts_with("st@"));
    let millis = words.next().map(|at| millis(at, format)).transpose()?;
    if words.next().is_some() {
        return Err("it holds more than a value and a timestamp");
    }
    Ok((value, millis))
}

fn millis(at: &str, format: Format) -> Result<i64, &'static str> {
    let number: f64 = at.parse().map_err(|_| "its timestamp is not a number")?;
    let millis = match format {
        Format::Text => number,
        Format::OpenMetrics => number * 1_000.0,
    };
    let rounded = millis.round() as i64;
    match millis.is_finite() && DateTime::from_timestamp_millis(rounded).is_some() {
        true => Ok(rounded),
        false => Err("its timestamp is not a time"),
    }
}

/// What stands between the braces: labels, and in front of them the metric's name if it is a quoted one.
fn pairs<'a>(cursor: &mut Cursor<'a>) -> Result<(Option<Cow<'a, str>>, Labels), &'static str> {
    let (mut metric, mut labels) = (None, Vec::<Pair<'a>>::new());
    cursor.eat('{');
    loop {
        cursor.skip_spaces();
        if cursor.eat('}') {
            let labels = Labels::unique(&mut labels).ok_or("a label is given twice")?;
            return Ok((metric, labels));
        }
        let quoted = cursor.eat('"');
        let name = if quoted { cursor.quoted()? } else { Cow::Borrowed(cursor.take_while(is_name)) };
        cursor.skip_spaces();
        if cursor.eat('=') {
            cursor.skip_spaces();
            if name.is_empty() {
                return Err("a label has no name");
            }
            if !cursor.eat('"') {
                return Err("a label's value is not in quotes");
            }
            labels.push((name, cursor.quoted()?));
        } else if quoted && metric.is_none() && labels.is_empty() {
            metric = Some(name);
        } else {
            return Err("a label has no value");
        }
        cursor.skip_spaces();
        if !cursor.eat(',') && !cursor.rest.starts_with('}') {
            return Err("its labels are not closed");
        }
    }
}

struct Cursor<'a> {
    rest: &'a str,
}

impl<'a> Cursor<'a> {
    fn eat(&mut self, c: char) -> bool {
        self.rest.strip_prefix(c).map(|rest| self.rest = rest).is_some()
    }

    fn skip_spaces(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !wanted(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    /// What stands before the closing quote, unescaped; the opening one is already eaten.
    fn quoted(&mut self) -> Result<Cow<'a, str>, &'static str> {
        // By bytes: neither mark is ever a part of another character.
        let bytes = self.rest.as_bytes();
        let mut from = 0;
        while let Some(step) =
            bytes.get(from..).and_then(|rest| rest.iter().position(|b| b"\"\\".contains(b)))
        {
            let at = from + step;
            if bytes[at] == b'"' {
                let inside = &self.rest[..at];
                self.rest = &self.rest[at + 1..];
                return Ok(if from == 0 { Cow::Borrowed(inside) } else { unescaped(inside) });
            }
            from = at + 2;
        }
        Err("a quote is not closed")
    }
}

fn unescaped(inside: &str) -> Cow<'_, str> {
    let mut out = String::with_capacity(inside.len());
    let mut chars = inside.chars();
    while let Some(c) = chars.next() {
        let escaped = if c == '\\' { chars.next() } else { None };
        match escaped {
            None => out.push(c),
            Some('n') => out.push('\n'),
            Some(plain @ ('"' | '\\')) => out.push(plain),
            Some(other) => out.extend(['\\', other]),
        }
    }
    Cow::Owned(out)
}
