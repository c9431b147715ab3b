//! A real Redis for the tests: one server that all share, each with a prefix of its own, and servers of their own for
//! those that stop them.
//!
//! The program is the one of `REDRIVE_TEST_REDIS`, else the one on the path. A test is never skipped because there is none.

use std::{env, net::TcpListener, path::PathBuf, time::Duration};

use redis::{Client, FromRedisValue};
use tokio::sync::OnceCell;

use super::{leash::Leash, wait::eventually};

/// The longest a server may take to start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
/// So that a server of somebody else's is not taken for ours when it is given the same port.
const PASSWORD: &str = "tests-only";

/// A server that keeps nothing; dropped, it is killed.
pub(crate) struct RedisServer {
    pub(crate) port: u16,
    more: Vec<String>,
    leash: Option<Leash>,
    folder: tempfile::TempDir,
}

impl RedisServer {
    /// A fresh one, with `more` arguments.
    pub(crate) async fn start(more: &[&str]) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let more = more.iter().map(|argument| (*argument).to_owned()).collect();
        let mut server = Self { port, more, leash: None, folder };
        server.start_again().await;
        server
    }

    /// The same port once more; empty, since nothing is kept.
    pub(crate) async fn start_again(&mut self) {
        let port = self.port.to_string();
        let folder = self.folder.path().display().to_string();
        let log = self.folder.path().join("log");
        let mut args = vec!["--bind", "127.0.0.1", "--port", &port, "--requirepass", PASSWORD];
        args.extend(["--dir", &folder, "--save", "", "--appendonly", "no"]);
        args.extend(self.more.iter().map(String::as_str));
        self.leash = Some(Leash::hold(&program(), args, &log));
        let ready = eventually("Redis answers", PATIENCE, async || {
            let ended = std::fs::read_to_string(&log).unwrap_or_default();
            assert!(!ended.contains("# Failed"), "Redis does not start:\n{ended}");
            try_ask::<String>(&self.url(), &["PING"]).await.ok()
        });
        assert_eq!(ready.await, "PONG");
    }

    /// Kills it.
    pub(crate) fn stop(&mut self) {
        self.leash = None;
    }

    /// With the password.
    pub(crate) fn url(&self) -> String {
        format!("redis://:{PASSWORD}@127.0.0.1:{}", self.port)
    }

    /// One command by hand.
    pub(crate) async fn ask<T: FromRedisValue>(&self, command: &[&str]) -> T {
        ask(&self.url(), command).await
    }
}

/// The URL of the server that ends with this process.
pub(crate) async fn shared() -> &'static str {
    static SERVER: OnceCell<(String, RedisServer)> = OnceCell::const_new();
    let (url, _) = SERVER
        .get_or_init(|| async {
            let server = RedisServer::start(&[]).await;
            // Nobody drops a static. The server writes nothing but its log, which it has open.
            let _ = std::fs::remove_dir_all(server.folder.path());
            (server.url(), server)
        })
        .await;
    url
}

/// One command by hand, on a connection of its own.
pub(crate) async fn ask<T: FromRedisValue>(url: &str, command: &[&str]) -> T {
    try_ask(url, command).await.unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

async fn try_ask<T: FromRedisValue>(url: &str, command: &[&str]) -> redis::RedisResult<T> {
    let mut connection = Client::open(url)?.get_multiplexed_async_connection().await?;
    let mut asked = redis::Cmd::new();
    asked.arg(command);
    asked.query_async(&mut connection).await
}

/// `REDRIVE_TEST_REDIS`, which `tests/run` sets, else the one on the path.
fn program() -> PathBuf {
    if let Some(program) = env::var_os("REDRIVE_TEST_REDIS") {
        return program.into();
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path).map(|folder| folder.join("redis-server")).find(|file| file.is_file());
    found.expect("no Redis server for the tests: start them by tests/run, which provides one")
}
