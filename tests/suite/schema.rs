//! The tables: the same on both dialects, whole for services that know only the listed columns, and checked when a
//! database is opened.

use std::{collections::BTreeMap, str::FromStr, time::Duration};

use redrive::{
    engine::{
        Access,
        command::{Command, Refusal},
        reader::{Cursor, List, Query, Rows},
        runs::Runs,
        store::StoreError,
    },
    store::{OpenOptions, migrate, open},
};

use sqlx::{
    ConnectOptions, Connection, PgConnection, SqlSafeStr,
    migrate::{Migration, MigrationType, Migrator},
    sqlite::SqliteConnectOptions,
};

use crate::support::{
    postgres,
    stores::{TestStore, column, request, submission, try_sql},
};

/// The tables other services write, with the columns they know.
const SHARED: [(&str, &[&str]); 7] = [
    (
        "onboarding_history",
        &[
            "id",
            "tenant_id",
            "repo_url",
            "workspace_id",
            "fingerprint",
            "status",
            "current_state",
            "entities_created",
            "created_at",
            "failed_at",
            "cleaned_up_at",
        ],
    ),
    ("onboarding_state", &["onboarding_id", "current_state", "context", "last_checkpoint", "updated_at"]),
    ("onboarding_progress", &["onboarding_id", "state", "subtask", "completed_at"]),
    ("entities", &["id", "api_version", "kind", "metadata", "spec", "tenant_id", "updated_at"]),
    ("entity_relationships", &["source_id", "target_id"]),
    (
        "idempotency_keys",
        &[
            "key",
            "request_path",
            "request_hash",
            "status",
            "response_code",
            "response_body",
            "created_at",
            "locked_at",
            "locked_by",
        ],
    ),
    ("processed_messages", &["message_id", "processed_at"]),
];

/// `table.column` to its kind and whether it may be missing.
async fn columns(store: &TestStore) -> BTreeMap<String, String> {
    let query = match store.is_sqlite() {
        true => {
            "SELECT m.name || '.' || c.name || '=' || c.type || CASE WHEN c.\"notnull\" = 1 THEN '' ELSE '?' END \
             FROM sqlite_master m JOIN pragma_table_info(m.name) c \
             WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' AND m.name <> 'redrive_migrations'"
        }
        false => {
            "SELECT table_name || '.' || column_name || '=' || data_type || CASE WHEN is_nullable = 'NO' THEN '' ELSE '?' END \
             FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'redrive_migrations'"
        }
    };
    let alike = [
        ("timestamp with time zone", "datetime"),
        ("jsonb", "json"),
        ("bytea", "blob"),
        ("double precision", "double"),
    ];
    let rows = store.column(query).await;
    let column = |row: &String| {
        let (name, kind) = row.split_once('=').expect("a column and its type");
        let kind = alike
            .iter()
            .fold(kind.to_owned(), |kind, (postgres, ours)| kind.to_lowercase().replace(postgres, ours));
        (name.to_owned(), kind)
    };
    rows.iter().map(column).collect()
}

async fn indexes(store: &TestStore) -> Vec<String> {
    let query = match store.is_sqlite() {
        true => {
            "SELECT name || CASE WHEN sql LIKE 'CREATE UNIQUE%' THEN ' unique' ELSE '' END || CASE WHEN sql LIKE '%WHERE%' THEN ' partial' ELSE '' END \
             FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL ORDER BY 1"
        }
        false => {
            "SELECT indexname || CASE WHEN indexdef LIKE 'CREATE UNIQUE%' THEN ' unique' ELSE '' END || CASE WHEN indexdef LIKE '%WHERE%' THEN ' partial' ELSE '' END \
             FROM pg_indexes WHERE schemaname = 'public' AND indexname NOT LIKE '%\\_pkey' AND indexname NOT LIKE '%\\_key' ORDER BY 1"
        }
    };
    let mut names = store.column(query).await;
    names.sort();
    names
}

#[tokio::test]
async fn both_dialects_have_the_same_tables_columns_and_indexes() {
    let (sqlite, postgres) = (TestStore::sqlite().await, TestStore::postgres().await);
    let (ours, theirs) = (columns(&sqlite).await, columns(&postgres).await);
    assert!(ours.len() > 150, "the columns were found: {}", ours.len());
    let only = |a: &BTreeMap<String, String>, b: &BTreeMap<String, String>| {
        a.iter()
            .filter(|(name, kind)| b.get(*name) != Some(*kind))
            .map(|(n, k)| format!("{n} {k}"))
            .collect::<Vec<_>>()
    };
    assert_eq!(only(&ours, &theirs), only(&theirs, &ours), "SQLite has the left, Postgres the right");
    assert_eq!(indexes(&sqlite).await, indexes(&postgres).await);
}

#[tokio::test]
async fn shared_tables_ask_nothing_of_others_but_the_listed_columns() {
    for store in [TestStore::sqlite().await, TestStore::postgres().await] {
        let all = columns(&store).await;
        for (table, listed) in SHARED {
            for column in listed {
                assert!(all.contains_key(&format!("{table}.{column}")), "{table}.{column}");
            }
        }
        let keys = "SELECT count(*) FROM information_schema.table_constraints WHERE constraint_type = 'FOREIGN KEY' AND table_schema = 'public'";
        let keys = match store.is_sqlite() {
            true => "SELECT count(*) FROM sqlite_master m JOIN pragma_foreign_key_list(m.name)",
            false => keys,
        };
        assert_eq!(store.cell(keys).await, "0", "no foreign key points at a table of others");
    }
}

/// What a service does that has never heard of redrive: every listed column, and only those.
async fn lives_beside(store: TestStore) {
    for (table, row) in [
        (
            "onboarding_history",
            "'o1', 'acme', 'r', NULL, 'f', 'in_progress', 'RECEIVED', NULL, '2026-03-01 10:00:00+00', NULL, NULL",
        ),
        (
            "onboarding_state",
            "'o1', 'RECEIVED', '{\"a\": 1}', '2026-03-01 10:00:00+00', '2026-03-01 10:00:00+00'",
        ),
        ("onboarding_progress", "'o1', 'RECEIVED', 'entity:Component:ledger', '2026-03-01 10:00:00+00'"),
        (
            "entities",
            "'e1', 'v1', 'Component', '{\"name\": \"ledger\"}', '{}', 'acme', '2026-03-01 10:00:00+00'",
        ),
        ("entity_relationships", "'e1', 'e2'"),
        (
            "idempotency_keys",
            "'k', '/p', 'h', 'STARTED', NULL, NULL, '2026-03-01 10:00:00+00', '2026-03-01 10:00:00+00', 'me'",
        ),
        ("processed_messages", "'m1', '2026-03-01 10:00:00+00'"),
    ] {
        let listed = SHARED.iter().find(|(name, _)| *name == table).expect("it is listed").1.join(", ");
        store.sql(&format!("INSERT INTO {table} ({listed}) VALUES ({row})")).await;
        let read = store.column(&format!("SELECT 1 FROM (SELECT {listed} FROM {table}) AS theirs")).await;
        assert_eq!(read.len(), 1, "{table}");
    }
    // What has a default may be left away; ids and times come by themselves.
    store.sql("INSERT INTO entities (api_version, kind, metadata, spec, tenant_id) VALUES ('v1', 'Group', '{\"name\": \"team\"}', '{}', 'acme')").await;
    store.sql("INSERT INTO processed_messages (message_id) VALUES ('m2')").await;
    store.sql("INSERT INTO entity_relationships (source_id, target_id) VALUES ('e1', 'e2')").await;
    assert_eq!(store.column("SELECT id FROM entities WHERE id IS NULL OR id = ''").await.len(), 0);
    store.sql("UPDATE onboarding_history SET status = 'failed', failed_at = '2026-03-01 11:00:00+00' WHERE id = 'o1'").await;
    store.sql("UPDATE onboarding_state SET current_state = 'EXTRACTING' WHERE onboarding_id = 'o1'").await;
    store.sql("UPDATE idempotency_keys SET status = 'COMPLETED', response_code = 200, response_body = '{}', locked_at = NULL, locked_by = NULL").await;
    let duplicate = "INSERT INTO entities (api_version, kind, metadata, tenant_id) VALUES ('v1', 'Component', '{\"name\": \"ledger\", \"namespace\": \"default\"}', 'acme')";
    assert!(store.try_sql(duplicate).await.is_err(), "a missing namespace is the default one");
    // And we see all of it.
    let page = store.page(&"o1".into()).await;
    assert_eq!((page.row.status.as_str(), page.row.phase, page.row.version > 0), ("failed", None, true));
    assert_eq!(page.row.current_state.as_ref().map(|s| s.as_str()), Some("EXTRACTING"));
    assert_eq!(page.row.failed_at.map(|t| t.to_rfc3339()), Some("2026-03-01T11:00:00+00:00".to_owned()));
    assert_eq!(page.subtasks[0].1.as_str(), "entity:Component:ledger");
}

#[tokio::test]
async fn a_service_that_knows_only_the_listed_columns_lives_beside_us_on_sqlite() {
    lives_beside(TestStore::sqlite().await).await;
}

#[tokio::test]
async fn a_service_that_knows_only_the_listed_columns_lives_beside_us_on_postgres() {
    lives_beside(TestStore::postgres().await).await;
}

#[tokio::test]
async fn others_meet_only_words_they_know() {
    for store in [TestStore::sqlite().await, TestStore::postgres().await] {
        let (id, _) = store.failed("ledger").await;
        let mut met = store.column("SELECT status FROM onboarding_history").await;
        store.roll_back(&id, None).await.expect("it rolls back");
        met.extend(store.column("SELECT status FROM onboarding_history").await);
        store.claim_one().await;
        met.extend(store.column("SELECT status FROM onboarding_history").await);
        assert_eq!(met, ["failed", "in_progress", "in_progress"]);
    }
}

#[tokio::test]
async fn times_of_others_are_brought_into_one_form_on_sqlite() {
    let store = TestStore::sqlite().await;
    for (n, written) in [
        "'2026-03-01 10:00:00'",
        "'2026-03-01T10:00:00Z'",
        "'2026-03-01T12:00:00.000+02:00'",
        "'2026-03-01 10:00:00+00'",
        "1772359200",
        "'2026-03-01T10:00:00.000000+00:00'",
    ]
    .iter()
    .enumerate()
    {
        store
            .sql(&format!(
                "INSERT INTO onboarding_history (id, tenant_id, repo_url, fingerprint, status, created_at) VALUES ('{n}', 't', '{n}', '{n}', 'failed', {written})"
            ))
            .await;
        let stored = store.cell(&format!("SELECT created_at FROM onboarding_history WHERE id = '{n}'")).await;
        assert_eq!(stored, "2026-03-01T10:00:00.000000+00:00", "{written}");
    }
    store.sql("UPDATE onboarding_history SET created_at = 'yesterday' WHERE id = '0'").await;
    let stored = store.cell("SELECT created_at FROM onboarding_history WHERE id = '0'").await;
    assert!(stored.ends_with("+00:00"), "what is no time becomes the moment of its writing: {stored}");
    store.board(Query::default()).await;
}

#[tokio::test]
async fn times_that_never_come_are_read_without_harm_on_postgres() {
    let store = TestStore::postgres().await;
    store.sql("INSERT INTO onboarding_history (id, tenant_id, repo_url, fingerprint, status, created_at, failed_at) VALUES ('x', 't', 'r', 'f', 'failed', '-infinity', 'infinity')").await;
    assert!(store.page(&"x".into()).await.row.failed_at.is_some());
    let row = store.page(&"x".into()).await.row;
    let after = Some(Cursor { created_at: row.created_at, id: "y".to_owned() });
    let board = store.board(Query { list: List::Onboardings, after, ..Query::default() }).await;
    assert!(
        matches!(&board.rows, Rows::Onboardings(rows) if rows.len() == 1),
        "and paged over: {:?}",
        board.rows
    );
}

#[tokio::test]
async fn migrating_says_what_it_did_and_does_it_once() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let sqlite = format!("sqlite:{}", folder.path().join("new.db").display());
    let database = postgres::empty_database().await;
    for url in [&sqlite, &database.url] {
        let missing = open(url, OpenOptions::default()).await.expect_err("nothing is there yet");
        let expected = match url.starts_with("sqlite") {
            true => "there is no file",
            false => "has no redrive tables: run `redrive migrate`",
        };
        assert!(missing.to_string().contains(expected), "{missing}");
        let applied = migrate(url).await.expect("it migrates");
        assert_eq!((applied[0].version, applied[0].name.as_str()), (1, "first"));
        assert_eq!(migrate(url).await.expect("again"), []);
        open(url, OpenOptions::default()).await.expect("now it opens");
    }
}

/// An app with migrations of sqlx's own and tables called as ours might have been.
const AN_APP: [&str; 4] = [
    "CREATE TABLE work (id bigint PRIMARY KEY, title text)",
    "CREATE TABLE dead_letters (id bigint PRIMARY KEY, body text)",
    "CREATE TABLE locks (name text PRIMARY KEY)",
    "CREATE INDEX work_due ON work (title)",
];

fn app_migrations() -> Migrator {
    let migrations = AN_APP.iter().enumerate().map(|(n, sql)| {
        let version = i64::try_from(n).expect("few migrations") + 1;
        Migration::new(
            version,
            "app".into(),
            MigrationType::Simple,
            sqlx::AssertSqlSafe(*sql).into_sql_str(),
            false,
        )
    });
    Migrator::with_migrations(migrations.collect())
}

/// Both orders: the app first, then redrive; and the app again, which finds its own migrations applied.
#[tokio::test]
async fn an_app_with_migrations_and_a_table_called_work_lives_in_the_same_schema() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let sqlite = format!("sqlite:{}", folder.path().join("app.db").display());
    let database = postgres::empty_database().await;
    let app = app_migrations();
    for url in [&sqlite, &database.url] {
        let apply = async || match url.starts_with("sqlite") {
            true => {
                let options = SqliteConnectOptions::from_str(url).expect("a URL").create_if_missing(true);
                app.run(&mut options.connect().await.expect("it connects")).await
            }
            false => app.run(&mut PgConnection::connect(url).await.expect("it connects")).await,
        };
        apply().await.expect("the app migrates first");
        try_sql(url, "INSERT INTO work VALUES (1, 'theirs')").await.expect("the app writes");
        migrate(url).await.expect("redrive migrates beside it");
        let opened = open(url, OpenOptions::default()).await.expect("it opens");
        opened
            .store
            .act(&submission(Command::Trigger { request: request("ledger") }))
            .await
            .expect("it acts");
        apply().await.expect("the app finds its own migrations");
        assert_eq!(column(url, "SELECT count(*) FROM _sqlx_migrations").await, ["4"]);
        assert_eq!(column(url, "SELECT title FROM work").await, ["theirs"]);
        assert_eq!(column(url, "SELECT subject_id FROM redrive_work").await.len(), 1);
    }
}

#[tokio::test]
async fn every_name_but_the_shared_tables_is_redrives_own() {
    let shared: Vec<&str> = SHARED.iter().map(|(table, _)| *table).collect();
    for store in [TestStore::sqlite().await, TestStore::postgres().await] {
        let names = match store.is_sqlite() {
            true => {
                "SELECT name FROM sqlite_master WHERE name NOT LIKE 'sqlite_autoindex_%' AND name <> 'sqlite_sequence'"
            }
            false => {
                "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace \
                 UNION ALL SELECT proname::text FROM pg_proc WHERE pronamespace = 'public'::regnamespace \
                 UNION ALL SELECT tgname::text FROM pg_trigger WHERE NOT tgisinternal \
                 UNION ALL SELECT typname::text FROM pg_type WHERE typnamespace = 'public'::regnamespace AND typname NOT LIKE '\\_%'"
            }
        };
        let names = store.column(names).await;
        assert!(names.len() > 60, "they were found: {}", names.len());
        let strangers: Vec<_> = names
            .iter()
            .filter(|name| !name.starts_with("redrive_"))
            .filter(|name| !shared.contains(&name.trim_end_matches("_pkey")))
            .collect();
        assert!(strangers.is_empty(), "{strangers:?}");
    }
}

#[tokio::test]
async fn two_that_migrate_at_once_take_turns() {
    let database = postgres::empty_database().await;
    let both = tokio::join!(migrate(&database.url), migrate(&database.url));
    let mut applied = [both.0.expect("it migrates").len(), both.1.expect("it waits its turn").len()];
    applied.sort_unstable();
    assert_eq!(applied, [0, 1]);
    let held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    assert_eq!(column(&database.url, held).await, ["0"], "the turn ends with the connection");
}

#[tokio::test]
async fn an_empty_file_and_a_newer_schema_are_told_apart() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let empty = folder.path().join("empty.db");
    std::fs::write(&empty, "").expect("a file");
    let url = format!("sqlite:{}", empty.display());
    let error = open(&url, OpenOptions::default()).await.expect_err("it has no tables");
    assert!(matches!(error, StoreError::NotMigrated { .. }), "{error}");
    std::fs::write(&empty, "this is a shopping list, not a database, and long enough to be read as one")
        .expect("a file");
    let error = open(&url, OpenOptions::default()).await.expect_err("it is no database");
    assert!(error.to_string().contains("not a SQLite database"), "{error}");
    for store in [TestStore::sqlite().await, TestStore::postgres().await] {
        store.sql("UPDATE redrive_migrations SET version = 2").await;
        let error = open(&store.url, OpenOptions::default()).await.expect_err("it is newer");
        assert!(matches!(error, StoreError::NewerSchema { found: 2, .. }), "{error}");
        let words = "the database's schema is version 2, newer than 1, the newest this redrive knows: use the newer redrive";
        assert_eq!(error.to_string(), words);
        let error = migrate(&store.url).await.expect_err("it is newer");
        assert!(matches!(error, StoreError::NewerSchema { found: 2, .. }), "{error}");
        store.sql("UPDATE redrive_migrations SET version = 0").await;
        let error = open(&store.url, OpenOptions::default()).await.expect_err("it is older");
        assert!(matches!(error, StoreError::OlderSchema { found: 0, .. }), "{error}");
    }
}

#[tokio::test]
async fn a_refused_port_is_said_at_once_and_without_the_password() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = free.local_addr().expect("an address").port();
    drop(free);
    let url = format!("postgres://u:hunter2@127.0.0.1:{port}/x");
    let began = redrive::clock::instant();
    let error = open(&url, OpenOptions::default()).await.expect_err("nobody listens").to_string();
    assert!(began.elapsed() < Duration::from_secs(2));
    assert!(error.contains("refused") && error.contains(&port.to_string()), "{error}");
    assert!(!error.contains("hunter2"), "{error}");
}

#[tokio::test]
async fn a_server_that_hangs_up_at_once_cannot_be_reached() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("postgres://u@127.0.0.1:{}/x", listener.local_addr().expect("an address").port());
    let hanging_up = std::thread::spawn(move || {
        let (mut caller, _) = listener.accept().expect("somebody calls");
        caller.shutdown(std::net::Shutdown::Write).expect("it hangs up");
        // What the caller still says is heard, or it would be told of a reset instead.
        let _ = std::io::copy(&mut caller, &mut std::io::sink());
    });
    let error = open(&url, OpenOptions::default()).await.expect_err("nobody answers").to_string();
    assert!(error.starts_with("cannot reach the database"), "{error}");
    assert!(error.contains("closed while it was being opened"), "{error}");
    hanging_up.join().expect("it hung up");
}

#[tokio::test]
async fn read_only_reads_and_never_writes() {
    for store in [TestStore::sqlite().await, TestStore::postgres().await] {
        store.trigger("ledger").await;
        let options = OpenOptions::dashboard(Access::ReadOnly);
        let opened = open(&store.url, options).await.expect("it opens");
        assert_eq!(opened.reader.read(&Query::default()).await.expect("it reads").counts.onboardings.0, 1);
        let refused = opened.store.act(&submission(Command::Trigger { request: request("x") })).await;
        assert_eq!(refused, Err(Refusal::Store(StoreError::ReadOnly)));
        assert_eq!(
            opened.store.claim(&"w".into(), &Runs::default(), 1, Duration::from_secs(1)).await,
            Err(StoreError::ReadOnly)
        );
    }
}

#[tokio::test]
async fn a_lost_server_is_an_error_and_then_forgotten() {
    let store = TestStore::postgres().await;
    let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    store.trigger("one").await;
    store.sql(kill).await;
    // Dead connections are noticed and replaced; whoever met one is told, and may ask again.
    for _ in 0..8 {
        if let Err(error) = store.opened.reader.read(&Query::default()).await {
            assert!(matches!(error, StoreError::Unreachable { .. } | StoreError::Busy { .. }), "{error}");
        }
    }
    assert_eq!(store.board(Query::default()).await.counts.onboardings.0, 1);
    store.trigger("two").await;
}

#[tokio::test]
async fn a_temporary_database_is_whole_and_goes_with_its_store() {
    let opened = open("sqlite::memory:", OpenOptions::default()).await.expect("it opens");
    opened.store.act(&submission(Command::Trigger { request: request("x") })).await.expect("it acts");
    assert_eq!(opened.reader.read(&Query::default()).await.expect("it reads").counts.onboardings.0, 1);
    assert_eq!(opened.label, "sqlite (temporary)");
}

#[tokio::test]
async fn a_full_or_locked_file_is_said_to_be_busy() {
    let store = TestStore::sqlite().await;
    let path = store.url.trim_start_matches("sqlite:").to_owned();
    let mut other = <sqlx::SqliteConnection as sqlx::Connection>::connect(&path).await.expect("it connects");
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut other).await.expect("it locks");
    let options = OpenOptions { lock_timeout: Duration::from_millis(50), ..OpenOptions::default() };
    let opened = open(&store.url, options).await.expect("it opens");
    let refused = opened.store.act(&submission(Command::Trigger { request: request("x") })).await;
    assert!(matches!(refused, Err(Refusal::Store(StoreError::Busy { .. }))), "{refused:?}");
    assert_eq!(opened.reader.read(&Query::default()).await.expect("reading goes on").counts.onboardings.0, 0);
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.expect("it unlocks");
    opened.store.act(&submission(Command::Trigger { request: request("x") })).await.expect("now it acts");
}
