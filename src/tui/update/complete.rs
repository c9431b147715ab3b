//! Completion of filters: field names, their words, and what the picture knows of the others.

use std::collections::BTreeSet;

use super::command_line::shared;
use crate::{
    engine::{
        filter::{Field, Filter},
        reader::{List, Rows},
    },
    tui::model::{Model, Place},
};

/// More values than this help nobody to choose.
const MOST: usize = 50;

/// What the last word of `typed` may become, whole words.
pub fn candidates(model: &Model, typed: &str) -> Vec<String> {
    let word = last_word(typed);
    let (sign, bare) = word.strip_prefix('!').map_or(("", word), |bare| ("!", bare));
    let list = list(model);
    match bare.split_once(':') {
        None if bare.contains('"') => Vec::new(),
        None => {
            let bare = bare.to_ascii_lowercase();
            let fields = Field::of(&list).iter().map(|field| field.as_str());
            fields.filter(|field| field.starts_with(&bare)).map(|field| format!("{sign}{field}:")).collect()
        }
        Some((name, value)) => {
            let Ok(field) = name.to_ascii_lowercase().parse::<Field>() else { return Vec::new() };
            let begun = value.trim_start_matches('"').to_lowercase();
            let mut values: BTreeSet<String> = Filter::known_values(&list, field).into_iter().collect();
            values.extend(seen(model, field));
            let fitting = values.into_iter().filter(|value| value.to_lowercase().starts_with(&begun));
            fitting.take(MOST).map(|value| format!("{sign}{name}:{}", quoted(&value))).collect()
        }
    }
}

/// What Tab makes of `typed`; a value that can only be one is followed by a space.
pub(super) fn complete(model: &Model, typed: &str) -> Option<String> {
    let found = candidates(model, typed);
    let only = found.len() == 1;
    let word = shared(found.into_iter())?;
    let before = &typed[..typed.len() - last_word(typed).len()];
    let end = if only && !word.ends_with(':') { " " } else { "" };
    // What candidates share may be less than what was typed in another case.
    (word.chars().count() >= last_word(typed).chars().count()).then(|| format!("{before}{word}{end}"))
}

/// From the last space outside quotes.
fn last_word(typed: &str) -> &str {
    let (mut begin, mut quoted) = (0, false);
    for (at, c) in typed.char_indices() {
        match c {
            '"' => quoted = !quoted,
            c if c.is_whitespace() && !quoted => begin = at + c.len_utf8(),
            _ => {}
        }
    }
    &typed[begin..]
}

fn quoted(value: &str) -> String {
    if value.contains(char::is_whitespace) { format!("\"{value}\"") } else { value.to_owned() }
}

fn list(model: &Model) -> List {
    match model.list_place() {
        Place::Groups => List::Letters { group: None },
        Place::Pulse | Place::Circuits => List::Onboardings,
        _ => model.query().list,
    }
}

/// The values on the picture: of the rows that are listed, and the circuits.
fn seen(model: &Model, field: Field) -> Vec<String> {
    let mut values = Vec::new();
    if let (Field::Operation, Some(board)) = (field, model.board()) {
        values.extend(board.circuits.iter().map(|row| row.operation.as_str().to_owned()));
        values.extend(
            board.letter_groups.iter().filter_map(|g| Some(g.operation.as_ref()?.as_str().to_owned())),
        );
    }
    match (field, model.listed()) {
        (Field::Tenant, Some(Rows::Onboardings(rows))) => {
            values.extend(rows.iter().map(|row| row.tenant_id.as_str().to_owned()));
        }
        (Field::Repo, Some(Rows::Onboardings(rows))) => {
            values.extend(rows.iter().map(|row| row.repo_url.as_str().to_owned()));
        }
        (Field::Operator, Some(Rows::Onboardings(rows))) => {
            values.extend(
                rows.iter().filter_map(|row| Some(row.last_action.as_ref()?.operator.as_str().to_owned())),
            );
        }
        (Field::Operation, Some(Rows::Keys(rows))) => {
            values.extend(rows.iter().filter_map(|row| Some(row.operation.as_ref()?.as_str().to_owned())));
        }
        (Field::Operator, Some(Rows::Audit(rows))) => {
            values.extend(rows.iter().map(|row| row.operator.as_str().to_owned()));
        }
        (Field::Operation, Some(Rows::Letters(rows))) => {
            values.extend(rows.iter().filter_map(|row| Some(row.operation.as_ref()?.as_str().to_owned())));
        }
        _ => {}
    }
    values.retain(|value| !value.contains('"'));
    values
}
