//! Keys that callers use by themselves: begin, then complete or free.

use std::time::Duration;

use redrive::engine::store::{KeyBegun, KeyIntent};
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

fn key(name: &str) -> KeyIntent {
    KeyIntent {
        key: format!("payments.charge/{name}").into(),
        operation: "payments.charge".into(),
        client_key: name.into(),
        request_hash: "ab".repeat(32),
    }
}

async fn begin(store: &TestStore, key: &KeyIntent) -> KeyBegun {
    store.opened.store.begin(key, "caller", LEASE).await.expect("it answers")
}

async fn the_first_runs_and_the_second_is_told_to_wait(store: TestStore) {
    assert!(matches!(begin(&store, &key("k")).await, KeyBegun::Fresh(_)));
    store.time.advance(Duration::from_secs(10));
    let second = begin(&store, &key("k")).await;
    assert_eq!(second, KeyBegun::InFlight { retry_after: Some(LEASE - Duration::from_secs(10)) });
    assert!(matches!(begin(&store, &key("other")).await, KeyBegun::Fresh(_)));
}

async fn sixty_four_callers_run_once(store: TestStore) {
    let handles = [store.again().await, store.again().await];
    for round in 0..3 {
        let mut beginning = JoinSet::new();
        for n in 0..64 {
            let (handle, key) = (handles[n % 2].store.clone(), key(&format!("k{round}")));
            beginning.spawn(async move { handle.begin(&key, "caller", LEASE).await.expect("it answers") });
        }
        let fresh =
            beginning.join_all().await.into_iter().filter(|b| matches!(b, KeyBegun::Fresh(_))).count();
        assert_eq!(fresh, 1);
    }
}

async fn a_stored_response_is_replayed_byte_for_byte(store: TestStore) {
    let KeyBegun::Fresh(lease) = begin(&store, &key("k")).await else { panic!("the first runs") };
    let body = b"\xff\0 {\"id\": 7}\n";
    let stored = store.opened.store.complete(&key("k").key, &lease, 201, body).await;
    assert!(stored.expect("it stores"));
    assert_eq!(begin(&store, &key("k")).await, KeyBegun::Replay { code: 201, body: body.to_vec() });
    let again = store.opened.store.complete(&key("k").key, &lease, 500, b"late").await;
    assert!(!again.expect("it answers"), "a stored response is final");
}

async fn another_request_is_a_mismatch_and_counted(store: TestStore) {
    begin(&store, &key("k")).await;
    let other = KeyIntent { request_hash: "cd".repeat(32), ..key("k") };
    assert_eq!(begin(&store, &other).await, KeyBegun::Mismatch);
    assert_eq!(store.cell("SELECT conflicts FROM idempotency_keys").await, "1");
}

async fn a_transient_failure_frees_the_key(store: TestStore) {
    let KeyBegun::Fresh(lease) = begin(&store, &key("k")).await else { panic!("the first runs") };
    assert!(store.opened.store.free(&key("k").key, &lease).await.expect("it frees"));
    assert!(!store.opened.store.free(&key("k").key, &lease).await.expect("it answers"));
    assert!(matches!(begin(&store, &key("k")).await, KeyBegun::Fresh(_)));
    assert_eq!(store.cell("SELECT attempts FROM idempotency_keys").await, "2");
}

async fn a_lease_that_is_over_is_taken_over_and_its_holder_fenced(store: TestStore) {
    let KeyBegun::Fresh(zombie) = begin(&store, &key("k")).await else { panic!("the first runs") };
    store.time.advance(LEASE);
    let KeyBegun::TakenOver(holder) = begin(&store, &key("k")).await else { panic!("it is taken over") };
    assert!(!store.opened.store.complete(&key("k").key, &zombie, 200, b"late").await.expect("it answers"));
    assert!(!store.opened.store.free(&key("k").key, &zombie).await.expect("it answers"));
    assert!(store.opened.store.complete(&key("k").key, &holder, 200, b"done").await.expect("it stores"));
}

async fn keys_of_others_are_respected(store: TestStore) {
    let hash = "ab".repeat(32);
    let insert = |name: &str, status: &str, rest: &str| {
        format!(
            "INSERT INTO idempotency_keys (key, request_path, request_hash, status, response_code, response_body, created_at, locked_at, locked_by) \
             VALUES ('payments.charge/{name}', '/pay', '{hash}', '{status}', {rest});"
        )
    };
    let at = "'2026-03-01 01:00:00+00:00'";
    store.sql(&insert("locked", "STARTED", &format!("NULL, NULL, {at}, {at}, 'python-1'"))).await;
    store.sql(&insert("unlocked", "STARTED", &format!("NULL, NULL, {at}, NULL, NULL"))).await;
    store.sql(&insert("done", "COMPLETED", &format!("201, '{{\"id\":1}}', {at}, NULL, NULL"))).await;
    store.sql(&insert("error", "FAILED", &format!("422, 'no', {at}, NULL, NULL"))).await;
    store.sql(&insert("free", "FAILED", &format!("NULL, NULL, {at}, NULL, NULL"))).await;
    store.sql(&insert("word", "ARCHIVED", &format!("NULL, NULL, {at}, NULL, NULL"))).await;
    store.time.advance(Duration::from_secs(400 * 24 * 3_600));
    for (name, expected) in [
        ("locked", KeyBegun::InFlight { retry_after: None }),
        ("unlocked", KeyBegun::InFlight { retry_after: None }),
        ("done", KeyBegun::Replay { code: 201, body: b"{\"id\":1}".to_vec() }),
        ("error", KeyBegun::Replay { code: 422, body: b"no".to_vec() }),
        ("word", KeyBegun::InFlight { retry_after: None }),
    ] {
        assert_eq!(begin(&store, &key(name)).await, expected, "{name}");
    }
    assert!(matches!(begin(&store, &key("free")).await, KeyBegun::Fresh(_)));
    let mismatch = KeyIntent { request_hash: "cd".repeat(32), ..key("done") };
    assert_eq!(begin(&store, &mismatch).await, KeyBegun::Mismatch);
}

async fn a_key_others_settle_meanwhile_is_theirs(store: TestStore) {
    let KeyBegun::Fresh(lease) = begin(&store, &key("k")).await else { panic!("the first runs") };
    store
        .sql(
            "UPDATE idempotency_keys SET status = 'COMPLETED', response_code = 200, response_body = 'theirs'",
        )
        .await;
    assert!(!store.opened.store.complete(&key("k").key, &lease, 201, b"ours").await.expect("it answers"));
    assert_eq!(begin(&store, &key("k")).await, KeyBegun::Replay { code: 200, body: b"theirs".to_vec() });
}
