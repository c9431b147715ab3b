//! Circuits: what each computed and what was forced on it, apart; and more about the one under the cursor.

use ratatui::{
    buffer::Buffer,
    layout::{Constraint, Layout, Rect},
    text::{Line, Span},
};

use super::{frame, onboardings, phrase};
use crate::{
    engine::reader::CircuitRow,
    tui::{
        model::Model,
        widget::{
            table::{Cell, Column, Row, Width},
            text::{draw_lines, percent, piece, plural, wrap},
        },
    },
};

#[rustfmt::skip]
const COLUMNS: &[Column] = &[
    Column::text("operation", Width::Grow(22), 0),
    Column::text("computed", Width::Fit(9), 0),
    Column::text("forced", Width::Fit(13), 2),
    Column::number("failing", 7, 0),
    Column::number("calls", 6, 4),
    Column::text("probe", Width::Fit(17), 1),
    Column::number("holds", 6, 0),
    Column::number("instances", 9, 5),
    Column::number("budget left", 11, 6),
    Column::number("reported", 8, 3),
];

/// Draws the list; answers where the cursor is.
pub(super) fn draw(model: &Model, buffer: &mut Buffer, area: Rect) -> Option<(u16, u16)> {
    let panel = model.panel_rows() as u16;
    let [list, below] = Layout::vertical([Constraint::Min(0), Constraint::Length(panel)]).areas(area);
    let board = model.board()?;
    let inner =
        frame::draw_tight(model, buffer, list, &Line::from(format!(" circuits · {} ", board.circuits.len())));
    let rows = board.circuits.iter().map(|row| cells(model, row));
    let at = onboardings::draw_table(model, buffer, inner, COLUMNS, rows, "no circuit: no call was made yet");
    let here =
        board.circuits.iter().find(|row| model.list().cursor.as_deref() == Some(row.operation.as_str()));
    if let (true, Some(row)) = (panel > 0, here) {
        let inner = frame::draw(model, buffer, below, &Line::from(format!(" {} ", row.operation)));
        draw_lines(buffer, inner, &told(model, row, usize::from(inner.width)));
    }
    at
}

fn cells(model: &Model, row: &CircuitRow) -> Row {
    let look = model.look;
    let computed = phrase::circuit(&CircuitRow { forced: None, ..row.clone() }, look);
    let forced = row.forced.map_or("-".to_owned(), |forced| forced.as_str().replace('_', " "));
    let forced_style = if row.forced.is_some() { look.warn() } else { look.dim() };
    let (worst, all) = row.instances;
    Row {
        cells: vec![
            Cell::new(row.operation.as_str(), look.base()),
            Cell::new(computed.0, computed.1),
            Cell::new(forced, forced_style),
            Cell::new(row.failure_rate.map_or("n/a".to_owned(), percent), look.base()),
            Cell::new(row.calls.to_string(), look.dim()),
            Cell::new(phrase::probe(row, model).unwrap_or_else(|| "-".to_owned()), look.dim()),
            Cell::new(row.holds.to_string(), if row.holds.0 > 0 { look.warn() } else { look.dim() }),
            Cell::new(format!("{worst} of {all}"), look.dim()),
            Cell::new(budget(model, row).unwrap_or_else(|| "n/a".to_owned()), look.dim()),
            Cell::new(phrase::ago(row.reported_at, model), look.dim()),
        ],
        ..Row::default()
    }
}

fn budget(model: &Model, row: &CircuitRow) -> Option<String> {
    let signals = model.snapshot.as_ref()?.signals.as_ref()?;
    let least =
        signals.operations.iter().filter(|o| o.operation == row.operation).filter_map(|o| o.budget_remaining);
    least.min_by(f64::total_cmp).map(percent)
}

fn told(model: &Model, row: &CircuitRow, columns: usize) -> Vec<Line<'static>> {
    let look = model.look;
    let (state, style) = phrase::circuit(row, look);
    let (worst, all) = row.instances;
    let mut lines = vec![Line::from(vec![
        Span::styled(state.to_owned(), style),
        Span::raw(format!(
            "  computed {} by {worst} of {all} workers, {} ago",
            row.state.as_str().replace('_', " "),
            phrase::ago(row.reported_at, model)
        )),
    ])];
    let failing = match row.failure_rate {
        Some(rate) => format!("{} of the last {} calls failed", percent(rate), row.calls),
        None => "too few calls to say how many fail".to_owned(),
    };
    let mut text = vec![failing];
    text.extend(phrase::probe(row, model));
    if let Some(budget) = budget(model, row) {
        text.push(format!("{budget} of its retry budget is left"));
    }
    lines.extend(wrap(&text.join(" · "), columns).into_iter().map(|line| piece(line, look.base())));
    if row.holds.0 > 0 {
        lines.push(piece(
            format!(
                "holds back {} parked {}: Enter lists them",
                row.holds,
                plural(usize::try_from(row.holds.0).unwrap_or_default(), "onboarding")
            ),
            look.warn(),
        ));
    }
    lines
}
