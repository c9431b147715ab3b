//! Previews and receipts as the engine would give them, for stories.

use redrive::{
    domain::{
        action::ActionKind, attempt::CompensationStatus, circuit::Forced, onboarding::State, text::SafeText,
    },
    engine::{
        command::{Command, Elsewhere, LastAction, LeftOut, Pace, Reasoned, Receipt, Target, TargetOutcome},
        plan::{CompensationStanding, Plan, PlanLine, PlannedUndo, WillUndo},
    },
    tui::msg::Previewed,
};

use super::worlds::noon;

fn line(n: usize, left_out: Option<LeftOut>) -> PlanLine {
    PlanLine { id: format!("lt-{n:04}"), label: SafeText::new("acme/payments"), left_out }
}

/// A replay of `count` letters, of which the first `left_out` are left out.
pub(crate) fn replay(count: usize, left_out: usize) -> Previewed {
    let why = |n: usize| match n % 3 {
        0 => LeftOut::AlreadyCompleted,
        1 => LeftOut::InProgress { owner: Some("worker-a".into()) },
        _ => LeftOut::Changed { last: Some(by_ben()) },
    };
    Previewed {
        action: "ac-new".into(),
        command: Command::Replay {
            letters: (0..count).map(|n| Target { id: format!("lt-{n:04}").into(), seen: Some(1) }).collect(),
            pace: Pace::default(),
        },
        plan: Plan {
            kind: ActionKind::Replay,
            lines: (0..count).map(|n| line(n, (n < left_out).then(|| why(n)))).collect(),
            undo: Vec::new(),
            warnings: vec![SafeText::new(
                "circuit github.create_hook is OPEN: what needs it will wait until it closes",
            )],
            irreversible: None,
        },
    }
}

pub(crate) fn by_ben() -> LastAction {
    LastAction {
        operator: "ben".to_owned(),
        kind: ActionKind::Replay,
        at: noon() - chrono::TimeDelta::seconds(20),
    }
}

/// A resume of one onboarding.
pub(crate) fn resume(id: &str, elsewhere: Elsewhere, left_out: Option<LeftOut>) -> Previewed {
    Previewed {
        action: "ac-new".into(),
        command: Command::Resume { onboardings: vec![Target { id: id.into(), seen: Some(3) }], elsewhere },
        plan: Plan {
            kind: ActionKind::Resume,
            lines: vec![PlanLine { id: id.to_owned(), label: SafeText::new("acme/payments"), left_out }],
            undo: Vec::new(),
            warnings: Vec::new(),
            irreversible: None,
        },
    }
}

/// A roll-back of one onboarding with three compensations.
pub(crate) fn roll_back(id: &str) -> Previewed {
    let undo = |seq, operation: &str, name: &str, will| PlannedUndo {
        compensation: CompensationStanding {
            seq,
            state: State::ConfiguringSync.name(),
            operation: operation.to_owned(),
            name: SafeText::new(name),
            status: CompensationStatus::Recorded,
            circuit_open: will == WillUndo::CircuitOpen,
            relied_on_by: None,
        },
        will,
    };
    Previewed {
        action: "ac-new".into(),
        command: Command::RollBack {
            onboarding: Target { id: id.into(), seen: Some(3) },
            elsewhere: Elsewhere::Leave,
        },
        plan: Plan {
            kind: ActionKind::RollBack,
            lines: vec![PlanLine {
                id: id.to_owned(),
                label: SafeText::new("acme/payments"),
                left_out: None,
            }],
            undo: vec![
                undo(3, "github.delete_hook", "hook on acme/payments", WillUndo::CircuitOpen),
                undo(2, "tfc.delete_notification", "backstage-sync on ws-a1b2c3", WillUndo::NothingToUndo),
                undo(1, "catalog.remove", "2 entities of acme", WillUndo::WillRun),
            ],
            warnings: vec![SafeText::new(
                "leased by worker-a until 14:02:53 UTC: it obeys at its next boundary",
            )],
            irreversible: None,
        },
    }
}

/// The same of one that completed.
pub(crate) fn undo_completed(id: &str) -> Previewed {
    let mut previewed = roll_back(id);
    previewed.plan.irreversible = Some(SafeText::new("it completed: this undoes a working onboarding"));
    previewed
}

/// A release of these keys.
pub(crate) fn release(keys: Vec<(&str, Option<LeftOut>)>) -> Previewed {
    let line = |(id, left_out): &(&str, Option<LeftOut>)| PlanLine {
        id: (*id).to_owned(),
        label: SafeText::new(id),
        left_out: left_out.clone(),
    };
    Previewed {
        action: "ac-new".into(),
        command: Command::Release {
            keys: keys.iter().map(|(id, _)| Target { id: (*id).into(), seen: Some(2) }).collect(),
        },
        plan: Plan {
            kind: ActionKind::Release,
            lines: keys.iter().map(line).collect(),
            undo: Vec::new(),
            warnings: vec![SafeText::new(
                "the next request under a released key runs the work again, whatever its holder has done by then",
            )],
            irreversible: None,
        },
    }
}

/// Letters set aside.
pub(crate) fn discard(letters: &[&str]) -> Previewed {
    let targets = letters.iter().map(|id| Target { id: (*id).into(), seen: Some(1) }).collect();
    let command = Command::Discard { letters: targets };
    let line =
        |id: &&str| PlanLine { id: (*id).to_owned(), label: SafeText::new("acme/payments"), left_out: None };
    Previewed {
        action: "ac-new".into(),
        plan: Plan {
            kind: command.kind(),
            lines: letters.iter().map(line).collect(),
            undo: Vec::new(),
            warnings: Vec::new(),
            irreversible: None,
        },
        command,
    }
}

/// A replay stopped.
pub(crate) fn stop(id: &str) -> Previewed {
    Previewed {
        action: "ac-new".into(),
        plan: Plan {
            kind: ActionKind::Stop,
            lines: vec![PlanLine {
                id: id.to_owned(),
                label: SafeText::new("replay of 371 letters"),
                left_out: None,
            }],
            undo: Vec::new(),
            warnings: vec![SafeText::new("what it has begun goes on")],
            irreversible: None,
        },
        command: Command::Stop { replay: Target { id: id.into(), seen: Some(15) } },
    }
}

/// A circuit forced.
pub(crate) fn force(operation: &str, to: Option<Forced>, left_out: Option<LeftOut>) -> Previewed {
    let circuit = Target { id: operation.into(), seen: Some(3) };
    let command = Command::Force { circuit, to, seconds: to.map(|_| 1) };
    steer(operation, command, left_out)
}

/// An operation held back.
pub(crate) fn pause(operation: &str, left_out: Option<LeftOut>) -> Previewed {
    let operation_ = Target { id: operation.into(), seen: Some(3) };
    steer(operation, Command::Pause { operation: operation_, seconds: Some(1) }, left_out)
}

/// An operation let go.
pub(crate) fn unpause(operation: &str) -> Previewed {
    let target = Target { id: operation.into(), seen: Some(3) };
    steer(operation, Command::Unpause { operation: target }, None)
}

fn steer(operation: &str, command: Command, left_out: Option<LeftOut>) -> Previewed {
    Previewed {
        action: "ac-new".into(),
        plan: Plan {
            kind: command.kind(),
            lines: vec![PlanLine { id: operation.to_owned(), label: SafeText::new(operation), left_out }],
            undo: Vec::new(),
            warnings: vec![
                SafeText::new("no call is made: what needs one is parked and spends no attempt"),
                SafeText::new("38 onboardings wait for it already"),
            ],
            irreversible: None,
        },
        command,
    }
}

/// The same once a reason is given.
pub(crate) fn reasoned(previewed: Previewed) -> Previewed {
    Previewed { plan: previewed.plan.reasoned(Reasoned::Yes), ..previewed }
}

/// The receipt of `previewed`, with `changed` of its targets left out after all.
pub(crate) fn receipt(previewed: &Previewed, changed: usize) -> Receipt {
    let mut left = changed;
    let outcome = |line: &PlanLine| {
        let mut outcome = TargetOutcome::from(line);
        if outcome.left_out.is_none() && left > 0 {
            left -= 1;
            outcome.left_out = Some(LeftOut::Changed { last: Some(by_ben()) });
        }
        outcome
    };
    Receipt {
        action: previewed.action.clone(),
        kind: previewed.plan.kind,
        at: noon() + chrono::TimeDelta::seconds(1),
        outcomes: previewed.plan.lines.iter().map(outcome).collect(),
        replay: None,
        triggered: None,
        revealed: None,
        repeated: false,
    }
}
