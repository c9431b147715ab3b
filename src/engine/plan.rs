//! The judgement: what a command would do to each target and why not. Pure; made for the preview and made again,
//! by the same functions, inside the transaction that acts.

mod judge;
mod standing;
#[cfg(test)]
mod tests;

use std::collections::HashSet;

use serde::Serialize;

use super::{
    command::{Command, LeftOut, Pace, Reasoned, TargetOutcome},
    reader::Detail,
};
use crate::domain::{
    action::ActionKind, attempt::CompensationStatus, circuit::Forced, id::OnboardingId, letter::LetterReason,
    onboarding::Status, text::SafeText,
};

pub use judge::{
    judge_discard, judge_force, judge_pause, judge_release, judge_replay, judge_restore, judge_resume,
    judge_reveal, judge_roll_back, judge_stop, judge_trigger, judge_unpause,
};
pub use standing::{
    CompensationStanding, KeyStanding, LetterStanding, OnboardingStanding, OperationStanding, ReplayStanding,
    Standing,
};

/// What undoing one compensation would come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WillUndo {
    /// It runs.
    WillRun,
    /// There was no effect of ours.
    NothingToUndo,
    /// An earlier roll-back did it.
    AlreadyUndone,
    /// It would wait for the circuit.
    CircuitOpen,
    /// Another onboarding relies on it, and it is left to that one.
    Kept,
}

/// One line of a roll-back's preview.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlannedUndo {
    /// What is undone.
    pub compensation: CompensationStanding,
    /// What it would come to.
    pub will: WillUndo,
}

/// One target of a plan.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlanLine {
    /// Its id.
    pub id: String,
    /// What people call it.
    pub label: SafeText,
    /// Why it would be left out; `None`: it will run.
    pub left_out: Option<LeftOut>,
}

impl PlanLine {
    /// Whether only a reason is missing.
    pub fn needs_reason(&self) -> bool {
        matches!(
            self.left_out,
            Some(LeftOut::NeedsReason { .. } | LeftOut::Unreasoned | LeftOut::Unexplained)
        )
    }
}

/// What a command would do. The same object in the dashboard and in `--dry-run --json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plan {
    /// What is asked.
    pub kind: ActionKind,
    /// Every target, in the order asked.
    pub lines: Vec<PlanLine>,
    /// Compensations in the order they would run, for a roll-back.
    pub undo: Vec<PlannedUndo>,
    /// What an operator should know before confirming.
    pub warnings: Vec<SafeText>,
    /// Why it could not be taken back, where it could not.
    pub irreversible: Option<SafeText>,
}

impl Plan {
    /// How many targets would be acted on.
    pub fn will_run(&self) -> usize {
        self.lines.iter().filter(|line| line.left_out.is_none()).count()
    }

    /// How many targets would be acted on if a reason were given, beside those that are anyway.
    pub fn needs_reason(&self) -> usize {
        self.lines.iter().filter(|line| line.needs_reason()).count()
    }

    /// The same with a reason given.
    #[must_use]
    pub fn reasoned(mut self, reasoned: Reasoned) -> Self {
        if reasoned == Reasoned::Yes {
            for line in self.lines.iter_mut().filter(|line| line.needs_reason()) {
                line.left_out = None;
            }
        }
        self
    }

    /// The reasons for leaving targets out, with how many each concerns, most frequent first.
    pub fn left_out(&self) -> Vec<(String, usize)> {
        self.reasons(|line| !line.needs_reason())
    }

    /// Why some take a reason, likewise.
    pub fn asks(&self) -> Vec<(String, usize)> {
        self.reasons(PlanLine::needs_reason)
    }

    fn reasons(&self, counts: impl Fn(&PlanLine) -> bool) -> Vec<(String, usize)> {
        let mut reasons: Vec<(String, usize)> = Vec::new();
        let lines = self.lines.iter().filter(|line| counts(line));
        for why in lines.filter_map(|line| line.left_out.as_ref()) {
            let why = why.to_string();
            match reasons.iter_mut().find(|(known, _)| *known == why) {
                Some((_, count)) => *count += 1,
                None => reasons.push((why, 1)),
            }
        }
        reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        reasons
    }

    /// `412 selected: 371 will run, 29 already completed, …`.
    pub fn summary(&self) -> String {
        let mut text = format!("{} selected: {} will run", self.lines.len(), self.will_run());
        if let asks @ 1.. = self.needs_reason() {
            text.push_str(&format!(", {asks} only with a reason"));
        }
        for (why, count) in self.left_out() {
            text.push_str(&format!(", {count} {why}"));
        }
        text
    }
}

impl From<&PlanLine> for TargetOutcome {
    fn from(line: &PlanLine) -> Self {
        Self { id: line.id.clone(), left_out: line.left_out.clone() }
    }
}

/// What every discard means.
const SET_ASIDE: &str = "their onboardings stay failed; what is discarded is kept, and D restores it";

/// What every release means.
const RUNS_AGAIN: &str =
    "the next request under a released key runs the work again, whatever its holder has done by then";

/// What every reveal means.
const IS_SEEN: &str = "it is shown in the clear, secrets too, until the page is left; the audit keeps who saw it and why, not what";

/// Draws the plan of `command`, to which no reason is given yet, over what its targets look like.
pub fn draw(command: &Command, standing: &Standing) -> Plan {
    let onboarding = |id: &OnboardingId| standing.onboardings.iter().find(|o| o.id == *id);
    let line = |id: &str, label: Option<SafeText>, judged: Result<(), LeftOut>| PlanLine {
        id: id.to_owned(),
        label: label.unwrap_or_else(|| SafeText::new(id)),
        left_out: judged.err(),
    };
    let mut plan = Plan {
        kind: command.kind(),
        lines: Vec::new(),
        undo: Vec::new(),
        warnings: Vec::new(),
        irreversible: None,
    };
    match command {
        Command::Trigger { request } => {
            let label = SafeText::new(&format!("{} {}", request.tenant_id, request.repo_url));
            plan.lines.push(triggered(request.fingerprint(), label, standing));
        }
        Command::Begin { workflow, request, .. } => {
            let label = SafeText::new(&format!("{workflow} {} {}", request.tenant_id, request.subject()));
            plan.lines.push(triggered(request.fingerprint_in(workflow), label, standing));
        }
        Command::Resume { onboardings, elsewhere } => {
            for target in onboardings {
                let found = onboarding(&target.id);
                let judged =
                    found.map_or(Err(LeftOut::NotFound), |o| judge_resume(o, target.seen, *elsewhere));
                plan.lines.push(line(target.id.as_str(), found.map(goes_on), judged));
            }
        }
        Command::RollBack { onboarding: target, elsewhere } => {
            let found = onboarding(&target.id);
            let judged =
                found.map_or(Err(LeftOut::NotFound), |o| judge_roll_back(o, target.seen, *elsewhere));
            plan.lines.push(line(target.id.as_str(), found.map(|o| o.label.clone()), judged));
            if let Some(found) = found {
                plan.undo = undo(found);
                plan.warnings.extend(roll_back_warnings(found));
                plan.irreversible = irreversible(found).map(SafeText::new);
            }
        }
        Command::Replay { letters, .. } => {
            for target in letters {
                let found = standing.letters.iter().find(|l| l.id == target.id);
                let judged = found.map_or(Err(LeftOut::NotFound), |l| judge_replay(l, target.seen));
                let label = found.and_then(|l| l.onboarding.as_ref()).map(goes_on);
                plan.lines.push(line(target.id.as_str(), label, judged));
            }
        }
        Command::Discard { letters } | Command::Restore { letters } => {
            let judge = match command {
                Command::Discard { .. } => judge_discard,
                _ => judge_restore,
            };
            for target in letters {
                let found = standing.letters.iter().find(|l| l.id == target.id);
                let judged = found.map_or(Err(LeftOut::NotFound), |l| judge(l, target.seen));
                let label = found.and_then(|l| l.onboarding.as_ref()).map(|o| o.label.clone());
                plan.lines.push(line(target.id.as_str(), label, judged));
            }
            if let (Command::Discard { .. }, 1..) = (command, plan.will_run()) {
                plan.warnings.push(SafeText::new(SET_ASIDE));
            }
        }
        Command::Stop { replay: target } => {
            let found = standing.replay.as_ref().filter(|found| found.id == target.id);
            let judged = found.map_or(Err(LeftOut::NotFound), judge_stop);
            let label =
                found.map(|found| SafeText::new(&format!("replay of {} by {}", found.total, found.operator)));
            plan.lines.push(line(target.id.as_str(), label, judged));
            if let (Some(found), 1..) = (found, plan.will_run()) {
                let (begun, left) = (found.dispatched, found.total - found.dispatched);
                plan.warnings.push(SafeText::new(&format!(
                    "what was begun goes on: {begun}; what is open again: {left}"
                )));
            }
        }
        Command::Release { keys } => {
            for target in keys {
                let found = standing.keys.iter().find(|key| key.id == target.id);
                let judged =
                    found.map_or(Err(LeftOut::NotFound), |key| judge_release(key, target.seen, Reasoned::No));
                plan.lines.push(line(target.id.as_str(), None, judged));
            }
            if plan.will_run() + plan.needs_reason() > 0 {
                plan.warnings.push(SafeText::new(RUNS_AGAIN));
            }
        }
        Command::Reveal { of } => {
            let (id, label) = match of {
                Detail::Onboarding(id) => (id.as_str(), onboarding(id).map(|found| found.label.clone())),
                Detail::Key(id) => {
                    let found = standing.keys.iter().any(|key| key.id == *id);
                    (id.as_str(), found.then(|| SafeText::new(id.as_str())))
                }
                Detail::Letter(id) => {
                    let found = standing.letters.iter().find(|letter| letter.id == *id);
                    let label = found.map(|letter| letter.onboarding.as_ref().map(|o| o.label.clone()));
                    (id.as_str(), label.map(|label| label.unwrap_or_else(|| SafeText::new(id.as_str()))))
                }
            };
            let judged = judge_reveal(label.is_some(), Reasoned::No);
            plan.lines.push(line(id, label, judged));
            if plan.needs_reason() > 0 {
                plan.warnings.push(SafeText::new(IS_SEEN));
            }
        }
        Command::Force { circuit: target, .. }
        | Command::Pause { operation: target, .. }
        | Command::Unpause { operation: target } => {
            let found = standing.operation.as_ref().filter(|found| found.operation == target.id);
            let judged = found.map_or(Err(LeftOut::NotFound), |found| match command {
                Command::Force { to, .. } => judge_force(found, target.seen, *to, Reasoned::No),
                Command::Pause { .. } => judge_pause(found, target.seen, Reasoned::No),
                _ => judge_unpause(found, target.seen),
            });
            plan.lines.push(line(target.id.as_str(), None, judged));
            if let (Some(found), 1..) = (found, plan.will_run() + plan.needs_reason()) {
                plan.warnings.extend(steering_warnings(command, found));
            }
        }
    }
    if let (Command::Replay { pace, .. }, 2..) = (command, plan.will_run()) {
        plan.warnings.push(paced(*pace));
    }
    if let count @ 1.. = permanent(&plan, standing) {
        plan.warnings.push(SafeText::new(&format!(
            "{count} of them ended with a permanent error: they fail alike unless its cause was mended"
        )));
    }
    if matches!(command, Command::Resume { .. } | Command::Replay { .. }) {
        for operation in &standing.open_circuits {
            plan.warnings.push(SafeText::new(&format!(
                "circuit {operation} is OPEN: what needs it will wait until it closes"
            )));
        }
    }
    plan
}

/// A trigger of what nothing stands for yet, or of what is found.
fn triggered(request: String, label: SafeText, standing: &Standing) -> PlanLine {
    match standing.onboardings.first() {
        None => PlanLine { id: request, label, left_out: None },
        Some(found) => PlanLine {
            id: found.id.0.clone(),
            label: goes_on(found),
            left_out: judge_trigger(found, standing.cools_until).err(),
        },
    }
}

/// What people call it, and where it would go on.
fn goes_on(standing: &OnboardingStanding) -> SafeText {
    match &standing.state {
        Some(state) => SafeText::new(&format!("{} from {state}", standing.label)),
        None => standing.label.clone(),
    }
}

/// How a replay goes, and when it stops.
fn paced(pace: Pace) -> SafeText {
    let (rate, limit) = (pace.per_second, pace.refail_limit * 100.0);
    let stops = match pace.refail_limit < 1.0 {
        true => format!("stops when the first fails again, or later more than {limit:.0} %"),
        false => "does not stop by itself".to_owned(),
    };
    SafeText::new(&format!("paced: one first, then ten, then {rate} a second; {stops}"))
}

/// How many of those that would be tried again ended with a permanent error.
fn permanent(plan: &Plan, standing: &Standing) -> usize {
    let ended: HashSet<&str> = match plan.kind {
        ActionKind::Resume => standing.permanent.iter().map(OnboardingId::as_str).collect(),
        ActionKind::Replay => {
            let letters =
                standing.letters.iter().filter(|letter| letter.reason == Some(LetterReason::Permanent));
            letters.map(|letter| letter.id.as_str()).collect()
        }
        _ => return 0,
    };
    plan.lines.iter().filter(|line| line.left_out.is_none() && ended.contains(line.id.as_str())).count()
}

/// What every worker would do from then on.
fn steering_warnings(command: &Command, standing: &OperationStanding) -> Vec<SafeText> {
    let waits =
        |n: i64| if n == 1 { "1 onboarding waits".to_owned() } else { format!("{n} onboardings wait") };
    let mut said = Vec::new();
    let stops = match command {
        Command::Force { to: Some(Forced::Open), .. } => {
            said.push("no call is made: what needs one is parked and spends no attempt".to_owned());
            true
        }
        Command::Force { to: Some(Forced::Closed), .. } => {
            said.push(
                "every call is made, however many fail; each worker still computes its own state".to_owned(),
            );
            false
        }
        Command::Force { to: Some(Forced::Disabled), .. } => {
            said.push("every call is made, however many fail, and nothing is computed from them".to_owned());
            false
        }
        Command::Pause { .. } if standing.workflow => {
            said.push(
                "nothing goes forward: steps in hand are finished, roll-backs go on, triggers are taken"
                    .to_owned(),
            );
            true
        }
        Command::Pause { .. } => {
            said.push("no call is made: what needs one is parked and spends no attempt".to_owned());
            true
        }
        _ => false,
    };
    if let Command::Force { seconds: None, to: Some(_), .. } | Command::Pause { seconds: None, .. } = command
    {
        said.push("without a time limit it holds until somebody takes it back".to_owned());
    }
    match (stops, standing.holds) {
        (_, 0) => {}
        (true, holds) => said.push(format!("{} for it already", waits(holds))),
        (false, holds) => {
            said.push(format!(
                "{} for it and will come back at {} a second",
                waits(holds),
                standing.per_second
            ));
        }
    }
    said.iter().map(|text| SafeText::new(text)).collect()
}

fn undo(standing: &OnboardingStanding) -> Vec<PlannedUndo> {
    let planned = standing.compensations.iter().rev().map(|compensation| PlannedUndo {
        will: match compensation.status {
            CompensationStatus::Undone => WillUndo::AlreadyUndone,
            CompensationStatus::NothingToUndo => WillUndo::NothingToUndo,
            CompensationStatus::Recorded | CompensationStatus::Failed
                if compensation.relied_on_by.is_some() =>
            {
                WillUndo::Kept
            }
            CompensationStatus::Recorded | CompensationStatus::Failed if compensation.circuit_open => {
                WillUndo::CircuitOpen
            }
            CompensationStatus::Recorded | CompensationStatus::Failed => WillUndo::WillRun,
        },
        compensation: compensation.clone(),
    });
    planned.collect()
}

fn roll_back_warnings(standing: &OnboardingStanding) -> Vec<SafeText> {
    let mut warnings = Vec::new();
    if let Some((owner, until)) = &standing.leased {
        let until = until.format("%H:%M:%S");
        warnings.push(format!("leased by {owner} until {until} UTC: it obeys at its next boundary"));
    }
    if standing.compensations.is_empty() && standing.entities > 0 {
        warnings.push(format!(
            "no compensations recorded: its {} entities and their relationships are removed",
            standing.entities
        ));
    }
    warnings.iter().map(|w| SafeText::new(w)).collect()
}

/// Why undoing it could not be taken back by a resume.
fn irreversible(standing: &OnboardingStanding) -> Option<&'static str> {
    match (standing.status, standing.phase) {
        (Status::Completed, _) => Some("it completed: this undoes a working onboarding"),
        (_, None) => Some("it was begun elsewhere: this undoes what is not recorded here"),
        _ => None,
    }
}
