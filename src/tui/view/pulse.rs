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
    engine::reader::{CircuitRow, Counts},
    metrics::signals::{self, OperationSignal},
    tui::{
        model::{Charted, Model},
        widget::{
            chart::{Chart, Point, Scale},
            table::{Cell, Column, Row, Table, Width},
            text::{
                draw_lines, fit, flow, left, number, percent, piece, plural, rate, right, span, whole_span,
                width, wrap,
            },
        },
    },
};

/// Workers report their circuits with every sign of life, more often than this.
const REPORTED: TimeDelta = TimeDelta::seconds(30);

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
        let age = age(model.metrics_stale()).unwrap_or_default();
        let title = Line::from(format!(" operations by caller {age}"));
        let inner = frame::draw_tight(model, buffer, table, &title);
        Table { columns: OPERATIONS, rows: operations, cursor: None, look: model.look }.draw(buffer, inner);
    }

    let [onboardings, failed_keys, letters] =
        Layout::horizontal([Constraint::Percentage(35), Constraint::Percentage(30), Constraint::Min(20)])
            .areas(bottom);
    draw_onboardings(model, buffer, onboardings);
    draw_keys(model, buffer, failed_keys);
    draw_letters(model, buffer, letters);
    // What is older than the header says goes grey.
    if model.metrics_stale().is_some() {
        for panel in [top, chart, table] {
            buffer.set_style(panel, model.look.stale());
        }
    }
    if circuits_stale(model).is_some() {
        buffer.set_style(circuits, model.look.stale());
    }
}

/// How old the newest report of a circuit is, when that is too old for what is shown as the present.
fn circuits_stale(model: &Model) -> Option<TimeDelta> {
    let newest = model.board()?.circuits.iter().map(|row| row.reported_at).max()?;
    Some(model.database_now() - newest).filter(|age| *age > REPORTED)
}

fn draw_chart(model: &Model, buffer: &mut Buffer, area: Rect) {
    let look = model.look;
    let mut title = match model.charted {
        Charted::Rates => vec![
            Span::raw(" "),
            Span::styled("⡪ first tries", look.first()),
            Span::raw(" and "),
            Span::styled("⣿ retries", look.retry()),
            Span::raw(" per second "),
        ],
        Charted::Load => {
            vec![Span::styled(" ⣿ load", look.retry()), Span::raw(", attempts per first try ")]
        }
        Charted::Helped => {
            vec![Span::styled(" ⣿ helped", look.retry()), Span::raw(", share of all retries ")]
        }
    };
    title.extend(age(model.metrics_stale()).map(Span::raw));
    let inner = frame::draw(model, buffer, area, &Line::from(title));
    let (scale, of): (_, Drawn) = match model.charted {
        Charted::Rates => (Scale::PerSecond, |p| p.first.map(|first| (first, p.retries.unwrap_or_default()))),
        Charted::Load => (Scale::Times, |p| p.amplification.map(|load| (0.0, load))),
        Charted::Helped => (Scale::Share, |p| p.efficacy.map(|helped| (0.0, helped))),
    };
    let chart = signals(model).map_or(&[][..], |signals| &signals.chart);
    let points: Vec<Point> = chart.iter().map(|p| (p.at, of(p))).collect();
    if points.iter().all(|(_, value)| value.is_none()) {
        let why = match model.charted {
            Charted::Rates if signals(model).is_some_and(|signals| signals.targets.is_empty()) => {
                "without metrics nothing is known of the past: --metrics URL or --prometheus URL adds it"
            }
            Charted::Rates => "no rates yet",
            Charted::Load => "nothing was tried yet, as far as the targets tell",
            Charted::Helped => "n/a: nothing was retried yet, or no target tells how retries end",
        };
        let lines = wrap(why, usize::from(inner.width));
        draw_lines(buffer, inner, &lines.into_iter().map(|line| piece(line, look.dim())).collect::<Vec<_>>());
        return;
    }
    let now = points.last().map_or(model.moment(), |(at, _)| *at);
    Chart { points: &points, now, range: range(&points, now), scale, look }.draw(buffer, inner);
}

/// What of a point is drawn: below and on top of it.
type Drawn = fn(&signals::Point) -> Option<(f64, f64)>;

/// What the title of a panel says whose data is older than the header's: `34 s old`.
fn age(older: Option<TimeDelta>) -> Option<String> {
    older.map(|age| format!("· {} old ", whole_span(age)))
}

/// The shortest of a few ranges that shows everything known, so that a storm of two minutes is not four columns wide.
fn range(points: &[Point], now: DateTime<Utc>) -> TimeDelta {
    let known = points.first().map_or(TimeDelta::zero(), |(at, _)| now - *at);
    let ranges = [1, 2, 5].map(TimeDelta::minutes);
    ranges.into_iter().find(|range| known <= *range).unwrap_or(TimeDelta::minutes(15))
}

fn draw_circuits(model: &Model, buffer: &mut Buffer, area: Rect) {
    let inner = frame::draw(
        model,
        buffer,
        area,
        &Line::from(format!(" circuits {}", age(circuits_stale(model)).unwrap_or_default())),
    );
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
            let more = format!("{worst} of {all} {}", plural(all as usize, "worker"));
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
    let columns = usize::from(inner.width);
    if board.letter_groups.is_empty() {
        let mut lines = vec![piece("none", look.good())];
        // Those that came in and are dealt with already.
        if board.counts.letters_arrived.0 > 0 {
            lines.push(piece(inflow(model, &board.counts, columns), look.dim()));
        }
        draw_lines(buffer, inner, &lines);
        return;
    }
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
    let mut lines: Vec<_> = board.letter_groups.iter().map(line).collect();
    let room = usize::from(inner.height).saturating_sub(1);
    let hidden = lines.len().saturating_sub(room);
    lines.truncate(room);
    let more = if hidden > 0 { format!("{hidden} more · ") } else { String::new() };
    let inflow = inflow(model, &board.counts, columns.saturating_sub(width(&more)));
    lines.push(piece(format!("{more}{inflow}"), look.dim()));
    draw_lines(buffer, inner, &lines);
}

/// `12 in 15 min · oldest 3 d`: how many came in, and since when the oldest open one waits.
fn inflow(model: &Model, counts: &Counts, columns: usize) -> String {
    let came = format!("{} in 15 min", counts.letters_arrived);
    let Some(oldest) = counts.oldest_letter else { return came };
    let oldest = format!("oldest {}", span(model.database_now() - oldest));
    let short = format!("{}/15 min · {oldest}", counts.letters_arrived);
    [format!("{came} · {oldest}"), short].into_iter().find(|both| width(both) <= columns).unwrap_or(came)
}
