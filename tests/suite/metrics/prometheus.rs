//! A Prometheus server as the source: a real one, and stand-ins for what can go wrong.

use std::{sync::Arc, time::Duration};

use axum::{Router, http::StatusCode, response::Html, routing::get};
use redrive::{
    clock,
    engine::observer::{AttemptKind, CallAttemptOutcome, KeyOutcome, Observer},
    metrics::{
        collector::Collector, export::Metrics, prometheus::Prometheus, scrape::Scraped, verdict::Rules,
    },
};

use super::serve::{Server, client};
use crate::support;

async fn reason(routes: Router) -> String {
    let server = Server::start(routes).await;
    let result = Prometheus::parse(&server.url("")).expect("a good URL").fetch(&client()).await;
    result.outcome.expect_err("a reason").to_string()
}

#[tokio::test]
async fn a_query_that_is_refused_says_why() {
    let body = r#"{"status":"error","errorType":"bad_data","error":"invalid parameter \"query\""}"#;
    let routes =
        Router::new().route("/api/v1/query", get(move || async move { (StatusCode::BAD_REQUEST, body) }));
    let reason = reason(routes).await;
    assert_eq!(reason, "the server refused the query: invalid parameter \"query\"");
}

#[tokio::test]
async fn an_answer_that_is_not_prometheuss_says_what_to_give() {
    for routes in [
        Router::new().route("/api/v1/query", get(async || Html("<html>Sign in</html>"))),
        Router::new().route(
            "/api/v1/query",
            get(async || r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#),
        ),
    ] {
        let reason = reason(routes).await;
        assert!(reason.contains("base URL"), "{reason}");
    }
    let unauthorized = Router::new().route("/api/v1/query", get(async || StatusCode::UNAUTHORIZED));
    assert!(reason(unauthorized).await.starts_with("401"));
    assert!(reason(Router::new()).await.starts_with("404"));
}

#[tokio::test]
async fn a_path_prefix_is_kept() {
    let answer =
        r#"{"status":"success","data":{"resultType":"scalar","result":[1767225600.5,"1767225600.5"]}}"#;
    let routes = Router::new().route("/prom/api/v1/query", get(move || async move { answer }));
    let server = Server::start(routes).await;
    let result = Prometheus::parse(&server.url("/prom/")).unwrap().fetch(&client()).await;
    let reason = result.outcome.unwrap_err().to_string();
    assert!(!reason.starts_with("404"), "{reason}");
}

#[tokio::test]
async fn what_a_real_server_scraped_from_our_own_export_is_counted_as_if_scraped_here() {
    let metrics = Arc::new(Metrics::new());
    let exported = metrics.clone();
    let routes = Router::new().route("/metrics", get(move || async move { exported.encode() }));
    let worker = Server::start(routes).await;
    metrics.attempt_ended(
        "github.create_hook",
        AttemptKind::First,
        CallAttemptOutcome::Success,
        Duration::ZERO,
    );
    let server = support::prometheus::Prometheus::start(&[&worker.address]).await;
    let prometheus = Prometheus::parse(&server.url()).unwrap();
    let mut collector =
        Collector::new(Rules::default(), Duration::from_secs(1), clock::instant(), clock::now());
    let client = client();
    support::wait::eventually("retries are seen through Prometheus", Duration::from_secs(40), async || {
        for (kind, outcome) in [
            (AttemptKind::First, CallAttemptOutcome::Transient),
            (AttemptKind::Retry, CallAttemptOutcome::Transient),
        ] {
            metrics.attempt_ended("github.create_hook", kind, outcome, Duration::ZERO);
        }
        metrics.key_asked("payments.charge", KeyOutcome::Replayed);
        let result = prometheus.fetch(&client).await;
        if let Ok(Scraped::Instances(instances)) = &result.outcome {
            assert!(instances.all.iter().all(|one| one.instance == worker.address), "{instances:?}");
        }
        collector.observe(clock::instant(), clock::now(), vec![result]);
        let signals = collector.signals();
        assert_eq!(signals.targets[0].error, None);
        let row = signals.operations.first()?;
        assert_eq!((row.operation.as_str(), row.caller.as_str()), ("github.create_hook", "redrive"));
        let keys = signals.keys.unwrap_or_default();
        let replayed = keys.operations.first().is_some_and(|keys| keys.hit_ratio == Some(1.0));
        (row.retry_rate > Some(0.0) && row.first_rate > Some(0.0) && replayed).then_some(())
    })
    .await;
}
