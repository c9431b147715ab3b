//! A fresh Postgres database for each test, on a real server.
//!
//! The server is the one of `REDRIVE_TEST_POSTGRES` (`tests/run` starts it); without that variable this process starts
//! one of its own. A test is never skipped because there is none.

use std::{
    env,
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdout, Command, Stdio},
    sync::OnceLock,
};

use sha2::{Digest, Sha256};
use sqlx::{Connection, PgConnection};
use tokio::sync::OnceCell;

use super::leash::Leash;

/// A database of its own; dropped with this value.
#[derive(Debug)]
pub(crate) struct TestDatabase {
    /// `postgres://…`, with every right.
    pub(crate) url: String,
    name: String,
}

/// A fresh database with redrive's tables.
pub(crate) async fn database() -> TestDatabase {
    fresh(&format!("TEMPLATE {}", template().await)).await
}

/// A fresh database without tables, for tests about migrating.
pub(crate) async fn empty_database() -> TestDatabase {
    fresh("").await
}

async fn fresh(like: &str) -> TestDatabase {
    let name = format!("test_{}", uuid::Uuid::new_v4().simple());
    on_server(&format!("CREATE DATABASE {name} {like}")).await;
    TestDatabase { url: url_of(&name), name }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let name = self.name.clone();
        // A drop cannot wait for a future inside the test's own runtime, hence the thread.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.expect("a runtime starts");
            runtime.block_on(on_server(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")));
        });
        let _ = dropping.join();
    }
}

/// Migrates the template. The one place that knows what "with redrive's tables" means.
async fn migrate(url: &str) {
    redrive::store::migrate(url).await.unwrap_or_else(|error| panic!("migrating the template: {error}"));
}

/// The name of the migrated database that others are copied from, made by whoever comes first.
///
/// Named by what is in `migrations/`, so that a changed migration is never tested on an old template.
async fn template() -> &'static str {
    static MADE: OnceCell<String> = OnceCell::const_new();
    MADE.get_or_init(|| async {
        let name = format!("template_{}", fingerprint_of_migrations());
        if !exists(&name).await {
            let making = format!("making_{}", uuid::Uuid::new_v4().simple());
            on_server(&format!("CREATE DATABASE {making}")).await;
            migrate(&url_of(&making)).await;
            if try_on_server(&format!("ALTER DATABASE {making} RENAME TO {name}")).await.is_err() {
                assert!(exists(&name).await, "the template was made, by this process or another");
                on_server(&format!("DROP DATABASE {making}")).await;
            }
        }
        name
    })
    .await
}

fn fingerprint_of_migrations() -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/postgres");
    let mut files: Vec<_> =
        std::fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path()).collect();
    files.sort();
    let mut hash = Sha256::new();
    for file in files {
        hash.update(std::fs::read(file).expect("a migration can be read"));
    }
    hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

async fn exists(name: &str) -> bool {
    let mut connection = connect().await;
    let query = sqlx::query("SELECT FROM pg_database WHERE datname = $1").bind(name);
    query.fetch_optional(&mut connection).await.expect("databases can be listed").is_some()
}

/// Runs a statement beside all tests' databases.
async fn on_server(statement: &str) {
    try_on_server(statement).await.unwrap_or_else(|error| panic!("{statement}: {error}"));
}

async fn try_on_server(statement: &str) -> Result<(), sqlx::Error> {
    let mut connection = connect().await;
    sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(&mut connection).await?;
    connection.close().await
}

async fn connect() -> PgConnection {
    PgConnection::connect(server()).await.unwrap_or_else(|error| {
        panic!(
            "connecting to the tests' Postgres server at {}: {error}; start the tests by tests/run",
            server()
        )
    })
}

fn url_of(name: &str) -> String {
    let (server, parameters) = server().split_once('?').map_or((server(), ""), |(s, p)| (s, p));
    let (host, _) = server.rsplit_once('/').expect("REDRIVE_TEST_POSTGRES ends with /DATABASE");
    let mark = if parameters.is_empty() { "" } else { "?" };
    format!("{host}/{name}{mark}{parameters}")
}

/// The URL of the server's maintenance database.
fn server() -> &'static str {
    found().expect("no Postgres server for the tests: start them by tests/run, which provides one")
}

/// The same, if there is a server or one can be started.
pub(crate) fn found() -> Option<&'static str> {
    static OWN: OnceLock<Option<(String, Option<Leash>)>> = OnceLock::new();
    let found = OWN.get_or_init(|| match env::var("REDRIVE_TEST_POSTGRES") {
        Ok(url) => Some((url, None)),
        Err(_) => start().map(|(url, leash)| (url, Some(leash))),
    });
    found.as_ref().map(|(url, _)| url.as_str())
}

/// A server of a test's own, which can be restarted under everybody's feet.
pub(crate) struct Server {
    url: String,
    child: Child,
    said: BufReader<ChildStdout>,
}

impl Server {
    /// Starts one; it ends when this is dropped.
    pub(crate) fn own() -> Self {
        let (url, child, said) = launch().expect("a private Postgres starts");
        Self { url, child, said }
    }

    /// The URL of its only database, with every right.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Restarts it as a crash would; it takes connections again when this returns.
    pub(crate) fn restart(&mut self) {
        assert_eq!(self.told("restart"), "restarted", "the server restarts");
    }

    /// Adds a server that follows it; answers that one's URL.
    pub(crate) fn standby(&mut self) -> String {
        self.told("standby")
    }

    /// Makes the standby take writes; it does when this returns.
    pub(crate) fn promote(&mut self) {
        assert_eq!(self.told("promote"), "promoted", "the standby is promoted");
    }

    fn told(&mut self, what: &str) -> String {
        let input = self.child.stdin.as_mut().expect("its input is piped");
        input.write_all(format!("{what}\n").as_bytes()).expect("it reads");
        let mut line = String::new();
        self.said.read_line(&mut line).expect("the output is text");
        line.trim_end().to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// Starts a server that ends with this process.
fn start() -> Option<(String, Leash)> {
    let (url, child, _) = launch()?;
    Some((url, Leash::of(child)))
}

fn launch() -> Option<(String, Child, BufReader<ChildStdout>)> {
    let mut child =
        Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/suite/support/private-postgres"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("there is a bash");
    let mut line = String::new();
    let mut said = BufReader::new(child.stdout.take().expect("the output is piped"));
    said.read_line(&mut line).expect("the output is text");
    // It has said why on its standard error.
    (!line.is_empty()).then(|| (line.trim_end().to_owned(), child, said))
}
