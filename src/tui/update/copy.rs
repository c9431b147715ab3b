//! The clipboard: a row's id, or the command line that shows the same.

use crate::{
    domain::{id::LetterId, text::SafeText},
    engine::{
        command::{Command, Elsewhere, Target},
        reader::Detail,
    },
    tui::{
        dialog::{Stage, choice_word},
        model::{LettersBy, Model, Tone, View},
        msg::{Effect, Wish},
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
                (View::Audit, _) => "redrive audit list".to_owned(),
            };
            let typed = &model.list().typed;
            if !typed.is_empty() && text.contains(" list") {
                text.push_str(&format!(" {}", operand(typed)));
            }
            if let (Some(order), true) = (model.query().order, text.contains(" list")) {
                text = text.replacen(" list", &format!(" list --sort={order}"), 1);
            }
            text
        }
    };
    let text = text.replacen("redrive", &program(model), 1);
    copied(model, text)
}

/// `Y` in a dialog: the command line that does what it asks about.
pub(super) fn action(model: &mut Model) -> Vec<Effect> {
    let Some(dialog) = model.dialog.as_ref() else { return Vec::new() };
    let command = match &dialog.stage {
        Stage::Ready(previewed) => &previewed.command,
        Stage::Lost(submission, _) => &submission.command,
        Stage::Reading | Stage::Refused(_) => return Vec::new(),
    };
    let reason = dialog.reason.value().trim();
    let reason = match (reason.is_empty(), dialog.needs_reason()) {
        (false, _) => format!(" --reason={}", quoted(reason)),
        (true, true) => " --reason=WHY".to_owned(),
        (true, false) => String::new(),
    };
    let limit = dialog.has_limit().then(|| dialog.limit.value().trim().to_owned());
    let program = program(model);
    let Some(text) = twin(&program, command, &dialog.wish, limit.as_deref(), &reason) else {
        return Vec::new();
    };
    let why = unfit(&text);
    if let Some(dialog) = model.dialog.as_mut() {
        let said = why.map_or_else(|| sent(&text), |why| format!("not copied: {why}"));
        dialog.complaint = Some(SafeText::new(&said));
    }
    if why.is_some() { Vec::new() } else { vec![Effect::Copy(text)] }
}

/// More ids than this are not named one by one where a list can be asked for them.
const MANY: usize = 20;

/// The command line of `command`, with the reason as a flag.
fn twin(program: &str, command: &Command, wish: &Wish, limit: Option<&str>, reason: &str) -> Option<String> {
    let takes_over = |elsewhere: &Elsewhere| match elsewhere {
        Elsewhere::TakeOver => " --take-over",
        Elsewhere::Leave => "",
    };
    let letters = |verb: &str, letters: &[Target<LetterId>], flags: &str| match wish {
        Wish::ReplayGroups(groups) | Wish::DiscardGroups(groups) if letters.len() > MANY => {
            let lists = groups.iter().map(|group| {
                format!("{program} letters list --limit=10000 --group={} status:open", quoted(group))
            });
            let lists: Vec<String> = lists.collect();
            let lists = if lists.len() == 1 { lists.concat() } else { format!("({})", lists.join("; ")) };
            format!("{lists} | {program} letters {verb}{flags} --yes -")
        }
        Wish::ReplayAll if letters.len() > MANY => {
            format!(
                "{program} letters list --limit=10000 status:open | {program} letters {verb}{flags} --yes -"
            )
        }
        _ => format!("{program} letters {verb}{flags} {}", operands(letters.iter().map(|l| l.id.as_str()))),
    };
    let limit = limit.map(|limit| if limit.is_empty() { "ever" } else { limit });
    let limit = limit.map(|limit| format!(" --for={}", quoted(limit))).unwrap_or_default();
    Some(match command {
        Command::Resume { onboardings, elsewhere } => {
            let ids = operands(onboardings.iter().map(|target| target.id.as_str()));
            format!("{program} onboardings resume{}{reason} {ids}", takes_over(elsewhere))
        }
        Command::RollBack { onboarding, elsewhere } => {
            let id = operand(onboarding.id.as_str());
            format!("{program} onboardings rollback{}{reason} {id}", takes_over(elsewhere))
        }
        Command::Replay { letters: of, pace } => {
            letters("replay", of, &format!(" --per-second={}{reason}", pace.per_second))
        }
        Command::Discard { letters: of } => letters("discard", of, reason),
        Command::Restore { letters: of } => letters("restore", of, reason),
        Command::Release { keys } => {
            format!("{program} keys release{reason} {}", operands(keys.iter().map(|key| key.id.as_str())))
        }
        Command::Stop { replay } => {
            format!("{program} replays stop{reason} {}", operand(replay.id.as_str()))
        }
        Command::Force { circuit, to, .. } => {
            let to = choice_word(*to);
            format!("{program} circuits force{limit}{reason} {} {to}", operand(circuit.id.as_str()))
        }
        Command::Pause { operation, .. } => {
            format!("{program} circuits pause{limit}{reason} {}", operand(operation.id.as_str()))
        }
        Command::Unpause { operation } => {
            format!("{program} circuits unpause{reason} {}", operand(operation.id.as_str()))
        }
        Command::Reveal { of } => {
            let (noun, id) = match of {
                Detail::Onboarding(id) => ("onboardings", id.as_str()),
                Detail::Key(id) => ("keys", id.as_str()),
                Detail::Letter(id) => ("letters", id.as_str()),
            };
            format!("{program} {noun} show --reveal{reason} {}", operand(id))
        }
        Command::Trigger { .. } | Command::Begin { .. } => return None,
    })
}

/// Several words, behind `--` where one could be taken for a flag.
fn operands<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let words: Vec<&str> = words.collect();
    let flagless = if words.iter().any(|word| word.starts_with('-')) { "-- " } else { "" };
    let words: Vec<String> = words.into_iter().map(quoted).collect();
    format!("{flagless}{}", words.join(" "))
}

/// How the program is called for the same database: whoever pastes it elsewhere means this one.
fn program(model: &Model) -> String {
    match &model.setting.database {
        Some(url) => format!("redrive {}", quoted(&format!("--database-url={url}"))),
        None => "redrive".to_owned(),
    }
}

/// Why `text` is not put on a clipboard: it would act on the terminal it is pasted into.
fn unfit(text: &str) -> Option<&'static str> {
    match () {
        () if text.is_empty() => Some("it is empty"),
        () if text.chars().any(char::is_control) => Some("it holds control characters"),
        () => None,
    }
}

fn copied(model: &mut Model, text: String) -> Vec<Effect> {
    if let Some(why) = unfit(&text) {
        model.say(Tone::Bad, format!("not copied: {why}; --json lists it as it is"));
        return Vec::new();
    }
    model.say(Tone::Note, sent(&text));
    vec![Effect::Copy(text)]
}

/// No terminal answers whether it took it.
fn sent(text: &str) -> String {
    format!("sent to the terminal's clipboard: {}", shown(text))
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
