//! Connections that are shared with strangers, fall silent, or may not write.

use std::time::Duration;

use redrive::{
    engine::{
        Access,
        command::{Command, Refusal},
        reader::Query,
        runs::Newest,
        store::{Heartbeat, StoreError},
    },
    store::{OpenOptions, Opened, inspect, migrate, open},
};
use sqlx::{Connection, PgConnection, Row as _, raw_sql};

use crate::{
    engine::noop::{self, Noop},
    support::{
        daemon::Daemon,
        pgbouncer::{self, Lends, PgBouncer},
        postgres::{self, Server},
        program,
        proxy::Proxy,
        stores::{TestStore, column, request, submission, try_sql},
    },
};

fn beat() -> Heartbeat {
    Heartbeat {
        worker: "w".into(),
        metrics_url: None,
        running: 0,
        runs: Newest::default(),
        circuits: Vec::new(),
    }
}

fn trigger(name: &str) -> redrive::engine::command::Submission {
    submission(Command::Trigger { request: request(name) })
}

/// What a program that knows nothing of redrive would trip over on a connection it is lent.
const SETTINGS: &str = "SELECT current_setting('statement_timeout') || ' ' || current_setting('lock_timeout') || ' ' || \
    current_setting('idle_in_transaction_session_timeout') || ' ' || current_setting('default_transaction_read_only') || ' ' || \
    current_setting('default_transaction_isolation') || ' ' || current_setting('extra_float_digits') || ' ' || \
    (SELECT count(*) FROM pg_prepared_statements) || ' ' || (SELECT count(*) FROM pg_listening_channels())";

async fn settings(stranger: &mut PgConnection) -> String {
    raw_sql(SETTINGS).fetch_one(stranger).await.expect("it asks").get(0)
}

/// A worker, a dashboard and a stranger's program, all lent the same two connections.
async fn behind_one_pool(lends: Lends, connections: u32) {
    const MANY: usize = 12;
    let database = postgres::database().await;
    let pooler = PgBouncer::before(&database.url, lends, connections, "").await;
    let url = pooler.url_of(&database.url);
    try_sql(&database.url, "CREATE TABLE theirs (n bigint)").await.expect("a stranger's table");
    let mut stranger = pgbouncer::connect(&url).await.expect("it connects");
    let untouched = settings(&mut stranger).await;

    let worker = OpenOptions { connections: 2, ..OpenOptions::default() };
    let worker = open(&url, worker).await.expect("a worker opens it");
    let dashboard = open(&url, OpenOptions::dashboard(Access::ReadOnly)).await.expect("a dashboard opens it");
    assert!(worker.label.contains("through a pooler"), "{}", worker.label);
    let workflow = Noop::of(MANY);
    for n in 0..MANY {
        worker.store.act(&trigger(&format!("repository-{n}"))).await.expect("it triggers");
    }
    let store = std::sync::Arc::clone(&worker.store);
    let running = noop::gone_home(noop::hire(&[store], &noop::quiet(4), &workflow));
    let others = async {
        for n in 0..100 {
            let insert = format!("INSERT INTO theirs VALUES ({n})");
            raw_sql(sqlx::AssertSqlSafe(insert)).execute(&mut stranger).await.expect("it writes as ever");
            assert_eq!(settings(&mut stranger).await, untouched, "after {n} of its statements");
            dashboard.reader.read(&Query::default()).await.expect("the dashboard reads");
        }
    };
    tokio::join!(running, others);
    drop((worker, dashboard));
    assert_eq!(settings(&mut stranger).await, untouched, "after redrive has gone");
    let completed = "SELECT count(*) FROM onboarding_history WHERE status = 'completed'";
    assert_eq!(column(&database.url, completed).await, [MANY.to_string()]);
    let attempts = "SELECT outcome || ' ' || count(*) FROM redrive_attempts GROUP BY outcome";
    assert_eq!(column(&database.url, attempts).await, [format!("succeeded {}", MANY * workflow.states())]);
}

#[tokio::test]
async fn a_stranger_behind_the_same_pool_notices_nothing() {
    behind_one_pool(Lends::Transactions, 2).await;
}

#[tokio::test]
async fn a_stranger_beside_us_in_session_mode_notices_nothing() {
    behind_one_pool(Lends::Sessions, 12).await;
}

/// Each sign of a pooler by itself.
#[tokio::test]
async fn a_pooler_is_recognised_by_what_it_does() {
    let database = postgres::database().await;
    let found = async |more: &str, parameter: &str| {
        let pooler = PgBouncer::before(&database.url, Lends::Transactions, 1, more).await;
        let url = format!("{}{parameter}", pooler.url_of(&database.url));
        inspect(&url).await.expect("it answers").pooler
    };
    assert_eq!(found("", "").await, Some("it does not take a setting at connecting"));
    let ignoring = "ignore_startup_parameters = options";
    assert_eq!(found(ignoring, "").await, Some("it ignores a setting at connecting"));
    assert_eq!(found("", "?pooler=transaction").await, Some("the address says so"));
    // The database has the very limit that is asked for, so that only the shared process tells.
    let name = database.url.rsplit_once('/').expect("a name").1;
    let same = format!("ALTER DATABASE {name} SET statement_timeout = 5000");
    try_sql(&database.url, &same).await.expect("it is set");
    assert_eq!(found(ignoring, "").await, Some("two connections to it are one process of the server's"));
    assert_eq!(inspect(&database.url).await.expect("it answers").pooler, None, "the server itself is none");
}

#[test]
fn migrating_wants_the_server_itself_and_says_where_it_went() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let database = postgres::empty_database().await;
        let pooler = PgBouncer::before(&database.url, Lends::Transactions, 2, "").await;
        let url = pooler.url_of(&database.url);
        let error = migrate(&url).await.expect_err("it is a pooler").to_string();
        assert!(error.contains("is a pooler") && error.contains("listen_url"), "{error}");
        let direct = database.url.clone();
        let said = tokio::task::spawn_blocking(move || {
            let mut command = program::redrive(&["migrate", "--database-url", &url]);
            let output = command.env("REDRIVE_LISTEN_URL", &direct).output().expect("the binary starts");
            let (_, check, _) = program::run(&["check", "--database-url", &url]);
            (String::from_utf8_lossy(&output.stdout).into_owned(), check)
        });
        let (said, check) = said.await.expect("it ends");
        assert!(said.contains("past the pooler") && said.contains("applied migration 1"), "{said}");
        assert!(check.contains("a pooler stands before the database"), "{check}");
    });
}

/// A store whose only working connection leads through a wire.
async fn on_a_wire(database: &str) -> (Proxy, Opened) {
    let server: sqlx::postgres::PgConnectOptions = database.parse().expect("a URL");
    let wire = Proxy::to(&format!("{}:{}", server.get_host(), server.get_port()));
    let url = format!("postgres://redrive@{}/{}", wire.address, server.get_database().expect("a database"));
    let short = Duration::from_millis(100);
    let options = OpenOptions {
        statement_timeout: short,
        lock_timeout: short,
        connections: 2,
        ..OpenOptions::default()
    };
    let opened = open(&url, options).await.expect("it opens");
    (wire, opened)
}

#[tokio::test]
async fn a_connection_that_falls_silent_is_replaced() {
    let database = postgres::database().await;
    let (wire, opened) = on_a_wire(&database.url).await;
    opened.store.beat(&beat()).await.expect("a sign of life");
    for _ in 0..3 {
        wire.freeze();
        match opened.store.beat(&beat()).await {
            Err(StoreError::Unreachable { why, .. }) => assert!(why.contains("no answer within"), "{why}"),
            // It was not back in its pool yet, and was missed there.
            Ok(()) => {}
            Err(error) => panic!("{error}"),
        }
        opened.store.beat(&beat()).await.expect("the next goes over a fresh connection");
    }
}

#[tokio::test]
async fn a_call_given_up_half_way_takes_its_connection_along() {
    let database = postgres::database().await;
    let (wire, opened) = on_a_wire(&database.url).await;
    opened.store.beat(&beat()).await.expect("a sign of life");
    let lock = "BEGIN; LOCK TABLE redrive_workers IN ACCESS EXCLUSIVE MODE";
    let mut other = PgConnection::connect(&database.url).await.expect("it connects");
    for _ in 0..3 {
        wire.freeze();
        let given_up = tokio::time::timeout(Duration::from_millis(20), opened.store.beat(&beat())).await;
        assert!(given_up.is_err(), "it waits for an answer");
        opened.store.beat(&beat()).await.expect("and nobody waits behind it");
    }
    // Nothing that was begun there stays begun.
    raw_sql(lock).execute(&mut other).await.expect("no lock is left");
}

async fn refuses_to_write(opened: &Opened, why: &str) {
    let refused = opened.store.act(&trigger("ledger")).await;
    assert_eq!(refused, Err(Refusal::Store(StoreError::ReadOnly)), "{why}");
    assert_eq!(opened.store.beat(&beat()).await, Err(StoreError::ReadOnly), "{why}");
    let board = opened.reader.read(&Query::default()).await.expect("it reads");
    assert_eq!(board.read_only.as_deref(), Some(why));
}

#[tokio::test]
async fn a_role_that_an_administrator_made_read_only_stays_so() {
    let database = postgres::database().await;
    let role = format!("reader_{}", uuid::Uuid::new_v4().simple());
    let make = format!(
        "CREATE ROLE {role} LOGIN SUPERUSER; ALTER ROLE {role} SET default_transaction_read_only = on"
    );
    try_sql(&database.url, &make).await.expect("a role");
    let url = database.url.replace("redrive@", &format!("{role}@"));
    let opened = open(&url, OpenOptions::default()).await.expect("it opens");
    refuses_to_write(&opened, "default_transaction_read_only is on").await;
    let unwritable = inspect(&url).await.expect("it answers").unwritable;
    assert_eq!(unwritable.as_deref(), Some("read-only: default_transaction_read_only is on"));
    drop(opened);
    try_sql(&database.url, &format!("DROP ROLE {role}")).await.expect("it goes");
}

#[tokio::test]
async fn a_standby_is_told_and_its_promotion_noticed() {
    let mut server = Server::own();
    migrate(server.url()).await.expect("it migrates");
    let standby = server.standby();
    let opened = open(&standby, OpenOptions::default()).await.expect("it opens");
    refuses_to_write(&opened, "the server is a standby").await;
    let unwritable = inspect(&standby).await.expect("it answers").unwritable;
    assert_eq!(unwritable.as_deref(), Some("read-only: the server is a standby"));
    server.promote();
    opened.store.act(&trigger("ledger")).await.expect("it takes writes now");
    let board = opened.reader.read(&Query::default()).await.expect("it reads");
    assert_eq!(board.read_only, None);
}

#[tokio::test]
async fn a_role_that_may_only_look_is_told_before_it_acts() {
    let database = postgres::database().await;
    let role = format!("viewer_{}", uuid::Uuid::new_v4().simple());
    let make = format!("CREATE ROLE {role} LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}");
    try_sql(&database.url, &make).await.expect("a role");
    let url = database.url.replace("redrive@", &format!("{role}@"));
    let opened = open(&url, OpenOptions::default()).await.expect("it opens");
    let board = opened.reader.read(&Query::default()).await.expect("it reads");
    let why = format!("the role {role} may only look: grant it redrive_operator to act");
    assert_eq!(board.read_only, Some(why));
    drop(opened);
    let drop_it = format!("DROP OWNED BY {role}; DROP ROLE {role}");
    try_sql(&database.url, &drop_it).await.expect("it goes");
}

#[tokio::test]
async fn a_missing_table_is_named() {
    for store in [TestStore::sqlite().await, TestStore::postgres().await] {
        store.sql("DROP TABLE redrive_replay_items; DROP TABLE redrive_dead_letters").await;
        let error = store.opened.reader.read(&Query::default()).await.expect_err("a table is gone");
        let said = error.to_string();
        assert!(
            said.contains("lacks the table redrive_dead_letters though its migration is applied"),
            "{said}"
        );
        let again = open(&store.url, OpenOptions::default()).await.expect("its schema is the newest");
        again.reader.read(&Query::default()).await.expect_err("it is still gone");
    }
}

#[tokio::test]
async fn rows_that_row_level_security_may_hide_are_told() {
    let database = postgres::database().await;
    assert_eq!(inspect(&database.url).await.expect("it answers").hidden, [""; 0]);
    let role = format!("limited_{}", uuid::Uuid::new_v4().simple());
    let make = format!(
        "CREATE ROLE {role} LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}; \
         ALTER TABLE onboarding_history ENABLE ROW LEVEL SECURITY"
    );
    try_sql(&database.url, &make).await.expect("a role");
    let url = database.url.replace("redrive@", &format!("{role}@"));
    assert_eq!(inspect(&url).await.expect("it answers").hidden, ["onboarding_history"]);
    assert_eq!(inspect(&database.url).await.expect("it answers").hidden, [""; 0], "its owner sees all");
    let drop_it = format!("DROP OWNED BY {role}; DROP ROLE {role}");
    try_sql(&database.url, &drop_it).await.expect("it goes");
}

#[test]
fn a_worker_started_before_its_database_waits_for_it() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let database = runtime.block_on(postgres::database());
    let server: sqlx::postgres::PgConnectOptions = database.url.parse().expect("a URL");
    let port =
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port();
    let url = format!("postgres://redrive@127.0.0.1:{port}/{}", server.get_database().expect("a database"));
    let args = ["worker", "--listen", "127.0.0.1:0", "--database-url", &url];
    let mut worker = Daemon::start(&args, &[], "trying again in");
    let _wire = Proxy::at(&format!("127.0.0.1:{port}"), &format!("127.0.0.1:{}", server.get_port()));
    worker.hear("listens on", Duration::from_secs(30));
    worker.signal("TERM");
    assert_eq!(worker.wait(Duration::from_secs(30)), Some(0));
}
