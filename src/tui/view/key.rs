//! A key's page: why it will or will not be retried, its lock against its lease, and what stands behind it.

use ratatui::text::{Line, Span};

use super::{
    page::{fact, head},
    phrase,
};
use crate::{
    engine::reader::KeyPage,
    tui::{
        model::Model,
        widget::text::{clock, piece, plural, span, wrap},
    },
};

/// The two columns of the page.
pub(super) fn lines(
    model: &Model,
    page: &KeyPage,
    left: usize,
    right: usize,
) -> (Vec<Line<'static>>, Vec<Line<'static>>) {
    let look = model.look;
    let row = &page.row;
    let now = model.database_now();
    let (word, style) = phrase::key(row, look);
    let mut lines = vec![Line::from(Span::styled(word, style))];
    lines.extend(wrap(&phrase::masked(&page.why), left).into_iter().map(|line| piece(line, look.base())));
    head(model, &mut lines, "lock");
    match row.locked_at {
        None => lines.push(piece("not locked", look.dim())),
        Some(at) => {
            let by = row.locked_by.as_ref().map_or("somebody", |by| by.as_str());
            fact(
                model,
                &mut lines,
                "locked",
                &format!("{} UTC, {} ago, by {by}", clock(at, now), span(now - at)),
                left,
            );
            fact(model, &mut lines, "lease", &phrase::lease(row, model), left);
        }
    }
    head(model, &mut lines, "request");
    fact(
        model,
        &mut lines,
        "operation",
        row.operation.as_ref().map_or("begun elsewhere", |o| o.as_str()),
        left,
    );
    fact(model, &mut lines, "hash", row.request_hash.as_str(), left);
    let conflicts = match row.conflicts {
        0 => "never used for another request".to_owned(),
        n => format!("used {n} times for another request: refused"),
    };
    fact(model, &mut lines, "conflicts", &conflicts, left);
    fact(
        model,
        &mut lines,
        "begun",
        &format!(
            "{} {}, first at {} UTC",
            row.attempts,
            plural(usize::try_from(row.attempts).unwrap_or_default(), "time"),
            clock(row.created_at, now)
        ),
        left,
    );
    head(model, &mut lines, "stored response");
    match (&page.response, row.response_code) {
        (None, None) => lines.push(piece("none", look.dim())),
        (None, Some(code)) => lines.push(piece(format!("code {code}, no body"), look.dim())),
        (Some(body), code) => {
            let code = code.map_or(String::new(), |code| format!("code {code}, "));
            lines.push(piece(
                format!("{code}{} characters, masked", body.as_str().chars().count()),
                look.dim(),
            ));
            match serde_json::from_str(body.as_str()) {
                Ok(json) => super::page::payload(model, &mut lines, &json, left),
                // What is not JSON has no shape to show.
                Err(_) => lines.push(piece("not JSON: its content is hidden", look.dim())),
            }
        }
    }
    let mut side = Vec::new();
    head(model, &mut side, "onboarding behind it");
    match &page.onboarding {
        None => side.push(piece("none", look.dim())),
        Some(row) => {
            let (word, style) = phrase::onboarding(row, model);
            side.push(piece(
                format!("{} · {}", phrase::masked(&row.tenant_id), phrase::repository(&row.repo_url)),
                look.base(),
            ));
            side.push(Line::from(vec![
                Span::styled(word, style),
                Span::raw(format!(
                    "  {}",
                    row.current_state.as_ref().map_or(String::new(), |s| phrase::id(s.as_str()))
                )),
            ]));
            side.push(piece("Enter opens it", look.dim()));
        }
    }
    head(model, &mut side, "dead letters behind it");
    if page.letters.is_empty() {
        side.push(piece("none", look.dim()));
    }
    for letter in &page.letters {
        let (word, style) = phrase::letter(letter, model);
        side.push(Line::from(vec![
            Span::styled(word, style),
            Span::raw(format!("  {} ago", phrase::ago(letter.created_at, model))),
        ]));
        side.extend(
            wrap(&phrase::masked(&letter.error), right.saturating_sub(2))
                .into_iter()
                .map(|line| piece(format!("  {line}"), look.dim())),
        );
    }
    (lines, side)
}
