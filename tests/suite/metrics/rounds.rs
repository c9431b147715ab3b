//! Rounds: a slow target holds up nobody, what it says joins a later round, and targets come and go.

use std::{
    collections::BTreeSet,
    fs,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, routing::get};
use redrive::{
    clock,
    metrics::{
        admission::Admission,
        collector::Collector,
        discovery::{Origin, Resolver},
        rounds::{Round, Rounds},
        verdict::Rules,
    },
};
use tokio::sync::Semaphore;

use super::serve::{Server, client};

const METRICS: &str = "up 1\n";
const INTERVAL: Duration = Duration::from_millis(200);

fn origin(text: &str) -> Origin {
    Origin::parse(text).unwrap()
}

fn spoke(round: &Round) -> BTreeSet<&str> {
    round.said.iter().filter(|said| said.outcome.is_ok()).map(|said| said.name.as_str()).collect()
}

fn named(round: &Round) -> BTreeSet<&str> {
    round.targets.iter().map(|target| target.name()).collect()
}

/// Rounds until one is as wanted; panics after 10 s.
async fn until(rounds: &mut Rounds, what: &str, mut wanted: impl FnMut(&Round) -> bool) -> Round {
    let began = clock::instant();
    loop {
        let round = rounds.next().await;
        if wanted(&round) {
            return round;
        }
        assert!(clock::instant() - began < Duration::from_secs(10), "{what}: not so in {round:?}");
    }
}

/// A server whose `/slow` answers when it is let to.
async fn slow() -> (Server, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(0));
    let waits = Arc::clone(&gate);
    let slow = get(async move || {
        waits.acquire().await.unwrap().forget();
        METRICS
    });
    (Server::start(Router::new().route("/slow", slow).route("/metrics", get(async || METRICS))).await, gate)
}

#[tokio::test]
async fn a_slow_target_holds_up_nobody_and_joins_a_later_round() {
    let (server, gate) = slow().await;
    let origins = vec![
        origin(&format!("quick={}", server.url("/metrics"))),
        origin(&format!("slow={}", server.url("/slow"))),
    ];
    let mut rounds = Rounds::new(client(), origins, None, INTERVAL);
    let began = clock::instant();
    let quick = until(&mut rounds, "the quick one speaks", |round| spoke(round).contains("quick")).await;
    assert!(!spoke(&quick).contains("slow"));
    let mut counted = 1;
    until(&mut rounds, "the quick one speaks again and again", |round| {
        assert!(!spoke(round).contains("slow"), "it was not let to");
        counted += spoke(round).len();
        counted >= 4
    })
    .await;
    assert!(clock::instant() - began < Duration::from_secs(4), "nobody waited for the slow one's 5 s");
    gate.add_permits(1);
    until(&mut rounds, "the slow one speaks", |round| spoke(round).contains("slow")).await;
}

#[tokio::test]
async fn whoever_is_under_way_at_the_end_can_be_waited_for() {
    let (server, gate) = slow().await;
    let mut rounds = Rounds::new(client(), vec![origin(&server.url("/slow"))], None, INTERVAL);
    assert_eq!(spoke(&rounds.next().await).len(), 0);
    gate.add_permits(1);
    assert_eq!(spoke(&rounds.rest().await).len(), 1);
}

#[tokio::test]
async fn a_list_is_read_again_and_a_broken_one_keeps_its_targets() {
    let server = Server::start(Router::new().route("/metrics", get(async || METRICS))).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("targets.json");
    let list = |jobs: &[&str]| {
        let groups: Vec<_> = jobs
            .iter()
            .map(|job| serde_json::json!({"targets": [server.address], "labels": {"job": job}}))
            .collect();
        fs::write(&path, serde_json::to_string(&groups).unwrap()).unwrap();
    };
    list(&["a", "b"]);
    let origins = vec![Origin::File(path.clone(), Admission::default())];
    let mut rounds = Rounds::new(client(), origins, None, INTERVAL);
    let mut collector = Collector::new(Rules::default(), INTERVAL, clock::instant(), clock::now());
    let both = BTreeSet::from(["a", "b"]);
    until(&mut rounds, "both speak", |round| spoke(round) == both).await.tell(&mut collector);

    fs::write(&path, "[{").unwrap();
    let broken = until(&mut rounds, "the list is broken", |round| !round.others.is_empty()).await;
    assert_eq!(named(&broken), both);
    let fault =
        broken.said.iter().find(|said| said.name == "targets.json").unwrap().outcome.as_ref().unwrap_err();
    assert!(fault.to_string().ends_with("those it named before are scraped still"), "{fault}");
    broken.tell(&mut collector);
    let listed = |collector: &Collector| -> Vec<String> {
        collector.signals().targets.iter().map(|target| target.name.to_string()).collect()
    };
    assert_eq!(listed(&collector), ["a", "b", "targets.json"]);

    list(&["b", "c"]);
    let wanted = BTreeSet::from(["b", "c"]);
    let mended = until(&mut rounds, "the list is another", |round| spoke(round) == wanted).await;
    mended.tell(&mut collector);
    assert_eq!(listed(&collector), ["b", "c"], "what is no more is no longer listed");
}

#[tokio::test]
async fn a_name_is_looked_up_again_and_a_failure_keeps_its_addresses() {
    let everywhere = tokio::net::TcpListener::bind("0.0.0.0:0").await.unwrap();
    let port = everywhere.local_addr().unwrap().port();
    let mut tasks = tokio::task::JoinSet::new();
    let routes = Router::new().route("/metrics", get(async || METRICS));
    tasks.spawn(async move { axum::serve(everywhere, routes).await.unwrap() });

    let known = Arc::new(Mutex::new(Some(vec![[127, 0, 0, 1]])));
    let answers = Arc::clone(&known);
    let resolver = Resolver::new(move |_, port| {
        let answer = answers.lock().unwrap().clone();
        Box::pin(async move {
            let all = answer.ok_or_else(|| std::io::Error::other("no such name"))?;
            Ok(all.into_iter().map(|ip| (ip, port).into()).collect())
        })
    });
    let origins = vec![origin(&format!("w=dns+http://workers.test:{port}"))];
    let mut rounds = Rounds::new(client(), origins, None, INTERVAL).resolving(resolver, INTERVAL);
    let (one, two) = (format!("w/127.0.0.1:{port}"), format!("w/127.0.0.2:{port}"));
    until(&mut rounds, "one speaks", |round| spoke(round) == BTreeSet::from([one.as_str()])).await;
    *known.lock().unwrap() = None;
    let lost = until(&mut rounds, "the name is lost", |round| !round.others.is_empty()).await;
    assert_eq!(named(&lost), BTreeSet::from([one.as_str()]));
    *known.lock().unwrap() = Some(vec![[127, 0, 0, 1], [127, 0, 0, 2]]);
    let both = BTreeSet::from([one.as_str(), two.as_str()]);
    until(&mut rounds, "two speak", |round| spoke(round) == both && round.others.is_empty()).await;
}
