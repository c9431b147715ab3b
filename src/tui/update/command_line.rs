//! The command line: words for what keys do, completed by Tab. Only what exists can be typed.

use crate::tui::{
    Exit,
    keys::{Action, Kind, TABLE},
    model::{Entry, Model, View},
    msg::Effect,
    theme::{Look, Palette},
};

/// What a word asks for.
enum Word {
    Do(Action),
    Theme(Palette),
    Quit,
}

const WORDS: &[(&str, Word)] = &[
    ("audit", Word::Do(Action::Show(View::Audit))),
    ("circuits", Word::Do(Action::Show(View::Circuits))),
    ("discard", Word::Do(Action::Discard)),
    ("filter", Word::Do(Action::Filter)),
    ("force", Word::Do(Action::Force)),
    ("freeze", Word::Do(Action::Freeze)),
    ("help", Word::Do(Action::Help)),
    ("keys", Word::Do(Action::Show(View::Keys))),
    ("letters", Word::Do(Action::Show(View::Letters))),
    ("onboardings", Word::Do(Action::Show(View::Onboardings))),
    ("payload", Word::Do(Action::Payload)),
    ("pause", Word::Do(Action::Pause)),
    ("pulse", Word::Do(Action::Show(View::Pulse))),
    ("quit", Word::Quit),
    ("refresh", Word::Do(Action::Refresh)),
    ("release", Word::Do(Action::Release)),
    ("replay", Word::Do(Action::Replay)),
    ("restore", Word::Do(Action::Discard)),
    ("reveal", Word::Do(Action::Reveal)),
    ("resume", Word::Do(Action::Resume)),
    ("rollback", Word::Do(Action::RollBack)),
    ("unpause", Word::Do(Action::Pause)),
    ("stop", Word::Do(Action::Stop)),
    ("theme dark", Word::Theme(Palette::Dark)),
    ("theme light", Word::Theme(Palette::Light)),
];

/// The commands that begin with `typed`.
pub fn completions(typed: &str) -> Vec<&'static str> {
    let typed = typed.trim_start().to_lowercase();
    WORDS.iter().map(|(word, _)| *word).filter(|word| word.starts_with(&typed)).collect()
}

/// What Tab makes of `typed`: as much as all candidates share.
pub(super) fn complete(typed: &str) -> Option<String> {
    let candidates = completions(typed);
    let first = candidates.first()?;
    let shared =
        (1..=first.len()).rev().find(|n| candidates.iter().all(|word| word.starts_with(&first[..*n])))?;
    Some(first[..shared].to_owned())
}

/// Obeys what was typed.
pub(super) fn obey(model: &mut Model, typed: &str) -> Result<Vec<Effect>, String> {
    if typed.is_empty() {
        return Ok(Vec::new());
    }
    let candidates = completions(typed);
    let exact = WORDS.iter().find(|(word, _)| *word == typed.to_lowercase());
    // A beginning is enough when nothing else begins like it; `q` is what everybody types.
    let found = exact.or_else(|| match candidates.as_slice() {
        [only] => WORDS.iter().find(|(word, _)| word == only),
        _ => None,
    });
    match found.map(|(_, word)| word) {
        None if candidates.is_empty() => with_argument(model, typed),
        None => Err(format!("which one? {}", candidates.join(", "))),
        Some(Word::Quit) => Ok(vec![Effect::Quit(Exit::Asked)]),
        Some(Word::Theme(palette)) => {
            if model.look.palette != Palette::Mono {
                model.look = Look { palette: *palette, ..model.look };
            }
            Ok(Vec::new())
        }
        Some(Word::Do(action)) => {
            let binding = TABLE.iter().find(|binding| binding.action == *action);
            match binding {
                Some(b) if b.kind == Kind::Writes && model.read_only() => {
                    Err("this dashboard is read-only; start it without --read-only".to_owned())
                }
                Some(b) if *action != Action::Filter && !b.works_at(model.place()) => {
                    Err(format!("{typed} has nothing to act on here"))
                }
                _ => {
                    model.entry = Entry::None;
                    Ok(super::obey(model, *action))
                }
            }
        }
    }
}

/// A word and more: only a filter takes an argument.
fn with_argument(model: &mut Model, typed: &str) -> Result<Vec<Effect>, String> {
    let (first, argument) = typed.split_once(char::is_whitespace).unwrap_or((typed, ""));
    let candidates = completions(first);
    match (candidates.as_slice(), argument.trim()) {
        ([], _) | (_, "") => Err(format!(
            "no command {:?}: Tab shows what there is",
            crate::domain::text::SafeText::new(first).as_str()
        )),
        (["filter"], argument) => {
            let filter = model.parse_filter(argument).map_err(|why| why.to_string())?;
            super::begin_filter(model);
            model.entry = Entry::None;
            super::entry::set_filter(model, argument.to_owned(), filter);
            Ok(Vec::new())
        }
        ([only], _) => {
            Err(format!("{only} takes no argument: it acts on the screen, the marked rows or the cursor's"))
        }
        (several, _) => Err(format!("which one? {}", several.join(", "))),
    }
}
