//! The last line: hints, or what is being typed. And the message that lies over the body for a while.

use ratatui::{
    Frame,
    buffer::Buffer,
    layout::Rect,
    style::Style,
    text::{Line, Span},
    widgets::{Clear, Widget as _},
};
use tui_input::Input;

use crate::{
    domain::text::{SafeText, is_hostile},
    tui::{
        keys,
        model::{Entry, Model, Tone},
        update::candidates,
        widget::text::{draw_lines, fit, piece, width, wrap},
    },
};

/// Draws the last line; answers whether the real cursor stands in it.
pub(super) fn draw(model: &Model, screen: &mut Frame<'_>, area: Rect) -> bool {
    match &model.entry {
        Entry::None => {
            draw_lines(screen.buffer_mut(), area, &[hints(model, usize::from(area.width))]);
            false
        }
        Entry::Filter(input, error) => {
            let found = match input.value().is_empty() {
                true => Vec::new(),
                false => candidates(model, input.value()),
            };
            let help = match found.as_slice() {
                [] => "Enter applies · Esc leaves · Tab completes · field:value !not \"quotes\"".to_owned(),
                found => format!("Tab: {}", found.join(" ")),
            };
            field(model, screen, area, ("/", input, Style::new()), error.as_deref(), &help);
            true
        }
        Entry::Present(input) => {
            let help = "typing replaces it · Backspace clears · ← → edit · Esc leaves";
            field(model, screen, area, ("/", input, model.look.chosen()), None, help);
            true
        }
        Entry::Search(input) => {
            let help = "Enter looks for it · Esc leaves";
            field(model, screen, area, ("/", input, Style::new()), None, help);
            true
        }
        Entry::Command(input, error) => {
            let above = Rect { y: 0, height: area.y, ..area };
            super::menu::draw_commands(model, screen.buffer_mut(), above);
            let help = "Enter does it · Tab completes · ↑ ↓ choose · Esc leaves";
            field(model, screen, area, (":", input, Style::new()), error.as_deref(), help);
            true
        }
    }
}

fn hints(model: &Model, columns: usize) -> Line<'static> {
    let look = model.look;
    let own = &model.setting.preferences.keys;
    let all = keys::hints(own, model.place(), model.read_only(), model.frozen.is_some());
    let wide = |(key, label): &(String, &str)| width(key) + width(label) + 3;
    // The way to everything else is always there.
    let (help, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|(_, label)| *label == "help");
    let mut room = columns.saturating_sub(1 + help.iter().map(wide).sum::<usize>());
    let fitting = others.into_iter().take_while(|hint| {
        let fits = wide(hint) <= room;
        room = room.saturating_sub(wide(hint));
        fits
    });
    let mut line = Line::from(" ");
    for (key, label) in fitting.chain(help) {
        line.spans.push(Span::styled(key, look.accent()));
        line.spans.push(Span::styled(format!(" {label}  "), look.dim()));
    }
    line
}

fn field(
    model: &Model,
    screen: &mut Frame<'_>,
    area: Rect,
    typed: (&str, &Input, Style),
    error: Option<&str>,
    help: &str,
) {
    let (sign, input, style_typed) = typed;
    // A reminder may be cut, a mistake may not.
    let whole = error.is_some();
    let columns = usize::from(area.width);
    let text_room = (columns / 2).max(20).min(columns.saturating_sub(3));
    let scroll = input.visual_scroll(text_room);
    let shown: String = skip_columns(input.value(), scroll, text_room);
    let (said, style) = match error {
        Some(error) => (error, model.look.bad()),
        None => (help, model.look.dim()),
    };
    let used = 3 + width(&shown).max(12) + 2;
    let room = columns.saturating_sub(used);
    // What does not fit beside what is typed stands above it, whole.
    let said = if width(said) > room && whole {
        let above = Rect { y: 0, height: area.y, ..area };
        draw_over(model, screen.buffer_mut(), above, said, style);
        Span::default()
    } else {
        Span::styled(fit(said, room), style)
    };
    let line = Line::from(vec![
        Span::styled(format!(" {sign}"), model.look.accent()),
        Span::styled(shown.clone(), style_typed),
        Span::raw(" ".repeat(12_usize.saturating_sub(width(&shown)))),
        Span::raw("   "),
        said,
    ]);
    draw_lines(screen.buffer_mut(), area, &[line]);
    let column = 2 + input.visual_cursor().saturating_sub(scroll);
    screen.set_cursor_position((area.x + column.min(columns.saturating_sub(1)) as u16, area.y));
}

/// The part of `text` that a field of `columns` shows when it is scrolled; typed text is shown safely.
pub(super) fn skip_columns(text: &str, skip: usize, columns: usize) -> String {
    let (mut at, mut out, mut marks) = (0, String::new(), 0);
    for c in text.chars() {
        let wide = width(c.encode_utf8(&mut [0; 4]));
        marks = if wide == 0 { marks + 1 } else { 0 };
        if at >= skip && at + wide <= skip + columns && marks < SafeText::MAX_MARKS {
            match is_hostile(c) {
                false => out.push(c),
                true => out.extend(std::iter::repeat_n('?', wide)),
            }
        }
        at += wide;
    }
    out
}

/// The message, over the last rows of the body.
pub(super) fn draw_toast(model: &Model, buffer: &mut Buffer, body: Rect) {
    let Some(toast) = &model.toast else { return };
    let style = match toast.tone {
        Tone::Good => model.look.good(),
        Tone::Note => model.look.accent(),
        Tone::Bad => model.look.bad(),
    };
    draw_over(model, buffer, body, toast.text.as_str(), style);
}

/// `text` in a box over the last rows of `body`.
fn draw_over(model: &Model, buffer: &mut Buffer, body: Rect, text: &str, style: Style) {
    let columns = usize::from(body.width.saturating_sub(4));
    let mut lines = wrap(text, columns);
    let most = usize::from(body.height / 2).clamp(1, 7);
    if lines.len() > most {
        lines.truncate(most);
        let last = lines.pop().unwrap_or_default();
        lines.push(fit(&format!("{last} …"), columns));
    }
    let rows = (lines.len() as u16 + 2).min(body.height);
    let area = Rect { y: body.bottom() - rows, height: rows, ..body };
    Clear.render(area, buffer);
    buffer.set_style(area, model.look.base());
    let inner = super::frame::draw(model, buffer, area, &Line::default());
    let lines: Vec<_> = lines.into_iter().map(|line| piece(line, style)).collect();
    draw_lines(buffer, inner, &lines);
}
