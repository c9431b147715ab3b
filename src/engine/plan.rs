//! The judgement: what a command would do to each target and why not. Pure; made for the preview and made again,
//! by the same functions, inside the transaction that acts.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::command::{
    Command, Elsewhere, LastAction, LeftOut, LifeSign, Pace, Reasoned, Target, TargetOutcome,
};
use crate::domain::{
    action::ActionKind,
    attempt::CompensationStatus,
    circuit::Forced,
    id::{KeyId, LetterId, OnboardingId, OperationName, ReplayId, StateName, WorkerId},
    key::{KeyEvent, KeyLife},
    letter::{LetterOutcome, LetterReason, LetterStatus},
    onboarding::{Event, Phase, State, Status},
    text::SafeText,
};

/// What must be known of an onboarding to judge a command on it.
#[derive(Debug, Clone, PartialEq)]
pub struct OnboardingStanding {
    /// Which.
    pub id: OnboardingId,
    /// Tenant and repository, for people.
    pub label: SafeText,
    /// Moves with every change of status and every decision.
    pub version: i64,
    /// The word others see.
    pub status: Status,
    /// `None` for rows of others.
    pub phase: Option<Phase>,
    /// `onboarding_state.current_state`, else history's; `None` where neither says.
    pub state: Option<StateName>,
    /// Who holds a live lease on it, and until when, by the database's clock.
    pub leased: Option<(WorkerId, DateTime<Utc>)>,
    /// Its holder was asked to let it be rolled back, and has not come to it yet.
    pub roll_back_asked: bool,
    /// A newer onboarding of the same request that is live or completed.
    pub superseded_by: Option<OnboardingId>,
    /// Who touched it last.
    pub last_action: Option<LastAction>,
    /// What was recorded to be undone, oldest first.
    pub compensations: Vec<CompensationStanding>,
    /// Entities it registered, for rows without compensations of ours.
    pub entities: usize,
}

/// One recorded compensation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CompensationStanding {
    /// Order of recording, from 1.
    pub seq: i32,
    /// The state that recorded it.
    pub state: StateName,
    /// What undoes it: `github.delete_hook`.
    pub operation: String,
    /// What it is about: `hook on acme/payments`.
    pub name: SafeText,
    /// Where it stands.
    pub status: CompensationStatus,
    /// Whether the operation's circuit is open on some worker.
    pub circuit_open: bool,
    /// Another onboarding that relies on the same thing.
    pub relied_on_by: Option<OnboardingId>,
}

/// What must be known of a letter to judge a replay of it.
#[derive(Debug, Clone, PartialEq)]
pub struct LetterStanding {
    /// Which.
    pub id: LetterId,
    /// Moves with every change of status.
    pub version: i64,
    /// Where it stands.
    pub status: LetterStatus,
    /// How it was closed.
    pub outcome: Option<LetterOutcome>,
    /// The operation that failed.
    pub operation: Option<String>,
    /// Why it ended as a letter.
    pub reason: Option<LetterReason>,
    /// Its onboarding.
    pub onboarding: Option<OnboardingStanding>,
    /// Who touched it last.
    pub last_action: Option<LastAction>,
}

/// What must be known of a key to judge its release.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyStanding {
    /// Which.
    pub id: KeyId,
    /// Moves with every change of who holds it and of how it ended.
    pub version: i64,
    /// Where it stands.
    pub life: KeyLife,
    /// Who holds it.
    pub holder: Option<WorkerId>,
    /// Until when, by the database's clock; `None` on keys of others.
    pub lease_until: Option<DateTime<Utc>>,
    /// The holder is a worker that was heard of just now.
    pub holder_alive: bool,
    /// Who touched it last.
    pub last_action: Option<LastAction>,
}

/// What must be known of a replay to judge its stop.
#[derive(Debug, Clone, PartialEq)]
pub struct ReplayStanding {
    /// Which.
    pub id: ReplayId,
    /// Who asked for it.
    pub operator: SafeText,
    /// Not all of its letters are known.
    pub running: bool,
    /// Why it was stopped, if it was.
    pub stopped: Option<String>,
    /// Letters in all.
    pub total: i64,
    /// Begun.
    pub dispatched: i64,
}

/// What must be known of an operation to judge what operators decide about it.
#[derive(Debug, Clone, PartialEq)]
pub struct OperationStanding {
    /// Which.
    pub operation: OperationName,
    /// Whether a worker knows it, or somebody decided something about it.
    pub known: bool,
    /// Whether it is a workflow as a whole: the pipeline, or one with rows that are not at their end.
    pub workflow: bool,
    /// Moves with every decision.
    pub version: i64,
    /// What its circuit is forced to.
    pub forced: Option<Forced>,
    /// Whether it is held back.
    pub paused: bool,
    /// How much work waits for it.
    pub holds: i64,
    /// How much of it comes back a second once nothing holds it.
    pub per_second: f64,
    /// Who touched it last.
    pub last_action: Option<LastAction>,
}

/// Everything a command's targets look like at one instant.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Standing {
    /// The onboardings it names, missing ones left out; of a trigger, the one that stands for its request.
    pub onboardings: Vec<OnboardingStanding>,
    /// Until when a trigger of it waits, where it failed lately.
    pub cools_until: Option<DateTime<Utc>>,
    /// The letters it names, missing ones left out.
    pub letters: Vec<LetterStanding>,
    /// The keys it names, missing ones left out.
    pub keys: Vec<KeyStanding>,
    /// The operation it names.
    pub operation: Option<OperationStanding>,
    /// The replay it names.
    pub replay: Option<ReplayStanding>,
    /// Operations whose circuit is open on some worker.
    pub open_circuits: Vec<String>,
}

/// May this onboarding go forward again?
///
/// # Errors
/// Why not.
pub fn judge_resume(
    standing: &OnboardingStanding,
    seen: Option<i64>,
    elsewhere: Elsewhere,
) -> Result<(), LeftOut> {
    unchanged(seen, standing.version, standing.last_action.as_ref())?;
    if let Some(by) = &standing.superseded_by {
        return Err(LeftOut::Superseded { by: by.clone() });
    }
    let Some(phase) = standing.phase else {
        return match standing.status {
            Status::Completed => Err(LeftOut::AlreadyCompleted),
            Status::FailedCleanedUp => Err(LeftOut::RolledBack),
            Status::InProgress if elsewhere == Elsewhere::Leave => {
                Err(LeftOut::Elsewhere { status: standing.status })
            }
            Status::InProgress | Status::Failed => runnable(standing.state.as_ref()),
        };
    };
    if phase.next(Event::ResumeAsked).is_some() {
        return Ok(());
    }
    Err(match phase {
        Phase::Completed => LeftOut::AlreadyCompleted,
        Phase::RollingBack | Phase::Stuck => LeftOut::RollingBack,
        Phase::RolledBack => LeftOut::RolledBack,
        _ => LeftOut::InProgress { owner: standing.leased.as_ref().map(|(owner, _)| owner.clone()) },
    })
}

/// Others may have left it in a state that no workflow of ours can go on from.
fn runnable(state: Option<&StateName>) -> Result<(), LeftOut> {
    match state.map(|state| (state, state.as_str().parse())) {
        None => Ok(()),
        Some((_, Ok(State::RollingBack))) => Err(LeftOut::RollingBack),
        Some((_, Ok(_))) => Ok(()),
        Some((state, Err(_))) => Err(LeftOut::UnknownState { state: state.clone() }),
    }
}

/// May this onboarding be undone? Leased work may: its holder obeys at its next boundary.
///
/// # Errors
/// Why not.
pub fn judge_roll_back(
    standing: &OnboardingStanding,
    seen: Option<i64>,
    elsewhere: Elsewhere,
) -> Result<(), LeftOut> {
    // A running onboarding's version moves under the operator's eyes: for it the status is what counts.
    if !standing.phase.is_some_and(Phase::is_live) {
        unchanged(seen, standing.version, standing.last_action.as_ref())?;
    }
    match (standing.phase, standing.status) {
        (None, Status::FailedCleanedUp) => Err(LeftOut::RolledBack),
        (None, Status::InProgress) if elsewhere == Elsewhere::Leave => {
            Err(LeftOut::Elsewhere { status: standing.status })
        }
        (None, _) => Ok(()),
        _ if standing.roll_back_asked => Err(LeftOut::RollBackAsked { last: standing.last_action.clone() }),
        (Some(phase), _) if phase.next(Event::RollBackAsked).is_some() => Ok(()),
        (Some(Phase::RolledBack), _) => Err(LeftOut::RolledBack),
        (Some(_), _) => Err(LeftOut::RollingBack),
    }
}

/// May this letter be replayed?
///
/// # Errors
/// Why not.
pub fn judge_replay(letter: &LetterStanding, seen: Option<i64>) -> Result<(), LeftOut> {
    if letter.status != LetterStatus::Open {
        return Err(dealt_with(letter));
    }
    unchanged(seen, letter.version, letter.last_action.as_ref())?;
    let onboarding = letter.onboarding.as_ref().ok_or(LeftOut::NoOnboarding)?;
    judge_resume(onboarding, None, Elsewhere::Leave)
}

/// May this letter be set aside?
///
/// # Errors
/// Why not.
pub fn judge_discard(letter: &LetterStanding, seen: Option<i64>) -> Result<(), LeftOut> {
    if !matches!(letter.status, LetterStatus::Open | LetterStatus::Quarantined) {
        return Err(dealt_with(letter));
    }
    unchanged(seen, letter.version, letter.last_action.as_ref())
}

/// May this letter be opened again?
///
/// # Errors
/// Why not.
pub fn judge_restore(letter: &LetterStanding, seen: Option<i64>) -> Result<(), LeftOut> {
    if !matches!(letter.status, LetterStatus::Discarded | LetterStatus::Quarantined) {
        return Err(LeftOut::NotSetAside { status: letter.status });
    }
    unchanged(seen, letter.version, letter.last_action.as_ref())
}

fn dealt_with(letter: &LetterStanding) -> LeftOut {
    LeftOut::Letter { status: letter.status, outcome: letter.outcome, last: letter.last_action.clone() }
}

/// May this replay be stopped?
///
/// # Errors
/// Why not.
pub fn judge_stop(replay: &ReplayStanding) -> Result<(), LeftOut> {
    // Its version moves with every letter: that it still runs is what counts.
    match (replay.running, &replay.stopped) {
        (true, None) => Ok(()),
        (_, stopped) => Err(LeftOut::ReplayEnded { stopped: stopped.clone() }),
    }
}

/// May this key be set free? At once where its holder shows no sign of life: its lease is over and it is no worker that
/// beats. What others hold has no lease that could be over, and a heartbeat of theirs would not be seen here: like a live
/// lease it takes a reason, because running twice is worse than asking twice.
///
/// # Errors
/// Why not.
pub fn judge_release(key: &KeyStanding, seen: Option<i64>, reasoned: Reasoned) -> Result<(), LeftOut> {
    if key.life.next(KeyEvent::Released).is_none() {
        return Err(LeftOut::NotHeld { life: key.life, last: key.last_action.clone() });
    }
    unchanged(seen, key.version, key.last_action.as_ref())?;
    let sign = match (key.life, key.lease_until) {
        (KeyLife::InFlight, Some(until)) => LifeSign::Lease { until },
        (KeyLife::LeaseOver, _) if key.holder_alive => LifeSign::Heartbeat,
        (KeyLife::LeaseOver, _) => return Ok(()),
        _ => LifeSign::NoLease,
    };
    match reasoned {
        Reasoned::Yes => Ok(()),
        Reasoned::No => Err(LeftOut::NeedsReason { holder: key.holder.clone(), sign }),
    }
}

/// May this circuit's state be decided?
///
/// # Errors
/// Why not.
pub fn judge_force(
    standing: &OperationStanding,
    seen: Option<i64>,
    to: Option<Forced>,
    reasoned: Reasoned,
) -> Result<(), LeftOut> {
    known(standing, seen)?;
    match (to, standing.forced, reasoned) {
        (None, None, _) => Err(LeftOut::NotForced),
        (Some(_), _, Reasoned::No) => Err(LeftOut::Unreasoned),
        (None, Some(_), _) | (Some(_), _, Reasoned::Yes) => Ok(()),
    }
}

/// May this operation be held back? One that is may be again: with another limit, or another reason.
///
/// # Errors
/// Why not.
pub fn judge_pause(
    standing: &OperationStanding,
    seen: Option<i64>,
    reasoned: Reasoned,
) -> Result<(), LeftOut> {
    known(standing, seen)?;
    match reasoned {
        Reasoned::Yes => Ok(()),
        Reasoned::No => Err(LeftOut::Unreasoned),
    }
}

/// May this operation be let go?
///
/// # Errors
/// Why not.
pub fn judge_unpause(standing: &OperationStanding, seen: Option<i64>) -> Result<(), LeftOut> {
    known(standing, seen)?;
    if standing.paused { Ok(()) } else { Err(LeftOut::NotPaused) }
}

fn known(standing: &OperationStanding, seen: Option<i64>) -> Result<(), LeftOut> {
    if !standing.known {
        return Err(LeftOut::NotFound);
    }
    unchanged(seen, standing.version, standing.last_action.as_ref())
}

fn unchanged(seen: Option<i64>, version: i64, last: Option<&LastAction>) -> Result<(), LeftOut> {
    match seen {
        Some(seen) if seen != version => Err(LeftOut::Changed { last: last.cloned() }),
        _ => Ok(()),
    }
}

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
        matches!(self.left_out, Some(LeftOut::NeedsReason { .. } | LeftOut::Unreasoned))
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
                    "{begun} of its letters were begun and go on, {left} are open again"
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
    if let (Command::Replay { letters, pace }, 1..) = (command, plan.will_run()) {
        plan.warnings.extend(replay_warnings(letters, *pace, standing, &plan));
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

/// Would a trigger set this onboarding going again?
///
/// # Errors
/// Why not, as its answer would say.
pub fn judge_trigger(
    standing: &OnboardingStanding,
    cools_until: Option<DateTime<Utc>>,
) -> Result<(), LeftOut> {
    let going_back = matches!(standing.phase, Some(Phase::RollingBack | Phase::Stuck))
        || standing.state.as_ref().is_some_and(|state| state.as_str() == State::RollingBack.as_str());
    match (standing.status, cools_until) {
        _ if going_back => Err(LeftOut::RollingBack),
        (Status::Completed, _) => Err(LeftOut::AlreadyCompleted),
        (Status::Failed, Some(until)) => Err(LeftOut::CoolingDown { until }),
        (Status::Failed, None) => Ok(()),
        _ => Err(LeftOut::InProgress { owner: standing.leased.as_ref().map(|(owner, _)| owner.clone()) }),
    }
}

/// What people call it, and where it would go on.
fn goes_on(standing: &OnboardingStanding) -> SafeText {
    match &standing.state {
        Some(state) => SafeText::new(&format!("{} from {state}", standing.label)),
        None => standing.label.clone(),
    }
}

fn replay_warnings(
    letters: &[Target<LetterId>],
    pace: Pace,
    standing: &Standing,
    plan: &Plan,
) -> Vec<SafeText> {
    let mut warnings = Vec::new();
    if plan.will_run() > 1 {
        let rate = pace.per_second;
        let limit = pace.refail_limit * 100.0;
        let stops = match pace.refail_limit < 1.0 {
            true => format!("stops when the first fails again, or later more than {limit:.0} %"),
            false => "does not stop by itself".to_owned(),
        };
        warnings.push(format!("paced: one first, then ten, then {rate} a second; {stops}"));
    }
    let runs = |target: &&Target<LetterId>| {
        plan.lines.iter().any(|line| line.id == target.id.as_str() && line.left_out.is_none())
    };
    let permanent = letters.iter().filter(runs).filter(|target| {
        let letter = standing.letters.iter().find(|letter| letter.id == target.id);
        letter.is_some_and(|letter| letter.reason == Some(LetterReason::Permanent))
    });
    match permanent.count() {
        0 => {}
        count => warnings.push(format!(
            "{count} of them ended with a permanent error: they fail alike unless its cause was mended"
        )),
    }
    warnings.iter().map(|w| SafeText::new(w)).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn onboarding(id: &str, phase: Phase) -> OnboardingStanding {
        OnboardingStanding {
            id: id.into(),
            label: SafeText::new("acme payments"),
            version: 3,
            status: phase.status(),
            phase: Some(phase),
            state: Some("CONFIGURING_SYNC".into()),
            roll_back_asked: false,
            leased: None,
            superseded_by: None,
            last_action: None,
            compensations: Vec::new(),
            entities: 0,
        }
    }

    fn letter(id: &str, reason: LetterReason) -> LetterStanding {
        LetterStanding {
            id: id.into(),
            version: 1,
            status: LetterStatus::Open,
            outcome: None,
            operation: None,
            reason: Some(reason),
            onboarding: Some(onboarding(id, Phase::Failed)),
            last_action: None,
        }
    }

    #[test]
    fn a_replays_preview_says_its_pace_and_how_many_would_fail_alike() {
        let standing = Standing {
            letters: vec![letter("a", LetterReason::Exhausted), letter("b", LetterReason::Permanent)],
            ..Standing::default()
        };
        let letters = ["a", "b", "gone"].map(|id| Target { id: id.into(), seen: None }).to_vec();
        let plan = draw(&Command::Replay { letters, pace: Pace::default() }, &standing);
        assert_eq!(plan.summary(), "3 selected: 2 will run, 1 not found");
        assert_eq!(plan.lines[0].label.as_str(), "acme payments from CONFIGURING_SYNC");
        let warnings: Vec<_> = plan.warnings.iter().map(SafeText::as_str).collect();
        assert_eq!(
            warnings,
            [
                "paced: one first, then ten, then 5 a second; stops when the first fails again, or later more than 20 %",
                "1 of them ended with a permanent error: they fail alike unless its cause was mended",
            ]
        );
        let letters = ["a", "b"].map(|id| Target { id: id.into(), seen: None }).to_vec();
        let pace = Pace { refail_limit: 1.0, ..Pace::default() };
        let plan = draw(&Command::Replay { letters, pace }, &standing);
        assert!(plan.warnings[0].as_str().ends_with("; does not stop by itself"), "{:?}", plan.warnings);
    }

    #[test]
    fn what_was_begun_elsewhere_and_goes_on_there_needs_a_confirmation() {
        let theirs = OnboardingStanding {
            phase: None,
            status: Status::InProgress,
            ..onboarding("theirs", Phase::Running)
        };
        assert!(matches!(
            judge_resume(&theirs, None, Elsewhere::Leave),
            Err(LeftOut::Elsewhere { status: Status::InProgress })
        ));
        assert_eq!(judge_resume(&theirs, None, Elsewhere::TakeOver), Ok(()));
        assert!(judge_roll_back(&theirs, None, Elsewhere::Leave).is_err());
    }

    #[test]
    fn a_triggers_preview_says_what_it_would_be_answered() {
        let request = crate::domain::onboarding::Request {
            tenant_id: "acme".to_owned(),
            repo_url: "https://github.com/acme/payments".to_owned(),
            workspace_id: None,
        };
        let said = |found: Option<Phase>, cools_until| {
            let onboardings = found.map(|phase| onboarding("on-1", phase)).into_iter().collect();
            let standing = Standing { onboardings, cools_until, ..Standing::default() };
            draw(&Command::Trigger { request: request.clone() }, &standing).summary()
        };
        let until = DateTime::from_timestamp(1_795_000_000, 0);
        assert_eq!(said(None, None), "1 selected: 1 will run");
        assert_eq!(said(Some(Phase::Failed), None), "1 selected: 1 will run");
        assert!(
            said(Some(Phase::Failed), until).contains("0 will run, 1 failed lately: try again at 2026-11-18")
        );
        assert_eq!(said(Some(Phase::Completed), None), "1 selected: 0 will run, 1 already completed");
        assert_eq!(said(Some(Phase::Parked), None), "1 selected: 0 will run, 1 already in progress");
        assert!(said(Some(Phase::Stuck), None).contains("its roll-back has begun"));
    }

    #[test]
    fn a_roll_backs_preview_says_whether_it_could_be_taken_back() {
        let failed = onboarding("a", Phase::Failed);
        let completed = onboarding("a", Phase::Completed);
        let theirs = OnboardingStanding { phase: None, ..failed.clone() };
        for (standing, said) in
            [(failed, None), (completed, Some("it completed:")), (theirs, Some("it was begun elsewhere:"))]
        {
            let onboarding = Target { id: "a".into(), seen: None };
            let command = Command::RollBack { onboarding, elsewhere: Elsewhere::Leave };
            let plan = draw(&command, &Standing { onboardings: vec![standing], ..Standing::default() });
            let irreversible = plan.irreversible.as_ref().map(SafeText::as_str);
            assert_eq!(irreversible.is_some(), said.is_some(), "{irreversible:?}");
            assert!(
                irreversible.unwrap_or_default().starts_with(said.unwrap_or_default()),
                "{irreversible:?}"
            );
        }
    }

    #[test]
    fn once_a_roll_back_began_nothing_goes_forward() {
        for phase in [Phase::RollingBack, Phase::Stuck, Phase::RolledBack] {
            assert!(judge_resume(&onboarding("a", phase), None, Elsewhere::TakeOver).is_err(), "{phase}");
        }
        assert_eq!(judge_roll_back(&onboarding("a", Phase::Stuck), None, Elsewhere::Leave), Ok(()));
    }

    #[test]
    fn a_row_that_moved_since_it_was_seen_is_left_out_with_who_moved_it() {
        let last = LastAction {
            operator: "ana".to_owned(),
            kind: ActionKind::Resume,
            at: DateTime::from_timestamp(1_795_000_000, 0).unwrap(),
        };
        let moved = OnboardingStanding { last_action: Some(last), ..onboarding("a", Phase::Failed) };
        let why = judge_resume(&moved, Some(2), Elsewhere::Leave).unwrap_err().to_string();
        assert!(why.starts_with("changed since you looked: resumed by ana at "), "{why}");
        assert_eq!(judge_resume(&moved, Some(3), Elsewhere::Leave), Ok(()));
    }
}
