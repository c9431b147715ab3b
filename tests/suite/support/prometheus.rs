//! A real Prometheus server that scrapes a test's targets once a second.

use std::{
    env,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    time::Duration,
};

use serde_json::Value;

use super::{leash::Leash, wait::eventually};

/// Its first scrape comes after more than 5 s, and two cores may be busy with other tests.
const PATIENCE: Duration = Duration::from_secs(40);

/// A running server; dropped, it is killed and its folder removed.
#[derive(Debug)]
pub(crate) struct Prometheus {
    address: String,
    _leash: Leash,
    _folder: tempfile::TempDir,
}

impl Prometheus {
    /// Starts a server with `targets` (`host:port`, their path is `/metrics`) and waits until it has asked each of them.
    pub(crate) async fn start(targets: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let config = serde_json::json!({ // JSON is YAML
            "global": { "scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s" },
            "scrape_configs": [{ "job_name": "redrive", "static_configs": [{ "targets": targets }] }],
        });
        let file = folder.path().join("prometheus.yml");
        std::fs::write(&file, config.to_string()).expect("a temporary file");
        let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
        let address = format!("127.0.0.1:{port}");
        let leash = Leash::hold(
            &program(),
            [
                format!("--config.file={}", file.display()),
                format!("--storage.tsdb.path={}", folder.path().join("data").display()),
                format!("--web.listen-address={address}"),
                "--log.level=warn".to_owned(),
            ],
            &folder.path().join("log"),
        );
        let server = Self { address, _leash: leash, _folder: folder };
        eventually("Prometheus asked every target", PATIENCE, async || {
            let answer = server.get("/api/v1/targets").await?;
            let known = answer["data"]["activeTargets"].as_array()?;
            let asked = known.iter().filter(|target| target["health"] != "unknown").count();
            (asked == targets.len()).then_some(())
        })
        .await;
        server
    }

    /// Its address, as `--prometheus` wants it.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The result of an instant query; empty while there is none.
    pub(crate) async fn query(&self, promql: &str) -> Vec<Value> {
        let escaped: String = promql.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let answer = self.get(&format!("/api/v1/query?query={escaped}")).await;
        answer.and_then(|a| a["data"]["result"].as_array().cloned()).unwrap_or_default()
    }

    /// One plain request. By hand, since the client under test should not be what proves the test's own server.
    async fn get(&self, path: &str) -> Option<Value> {
        let request = format!("GET {path} HTTP/1.0\r\nHost: {}\r\n\r\n", self.address);
        let address = self.address.clone();
        let asking = tokio::task::spawn_blocking(move || -> Option<Value> {
            let mut stream = TcpStream::connect(address).ok()?;
            stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
            stream.write_all(request.as_bytes()).ok()?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).ok()?;
            serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()
        });
        asking.await.expect("asking does not panic")
    }
}

/// `REDRIVE_TEST_PROMETHEUS`, which `tests/run` sets, else the one on the path.
fn program() -> PathBuf {
    if let Some(program) = env::var_os("REDRIVE_TEST_PROMETHEUS") {
        return program.into();
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path).map(|folder| folder.join("prometheus")).find(|file| file.is_file());
    found.expect("no Prometheus server for the tests: start them by tests/run, which provides one")
}
