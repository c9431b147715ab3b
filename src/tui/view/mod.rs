//! The model on the screen. Pure: no clock, no I/O; one file a screen.
//!
//! ```text
//!  redrive  demo · sqlite   ● live 0.3 s   workers 2   targets 2/2          read-write   14:02:31 UTC   header
//!  1 Pulse  2 Onboardings 128  3 Keys 4.1k  …                                                            tabs
//!  stale for 14 s: …                                                                                     banner
//! ┌───────────────────────────────────────────────────────────────────────────────────────────────────┐ body
//! └───────────────────────────────────────────────────────────────────────────────────────────────────┘
//!  R replay  U resume  B roll back  / filter  : command  ? help                                          hints
//! ```

mod ascii;
mod audit;
mod bottom;
mod circuits;
mod dialog;
mod difference;
mod errors;
mod frame;
mod header;
mod headline;
mod help;
mod key;
mod keys;
mod letter;
mod letters;
mod menu;
mod onboarding;
mod onboardings;
mod page;
mod phrase;
mod pulse;
mod scale;
mod timeline;
mod viewer;

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    text::Line,
};

pub use header::tab_at;
pub use help::lines as help_lines;

use super::{
    layout,
    model::{Model, Place},
    theme::Glyphs,
    widget::text::{draw_lines, piece, wrap},
};

/// Draws everything.
pub fn draw(model: &Model, screen: &mut Frame<'_>) {
    let area = screen.area();
    screen.buffer_mut().set_style(area, model.look.base());
    if layout::fits((area.width, area.height)) {
        whole(model, screen, area);
    } else {
        small(model, screen, area);
    }
    if model.look.glyphs == Glyphs::Ascii {
        ascii::apply(screen.buffer_mut());
    }
}

fn small(model: &Model, screen: &mut Frame<'_>, area: Rect) {
    let (columns, rows) = layout::SMALLEST;
    let text = format!("redrive needs {columns} columns and {rows} rows: enlarge the terminal, or q quits");
    let lines: Vec<Line<'static>> =
        wrap(&text, usize::from(area.width)).into_iter().map(|line| piece(line, model.look.base())).collect();
    draw_lines(screen.buffer_mut(), area, &lines);
}

fn whole(model: &Model, screen: &mut Frame<'_>, area: Rect) {
    let banner = model.banner();
    let [header, tabs, banner_row, body, hints] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(banner.len() as u16),
        Constraint::Min(0),
        Constraint::Length(1),
    ])
    .areas(area);
    header::draw(model, screen.buffer_mut(), header);
    header::draw_tabs(model, screen.buffer_mut(), tabs);
    let banner: Vec<_> = banner.iter().map(|line| piece(format!(" {line}"), model.look.warn())).collect();
    draw_lines(screen.buffer_mut(), banner_row, &banner);
    let cursor = body_of(model, screen, body);
    if model.stale().is_some() {
        screen.buffer_mut().set_style(body, model.look.stale());
    }
    bottom::draw_toast(model, screen.buffer_mut(), body);
    menu::draw_orders(model, screen.buffer_mut(), body);
    let typing = bottom::draw(model, screen, hints);
    if model.help.is_some() {
        help::draw(model, screen.buffer_mut(), body);
    } else if model.dialog.is_some() {
        dialog::draw(model, screen, area);
    } else if let (false, Some(position)) = (typing, cursor) {
        // The real cursor stands on the selected row, for screen readers and magnifiers.
        screen.set_cursor_position(position);
    }
}

fn body_of(model: &Model, screen: &mut Frame<'_>, area: Rect) -> Option<(u16, u16)> {
    let buffer = screen.buffer_mut();
    if model.board().is_none() {
        let text = match &model.snapshot {
            None => "waiting for the first picture …".to_owned(),
            Some(_) => model.stale().unwrap_or_default(),
        };
        let inner = frame::draw(model, buffer, area, &text_title("redrive"));
        let lines: Vec<_> = wrap(&text, usize::from(inner.width))
            .into_iter()
            .map(|line| piece(line, model.look.dim()))
            .collect();
        draw_lines(buffer, inner, &lines);
        return None;
    }
    match model.place() {
        Place::Pulse => pulse::draw(model, buffer, area),
        Place::Onboardings => return onboardings::draw(model, buffer, area),
        Place::Keys => return keys::draw(model, buffer, area),
        Place::Groups => return letters::draw_groups(model, buffer, area),
        Place::Letters => return letters::draw(model, buffer, area),
        Place::Circuits => return circuits::draw(model, buffer, area),
        Place::Audit => return audit::draw(model, buffer, area),
        Place::Payload => return viewer::draw(model, buffer, area),
        Place::OnboardingPage | Place::KeyPage | Place::LetterPage => page::draw(model, buffer, area),
    }
    None
}

fn text_title(text: &str) -> Line<'static> {
    Line::from(format!(" {text} "))
}

/// Lines of the open page, so that scrolling knows where it ends.
pub fn page_lines(model: &Model) -> usize {
    page::lines(model, usize::from(model.size.0.saturating_sub(4)))
        .iter()
        .map(Vec::len)
        .max()
        .unwrap_or_default()
}
