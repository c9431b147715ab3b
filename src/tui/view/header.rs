//! The first two lines: what this is, whether it is live, and the six screens.

use chrono::TimeDelta;
use ratatui::{
    buffer::Buffer,
    layout::Rect,
    text::{Line, Span},
};

use crate::{
    domain::onboarding::WORKFLOW,
    tui::{
        model::{Model, View},
        widget::text::{clock, draw_lines, fit, interval, span, whole_span, width},
    },
};

/// How often the database is read when nobody says; other intervals are said.
const USUAL: std::time::Duration = std::time::Duration::from_secs(1);

/// What this is, how old it is, who works, who answers, what may be done, how late it is.
pub(super) fn draw(model: &Model, buffer: &mut Buffer, area: Rect) {
    let look = model.look;
    // With each whether it is unusual, and stays on however narrow a screen.
    let mut facts: Vec<(Span<'static>, bool)> = Vec::new();
    let age = model.age().map(span).unwrap_or_default();
    let live = match (model.stale(), model.frozen, model.setting.playback) {
        (_, Some(at), _) => {
            let ago = whole_span((model.now - at).max(TimeDelta::zero()));
            let frozen = if area.width < 80 { "" } else { "frozen " };
            Span::styled(format!("‖ {frozen}{}, {ago} ago", clock(at, model.now)), look.warn())
        }
        (None, None, Some(1.0)) => Span::styled("● playing", look.good()),
        (None, None, Some(speed)) => Span::styled(format!("● playing {speed}×"), look.good()),
        (None, None, None) => Span::styled(format!("● live {age}"), look.good()),
        (Some(_), None, _) => Span::styled(format!("○ stale {age}").trim_end().to_owned(), look.bad()),
    };
    if model.setting.preferences.production {
        facts.push((Span::styled(" PRODUCTION ", look.danger()), true));
    }
    facts.push((live, true));
    if model.setting.recording {
        facts.push((Span::styled("recording", look.warn()), true));
    }
    if model.setting.interval != USUAL {
        facts.push((Span::styled(format!("every {}", interval(model.setting.interval)), look.dim()), false));
    }
    if let Some(board) = model.board() {
        let alive = board.workers.iter().filter(|worker| worker.alive).count();
        let style = if alive == 0 { look.bad() } else { look.base() };
        facts.push((Span::styled(format!("workers {alive}"), style), alive == 0));
    }
    if let Some(board) = model.board()
        && board.pauses.iter().any(|pause| pause.operation.as_str() == WORKFLOW)
    {
        facts.push((Span::styled("onboardings paused", look.warn()), true));
    }
    let signals = model.snapshot.as_ref().and_then(|snapshot| snapshot.signals.as_ref());
    // Without targets the verdict is made of what workers left in the database.
    if let Some(signals) = signals.filter(|signals| !signals.targets.is_empty()) {
        let well = signals.targets.iter().filter(|target| target.error.is_none()).count();
        let all = signals.targets.len();
        let style = if well < all { look.warn() } else { look.base() };
        facts.push((Span::styled(format!("targets {well}/{all}"), style), well < all));
    }
    // On a narrow screen only the unusual is said.
    let access = match (model.read_only(), model.refusal(), area.width >= 100) {
        (true, Some(why), _) => format!("read-only: {why}"),
        (true, None, _) => "read-only".to_owned(),
        (false, _, true) => "read-write".to_owned(),
        (false, _, false) => String::new(),
    };
    let time = format!("{} UTC ", model.now.format("%H:%M:%S"));
    let gap_before_clock = if access.is_empty() { "" } else { "   " };
    let right = format!("{access}{gap_before_clock}{time}");
    let wide = usize::from(area.width);
    let name = " redrive  ";
    let facts_width = |gap: usize, facts: &[(Span<'static>, bool)]| {
        facts.iter().map(|(s, _)| gap + width(&s.content)).sum::<usize>()
    };
    let room = wide.saturating_sub(width(name) + width(&right) + 1);
    // The title gives way first, then the gaps, then the usual facts from the right, then the time of day.
    let gap = if facts_width(3, &facts) + 12 <= room { 3 } else { 2 };
    while facts_width(gap, &facts) + 6 > room {
        let Some(usual) = facts.iter().rposition(|(_, unusual)| !unusual) else { break };
        facts.remove(usual);
    }
    let (time, gap_before_clock) =
        if facts_width(gap, &facts) > room { (" ".to_owned(), "") } else { (time, gap_before_clock) };
    let right = format!("{access}{gap_before_clock}{time}");
    let room = wide.saturating_sub(width(name) + width(&right) + 1);
    let title = fit(model.setting.title.as_str(), room.saturating_sub(facts_width(gap, &facts)));
    let named = if model.setting.preferences.production { look.bad() } else { look.title() };
    let mut line = Line::from(vec![Span::styled(name, look.accent()), Span::styled(title, named)]);
    for (fact, _) in facts {
        line.spans.push(Span::raw(" ".repeat(gap)));
        line.spans.push(fact);
    }
    let fill = wide.saturating_sub(line.width() + width(&right));
    line.spans.push(Span::raw(" ".repeat(fill)));
    line.spans.push(Span::styled(access, if model.read_only() { look.warn() } else { look.dim() }));
    line.spans.push(Span::styled(format!("{gap_before_clock}{time}"), look.dim()));
    draw_lines(buffer, area, &[line]);
}

/// The screens with how much is on each.
pub(super) fn draw_tabs(model: &Model, buffer: &mut Buffer, area: Rect) {
    let mut spans = Vec::new();
    for (view, text) in tabs(model, usize::from(area.width)) {
        let style = if view == model.view { model.look.chosen() } else { model.look.dim() };
        spans.push(Span::styled(text, style));
    }
    draw_lines(buffer, area, &[Line::from(spans)]);
}

/// The screen whose tab is at `column`.
pub fn tab_at(model: &Model, column: u16) -> Option<View> {
    let mut end = 0;
    tabs(model, usize::from(model.size.0)).into_iter().find_map(|(view, text)| {
        end += width(&text);
        (usize::from(column) < end).then_some(view)
    })
}

/// What the tabs say on a screen of `columns`: without counts where those do not fit.
fn tabs(model: &Model, columns: usize) -> Vec<(View, String)> {
    let counts = model.board().map(|board| {
        let counts = &board.counts;
        [
            String::new(),
            counts.onboardings.to_string(),
            counts.keys.to_string(),
            counts.letters.to_string(),
            board.circuits.len().to_string(),
            String::new(),
        ]
    });
    let tab = |view: View, counted: bool| {
        let count = counts.as_ref().map(|counts| counts[view.index()].as_str()).unwrap_or_default();
        let count = if counted && !count.is_empty() { format!(" {count}") } else { String::new() };
        (view, format!(" {} {}{count} ", view.index() + 1, view.name()))
    };
    let counted = View::ALL.map(|view| tab(view, true));
    let wide: usize = counted.iter().map(|(_, text)| width(text)).sum();
    if wide <= columns { counted.to_vec() } else { View::ALL.map(|view| tab(view, false)).to_vec() }
}
