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

use super::{frame, phrase};
use crate::{
    domain::circuit::CircuitState,
    engine::reader::CircuitRow,
    metrics::signals::{Signals, VerdictKind},
    poll::advice::{Advice, Matter},
    tui::{
        keys,
        model::Model,
        msg::Key,
        widget::{
            chart::{Chart, Point},
            table::{Cell, Column, Row, Table, Width},
            text::{
                draw_lines, fit, fit_line, flow, left, number, percent, piece, rate, right, running, span,
                width, wrap,
            },
        },
    },
};

/// Draws the screen.
pub(super) fn draw(model: &Model, buffer: &mut Buffer, area: Rect) {
    let columns = usize::from(area.width.saturating_sub(4));
    let mut verdict = verdict_lines(model, columns);
    let tall = area.height >= 30;
    let most = if tall { 8 } else { 5 };
    if verdict.len() > most {
        verdict.truncate(most);
        if let Some(last) = verdict.last_mut() {
            *last = fit_line(last, columns - 2);
            last.spans.push(Span::styled(" …", model.look.dim()));
        }
    }
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
    let advice = advice(model);
    let inner = if warned(model, &advice) {
        frame::draw_warning(model, buffer, top, &verdict_title(model, &advice))
    } else {
        frame::draw(model, buffer, top, &verdict_title(model, &advice))
    };
    draw_lines(buffer, inner, &verdict);

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

fn signals(model: &Model) -> Option<&Signals> {
    model.snapshot.as_ref()?.signals.as_deref()
}

fn advice(model: &Model) -> Vec<Advice> {
    model.snapshot.as_ref().map_or_else(Vec::new, |snapshot| snapshot.advice(model.database_now()))
}

/// What makes a calm verdict no good news.
fn held(advice: &[Advice]) -> Option<&'static str> {
    advice.iter().find_map(|advice| match advice.about {
        Matter::CircuitOpen => Some("circuit OPEN"),
        Matter::NoWorker => Some("no worker"),
        _ => None,
    })
}

/// Whether the verdict alone would mislead.
fn warned(model: &Model, advice: &[Advice]) -> bool {
    let quiet = signals(model)
        .is_none_or(|signals| matches!(signals.verdict.kind, VerdictKind::Calm | VerdictKind::Unknown));
    quiet && held(advice).is_some()
}

fn verdict_title(model: &Model, advice: &[Advice]) -> Line<'static> {
    let look = model.look;
    let mut spans = match signals(model) {
        None => vec![Span::raw(" no metrics ")],
        Some(signals) => {
            let verdict = &signals.verdict;
            let mut text = format!(" {} ", verdict.kind);
            if let (Some(since), false) =
                (verdict.since, matches!(verdict.kind, VerdictKind::Calm | VerdictKind::Unknown))
            {
                text.push_str(&format!("{} ", running(model.now - since)));
            }
            vec![Span::styled(text, phrase::verdict(verdict.kind, look))]
        }
    };
    if let (true, Some(held)) = (warned(model, advice), held(advice)) {
        spans.push(Span::styled(format!("· {held} "), look.bad()));
    }
    Line::from(spans)
}

/// One line each, with the key that acts where it does so here.
fn advice_lines(model: &Model, columns: usize) -> Vec<Line<'static>> {
    let look = model.look;
    let mut lines = Vec::new();
    for advice in advice(model) {
        let style =
            if matches!(advice.about, Matter::Letters | Matter::Failed) { look.base() } else { look.warn() };
        let mut text = phrase::masked(&advice.text);
        match advice.does.filter(|_| !model.read_only()) {
            Some(does) if width(&text) + 4 + width(does.what) <= columns => {
                lines.push(Line::from(vec![
                    Span::styled(format!("{text}: "), style),
                    Span::styled(does.key.to_string(), look.accent()),
                    Span::styled(format!(" {}", does.what), style),
                ]));
                continue;
            }
            Some(does) => text.push_str(&format!(": {} {}", does.key, does.what)),
            None => {}
        }
        lines.extend(wrap(&text, columns).into_iter().map(|line| piece(line, style)));
    }
    lines
}

fn verdict_lines(model: &Model, columns: usize) -> Vec<Line<'static>> {
    let look = model.look;
    let Some(signals) = signals(model) else {
        let text =
            "no metrics target is set: the board below comes from the database alone; --metrics URL adds one";
        let mut lines = advice_lines(model, columns);
        lines.extend(wrap(text, columns).into_iter().map(|line| piece(line, look.dim())));
        return lines;
    };
    let verdict = &signals.verdict;
    let mut lines = Vec::new();
    let sentence = phrase::masked(&verdict.sentence);
    let text = match &verdict.operation {
        // The sentence may name the operation by itself.
        Some(operation) if !sentence.contains(operation.as_str()) => format!("{operation}   {sentence}"),
        _ => sentence,
    };
    lines.extend(wrap(&text, columns).into_iter().map(|line| piece(line, look.base())));
    let mut origin = Vec::new();
    if !verdict.callers.is_empty() {
        let callers: Vec<_> = verdict
            .callers
            .iter()
            .take(4)
            .map(|(name, share)| format!("{name} {}", percent(*share)))
            .collect();
        origin.push(format!("from {}", callers.join(", ")));
    }
    if let (Some(since), false) = (verdict.since, verdict.kind == VerdictKind::Calm) {
        origin.push(format!("began {}", crate::tui::widget::text::clock(since, model.now)));
    }
    if !origin.is_empty() {
        lines.extend(wrap(&origin.join(" · "), columns).into_iter().map(|line| piece(line, look.dim())));
    }
    let mut levers: Vec<Line<'static>> = Vec::new();
    for ours in [true, false] {
        for (place, lever) in verdict.levers.iter().filter(|lever| lever.ours == ours).enumerate() {
            let mut line = Line::default();
            if place == 0 {
                line.spans.push(Span::styled(if ours { "do  " } else { "advise  " }, look.dim()));
            }
            // A key is only promised where it is bound.
            if let Some(key) =
                lever.key.filter(|key| keys::binding(Key::Char(*key)).is_some() && !model.read_only())
            {
                line.spans.push(Span::styled(format!("{key} "), look.accent()));
            }
            line.spans.push(Span::raw(lever.text.as_str().to_owned()));
            levers.push(line);
        }
    }
    lines.extend(flow(levers, columns));
    lines.extend(advice_lines(model, columns));
    for target in signals.targets.iter().filter(|target| target.error.is_some()) {
        let why = target.error.as_ref().map(phrase::masked).unwrap_or_default();
        lines.push(piece(format!("target {}: {why}", target.name), look.warn()));
    }
    lines
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
    let mut rows: Vec<_> = board.circuits.iter().collect();
    rows.sort_by_key(|row| {
        (row.state == CircuitState::Closed && row.forced.is_none(), row.operation.clone())
    });
    // The name gives way, never the state.
    let widest = |of: &dyn Fn(&CircuitRow) -> usize| rows.iter().map(|row| of(row)).max().unwrap_or_default();
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
    operations.sort_by(|a, b| b.retry_rate.total_cmp(&a.retry_rate));
    let look = model.look;
    let share = |value: Option<f64>| Cell::new(value.map_or("n/a".to_owned(), percent), look.base());
    let row = |signal: &&crate::metrics::signals::OperationSignal| Row {
        cells: vec![
            Cell::new(signal.operation.as_str(), look.base()),
            // Judged over all its callers: the word is the operation's, not this caller's.
            Cell::new(signal.verdict.as_str(), phrase::verdict(signal.verdict, look)),
            Cell::new(signal.caller.as_str(), look.dim()),
            Cell::new(rate(signal.first_rate), look.base()),
            Cell::new(rate(signal.retry_rate), look.base()),
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
