//! What can be asked of the engine, and what it answers.
//!
//! A [`Command`] names its targets by id and by the version the asker saw; a [`Submission`] adds who, why and a key
//! made when the dialog opened, so that a double Enter, two operators or a lost reply apply once.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{begin, reader::Detail, reveal::Revealed, store::StoreError};
use crate::domain::{
    action::ActionKind,
    circuit::Forced,
    id::{ActionId, KeyId, LetterId, OnboardingId, OperationName, ReplayId, StateName, WorkerId},
    key::KeyLife,
    letter::{LetterOutcome, LetterStatus},
    onboarding::{InvalidRequest, Request, Status, TriggerStatus},
    text::SafeText,
};

/// Something to act on, as the asker saw it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target<I> {
    /// Which.
    pub id: I,
    /// The `version` of the row the asker looked at; `None` acts on whatever it is now.
    pub seen: Option<i64>,
}

/// What to do with an onboarding that others began and still call in progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Elsewhere {
    /// Leave it to whoever began it.
    Leave,
    /// Take it over: the operator confirmed that nobody else works on it.
    TakeOver,
}

/// How fast a replay goes, one letter first, then ten, then `per_second`; and when it stops by itself.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Pace {
    /// Letters per second, above 0.
    pub per_second: f64,
    /// It stops when its first letter fails again, or later more than this share of them, in `[0, 1]`; 1: never.
    #[serde(default = "refail_limit")]
    pub refail_limit: f64,
}

/// One in five.
fn refail_limit() -> f64 {
    0.2
}

impl Default for Pace {
    fn default() -> Self {
        Self { per_second: 5.0, refail_limit: refail_limit() }
    }
}

/// A wish addressed to the engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Command {
    /// Onboard a repository; asking twice gives the same onboarding.
    Trigger {
        /// What is asked for.
        request: Request,
    },
    /// Begin a row of another workflow; asking twice gives the same row. Made by [`Command::begin`].
    Begin {
        /// The workflow's name.
        workflow: String,
        /// Which version of its definition begins it.
        version: i32,
        /// Its first state.
        state: StateName,
        /// What it is about: [`Request::about`].
        request: Request,
        /// The first context.
        input: Value,
    },
    /// Go on from the checkpoint with fresh attempts.
    Resume {
        /// Which onboardings.
        onboardings: Vec<Target<OnboardingId>>,
        /// What to do with those others still work on.
        elsewhere: Elsewhere,
    },
    /// Undo what was done. One at a time.
    RollBack {
        /// Which onboarding.
        onboarding: Target<OnboardingId>,
        /// What to do if others still work on it.
        elsewhere: Elsewhere,
    },
    /// Try dead letters again, paced.
    Replay {
        /// Which letters.
        letters: Vec<Target<LetterId>>,
        /// How fast.
        pace: Pace,
    },
    /// Set held keys free, so that the next request runs; their holders are fenced. Where a holder may still be at
    /// work it takes a reason.
    Release {
        /// Which keys.
        keys: Vec<Target<KeyId>>,
    },
    /// Stop a replay: what it has begun goes on, the rest is open again.
    Stop {
        /// Which replay.
        replay: Target<ReplayId>,
    },
    /// Decide that letters need nothing more. They are kept, and can be restored.
    Discard {
        /// Which letters.
        letters: Vec<Target<LetterId>>,
    },
    /// Open discarded or quarantined letters again.
    Restore {
        /// Which letters.
        letters: Vec<Target<LetterId>>,
    },
    /// Look at a payload in the clear, with a reason: an onboarding's context, a key's stored response, a letter's
    /// request. Changes nothing but the audit.
    Reveal {
        /// Whose.
        of: Detail,
    },
    /// Decide the state of an operation's circuit for every worker, with a reason; or leave it to them again.
    Force {
        /// Which operation's.
        circuit: Target<OperationName>,
        /// To what; `None`: each computes its own again.
        to: Option<Forced>,
        /// For how many seconds; `None`: until it is taken back.
        seconds: Option<u64>,
    },
    /// Hold an operation back on every worker, with a reason: none of its calls is made, or, of a workflow, nothing goes
    /// forward. What is under way is finished.
    Pause {
        /// Which operation.
        operation: Target<OperationName>,
        /// For how many seconds; `None`: until it is let go.
        seconds: Option<u64>,
    },
    /// Let an operation go on.
    Unpause {
        /// Which operation.
        operation: Target<OperationName>,
    },
}

/// For how long something is decided unless an operator says otherwise: long enough to look into it, short enough to be
/// forgotten.
pub const USUAL_LIMIT: &str = "10m";

/// The longest limit of what an operator decides, in seconds: 30 days.
pub const LONGEST_LIMIT: u64 = 30 * 24 * 3_600;

impl Command {
    /// Its word.
    pub fn kind(&self) -> ActionKind {
        match self {
            Self::Trigger { .. } | Self::Begin { .. } => ActionKind::Trigger,
            Self::Resume { .. } => ActionKind::Resume,
            Self::RollBack { .. } => ActionKind::RollBack,
            Self::Replay { .. } => ActionKind::Replay,
            Self::Release { .. } => ActionKind::Release,
            Self::Stop { .. } => ActionKind::Stop,
            Self::Discard { .. } => ActionKind::Discard,
            Self::Restore { .. } => ActionKind::Restore,
            Self::Reveal { .. } => ActionKind::Reveal,
            Self::Force { .. } => ActionKind::Force,
            Self::Pause { .. } => ActionKind::Pause,
            Self::Unpause { .. } => ActionKind::Unpause,
        }
    }

    /// In which way, where there is more than one: `closed for 10m`, `5/s`.
    pub fn how(&self) -> Option<String> {
        let lasts =
            |seconds: &u64| format!("for {}", humantime::format_duration(Duration::from_secs(*seconds)));
        match self {
            Self::Replay { pace, .. } => Some(format!("{}/s", pace.per_second)),
            Self::Force { to, seconds, .. } => {
                let to = to.map_or("auto", |to| to.as_str());
                let to = to.strip_prefix("forced_").unwrap_or(to);
                Some(
                    seconds
                        .as_ref()
                        .map_or_else(|| to.to_owned(), |seconds| format!("{to} {}", lasts(seconds))),
                )
            }
            Self::Pause { seconds, .. } => seconds.as_ref().map(lasts),
            _ => None,
        }
    }

    /// The same, over by itself after so many seconds where that is possible; `None`: when it is taken back.
    #[must_use]
    pub fn within(mut self, limit: Option<u64>) -> Self {
        if let Self::Force { seconds, to: Some(_), .. } | Self::Pause { seconds, .. } = &mut self {
            *seconds = limit;
        }
        self
    }

    /// Checks what can be checked without looking at the database.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] for a malformed request, [`Refusal::NoTargets`] for an empty selection, [`Refusal::Pace`]
    /// and [`Refusal::Limit`] for numbers that make no sense.
    pub fn validate(&self) -> Result<(), Refusal> {
        match self {
            Self::Trigger { request } => request.validate().map_err(Refusal::Invalid),
            Self::Begin { workflow, state, request, .. } => begin::check(workflow, state, request),
            Self::Resume { onboardings, .. } if onboardings.is_empty() => Err(Refusal::NoTargets),
            Self::Replay { letters, .. } | Self::Discard { letters } | Self::Restore { letters }
                if letters.is_empty() =>
            {
                Err(Refusal::NoTargets)
            }
            Self::Release { keys } if keys.is_empty() => Err(Refusal::NoTargets),
            Self::Replay { pace, .. } if !(pace.per_second > 0.0 && pace.per_second <= 10_000.0) => {
                Err(Refusal::Pace)
            }
            Self::Replay { pace, .. } if !(0.0..=1.0).contains(&pace.refail_limit) => {
                Err(Refusal::RefailLimit)
            }
            Self::Force { seconds: Some(limit), .. } | Self::Pause { seconds: Some(limit), .. }
                if !(1..=LONGEST_LIMIT).contains(limit) =>
            {
                Err(Refusal::Limit)
            }
            _ => Ok(()),
        }
    }
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Asker {
    /// A person: what they do is audited.
    Operator(String),
    /// A tenant's program at the intake: its request is the onboarding itself, and no operator's action.
    Caller(String),
}

impl Asker {
    /// The name, as given: escape it before showing it.
    pub fn name(&self) -> &str {
        match self {
            Self::Operator(name) | Self::Caller(name) => name,
        }
    }
}

/// A command with who asks, why, and the key that makes it apply once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Submission {
    /// Made when the dialog opened; sending it again answers the first receipt.
    pub action: ActionId,
    /// Who asks.
    pub asker: Asker,
    /// Why, in the asker's words.
    pub reason: Option<String>,
    /// What is asked.
    pub command: Command,
}

impl Submission {
    /// Whether something was said as the reason.
    pub fn reasoned(&self) -> Reasoned {
        Reasoned::of(self.reason.as_deref())
    }
}

/// Whether whoever asks said why: some things are not done without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reasoned {
    /// Not yet.
    No,
    /// In words.
    Yes,
}

impl Reasoned {
    /// Blanks are no reason.
    pub fn of(reason: Option<&str>) -> Self {
        if reason.is_some_and(|reason| !reason.trim().is_empty()) { Self::Yes } else { Self::No }
    }
}

/// The answer to a trigger, in the intake's JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TriggerAnswer {
    /// The onboarding that stands for this request.
    pub onboarding_id: OnboardingId,
    /// What the trigger found or did.
    pub status: TriggerStatus,
    /// Where it stands.
    pub current_state: Option<StateName>,
    /// Ids of the entities it created.
    pub entities: Vec<String>,
    /// The same in one sentence.
    pub message: String,
    /// When a trigger is accepted again, while cooling down.
    pub retry_at: Option<DateTime<Utc>>,
}

/// Who touched a row last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastAction {
    /// Who.
    pub operator: String,
    /// What.
    pub kind: ActionKind,
    /// When, by the database's clock.
    pub at: DateTime<Utc>,
}

impl std::fmt::Display for LastAction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = self.kind.past();
        write!(f, "{kind} by {} at {} UTC", SafeText::new(&self.operator), self.at.format("%H:%M:%S"))
    }
}

/// Why a target is left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum LeftOut {
    /// No such row.
    #[error("not found")]
    NotFound,
    /// Somebody was faster.
    #[error("changed since you looked{}", .last.as_ref().map(|l| format!(": {l}")).unwrap_or_default())]
    Changed {
        /// The last action on it, if an operator's.
        last: Option<LastAction>,
    },
    /// Nothing left to do.
    #[error("already completed")]
    AlreadyCompleted,
    /// It is on its way.
    #[error("already in progress{}", .owner.as_ref().map(|o| format!(", leased by {o}")).unwrap_or_default())]
    InProgress {
        /// The worker that holds it, if one does.
        owner: Option<WorkerId>,
    },
    /// A roll-back was asked for, and its holder has not come to it yet.
    #[error("its roll-back was asked for already{}: its worker obeys at its next boundary", asked_by(.last.as_ref()))]
    RollBackAsked {
        /// The last action on it, if an operator's.
        last: Option<LastAction>,
    },
    /// It failed so lately that a trigger waits.
    #[error("failed lately: try again at {} UTC", .until.format("%Y-%m-%d %H:%M:%S"))]
    CoolingDown {
        /// Until when, by the database's clock.
        until: DateTime<Utc>,
    },
    /// A roll-back began: never forward again.
    #[error("its roll-back has begun already")]
    RollingBack,
    /// It was undone.
    #[error("already rolled back: trigger it anew instead")]
    RolledBack,
    /// A newer onboarding stands for the same request.
    #[error("superseded by {by}")]
    Superseded {
        /// The newer one.
        by: OnboardingId,
    },
    /// Others began it and call it in progress.
    #[error("begun elsewhere and {status} there: confirm that nobody else works on it to take it over")]
    Elsewhere {
        /// Its status.
        status: Status,
    },
    /// Its state is not one this version knows.
    #[error("its state {state} is not known to this version")]
    UnknownState {
        /// The word found.
        state: StateName,
    },
    /// The letter was dealt with.
    #[error("letter already {status}{}{}",
        .outcome.map(|o| format!(" ({o})")).unwrap_or_default(),
        .last.as_ref().map(|l| format!(": {l}")).unwrap_or_default())]
    Letter {
        /// Where it stands.
        status: LetterStatus,
        /// How it was closed.
        outcome: Option<LetterOutcome>,
        /// Who did it.
        last: Option<LastAction>,
    },
    /// The letter does not name an onboarding of ours.
    #[error("its onboarding is gone")]
    NoOnboarding,
    /// Nobody holds the key.
    #[error("not held: {}{}", not_held(*.life), .last.as_ref().map(|l| format!(", {l}")).unwrap_or_default())]
    NotHeld {
        /// Where it stands.
        life: KeyLife,
        /// The last action on it, if an operator's.
        last: Option<LastAction>,
    },
    /// The key's holder may still be at work, and then both run.
    #[error("{}: give a reason to release it all the same", by(.holder.as_ref(), .sign))]
    NeedsReason {
        /// Who holds it.
        holder: Option<WorkerId>,
        /// What speaks for its being at work.
        sign: LifeSign,
    },
    /// Neither discarded nor quarantined.
    #[error("{status}: only what was discarded or quarantined can be restored")]
    NotSetAside {
        /// Where it stands.
        status: LetterStatus,
    },
    /// The replay runs no more.
    #[error("{}", .stopped.as_ref().map_or_else(|| "already ended".to_owned(), |why| format!("already stopped: {}", SafeText::new(why))))]
    ReplayEnded {
        /// Why it was stopped, if it was.
        stopped: Option<String>,
    },
    /// It concerns every worker.
    #[error("every worker obeys it: give a reason")]
    Unreasoned,
    /// It concerns what is hidden for a reason.
    #[error("what is masked is shown to whoever says why: give a reason")]
    Unexplained,
    /// There is a row, and nothing is stored in it.
    #[error("it has no payload")]
    NoPayload,
    /// Nobody decided anything about the circuit.
    #[error("not forced: each worker computes its own state")]
    NotForced,
    /// Nobody holds the operation back.
    #[error("not paused")]
    NotPaused,
}

/// What speaks for a key's holder being at work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "sign", rename_all = "snake_case")]
pub enum LifeSign {
    /// Its lease is live.
    Lease {
        /// Until when, by the database's clock.
        until: DateTime<Utc>,
    },
    /// Its lease is over, but it is a worker that was heard of just now.
    Heartbeat,
    /// It is held without a lease, which others do: what they do is not known here.
    NoLease,
}

fn not_held(life: KeyLife) -> &'static str {
    match life {
        KeyLife::Fresh => "its retention is over, the next request runs",
        KeyLife::Completed => "completed, its stored response is replayed",
        KeyLife::Failed => "failed for good, its stored error is replayed",
        KeyLife::FailedStorage => "its response could not be stored, the next request runs again",
        KeyLife::Freed | KeyLife::InFlight | KeyLife::LeaseOver | KeyLife::Elsewhere => {
            "free, the next request runs"
        }
    }
}

fn by(holder: Option<&WorkerId>, sign: &LifeSign) -> String {
    let holder = SafeText::new(holder.map_or("somebody", WorkerId::as_str));
    match sign {
        LifeSign::Lease { until } => {
            format!("{holder} holds it, with a lease until {} UTC", until.format("%H:%M:%S"))
        }
        LifeSign::Heartbeat => {
            format!("{holder} holds it; its lease is over, but that worker is alive")
        }
        LifeSign::NoLease => {
            format!("{holder} holds it without a lease, so nobody knows whether that is still at work")
        }
    }
}

/// What became of one target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TargetOutcome {
    /// The onboarding's, letter's or key's id, or the operation.
    pub id: String,
    /// Why it was left out; `None` when the command was applied to it.
    pub left_out: Option<LeftOut>,
}

/// Done: what the engine did, stored with the action.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    /// The submission's key.
    pub action: ActionId,
    /// What was done.
    pub kind: ActionKind,
    /// When, by the database's clock.
    pub at: DateTime<Utc>,
    /// Every target.
    pub outcomes: Vec<TargetOutcome>,
    /// The replay that now runs.
    pub replay: Option<ReplayId>,
    /// The answer to a trigger.
    pub triggered: Option<TriggerAnswer>,
    /// What was asked to be seen; never stored, never written out.
    #[serde(skip)]
    pub revealed: Option<Revealed>,
    /// This is the answer of an earlier, identical submission.
    #[serde(default)]
    pub repeated: bool,
}

impl Receipt {
    /// How many targets the command was applied to.
    pub fn applied(&self) -> usize {
        self.outcomes.iter().filter(|o| o.left_out.is_none()).count()
    }
}

/// Not done, and why. Nothing was changed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// The dashboard or twin was opened read-only.
    #[error("read-only: start without --read-only to act")]
    ReadOnly,
    /// The request is malformed.
    #[error(transparent)]
    Invalid(InvalidRequest),
    /// Nothing was selected.
    #[error("nothing was selected")]
    NoTargets,
    /// The pace makes no sense.
    #[error("a replay's pace must be above 0 and at most 10,000 letters a second")]
    Pace,
    /// The share at which a replay stops makes no sense.
    #[error("the share of letters failing again at which a replay stops must be between 0 and 1")]
    RefailLimit,
    /// The time limit makes no sense.
    #[error("a time limit must be between 1 second and 30 days")]
    Limit,
    /// Every target was left out.
    #[error("{}", nothing(.0))]
    Nothing(Vec<TargetOutcome>),
    /// The database did not do its part.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Who did it, and when.
fn asked_by(last: Option<&LastAction>) -> String {
    last.map(|last| format!(" by {} at {} UTC", SafeText::new(&last.operator), last.at.format("%H:%M:%S")))
        .unwrap_or_default()
}

fn nothing(outcomes: &[TargetOutcome]) -> String {
    match outcomes {
        [TargetOutcome { id, left_out: Some(why) }] => format!("{}: {why}", SafeText::new(id)),
        [TargetOutcome { left_out: Some(why), .. }, ..] => {
            format!("none of the {} selected can be acted on; the first: {why}", outcomes.len())
        }
        _ => "nothing to do".to_owned(),
    }
}
