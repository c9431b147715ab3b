//! The layer that lets a handler run once per `Idempotency-Key`, through real HTTP on loopback.

mod answer;
mod body;
mod caller;
mod example;
mod guard;
mod health;
mod hostile;
mod intake;
mod key;
mod limits;
mod locked;
mod rule;
pub(crate) mod shed;

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::Path,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use redrive::{
    engine::{
        idempotency::{Keys, Operation},
        key::KeyStore,
    },
    service::IdempotencyLayer,
};
use serde_json::Value;
use tokio::{net::TcpListener, sync::Semaphore, task::JoinSet};
use tokio_util::task::TaskTracker;

use crate::support::stores::{LEASE, TestStore};

/// The longest anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the handlers of a test share with it.
#[derive(Clone)]
struct Inside {
    effects: Arc<AtomicUsize>,
    /// A permit for each handler that has begun.
    begun: Arc<Semaphore>,
    /// A handler of `/gated` takes one before it goes on.
    gate: Arc<Semaphore>,
}

impl Inside {
    fn new() -> Self {
        let none = || Arc::new(Semaphore::new(0));
        Self { effects: Arc::new(AtomicUsize::new(0)), begun: none(), gate: none() }
    }

    fn effect(&self) -> usize {
        self.effects.fetch_add(1, Ordering::SeqCst) + 1
    }

    fn effects(&self) -> usize {
        self.effects.load(Ordering::SeqCst)
    }

    /// Waits until one more handler has begun.
    async fn one_has_begun(&self) {
        let begun = tokio::time::timeout(PATIENCE, self.begun.acquire()).await;
        begun.expect("a handler begins").expect("the semaphore stays open").forget();
    }

    /// `/payments`, `/gated` and `/status/{code}`, as a service would write them.
    fn routes(&self) -> Router {
        let (paying, gated, status) = (self.clone(), self.clone(), self.clone());
        Router::new()
            .route("/payments", post(async move || payment(paying.effect())))
            .route("/payments/{id}", post(async || "one").get(async || "one"))
            .route(
                "/gated",
                post(async move || {
                    gated.begun.add_permits(1);
                    gated.gate.acquire().await.expect("the gate stays").forget();
                    payment(gated.effect())
                }),
            )
            .route(
                "/status/{code}",
                post(async move |Path(code): Path<u16>| {
                    (StatusCode::from_u16(code).unwrap(), format!("try {}", status.effect()))
                }),
            )
            .route("/free", get(async || "free"))
    }
}

/// A payment's answer: bytes that are no text, and headers of every kind.
fn payment(n: usize) -> Response {
    let headers = [
        (header::LOCATION, format!("/payments/{n}")),
        (header::ETAG, format!("\"v{n}\"")),
        (header::SET_COOKIE, format!("session={n}")),
        (header::CONTENT_TYPE, "application/x-payment".to_owned()),
    ];
    (StatusCode::CREATED, headers, vec![0xff, 0, 0x80, u8::try_from(n).unwrap()]).into_response()
}

/// A service on loopback; it stops when dropped.
struct Api {
    address: String,
    client: reqwest::Client,
    inside: Inside,
    tracker: TaskTracker,
    store: TestStore,
    _serving: JoinSet<()>,
}

impl Api {
    /// The routes of [`Inside`] behind the layer as it comes.
    async fn start() -> Self {
        Self::with(|layer| layer, |inside, layer| inside.routes().layer(layer)).await
    }

    /// The routes of [`Inside`] behind a layer that `rules` changes.
    async fn ruled(rules: impl FnOnce(IdempotencyLayer) -> IdempotencyLayer) -> Self {
        Self::with(rules, |inside, layer| inside.routes().layer(layer)).await
    }

    async fn with(
        rules: impl FnOnce(IdempotencyLayer) -> IdempotencyLayer,
        routes: impl FnOnce(&Inside, IdempotencyLayer) -> Router,
    ) -> Self {
        let store = TestStore::sqlite().await;
        let keys: Arc<dyn KeyStore> = store.opened.store.clone();
        Self::over(store, Keys::new(keys, "api"), rules, routes).await
    }

    async fn over(
        store: TestStore,
        keys: Keys,
        rules: impl FnOnce(IdempotencyLayer) -> IdempotencyLayer,
        routes: impl FnOnce(&Inside, IdempotencyLayer) -> Router,
    ) -> Self {
        let (inside, tracker) = (Inside::new(), TaskTracker::new());
        let layer = IdempotencyLayer::new(keys, tracker.clone())
            .operations(|_| Operation::new("pay").leased_for(LEASE));
        let routes = routes(&inside, rules(layer));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound port").to_string();
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, routes).await.expect("it serves") });
        let client = redrive::http::client(PATIENCE).expect("a client");
        Self { address, client, inside, tracker, store, _serving: serving }
    }

    /// A `POST` under a key, not yet sent.
    fn post(&self, path: &str, key: &str) -> reqwest::RequestBuilder {
        self.client.post(format!("http://{}{path}", self.address)).header("idempotency-key", key)
    }

    /// A `POST` of JSON under a key, answered.
    async fn pay(&self, path: &str, key: &str, json: impl Into<reqwest::Body>) -> Answered {
        let request = self.post(path, key).header("content-type", "application/json").body(json);
        Answered::sent(request).await
    }

    /// A `POST` of `body` under a key by hand, in pieces whose number is not announced; answered.
    async fn pay_in_pieces(&self, key: &str, body: &str) -> (u16, String) {
        let head = format!(
            "POST /payments HTTP/1.1\r\nHost: x\r\nConnection: close\r\nIdempotency-Key: {key}\r\n\
             Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        );
        let pieces = body
            .as_bytes()
            .chunks(100)
            .flat_map(|piece| [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat());
        let request: Vec<u8> = head.bytes().chain(pieces).chain(*b"0\r\n\r\n").collect();
        read_all(self.send(&request)).await
    }

    /// Sends bytes by hand on a connection of its own.
    fn send(&self, bytes: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        stream.write_all(bytes).expect("it reads");
        stream
    }

    /// A `POST /payments` by hand with these header lines, answered.
    async fn by_hand(&self, lines: &[&[u8]]) -> (u16, String) {
        let mut request =
            b"POST /payments HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n".to_vec();
        for line in lines {
            request.extend_from_slice(line);
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"\r\n{}");
        read_all(self.send(&request)).await
    }

    /// Waits until no work is left, whoever still listens.
    async fn idle(&self) {
        self.tracker.close();
        tokio::time::timeout(PATIENCE, self.tracker.wait()).await.expect("the work ends");
    }

    /// How many keys are remembered.
    async fn keys(&self) -> String {
        self.store.cell("SELECT count(*) FROM idempotency_keys").await
    }
}

/// The status and all that follows the first line.
async fn read_all(mut stream: TcpStream) -> (u16, String) {
    let reading = tokio::task::spawn_blocking(move || {
        let (mut answer, mut part) = (Vec::new(), [0; 4_096]);
        // A server that closes on a body it does not want may reset the connection behind its answer.
        while let Ok(read @ 1..) = stream.read(&mut part) {
            answer.extend_from_slice(&part[..read]);
        }
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let (first, rest) = answer.split_once("\r\n").expect("an answer has a first line");
        (first.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status"), rest.to_owned())
    });
    reading.await.expect("reading does not panic")
}

/// An answer that has arrived whole.
#[derive(Debug)]
pub(crate) struct Answered {
    status: u16,
    headers: reqwest::header::HeaderMap,
    body: Bytes,
}

impl Answered {
    async fn sent(request: reqwest::RequestBuilder) -> Self {
        Self::of(request.send().await.expect("it answers")).await
    }

    async fn of(response: reqwest::Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Self { status, headers, body: response.bytes().await.expect("a whole body") }
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("text"))
    }

    fn is_replayed(&self) -> bool {
        self.header("idempotent-replayed") == Some("true")
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }

    /// The problem document: the slug of its type, and its detail.
    #[track_caller]
    fn problem(&self, status: u16) -> (String, String) {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let problem: Value = serde_json::from_slice(&self.body).expect("a problem document");
        assert_eq!((self.status, &problem["status"]), (status, &Value::from(status)), "{problem}");
        let text = |name: &str| {
            problem[name].as_str().unwrap_or_else(|| panic!("no {name} in {problem}")).to_owned()
        };
        assert!(!text("title").is_empty());
        let (page, slug) =
            text("type").split_once('#').map(|(a, b)| (a.to_owned(), b.to_owned())).expect("a slug");
        assert!(page.starts_with("https://"), "{page}");
        (slug, text("detail"))
    }
}

/// A body that comes piece by piece.
fn pieces<E>(pieces: impl futures_util::Stream<Item = Result<Bytes, E>> + Send + 'static) -> Body
where
    E: Into<axum::BoxError> + 'static,
{
    Body::from_stream(pieces)
}
