//! Pulse: the verdict in one sentence, then the proof, then the levers.
//!
//! ```text
//! ┌ STORM 00:45 ──────────────────────────────────────────────┐ as many rows as it says
//! ├ first tries and retries per second ──┐┌ circuits ─────────┤ what is left
//! ├ operations ───────────────────────────────────────────────┤ on tall screens
//! ├ onboardings ─────┐┌ failed keys ─────┐┌ dead letters ─────┤ 5 or 6 rows
//! ```

use chrono::{DateTime, TimeDelta, Utc};
use ratatui::{
    buffer::Buffer,
    layout::{Constraint, Layout, Rect},
    text::{Line, Span},
};

use super::{
    frame,
    headline::{self, signals},
    phrase,
};
use crate::{
    engine::reader::CircuitRow,
    metrics::signals::OperationSignal,
    tui::{
        model::Model,
        widget::{
            chart::{Chart, Point},
            table::{Cell, Column, Row, Table, Width},
            text::{draw_lines, fit, flow, left, number, percent, piece, rate, right, span, width, wrap},
        },
    },
};

/// Draws the screen.
pub(super) fn draw(model: &Model, buffer: &mut Buffer, area: Rect) {
    let tall = area.height >= 30;
    let verdict = headline::lines(model, usize::from(area.width.saturating_sub(4)), if tall { 8 } else { 5 });
    let verdict_rows = (verdict.len() as u16).max(1) + 2;
    let operations = operation_rows(model);
    let operation_rows =
        if tall && !operations.is_empty() { (operations.len() as u16 + 3).min(9) } else { 0 };
    let [top, middle, table, bottom] = Layout::vertical([
        Constraint::Length(verdict_rows),
        Constraint::Min(5),
        Constraint::Length(operation_rows),
        Constraint::Length(6),
    ])
    .areas(area);
    headline::draw(model, buffer, top, &verdict);

    let [chart, circuits] =
        Layout::horizontal([Constraint::Percentage(58), Constraint::Min(30)]).areas(middle);
    draw_chart(model, buffer, chart);
    draw_circuits(model, buffer, circuits);
    if operation_rows > 0 {
        let inner = frame::draw_tight(model, buffer, table, &Line::from(" operations by caller "));
        Table { columns: OPERATIONS, rows: operations, cursor: None, look: model.look }.draw(buffer, inner);
    }

    let [onboardings, failed_keys, letters] =
        Layout::horizontal([Constraint::Percentage(35), Constraint::Percentage(30), Constraint::Min(20)])
            .areas(bottom);
    draw_onboardings(model, buffer, onboardings);
    draw_keys(model, buffer, failed_keys);
    draw_letters(model, buffer, letters);
}

fn draw_chart(model: &Model, buffer: &mut Buffer, area: Rect) {
    let title = Line::from(vec![
        Span::raw(" "),
        Span::styled("⡪ first tries", model.look.first()),
        Span::raw(" and "),
        Span::styled("⣿ retries", model.look.retry()),
        Span::raw(" per second "),
    ]);
    let inner = frame::draw(model, buffer, area, &title);
    let Some(signals) = signals(model).filter(|signals| !signals.chart.is_empty()) else {
        draw_lines(buffer, inner, &[piece("no rates yet", model.look.dim())]);
        return;
    };
    let points: Vec<Point> = signals
        .chart
        .iter()
        .map(|p| (p.at, p.first.map(|first| (first, p.retries.unwrap_or_default()))))
        .collect();
    let now = points.last().map_or(model.now, |(at, _)| *at);
    Chart { points: &points, now, range: range(&points, now), look: model.look }.draw(buffer, inner);
}

/// The shortest of a few ranges that shows everything known, so that a storm of two minutes is not four columns wide.
fn range(points: &[Point], now: DateTime<Utc>) -> TimeDelta {
    let known = points.first().map_or(TimeDelta::zero(), |(at, _)| now - *at);
    let ranges = [1, 2, 5].map(TimeDelta::minutes);
    ranges.into_iter().find(|range| known <= *range).unwrap_or(TimeDelta::minutes(15))
}

fn draw_circuits(model: &Model, buffer: &mut Buffer, area: Rect) {
    let inner = frame::draw(model, buffer, area, &Line::from(" circuits "));
    let Some(board) = model.board() else { return };
    let columns = usize::from(inner.width);
    let rows = &board.circuits;
    // The name gives way, never the state.
    let widest = |of: &dyn Fn(&CircuitRow) -> usize| rows.iter().map(of).max().unwrap_or_default();
    let state = widest(&|row| width(phrase::circuit(row, model.look).0));
    let name = widest(&|row| width(row.operation.as_str())).min(columns.saturating_sub(state + 2));
    let mut lines = Vec::new();
    for row in rows {
        let (state, style) = phrase::circuit(row, model.look);
        let probe = phrase::probe(row, model);
        let more = probe.clone().or(row.failure_rate.map(percent)).unwrap_or_default();
        let mut line = Line::from(vec![
            Span::raw(left(row.operation.as_str(), name)),
            Span::styled(format!("  {state}"), style),
        ]);
        let mut told = Vec::new();
        if line.width() + 2 + width(&more) <= columns {
            line.spans.push(Span::styled(format!("  {more}"), model.look.dim()));
        } else {
            // What does not fit beside it goes below, unless it is only a figure.
            told.extend(probe);
        }
        lines.push(line);
        if row.holds.0 > 0 {
            let (worst, all) = row.instances;
            told.push(format!("holds {}", row.holds));
            // Whose they are and how many computed it is left out before the two figures are cut.
            let more = format!("{worst} of {all} instances");
            let long = told.join(" · ") + " onboardings";
            let longest = format!("{long} · {more}");
            let fitting = [longest, long].into_iter().find(|text| width(text) + 2 <= columns);
            told = vec![fitting.unwrap_or_else(|| told.join(" · "))];
        }
        if !told.is_empty() {
            let told = wrap(&told.join(" · "), columns.saturating_sub(2));
            lines.extend(told.into_iter().map(|line| piece(format!("  {line}"), model.look.dim())));
        }
    }
    // Of others' only those that are not well.
    for circuit in super::circuits::foreign(model).into_iter().filter(|circuit| circuit.severity > 2) {
        let told = format!("{} of {}", circuit.circuit, circuit.process);
        let room = columns.saturating_sub(width(circuit.state.as_str()) + 2);
        lines.push(Line::from(vec![
            Span::styled(format!("{}  ", fit(&told, room)), model.look.dim()),
            Span::styled(circuit.state.as_str().to_owned(), phrase::severity(circuit.severity, model.look)),
        ]));
    }
    if lines.is_empty() {
        lines.push(piece("no calls yet", model.look.dim()));
    }
    let hidden = lines.len().saturating_sub(usize::from(inner.height));
    if hidden > 0 && inner.height > 0 {
        lines.truncate(usize::from(inner.height) - 1);
        lines.push(piece("more on 5 Circuits", model.look.dim()));
    }
    draw_lines(buffer, inner, &lines);
}

#[rustfmt::skip]
const OPERATIONS: &[Column] = &[
    Column::text("operation", Width::Grow(20), 0),
    Column::text("operation is", Width::Fit(12), 0),
    Column::text("caller", Width::Fit(16), 0),
    Column::number("first/s", 8, 0),
    Column::number("retries/s", 9, 0),
    Column::number("retry share", 11, 0),
    Column::number("load", 6, 0),
    Column::number("helped", 6, 0),
    Column::number("budget left", 11, 1),
];

fn operation_rows(model: &Model) -> Vec<Row> {
    let Some(signals) = signals(model) else { return Vec::new() };
    let mut operations: Vec<_> = signals.operations.iter().collect();
    let loudest = |signal: &OperationSignal| signal.retry_rate.unwrap_or_default();
    operations.sort_by(|a, b| loudest(b).total_cmp(&loudest(a)));
    let look = model.look;
    let per_second = |value: Option<f64>| Cell::new(value.map_or("n/a".to_owned(), rate), look.base());
    let share = |value: Option<f64>| Cell::new(value.map_or("n/a".to_owned(), percent), look.base());
    let row = |signal: &&OperationSignal| Row {
        cells: vec![
            Cell::new(signal.operation.as_str(), look.base()),
            // Judged over all its callers: the word is the operation's, not this caller's.
            Cell::new(signal.verdict.as_str(), phrase::verdict(signal.verdict, look)),
            Cell::new(signal.caller.as_str(), look.dim()),
            per_second(signal.first_rate),
            per_second(signal.retry_rate),
            share(signal.retry_ratio),
            Cell::new(
                signal.amplification.map_or("n/a".to_owned(), |load| format!("{load:.1}×")),
                look.base(),
            ),
            share(signal.efficacy),
            share(signal.budget_remaining),
        ],
        ..Row::default()
    };
    operations.iter().map(row).collect()
}

fn draw_onboardings(model: &Model, buffer: &mut Buffer, area: Rect) {
    let inner = frame::draw(model, buffer, area, &Line::from(" onboardings "));
    let Some(board) = model.board() else { return };
    let (counts, look) = (&board.counts, model.look);
    let item = |name: &str, count: crate::engine::reader::Count, style| {
        let style = if count.0 == 0 { look.dim() } else { style };
        let shown = if count.0 < 10_000 { number(count.0) } else { count.to_string() };
        Line::from(vec![Span::styled(format!("{name} "), look.dim()), Span::styled(shown, style)])
    };
    let items = vec![
        item("in progress", counts.in_progress, look.busy()),
        item("parked", counts.parked, look.warn()),
        item("failed", counts.failed, look.bad()),
        item("rolling back", counts.rolling_back, look.warn()),
        item("stuck", counts.stuck, look.bad()),
        item("completed", counts.completed, look.good()),
    ];
    draw_lines(buffer, inner, &flow(items, usize::from(inner.width)));
}

fn draw_keys(model: &Model, buffer: &mut Buffer, area: Rect) {
    let inner = frame::draw(model, buffer, area, &Line::from(" failed keys "));
    let Some(board) = model.board() else { return };
    let (counts, look) = (&board.counts, model.look);
    let mut lines = Vec::new();
    if counts.keys_stuck.0 > 0 {
        lines.push(piece(format!("{} stuck", counts.keys_stuck), look.bad()));
    }
    if counts.keys_failed_storage.0 > 0 {
        lines.push(piece(format!("{} failed storage", counts.keys_failed_storage), look.bad()));
    }
    lines = flow(lines, usize::from(inner.width));
    match counts.oldest_stuck_key {
        Some(since) => {
            let text = format!("oldest lock {} over its lease", span(model.database_now() - since));
            lines.extend(
                wrap(&text, usize::from(inner.width)).into_iter().map(|line| piece(line, look.dim())),
            );
        }
        None if lines.is_empty() => lines.push(piece("none", look.good())),
        None => {}
    }
    draw_lines(buffer, inner, &lines);
}

fn letters_title(model: &Model) -> String {
    match model.board().map_or(0, |board| board.counts.replaying.0) {
        0 => " dead letters by error ".to_owned(),
        n => format!(" dead letters by error · replaying {} ", number(n)),
    }
}

fn draw_letters(model: &Model, buffer: &mut Buffer, area: Rect) {
    let inner = frame::draw(model, buffer, area, &Line::from(letters_title(model)));
    let Some(board) = model.board() else { return };
    let look = model.look;
    if board.letter_groups.is_empty() {
        draw_lines(buffer, inner, &[piece("none", look.good())]);
        return;
    }
    let columns = usize::from(inner.width);
    let line = |group: &crate::engine::reader::LetterGroup| {
        let sign = match (group.new, group.replaying) {
            (_, n) if n > 0 => format!("  replaying {n}"),
            (true, _) => "  new".to_owned(),
            _ => String::new(),
        };
        let room = columns.saturating_sub(5 + width(&sign));
        Line::from(vec![
            Span::styled(right(&group.open.to_string(), 4), look.bad()),
            Span::raw(format!(" {}", fit(&phrase::kind_of(&group.error), room))),
            Span::styled(sign, look.warn()),
        ])
    };
    let lines: Vec<_> = board.letter_groups.iter().map(line).collect();
    draw_lines(buffer, inner, &lines);
}
