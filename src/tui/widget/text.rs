//! Text in columns: fitted, wrapped, and numbers with their units. A cut is always shown by an ellipsis.

use chrono::{DateTime, TimeDelta, Utc};
use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::Style,
    text::{Line, Span},
};
use unicode_segmentation::UnicodeSegmentation as _;
use unicode_width::UnicodeWidthStr as _;

use crate::domain::onboarding::sha256_hex;

/// Columns `text` takes.
pub fn width(text: &str) -> usize {
    text.width()
}

/// `text` in at most `columns`, its end cut.
pub fn fit(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let Some(room) = columns.checked_sub(1) else { return String::new() };
    let mut out = head(text, room);
    out.truncate(out.trim_end().len());
    out.push('…');
    out
}

/// `text` in at most `columns`, its middle cut: for ids and URLs, whose ends tell them apart.
pub fn fit_middle(text: &str, columns: usize) -> String {
    fit_around("…", text, columns)
}

/// Like [`fit_middle`], with the beginning of the text's SHA-256 where its middle was: for those that are alike at both
/// ends.
pub fn fit_apart(text: &str, columns: usize) -> String {
    fit_around(&format!("…{}…", &sha256_hex(text.as_bytes())[..6]), text, columns)
}

fn fit_around(middle: &str, text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let Some(room) = columns.checked_sub(width(middle)) else { return fit(text, columns) };
    let end: Vec<&str> = {
        let mut taken = 0;
        let fits = |g: &&str| {
            taken += width(g);
            taken <= room / 2
        };
        text.graphemes(true).rev().take_while(fits).collect()
    };
    let end: String = end.into_iter().rev().collect();
    let begin = head(text, room - width(&end));
    format!("{begin}{middle}{end}")
}

fn head(text: &str, columns: usize) -> String {
    let mut taken = 0;
    let fits = |g: &&str| {
        taken += width(g);
        taken <= columns
    };
    text.graphemes(true).take_while(fits).collect()
}

/// Words that belong to the number before them.
const UNITS: [&str; 7] = ["%", "s", "ms", "min", "h", "d", "UTC"];

/// The words of `text` with the space behind each; a number keeps its unit.
fn words(text: &str) -> Vec<&str> {
    let (mut words, mut start) = (Vec::new(), 0);
    for (space, _) in text.match_indices(' ') {
        let end = space + 1;
        let next = text[end..].split(' ').next().unwrap_or_default().trim_end_matches([',', '.', ';', ')']);
        let counts = text[start..space].ends_with(|c: char| c.is_ascii_digit());
        if !(counts && UNITS.contains(&next)) {
            words.push(&text[start..end]);
            start = end;
        }
    }
    words.push(&text[start..]);
    words
}

/// `text` in lines of at most `columns`, broken at spaces where it can be. Nothing is lost.
pub fn wrap(text: &str, columns: usize) -> Vec<String> {
    let columns = columns.max(1);
    let (mut lines, mut line) = (Vec::new(), String::new());
    for word in words(text) {
        if width(&line) + width(word.trim_end()) <= columns {
            line.push_str(word);
            continue;
        }
        if !line.trim().is_empty() {
            lines.push(std::mem::take(&mut line).trim_end().to_owned());
        }
        line.clear();
        for grapheme in word.graphemes(true) {
            if width(&line) + width(grapheme) > columns && !line.is_empty() {
                lines.push(std::mem::take(&mut line));
            }
            line.push_str(grapheme);
        }
    }
    if !line.trim().is_empty() || lines.is_empty() {
        lines.push(line.trim_end().to_owned());
    }
    lines
}

/// `text` filled with spaces on the right.
pub fn left(text: &str, columns: usize) -> String {
    let text = fit(text, columns);
    let gap = columns - width(&text);
    text + &" ".repeat(gap)
}

/// `text` filled with spaces on the left.
pub fn right(text: &str, columns: usize) -> String {
    let text = fit(text, columns);
    " ".repeat(columns - width(&text)) + &text
}

/// Puts items side by side, two spaces apart, in as many lines as they need; no item is broken over lines.
pub fn flow(items: Vec<Line<'static>>, columns: usize) -> Vec<Line<'static>> {
    let mut lines: Vec<Line<'static>> = Vec::new();
    for item in items {
        match lines.last_mut() {
            Some(line) if line.width() + 2 + item.width() <= columns => {
                line.spans.push(Span::raw("  "));
                line.spans.extend(item.spans);
            }
            _ => lines.push(item),
        }
    }
    lines
}

/// A line in at most `columns`, its end cut.
pub fn fit_line(line: &Line<'static>, columns: usize) -> Line<'static> {
    if line.width() <= columns {
        return line.clone();
    }
    let mut room = columns;
    let mut spans: Vec<Span<'static>> = Vec::new();
    for span in &line.spans {
        let wide = width(&span.content);
        if wide < room {
            room -= wide;
            spans.push(span.clone());
        } else {
            // Something follows or overflows: this is where the ellipsis goes.
            let mut cut = head(&span.content, room.saturating_sub(1));
            cut.push('…');
            if room > 0 {
                spans.push(Span::styled(cut, span.style));
            }
            break;
        }
    }
    Line::from(spans).style(line.style)
}

/// Draws lines from the top of `area`, each cut to its width; those below are not drawn.
pub fn draw_lines(buffer: &mut Buffer, area: Rect, lines: &[Line<'static>]) {
    for (row, line) in (area.top()..area.bottom()).zip(lines) {
        buffer.set_line(area.x, row, &fit_line(line, usize::from(area.width)), area.width);
    }
}

/// One styled piece as a line.
pub fn piece(text: impl Into<String>, style: Style) -> Line<'static> {
    Line::from(Span::styled(text.into(), style))
}

/// A length of time with its unit: `0.3 s`, `12 s`, `3 min`, `31 h`, `4 d`.
pub fn span(time: TimeDelta) -> String {
    let seconds = time.num_milliseconds().max(0) as f64 / 1_000.0;
    match seconds {
        s if s < 9.95 => format!("{s:.1} s"),
        s if s < 119.5 => format!("{s:.0} s"),
        s if s < 7_170.0 => format!("{:.0} min", s / 60.0),
        s if s < 172_800.0 => format!("{:.0} h", s / 3_600.0),
        s => format!("{:.0} d", s / 86_400.0),
    }
}

/// How often something is done: `250 ms`, `2 s`, `1 min`.
pub fn interval(every: std::time::Duration) -> String {
    match every.as_millis() {
        ms if ms % 60_000 == 0 => format!("{} min", ms / 60_000),
        ms if ms % 1_000 == 0 => format!("{} s", ms / 1_000),
        ms => format!("{ms} ms"),
    }
}

/// The same in whole seconds below two minutes, for columns that are compared.
pub fn whole_span(time: TimeDelta) -> String {
    if time.num_seconds() < 10 { format!("{} s", time.num_seconds().max(0)) } else { span(time) }
}

/// Minutes and seconds, or hours and minutes, of something that goes on: `00:45`, `3 h 10 min`.
pub fn running(time: TimeDelta) -> String {
    let seconds = time.num_seconds().max(0);
    match seconds {
        s if s < 3_600 => format!("{:02}:{:02}", s / 60, s % 60),
        s => format!("{} h {} min", s / 3_600, s % 3_600 / 60),
    }
}

/// A time of day, with the date when it is another day than `now`.
pub fn clock(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let same_day = at.date_naive() == now.date_naive();
    at.format(if same_day { "%H:%M:%S" } else { "%m-%d %H:%M" }).to_string()
}

/// `9,214`.
pub fn number(n: i64) -> String {
    let digits = n.unsigned_abs().to_string();
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    if n < 0 { format!("-{out}") } else { out }
}

/// A share in `[0, 1]` as `63 %`.
pub fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// A rate per second in three figures: `0.4`, `12`, `340`.
pub fn rate(per_second: f64) -> String {
    if per_second < 9.95 { format!("{per_second:.1}") } else { number(per_second.round() as i64) }
}

/// `noun`, with an s unless there is one.
pub fn plural(count: usize, noun: &str) -> String {
    if count == 1 { noun.to_owned() } else { format!("{noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_is_shown_and_never_splits_a_wide_letter() {
        assert_eq!(fit("abcdef", 6), "abcdef");
        assert_eq!(fit("abcdef", 5), "abcd…");
        assert_eq!(fit("東京都", 4), "東…");
        assert_eq!(fit("abc", 0), "");
        assert_eq!(fit_middle("abcdefgh", 5), "ab…gh");
        let [one, other] = ["abcdefgh-1-abcdefgh", "abcdefgh-2-abcdefgh"].map(|text| fit_apart(text, 12));
        assert_eq!((width(&one), &one[..2], &one[one.len() - 2..]), (12, "ab", "gh"));
        assert_ne!(one, other);
        assert_eq!(fit_apart("abcdefgh", 5), "abcd…");
    }

    #[test]
    fn wrapping_loses_nothing() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("abcdefghij k", 4), ["abcd", "efgh", "ij k"]);
        assert_eq!(wrap("", 4), [""]);
        assert_eq!(wrap("budget 100 % left", 10), ["budget", "100 % left"]);
    }

    #[test]
    fn numbers_carry_their_units() {
        let spans =
            [300, 12_000, 200_000, 111_600_000, 400_000_000].map(|ms| span(TimeDelta::milliseconds(ms)));
        assert_eq!(spans, ["0.3 s", "12 s", "3 min", "31 h", "5 d"]);
        assert_eq!([number(7), number(9_214), number(1_234_567)], ["7", "9,214", "1,234,567"]);
    }
}
