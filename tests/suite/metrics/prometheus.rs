//! A Prometheus server as the source: a real one, and stand-ins for what can go wrong.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    extract::{Query, RawQuery, State},
    http::{HeaderMap, StatusCode},
    response::Html,
    routing::get,
};
use redrive::{
    clock,
    engine::observer::{AttemptKind, CallAttemptOutcome, KeyOutcome, Observer},
    metrics::{
        admission::{Admission, Credentials},
        collector::Collector,
        export::Metrics,
        prometheus::Prometheus,
        scrape::Scraped,
        verdict::Rules,
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

const NOW: &str =
    r#"{"status":"success","data":{"resultType":"scalar","result":[1767225600.5,"1767225600.5"]}}"#;

/// Answers every question of ours, and keeps what was asked.
#[derive(Clone, Default)]
struct StandIn {
    /// How many samples there are in the last hour.
    samples: u64,
    /// Behind the result.
    more: &'static str,
    asked: Arc<Mutex<Vec<BTreeMap<String, String>>>>,
}

impl StandIn {
    async fn start(&self) -> Server {
        let answer = async |State(own): State<Self>, Query(asked): Query<BTreeMap<String, String>>| {
            let query = asked["query"].clone();
            own.asked.lock().unwrap().push(asked);
            match query.as_str() {
                "time()" => NOW.to_owned(),
                count if count.starts_with("sum(count_over_time(") => format!(
                    r#"{{"status":"success","data":{{"resultType":"vector","result":[{{"metric":{{}},"value":[1767225600.5,"{}"]}}]}}}}"#,
                    own.samples
                ),
                _ => format!(
                    r#"{{"status":"success","data":{{"resultType":"matrix","result":[]}}{}}}"#,
                    own.more
                ),
            }
        };
        Server::start(Router::new().route("/api/v1/query", get(answer)).with_state(self.clone())).await
    }

    /// How many seconds the questions reached back, without those that only counted.
    fn ranges(&self) -> Vec<u64> {
        let asked = self.asked.lock().unwrap();
        let queries = asked.iter().map(|asked| asked["query"].as_str());
        let selectors = queries.filter(|query| query.starts_with('{'));
        selectors
            .map(|query| query.rsplit_once('[').unwrap().1.trim_end_matches("s]").parse().unwrap())
            .collect()
    }
}

#[tokio::test]
async fn the_first_question_reaches_back_an_hour_or_as_far_as_is_cheap_and_the_next_only_to_the_last() {
    for (samples, first) in
        [(0, 3_600), (60_000, 3_600), (100_000, 1_800), (1_000_000, 900), (4_000_000, 300), (900_000_000, 30)]
    {
        let stand_in = StandIn { samples, ..StandIn::default() };
        let server = stand_in.start().await;
        let prometheus = Prometheus::parse(&server.url("")).unwrap();
        for _ in 0..2 {
            let result = prometheus.fetch(&client()).await;
            assert!(result.outcome.is_ok(), "{:?}", result.outcome);
        }
        assert_eq!(stand_in.ranges(), [first, 30], "{samples} samples");
    }
}

#[tokio::test]
async fn what_thanos_says_of_a_partial_answer_is_shown_and_the_part_is_taken() {
    let more = r#","warnings":["No StoreAPIs matched for this query: store-2 is down"],"infos":["a hint"]"#;
    let stand_in = StandIn { more, ..StandIn::default() };
    let server = stand_in.start().await;
    let prometheus = Prometheus::parse(&server.url("")).unwrap();
    let result = prometheus.fetch(&client()).await;
    assert!(result.outcome.is_ok(), "{:?}", result.outcome);
    let mut collector =
        Collector::new(Rules::default(), Duration::from_secs(1), clock::instant(), clock::now());
    collector.observe(clock::instant(), clock::now(), vec![result]);
    let shown = collector.signals().targets[0].error.clone().expect("a warning").to_string();
    assert_eq!(shown, "it answered only in part: No StoreAPIs matched for this query: store-2 is down");
    let asked = stand_in.asked.lock().unwrap();
    assert!(asked.iter().all(|asked| asked["dedup"] == "true" && asked["partial_response"] == "true"));
}

/// Lets through to `behind` whoever comes for `/tenants/prom` with a token and for a tenant.
async fn proxy(behind: String) -> Server {
    let pass = async move |headers: HeaderMap, RawQuery(query): RawQuery| {
        let said = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if said("authorization") != "Bearer t0p-s3cret" {
            return (StatusCode::UNAUTHORIZED, "who are you?".to_owned());
        }
        if said("x-scope-orgid") != "team-a" {
            let body = r#"{"status":"error","errorType":"bad_data","error":"no org id"}"#;
            return (StatusCode::UNAUTHORIZED, body.to_owned());
        }
        let url = format!("{behind}/api/v1/query?{}", query.unwrap_or_default());
        let answer = client().get(url).send().await.expect("the server behind answers");
        (answer.status(), answer.text().await.expect("a whole answer"))
    };
    Server::start(Router::new().route("/tenants/prom/api/v1/query", get(pass))).await
}

#[tokio::test]
async fn a_proxy_that_wants_a_token_and_a_tenant_under_a_path_is_satisfied_with_a_real_prometheus() {
    let routes = Router::new()
        .route("/metrics", get(async || "redrive_attempts_total{operation=\"a\",kind=\"first\"} 3\n"));
    let worker = Server::start(routes).await;
    let server = support::prometheus::Prometheus::start(&[&worker.address]).await;
    let proxy = proxy(server.url()).await;
    let asked = |access: Admission| {
        let prometheus = Prometheus::parse(&proxy.url("/tenants/prom")).unwrap().with(access);
        async move { prometheus.fetch(&client()).await.outcome }
    };
    let bearer = || Admission::default().with(Credentials::Bearer("t0p-s3cret".to_owned())).unwrap();
    let refused = asked(Admission::default()).await.unwrap_err().to_string();
    assert!(refused.starts_with("401: it wants credentials"), "{refused}");
    let refused = asked(bearer()).await.unwrap_err().to_string();
    assert_eq!(refused, "the server refused the query: no org id");
    support::wait::eventually("the worker is known through the proxy", Duration::from_secs(40), async || {
        let outcome = asked(bearer().tenant("team-a").unwrap()).await;
        let Ok(Scraped::Instances(found)) = outcome else { panic!("{outcome:?}") };
        found.all.iter().any(|one| one.instance == worker.address).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rates_of_two_workers_agree_with_a_real_prometheus_own_rate_within_5_percent() {
    let workers = [Arc::new(Metrics::new()), Arc::new(Metrics::new())];
    let mut servers = Vec::new();
    for metrics in &workers {
        let exported = metrics.clone();
        let routes = Router::new().route("/metrics", get(move || async move { exported.encode() }));
        servers.push(Server::start(routes).await);
    }
    let mut tasks = tokio::task::JoinSet::new();
    for (place, metrics) in workers.into_iter().enumerate() {
        tasks.spawn(async move {
            // Ticks that are missed on a busy machine are made up for.
            let mut ticks = tokio::time::interval(Duration::from_millis(40));
            loop {
                ticks.tick().await;
                let tried =
                    |kind, outcome| metrics.attempt_ended("github.tree", kind, outcome, Duration::ZERO);
                tried(AttemptKind::First, CallAttemptOutcome::Transient);
                for _ in 0..=place {
                    tried(AttemptKind::Retry, CallAttemptOutcome::Transient);
                }
            }
        });
    }
    let server = support::prometheus::Prometheus::start(&[&servers[0].address, &servers[1].address]).await;
    let prometheus = Prometheus::parse(&server.url()).unwrap();
    let mut collector =
        Collector::new(Rules::default(), Duration::from_secs(1), clock::instant(), clock::now());
    let client = client();
    let mut agreed = 0;
    support::wait::eventually("three answers in a row agree", Duration::from_secs(60), async || {
        collector.observe(clock::instant(), clock::now(), vec![prometheus.fetch(&client).await]);
        let long =
            server.query("min(count_over_time(redrive_attempts_total{kind=\"retry\"}[20s])) >= 15").await;
        if long.is_empty() {
            return None;
        }
        let rows = collector.signals().operations;
        assert_eq!(rows.len(), 2, "{rows:?}");
        let mut near = true;
        for row in &rows {
            let instance = row.caller.as_str().trim_start_matches("redrive/").to_owned();
            for (kind, ours) in [("first", row.first_rate), ("retry", row.retry_rate)] {
                let query = format!(
                    "sum(rate(redrive_attempts_total{{kind=\"{kind}\",instance=\"{instance}\"}}[20s]))"
                );
                let theirs: f64 = server.query(&query).await.first()?["value"][1].as_str()?.parse().ok()?;
                let ours = ours?;
                near &= theirs > 10.0 && (ours - theirs).abs() <= 0.05 * theirs;
                println!("{instance} {kind}: {ours:.2}/s here, {theirs:.2}/s there");
            }
        }
        agreed = if near { agreed + 1 } else { 0 };
        (agreed >= 3).then_some(())
    })
    .await;
}
