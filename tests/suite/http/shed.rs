//! Load shedding of the intake: who would only wait is told when to come back, before anything of the request is read.

use std::{
    io::Write as _,
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
};
use serde_json::json;
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use super::{Answered, PATIENCE};
use crate::support::{stores::TestStore, wait::eventually};

#[derive(Default)]
struct Heard(AtomicUsize);

impl Observer for Heard {
    fn shed(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// An intake over a store, which turns away as `intake` says.
struct Intake {
    address: SocketAddr,
    backlog: Arc<Backlog>,
    heard: Arc<Heard>,
    client: redrive::http::Client,
    store: TestStore,
    _serving: DropGuard,
}

impl Intake {
    async fn open(concurrency: u32, token: Option<&str>) -> Self {
        let store = TestStore::sqlite().await;
        let opened = store.opened.clone();
        let engine = Engine::new(opened.store, opened.reader, Access::ReadWrite);
        let (backlog, heard) = (Arc::new(Backlog::default()), Arc::new(Heard::default()));
        let intake = config::Intake { concurrency, longest_wait: Duration::from_secs(60) };
        let service = Arc::new(Service {
            keys: IdempotencyLayer::new(Keys::new(engine.keys(), "one"), TaskTracker::new()),
            engine,
            shedding: Shedding::new(&intake, backlog.clone()),
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

    async fn trigger(&self, repo: &str) -> Answered {
        let body = json!({"tenantId": "acme", "repoUrl": format!("https://github.com/acme/{repo}")});
        let url = format!("http://{}/onboardings", self.address);
        Answered::sent(self.client.post(url).json(&body)).await
    }

    async fn onboardings(&self) -> String {
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
    let mut slow = TcpStream::connect(intake.address).unwrap();
    let begun = "POST /onboardings HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{";
    slow.write_all(begun.as_bytes()).unwrap();
    let away = eventually("the place is taken", PATIENCE, async || {
        Some(intake.trigger("second").await).filter(|answer| answer.status == 503)
    })
    .await;
    assert_eq!(away.header("retry-after"), Some("1"));
    assert!(
        away.text().contains("as many triggers as may be are being answered at once: 1"),
        "{}",
        away.text()
    );
    drop(slow);
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
