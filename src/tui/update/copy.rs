//! The clipboard: a row's id, or the command line that shows the same.

use crate::{
    engine::reader::Detail,
    tui::{
        model::{LettersBy, Model, Tone, View},
        msg::Effect,
    },
};

use super::{action::shown, navigate::nothing_selected};

/// `y`.
pub(super) fn id(model: &mut Model) -> Vec<Effect> {
    let id = match model.pages.last().map(|page| &page.detail) {
        Some(Detail::Onboarding(id)) => Some(id.0.clone()),
        Some(Detail::Key(id)) => Some(id.0.clone()),
        Some(Detail::Letter(id)) => Some(id.0.clone()),
        None => model.selected(),
    };
    let Some(id) = id else {
        nothing_selected(model);
        return Vec::new();
    };
    copied(model, id)
}

/// `Y`.
pub(super) fn command(model: &mut Model) -> Vec<Effect> {
    let text = match model.pages.last().map(|page| &page.detail) {
        Some(Detail::Onboarding(id)) => format!("redrive onboardings show {}", operand(&id.0)),
        Some(Detail::Key(id)) => format!("redrive keys show {}", operand(&id.0)),
        Some(Detail::Letter(id)) => format!("redrive letters show {}", operand(&id.0)),
        None => {
            let mut text = match (model.view, &model.letters_by) {
                (View::Pulse, _) => "redrive status".to_owned(),
                (View::Circuits, _) => "redrive circuits list".to_owned(),
                (View::Onboardings, _) => "redrive onboardings list".to_owned(),
                (View::Keys, _) => "redrive keys list".to_owned(),
                (View::Letters, LettersBy::Group(group)) => {
                    format!("redrive letters list --group={}", quoted(group))
                }
                (View::Letters, _) => "redrive letters list".to_owned(),
                (View::Audit, _) => {
                    model.say(Tone::Note, "no command shows the audit yet");
                    return Vec::new();
                }
            };
            let typed = &model.list().typed;
            if !typed.is_empty() && text.contains(" list") {
                text.push_str(&format!(" {}", operand(typed)));
            }
            text
        }
    };
    // Whoever pastes it elsewhere means the same database.
    let text = match &model.setting.database {
        Some(url) => {
            text.replacen("redrive", &format!("redrive {}", quoted(&format!("--database-url={url}"))), 1)
        }
        None => text,
    };
    copied(model, text)
}

fn copied(model: &mut Model, text: String) -> Vec<Effect> {
    model.say(Tone::Note, format!("copied: {}", shown(&text)));
    vec![Effect::Copy(text)]
}

/// The same where a word could be taken for a flag.
fn operand(word: &str) -> String {
    let flagless = if word.starts_with('-') { "-- " } else { "" };
    format!("{flagless}{}", quoted(word))
}

/// Safe to paste into a POSIX shell.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | ':' | '@' | '=');
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}
