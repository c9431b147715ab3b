//! The command line: a word for everything there is to do, searched while typing, completed by Tab. Only what exists can
//! be typed.

use crate::tui::{
    Exit,
    keys::{Action, Kind, TABLE},
    model::{Entry, Model},
    msg::Effect,
    preferences::Switch,
    theme::Palette,
};

use super::{sort, why_read_only};

/// What a command asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    Do(Action),
    Theme(Palette),
    /// The n-th order of the list that is shown.
    Sort(usize),
    /// The n-th saved view.
    View(usize),
    /// The n-th context.
    Context(usize),
    /// Let it write, or not.
    Writing(bool),
}

/// One thing to do.
#[derive(Debug, Clone)]
pub struct Entered {
    /// What is typed.
    pub text: String,
    /// The keys that do the same.
    pub keys: String,
    /// What it does.
    pub help: String,
    word: Word,
}

/// Moves: nobody spells them out.
const MOVES: [Action; 9] = [
    Action::Down,
    Action::Up,
    Action::Top,
    Action::Bottom,
    Action::HalfDown,
    Action::HalfUp,
    Action::PageDown,
    Action::PageUp,
    Action::CommandLine,
];

/// Other words for the same.
const ALIASES: [(&str, Action, &str); 3] = [
    ("restore", Action::Discard, "Open discarded or quarantined letters again."),
    ("rollback", Action::RollBack, "Roll back the onboarding of the row."),
    ("unpause", Action::Pause, "Let the row's operation go on."),
];

fn all(model: &Model) -> Vec<Entered> {
    let chosen = &model.setting.preferences;
    let of =
        |action: Action| chosen.keys.keys(binding_of(action)).iter().map(|k| crate::tui::keys::shown(*k));
    let say = |text: String, keys: String, help: String, word| Entered { text, keys, help, word };
    let mut all: Vec<Entered> = TABLE
        .iter()
        .filter(|binding| !MOVES.contains(&binding.action))
        .map(|b| say(b.name(), chosen.keys.shown_keys(b), b.help.to_owned(), Word::Do(b.action)))
        .collect();
    for (text, action, help) in ALIASES {
        let keys = of(action).collect::<Vec<_>>().join(" ");
        all.push(say(text.to_owned(), keys, help.to_owned(), Word::Do(action)));
    }
    for (at, order) in model.orders().iter().enumerate() {
        all.push(say(format!("sort {order}"), String::new(), "Sort this list.".to_owned(), Word::Sort(at)));
    }
    for palette in Palette::CHOICES {
        let text = format!("theme {}", palette.name());
        all.push(say(text, String::new(), palette.about().to_owned(), Word::Theme(palette)));
    }
    for (at, view) in chosen.views.iter().enumerate() {
        let help = match view.typed.as_str() {
            "" => "A saved view.".to_owned(),
            typed => format!("A saved view: {}", crate::domain::text::SafeText::new(typed).as_str()),
        };
        all.push(say(format!("view {}", view.name), String::new(), help, Word::View(at)));
    }
    for (at, name) in chosen.contexts.iter().enumerate() {
        let help = "Look at this context of the config file.".to_owned();
        all.push(say(format!("ctx {name}"), String::new(), help, Word::Context(at)));
    }
    let help = "Allow writing, where this dashboard may.".to_owned();
    all.push(say("rw".to_owned(), String::new(), help, Word::Writing(true)));
    let help = "Read-only until rw: nothing can be written.".to_owned();
    all.push(say("ro".to_owned(), String::new(), help, Word::Writing(false)));
    all
}

fn binding_of(action: Action) -> &'static crate::tui::keys::Binding {
    TABLE.iter().find(|binding| binding.action == action).unwrap_or(&TABLE[0])
}

fn writes(word: Word) -> bool {
    matches!(word, Word::Do(action) if binding_of(action).kind == Kind::Writes)
}

/// What begins with `typed`; then what holds it, then what speaks of it.
pub fn found(model: &Model, typed: &str) -> Vec<Entered> {
    let typed = typed.trim().to_lowercase();
    let rank = |entered: &Entered| {
        let text = entered.text.to_lowercase();
        match () {
            () if text.starts_with(&typed) => Some(0),
            () if text.contains(&typed) => Some(1),
            () if typed.len() > 2 && entered.help.to_lowercase().contains(&typed) => Some(2),
            () => None,
        }
    };
    let offered = all(model).into_iter().filter(|entered| !model.read_only() || !writes(entered.word));
    let mut found: Vec<_> = offered.filter_map(|entered| Some((rank(&entered)?, entered))).collect();
    found.sort_by_key(|(rank, _)| *rank);
    found.into_iter().map(|(_, entered)| entered).collect()
}

fn beginning(model: &Model, typed: &str) -> Vec<Entered> {
    let typed = typed.trim_start().to_lowercase();
    all(model).into_iter().filter(|entered| entered.text.to_lowercase().starts_with(&typed)).collect()
}

/// What Tab makes of `typed`: as much as all candidates share.
pub(super) fn complete(model: &Model, typed: &str) -> Option<String> {
    shared(beginning(model, typed).into_iter().map(|entered| entered.text))
}

/// The longest beginning of all `words`.
pub(super) fn shared(words: impl Iterator<Item = String>) -> Option<String> {
    words.reduce(|shared, word| {
        shared.chars().zip(word.chars()).take_while(|(a, b)| a == b).map(|(a, _)| a).collect()
    })
}

/// Obeys the one chosen from the list of what was found.
pub(super) fn choose(model: &mut Model, typed: &str, at: usize) -> Result<Vec<Effect>, String> {
    match found(model, typed).get(at) {
        Some(entered) => run(model, &entered.text.clone(), entered.word),
        None => Ok(Vec::new()),
    }
}

/// Obeys what was typed.
pub(super) fn obey(model: &mut Model, typed: &str) -> Result<Vec<Effect>, String> {
    if typed.is_empty() {
        return Ok(Vec::new());
    }
    let candidates = beginning(model, typed);
    let exact = candidates.iter().find(|entered| entered.text.eq_ignore_ascii_case(typed));
    // A beginning is enough when nothing else begins like it; `q` is what everybody types.
    let word = exact.or(match candidates.as_slice() {
        [only] => Some(only),
        // One action under two names is one.
        [first, rest @ ..] if rest.iter().all(|other| other.word == first.word) => Some(first),
        _ => None,
    });
    match word.map(|entered| entered.word) {
        Some(word) => run(model, typed, word),
        None if candidates.is_empty() => with_argument(model, typed),
        None => Err(which(&candidates)),
    }
}

fn which(candidates: &[Entered]) -> String {
    let words: Vec<&str> = candidates.iter().map(|entered| entered.text.as_str()).collect();
    format!("which one? {}", words.join(", "))
}

fn run(model: &mut Model, typed: &str, word: Word) -> Result<Vec<Effect>, String> {
    match word {
        Word::Theme(palette) => model.look = model.look.with(palette),
        Word::Sort(at) => sort::choose(model, at),
        Word::View(at) => {
            if let Some(view) = model.setting.preferences.views.get(at).cloned() {
                super::navigate::saved(model, view);
            }
        }
        Word::Context(context) => {
            let switch =
                Switch { context, look: model.look, view: model.view, interval: model.setting.interval };
            return Ok(vec![Effect::Quit(Exit::Context(switch))]);
        }
        Word::Writing(wanted) => return super::writing(model, wanted),
        Word::Do(action) => {
            let binding = binding_of(action);
            if binding.kind == Kind::Writes && model.read_only() {
                return Err(why_read_only(model));
            }
            if action != Action::Filter && !binding.works_at(model.place()) {
                return Err(format!("{typed} has nothing to act on here"));
            }
            model.entry = Entry::None;
            return Ok(super::obey(model, action));
        }
    }
    Ok(Vec::new())
}

/// A word and more: only a filter takes an argument of its own.
fn with_argument(model: &mut Model, typed: &str) -> Result<Vec<Effect>, String> {
    let (first, argument) = typed.split_once(char::is_whitespace).unwrap_or((typed, ""));
    let (first, argument) = (first.to_lowercase(), argument.trim());
    match first.as_str() {
        "view" if model.setting.preferences.views.is_empty() => {
            return Err("no view is saved: [view.NAME] in the config file saves one".to_owned());
        }
        "ctx" if model.setting.recording => {
            return Err("a recording is of one context: start without --record to go to others".to_owned());
        }
        "ctx" if model.setting.preferences.contexts.is_empty() => {
            return Err("no context is known: [context.NAME] in the config file makes one".to_owned());
        }
        "sort" if model.orders().is_empty() => {
            return Err("nothing to sort here: the lists are 2, 3, 4 and 6".to_owned());
        }
        _ => {}
    }
    // `theme pink`: what can stand after the first word.
    let followed = beginning(model, &format!("{first} "));
    if !followed.is_empty() && !argument.is_empty() {
        return Err(which(&followed));
    }
    let mut candidates = beginning(model, &first);
    if let Some(exact) = candidates.iter().position(|entered| entered.text == first) {
        candidates = vec![candidates.swap_remove(exact)];
    }
    match (candidates.as_slice(), argument) {
        ([], _) | (_, "") => {
            let first = crate::domain::text::SafeText::new(&first);
            let how = "type a part of what it does, ↑ ↓ choose, Tab completes";
            Err(format!("no command {:?}: {how}", first.as_str()))
        }
        ([only], argument) if only.word == Word::Do(Action::Filter) => {
            let filter = model.parse_filter(argument).map_err(|why| why.to_string())?;
            super::begin_filter(model);
            model.entry = Entry::None;
            super::entry::set_filter(model, argument.to_owned(), filter);
            Ok(Vec::new())
        }
        ([only], _) => Err(format!(
            "{} takes no argument: it acts on the screen, the marked rows or the cursor's",
            only.text
        )),
        (several, _) => Err(which(several)),
    }
}
