//! Circuits: what each computed and what was decided about it, apart; and more about the one under the cursor.

use ratatui::{
    buffer::Buffer,
    layout::{Constraint, Layout, Rect},
    style::Style,
    text::{Line, Span},
};

use super::{frame, onboardings, phrase};
use crate::{
    domain::circuit::CircuitState,
    engine::{
        observer::Denial,
        reader::{CircuitReportRow, CircuitRow},
    },
    metrics::signals::CircuitSignal,
    tui::{
        model::Model,
        widget::{
            table::{Cell, Column, Row, Table, Width},
            text::{draw_lines, fit, number, percent, piece, plural, whole_span, wrap},
        },
    },
};

#[rustfmt::skip]
const COLUMNS: &[Column] = &[
    Column::text("operation", Width::Grow(22), 0),
    Column::text("computed", Width::Fit(9), 0),
    Column::text("decided", Width::Fit(21), 0),
    Column::number("failing", 7, 1),
    Column::number("opens at", 8, 6),
    Column::number("calls", 6, 7),
    Column::text("probe", Width::Fit(17), 3),
    Column::number("holds", 6, 2),
    Column::number("workers", 9, 8),
    Column::number("budget left", 11, 4),
    Column::number("not made", 8, 5),
    Column::number("reported", 8, 4),
];

/// Draws the list; answers where the cursor is.
pub(super) fn draw(model: &Model, buffer: &mut Buffer, area: Rect) -> Option<(u16, u16)> {
    let panel = model.panel_rows() as u16;
    let foreign = foreign(model);
    let rows = if foreign.is_empty() { 0 } else { (foreign.len() as u16 + 3).min((area.height / 4).max(5)) };
    let [list, theirs, below] =
        Layout::vertical([Constraint::Min(0), Constraint::Length(rows), Constraint::Length(panel)])
            .areas(area);
    if rows > 3 {
        draw_foreign(model, buffer, theirs, &foreign);
    }
    let board = model.board()?;
    let inner =
        frame::draw_tight(model, buffer, list, &Line::from(format!(" circuits · {} ", board.circuits.len())));
    let rows = (&board.circuits[..], |row: &_| cells(model, row));
    let at =
        onboardings::draw_table(model, buffer, inner, COLUMNS, rows, "no circuit: no worker has told of one");
    let here =
        board.circuits.iter().find(|row| model.list().cursor.as_deref() == Some(row.operation.as_str()));
    if let (true, Some(row)) = (panel > 0, here) {
        let inner = frame::draw(model, buffer, below, &Line::from(format!(" {} ", row.operation)));
        let (columns, rows) = (usize::from(inner.width), usize::from(inner.height));
        draw_lines(buffer, inner, &told(model, row, columns, rows));
    }
    at
}

/// The circuits that other people's processes tell of, worst first: ours are in the table.
pub(super) fn foreign(model: &Model) -> Vec<&CircuitSignal> {
    let signals = model.snapshot.as_ref().and_then(|snapshot| snapshot.signals.as_deref());
    let mut all: Vec<_> = signals.iter().flat_map(|s| &s.circuits).filter(|circuit| !circuit.ours).collect();
    all.sort_by_key(|circuit| (std::cmp::Reverse(circuit.severity), circuit.circuit.as_str()));
    all
}

#[rustfmt::skip]
const FOREIGN: &[Column] = &[
    Column::text("circuit elsewhere", Width::Grow(22), 0),
    Column::text("process", Width::Fit(20), 0),
    Column::text("told", Width::Fit(34), 0),
    Column::number("failing", 7, 0),
    Column::number("read", 8, 1),
];

fn draw_foreign(model: &Model, buffer: &mut Buffer, area: Rect, foreign: &[&CircuitSignal]) {
    let look = model.look;
    let title = format!(" told by others' metrics, not ours to force · {} ", foreign.len());
    let inner = frame::draw_tight(model, buffer, area, &Line::from(title));
    let row = |circuit: &&CircuitSignal| Row {
        cells: vec![
            Cell::new(circuit.circuit.as_str(), look.base()),
            Cell::new(circuit.process.as_str(), look.dim()),
            Cell::new(circuit.state.as_str(), phrase::severity(circuit.severity, look)),
            Cell::new(circuit.failure_rate.map_or("n/a".to_owned(), percent), look.base()),
            Cell::new(phrase::ago(circuit.read_at, model), look.dim()),
        ],
        ..Row::default()
    };
    let rows = foreign.iter().map(row).collect();
    Table { columns: FOREIGN, rows, cursor: None, look }.draw(buffer, inner);
}

fn cells(model: &Model, row: &CircuitRow) -> Row {
    let look = model.look;
    let computed = phrase::circuit(&CircuitRow { forced: None, paused: None, ..row.clone() }, look);
    let decided = match model.pending.get(row.operation.as_str()) {
        Some(pending) => Cell::new(format!("pending {}", pending.kind.words()), look.busy()),
        None => match phrase::decided(row) {
            Some(decided) => Cell::new(decided, look.warn()),
            None => Cell::new("-", look.dim()),
        },
    };
    let near = row.failure_rate.zip(row.opens_at).is_some_and(|(rate, opens)| rate >= opens / 2.0);
    let (worst, all) = row.instances;
    let not_made: u64 = row.denied.values().sum();
    let quiet = |n: u64| if n > 0 { look.warn() } else { look.dim() };
    Row {
        cells: vec![
            Cell::new(row.operation.as_str(), look.base()),
            Cell::new(computed.0, computed.1),
            decided,
            Cell::new(
                row.failure_rate.map_or("n/a".to_owned(), percent),
                if near { look.warn() } else { look.base() },
            ),
            Cell::new(row.opens_at.map_or("n/a".to_owned(), percent), look.dim()),
            Cell::new(row.calls.to_string(), look.dim()),
            Cell::new(phrase::probe(row, model).unwrap_or_else(|| "-".to_owned()), look.dim()),
            Cell::new(row.holds.to_string(), quiet(row.holds.0.unsigned_abs())),
            Cell::new(format!("{worst} of {all}"), look.dim()),
            Cell::new(row.budget_left.map_or("n/a".to_owned(), percent), low(row.budget_left, model)),
            Cell::new(number(i64::try_from(not_made).unwrap_or(i64::MAX)), quiet(not_made)),
            Cell::new(phrase::ago(row.reported_at, model), look.dim()),
        ],
        ..Row::default()
    }
}

fn low(budget: Option<f64>, model: &Model) -> Style {
    match budget {
        Some(left) if left < 0.25 => model.look.warn(),
        _ => model.look.dim(),
    }
}

/// What the panel says of a circuit, in at most `rows` lines: of many workers those in trouble first.
fn told(model: &Model, row: &CircuitRow, columns: usize, rows: usize) -> Vec<Line<'static>> {
    let look = model.look;
    let (state, style) = phrase::circuit(row, look);
    let (worst, all) = row.instances;
    let mut lines = vec![Line::from(vec![
        Span::styled(state.to_owned(), style),
        Span::raw(format!(
            "  computed {} by {worst} of {all} workers, {}",
            row.state.as_str().replace('_', " "),
            phrase::since(row.reported_at, model)
        )),
    ])];
    let mut say = |text: String, style: Style| {
        lines.extend(wrap(&text, columns).into_iter().map(|line| piece(line, style)));
    };
    if let Some(decision) = &row.paused {
        say(format!("paused {}", phrase::decision(decision, model)), look.warn());
    }
    if let (Some(forced), Some(decision)) = (row.forced, &row.forced_by) {
        let forced = forced.as_str().replace('_', " ");
        say(format!("{forced} {}", phrase::decision(decision, model)), look.warn());
    }
    if row.holds.0 > 0 {
        let onboardings = plural(usize::try_from(row.holds.0).unwrap_or_default(), "onboarding");
        say(format!("holds back {} parked {onboardings}: Enter lists them", row.holds), look.warn());
    }
    let failing = match (row.failure_rate, row.state) {
        (Some(rate), _) => format!("{} of the last {} calls failed", percent(rate), row.calls),
        (None, CircuitState::Open) => "no call is made until it probes".to_owned(),
        (None, CircuitState::HalfOpen) => "its probes are out".to_owned(),
        (None, CircuitState::Closed) => "no call was made yet".to_owned(),
    };
    let mut text = vec![failing];
    text.extend(row.opens_at.map(|rate| format!("opens at {}", percent(rate))));
    text.extend(phrase::probe(row, model));
    text.extend(row.budget_left.map(|left| format!("{} of its retry budget is left", percent(left))));
    say(text.join(" · "), look.base());
    if !row.denied.is_empty() {
        let counts = row.denied.iter().map(|(reason, n)| {
            let n = number(i64::try_from(*n).unwrap_or(i64::MAX));
            match reason {
                Denial::Budget => format!("{n} for want of budget"),
                Denial::Circuit => format!("{n} by the circuit"),
                Denial::Deadline => format!("{n} past the deadline"),
                Denial::Bulkhead => format!("{n} for want of a place"),
                Denial::Paused => format!("{n} while paused"),
            }
        });
        say(format!("calls not made: {}", counts.collect::<Vec<_>>().join(", ")), look.base());
    }
    let room = rows.saturating_sub(lines.len());
    let mut reports: Vec<&CircuitReportRow> = row.reports.iter().collect();
    reports.sort_by_key(|report| report.state == CircuitState::Closed);
    let hidden = if reports.len() > room { reports.len() - room.saturating_sub(1) } else { 0 };
    let shown = reports.len() - hidden;
    lines.extend(
        reports.iter().take(shown).map(|report| piece(fit(&worker(report, model), columns), look.dim())),
    );
    if hidden > 0 && room > 0 {
        let others =
            format!("and {hidden} more {}: redrive circuits show tells all", plural(hidden, "worker"));
        lines.push(piece(fit(&others, columns), look.dim()));
    }
    lines
}

/// `worker-a  half open · 12 % of 20 calls failed · 3 retries on 40 first tries · 3 of 8 places`.
fn worker(report: &CircuitReportRow, model: &Model) -> String {
    let mut text =
        format!("{}  {}", phrase::id(report.worker.as_str()), report.state.as_str().replace('_', " "));
    if let Some(left) =
        report.probe_at.map(|at| at - model.database_now()).filter(|left| left.num_seconds() >= 0)
    {
        text.push_str(&format!(", probe in {}", whole_span(left)));
    }
    if let Some(rate) = report.failure_rate {
        text.push_str(&format!(" · {} of {} calls failed", percent(rate), report.calls));
    }
    if let (Some(rate), Some(opens)) = (report.slow_rate, report.slow_opens_at) {
        text.push_str(&format!(", {} slow of {}", percent(rate), percent(opens)));
    }
    text.push_str(&format!(" · {} retries on {} first tries", report.retries, report.first_tries));
    if let Some((taken, places)) = report.in_flight {
        text.push_str(&format!(" · {taken} of {places} places taken"));
    }
    text
}
