//! Fifty targets at once, and some of them hostile: each of those is one reason in words, and the others go on as if there
//! were none.

use std::{collections::BTreeMap, net::TcpListener, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes},
    http::{StatusCode, header},
    response::{Html, Redirect},
    routing::get,
};
use futures_util::{StreamExt as _, stream};
use redrive::{
    clock,
    metrics::{collector::Collector, discovery::Origin, rounds::Rounds, verdict::Rules},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::interval,
};

use super::{
    serve::{Server, client},
    tls,
};

const WORKER: &str = "# TYPE redrive_attempts_total counter\n\
                      redrive_attempts_total{operation=\"a\",kind=\"first\",outcome=\"success\"} 3\n";
const INTERVAL: Duration = Duration::from_millis(500);
const TARGETS: usize = 50;
const DRIP: Duration = Duration::from_millis(50);

/// Never gets beyond its headers.
async fn slow_headers(tasks: &mut tokio::task::JoinSet<()>) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/metrics", listener.local_addr().unwrap());
    tasks.spawn(async move {
        let mut held = tokio::task::JoinSet::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            held.spawn(async move {
                let mut drip = interval(DRIP);
                let _ = stream.read(&mut [0; 4_096]).await;
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nx-slow: ").await;
                while stream.write_all(b"a").await.is_ok() {
                    drip.tick().await;
                }
            });
        }
    });
    url
}

fn slow_body() -> Body {
    let begun = stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"up 1\n"))]);
    let drips = stream::unfold(interval(DRIP), async |mut drip| {
        drip.tick().await;
        Some((Ok(Bytes::from_static(b"#")), drip))
    });
    Body::from_stream(begun.chain(drips))
}

fn endless() -> Body {
    let line = Bytes::from("# nothing but comments here, over and over again\n".repeat(2_000));
    Body::from_stream(stream::repeat_with(move || Ok::<_, std::io::Error>(line.clone())))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_targets_are_a_reason_each_and_nobody_else_is_troubled() {
    let elsewhere = Server::start(Router::new().route("/metrics", get(async || WORKER))).await;
    let other = elsewhere.url("/metrics").replace("127.0.0.1", "localhost");
    let bomb = get(async || {
        let bytes = include_bytes!("../../fixtures/metrics/bomb.prom.gz");
        ([(header::CONTENT_ENCODING, "gzip")], &bytes[..])
    });
    let routes = Router::new()
        .route("/metrics", get(async || WORKER))
        .route("/slow-body", get(async || slow_body()))
        .route("/bomb", bomb)
        .route("/login", get(async || Html("<!doctype html><title>Sign in</title>")))
        .route("/401", get(async || StatusCode::UNAUTHORIZED))
        .route("/403", get(async || StatusCode::FORBIDDEN))
        .route("/500", get(async || (StatusCode::INTERNAL_SERVER_ERROR, endless())))
        .route("/endless", get(async || endless()))
        .route("/redirect", get(move || async move { Redirect::temporary(&other) }))
        .route("/json", get(async || "{\"status\": \"ok\"}"))
        .route("/binary", get(async || vec![0_u8, 159, 146, 150, 10, 255]));
    let server = Server::start(routes).await;
    let mut tasks = tokio::task::JoinSet::new();
    let nobody = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).unwrap();
    let hostile = BTreeMap::from([
        ("slow headers", (slow_headers(&mut tasks).await, "did not answer whole within 5 s")),
        ("slow body", (server.url("/slow-body"), "did not answer whole within 5 s")),
        ("bomb", (server.url("/bomb"), "answered more than 16 MiB")),
        ("endless", (server.url("/endless"), "answered more than 16 MiB")),
        ("login", (server.url("/login"), "HTML page")),
        ("401", (server.url("/401"), "401: it wants credentials")),
        ("403", (server.url("/403"), "403: it lets nobody in")),
        ("404", (server.url("/404"), "404: nothing is served")),
        ("500", (server.url("/500"), "500: it failed inside")),
        ("redirect", (server.url("/redirect"), "redirects elsewhere")),
        ("refused", (format!("http://{nobody}/metrics"), "connection refused")),
        (
            "tls",
            (format!("https://127.0.0.1:{}/metrics", tls::serve(WORKER)), "comes from nobody who is trusted"),
        ),
        ("json", (server.url("/json"), "none of its 1 lines is a metric")),
        ("binary", (server.url("/binary"), "none of its 2 lines is a metric")),
    ]);
    let good: Vec<String> = (hostile.len()..TARGETS).map(|n| format!("good-{n}")).collect();
    let mut origins: Vec<Origin> =
        hostile.iter().map(|(name, (url, _))| Origin::parse(&format!("{name}={url}")).unwrap()).collect();
    origins.extend(good.iter().map(|name| Origin::parse(&format!("{name}={}", server.url(""))).unwrap()));
    assert_eq!(origins.len(), TARGETS);

    let mut rounds = Rounds::new(client(), origins, None, INTERVAL);
    let mut collector = Collector::new(Rules::default(), INTERVAL, clock::instant(), clock::now());
    let began = clock::instant();
    let mut answers: BTreeMap<String, usize> = BTreeMap::new();
    let mut reasons: BTreeMap<String, String> = BTreeMap::new();
    while reasons.len() < hostile.len() {
        let round = rounds.next().await;
        for said in &round.said {
            match &said.outcome {
                Ok(_) => *answers.entry(said.name.clone()).or_default() += 1,
                Err(fault) => {
                    let before = reasons.insert(said.name.clone(), fault.to_string());
                    assert!(
                        before.is_none_or(|before| before == fault.to_string()),
                        "one reason each: {reasons:?}"
                    );
                }
            }
        }
        round.tell(&mut collector);
        assert!(clock::instant() - began < Duration::from_secs(30), "{reasons:?}");
    }
    for (name, (_, word)) in &hostile {
        assert!(reasons[*name].contains(word), "{name}: {}", reasons[*name]);
    }
    for name in &good {
        // Had it waited for the slow ones, it would have answered once; how much oftener it did depends on the machine.
        assert!(answers[name] >= 2, "{name} answered {} times while others hung", answers[name]);
    }
    assert_eq!(answers.len(), good.len());
    let signals = collector.signals();
    assert_eq!(signals.targets.len(), TARGETS);
    for target in &signals.targets {
        let name = target.name.to_string();
        assert_eq!(target.error.is_some(), hostile.contains_key(name.as_str()), "{target:?}");
    }
}
