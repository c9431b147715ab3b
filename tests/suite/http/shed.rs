//! Load shedding of the intake: who would only wait is told when to come back.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use redrive::{
    config,
    engine::{Access, Engine, backlog::Backlog, idempotency::Keys, observer::Observer},
    service::{IdempotencyLayer, Service, Shedding},
    store::Opened,
};
use serde_json::json;
use sqlx::{Connection as _, SqliteConnection};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use super::{Answered, PATIENCE};
use crate::support::{stores::TestStore, wait::eventually};

#[derive(Default)]
pub(super) struct Heard(AtomicUsize);

impl Observer for Heard {
    fn shed(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// An intake over a store, which turns away as `intake` says.
pub(crate) struct Intake {
    pub(super) address: SocketAddr,
    backlog: Arc<Backlog>,
    heard: Arc<Heard>,
    pub(super) client: redrive::http::Client,
    pub(crate) store: TestStore,
    _serving: DropGuard,
}

impl Intake {
    async fn open(concurrency: u32, token: Option<&str>) -> Self {
        Self::with(config::Intake { concurrency, ..config::Intake::default() }, token).await
    }

    pub(super) async fn with(intake: config::Intake, token: Option<&str>) -> Self {
        let store = TestStore::sqlite().await;
        let opened = store.opened.clone();
        Self::over(store, opened, intake, token).await
    }

    /// Over the database of `store`, opened as `opened`.
    pub(crate) async fn over(
        store: TestStore,
        opened: Opened,
        intake: config::Intake,
        token: Option<&str>,
    ) -> Self {
        let engine = Engine::new(opened.store, opened.reader, Access::ReadWrite);
        let (backlog, heard) = (Arc::new(Backlog::default()), Arc::new(Heard::default()));
        let intake = config::Intake { longest_wait: Duration::from_secs(60), ..intake };
        let service = Arc::new(Service {
            keys: IdempotencyLayer::new(Keys::new(engine.keys(), "one"), TaskTracker::new()),
            engine,
            shedding: Shedding::new(&intake, backlog.clone()),
            intake,
            observer: heard.clone(),
            metrics: Arc::new(String::new),
            token: token.map(str::to_owned),
        });
        let listener = service.listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        TaskTracker::new().spawn(service.serve(listener, async move { stopped.cancelled().await }));
        let client = redrive::http::client(PATIENCE).unwrap();
        Self { address, backlog, heard, client, store, _serving: stop.drop_guard() }
    }

    /// A trigger, not yet sent.
    pub(super) fn post(&self, repo: &str) -> reqwest::RequestBuilder {
        let body = json!({"tenantId": "acme", "repoUrl": format!("https://github.com/acme/{repo}")});
        self.client.post(format!("http://{}/onboardings", self.address)).json(&body)
    }

    pub(super) async fn trigger(&self, repo: &str) -> Answered {
        Answered::sent(self.post(repo)).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answered {
        Answered::sent(self.client.get(format!("http://{}{path}", self.address))).await
    }

    /// Bytes by hand on a connection of their own.
    pub(super) fn send(&self, bytes: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(bytes).unwrap();
        stream
    }

    pub(super) async fn onboardings(&self) -> String {
        self.store.cell("SELECT count(*) FROM onboarding_history").await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_workers_are_behind_triggers_are_turned_away_with_the_time_to_come_back() {
    let intake = Intake::open(64, None).await;
    assert_eq!(intake.trigger("before").await.status, 202);
    intake.backlog.set(Duration::from_secs(61));
    let away = intake.trigger("meanwhile").await;
    assert_eq!((away.status, away.header("retry-after")), (503, Some("61")), "{away:?}");
    assert_eq!(away.header("content-type"), Some("application/problem+json"));
    let said =
        "the workers are behind: due work has waited for 61 s, and what is taken now would wait longer";
    assert!(away.text().contains(said), "{}", away.text());
    intake.backlog.set(Duration::from_secs(9_000));
    assert_eq!(intake.trigger("meanwhile").await.header("retry-after"), Some("120"), "never told longer");
    let look = format!("http://{}/onboardings/none", intake.address);
    assert_eq!(Answered::sent(intake.client.get(look)).await.status, 404, "looking is not shed");
    intake.backlog.set(Duration::from_secs(60));
    assert_eq!(intake.trigger("after").await.status, 202);
    assert_eq!((intake.onboardings().await.as_str(), intake.heard.0.load(Ordering::SeqCst)), ("2", 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beyond_its_places_a_trigger_is_turned_away_and_a_caller_who_leaves_gives_his_back() {
    let intake = Intake::open(1, None).await;
    let mut blocker = SqliteConnection::connect(&intake.store.url).await.unwrap();
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut blocker).await.unwrap();
    let body = r#"{"tenantId":"acme","repoUrl":"https://github.com/acme/first"}"#;
    let whole = format!(
        "POST /onboardings HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n\
         {body}",
        body.len()
    );
    // Whoever comes first waits for the database, in the only place: where that was the other one, once more.
    let (waiting, away) = eventually("the place is taken", PATIENCE, async || {
        let waiting = intake.send(whole.as_bytes());
        let other = intake.post("second").timeout(Duration::from_secs(1)).send().await.ok()?;
        Some((waiting, Answered::of(other).await))
    })
    .await;
    assert_eq!(away.status, 503);
    assert_eq!(away.header("retry-after"), Some("1"));
    assert!(
        away.text().contains("as many triggers as may be are being answered at once: 1"),
        "{}",
        away.text()
    );
    drop(waiting);
    sqlx::raw_sql("ROLLBACK").execute(&mut blocker).await.unwrap();
    eventually("the place is free again", PATIENCE, async || {
        Some(intake.trigger("third").await).filter(|answer| answer.status == 202)
    })
    .await;
}

#[tokio::test]
async fn who_may_not_trigger_is_told_so_first() {
    let intake = Intake::open(64, Some("s3cret")).await;
    intake.backlog.set(Duration::from_secs(61));
    assert_eq!(intake.trigger("x").await.status, 401);
    assert_eq!(intake.heard.0.load(Ordering::SeqCst), 0);
}

/// The head of a trigger whose body is asked for before it is sent.
const HEAD: &str = "POST /onboardings HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
                    content-length: 100\r\nexpect: 100-continue\r\n\r\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_bodies_that_never_come_keep_no_other_trigger_out() {
    let intake = Intake::open(64, None).await;
    let stalled: Vec<TcpStream> = (0..64)
        .map(|_| {
            let mut stream = intake.send(HEAD.as_bytes());
            let mut asked = [0; 12];
            stream.read_exact(&mut asked).unwrap();
            assert_eq!(&asked, b"HTTP/1.1 100", "its body is waited for");
            stream.write_all(b"{").unwrap();
            stream
        })
        .collect();
    assert_eq!(intake.trigger("good").await.status, 202);
    drop(stalled);
}
