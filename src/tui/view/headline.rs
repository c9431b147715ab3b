//! Pulse's headline: the verdict with its proof and levers, and what the verdict alone would hide.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    text::{Line, Span},
};

use super::{frame, phrase};
use crate::{
    metrics::signals::{Signals, VerdictKind},
    poll::advice::{Advice, Matter},
    tui::{
        model::Model,
        widget::text::{draw_lines, fit_line, flow, percent, piece, running, width, wrap},
    },
};

/// What the metrics say, where there are any.
pub(super) fn signals(model: &Model) -> Option<&Signals> {
    model.snapshot.as_ref()?.signals.as_deref()
}

/// What it says in at most `most` lines of `columns`; a cut is shown.
pub(super) fn lines(model: &Model, columns: usize, most: usize) -> Vec<Line<'static>> {
    let mut lines = whole(model, columns);
    if lines.len() > most {
        lines.truncate(most);
        if let Some(last) = lines.last_mut() {
            *last = fit_line(last, columns.saturating_sub(2));
            last.spans.push(Span::styled(" …", model.look.dim()));
        }
    }
    lines
}

/// Draws the box around `lines`.
pub(super) fn draw(model: &Model, buffer: &mut Buffer, area: Rect, lines: &[Line<'static>]) {
    let advice = advice(model);
    let title = title(model, &advice);
    let inner = match warned(model, &advice) {
        true => frame::draw_warning(model, buffer, area, &title),
        false => frame::draw(model, buffer, area, &title),
    };
    draw_lines(buffer, inner, lines);
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

fn title(model: &Model, advice: &[Advice]) -> Line<'static> {
    let look = model.look;
    let mut spans = match signals(model) {
        None => vec![Span::raw(" no metrics ")],
        Some(signals) => {
            let verdict = &signals.verdict;
            let mut text = format!(" {} ", verdict.kind);
            if let (Some(since), false) =
                (verdict.since, matches!(verdict.kind, VerdictKind::Calm | VerdictKind::Unknown))
            {
                text.push_str(&format!("{} ", running(model.moment() - since)));
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
        let keyed = advice.does.filter(|_| !model.read_only());
        let keyed = keyed.and_then(|does| Some((model.setting.preferences.keys.instead_of(does.key)?, does)));
        match keyed {
            Some((key, does)) if width(&text) + 4 + width(does.what) <= columns => {
                lines.push(Line::from(vec![
                    Span::styled(format!("{text}: "), style),
                    Span::styled(key, look.accent()),
                    Span::styled(format!(" {}", does.what), style),
                ]));
                continue;
            }
            Some((key, does)) => text.push_str(&format!(": {key} {}", does.what)),
            None => {}
        }
        lines.extend(wrap(&text, columns).into_iter().map(|line| piece(line, style)));
    }
    lines
}

fn whole(model: &Model, columns: usize) -> Vec<Line<'static>> {
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
    if let Some(root) = &verdict.root {
        origin.push(format!("{root} fails"));
    }
    if !verdict.callers.is_empty() {
        let callers: Vec<_> = verdict
            .callers
            .iter()
            .filter(|(_, share)| *share >= 0.005)
            .take(4)
            .map(|(name, share)| format!("{name} {}", percent(*share)))
            .collect();
        origin.push(format!("from {}", callers.join(", ")));
    }
    if let (Some(began), false) = (verdict.began.or(verdict.since), verdict.kind == VerdictKind::Calm) {
        origin.push(format!("began {}", phrase::moment(began, model)));
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
            let bound = |key| model.setting.preferences.keys.instead_of(key);
            if let Some(key) = lever.key.filter(|_| !model.read_only()).and_then(bound) {
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
