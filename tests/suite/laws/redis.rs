//! What Redis promises besides the laws of keys and locks: its script is the table, it forgets by itself, a lost
//! connection is told apart from a lost answer, and a cluster serves as well.

use std::{io::Write, net::TcpListener, sync::Arc, time::Duration};

use redrive::{
    domain::key::{KeyAsked, KeyLease, KeyLife, KeyPhase, KeyRun, KeyStatus},
    engine::{
        key::{Answer, Hold, KeyBegun, KeyEnd, KeyIntent, KeyStore},
        lock::{LockStore, Locked},
        store::StoreError,
    },
    store::{
        BoundTime,
        redis::{Redis, RedisOptions, open},
    },
};

use crate::support::{
    proxy::{Lost, Proxy},
    redis::{RedisServer, ask, shared},
    stores::{LEASE, noon},
    wait::eventually,
};

const PATIENCE: Duration = Duration::from_secs(20);
const DAY: Duration = Duration::from_secs(86_400);

fn key(name: &str) -> KeyIntent {
    KeyIntent::new("payments.charge", name, "ab".repeat(32)).expect("a key")
}

fn hold() -> Hold {
    Hold::new("caller", LEASE, DAY)
}

/// A prefix of its own on the shared server, by the server's own clock.
async fn alone() -> (Arc<Redis>, String) {
    let prefix = format!("{}:", redrive::clock::new_id());
    let options =
        RedisOptions { prefix: prefix.clone(), answer_timeout: PATIENCE, ..RedisOptions::default() };
    (open(shared().await, options).await.expect("it opens"), prefix)
}

async fn pttl(name: &str) -> i64 {
    ask(shared().await, &["PTTL", name]).await
}

/// Every hash that can be read, as `domain::key` has every row.
#[tokio::test]
async fn the_script_answers_as_the_table_cell_by_cell() {
    let (time, prefix) = (BoundTime::default(), format!("{}:", redrive::clock::new_id()));
    time.set(noon());
    let options = RedisOptions { prefix: prefix.clone(), time, ..RedisOptions::default() };
    let store = open(shared().await, options).await.unwrap();
    let phases = KeyPhase::ALL.iter().map(|phase| (Some(*phase), phase.as_str()));
    let phases: Vec<_> = phases.chain([(None, ""), (None, "archived")]).collect();
    let statuses = KeyStatus::ALL.iter().map(|status| (Some(*status), status.as_str()));
    let at = |seconds: i64| ((noon().timestamp() + seconds) * 1_000_000).to_string();
    for (status, status_word) in statuses.chain([(None, "ARCHIVED")]) {
        for (phase, phase_word) in &phases {
            for (lease, lease_until) in
                [(KeyLease::Absent, None), (KeyLease::Live, Some(at(30))), (KeyLease::Over, Some(at(0)))]
            {
                for (answered, expired) in [(false, false), (false, true), (true, false), (true, true)] {
                    let life = KeyLife::of(status, *phase, lease, answered, expired);
                    let case = format!("{status_word} {phase_word} {lease:?} {answered} {expired}: {life:?}");
                    let (hash, expires_at) = ("ab".repeat(32), at(if expired { 0 } else { 60 }));
                    let name = format!("{prefix}key:payments.charge/k");
                    let mut row = vec!["HSET", &name, "request_hash", &hash, "status", status_word];
                    row.extend(["expires_at", &expires_at, "lease_id", "somebody's"]);
                    if !phase_word.is_empty() {
                        row.extend(["phase", phase_word]);
                    }
                    if let Some(lease_until) = &lease_until {
                        row.extend(["lease_until", lease_until]);
                    }
                    if answered {
                        row.extend(["response_code", "201", "response_headers", "[]", "response_body", "b"]);
                    }
                    for other in [true, false] {
                        let _: i64 = ask(shared().await, &["DEL", &name]).await;
                        let _: i64 = ask(shared().await, &row).await;
                        let hash = if other { "cd" } else { "ab" }.repeat(32);
                        let asked = KeyIntent { request_hash: hash, ..key("k") };
                        let begun = store.begin(&asked, &hold()).await.unwrap();
                        let expected = match life.asked() {
                            _ if other && life != KeyLife::Fresh => KeyBegun::Mismatch,
                            KeyAsked::Run(run) => KeyBegun::Run(run),
                            KeyAsked::Wait => {
                                KeyBegun::InFlight { retry_after: (lease == KeyLease::Live).then_some(LEASE) }
                            }
                            KeyAsked::Replay if answered => KeyBegun::Replay(Answer::new(201, *b"b")),
                            KeyAsked::Replay => KeyBegun::Replay(Answer::new(200, [])),
                        };
                        assert_eq!(begun, expected, "{case}");
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn redis_itself_forgets_a_key_whose_time_is_over() {
    let (store, prefix) = alone().await;
    let brief = Hold::new("caller", Duration::from_millis(20), Duration::from_millis(40));
    assert_eq!(store.begin(&key("k"), &brief).await, Ok(KeyBegun::Run(KeyRun::New)));
    let name = format!("{prefix}key:payments.charge/k");
    eventually("the key is forgotten", PATIENCE, async || (pttl(&name).await == -2).then_some(())).await;
    assert_eq!(store.begin(&key("k"), &hold()).await, Ok(KeyBegun::Run(KeyRun::New)));
    assert_eq!(
        store.end(&key("k").key, &brief, &KeyEnd::Freed).await,
        Ok(false),
        "whose it was is forgotten too"
    );
    assert_eq!(store.sweep(100).await, Ok(0));
}

#[tokio::test]
async fn redis_keeps_a_live_lease_beyond_the_retention_and_nothing_for_ever() {
    let (store, prefix) = alone().await;
    let name = format!("{prefix}key:payments.charge/k");
    let ours = Hold { retention: Duration::from_millis(1), ..hold() };
    store.begin(&key("k"), &ours).await.unwrap();
    let long = |left: i64| left > 1_000 && left <= 30_000;
    assert!(long(pttl(&name).await));
    assert_eq!(store.keep(&key("k").key, &ours).await, Ok(true));
    assert!(long(pttl(&name).await));
    let end = KeyEnd::Completed(Answer::new(200, *b"done"));
    assert_eq!(store.end(&key("k").key, &Hold { retention: DAY, ..ours }, &end).await, Ok(true));
    assert!(pttl(&name).await > 30_000);
    store.lock("ledger", "ana", Duration::from_millis(1)).await.unwrap();
    assert!(pttl(&format!("{prefix}lock:ledger")).await > 30_000, "a token outlasts its lock");
}

#[tokio::test]
async fn redis_remembers_in_words_that_a_person_can_read() {
    let (store, prefix) = alone().await;
    store.begin(&key("k"), &hold()).await.unwrap();
    let name = format!("{prefix}key:payments.charge/k");
    for (field, expected) in [
        ("status", "STARTED"),
        ("phase", "started"),
        ("locked_by", "caller"),
        ("operation", "payments.charge"),
    ] {
        assert_eq!(ask::<String>(shared().await, &["HGET", &name, field]).await, expected);
    }
    let (other, _) = alone().await;
    assert_eq!(
        other.begin(&key("k"), &hold()).await,
        Ok(KeyBegun::Run(KeyRun::New)),
        "a prefix is a world of its own"
    );
}

#[tokio::test]
async fn redis_that_forgot_the_scripts_is_told_them_again() {
    let server = RedisServer::start(&[]).await;
    let store = open(&server.url(), RedisOptions::default()).await.unwrap();
    let ours = hold();
    store.begin(&key("k"), &ours).await.unwrap();
    let _: String = server.ask(&["SCRIPT", "FLUSH"]).await;
    assert_eq!(store.keep(&key("k").key, &ours).await, Ok(true));
    assert!(matches!(store.begin(&key("k"), &hold()).await, Ok(KeyBegun::InFlight { .. })));
}

#[tokio::test]
async fn redis_that_is_down_is_unreachable_and_found_again_by_itself() {
    let mut server = RedisServer::start(&[]).await;
    let store = open(&server.url(), RedisOptions::default()).await.unwrap();
    store.begin(&key("k"), &hold()).await.unwrap();
    server.stop();
    let down = eventually("the end of the connection is noticed", PATIENCE, async || {
        match store.begin(&key("k"), &hold()).await {
            Err(error @ StoreError::Unreachable { .. }) => Some(error.to_string()),
            Err(StoreError::UnknownOutcome { .. }) => None,
            other => panic!("nobody answers: {other:?}"),
        }
    })
    .await;
    assert!(down.contains(&format!("redis://:***@127.0.0.1:{}", server.port)), "{down}");
    server.start_again().await;
    assert_eq!(store.begin(&key("k"), &hold()).await, Ok(KeyBegun::Run(KeyRun::New)));
}

/// Each verb's command is lost once before Redis sees it and once after Redis did it, its connection with it.
#[tokio::test]
async fn what_redis_did_not_answer_is_an_unknown_outcome_and_said_again_it_is_recognised() {
    let server = RedisServer::start(&[]).await;
    let wire = Proxy::to(&format!("127.0.0.1:{}", server.port));
    let url = server.url().replace(&server.port.to_string(), &wire.address.port().to_string());
    let options = RedisOptions { answer_timeout: PATIENCE, ..RedisOptions::default() };
    let store = open(&url, options).await.unwrap();
    let warm = hold(); // so that the server knows the scripts
    store.begin(&key("warm"), &warm).await.unwrap();
    store.keep(&key("warm").key, &warm).await.unwrap();
    store.end(&key("warm").key, &warm, &KeyEnd::Freed).await.unwrap();

    let unknown = |doing| StoreError::UnknownOutcome { doing };
    for (name, lost) in [("before", Lost::Before), ("after", Lost::After)] {
        let (key, ours, end) = (key(name), hold(), KeyEnd::Completed(Answer::new(200, name)));
        wire.cut(1, lost);
        assert_eq!(store.begin(&key, &ours).await, Err(unknown("beginning under a key")), "{name}");
        assert_eq!(store.begin(&key, &ours).await, Ok(KeyBegun::Run(KeyRun::New)), "{name}");
        wire.cut(1, lost);
        assert_eq!(store.keep(&key.key, &ours).await, Err(unknown("keeping a key's lease")), "{name}");
        assert_eq!(store.keep(&key.key, &ours).await, Ok(true), "{name}");
        wire.cut(1, lost);
        assert_eq!(
            store.end(&key.key, &ours, &end).await,
            Err(unknown("ending the work under a key")),
            "{name}"
        );
        assert_eq!(store.end(&key.key, &ours, &end).await, Ok(true), "{name}");
        assert_eq!(store.begin(&key, &hold()).await, Ok(KeyBegun::Replay(Answer::new(200, name))));
    }
}

#[tokio::test]
async fn redis_that_takes_too_long_leaves_the_outcome_unknown_and_is_asked_on_a_fresh_connection() {
    let server = RedisServer::start(&[]).await;
    let options = RedisOptions { answer_timeout: Duration::from_millis(200), ..RedisOptions::default() };
    let store = open(&server.url(), options).await.unwrap();
    let _: String = server.ask(&["CLIENT", "PAUSE", "3600000", "WRITE"]).await;
    let late = store.begin(&key("k"), &hold()).await;
    assert_eq!(late, Err(StoreError::UnknownOutcome { doing: "beginning under a key" }));
    let _: String = server.ask(&["CLIENT", "UNPAUSE"]).await;
    eventually("it answers again", PATIENCE, async || store.begin(&key("k"), &hold()).await.ok()).await;
}

#[tokio::test]
async fn redis_that_dies_before_it_answers_leaves_the_outcome_unknown() {
    let mut server = RedisServer::start(&[]).await;
    let options = RedisOptions { answer_timeout: PATIENCE, ..RedisOptions::default() };
    let store = open(&server.url(), options).await.unwrap();
    let _: String = server.ask(&["CLIENT", "PAUSE", "3600000", "WRITE"]).await;
    let begin = tokio::task::JoinSet::from_iter([{
        let store = store.clone();
        async move { store.begin(&key("k"), &hold()).await }
    }]);
    eventually("the command is with the server", PATIENCE, async || {
        let clients: String = server.ask(&["CLIENT", "LIST"]).await;
        clients.contains("cmd=evalsha").then_some(())
    })
    .await;
    server.stop();
    let answers = begin.join_all().await;
    assert_eq!(answers, [Err(StoreError::UnknownOutcome { doing: "beginning under a key" })]);
}

#[tokio::test]
async fn what_redis_refuses_is_said_in_words() {
    let server = RedisServer::start(&["--maxmemory-policy", "allkeys-lru"]).await;
    let store = open(&server.url(), RedisOptions::default()).await.unwrap();
    assert_eq!(store.evicts(), Some("allkeys-lru"));
    assert_eq!(alone().await.0.evicts(), None);

    let _: String =
        server.ask(&["ACL", "SETUSER", "viewer", "on", ">hunter2", "~*", "+@read", "+@connection"]).await;
    let viewer = format!("redis://viewer:hunter2@127.0.0.1:{}", server.port);
    let viewing = open(&viewer, RedisOptions::default()).await.unwrap();
    let denied = viewing.begin(&key("k"), &hold()).await.unwrap_err();
    assert!(matches!(denied, StoreError::Denied { .. }), "{denied}");

    let error =
        open(&viewer.replace("hunter2", "hunter3"), RedisOptions::default()).await.unwrap_err().to_string();
    assert!(
        error.contains("WRONGPASS") && error.contains("viewer:***@") && !error.contains("hunter3"),
        "{error}"
    );

    let _: String = server.ask(&["REPLICAOF", "127.0.0.1", "1"]).await;
    assert_eq!(store.begin(&key("k"), &hold()).await, Err(StoreError::ReadOnly));
    let _: String = server.ask(&["REPLICAOF", "NO", "ONE"]).await;
    assert_eq!(store.begin(&key("k"), &hold()).await, Ok(KeyBegun::Run(KeyRun::New)));

    let _: String = server.ask(&["SET", "redrive:key:payments.charge/other", "x"]).await;
    let strange = store.begin(&key("other"), &hold()).await.unwrap_err();
    assert!(matches!(&strange, StoreError::Failed { why, .. } if why.contains("WRONGTYPE")), "{strange}");
}

#[tokio::test]
async fn redis_emptied_meanwhile_is_a_lost_lease_and_never_a_stored_answer_of_two() {
    let server = RedisServer::start(&[]).await;
    let store = open(&server.url(), RedisOptions::default()).await.unwrap();
    let (first, second) = (hold(), hold());
    assert_eq!(store.begin(&key("k"), &first).await, Ok(KeyBegun::Run(KeyRun::New)));
    let Ok(Locked::Taken { token, .. }) = store.lock("ledger", "ana", DAY).await else {
        panic!("nobody has it")
    };
    let _: String = server.ask(&["FLUSHALL"]).await;
    let _: String = server.ask(&["SCRIPT", "FLUSH"]).await;
    let done = KeyEnd::Completed(Answer::new(200, "first"));
    assert_eq!(store.keep(&key("k").key, &first).await, Ok(false));
    assert_eq!(store.end(&key("k").key, &first, &done).await, Ok(false));
    assert_eq!(store.unlock("ledger", "ana").await, Ok(false));
    assert_eq!(store.begin(&key("k"), &second).await, Ok(KeyBegun::Run(KeyRun::New)));
    assert_eq!(store.end(&key("k").key, &first, &done).await, Ok(false), "the second's by now");
    assert_eq!(
        store.end(&key("k").key, &second, &KeyEnd::Completed(Answer::new(200, "second"))).await,
        Ok(true)
    );
    let Ok(Locked::Taken { token: larger, .. }) = store.lock("ledger", "ben", DAY).await else {
        panic!("it is gone")
    };
    assert!(larger > token, "{larger} > {token}");
}

#[tokio::test]
async fn what_others_put_where_redis_has_a_lock_is_said_in_words() {
    let (store, prefix) = alone().await;
    for (name, command) in [
        ("list", &["LPUSH", "x"][..]),
        ("noowner", &["HSET", "token", "7"]),
        ("noend", &["HSET", "owner", "ana"]),
        ("noise", &["HSET", "expires_at", "soon", "owner", "ana", "token", "many"]),
    ] {
        let at = format!("{prefix}lock:{name}");
        let _: i64 = ask(shared().await, &[&command[..1], &[&at], &command[1..]].concat()).await;
        for _ in 0..2 {
            let locked = store.lock(name, "ben", LEASE).await;
            let freed = store.unlock(name, "ana").await;
            assert!(!matches!(locked, Ok(Locked::Held { .. })), "{name}: {locked:?}");
            assert_ne!(freed, Ok(true), "{name}");
        }
    }
}

#[tokio::test]
async fn what_is_no_redis_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    let options = RedisOptions { connect_timeout: Duration::from_millis(300), ..RedisOptions::default() };
    let silent = open(&url, options.clone()).await.unwrap_err().to_string();
    assert!(silent.contains("timed out") || silent.contains("no answer within 300ms"), "{silent}");
    let answering = std::thread::spawn(move || {
        let mut accepted = Vec::new(); // the silent one's connection comes first
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
            accepted.push(stream);
        }
    });
    let options = RedisOptions { connect_timeout: PATIENCE, ..RedisOptions::default() };
    let error = open(&url, options).await.unwrap_err();
    assert!(matches!(error, StoreError::Unreachable { .. }), "{error}");
    answering.join().unwrap();
}

#[tokio::test]
async fn a_redis_cluster_serves_as_well_as_a_server() {
    let bus = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let buses = [bus(), bus()];
    let [bus_a, bus_b] = buses.each_ref().map(|bus| ["--cluster-enabled", "yes", "--cluster-port", bus]);
    let (a, b) = (RedisServer::start(&bus_a).await, RedisServer::start(&bus_b).await);
    let _: String = a.ask(&["CLUSTER", "ADDSLOTSRANGE", "0", "8191"]).await;
    let _: String = b.ask(&["CLUSTER", "ADDSLOTSRANGE", "8192", "16383"]).await;
    let _: String = a.ask(&["CLUSTER", "MEET", "127.0.0.1", &b.port.to_string(), &buses[1]]).await;
    for server in [&a, &b] {
        eventually("the cluster is whole", PATIENCE, async || {
            let info: String = server.ask(&["CLUSTER", "INFO"]).await;
            (info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:2")).then_some(())
        })
        .await;
    }
    let options = RedisOptions { answer_timeout: PATIENCE, ..RedisOptions::default() };
    let store = open(&a.url(), options).await.unwrap();
    for n in 0..20 {
        let (key, ours) = (key(&format!("k{n}")), hold());
        assert_eq!(store.begin(&key, &ours).await, Ok(KeyBegun::Run(KeyRun::New)));
        assert_eq!(store.end(&key.key, &ours, &KeyEnd::Freed).await, Ok(true));
        let resource = format!("resource {n}");
        assert!(matches!(store.lock(&resource, "ana", LEASE).await, Ok(Locked::Taken { .. })));
    }
    let held: [i64; 2] = [a.ask(&["DBSIZE"]).await, b.ask(&["DBSIZE"]).await];
    assert!(held[0] > 0 && held[1] > 0 && held[0] + held[1] == 40, "{held:?}");
}
