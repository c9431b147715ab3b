//! Typing: the filter, the command line, and text fields in general. A paste is text, never keys.

use tui_input::{Input, InputRequest};

use crate::{
    engine::filter::Filter,
    tui::{
        dialog::Focus,
        model::{Entry, Model, Place, View, told_by_groups},
        msg::{Effect, Key},
    },
};

use super::{command_line, complete, navigate, viewer};

/// The longest text a field takes.
const MAX_CHARS: usize = 1_000;

/// `/`.
pub(super) fn begin_filter(model: &mut Model) {
    if model.list_place() != Place::Pulse && model.list_place() != Place::Circuits {
        let typed = &model.list().typed;
        model.entry = match typed.is_empty() {
            true => Entry::Filter(Input::default(), None),
            false => Entry::Present(Input::new(typed.clone())),
        };
    }
}

/// Leaves in what was typed. What groups of letters cannot tell is asked of the letters, one by one; leaving such a
/// filter leads back to the groups.
pub(super) fn set_filter(model: &mut Model, typed: String, filter: Filter) {
    let ungroups = model.list_place() == Place::Groups && !told_by_groups(&filter);
    if ungroups {
        navigate::regroup(model);
    }
    let list = model.list_mut();
    list.filter = filter;
    list.typed = typed;
    list.limit = 0;
    list.range = None;
    list.from = ungroups.then_some(View::Letters);
}

/// `:`.
pub(super) fn begin_command(model: &mut Model) {
    model.picked = None;
    model.entry = Entry::Command(Input::default(), None);
}

/// A key while something is typed.
pub(super) fn key(model: &mut Model, key: Key) -> Vec<Effect> {
    if let Entry::Present(input) = &mut model.entry {
        let input = match key {
            Key::Esc | Key::Enter => {
                model.entry = Entry::None;
                return Vec::new();
            }
            Key::Char(_) | Key::Backspace | Key::Delete => Input::default(),
            _ => std::mem::take(input),
        };
        model.entry = Entry::Filter(input, None);
    }
    match (&mut model.entry, key) {
        (_, Key::Esc) => model.entry = Entry::None,
        (Entry::Filter(input, _), Key::Enter) => {
            let typed = input.value().trim().to_owned();
            match model.parse_filter(&typed) {
                Err(why) => {
                    if let Entry::Filter(_, error) = &mut model.entry {
                        *error = Some(why.to_string());
                    }
                }
                Ok(filter) => {
                    model.entry = Entry::None;
                    set_filter(model, typed, filter);
                }
            }
        }
        (Entry::Filter(input, _), Key::Tab) => {
            let typed = input.value().to_owned();
            if let (Some(completed), Entry::Filter(input, error)) =
                (complete::complete(model, &typed), &mut model.entry)
            {
                (*input, *error) = (Input::new(completed), None);
            }
        }
        (Entry::Filter(input, error), key) => {
            edit(input, key);
            // Half a word is no mistake yet: complain while typing only about what more typing cannot mend.
            *error = Filter::parse(input.value())
                .err()
                .filter(|why| matches!(why.cause(), crate::engine::filter::FilterError::UnknownField { .. }))
                .map(|why| why.to_string());
        }
        (Entry::Search(input), Key::Enter) => {
            let typed = input.value().to_owned();
            model.entry = Entry::None;
            viewer::search(model, &typed);
        }
        (Entry::Search(input), key) => edit(input, key),
        (Entry::Command(input, _), Key::Enter) => {
            let typed = input.value().trim().to_owned();
            let obeyed = match model.picked.take() {
                Some(at) => command_line::choose(model, &typed, at),
                None => command_line::obey(model, &typed),
            };
            match obeyed {
                Ok(effects) => {
                    if matches!(model.entry, Entry::Command(..)) {
                        model.entry = Entry::None;
                    }
                    return effects;
                }
                Err(why) => {
                    if let Entry::Command(_, error) = &mut model.entry {
                        *error = Some(why);
                    }
                }
            }
        }
        (Entry::Command(input, _), Key::Tab) => {
            model.picked = None;
            let typed = input.value().to_owned();
            let completed = command_line::complete(model, &typed).filter(|completed| !completed.is_empty());
            if let Entry::Command(input, error) = &mut model.entry {
                *error = None;
                *input = completed.map_or_else(|| Input::new(typed), Input::new);
            }
        }
        (Entry::Command(input, _), Key::Down | Key::Up) => {
            let typed = input.value().to_owned();
            let count = command_line::found(model, &typed).len();
            if let Entry::Command(_, error) = &mut model.entry {
                *error = None;
            }
            model.picked = match (model.picked, key) {
                (None, Key::Down) if count > 0 => Some(0),
                (None, _) => count.checked_sub(1),
                (Some(at), Key::Down) => Some((at + 1) % count.max(1)),
                (Some(at), _) => at.checked_sub(1),
            };
        }
        (Entry::Command(input, _), Key::Backspace) if input.value().is_empty() => model.entry = Entry::None,
        (Entry::Command(input, error), key) => {
            (*error, model.picked) = (None, None);
            edit(input, key);
        }
        (Entry::None | Entry::Present(_), _) => {}
    }
    Vec::new()
}

/// Pasted text goes where text is being typed, in one line, and nowhere else.
pub(super) fn paste(model: &mut Model, text: &str) {
    if matches!(model.entry, Entry::Present(_)) {
        model.entry = Entry::Filter(Input::default(), None);
    }
    let input = match (&mut model.entry, model.dialog.as_mut()) {
        (Entry::Filter(input, _) | Entry::Command(input, _) | Entry::Search(input), _) => input,
        (_, Some(dialog)) if dialog.focus == Focus::Reason => &mut dialog.reason,
        (_, Some(dialog)) if dialog.focus == Focus::Limit => &mut dialog.limit,
        _ => return,
    };
    for c in text.trim().chars().take(MAX_CHARS) {
        insert(input, if c.is_control() { ' ' } else { c });
    }
}

/// One key in a text field.
pub(super) fn edit(input: &mut Input, key: Key) {
    let request = match key {
        Key::Char(c) => return insert(input, c),
        Key::Backspace | Key::Ctrl('h') => InputRequest::DeletePrevChar,
        Key::Delete => InputRequest::DeleteNextChar,
        Key::Left => InputRequest::GoToPrevChar,
        Key::Right => InputRequest::GoToNextChar,
        Key::Home | Key::Ctrl('a') => InputRequest::GoToStart,
        Key::End | Key::Ctrl('e') => InputRequest::GoToEnd,
        Key::Ctrl('w') => InputRequest::DeletePrevWord,
        Key::Ctrl('u') => InputRequest::DeleteFromStart,
        Key::Ctrl('k') => InputRequest::DeleteTillEnd,
        _ => return,
    };
    input.handle(request);
}

fn insert(input: &mut Input, c: char) {
    if input.value().chars().count() < MAX_CHARS {
        input.handle(InputRequest::InsertChar(c));
    }
}
