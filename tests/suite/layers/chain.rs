//! Services that call services, over HTTP: one of them tries again.

use std::future::pending;

use axum::{Extension, Router, body::Body, extract::State, routing::get};
use redrive::{
    clock,
    domain::circuit::CircuitState,
    resilience::{
        circuit::CircuitPolicy,
        layer::{Caller, CallerLayer, Http, Retry, RetryLayer},
        policy::{Reason, Stopped},
    },
};
use tokio::{net::TcpListener, task::JoinSet};
use tower::{Layer, Service, ServiceExt as _, service_fn};

use super::*;

type Asked = Request<String>;
type Answered = Response<reqwest::Body>;

/// A client of real HTTP.
fn client() -> impl Service<Asked, Response = Answered, Error = reqwest::Error, Future: Send> + Clone + Send {
    let client = redrive::http::client(PATIENCE).unwrap();
    service_fn(move |request: Asked| {
        let client = client.clone();
        async move { client.execute(request.try_into()?).await.map(Response::from) }
    })
}

/// A service of its own that serves its caller by calling the next one with three attempts, and fails as that fails.
#[derive(Clone)]
struct Shop {
    ledger: String,
    policy: Arc<Policy>,
}

impl Shop {
    fn of(ledger: &str, settings: Settings) -> Self {
        Self { ledger: ledger.to_owned(), policy: policy(settings) }
    }

    async fn ask(&self) -> Result<Answered, Stopped<reqwest::Error>> {
        let client: Retry<_, Http> = RetryLayer::http(self.policy.clone()).layer(client());
        client.oneshot(Request::get(&self.ledger).body(String::new()).unwrap()).await
    }

    fn routes(self) -> Router {
        let serve = async |State(shop): State<Self>| match shop.ask().await {
            Ok(answer) => answer.status(),
            Err(Stopped { reason: Reason::Deadline, .. }) => StatusCode::GATEWAY_TIMEOUT,
            Err(_) => StatusCode::BAD_GATEWAY,
        };
        Router::new().route("/", get(serve)).with_state(self)
    }
}

impl Ledger {
    fn routes(&self) -> Router {
        let ledger = self.clone();
        let serve = async move |request: Request<Body>| ledger.answer(&request, Body::empty());
        Router::new().route("/", get(serve))
    }
}

/// Services on loopback; they stop when dropped.
#[derive(Default)]
struct Street(JoinSet<()>);

impl Street {
    async fn open(&mut self, routes: Router) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        self.0.spawn(async move { axum::serve(listener, routes).await.unwrap() });
        base
    }

    /// A shop before the ledger, that knows who asks.
    async fn shop(&mut self, ledger: &Ledger) -> String {
        let ledger = self.open(ledger.routes()).await;
        self.open(Shop::of(&ledger, settings()).routes().layer(CallerLayer)).await
    }
}

async fn asked(base: &str, headers: &[(&str, &str)]) -> Answered {
    let builder = headers.iter().fold(Request::get(base), |b, (name, value)| b.header(*name, *value));
    client().oneshot(builder.body(String::new()).unwrap()).await.unwrap()
}

#[tokio::test]
async fn of_three_services_in_a_row_one_tries_again() {
    let (mut street, ledger) = (Street::default(), Ledger::new(&[(503, &[])]));
    let shop = street.shop(&ledger).await;
    let mall = street.open(Shop::of(&shop, settings()).routes().layer(CallerLayer)).await;
    let answer = asked(&mall, &[]).await;
    assert_eq!(
        should_retry(&answer),
        (StatusCode::SERVICE_UNAVAILABLE, Some("false")),
        "told all the way up"
    );
    assert_eq!(ledger.made(), 3, "not 9");
    assert_eq!(ledger.told("retry-attempt"), ["1", "2", "3"]);
}

#[tokio::test]
async fn without_the_layer_around_the_handlers_retries_multiply() {
    let (mut street, ledger) = (Street::default(), Ledger::new(&[(503, &[])]));
    let address = street.open(ledger.routes()).await;
    let shop = street.open(Shop::of(&address, settings()).routes()).await;
    let mall = street.open(Shop::of(&shop, settings()).routes()).await;
    asked(&mall, &[]).await;
    assert_eq!(ledger.made(), 9, "what the layers are for");
}

#[tokio::test]
async fn a_retry_of_somebodys_is_not_tried_again_and_its_caller_may_go_on() {
    let (mut street, ledger) = (Street::default(), Ledger::new(&[(503, &[])]));
    let shop = street.shop(&ledger).await;
    for (said, told) in [(("retry-attempt", "2"), "2"), (("x-envoy-attempt-count", "7"), "7")] {
        let answer = asked(&shop, &[said]).await;
        assert_eq!(should_retry(&answer), (StatusCode::SERVICE_UNAVAILABLE, None));
        assert_eq!(ledger.told("retry-attempt").last().unwrap(), told);
    }
    assert_eq!(ledger.made(), 2);
}

#[tokio::test]
async fn an_answer_that_is_a_success_in_the_end_says_nothing_of_retries() {
    let (mut street, ledger) = (Street::default(), Ledger::new(&[(503, &[]), (200, &[])]));
    let shop = street.shop(&ledger).await;
    assert_eq!(should_retry(&asked(&shop, &[]).await), (StatusCode::OK, None));
}

#[tokio::test]
async fn a_callers_patience_ends_the_calls_made_for_it_and_says_nothing_about_the_callee() {
    let mut street = Street::default();
    let silent = street.open(Router::new().route("/", get(pending::<()>))).await;
    let circuit = CircuitPolicy { minimum_calls: 1, ..CircuitPolicy::default() };
    let shop = Shop::of(&silent, Settings { circuit, ..settings() });
    let address = street.open(shop.clone().routes().layer(CallerLayer)).await;
    for patience in ["0", "20"] {
        let answer = asked(&address, &[("request-timeout-ms", patience)]).await;
        assert_eq!(answer.status(), StatusCode::GATEWAY_TIMEOUT, "{patience}");
    }
    let standing = shop.policy.circuit().standing(clock::instant());
    assert_eq!(standing.state, CircuitState::Closed, "a caller in a hurry opens no circuit");
}

#[tokio::test]
async fn what_is_left_of_a_callers_patience_is_told_on() {
    let (mut street, ledger) = (Street::default(), Ledger::new(&[(200, &[])]));
    let shop = street.shop(&ledger).await;
    asked(&shop, &[("request-timeout-ms", "5000")]).await;
    asked(&shop, &[("request-timeout-ms", "no time")]).await;
    let told: Vec<u64> = ledger.told("request-timeout-ms").iter().map(|ms| ms.parse().unwrap()).collect();
    assert!(told[0] <= 5_000, "{told:?}");
    assert_eq!(told[1], 20_000, "the policy's own");
}

#[tokio::test]
async fn a_handler_can_ask_who_calls_and_tell_it_to_stop() {
    let asked = Arc::new(AtomicU32::new(0));
    let count = asked.clone();
    let full = async move |Extension(caller): Extension<Caller>| {
        count.fetch_add(1, Ordering::SeqCst);
        assert_eq!(Caller::current().attempt(), caller.attempt());
        caller.push_back();
        StatusCode::SERVICE_UNAVAILABLE
    };
    let mut street = Street::default();
    let full = street.open(Router::new().route("/", get(full)).layer(CallerLayer)).await;
    let answer = Shop::of(&full, settings()).ask().await.unwrap();
    assert_eq!(should_retry(&answer), (StatusCode::SERVICE_UNAVAILABLE, Some("false")));
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_task_that_is_spawned_takes_the_caller_along() {
    let caller = Caller::read(
        &[(http::HeaderName::from_static("retry-attempt"), http::HeaderValue::from(2))].into_iter().collect(),
        clock::instant(),
    );
    let mut tasks = JoinSet::new();
    caller
        .scope(async {
            tasks.spawn(Caller::current().scope(async { Caller::current().attempt() }));
            tasks.spawn(async { Caller::current().attempt() });
        })
        .await;
    let mut attempts = tasks.join_all().await;
    attempts.sort_unstable();
    assert_eq!(attempts, [1, 2]);
}

#[tokio::test]
async fn nobody_at_the_address_is_a_failure_like_another() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let stopped = Shop::of(&nobody, settings()).ask().await.unwrap_err();
    assert_eq!((stopped.reason, stopped.attempts), (Reason::Exhausted, 3));
}
