//! A store of each dialect for a test: a fresh database, a bound time, and SQL by hand as other services write it.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, Utc};
use redrive::{
    domain::{
        circuit::CircuitState,
        fault::Fault,
        id::{OnboardingId, WorkerId},
        letter::LetterReason,
        onboarding::Request,
    },
    engine::{
        command::{Asker, Command, Elsewhere, Receipt, Refusal, Submission, Target},
        reader::{Board, Detail, OnboardingPage, Page, Query},
        runs::Runs,
        store::{CircuitReport, Claimed, Conflict, Opening, Recorded, StepDone, StepOutcome, StepRecord},
    },
    store::{BoundTime, OpenOptions, Opened, migrate, open},
};
use sqlx::{Connection, PgConnection, SqliteConnection};

use super::{
    pgbouncer,
    postgres::{self, TestDatabase},
};

/// How long a lease lasts where a law does not care.
pub(crate) const LEASE: Duration = Duration::from_secs(30);

/// What a worker runs where a law does not care: every workflow of the laws, in whatever version.
pub(crate) fn anything() -> Runs {
    ["onboarding", "order", "refund"]
        .iter()
        .fold(Runs::default(), |runs, workflow| runs.and(workflow, i32::MAX, &[]))
}

/// A store under test.
pub(crate) struct TestStore {
    pub(crate) opened: Opened,
    pub(crate) url: String,
    pub(crate) time: BoundTime,
    /// The address it is opened at, which may be a pooler's.
    through: String,
    _folder: Option<tempfile::TempDir>,
    _database: Option<TestDatabase>,
}

/// The moment at which every test begins.
pub(crate) fn noon() -> DateTime<Utc> {
    "2026-03-01T12:00:00Z".parse().expect("a time")
}

impl TestStore {
    /// On SQLite, in a file, because several connections look at it.
    pub(crate) async fn sqlite() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let url = format!("sqlite:{}", folder.path().join("test.db").display());
        migrate(&url).await.expect("it migrates");
        Self::over(url.clone(), url, Some(folder), None).await
    }

    /// On Postgres, in a database of its own.
    pub(crate) async fn postgres() -> Self {
        let database = postgres::database().await;
        let url = database.url.clone();
        Self::over(url.clone(), url, None, Some(database)).await
    }

    /// The same, opened through a pooler; rows by hand go past it.
    pub(crate) async fn pooler() -> Self {
        let database = postgres::database().await;
        let through = pgbouncer::shared(&database.url).await.url_of(&database.url);
        let url = database.url.clone();
        Self::over(url, through, None, Some(database)).await
    }

    /// On the Postgres server at `url`, in the database it names, which has no tables yet.
    pub(crate) async fn postgres_at(url: &str) -> Self {
        migrate(url).await.expect("it migrates");
        Self::over(url.to_owned(), url.to_owned(), None, None).await
    }

    async fn over(
        url: String,
        through: String,
        folder: Option<tempfile::TempDir>,
        database: Option<TestDatabase>,
    ) -> Self {
        let time = BoundTime::default();
        time.set(noon());
        let opened = open(&through, options(&time, &url)).await.expect("it opens");
        Self { opened, url, time, through, _folder: folder, _database: database }
    }

    /// The same database, opened once more, as another process would.
    pub(crate) async fn again(&self) -> Opened {
        open(&self.through, options(&self.time, &self.url)).await.expect("it opens again")
    }

    pub(crate) fn is_sqlite(&self) -> bool {
        self.url.starts_with("sqlite:")
    }

    /// Statements by hand, as another service would write them.
    pub(crate) async fn sql(&self, statements: &str) {
        self.try_sql(statements).await.unwrap_or_else(|error| panic!("{statements}: {error}"));
    }

    pub(crate) async fn try_sql(&self, statements: &str) -> Result<(), sqlx::Error> {
        try_sql(&self.url, statements).await
    }

    /// The one cell a query answers, as text; `NULL` for none.
    pub(crate) async fn cell(&self, query: &str) -> String {
        self.column(query).await.pop().unwrap_or_else(|| "(no row)".to_owned())
    }

    /// The first column of a query, as text.
    pub(crate) async fn column(&self, query: &str) -> Vec<String> {
        column(&self.url, query).await
    }

    /// The same, where the database may be away.
    pub(crate) async fn try_cell(&self, query: &str) -> Result<String, sqlx::Error> {
        let mut cells = try_column(&self.url, query).await?;
        Ok(cells.pop().unwrap_or_else(|| "(no row)".to_owned()))
    }

    /// Everything in the tables the engine writes, to see that nothing was written.
    pub(crate) async fn everything(&self) -> String {
        let mut all = String::new();
        for (table, columns) in [
            (
                "onboarding_history",
                "id || ' ' || status || ' ' || coalesce(phase, '-') || ' ' || revision || ' ' || version",
            ),
            ("onboarding_state", "onboarding_id || ' ' || current_state || ' ' || revision"),
            (
                "redrive_work",
                "subject_id || ' ' || attempt || ' ' || coalesce(lease_id, '-') || ' ' || coalesce(wish, '-')",
            ),
            ("redrive_attempts", "onboarding_id || ' ' || seq || ' ' || coalesce(outcome, '-')"),
            ("redrive_compensations", "onboarding_id || ' ' || seq || ' ' || status"),
            ("redrive_dead_letters", "id || ' ' || status || ' ' || revision"),
            ("redrive_letter_groups", "error_fingerprint || ' ' || open || ' ' || replaying"),
            ("redrive_replay_items", "replay_id || ' ' || letter_id || ' ' || outcome"),
            ("idempotency_keys", "key || ' ' || status || ' ' || revision"),
            ("redrive_operator_actions", "id"),
            ("redrive_operator_action_targets", "action_id || ' ' || target_id"),
            ("entities", "id"),
        ] {
            let rows = self.column(&format!("SELECT {columns} FROM {table} ORDER BY 1")).await;
            all.push_str(&format!("{table}: {}\n", rows.join(", ")));
        }
        all
    }

    pub(crate) async fn submit(&self, command: Command) -> Result<Receipt, Refusal> {
        self.opened.store.act(&submission(command)).await
    }

    /// Triggers the repository `name` of tenant acme.
    pub(crate) async fn trigger(&self, name: &str) -> OnboardingId {
        let receipt = self.submit(Command::Trigger { request: request(name) }).await.expect("it triggers");
        receipt.triggered.expect("an answer").onboarding_id
    }

    pub(crate) async fn resume(&self, id: &OnboardingId, seen: Option<i64>) -> Result<Receipt, Refusal> {
        let onboardings = vec![Target { id: id.clone(), seen }];
        self.submit(Command::Resume { onboardings, elsewhere: Elsewhere::Leave }).await
    }

    pub(crate) async fn roll_back(&self, id: &OnboardingId, seen: Option<i64>) -> Result<Receipt, Refusal> {
        let onboarding = Target { id: id.clone(), seen };
        self.submit(Command::RollBack { onboarding, elsewhere: Elsewhere::Leave }).await
    }

    pub(crate) async fn claim(&self, worker: &str, limit: usize) -> Vec<Claimed> {
        self.opened.store.claim(&WorkerId::from(worker), &anything(), limit, LEASE).await.expect("it claims")
    }

    /// Claims the only due work.
    pub(crate) async fn claim_one(&self) -> Claimed {
        let mut claimed = self.claim("worker-a", 10).await;
        assert_eq!(claimed.len(), 1, "exactly one is due");
        claimed.pop().expect("it was counted")
    }

    pub(crate) async fn record(&self, claimed: &Claimed, outcome: StepOutcome) -> Result<Recorded, Conflict> {
        let record = StepRecord {
            lease: claimed.lease.clone(),
            state: claimed.state.clone(),
            attempt: claimed.attempt,
            outcome,
        };
        let mut answers = self.opened.store.record(&[record], LEASE).await.expect("it records");
        answers.pop().expect("one answer for one record")
    }

    /// Fails the claimed work for good; answers the letter's id.
    pub(crate) async fn fail(&self, claimed: &Claimed, fault: Fault) -> String {
        let letter_id = redrive::clock::new_id();
        let outcome = StepOutcome::Failed {
            fault,
            letter: LetterReason::Exhausted,
            reason: "exhausted: 3 of 3 attempts".to_owned(),
            letter_id: letter_id.as_str().into(),
        };
        assert_eq!(self.record(claimed, outcome).await, Ok(Recorded::Released));
        letter_id
    }

    /// A failed onboarding of repository `name` with its letter.
    pub(crate) async fn failed(&self, name: &str) -> (OnboardingId, String) {
        let id = self.trigger(name).await;
        let claimed = self.claim_one().await;
        assert_eq!(claimed.lease.onboarding, id);
        let letter = self.fail(&claimed, Fault::transient("503 from api.github").of("github.tree")).await;
        (id, letter)
    }

    pub(crate) async fn board(&self, query: Query) -> Board {
        self.opened.reader.read(&query).await.expect("the board is read")
    }

    pub(crate) async fn page(&self, id: &OnboardingId) -> OnboardingPage {
        let query = Query { detail: Some(Detail::Onboarding(id.clone())), ..Query::default() };
        match self.board(query).await.page {
            Some(Page::Onboarding(page)) => *page,
            other => panic!("{id} has a page, not {other:?}"),
        }
    }
}

/// Behind a pooler new work is listened for at the server itself, the database's `direct` URL.
fn options(time: &BoundTime, direct: &str) -> OpenOptions {
    OpenOptions {
        time: time.clone(),
        lock_timeout: Duration::from_secs(20),
        listen_url: direct.starts_with("postgres").then(|| direct.to_owned()),
        ..OpenOptions::default()
    }
}

/// Statements by hand in the database at `url`.
pub(crate) async fn try_sql(url: &str, statements: &str) -> Result<(), sqlx::Error> {
    let statements = sqlx::raw_sql(sqlx::AssertSqlSafe(statements));
    match url.starts_with("sqlite:") {
        true => {
            let mut connection = SqliteConnection::connect(url).await?;
            statements.execute(&mut connection).await?;
            connection.close().await
        }
        false => {
            let mut connection = PgConnection::connect(url).await?;
            statements.execute(&mut connection).await?;
            connection.close().await
        }
    }
}

/// The first column of a query in the database at `url`, as text.
pub(crate) async fn column(url: &str, query: &str) -> Vec<String> {
    try_column(url, query).await.unwrap_or_else(|error| panic!("{query}: {error}"))
}

async fn try_column(url: &str, query: &str) -> Result<Vec<String>, sqlx::Error> {
    let query = format!("WITH answer (cell) AS ({query}) SELECT CAST(cell AS text) AS cell FROM answer");
    let query = sqlx::AssertSqlSafe(query);
    let cells: Vec<Option<String>> = match url.starts_with("sqlite:") {
        true => {
            let mut connection = SqliteConnection::connect(url).await?;
            sqlx::query_scalar(query).fetch_all(&mut connection).await?
        }
        false => {
            let mut connection = PgConnection::connect(url).await?;
            sqlx::query_scalar(query).fetch_all(&mut connection).await?
        }
    };
    Ok(cells.into_iter().map(|cell| cell.unwrap_or_else(|| "NULL".to_owned())).collect())
}

/// A request for repository `name` of tenant acme.
pub(crate) fn request(name: &str) -> Request {
    Request {
        tenant_id: "acme".to_owned(),
        repo_url: format!("https://github.com/acme/{name}"),
        workspace_id: None,
    }
}

/// A submission by ana with a fresh action id.
pub(crate) fn submission(command: Command) -> Submission {
    Submission {
        action: redrive::clock::new_id().into(),
        asker: Asker::Operator("ana".to_owned()),
        reason: Some("the outage is over".to_owned()),
        command,
    }
}

/// A circuit as a worker reports it that sees nothing wrong.
pub(crate) fn report(operation: &str) -> CircuitReport {
    CircuitReport {
        operation: operation.to_owned(),
        state: CircuitState::Closed,
        failure_rate: Some(0.0),
        opens_at: 0.5,
        slow_rate: None,
        slow_opens_at: None,
        calls: 20,
        probe_in: None,
        budget_left: 1.0,
        first_tries: 20,
        retries: 0,
        in_flight: None,
        denied: BTreeMap::new(),
    }
}

/// The call was not admitted: it waits for `operation`.
pub(crate) fn parked(operation: &str, delay: Duration) -> StepOutcome {
    let reason = format!("circuit {operation} is open");
    StepOutcome::Parked { operation: operation.to_owned(), reason, delay, held: false }
}

/// The state is done and the next one opens under the same lease.
pub(crate) fn advanced(next: &str, opening: Opening) -> StepOutcome {
    StepOutcome::Advanced { done: done(), next: next.into(), opens: Some(opening) }
}

/// A finished state that left nothing but a context.
pub(crate) fn done() -> StepDone {
    StepDone { context: serde_json::json!({"seen": true}), ..StepDone::default() }
}
