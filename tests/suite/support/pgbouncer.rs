//! A real PgBouncer before the tests' Postgres: Debian's package `pgbouncer`.
//!
//! The program is the one of `REDRIVE_TEST_PGBOUNCER`, else Debian's. A test is never skipped because there is none.

use std::{env, net::TcpListener, path::PathBuf, time::Duration};

use sqlx::{ConnectOptions as _, PgConnection, postgres::PgConnectOptions};
use tokio::sync::OnceCell;

use super::{leash::Leash, wait::eventually};

/// The longest it may take to start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// How it lends its connections to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lends {
    /// For one transaction at a time.
    Transactions,
    /// For as long as a client stays.
    Sessions,
}

/// A running pooler; dropped, it is killed.
#[derive(Debug)]
pub(crate) struct PgBouncer {
    port: u16,
    _leash: Leash,
    _folder: tempfile::TempDir,
}

impl PgBouncer {
    /// One before the server of `url`, with at most `connections` to each of its databases.
    pub(crate) async fn before(url: &str, lends: Lends, connections: u32, more: &str) -> Self {
        let server: PgConnectOptions = url.parse().expect("a URL");
        let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (file, log) = (folder.path().join("pgbouncer.ini"), folder.path().join("log"));
        let mode = if lends == Lends::Sessions { "session" } else { "transaction" };
        // It refuses to run as root.
        let user = if is_root() { "user = nobody" } else { "" };
        let config = format!(
            "[databases]\n* = host=127.0.0.1 port={} user={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             unix_socket_dir =\nauth_type = any\npool_mode = {mode}\ndefault_pool_size = {connections}\n\
             max_client_conn = 500\n{user}\n{more}\n",
            server.get_port(),
            server.get_username(),
        );
        std::fs::write(&file, config).expect("a temporary file");
        let leash = Leash::hold(&program(), [&file], &log);
        let pooler = Self { port, _leash: leash, _folder: folder };
        let through = pooler.url_of(url);
        eventually("the pooler answers", PATIENCE, async || match connect(&through).await {
            Ok(_) => Some(()),
            Err(error) => {
                let said = std::fs::read_to_string(&log).unwrap_or_default();
                assert!(!said.contains("FATAL"), "the pooler does not start ({error}):\n{said}");
                None
            }
        })
        .await;
        pooler
    }

    /// The same database through the pooler.
    pub(crate) fn url_of(&self, url: &str) -> String {
        let server: PgConnectOptions = url.parse().expect("a URL");
        format!("postgres://redrive@127.0.0.1:{}/{}", self.port, server.get_database().expect("a database"))
    }
}

/// A connection through a pooler, as a program has it that asks for nothing at connecting.
pub(crate) async fn connect(url: &str) -> Result<PgConnection, sqlx::Error> {
    let options: PgConnectOptions = url.parse().expect("a URL");
    options.extra_float_digits(None).connect().await
}

/// The pooler of this process: it lends for transactions, before the server that all tests share.
pub(crate) async fn shared(url: &str) -> &'static PgBouncer {
    static POOLER: OnceCell<PgBouncer> = OnceCell::const_new();
    POOLER.get_or_init(|| PgBouncer::before(url, Lends::Transactions, 4, "")).await
}

fn is_root() -> bool {
    std::process::Command::new("id").arg("-u").output().is_ok_and(|said| said.stdout == b"0\n")
}

/// `REDRIVE_TEST_PGBOUNCER`, which `tests/run` sets, else Debian's, else the one on the path.
fn program() -> PathBuf {
    if let Some(program) = env::var_os("REDRIVE_TEST_PGBOUNCER") {
        return program.into();
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = [PathBuf::from("/usr/sbin")].into_iter().chain(env::split_paths(&path));
    let found = folders.map(|folder| folder.join("pgbouncer")).find(|file| file.is_file());
    found.expect("no PgBouncer for the tests: start them by tests/run, which provides one")
}
