//! A dialog that shows what an action would do and asks for it to be confirmed, by the size of what it would do.
//!
//! It opens before its preview is there, with the focus on Cancel; keys typed ahead of the preview do nothing.

use tui_input::Input;

use super::{
    layout,
    msg::{Previewed, Ticket, Wish},
    widget::text::{plural, wrap},
};
use crate::{
    domain::{action::ActionKind, circuit::Forced, mask, text::SafeText},
    engine::{
        command::{Command, Elsewhere, LONGEST_LIMIT, LeftOut, Submission, USUAL_LIMIT},
        plan::{Plan, PlanLine, WillUndo},
    },
};

/// Up to this many reversible items are confirmed by one key.
pub const EASY: usize = 20;

/// What a circuit can be forced to, in the order of the choice; `None`: auto.
pub const CHOICES: [Option<Forced>; 4] =
    [Some(Forced::Open), Some(Forced::Closed), Some(Forced::Disabled), None];

/// What an operator types to take over what others began.
pub const TAKE_OVER: &str = "take over";

/// How far it is.
#[derive(Debug, Clone, PartialEq)]
pub enum Stage {
    /// The preview is being read.
    Reading,
    /// The preview is there.
    Ready(Box<Previewed>),
    /// There is nothing to confirm, and why.
    Refused(SafeText),
    /// It was asked and the reply was lost: asking again with the same key is safe.
    Lost(Box<Submission>, SafeText),
}

/// What confirms it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// `y`, or Tab and Enter.
    Yes,
    /// The number of items, typed.
    Count(usize),
    /// [`TAKE_OVER`], typed.
    TakeOver,
}

/// What the keys go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Focus {
    /// The way out.
    Cancel,
    /// The number or words to type.
    Typed,
    /// The way on.
    Confirm,
    /// Why.
    Reason,
    /// For how long.
    Limit,
}

/// How a line of a dialog is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineTone {
    /// What is acted on; never cut.
    Target,
    /// A fact.
    Plain,
    /// Read second.
    Dim,
    /// What is left out.
    LeftOut,
    /// A warning.
    Warning,
}

/// One line, already of the dialog's width.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DialogLine {
    /// How it is meant.
    pub tone: LineTone,
    /// What it says.
    pub text: String,
}

/// The dialog.
#[derive(Debug, Clone)]
pub struct Dialog {
    /// Of its newest question.
    pub ticket: Ticket,
    /// What is asked.
    pub kind: ActionKind,
    /// What was selected.
    pub wish: Wish,
    /// The same in words.
    pub scope: String,
    /// How far it is.
    pub stage: Stage,
    /// What the keys go to.
    pub focus: Focus,
    /// Why.
    pub reason: Input,
    /// The number or words typed.
    pub typed: Input,
    /// For how long, where what is asked may be over by itself.
    pub limit: Input,
    /// The first line of the details on the screen.
    pub top: usize,
    /// What was wrong with the last key.
    pub complaint: Option<SafeText>,
}

impl Dialog {
    /// A dialog that waits for its preview.
    pub fn new(ticket: Ticket, kind: ActionKind, wish: Wish, scope: String) -> Self {
        Self {
            ticket,
            kind,
            wish,
            scope,
            stage: Stage::Reading,
            focus: Focus::Cancel,
            reason: Input::default(),
            typed: Input::default(),
            limit: Input::new(USUAL_LIMIT.to_owned()),
            top: 0,
            complaint: None,
        }
    }

    /// The plan, once it is there.
    pub fn plan(&self) -> Option<&Plan> {
        match &self.stage {
            Stage::Ready(previewed) => Some(&previewed.plan),
            _ => None,
        }
    }

    /// What confirms it; `None`: nothing would run.
    pub fn need(&self) -> Option<Need> {
        let Stage::Ready(previewed) = &self.stage else { return None };
        let Previewed { plan, command, .. } = &**previewed;
        let takes_over = matches!(
            command,
            Command::Resume { elsewhere: Elsewhere::TakeOver, .. }
                | Command::RollBack { elsewhere: Elsewhere::TakeOver, .. }
        );
        match plan.will_run() + plan.needs_reason() {
            0 => None,
            _ if takes_over => Some(Need::TakeOver),
            n if n > EASY || plan.irreversible.is_some() => Some(Need::Count(n)),
            _ => Some(Need::Yes),
        }
    }

    /// Whether something of it is done only with a reason.
    pub fn needs_reason(&self) -> bool {
        self.plan().is_some_and(|plan| plan.needs_reason() > 0)
    }

    /// The ids of what would be acted on.
    pub fn runs(&self) -> Vec<String> {
        let runs = |line: &&PlanLine| line.left_out.is_none() || line.needs_reason();
        self.plan()
            .map_or_else(Vec::new, |plan| plan.lines.iter().filter(runs).map(|l| l.id.clone()).collect())
    }

    /// What the circuit would be forced to, where that is the question.
    pub fn choice(&self) -> Option<Option<Forced>> {
        match &self.wish {
            Wish::Force(_, to) => Some(*to),
            _ => None,
        }
    }

    /// Whether what is asked may be over by itself.
    pub fn has_limit(&self) -> bool {
        self.need().is_some() && matches!(self.wish, Wish::Force(_, Some(_)) | Wish::Pause(_))
    }

    /// For how many seconds; `None`: until it is taken back.
    ///
    /// # Errors
    /// Why what was typed is no time limit.
    pub fn seconds(&self) -> Result<Option<u64>, String> {
        let typed = self.limit.value().trim();
        if typed.is_empty() {
            return Ok(None);
        }
        let Ok(limit) = humantime::parse_duration(typed) else {
            return Err(format!(
                "not yet: {:?} is not a time such as 10m or 2h",
                SafeText::new(typed).as_str()
            ));
        };
        match (1..=LONGEST_LIMIT).contains(&limit.as_secs()) {
            true => Ok(Some(limit.as_secs())),
            false => Err("not yet: a time limit is between 1 second and 30 days".to_owned()),
        }
    }

    /// What can be in focus, in Tab's order: as it stands on the screen, top to bottom, left to right.
    pub fn order(&self) -> &'static [Focus] {
        match (&self.stage, self.need()) {
            (Stage::Lost(..), _) => &[Focus::Cancel, Focus::Confirm],
            (_, None) => &[Focus::Cancel],
            (_, Some(Need::Yes)) if self.has_limit() => {
                &[Focus::Limit, Focus::Reason, Focus::Cancel, Focus::Confirm]
            }
            (_, Some(Need::Yes)) => &[Focus::Reason, Focus::Cancel, Focus::Confirm],
            (_, Some(_)) => &[Focus::Typed, Focus::Reason, Focus::Cancel, Focus::Confirm],
        }
    }

    /// What has to be typed, if anything.
    pub fn to_type(&self) -> Option<String> {
        match self.need()? {
            Need::Yes => None,
            Need::Count(n) => Some(n.to_string()),
            Need::TakeOver => Some(TAKE_OVER.to_owned()),
        }
    }

    /// Its question: `Replay dead letters?`.
    pub fn title(&self) -> &'static str {
        match self.kind {
            ActionKind::Trigger => "Trigger an onboarding?",
            ActionKind::Resume => "Resume?",
            ActionKind::RollBack => "Roll back?",
            ActionKind::Replay => "Replay?",
            ActionKind::Release => "Release?",
            ActionKind::Stop => "Stop the replay?",
            ActionKind::Discard => "Discard?",
            ActionKind::Restore => "Restore?",
            ActionKind::Reveal => "Reveal the payload?",
            ActionKind::Force => "Force the circuit?",
            ActionKind::Pause => "Pause?",
            ActionKind::Unpause => "Let it go on?",
        }
    }

    /// What the button says.
    pub fn verb(&self) -> String {
        if matches!(self.stage, Stage::Lost(..)) {
            return "Ask again".to_owned();
        }
        let count = self.plan().map_or(0, |plan| plan.will_run() + plan.needs_reason());
        match self.kind {
            ActionKind::Trigger => "Trigger".to_owned(),
            ActionKind::Resume => format!("Resume {count}"),
            ActionKind::RollBack => "Roll back".to_owned(),
            ActionKind::Replay => format!("Replay {count}"),
            ActionKind::Release => format!("Release {count}"),
            ActionKind::Stop => "Stop it".to_owned(),
            ActionKind::Discard => format!("Discard {count}"),
            ActionKind::Restore => format!("Restore {count}"),
            ActionKind::Reveal => "Reveal".to_owned(),
            ActionKind::Force => match self.choice().flatten() {
                Some(to) => format!("Force {}", choice_word(Some(to))),
                None => "Take it back".to_owned(),
            },
            ActionKind::Pause => "Pause".to_owned(),
            ActionKind::Unpause => "Let it go on".to_owned(),
        }
    }

    /// What it acts on: never cut, never scrolled away.
    pub fn target(&self, width: usize) -> Vec<DialogLine> {
        let line =
            |tone, text: &str| wrap(text, width).into_iter().map(move |text| DialogLine { tone, text });
        let mut lines: Vec<DialogLine> = line(LineTone::Plain, &self.scope).collect();
        if let Some([only]) = self.plan().map(|plan| plan.lines.as_slice()) {
            lines.extend(line(LineTone::Target, only.label.as_str()));
            let id = SafeText::new(&only.id);
            if id != only.label {
                lines.extend(line(LineTone::Target, id.as_str()));
            }
        }
        lines
    }

    /// What it would do, line by line; scrolls.
    pub fn details(&self, width: usize) -> Vec<DialogLine> {
        let mut lines = Vec::new();
        let mut say = |tone, text: &str| {
            lines.extend(wrap(text, width).into_iter().map(|text| DialogLine { tone, text }));
        };
        match &self.stage {
            Stage::Reading => say(LineTone::Dim, "reading what it would do …"),
            Stage::Refused(why) => say(LineTone::Warning, why.as_str()),
            Stage::Lost(_, why) => {
                say(LineTone::Warning, why.as_str());
                say(
                    LineTone::Plain,
                    "Asking again is safe: it carries the same key, so it is applied once at most.",
                );
            }
            Stage::Ready(previewed) => {
                let plan = &previewed.plan;
                match (self.need(), &plan.irreversible) {
                    (Some(Need::TakeOver), _) => say(
                        LineTone::Warning,
                        "! begun elsewhere: take it over only when nobody else works on it",
                    ),
                    (Some(Need::Count(n)), Some(why)) => say(
                        LineTone::Warning,
                        &format!("! {why}, which cannot be taken back: type {n}, how many it concerns"),
                    ),
                    _ => {}
                }
                describe(plan, &mut say);
            }
        }
        lines
    }

    /// Rows that are always there: the target, the inputs, the buttons, and the blank lines between.
    pub fn fixed_rows(&self, width: usize) -> usize {
        let inputs = usize::from(self.to_type().is_some())
            + usize::from(self.need().is_some())
            + usize::from(self.choice().is_some())
            + usize::from(self.has_limit());
        self.target(width).len() + inputs + usize::from(self.complaint.is_some()) + 3
    }

    /// Whether the terminal shows the whole target and at least one line of the details.
    pub fn fits(&self, size: (u16, u16)) -> bool {
        layout::fits(size) && self.fixed_rows(layout::dialog_columns(size)) < layout::dialog_rows(size)
    }

    /// Rows left for the details.
    pub fn detail_rows(&self, size: (u16, u16)) -> usize {
        layout::dialog_rows(size).saturating_sub(self.fixed_rows(layout::dialog_columns(size)))
    }

    /// Whether everything was left out only because others began it: one target, which can be taken over.
    pub fn may_take_over(&self) -> bool {
        matches!(self.plan().map(|plan| plan.lines.as_slice()),
            Some([only]) if matches!(only.left_out, Some(LeftOut::Elsewhere { .. })))
    }
}

/// A choice in a word.
pub fn choice_word(to: Option<Forced>) -> &'static str {
    match to {
        Some(Forced::Open) => "open",
        Some(Forced::Closed) => "closed",
        Some(Forced::Disabled) => "disabled",
        None => "auto",
    }
}

/// What becomes of a target that is not left out.
fn will(kind: ActionKind) -> &'static str {
    match kind {
        ActionKind::Discard => "will be discarded",
        ActionKind::Restore => "will be open again",
        ActionKind::Release => "will be released",
        ActionKind::Reveal => "will be shown",
        ActionKind::Force | ActionKind::Pause | ActionKind::Unpause | ActionKind::Stop => "will obey",
        _ => "will run",
    }
}

fn describe(plan: &Plan, say: &mut impl FnMut(LineTone, &str)) {
    let (selected, will_run, asks) = (plan.lines.len(), plan.will_run(), plan.needs_reason());
    if selected == 1 {
        match plan.lines[0].left_out.as_ref() {
            Some(why) if asks > 0 => say(LineTone::Warning, &format!("! {why}")),
            Some(why) => say(LineTone::Warning, &format!("left out: {why}")),
            None => say(LineTone::Plain, will(plan.kind)),
        }
    } else {
        let more = if asks > 0 { format!(", {asks} only with a reason") } else { String::new() };
        say(LineTone::Plain, &format!("{selected} selected: {will_run} {}{more}", will(plan.kind)));
        for (why, count) in plan.asks() {
            say(LineTone::Warning, &format!("{count:>5} {why}"));
        }
        for (why, count) in plan.left_out() {
            say(LineTone::LeftOut, &format!("{count:>5} left out: {why}"));
        }
    }
    for warning in &plan.warnings {
        say(LineTone::Warning, &format!("! {}", mask::secrets(warning.as_str())));
    }
    if plan.kind == ActionKind::RollBack {
        match plan.undo.len() {
            0 => say(LineTone::Dim, "no compensation is recorded"),
            n => say(LineTone::Plain, &format!("{n} {} in this order:", plural(n, "compensation"))),
        }
        for (place, undo) in plan.undo.iter().enumerate() {
            let comes_to = match undo.will {
                WillUndo::WillRun => "will run",
                WillUndo::NothingToUndo => "nothing to undo",
                WillUndo::AlreadyUndone => "already undone",
                WillUndo::CircuitOpen => "circuit open: waits for it",
                WillUndo::Kept => "kept: another onboarding relies on it",
            };
            let tone = match undo.will {
                WillUndo::WillRun => LineTone::Plain,
                WillUndo::CircuitOpen => LineTone::Warning,
                WillUndo::NothingToUndo | WillUndo::AlreadyUndone | WillUndo::Kept => LineTone::Dim,
            };
            let operation = SafeText::new(&undo.compensation.operation);
            say(tone, &format!("{:>3}. {comes_to}: {operation} {}", place + 1, undo.compensation.name));
        }
    } else if selected > 1 && will_run + asks > 0 {
        say(LineTone::Dim, "which:");
        let runs = |line: &&PlanLine| line.left_out.is_none() || line.needs_reason();
        for line in plan.lines.iter().filter(runs).take(200) {
            // GitHub's own host is not worth a second row for each.
            let label = line.label.as_str().replace("https://github.com/", "");
            let id = SafeText::new(&line.id);
            let id = if id == line.label { String::new() } else { format!("  {id}") };
            let only = if line.needs_reason() { "  (with a reason)" } else { "" };
            say(LineTone::Dim, &format!("  {label}{id}{only}"));
        }
    }
}
