//! A key's page: why it will or will not be retried, its lock against its lease, and what stands behind it.

use ratatui::text::{Line, Span};

use super::{
    page::{audit, fact, head, payload},
    phrase,
};
use crate::{
    engine::{
        command::{LeftOut, Reasoned},
        plan,
        reader::{KeyPage, KeyRow},
    },
    tui::{
        model::Model,
        widget::text::{clock, number, percent, piece, plural, span, wrap},
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
    let (word, style) = phrase::key(row, model);
    let mut lines = vec![Line::from(Span::styled(word, style))];
    lines.extend(wrap(&phrase::masked(&page.why), left).into_iter().map(|line| piece(line, look.base())));
    let last = phrase::last_action(row.last_action.as_ref(), model);
    if !last.is_empty() {
        lines.push(piece(last, look.dim()));
    }
    lock(model, row, left, &mut lines);
    request(model, row, left, &mut lines);
    response(model, page, left, &mut lines);
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
            Span::raw(format!("  {}", phrase::since(letter.created_at, model))),
        ]));
        side.extend(
            wrap(&phrase::masked(&letter.error), right.saturating_sub(2))
                .into_iter()
                .map(|line| piece(format!("  {line}"), look.dim())),
        );
    }
    audit(model, &mut side, &page.audit, right);
    (lines, side)
}

fn lock(model: &Model, row: &KeyRow, columns: usize, lines: &mut Vec<Line<'static>>) {
    head(model, lines, "lock");
    let released = plan::judge_release(&row.standing(), None, Reasoned::No);
    if matches!(released, Err(LeftOut::NotHeld { .. })) {
        lines.push(piece("not held", model.look.dim()));
        return;
    }
    let now = model.database_now();
    let since = row.locked_at.map_or("since an unknown time".to_owned(), |at| {
        format!("{} UTC, {} ago", clock(at, now), span(now - at))
    });
    fact(model, lines, "locked", &since, columns);
    let lease = if row.lease_until.is_some() { phrase::lease(row, model) } else { "none".to_owned() };
    fact(model, lines, "lease", &lease, columns);
    let beats = if row.holder_alive { "shows a heartbeat" } else { "shows no heartbeat here" };
    let holder = row.locked_by.as_ref().map_or("nobody says who".to_owned(), |by| format!("{by}, {beats}"));
    fact(model, lines, "holder", &holder, columns);
    if !model.read_only() {
        let how = match released {
            Ok(()) => "L releases it",
            Err(_) => "L releases it, with a reason: its holder may be at work",
        };
        fact(model, lines, "release", how, columns);
    }
}

fn request(model: &Model, row: &KeyRow, columns: usize, lines: &mut Vec<Line<'static>>) {
    head(model, lines, "request");
    let now = model.database_now();
    let operation = row.operation.as_ref();
    fact(model, lines, "operation", operation.map_or("begun elsewhere", |o| o.as_str()), columns);
    if let Some(signal) = operation.and_then(|name| phrase::key_signal(model, name.as_str())) {
        let ratio = signal.hit_ratio.map_or("n/a".to_owned(), percent);
        let asked = number(i64::try_from(signal.asked).unwrap_or(i64::MAX));
        let asked = format!("{ratio}, of {asked} asked in the last 5 min");
        fact(model, lines, "hit ratio", &asked, columns);
    }
    fact(model, lines, "hash", row.request_hash.as_str(), columns);
    let conflicts = match row.conflicts {
        0 => "never used for another request".to_owned(),
        1 => "used once for another request: refused".to_owned(),
        n => format!("used {n} times for another request: refused"),
    };
    fact(model, lines, "conflicts", &conflicts, columns);
    let times = plural(usize::try_from(row.attempts).unwrap_or_default(), "time");
    let first = clock(row.created_at, now);
    fact(model, lines, "attempts", &format!("{} {times}, first at {first} UTC", row.attempts), columns);
    let kept = match row.expires_at {
        Some(at) if at > now => format!("until {} UTC, for another {}", clock(at, now), span(at - now)),
        Some(at) => format!("no longer: its retention ended {} ago", span(now - at)),
        None if row.phase.is_some() => "while it is worked under".to_owned(),
        None => "as long as whoever asks keeps its keys".to_owned(),
    };
    fact(model, lines, "kept", &kept, columns);
}

fn response(model: &Model, page: &KeyPage, columns: usize, lines: &mut Vec<Line<'static>>) {
    let look = model.look;
    head(model, lines, "stored response");
    let code = page.row.response_code.map(|code| format!("code {code}"));
    let bytes = page.response_bytes.map(|n| format!("{} {}, masked", number(n as i64), plural(n, "byte")));
    let said: Vec<String> = [code, bytes].into_iter().flatten().collect();
    lines.push(piece(if said.is_empty() { "none".to_owned() } else { said.join(", ") }, look.dim()));
    if !page.response_headers.is_empty() {
        let names: Vec<&str> = page.response_headers.iter().map(|name| name.as_str()).collect();
        fact(model, lines, "headers", &names.join(", "), columns);
    }
    if let Some(body) = &page.response {
        payload(model, lines, body, columns);
    }
}
