//! Keys that callers use by themselves: begin, then complete or free.

use std::time::Duration;

use redrive::{
    domain::key::KeyRun,
    engine::key::{Answer, Hold, KeyBegun, KeyEnd, KeyIntent},
};
use tokio::task::JoinSet;

use crate::support::stores::{LEASE, TestStore};

laws!(
    the_first_runs_and_the_second_is_told_to_wait,
    sixty_four_callers_run_once,
    a_stored_response_is_replayed_byte_for_byte,
    another_request_is_a_mismatch_and_counted,
    a_transient_failure_frees_the_key,
    a_lease_that_is_over_is_taken_over_and_its_holder_fenced,
    keys_of_others_are_respected,
    a_key_others_settle_meanwhile_is_theirs,
);

const RETENTION: Duration = Duration::from_secs(3_600);

fn key(name: &str) -> KeyIntent {
    KeyIntent::new("payments.charge", name, "ab".repeat(32)).expect("a key")
}

fn hold() -> Hold {
    Hold::new("caller", LEASE, RETENTION)
}

fn completed(code: u16, body: &[u8]) -> KeyEnd {
    KeyEnd::Completed(Answer::new(code, body))
}

async fn begin_as(store: &TestStore, key: &KeyIntent, hold: &Hold) -> KeyBegun {
    store.opened.store.begin(key, hold).await.expect("it answers")
}

async fn begin(store: &TestStore, key: &KeyIntent) -> KeyBegun {
    begin_as(store, key, &hold()).await
}

async fn end(store: &TestStore, key: &KeyIntent, hold: &Hold, end: &KeyEnd) -> bool {
    store.opened.store.end(&key.key, hold, end).await.expect("it answers")
}

async fn the_first_runs_and_the_second_is_told_to_wait(store: TestStore) {
    assert!(matches!(begin(&store, &key("k")).await, KeyBegun::Run(_)));
    store.time.advance(Duration::from_secs(10));
    let second = begin(&store, &key("k")).await;
    assert_eq!(second, KeyBegun::InFlight { retry_after: Some(LEASE - Duration::from_secs(10)) });
    assert!(matches!(begin(&store, &key("other")).await, KeyBegun::Run(_)));
}

async fn sixty_four_callers_run_once(store: TestStore) {
    let handles = [store.again().await, store.again().await];
    for round in 0..3 {
        let mut beginning = JoinSet::new();
        for n in 0..64 {
            let (handle, key) = (handles[n % 2].store.clone(), key(&format!("k{round}")));
            beginning.spawn(async move { handle.begin(&key, &hold()).await.expect("it answers") });
        }
        let fresh = beginning.join_all().await.into_iter().filter(|b| matches!(b, KeyBegun::Run(_))).count();
        assert_eq!(fresh, 1);
    }
}

async fn a_stored_response_is_replayed_byte_for_byte(store: TestStore) {
    let ours = hold();
    assert_eq!(begin_as(&store, &key("k"), &ours).await, KeyBegun::Run(KeyRun::New));
    let headers =
        vec![("location".to_owned(), "/charges/7".to_owned()), ("x-b".to_owned(), "é\t2".to_owned())];
    let answer = Answer { code: 201, headers, body: b"\xff\0 {\"id\": 7}\n".to_vec() };
    assert!(end(&store, &key("k"), &ours, &KeyEnd::Completed(answer.clone())).await);
    assert_eq!(begin(&store, &key("k")).await, KeyBegun::Replay(answer.clone()));
    assert!(!end(&store, &key("k"), &hold(), &completed(500, b"late")).await, "a stored answer is final");
    assert!(end(&store, &key("k"), &ours, &completed(500, b"late")).await, "its own end is recognised");
    assert_eq!(begin(&store, &key("k")).await, KeyBegun::Replay(answer));
}

async fn another_request_is_a_mismatch_and_counted(store: TestStore) {
    begin(&store, &key("k")).await;
    let other = KeyIntent { request_hash: "cd".repeat(32), ..key("k") };
    assert_eq!(begin(&store, &other).await, KeyBegun::Mismatch);
    assert_eq!(store.cell("SELECT conflicts FROM idempotency_keys").await, "1");
}

async fn a_transient_failure_frees_the_key(store: TestStore) {
    let ours = hold();
    begin_as(&store, &key("k"), &ours).await;
    assert!(end(&store, &key("k"), &ours, &KeyEnd::Freed).await);
    assert_eq!(begin(&store, &key("k")).await, KeyBegun::Run(KeyRun::Again));
    assert!(!end(&store, &key("k"), &ours, &KeyEnd::Freed).await, "the key is another's now");
    assert_eq!(store.cell("SELECT attempts FROM idempotency_keys").await, "2");
}

async fn a_lease_that_is_over_is_taken_over_and_its_holder_fenced(store: TestStore) {
    let (zombie, holder) = (hold(), hold());
    begin_as(&store, &key("k"), &zombie).await;
    store.time.advance(LEASE);
    assert_eq!(begin_as(&store, &key("k"), &holder).await, KeyBegun::Run(KeyRun::TakenOver));
    assert!(!end(&store, &key("k"), &zombie, &completed(200, b"late")).await);
    assert!(!end(&store, &key("k"), &zombie, &KeyEnd::Freed).await);
    assert!(!store.opened.store.keep(&key("k").key, &zombie).await.expect("it answers"));
    assert!(end(&store, &key("k"), &holder, &completed(200, b"done")).await);
}

async fn keys_of_others_are_respected(store: TestStore) {
    let hash = "ab".repeat(32);
    let insert = |name: &str, status: &str, rest: &str| {
        format!(
            "INSERT INTO idempotency_keys (key, request_path, request_hash, status, response_code, response_body, created_at, locked_at, locked_by) \
             VALUES ('payments.charge/{name}', '/pay', '{hash}', '{status}', {rest});"
        )
    };
    let at = "'2026-03-01 12:00:00+00:00'";
    store.sql(&insert("locked", "STARTED", &format!("NULL, NULL, {at}, {at}, 'python-1'"))).await;
    store.sql(&insert("unlocked", "STARTED", &format!("NULL, NULL, {at}, NULL, NULL"))).await;
    store.sql(&insert("done", "COMPLETED", &format!("201, '{{\"id\":1}}', {at}, NULL, NULL"))).await;
    store.sql(&insert("error", "FAILED", &format!("422, 'no', {at}, NULL, NULL"))).await;
    store.sql(&insert("free", "FAILED", &format!("NULL, NULL, {at}, NULL, NULL"))).await;
    store.sql(&insert("word", "ARCHIVED", &format!("NULL, NULL, {at}, NULL, NULL"))).await;
    store.time.advance(RETENTION - Duration::from_secs(1));
    for (name, expected) in [
        ("locked", KeyBegun::InFlight { retry_after: None }),
        ("unlocked", KeyBegun::InFlight { retry_after: None }),
        ("done", KeyBegun::Replay(Answer::new(201, *b"{\"id\":1}"))),
        ("error", KeyBegun::Replay(Answer::new(422, *b"no"))),
        ("word", KeyBegun::InFlight { retry_after: None }),
    ] {
        assert_eq!(begin(&store, &key(name)).await, expected, "{name}");
    }
    assert!(matches!(begin(&store, &key("free")).await, KeyBegun::Run(_)));
    let mismatch = KeyIntent { request_hash: "cd".repeat(32), ..key("done") };
    assert_eq!(begin(&store, &mismatch).await, KeyBegun::Mismatch);
}

async fn a_key_others_settle_meanwhile_is_theirs(store: TestStore) {
    let ours = hold();
    begin_as(&store, &key("k"), &ours).await;
    store
        .sql(
            "UPDATE idempotency_keys SET status = 'COMPLETED', response_code = 200, response_body = 'theirs'",
        )
        .await;
    assert!(!end(&store, &key("k"), &ours, &completed(201, b"ours")).await);
    assert_eq!(begin(&store, &key("k")).await, KeyBegun::Replay(Answer::new(200, *b"theirs")));
}
