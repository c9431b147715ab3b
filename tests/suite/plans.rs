//! What the screen and the workers ask of large tables is read along an index: never more rows than are shown, counted
//! or ranked, however many there are.
//!
//! The statements are those that really run: Postgres tells each with the rows it read (`auto_explain`), and SQLite is
//! asked how it would read the same texts, which both dialects share.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{Debug, Write as _},
    sync::{Arc, Mutex},
    time::Duration,
};

use redrive::{
    engine::{
        command::{Command, Elsewhere, Pace, Target},
        filter::Filter,
        key::{Hold, KeyIntent},
        reader::{Cursor, Detail, List, Query, Reader},
        store::Store,
    },
    store::{OpenOptions, open},
};
use serde_json::Value;
use sqlx::{Connection, Row, SqliteConnection};
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

use crate::support::stores::{TestStore, anything, noon, request, submission};

/// Rows of each of the tables that grow.
const ROWS: i64 = 14_000;
/// What a statement may read of one of them: what is counted or ranked at most, and a page.
const MOST: i64 = Query::COUNT_CAP * 5 / 4;

const GROWING: [&str; 10] = [
    "onboarding_history",
    "onboarding_state",
    "idempotency_keys",
    "redrive_work",
    "redrive_attempts",
    "redrive_dead_letters",
    "redrive_letter_groups",
    "redrive_replay_items",
    "redrive_operator_actions",
    "redrive_operator_action_targets",
];

/// Parts of statements for which SQLite has the choice between indexes, and the one that reads little.
const BY_INDEX: [(&str, &str); 10] = [
    (
        "FROM redrive_dead_letters l WHERE l.onboarding_id = h.id AND l.status = 'open'",
        "redrive_dead_letters_onboarding (onboarding_id=? AND status=?)",
    ),
    (
        "WHERE TRUE AND (k.status = 'STARTED' AND (k.lease_until IS NULL OR k.lease_until <= $1)) ORDER BY",
        "redrive_idempotency_keys_started",
    ),
    (
        "WHERE TRUE AND k.phase = 'failed_storage' AND NOT (k.status = 'STARTED' AND (k.lease_until IS NULL OR k.lease_until <= $1)) ORDER BY",
        "redrive_idempotency_keys_storage",
    ),
    ("FROM redrive_work WHERE run_at <= ", "redrive_work_due"),
    ("FROM redrive_dead_letters WHERE fingerprint_version < 2", "redrive_dead_letters_regroup"),
    ("FROM redrive_letter_groups WHERE open + replaying > 0 LIMIT", "redrive_letter_groups_largest"),
    (
        "WHERE phase = 'failed' AND failed_at <= ",
        "redrive_onboarding_history_failed (phase=? AND failed_at<?)",
    ),
    ("WHERE status NOT IN ('in_progress',", "redrive_onboarding_history_unknown"),
    ("WHERE phase IN ('queued', 'running', 'waiting')", "redrive_onboarding_history_phase (phase=?)"),
    ("WHERE status = 'in_progress' AND phase IS NULL", "redrive_onboarding_history_elsewhere (status=?)"),
];

/// Large tables after an outage: the newest of everything went well, and what is in trouble is old.
fn seed(sqlite: bool) -> String {
    let mut sql = String::new();
    let mut insert = |table: &str, columns: &str, rows: i64, values: &str| {
        let ago = |every: &str| match sqlite {
            true => format!(
                "strftime('%Y-%m-%dT%H:%M:%f000+00:00', '2026-03-01 12:00:00', '-' || ({every}) || ' seconds')"
            ),
            false => format!("timestamptz '2026-03-01 12:00:00+00' - make_interval(secs => {every})"),
        };
        let later = match sqlite {
            true => "'2026-03-01T13:00:00.000000+00:00'",
            false => "timestamptz '2026-03-01 13:00:00+00'",
        };
        let values = values.replace("{ago}", &ago("n * 10")).replace("{time}", later);
        writeln!(
            sql,
            "INSERT INTO {table} ({columns}) WITH RECURSIVE rows (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM rows WHERE n < {rows}) \
             SELECT {values} FROM rows;"
        )
        .unwrap();
    };
    let failed = ROWS - 5_000;
    insert(
        "onboarding_history",
        "id, tenant_id, repo_url, fingerprint, status, current_state, created_at, failed_at, phase, workflow, workflow_version, \
         action_id, revision, version",
        ROWS,
        &format!(
            "'o' || n, 'acme', 'r' || n, 'f' || n, CASE WHEN n > {failed} THEN 'failed' WHEN n % 10 = 0 THEN 'in_progress' ELSE 'completed' END, \
             'RECEIVED', {{ago}}, CASE WHEN n > {failed} THEN {{ago}} END, \
             CASE WHEN n > {failed} THEN 'failed' WHEN n % 10 = 0 THEN 'parked' ELSE 'completed' END, 'onboarding', 1, 'a' || n, 1, 1"
        ),
    );
    insert(
        "onboarding_state",
        "onboarding_id, current_state, context, updated_at, revision",
        ROWS,
        "'o' || n, 'RECEIVED', '{}', {ago}, 1",
    );
    insert(
        "redrive_work",
        "kind, subject_id, run_at, parked_by",
        ROWS,
        "'onboarding', 'o' || n, {time}, 'github.tree'",
    );
    insert(
        "redrive_attempts",
        "onboarding_id, seq, state, attempt, worker, lease_id, started_at, outcome",
        ROWS,
        "'o' || n, 1, 'RECEIVED', 1, 'w', 'l', {ago}, 'succeeded'",
    );
    insert(
        "redrive_dead_letters",
        "id, onboarding_id, tenant_id, repo_url, state, error, error_class, error_fingerprint, reason, status, request, history, created_at, action_id",
        5_000,
        &format!(
            "'l' || n, 'o' || ({failed} + n), 'acme', 'r', 'RECEIVED', 'e', 'transient', 'g' || (n % 3), 'exhausted', 'open', '{{}}', '[]', {{ago}}, \
             'a' || n"
        ),
    );
    insert(
        "redrive_letter_groups",
        "error_fingerprint, error, open, total, first_seen, last_seen",
        ROWS,
        "'g' || (n - 1), 'e', 1 + n % 7, 10, {ago}, {ago}",
    );
    insert(
        "idempotency_keys",
        "key, request_hash, status, phase, response_code, created_at, locked_at, expires_at, onboarding_id, action_id, revision, version",
        ROWS,
        &format!(
            "'k' || n, 'h', CASE WHEN n > {ROWS} - 50 THEN 'STARTED' WHEN n > {ROWS} - 90 THEN 'FAILED' ELSE 'COMPLETED' END, \
             CASE WHEN n > {ROWS} - 50 THEN 'started' WHEN n > {ROWS} - 90 THEN 'failed_storage' ELSE 'completed' END, \
             200, {{ago}}, {{ago}}, {{time}}, CASE WHEN n % 2 = 0 THEN 'o' || n END, 'a' || n, 1, 1"
        ),
    );
    insert(
        "redrive_operator_actions",
        "id, at, operator, kind, command, receipt, applied, left_out",
        ROWS,
        "'a' || n, {ago}, 'ana', 'resume', '{}', '{}', 1, 0",
    );
    insert(
        "redrive_operator_action_targets",
        "action_id, target_kind, target_id, onboarding_id, at",
        ROWS,
        "'a' || n, 'letter', 'l' || n, 'o' || n, {ago}",
    );
    insert(
        "redrive_replays",
        "id, operator, per_second, total, action_id, created_at, ended_at, stopped_at",
        100,
        "'p' || n, 'ana', 5, 100, 'a', {ago}, {ago}, {ago}",
    );
    insert(
        "redrive_replay_items",
        "replay_id, letter_id, onboarding_id, seq, outcome, ended_at",
        ROWS,
        "'p' || (n % 100), 'l' || n, 'o' || n, n, 'skipped', {ago}",
    );
    sql
}

/// Hears what Postgres says about each statement.
#[derive(Clone, Default)]
struct Ear(Arc<Mutex<Vec<String>>>);

impl Visit for Ear {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            self.0.lock().unwrap().push(format!("{value:?}"));
        }
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }
}

impl Subscriber for Ear {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "sqlx::postgres::notice"
    }
    fn event(&self, event: &Event<'_>) {
        event.record(&mut self.clone());
    }
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

/// Everything that is asked: every list from the top, and in each of its orders from a place in it; the pages, the previews,
/// and what workers ask again and again.
async fn ask_everything(store: &dyn Store, reader: &dyn Reader) {
    let place = Cursor { created_at: noon() - chrono::TimeDelta::seconds(5_000), id: String::new() };
    for (list, id, filters) in [
        (
            List::Onboardings,
            "o500",
            &["", "status:stuck", "status:failed_cleaned_up", "status:elsewhere"][..],
        ),
        (
            List::Keys,
            "k500",
            &["", "status:stuck", "status:in_flight", "status:failed_storage", "status:elsewhere"],
        ),
        (List::Letters { group: None }, "l500", &["", "status:quarantined"]),
        (List::Letters { group: Some("g1".to_owned()) }, "l500", &[""]),
        (List::Audit, "a500", &[""]),
    ] {
        for order in list.orders() {
            let after = Some(Cursor { id: id.to_owned(), ..place.clone() });
            let query = Query { list: list.clone(), order: Some(*order), after, ..Query::default() };
            reader.read(&query).await.expect("it is read");
        }
        for filter in filters {
            let filter = Filter::parse_for(&list, filter).expect("a filter");
            reader.read(&Query { list: list.clone(), filter, ..Query::default() }).await.expect("it is read");
        }
    }
    for detail in
        [Detail::Onboarding("o13000".into()), Detail::Key("k500".into()), Detail::Letter("l500".into())]
    {
        reader.read(&Query { detail: Some(detail), ..Query::default() }).await.expect("it is read");
    }
    let (elsewhere, seen) = (Elsewhere::Leave, None);
    let onboardings =
        (0..20).map(|n| Target { id: format!("o{}", ROWS - 5_000 + 1 + n).into(), seen }).collect();
    let letters =
        |from: i64, n: i64| (from..from + n).map(|n| Target { id: format!("l{n}").into(), seen }).collect();
    let commands = [
        Command::Trigger { request: request("ledger") },
        Command::Resume { onboardings, elsewhere },
        Command::RollBack { onboarding: Target { id: "o13000".into(), seen }, elsewhere },
        Command::Release { keys: vec![Target { id: "k13990".into(), seen }] },
        Command::Discard { letters: letters(1_000, 1) },
        Command::Replay { letters: letters(2_000, 2), pace: Pace { per_second: 5.0, refail_limit: 0.2 } },
    ];
    for command in commands {
        reader.standing(&command).await.expect("it is judged");
        store.act(&submission(command)).await.expect("it is done");
    }
    store.next_due(&anything()).await.expect("it is looked");
    let claimed =
        store.claim(&"w".into(), &anything(), 10, Duration::from_secs(30)).await.expect("it claims");
    assert!(!claimed.is_empty());
    let leases: Vec<_> = claimed.into_iter().map(|claimed| claimed.lease).collect();
    store.renew(&leases, Duration::from_secs(30)).await.expect("it renews");
    store.gauges().await.expect("it counts");
    store.pace_replays().await.expect("it paces");
    store.clean_up().await.expect("it cleans up");
    store.sweep(100).await.expect("it sweeps");
    assert_eq!(store.regroup().await, Ok(200));
    let key = KeyIntent::new("charge", "k", "h".to_owned()).expect("a key");
    store
        .begin(&key, &Hold::new("w", Duration::from_secs(30), Duration::from_secs(3_600)))
        .await
        .expect("it begins");
}

/// What a plan read of each growing table, and what of it came to nothing.
fn rows_read(node: &Value, read: &mut BTreeMap<String, i64>) {
    let number = |name: &str| node[name].as_i64().unwrap_or_default();
    if let Some(table) = node["Relation Name"].as_str().filter(|table| GROWING.contains(table)) {
        let rows = number("Actual Rows")
            + number("Rows Removed by Filter")
            + number("Rows Removed by Index Recheck");
        let index = node["Index Name"].as_str().or(node["Node Type"].as_str()).unwrap_or_default();
        *read.entry(format!("{table} by {index}")).or_default() += rows * number("Actual Loops");
    }
    for inner in node["Plans"].as_array().into_iter().flatten() {
        rows_read(inner, read);
    }
}

/// The texts of all statements that were heard, and those that read too much.
fn judge(heard: &[String]) -> (BTreeSet<String>, Vec<String>) {
    let (mut texts, mut bad) = (BTreeSet::new(), Vec::new());
    for said in heard {
        let Some((_, plan)) = said.split_once("plan:\n") else { continue };
        let plan: Value = serde_json::from_str(plan).expect("a plan");
        let text = plan["Query Text"].as_str().expect("its statement");
        let mut read = BTreeMap::new();
        rows_read(&plan["Plan"], &mut read);
        read.retain(|_, rows| *rows > MOST);
        if !read.is_empty() {
            bad.push(format!("{read:?}: {text}"));
        }
        texts.insert(text.to_owned());
    }
    bad.sort();
    bad.dedup();
    (texts, bad)
}

/// How SQLite would read `text`, a line a step.
async fn plan_of(connection: &mut SqliteConnection, text: &str) -> Vec<String> {
    let locks = [" FOR UPDATE OF h", " FOR UPDATE", " FOR KEY SHARE", " SKIP LOCKED"];
    let text = locks.iter().fold(text.to_owned(), |text, lock| text.replace(lock, ""));
    // What only Postgres can prepare is a write that takes the time from its clock, or asks for a right or a standby.
    let only_there = ["statement_timestamp()", "_privilege(", "pg_is_in_recovery()"];
    if only_there.iter().any(|only| text.contains(only)) {
        return Vec::new();
    }
    let explain = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {text}"));
    let rows = sqlx::raw_sql(explain).fetch_all(connection).await;
    let rows = rows.unwrap_or_else(|error| panic!("{text}: {error}"));
    rows.iter().map(|row| row.get("detail")).collect()
}

#[tokio::test]
async fn statements_read_large_tables_along_an_index() {
    let (postgres, sqlite) = (TestStore::postgres().await, TestStore::sqlite().await);
    for store in [&postgres, &sqlite] {
        store.sql(&seed(store.is_sqlite())).await;
    }
    let listen = [
        ("session_preload_libraries", "auto_explain"),
        ("auto_explain.log_min_duration", "0"),
        ("auto_explain.log_analyze", "on"),
        ("auto_explain.log_timing", "off"),
        ("auto_explain.log_format", "json"),
        ("auto_explain.log_level", "notice"),
        // As with tables too large to be read whole: these would be, since that is quick.
        ("enable_seqscan", "off"),
        ("enable_hashjoin", "off"),
        ("enable_mergejoin", "off"),
    ];
    for (setting, value) in listen {
        postgres
            .sql(&format!(
                "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET {setting} = ''{value}''', current_database()); END $$"
            ))
            .await;
    }
    postgres.sql("ANALYZE").await;
    let ear = Ear::default();
    let deaf = tracing::subscriber::set_default(ear.clone());
    let options = OpenOptions {
        time: postgres.time.clone(),
        cleanup_after: Some(Duration::from_secs(60)),
        ..OpenOptions::default()
    };
    let opened = open(&postgres.url, options).await.expect("it opens");
    ask_everything(&*opened.store, &*opened.reader).await;
    drop(deaf);
    let heard = ear.0.lock().unwrap().clone();
    let (texts, bad) = judge(&heard);
    assert_eq!(bad, Vec::<String>::new(), "what they read of large tables");
    let mut bad = Vec::new();
    for analyzed in [false, true] {
        if analyzed {
            sqlite.sql("ANALYZE").await;
        }
        let mut connection = SqliteConnection::connect(&sqlite.url).await.expect("it connects");
        let mut seen: BTreeSet<&(&str, &str)> = BTreeSet::new();
        for text in texts.iter().filter(|text| GROWING.iter().any(|table| text.contains(table))) {
            let plan = plan_of(&mut connection, text).await;
            let asked: Vec<_> = BY_INDEX.iter().filter(|(part, _)| text.contains(part)).collect();
            let elsewhere = asked.iter().any(|(_, index)| !plan.iter().any(|step| step.contains(index)));
            seen.extend(asked);
            let reads_all = |step: &String| {
                let table = step.strip_prefix("SCAN ").filter(|table| !table.contains(' ')).unwrap_or("-");
                GROWING
                    .iter()
                    .any(|growing| *growing == table || text.contains(&format!("{growing} {table} ")))
            };
            // What is capped reads no more than that.
            let whole = plan.iter().any(reads_all) && !text.ends_with(" AS capped");
            if elsewhere || whole {
                bad.push(format!("analyzed {analyzed}: {text}\n    {}", plan.join("\n    ")));
            }
        }
        assert_eq!(seen.len(), BY_INDEX.len(), "each was asked: {seen:?}");
    }
    assert!(bad.is_empty(), "on SQLite:\n{}", bad.join("\n"));
}
