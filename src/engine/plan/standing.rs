//! What must be known of a command's targets to judge it: what they look like at one instant.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{
    domain::{
        attempt::CompensationStatus,
        circuit::Forced,
        id::{KeyId, LetterId, OnboardingId, OperationName, ReplayId, StateName, WorkerId},
        key::KeyLife,
        letter::{LetterOutcome, LetterReason, LetterStatus},
        onboarding::{Phase, Status},
        text::SafeText,
    },
    engine::command::LastAction,
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
    /// Which of the onboardings to resume ended with a permanent error, as their open letters say.
    pub permanent: Vec<OnboardingId>,
    /// Operations whose circuit is open on some worker.
    pub open_circuits: Vec<String>,
}
