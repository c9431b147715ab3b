//! The reading side: one [`Query`] in, one [`Board`] out, read in one read-only transaction.
//!
//! Payloads come by shape and size only: in the clear they are part of no picture, see [`super::reveal`].
//! Text from outside comes as [`SafeText`]; ids stay raw, because actions need them, and are escaped where shown.

use std::{collections::BTreeMap, fmt};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    command::{Command, LastAction},
    filter::Filter,
    observer::Denial,
    order::Order,
    plan::{CompensationStanding, KeyStanding, Standing},
    runs::Newest,
    store::StoreError,
};
use crate::domain::{
    action::ActionKind,
    attempt::AttemptOutcome,
    circuit::{CircuitState, Forced},
    fault::FaultClass,
    id::{ActionId, KeyId, LetterId, OnboardingId, ReplayId, StateName, WorkerId},
    key::{KeyLife, KeyPhase, KeyStatus},
    letter::{LetterOutcome, LetterReason, LetterStatus, ReplayOutcome},
    onboarding::{Phase, Status},
    text::SafeText,
};

/// Which list a screen shows beside the overview.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum List {
    /// Only the overview.
    #[default]
    None,
    /// Onboardings, newest first.
    Onboardings,
    /// Keys: those in trouble first, then newest first.
    Keys,
    /// Letters, newest first; of one error group, or of all.
    Letters {
        /// `error_fingerprint`.
        group: Option<String>,
    },
    /// What operators did, newest first.
    Audit,
}

/// Which row's page is wanted as well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Detail {
    /// An onboarding's page.
    Onboarding(OnboardingId),
    /// A key's page.
    Key(KeyId),
    /// A letter's page.
    Letter(LetterId),
}

/// What the screen wants to look at besides the overview.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Query {
    /// Which list.
    pub list: List,
    /// What to leave in.
    pub filter: Filter,
    /// In which order; `None`, or one the list does not know: its first.
    pub order: Option<Order>,
    /// Rows after this one, in the list's order; `None`: from the top.
    pub after: Option<Cursor>,
    /// How many rows at most; 0 means [`Query::DEFAULT_LIMIT`].
    pub limit: u32,
    /// Which page.
    pub detail: Option<Detail>,
}

impl Query {
    /// Rows of a list when the asker does not say.
    pub const DEFAULT_LIMIT: u32 = 200;
    /// Counts stop here and say so.
    pub const COUNT_CAP: i64 = 10_000;
}

/// A place in a list: of the newest or oldest by `(created_at, id)`, in other orders where the row `id` stands now
/// (when it is gone, or left the window, the list is at its end).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// Of the last row seen.
    pub created_at: DateTime<Utc>,
    /// Of the last row seen.
    pub id: String,
}

/// A count that stops at [`Query::COUNT_CAP`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Count(pub i64);

impl std::fmt::Display for Count {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = match self.0 {
            n if n >= Query::COUNT_CAP => "10k+".to_owned(),
            n if n >= 1_000 => format!("{:.1}k", n as f64 / 1_000.0),
            n => n.to_string(),
        };
        f.pad(&text)
    }
}

/// The overview's numbers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Counts {
    /// Every onboarding.
    pub onboardings: Count,
    /// Queued, running or waiting out a retry, and those in progress elsewhere.
    pub in_progress: Count,
    /// Waiting for a circuit.
    pub parked: Count,
    /// Failed and not cleaned up, ours and others'.
    pub failed: Count,
    /// Rolling back.
    pub rolling_back: Count,
    /// Roll-backs that stand.
    pub stuck: Count,
    /// Completed.
    pub completed: Count,
    /// Every key.
    pub keys: Count,
    /// Keys in flight whose lease is over, or that others hold without one.
    pub keys_stuck: Count,
    /// Keys whose response could not be stored.
    pub keys_failed_storage: Count,
    /// The oldest moment at which a stuck key should have been done: its lease's end, or when it was locked.
    pub oldest_stuck_key: Option<DateTime<Utc>>,
    /// Open letters.
    pub letters: Count,
    /// Letters being replayed.
    pub replaying: Count,
    /// Letters that failed again after too many replays.
    pub quarantined: Count,
    /// Letters that need nothing more.
    pub discarded: Count,
    /// Groups with open or replaying letters.
    #[serde(default)]
    pub letter_groups: Count,
    /// Letters written in the last 15 minutes, whatever became of them.
    pub letters_arrived: Count,
    /// The oldest open letter.
    pub oldest_letter: Option<DateTime<Utc>>,
    /// Actions in the audit.
    pub actions: Count,
}

/// A worker as the table knows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkerRow {
    /// Who.
    pub id: WorkerId,
    /// When it was last heard of.
    pub beat_at: DateTime<Utc>,
    /// Onboardings it is running.
    pub running: i32,
    /// Where its metrics are.
    pub metrics_url: Option<SafeText>,
    /// What it can run; `None`: not known, it may be anything.
    pub runs: Option<Newest>,
    /// Its last sign of life is recent.
    pub alive: bool,
}

/// Due work that no living worker can run: it waits, untouched, until one that can is started.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Unclaimed {
    /// Its workflow.
    pub workflow: SafeText,
    /// Its version.
    pub version: i64,
    /// How many, among the first of the queue.
    pub count: Count,
}

impl fmt::Display for Unclaimed {
    /// `no worker that is alive has the workflow order version 2: it waits until one that has it is started`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { workflow, version, count } = self;
        let waits = if count.0 == 1 { "it waits".to_owned() } else { format!("{count} wait") };
        write!(
            f,
            "no worker that is alive has the workflow {workflow} version {version}: {waits} until one that has it is started"
        )
    }
}

/// A few items that fail again and again while the rest flow: bad items, not a storm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Poison {
    /// Most failures first, at most three.
    pub items: Vec<PoisonItem>,
    /// How many others are done, of those of the last hour.
    pub done: Count,
}

/// An onboarding or a caller's key that fails again and again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PoisonItem {
    /// Its id or key.
    pub id: SafeText,
    /// What people call it: an onboarding by its repository.
    pub name: SafeText,
    /// Whether it is an onboarding.
    pub onboarding: bool,
    /// The onboarding's state, or the operation the key protects; `None` for keys of others.
    pub at: Option<SafeText>,
    /// How often it failed there.
    pub failures: i32,
}

impl fmt::Display for Poison {
    /// `onboarding https://github.com/acme/payments failed 3 times at PLANNING while 40 others completed: a bad item, no storm`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, PoisonItem { name, onboarding, at, failures, .. }) in self.items.iter().enumerate() {
            let (and, kind) =
                (if n == 0 { "" } else { ", " }, if *onboarding { "onboarding" } else { "key" });
            write!(f, "{and}{kind} {name} failed {failures} times")?;
            if let Some(at) = at {
                write!(f, " at {at}")?;
            }
        }
        let what = if self.items.len() == 1 { "a bad item" } else { "bad items" };
        write!(f, " while {} others completed: {what}, no storm", self.done)
    }
}

/// An operator's decision about an operation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// When it is over by itself; `None`: when it is taken back.
    pub until: Option<DateTime<Utc>>,
    /// Who decided it.
    pub operator: SafeText,
    /// When.
    pub at: DateTime<Utc>,
    /// Why.
    pub reason: Option<SafeText>,
}

/// An operation that is held back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PauseRow {
    /// `github.create_hook`, or `onboarding` for everything that goes forward.
    pub operation: SafeText,
    /// By whom and why.
    pub decision: Decision,
    /// What a command names.
    pub version: i64,
}

/// One operation's circuit over all workers, and what stands beside it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CircuitRow {
    /// `github.create_hook`.
    pub operation: SafeText,
    /// The worst state any live worker computed: open, then half open, then closed.
    pub state: CircuitState,
    /// What an operator forced.
    pub forced: Option<Forced>,
    /// Who forced it, and until when.
    pub forced_by: Option<Decision>,
    /// Who holds the operation back, if somebody does.
    pub paused: Option<Decision>,
    /// How many live workers computed that worst state, of how many that report.
    pub instances: (u32, u32),
    /// The worst failure rate, in `[0, 1]`.
    pub failure_rate: Option<f64>,
    /// The failure rate at which it opens.
    pub opens_at: Option<f64>,
    /// Remembered calls behind that rate.
    pub calls: i32,
    /// When the first probe is due.
    pub probe_at: Option<DateTime<Utc>>,
    /// Onboardings parked by it.
    pub holds: Count,
    /// What is left of the retry budget where least is, in `[0, 1]`.
    pub budget_left: Option<f64>,
    /// How often a call was not made since its worker began, by reason, over all live workers.
    pub denied: BTreeMap<Denial, u64>,
    /// The newest report.
    pub reported_at: DateTime<Utc>,
    /// What a command names.
    pub version: i64,
    /// Who decided something about it last.
    pub last_action: Option<LastAction>,
    /// As each live worker computed it, by name.
    pub reports: Vec<CircuitReportRow>,
}

/// A circuit as one worker computed it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CircuitReportRow {
    /// Who.
    pub worker: WorkerId,
    /// As computed.
    pub state: CircuitState,
    /// Over the remembered calls, in `[0, 1]`.
    pub failure_rate: Option<f64>,
    /// The share of slow calls, where its policy knows them.
    pub slow_rate: Option<f64>,
    /// The share of slow calls at which it opens.
    pub slow_opens_at: Option<f64>,
    /// Remembered calls.
    pub calls: i32,
    /// When it probes.
    pub probe_at: Option<DateTime<Utc>>,
    /// What is left of its retry budget, in `[0, 1]`.
    pub budget_left: Option<f64>,
    /// First tries in the budget's window.
    pub first_tries: i64,
    /// Retries in the budget's window.
    pub retries: i64,
    /// Calls under way, of as many as may be.
    pub in_flight: Option<(i64, i64)>,
    /// When it said so.
    pub reported_at: DateTime<Utc>,
}

/// One onboarding in the list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OnboardingRow {
    /// Its id, raw.
    pub id: OnboardingId,
    /// The tenant.
    pub tenant_id: SafeText,
    /// The repository.
    pub repo_url: SafeText,
    /// The workspace.
    pub workspace_id: Option<SafeText>,
    /// The word others see.
    pub status: Status,
    /// Ours, finer; `None`: elsewhere.
    pub phase: Option<Phase>,
    /// The state it is in or failed in.
    pub current_state: Option<StateName>,
    /// Attempts made at that state since it began or was resumed.
    pub attempt: i32,
    /// The newest error; on its page, while no living worker can run it, that.
    pub error: Option<SafeText>,
    /// When it is due, while it waits.
    pub run_at: Option<DateTime<Utc>>,
    /// The circuit it waits for.
    pub parked_by: Option<SafeText>,
    /// Who holds a live lease.
    pub owner: Option<WorkerId>,
    /// Until when.
    pub lease_until: Option<DateTime<Utc>>,
    /// Its open letter.
    pub letter: Option<LetterId>,
    /// When it began.
    pub created_at: DateTime<Utc>,
    /// When it last moved.
    pub updated_at: DateTime<Utc>,
    /// When it failed.
    pub failed_at: Option<DateTime<Utc>>,
    /// What a command names.
    pub version: i64,
    /// Who touched it last.
    pub last_action: Option<LastAction>,
}

/// One attempt at one state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AttemptRow {
    /// Order over the whole onboarding, from 1.
    pub seq: i32,
    /// The state tried.
    pub state: StateName,
    /// The number of the attempt since the state began or was resumed, from 1.
    pub attempt: i32,
    /// Who ran it.
    pub worker: WorkerId,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When it ended; `None`: it runs.
    pub ended_at: Option<DateTime<Utc>>,
    /// How it ended.
    pub outcome: Option<AttemptOutcome>,
    /// What failed.
    pub operation: Option<String>,
    /// The kind of fault.
    pub class: Option<FaultClass>,
    /// The fault.
    pub error: Option<String>,
    /// Why it was or was not retried.
    pub reason: Option<String>,
    /// How long until the next, in seconds.
    pub delay_seconds: Option<f64>,
}

/// An onboarding's page.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OnboardingPage {
    /// The row.
    pub row: OnboardingRow,
    /// Every attempt, oldest first, at most the newest 500.
    pub attempts: Vec<AttemptRow>,
    /// Subtasks done: state, subtask, when.
    pub subtasks: Vec<(StateName, SafeText, DateTime<Utc>)>,
    /// What was recorded to be undone, oldest first.
    pub compensations: Vec<CompensationStanding>,
    /// The context by shape and size.
    pub context: Value,
    /// Entities it owns, `kind:namespace/name`.
    pub entities: Vec<SafeText>,
    /// Its keys.
    pub keys: Vec<KeyRow>,
    /// Its letters, newest first.
    pub letters: Vec<LetterRow>,
    /// What operators did to it, newest first.
    pub audit: Vec<AuditRow>,
}

/// One key in the list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeyRow {
    /// As stored, raw.
    pub key: KeyId,
    /// The operation it protects; `None` for keys of others.
    pub operation: Option<SafeText>,
    /// The word others see.
    pub status: KeyStatus,
    /// Ours, finer; `None`: elsewhere.
    pub phase: Option<KeyPhase>,
    /// Of the canonical request.
    pub request_hash: SafeText,
    /// How often it was used for another request.
    pub conflicts: i32,
    /// How often work was begun under it.
    pub attempts: i32,
    /// Of the stored response.
    pub response_code: Option<i32>,
    /// When it was first seen.
    pub created_at: DateTime<Utc>,
    /// Since when somebody works under it.
    pub locked_at: Option<DateTime<Utc>>,
    /// Who.
    pub locked_by: Option<SafeText>,
    /// Until when; `None` on keys of others.
    pub lease_until: Option<DateTime<Utc>>,
    /// The holder is a worker that was heard of just now; others do not beat here.
    pub holder_alive: bool,
    /// Where that leaves it.
    pub life: KeyLife,
    /// In flight, and its lease is over or it has none.
    pub stuck: bool,
    /// When it is forgotten; `None`: kept while it is worked under, or kept by others.
    pub expires_at: Option<DateTime<Utc>>,
    /// The onboarding behind it.
    pub onboarding: Option<OnboardingId>,
    /// What a command names.
    pub version: i64,
    /// Who touched it last.
    pub last_action: Option<LastAction>,
}

impl KeyRow {
    /// What its release is judged by.
    pub fn standing(&self) -> KeyStanding {
        KeyStanding {
            id: self.key.clone(),
            version: self.version,
            life: self.life,
            holder: self.locked_by.as_ref().map(|by| by.as_str().into()),
            lease_until: self.lease_until,
            holder_alive: self.holder_alive,
            last_action: self.last_action.clone(),
        }
    }
}

/// A key's page.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeyPage {
    /// The row.
    pub row: KeyRow,
    /// Why it will or will not be retried, in one sentence.
    pub why: SafeText,
    /// The stored response by shape and size.
    pub response: Option<Value>,
    /// How large the stored response is, in bytes.
    pub response_bytes: Option<usize>,
    /// The names of the headers stored with it.
    pub response_headers: Vec<SafeText>,
    /// The onboarding behind it.
    pub onboarding: Option<OnboardingRow>,
    /// The letters behind it.
    pub letters: Vec<LetterRow>,
    /// What operators did to it, newest first.
    pub audit: Vec<AuditRow>,
}

/// Letters that failed alike.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LetterGroup {
    /// `error_fingerprint`.
    pub fingerprint: String,
    /// One of the errors, as an example.
    pub error: SafeText,
    /// What failed.
    pub operation: Option<SafeText>,
    /// Open letters in it.
    pub open: i64,
    /// Letters being replayed in it.
    pub replaying: i64,
    /// The first one ever.
    pub first_seen: DateTime<Utc>,
    /// The newest one.
    pub last_seen: DateTime<Utc>,
    /// First seen within the last 15 minutes.
    pub new: bool,
    /// Who touched a letter of it last.
    pub last_action: Option<LastAction>,
}

/// One letter in the list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LetterRow {
    /// Its id.
    pub id: LetterId,
    /// The onboarding it tells of.
    pub onboarding: OnboardingId,
    /// Tenant and repository.
    pub label: SafeText,
    /// The state that failed.
    pub state: StateName,
    /// What failed.
    pub operation: Option<SafeText>,
    /// With what.
    pub error: SafeText,
    /// What it is grouped by.
    pub error_fingerprint: String,
    /// Why it ended as a letter.
    pub reason: LetterReason,
    /// Where it stands.
    pub status: LetterStatus,
    /// How it was closed.
    pub outcome: Option<LetterOutcome>,
    /// How often it was replayed.
    pub replays: i32,
    /// When it was written.
    pub created_at: DateTime<Utc>,
    /// What a command names.
    pub version: i64,
    /// Who touched it last.
    pub last_action: Option<LastAction>,
}

/// A letter's page.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LetterPage {
    /// The row.
    pub row: LetterRow,
    /// The key the failing call carried.
    pub key: Option<KeyId>,
    /// The original request by shape and size.
    pub request: Value,
    /// The whole error history, oldest first.
    pub history: Vec<AttemptRow>,
    /// What replays did with it.
    pub replays: Vec<ReplayItemRow>,
    /// What operators did to it.
    pub audit: Vec<AuditRow>,
}

/// One letter in one replay.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReplayItemRow {
    /// Which replay.
    pub replay: ReplayId,
    /// Which letter.
    pub letter: LetterId,
    /// What became of it.
    pub outcome: ReplayOutcome,
    /// When that was known.
    pub ended_at: Option<DateTime<Utc>>,
    /// The letter it became when it failed again.
    pub became: Option<LetterId>,
    /// Why it was left out.
    pub reason: Option<SafeText>,
}

/// A replay that runs, or the newest that ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReplayRow {
    /// Which.
    pub id: ReplayId,
    /// Who asked.
    pub operator: SafeText,
    /// When.
    pub created_at: DateTime<Utc>,
    /// How fast.
    pub per_second: f64,
    /// How many letters.
    pub total: i64,
    /// How many went through.
    pub succeeded: i64,
    /// How many failed again.
    pub failed_again: i64,
    /// How many of those failed with another error than before.
    pub new_errors: i64,
    /// How many were left out, because they were dealt with before their turn came.
    pub skipped: i64,
    /// How many its stop opened again.
    pub open_again: i64,
    /// How many were begun.
    pub dispatched: i64,
    /// How many are still to come.
    pub waiting: i64,
    /// It stops when more than this share fails again, in `[0, 1]`.
    pub refail_limit: f64,
    /// The operation whose circuit it waits for, or that is paused.
    pub held_by: Option<SafeText>,
    /// Why it was stopped, if it was.
    pub stopped: Option<SafeText>,
    /// Why it was asked for.
    pub reason: Option<SafeText>,
    /// When its last letter was known.
    pub ended_at: Option<DateTime<Utc>>,
    /// What a command names.
    pub version: i64,
}

/// One operator's action.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuditRow {
    /// Its id.
    pub id: ActionId,
    /// When.
    pub at: DateTime<Utc>,
    /// Who.
    pub operator: SafeText,
    /// What.
    pub kind: ActionKind,
    /// In which way: `open for 10m`, `5/s`; `None` where there is only one.
    #[serde(default)]
    pub how: Option<SafeText>,
    /// Why.
    pub reason: Option<SafeText>,
    /// How many it was applied to.
    pub applied: i64,
    /// How many were left out.
    pub left_out: i64,
    /// The first targets, at most 20.
    pub targets: Vec<SafeText>,
}

impl AuditRow {
    /// What was done, in words: `force open for 10m`.
    pub fn what(&self) -> String {
        let kind = self.kind.as_str().replace('_', " ");
        self.how.as_ref().map_or_else(|| kind.clone(), |how| format!("{kind} {how}"))
    }
}

/// The list a [`Query`] asked for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "list", content = "rows", rename_all = "snake_case")]
pub enum Rows {
    /// None was asked for.
    #[default]
    None,
    /// Onboardings.
    Onboardings(Vec<OnboardingRow>),
    /// Keys.
    Keys(Vec<KeyRow>),
    /// Letters.
    Letters(Vec<LetterRow>),
    /// Actions.
    Audit(Vec<AuditRow>),
}

/// The page a [`Query`] asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Page {
    /// An onboarding.
    Onboarding(Box<OnboardingPage>),
    /// A key.
    Key(Box<KeyPage>),
    /// A letter.
    Letter(Box<LetterPage>),
    /// There is no such row.
    Missing,
}

/// Everything one [`Query`] brought, of one instant of the database.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Board {
    /// The database's clock when it was read.
    pub at: DateTime<Utc>,
    /// Why the database takes no writes, where it says so by itself: `the server is a standby`.
    #[serde(default)]
    pub read_only: Option<String>,
    /// The overview's numbers.
    pub counts: Counts,
    /// Workers heard of in the last hour.
    pub workers: Vec<WorkerRow>,
    /// What is due and none of them can run, by definition.
    pub unclaimed: Vec<Unclaimed>,
    /// The bad items that fail again and again.
    #[serde(default)]
    pub poison: Option<Poison>,
    /// Every circuit: those that do not simply let calls pass first, then by name.
    pub circuits: Vec<CircuitRow>,
    /// Everything that is held back, by name.
    pub pauses: Vec<PauseRow>,
    /// Groups with open or replaying letters, largest first, at most 200.
    pub letter_groups: Vec<LetterGroup>,
    /// Replays that run, and the newest that ended, newest first, at most 20.
    pub replays: Vec<ReplayRow>,
    /// The list asked for.
    pub rows: Rows,
    /// How many rows match the filter, capped; without a filter as the overview counts them.
    pub matching: Count,
    /// The page asked for.
    pub page: Option<Page>,
}

/// The reading side of a store.
#[async_trait]
pub trait Reader: Send + Sync {
    /// Reads everything `query` asks for and the overview, in one read-only transaction.
    async fn read(&self, query: &Query) -> Result<Board, StoreError>;

    /// What the targets of `command` look like now, for a preview.
    async fn standing(&self, command: &Command) -> Result<Standing, StoreError>;

    /// Whether the database answers and its schema is this version's: one statement, whatever the tables hold.
    async fn ping(&self) -> Result<(), StoreError>;

    /// What the database is, for the header and for errors: `sqlite demo.db`, `host/name (postgres, user:***)`.
    fn label(&self) -> String;
}
