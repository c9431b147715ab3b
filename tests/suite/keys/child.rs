//! A process that works under a key and stands still at a given point, so that it can be killed or stopped there.
//!
//! It is this test binary again, started on the test below; what it does is in its environment.

use std::{env, io::Write as _, process::Stdio, sync::Arc, time::Duration};

use async_trait::async_trait;
use redrive::{
    domain::id::KeyId,
    engine::{
        idempotency::{Held, Keys, Operation, Worked},
        key::{Answer, Hold, KeyBegun, KeyEnd, KeyIntent, KeyStore},
        store::StoreError,
    },
    metrics::export::Metrics,
    store::BoundTime,
};

use crate::support::{
    daemon::Daemon,
    keys::{TestKeys, open_at},
};

/// Where it stands still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Point {
    /// The key is begun, the handler not.
    Begun,
    /// In the handler, before its effect.
    BeforeEffect,
    /// In the handler, after its effect.
    AfterEffect,
    /// After the handler, before its answer is stored.
    BeforeEnd,
    /// The answer is stored, the caller has not heard it.
    AfterEnd,
}

impl Point {
    pub(super) const ALL: [Self; 5] =
        [Self::Begun, Self::BeforeEffect, Self::AfterEffect, Self::BeforeEnd, Self::AfterEnd];
}

/// What every process here does under: the effect is a line in a file.
pub(super) fn operation(lease: Duration) -> Operation {
    Operation::new("payments.charge").leased_for(lease)
}

/// The effect: a line in a file, which no store takes back.
pub(super) fn effect(file: &str, by: &str) {
    let mut file = std::fs::OpenOptions::new().append(true).create(true).open(file).unwrap();
    file.write_all(format!("{by}\n").as_bytes()).unwrap();
}

/// Starts a process that works under the key `name` and stands still at `point`; returns once it does.
pub(super) fn start(store: &TestKeys, name: &str, file: &str, lease: Duration, point: Point) -> Daemon {
    let (url, prefix) = store.address();
    let mut command = std::process::Command::new(env::current_exe().unwrap());
    command
        .args(["--exact", "keys::child::works_under_a_key", "--ignored", "--nocapture", "--test-threads=1"])
        .env("CHILD_URL", url)
        .env("CHILD_PREFIX", prefix)
        .env("CHILD_KEY", name)
        .env("CHILD_FILE", file)
        .env("CHILD_LEASE_MS", lease.as_millis().to_string())
        .env("CHILD_POINT", format!("{point:?}"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    Daemon::of(command, &format!("stands at {point:?}"))
}

/// Ends this process when its standard input closes: whoever started it is gone then.
pub(super) fn leashed() {
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_line(&mut String::new());
        std::process::exit(3);
    });
}

/// A store that stands still around its verbs.
struct Still {
    inner: Arc<dyn KeyStore>,
    point: String,
}

impl Still {
    async fn at(&self, point: Point) {
        stand(&self.point, point).await;
    }
}

/// Says where it stands, then waits for ever.
pub(super) async fn stand(asked: &str, point: impl std::fmt::Debug) {
    if asked == format!("{point:?}") {
        println!("stands at {point:?}");
        std::future::pending::<()>().await;
    }
}

#[async_trait]
impl KeyStore for Still {
    async fn begin(&self, key: &KeyIntent, hold: &Hold) -> Result<KeyBegun, StoreError> {
        let begun = self.inner.begin(key, hold).await;
        self.at(Point::Begun).await;
        begun
    }
    async fn keep(&self, key: &KeyId, hold: &Hold) -> Result<bool, StoreError> {
        self.inner.keep(key, hold).await
    }
    async fn end(&self, key: &KeyId, hold: &Hold, end: &KeyEnd) -> Result<bool, StoreError> {
        self.at(Point::BeforeEnd).await;
        let ended = self.inner.end(key, hold, end).await;
        self.at(Point::AfterEnd).await;
        ended
    }
    async fn sweep(&self, at_most: u32) -> Result<u64, StoreError> {
        self.inner.sweep(at_most).await
    }
}

#[tokio::test]
#[ignore = "the process under test of the others in this module"]
async fn works_under_a_key() {
    if env::var_os("CHILD_URL").is_none() {
        return;
    }
    let set = |name: &str| env::var(format!("CHILD_{name}")).expect("it is started by a test");
    leashed();
    let (point, file) = (set("POINT"), set("FILE"));
    let lease = Duration::from_millis(set("LEASE_MS").parse().unwrap());
    let inner = open_at(&set("URL"), &set("PREFIX"), &BoundTime::default()).await;
    let metrics = Arc::new(Metrics::new());
    let store = Arc::new(Still { inner, point: point.clone() });
    let keys = Keys::new(store, "child").observed_by(metrics.clone());
    let work = || async {
        stand(&point, Point::BeforeEffect).await;
        effect(&file, "child");
        stand(&point, Point::AfterEffect).await;
        Worked::Completed(Answer::new(201, "by child"))
    };
    let name = set("KEY");
    let done = keys.once(&operation(lease), &name, &name, work).await;
    match done {
        Err(Held::Lost) => println!("lost"),
        other => println!("answered {other:?}"),
    }
    println!("{}", metrics.encode());
    println!("done");
}
