//! The engine's memory: a few atomic verbs. Each verb is one transaction; what it promises stands beside it, and
//! `tests/suite/laws` holds every store to it.
//!
//! Leases live by the database's clock. A holder writes with its [`Lease`]; one that is over may be taken over, and from
//! then on it is fenced: the write is answered with [`Conflict::Fenced`] and changes nothing.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    command::{Receipt, Refusal, Submission},
    key::{KeyIntent, KeyStore},
    lock::LockStore,
    observer::Denial,
    runs::{Newest, Runs},
};
use crate::domain::{
    attempt::CompensationStatus,
    catalog::{Entity, Relationship},
    circuit::{CircuitState, Forced},
    fault::Fault,
    id::{KeyId, LeaseId, LetterId, OnboardingId, ReplayId, StateName, WorkerId},
    letter::{LetterReason, LetterStatus},
    onboarding::{Request, Status},
    text::SafeText,
};

/// What the database did not do, in words for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// It does not answer.
    #[error(
        "cannot reach the database {}: {}; check that it runs and that the URL is right",
        SafeText::new(.database),
        SafeText::new(.why)
    )]
    Unreachable {
        /// Its URL without the password.
        database: String,
        /// The driver's reason.
        why: String,
    },
    /// It is there, or its name is, and does not let us in: that does not pass by itself.
    #[error("cannot reach the database {}: {}", SafeText::new(.database), SafeText::new(.why))]
    Barred {
        /// Its URL without the password.
        database: String,
        /// The driver's reason.
        why: String,
    },
    /// A table is not there though the migrations are.
    #[error(
        "the database {} lacks the table {} though its migration is applied: restore it, or see whether the search_path leads to it",
        SafeText::new(.database),
        SafeText::new(.table)
    )]
    TableMissing {
        /// Its URL without the password.
        database: String,
        /// What is missing.
        table: String,
    },
    /// No table of ours is there.
    #[error("the database {} has no redrive tables: run `redrive migrate`", SafeText::new(.database))]
    NotMigrated {
        /// Its URL without the password.
        database: String,
    },
    /// Migrations are missing.
    #[error(
        "the database's schema is version {found}, this redrive needs {needed}: run `redrive migrate` after a backup"
    )]
    OlderSchema {
        /// The newest migration applied.
        found: i64,
        /// The newest migration known.
        needed: i64,
    },
    /// A newer redrive was here.
    #[error(
        "the database's schema is version {found}, newer than {known}, the newest this redrive knows: use the newer redrive"
    )]
    NewerSchema {
        /// The newest migration applied.
        found: i64,
        /// The newest migration known.
        known: i64,
    },
    /// The file or server takes no writes.
    #[error("the database is read-only: nothing was changed")]
    ReadOnly,
    /// The role may not.
    #[error("the database refused {doing}: {}; use a role with the operator grants", SafeText::new(.why))]
    Denied {
        /// What was being done.
        doing: &'static str,
        /// The database's reason.
        why: String,
    },
    /// It took too long or was locked.
    #[error("the database was too busy for {doing}: {}; nothing was changed, try again", SafeText::new(.why))]
    Busy {
        /// What was being done.
        doing: &'static str,
        /// The database's reason.
        why: String,
    },
    /// Its disk, or its room for files, is used up.
    #[error(
        "the database has no room for {doing}: the disk is full ({}); nothing was changed, make room and try again",
        SafeText::new(.why)
    )]
    Full {
        /// What was being done.
        doing: &'static str,
        /// The database's reason.
        why: String,
    },
    /// The connection was lost while committing.
    #[error(
        "the connection was lost while {doing} was being committed: it may or may not have happened; ask again"
    )]
    UnknownOutcome {
        /// What was being done.
        doing: &'static str,
    },
    /// Anything else.
    #[error("the database failed at {doing}: {}", SafeText::new(.why))]
    Failed {
        /// What was being done.
        doing: &'static str,
        /// The database's reason.
        why: String,
    },
}

impl StoreError {
    /// Whether it may pass by itself: the database restarts, or is busy.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Busy { .. })
    }
}

/// The right to write about one onboarding, until it runs out or somebody takes over.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Lease {
    /// What is held.
    pub onboarding: OnboardingId,
    /// This holding of it; fresh at each claim.
    pub id: LeaseId,
}

/// Which way the work goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// State after state.
    Forward,
    /// Compensation after compensation.
    Back,
}

/// An effect that is about to happen, written before it so that it can be undone: recorded intent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Intent {
    /// What undoes it: `github.delete_hook`.
    pub operation: String,
    /// What it is about, unique within the onboarding: `hook on acme/payments`.
    pub name: String,
    /// What it is about in the world, where several onboardings may make or find the same; `None`: only this one can.
    pub resource: Option<String>,
    /// What the undoing needs to know.
    pub args: Value,
}

impl Intent {
    /// An effect on `name` that `operation` undoes, given `args`.
    pub fn new(operation: &str, name: &str, args: Value) -> Self {
        Self { operation: operation.to_owned(), name: name.to_owned(), resource: None, args }
    }

    /// The same, about something that others may rely on too: it is undone only by the last of them.
    #[must_use]
    pub fn on(self, resource: impl Into<String>) -> Self {
        Self { resource: Some(resource.into()), ..self }
    }
}

/// What is written before a state's first effect.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Opening {
    /// What the state may do that can be undone.
    pub intents: Vec<Intent>,
    /// The keys its calls will carry.
    pub keys: Vec<KeyIntent>,
}

/// A recorded compensation.
#[derive(Debug, Clone, PartialEq)]
pub struct Compensation {
    /// Order of recording, from 1.
    pub seq: i32,
    /// The state that recorded it.
    pub state: StateName,
    /// What undoes it.
    pub operation: String,
    /// What it is about.
    pub name: String,
    /// What the undoing needs to know.
    pub args: Value,
    /// Where it stands.
    pub status: CompensationStatus,
    /// Another onboarding that made or found the same and stands: it is left to that one.
    pub relied_on_by: Option<OnboardingId>,
    /// How often undoing it was tried.
    pub attempts: u32,
    /// Why the last try failed.
    pub error: Option<String>,
    /// Why `args` cannot be read, where something else than JSON was written there; they are `null` then.
    pub unreadable: Option<String>,
}

/// What is now known of an intent's effect.
#[derive(Debug, Clone, PartialEq)]
pub struct Settled {
    /// The intent's name.
    pub name: String,
    /// The arguments the undoing needs, completed: the hook's id, say.
    pub args: Value,
    /// `Recorded` where the effect is ours to undo, `NothingToUndo` where it was there before us.
    pub status: CompensationStatus,
}

/// An effect on our own tables, done in the commit that records the step.
#[derive(Debug, Clone, PartialEq)]
pub enum Write {
    /// Create or update entities by kind, namespace and name, with their relationships, owned by the onboarding.
    Register {
        /// Each once.
        entities: Vec<Entity>,
        /// Between those or earlier ones; ends that do not exist are left out.
        relationships: Vec<Relationship>,
    },
    /// Give up the onboarding's entities; those that nobody else owns go, with their relationships.
    Unregister,
}

/// A piece of work, freshly leased. Opening its attempt was part of the claim.
#[derive(Debug, Clone, PartialEq)]
pub struct Claimed {
    /// The right to write about it.
    pub lease: Lease,
    /// What was asked for.
    pub request: Request,
    /// Which definition runs it.
    pub workflow: String,
    /// The definition's version that began it.
    pub workflow_version: i32,
    /// Which way.
    pub direction: Direction,
    /// The state to run; the last forward state while going back.
    pub state: StateName,
    /// What earlier states found out.
    pub context: Value,
    /// Why `context` cannot be read, where something else than JSON was written there; it is empty then.
    pub unreadable: Option<String>,
    /// The number of this attempt, from 1, counted since the state began or was last resumed.
    pub attempt: u32,
    /// How many of the earlier attempts ended without a report, because their worker vanished.
    pub lost: u32,
    /// Where the last attempt at this state failed; what comes after it was never tried.
    pub failed_at: Option<FailedAt>,
    /// Subtasks of this state already done.
    pub done: Vec<String>,
    /// Everything recorded to be undone, oldest first.
    pub compensations: Vec<Compensation>,
    /// Entities that others noted in the context or in history; what a roll-back without compensations removes.
    pub entities_created: Vec<String>,
    /// The replay that asked for this, while its item waits for the outcome.
    pub replay: Option<ReplayId>,
}

/// Where an attempt failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedAt {
    /// The operation.
    pub operation: String,
    /// It gave no answer in time, so that it may have been done.
    pub timed_out: bool,
}

/// What a step came to.
#[derive(Debug, Clone, PartialEq)]
pub struct StepRecord {
    /// The right to write.
    pub lease: Lease,
    /// The state that was run.
    pub state: StateName,
    /// The attempt that ended.
    pub attempt: u32,
    /// How.
    pub outcome: StepOutcome,
}

/// How a step ended, and what happens next.
#[derive(Debug, Clone, PartialEq)]
pub enum StepOutcome {
    /// The state is done.
    Advanced {
        /// What it produced.
        done: StepDone,
        /// The next state.
        next: StateName,
        /// Attempt 1 of the next state, opened in the same commit under the same lease; `None` gives the work back.
        opens: Option<Opening>,
    },
    /// The last state is done.
    Completed {
        /// What it produced.
        done: StepDone,
    },
    /// The attempt failed and another is due.
    Retry {
        /// With what.
        fault: Fault,
        /// How long to wait.
        delay: Duration,
        /// Why another attempt makes sense, in words.
        reason: String,
    },
    /// A call was not admitted: wait without spending the attempt. Those parked by one operation come back one after
    /// the other, at the store's pace.
    Parked {
        /// Whose call.
        operation: String,
        /// Why, in words.
        reason: String,
        /// How long until it is worth asking again.
        delay: Duration,
        /// An operator's decision holds it: if that was taken back meanwhile, it is due at once.
        held: bool,
    },
    /// The worker stops: give the work back without spending the attempt.
    HandedBack,
    /// No attempt is left or makes sense: a dead letter.
    Failed {
        /// The last fault.
        fault: Fault,
        /// Why it ends here.
        letter: LetterReason,
        /// The same in words, for the attempt's row.
        reason: String,
        /// The id for the letter.
        letter_id: LetterId,
    },
    /// One compensation was dealt with, the lease is kept.
    CompensationEnded {
        /// Which.
        seq: i32,
        /// How.
        status: CompensationStatus,
        /// The fault, where it failed.
        fault: Option<Fault>,
        /// Effects on our own tables.
        writes: Vec<Write>,
    },
    /// One compensation is left to another onboarding that relies on the same thing; the lease is kept.
    CompensationLeft {
        /// Which.
        seq: i32,
        /// To whom.
        to: OnboardingId,
    },
    /// Undoing one compensation failed and another try is due; the lease is given back.
    CompensationRetry {
        /// Which.
        seq: i32,
        /// With what.
        fault: Fault,
        /// How long to wait.
        delay: Duration,
    },
    /// Every compensation was dealt with and none failed.
    RolledBack {
        /// Effects on our own tables, for rows without compensations of ours.
        writes: Vec<Write>,
    },
    /// Some compensation failed for good.
    Stuck {
        /// How many of how many were undone, in words.
        reason: String,
    },
}

/// What a finished state leaves behind.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StepDone {
    /// The context from now on.
    pub context: Value,
    /// Subtasks done.
    pub subtasks: Vec<String>,
    /// Effects on our own tables.
    pub writes: Vec<Write>,
    /// What is now known of the intents.
    pub settled: Vec<Settled>,
    /// Stored responses of the keys: key, HTTP status, body.
    pub responses: Vec<(KeyId, u16, Value)>,
    /// Something that went wrong and does not matter enough to fail: the announcement that was not heard.
    pub note: Option<String>,
}

/// What a record answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recorded {
    /// The lease is kept and renewed: go on.
    GoOn,
    /// The work is finished or given back.
    Released,
    /// An operator wants it undone: the roll-back has begun and the lease is given back.
    RollBackBegan,
}

/// Why a record was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// The lease is another's: abandon the work, change nothing.
    #[error("the lease is over: another worker has taken over")]
    Fenced,
    /// An entity belongs to another tenant: nothing of this record was written.
    #[error("entity {} belongs to tenant {}", SafeText::new(.entity), SafeText::new(.tenant))]
    ForeignEntity {
        /// Which.
        entity: String,
        /// Whose.
        tenant: String,
    },
}

/// A worker's sign of life.
#[derive(Debug, Clone, PartialEq)]
pub struct Heartbeat {
    /// Who.
    pub worker: WorkerId,
    /// Where its metrics are, if it serves them.
    pub metrics_url: Option<String>,
    /// How many onboardings it is running.
    pub running: i32,
    /// What it can run.
    pub runs: Newest,
    /// Its circuits as it computed them.
    pub circuits: Vec<CircuitReport>,
}

/// One circuit as one worker computed it, and what stands beside it in that worker.
#[derive(Debug, Clone, PartialEq)]
pub struct CircuitReport {
    /// The circuit's operation.
    pub operation: String,
    /// As computed.
    pub state: CircuitState,
    /// Over the remembered calls, in `[0, 1]`.
    pub failure_rate: Option<f64>,
    /// The failure rate at which it opens.
    pub opens_at: f64,
    /// The share of slow calls among those remembered; `None` where its policy knows no slow calls.
    pub slow_rate: Option<f64>,
    /// The share of slow calls at which it opens.
    pub slow_opens_at: Option<f64>,
    /// How many calls are remembered.
    pub calls: i32,
    /// How long until it probes.
    pub probe_in: Option<Duration>,
    /// What is left of the operation's retry budget, in `[0, 1]`.
    pub budget_left: f64,
    /// First tries in the budget's window.
    pub first_tries: i64,
    /// Retries in the budget's window.
    pub retries: i64,
    /// Calls under way, of as many as may be; `None` where their number is not limited.
    pub in_flight: Option<(u32, u32)>,
    /// How often a call was not made since the worker began, by reason.
    pub denied: BTreeMap<Denial, u64>,
}

/// What operators may decide about an operation's calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Its circuit's state.
    Force(Forced),
    /// Hold it back.
    Pause,
}

/// What an operator decided about an operation's calls, while it lasts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Steering {
    /// The operation.
    pub operation: String,
    /// What was decided.
    pub order: Order,
    /// How long it still lasts; `None`: until it is taken back.
    pub left: Option<Duration>,
    /// Who decided it.
    pub owner: String,
    /// Why.
    pub reason: String,
}

/// Gauges, counted at most up to a cap.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Onboardings by status.
    pub onboardings: Vec<(Status, i64)>,
    /// Letters by status.
    pub letters: Vec<(LetterStatus, i64)>,
}

/// The engine's memory.
#[async_trait]
pub trait Store: KeyStore + LockStore {
    /// Applies a command: judges every target again (`engine::plan`), acts on those that pass, and writes the audit
    /// row with its targets when an operator asked, all in one transaction. The same `submission.action` again answers the stored receipt
    /// with `repeated` set. When every target is left out nothing is written and [`Refusal::Nothing`] is answered.
    ///
    /// Trigger: one live or completed onboarding per fingerprint and triple, held by a unique index.
    /// Force, pause: one row an operation; what was parked by it comes back at a pace once nothing holds it any more.
    /// Resume: history `in_progress`, phase `queued`, fresh attempts, open letters closed as `resumed`.
    /// Roll back: phase `rolling_back`, letters closed as `rolled_back`; leased work gets a wish instead.
    /// Replay: a `redrive_replays` row with its items, letters `replaying`; [`Store::pace_replays`] resumes their onboardings.
    /// Stop: what was not begun is skipped, its letters are open again. Discard, restore: the letters' status.
    async fn act(&self, submission: &Submission) -> Result<Receipt, Refusal>;

    /// Leases up to `limit` pieces of due work to `worker` for `lease`: due are rows whose `run_at` has come and
    /// whose lease is absent or over. No two claims answer the same row while its lease runs. Opens the attempt
    /// (`attempt + 1`); an attempt left open by a vanished worker is closed as `lost`. Rows without work are never
    /// claimed, nor are rows that would go forward while their workflow is paused. A row that cannot be taken, because
    /// of what others wrote, goes aside and holds up no other: it is tried again slowly, and ends in a letter.
    ///
    /// Rows of a workflow that `runs` does not name, or of a newer version, are not touched. What is claimed is from then on
    /// of the version that runs it, by [`Runs::version_for`]: it may leave what an older one cannot read or undo.
    async fn claim(
        &self,
        worker: &WorkerId,
        runs: &Runs,
        limit: usize,
        lease: Duration,
    ) -> Result<Vec<Claimed>, StoreError>;

    /// Writes intents and keys under a lease before the effects they announce; writing them again changes nothing.
    async fn open(
        &self,
        lease: &Lease,
        state: &StateName,
        opening: &Opening,
    ) -> Result<Result<(), Conflict>, StoreError>;

    /// Records what steps came to, each all or nothing, answered in the order given. Renews the leases kept for
    /// `lease`. Fenced by lease id. A pending wish turns any outcome that would go on or wait into the beginning of
    /// the roll-back. Ends replay items and letters when their onboarding ends.
    async fn record(
        &self,
        records: &[StepRecord],
        lease: Duration,
    ) -> Result<Vec<Result<Recorded, Conflict>>, StoreError>;

    /// Moves every running replay on as far as its pace lets it, by [`super::replay`]: begins letters, judging each
    /// again, holds while a circuit they need is open, or stops it. Whoever asks, one at a time moves one replay.
    /// Answers how many letters began.
    async fn pace_replays(&self) -> Result<u64, StoreError>;

    /// Begins the roll-back of what failed so long ago that nobody is expected to come back to it, a few at a time, as an
    /// action of `redrive` in the audit. Answers how many it began. Whoever asks, each begins once.
    async fn clean_up(&self) -> Result<u64, StoreError>;

    /// Groups again a page of letters whose fingerprint an older rule made, with the counters of their groups. Answers how
    /// many it looked at; 0 once all are of today's rule. Whoever asks, each is grouped once; what somebody else is writing
    /// is left for the next page.
    async fn regroup(&self) -> Result<u64, StoreError>;

    /// Keeps leases alive; answers those that are lost.
    async fn renew(&self, leases: &[Lease], lease: Duration) -> Result<Vec<Lease>, StoreError>;

    /// A worker's sign of life and its circuits as it computed them.
    async fn beat(&self, beat: &Heartbeat) -> Result<(), StoreError>;

    /// What operators decided about operations, and still holds. Cheap: asked several times a second.
    async fn steering(&self) -> Result<Vec<Steering>, StoreError>;

    /// A worker says goodbye: its registration and reports are removed.
    async fn leave(&self, worker: &WorkerId) -> Result<(), StoreError>;

    /// How long until the earliest work is due that may be claimed, negative for how long it has waited; `None` when
    /// there is none that `runs` allows.
    async fn next_due(&self, runs: &Runs) -> Result<Option<TimeDelta>, StoreError>;

    /// Returns when work may have come, at the latest after `at_most`. Never fails: without a wake-up it is a pause.
    async fn wait(&self, at_most: Duration);

    /// Counts for gauges, capped.
    async fn gauges(&self) -> Result<Gauges, StoreError>;

    /// Lets go of the database, readers first and the writer last, so that a file is whole by itself. Waits for a moment
    /// at most; whatever is asked of the store after it fails.
    async fn close(&self);
}
