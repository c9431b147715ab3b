//! Asking a target over HTTP: what can go wrong is a reason in words, and never a password.

use std::{net::TcpListener, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes},
    http::{HeaderMap, StatusCode, header},
    response::{Html, Redirect},
    routing::get,
};
use futures_util::{StreamExt as _, stream};
use redrive::metrics::scrape::{BadTarget, ScrapeResult, Scraped, Target, scrape, scrape_within};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::serve::{Server, client};

const METRICS: &str = "# TYPE up gauge\nup 1\nbroken{\nhits_total 3\n";

async fn ask(routes: Router, path: &str) -> ScrapeResult {
    let server = Server::start(routes).await;
    scrape(&client(), &Target::parse(&server.url(path)).expect("a good URL")).await
}

fn fault(result: ScrapeResult) -> String {
    result.outcome.expect_err("a reason").to_string()
}

#[tokio::test]
async fn a_target_is_read_and_what_cannot_be_read_is_counted() {
    let result = ask(Router::new().route("/metrics", get(async || METRICS)), "").await;
    let Ok(Scraped::Exposition(read)) = result.outcome else { panic!("{:?}", result.outcome) };
    assert_eq!((read.samples.len(), read.unreadable, read.warnings[0].line), (2, 1, 3));
    assert!(result.url.ends_with("/metrics"), "without a path it is /metrics: {}", result.url);
    assert_eq!(result.name, result.address, "without a name it goes by host and port");
}

#[tokio::test]
async fn a_login_page_is_told_from_metrics() {
    let routes = Router::new().route("/metrics", get(async || Html("<!doctype html><title>Sign in</title>")));
    let reason = fault(ask(routes, "").await);
    assert!(reason.contains("HTML page"), "{reason}");
}

#[tokio::test]
async fn a_refusal_says_what_to_do() {
    for (status, word) in [
        (StatusCode::UNAUTHORIZED, "credentials"),
        (StatusCode::NOT_FOUND, "check the URL"),
        (StatusCode::INTERNAL_SERVER_ERROR, "log"),
    ] {
        let routes = Router::new().route("/metrics", get(move || async move { (status, "secret body") }));
        let reason = fault(ask(routes, "").await);
        assert!(reason.starts_with(status.as_str()) && reason.contains(word), "{reason}");
        assert!(!reason.contains("secret"), "{reason}");
    }
}

#[tokio::test]
async fn a_refused_connection_says_so() {
    let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).unwrap().port();
    let target = Target::parse(&format!("http://ana:hunter2@127.0.0.1:{port}/metrics?token=t0p")).unwrap();
    let result = scrape(&client(), &target).await;
    assert_eq!(result.url, format!("http://127.0.0.1:{port}/metrics?…"));
    let reason = fault(result);
    assert!(reason.starts_with("connection refused"), "{reason}");
    assert!(!reason.contains("hunter2") && !reason.contains("t0p"), "{reason}");
}

#[tokio::test]
async fn a_stream_that_never_ends_is_given_up() {
    let routes = Router::new().route(
        "/metrics",
        get(async || {
            let begun = stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"up 1\n"))]);
            Body::from_stream(begun.chain(stream::pending()))
        }),
    );
    let server = Server::start(routes).await;
    let target = Target::parse(&server.url("")).unwrap();
    let result = scrape_within(&client(), &target, Duration::from_millis(200)).await;
    assert!(result.took < Duration::from_secs(5));
    let reason = fault(result);
    assert!(reason.contains("within 0.2 s"), "{reason}");
}

#[tokio::test]
async fn a_stream_that_breaks_off_is_no_exposition() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = Target::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 4_096];
        let _ = stream.read(&mut request).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nup 1\n").await.unwrap();
    });
    let reason = fault(scrape(&client(), &target).await);
    assert!(reason.contains("broke off"), "{reason}");
}

#[tokio::test]
async fn too_large_an_answer_is_refused_before_it_fills_the_memory() {
    let endless = get(async || {
        let line = Bytes::from("# nothing but comments here, over and over again\n".repeat(1_000));
        Body::from_stream(stream::repeat_with(move || Ok::<_, std::io::Error>(line.clone())))
    });
    let reason = fault(ask(Router::new().route("/metrics", endless), "").await);
    assert!(reason.contains("more than 16 MiB"), "{reason}");
}

#[tokio::test]
async fn an_answer_is_measured_after_decompression() {
    let packed = get(async || {
        let bytes = include_bytes!("../../fixtures/metrics/bomb.prom.gz");
        ([(header::CONTENT_ENCODING, "gzip")], &bytes[..])
    });
    let reason = fault(ask(Router::new().route("/metrics", packed), "").await);
    assert!(reason.contains("more than 16 MiB"), "{reason}");
}

#[tokio::test]
async fn a_compressed_answer_is_read() {
    let packed = get(async |headers: HeaderMap| {
        assert!(headers[header::ACCEPT_ENCODING].to_str().unwrap().contains("gzip"));
        ([(header::CONTENT_ENCODING, "gzip")], &include_bytes!("../../fixtures/metrics/small.prom.gz")[..])
    });
    let result = ask(Router::new().route("/metrics", packed), "").await;
    let Ok(Scraped::Exposition(read)) = result.outcome else { panic!("{:?}", result.outcome) };
    assert_eq!(read.samples.len(), 2);
}

#[tokio::test]
async fn a_damaged_compressed_answer_says_so() {
    let broken = get(async || ([(header::CONTENT_ENCODING, "gzip")], "this is not gzip"));
    let reason = fault(ask(Router::new().route("/metrics", broken), "").await);
    assert!(reason.contains("is damaged"), "{reason}");
}

#[tokio::test]
async fn a_redirect_to_another_host_is_not_followed() {
    let elsewhere = Server::start(Router::new().route("/metrics", get(async || METRICS))).await;
    let other = elsewhere.url("/metrics").replace("127.0.0.1", "localhost");
    let routes = Router::new().route("/metrics", get(move || async move { Redirect::temporary(&other) }));
    let reason = fault(ask(routes, "").await);
    assert!(reason.contains("redirects"), "{reason}");
}

#[tokio::test]
async fn credentials_of_the_url_are_sent_but_not_shown() {
    let routes = Router::new().route(
        "/metrics",
        get(async |headers: HeaderMap| match headers.get(header::AUTHORIZATION) {
            Some(value) if value == "Basic YW5hOmh1bnRlcjI=" => (StatusCode::OK, METRICS),
            _ => (StatusCode::UNAUTHORIZED, ""),
        }),
    );
    let server = Server::start(routes).await;
    let target = Target::parse(&server.url("").replace("http://", "http://ana:hunter2@")).unwrap();
    let result = scrape(&client(), &target).await;
    assert!(result.outcome.is_ok(), "{:?}", result.outcome);
    assert!(!format!("{target:?} {} {}", result.url, result.name).contains("hunter2"));
}

#[test]
fn a_target_can_be_named() {
    let target = Target::parse("legacy-crm=http://10.0.0.8:9102/metrics").unwrap();
    assert_eq!((target.name(), target.address().as_str()), ("legacy-crm", "10.0.0.8:9102"));
    assert_eq!(Target::parse("http://10.0.0.8:9102/m?a=b").unwrap().name(), "10.0.0.8:9102");
}

#[test]
fn loopback_has_one_address_by_any_name() {
    for url in
        ["http://localhost:9102/", "http://127.0.0.1:9102", "http://[::1]:9102", "http://LOCALHOST:9102"]
    {
        assert_eq!(Target::parse(url).unwrap().address(), "127.0.0.1:9102", "{url}");
    }
    assert_eq!(Target::parse("https://metrics.example").unwrap().address(), "metrics.example:443");
}

#[test]
fn a_url_that_cannot_be_asked_is_refused_without_repeating_it() {
    for url in [
        "",
        "metrics",
        "ftp://ana:hunter2@host/metrics",
        "http://ana:hunter2@/metrics",
        "http://ana:hunter2@h:port",
    ] {
        let refusal: BadTarget = Target::parse(url).unwrap_err();
        let words = refusal.to_string();
        assert!(words.contains("http://host:port/metrics") && !words.contains("hunter2"), "{words}");
    }
}

#[test]
fn a_host_and_a_port_alone_mean_http() {
    for (text, url) in [
        ("localhost:9090/metrics", "http://localhost:9090/metrics"),
        ("crm=10.0.0.8:9102", "http://10.0.0.8:9102/metrics"),
        ("[::1]:9102", "http://[::1]:9102/metrics"),
    ] {
        assert_eq!(Target::parse(text).expect(text).shown(), url);
    }
}
