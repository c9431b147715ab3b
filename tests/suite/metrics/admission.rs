//! Being let in: credentials reach the host they are for and nobody else, and no screen; certificates of one's own.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    http::{HeaderMap, StatusCode, header},
    response::Redirect,
    routing::get,
};
use redrive::metrics::{
    admission::{Admission, Credentials, Unsendable},
    discovery::{Origin, Resolver},
    scrape::{ScrapeResult, Target, scrape},
};

use super::{
    serve::{Server, client},
    tls,
};

const METRICS: &str = "up 1\n";

fn bearer() -> Admission {
    Admission::default().with(Credentials::Bearer("t0p-s3cret".to_owned())).unwrap()
}

fn basic() -> Admission {
    let (username, password) = ("ana".to_owned(), "hunter2".to_owned());
    Admission::default().with(Credentials::Basic { username, password }).unwrap()
}

/// A server that lets in only whoever sends `wanted`.
async fn guarded(wanted: &'static str) -> Server {
    let routes = Router::new().route(
        "/metrics",
        get(async move |headers: HeaderMap| {
            let said: Vec<_> = headers.get_all(header::AUTHORIZATION).iter().collect();
            match said.as_slice() {
                [] => (StatusCode::UNAUTHORIZED, ""),
                [only] if *only == wanted => (StatusCode::OK, METRICS),
                _ => (StatusCode::FORBIDDEN, ""),
            }
        }),
    );
    Server::start(routes).await
}

fn reason(result: ScrapeResult) -> String {
    result.outcome.expect_err("a reason").to_string()
}

#[tokio::test]
async fn a_bearer_token_or_a_password_lets_one_in() {
    for (access, wanted) in [(bearer(), "Bearer t0p-s3cret"), (basic(), "Basic YW5hOmh1bnRlcjI=")] {
        let server = guarded(wanted).await;
        let target = Target::parse(&server.url("")).unwrap().with(access);
        let result = scrape(&client(), &target).await;
        assert!(result.outcome.is_ok(), "{:?}", result.outcome);
    }
}

#[tokio::test]
async fn without_credentials_or_with_wrong_ones_the_reason_says_what_to_do() {
    let server = guarded("Bearer another").await;
    let target = Target::parse(&server.url("")).unwrap();
    let said = reason(scrape(&client(), &target).await);
    assert!(said.starts_with("401") && said.contains("token_env"), "{said}");
    let said = reason(scrape(&client(), &target.with(bearer())).await);
    assert!(said.starts_with("403") && !said.contains("s3cret"), "{said}");
}

#[tokio::test]
async fn credentials_given_beside_a_url_stand_over_those_in_it() {
    let server = guarded("Bearer t0p-s3cret").await;
    let url = server.url("").replace("http://", "http://bob:old@");
    let target = Target::parse(&url).unwrap().with(bearer());
    assert!(scrape(&client(), &target).await.outcome.is_ok(), "only one of them is sent");
}

#[tokio::test]
async fn credentials_follow_no_redirect_to_another_host_or_port() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let other = Server::start(Router::new().route(
        "/metrics",
        get(async move |headers: HeaderMap| {
            log.lock().unwrap().push(headers.contains_key(header::AUTHORIZATION));
            METRICS
        }),
    ))
    .await;
    for (url, followed) in
        [(other.url("/metrics"), true), (other.url("/metrics").replace("127.0.0.1", "localhost"), false)]
    {
        let routes = Router::new().route("/metrics", get(move || async move { Redirect::temporary(&url) }));
        let server = Server::start(routes).await;
        let target = Target::parse(&server.url("")).unwrap().with(bearer());
        let result = scrape(&client(), &target).await;
        assert_eq!(result.outcome.is_ok(), followed, "{:?}", result.outcome);
        if !followed {
            assert!(reason(result).contains("redirects elsewhere"));
        }
    }
    assert_eq!(*seen.lock().unwrap(), [false], "another port is another server");
}

#[test]
fn no_secret_is_shown() {
    let target = Target::parse("http://bob:0ld@host/metrics?key=k3y").unwrap().with(bearer());
    let all = format!("{target:?} {:?} {:?} {:?}", bearer(), basic(), Origin::One(target.clone()));
    for secret in ["s3cret", "hunter2", "0ld", "k3y", "ana"] {
        assert!(!all.contains(secret), "{all}");
    }
}

#[test]
fn what_no_header_may_hold_is_refused() {
    let bad = Admission::default().with(Credentials::Bearer("two\nlines".to_owned()));
    assert_eq!(bad.unwrap_err(), Unsendable::Characters);
    let basic = Credentials::Basic { username: "a:b".to_owned(), password: String::new() };
    assert_eq!(Admission::default().with(basic).unwrap_err(), Unsendable::Colon);
    assert_eq!(Admission::default().tenant("a\u{0}").unwrap_err(), Unsendable::Characters);
}

#[tokio::test]
async fn a_certificate_from_nobody_is_refused_and_from_a_ca_file_accepted() {
    let port = tls::serve(METRICS);
    let target = Target::parse(&format!("https://127.0.0.1:{port}/metrics")).unwrap();
    let said = reason(scrape(&client(), &target).await);
    assert!(said.contains("comes from nobody who is trusted here") && said.contains("ca_file"), "{said}");
    let trusting = Admission::default().trusting(&tls::ca_file()).unwrap();
    let result = scrape(&client(), &target.with(trusting.clone())).await;
    assert!(result.outcome.is_ok(), "{:?}", result.outcome);

    let server = Server::start(Router::new()).await;
    let target = Target::parse(&server.url("").replace("http://", "https://")).unwrap();
    let said = reason(scrape(&client(), &target).await);
    assert!(said.contains("http://"), "a server without TLS: {said}");
}

#[tokio::test]
async fn each_address_of_a_name_is_asked_by_the_name_its_certificate_is_for() {
    let port = tls::serve(METRICS);
    let trusting = Admission::default().trusting(&tls::ca_file()).unwrap();
    let resolver = Resolver::new(|_, port| Box::pin(async move { Ok(vec![([127, 0, 0, 1], port).into()]) }));
    for (host, accepted) in [("metrics.test", true), ("other.test", false)] {
        let origin =
            Origin::parse(&format!("dns+https://{host}:{port}/metrics")).unwrap().with(trusting.clone());
        let found = origin.look(&resolver).await.unwrap();
        let result = scrape(&client(), &found.targets[0]).await;
        assert_eq!(result.outcome.is_ok(), accepted, "{:?}", result.outcome);
        assert_eq!(result.url, format!("https://127.0.0.1:{port}/metrics"));
        if !accepted {
            let said = reason(result);
            assert!(said.contains("certificate is not accepted"), "{said}");
        }
    }
}
