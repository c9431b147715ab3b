//! Keys that callers use by themselves: begin, keep, end; and what becomes of them afterwards.
//!
//! What each of these says for one case, `key_life` says for any sequence.

use std::time::Duration;

use redrive::{
    domain::key::KeyRun,
    engine::key::{Answer, Hold, KeyBegun, KeyEnd, KeyIntent},
};
use sqlx::{Connection, PgConnection};
use tokio::task::JoinSet;

use crate::support::{keys::TestKeys, stores::LEASE};

memory_laws!(
    the_first_runs_and_the_second_is_told_to_wait,
    sixty_four_callers_run_once,
    a_stored_response_is_replayed_byte_for_byte,
    a_stored_error_is_replayed,
    another_request_is_a_mismatch_and_counted,
    a_transient_failure_frees_the_key,
    work_whose_answer_could_not_be_stored_runs_again,
    a_lease_that_is_over_is_taken_over_and_its_holder_fenced,
    a_lease_that_is_kept_lasts_anew,
    begun_again_under_the_same_lease_it_runs_for_the_same_reason,
    a_live_lease_outlasts_the_retention,
    an_answer_is_kept_for_its_whole_retention_and_then_the_key_is_fresh,
    no_two_operations_share_a_key,
    the_longest_times_are_long;
    databases:
    keys_of_others_are_respected,
    keys_of_others_are_refused_until_the_askers_retention,
    a_key_others_settle_meanwhile_is_theirs,
    what_others_store_over_an_answer_of_ours_is_replayed_as_theirs,
    an_error_of_others_with_a_strange_code_is_replayed_not_run_again,
    a_sweep_takes_a_small_batch_of_what_is_over,
    a_sweep_leaves_live_leases_and_the_rows_of_others,
);

const RETENTION: Duration = Duration::from_secs(3_600);
const SECOND: Duration = Duration::from_secs(1);

fn key(name: &str) -> KeyIntent {
    KeyIntent::new("payments.charge", name, "ab".repeat(32)).expect("a key")
}

fn other_request(name: &str) -> KeyIntent {
    KeyIntent { request_hash: "cd".repeat(32), ..key(name) }
}

fn hold() -> Hold {
    Hold::new("caller", LEASE, RETENTION)
}

fn completed(code: u16, body: &[u8]) -> KeyEnd {
    KeyEnd::Completed(Answer::new(code, body))
}

async fn begin_as(store: &TestKeys, key: &KeyIntent, hold: &Hold) -> KeyBegun {
    store.keys.begin(key, hold).await.expect("it answers")
}

async fn begin(store: &TestKeys, key: &KeyIntent) -> KeyBegun {
    begin_as(store, key, &hold()).await
}

async fn keep(store: &TestKeys, key: &KeyIntent, hold: &Hold) -> bool {
    store.keys.keep(&key.key, hold).await.expect("it answers")
}

async fn end(store: &TestKeys, key: &KeyIntent, hold: &Hold, end: &KeyEnd) -> bool {
    store.keys.end(&key.key, hold, end).await.expect("it answers")
}

async fn the_first_runs_and_the_second_is_told_to_wait(store: TestKeys) {
    assert_eq!(begin(&store, &key("k")).await, KeyBegun::Run(KeyRun::New));
    store.time.advance(Duration::from_secs(10));
    let second = begin(&store, &key("k")).await;
    assert_eq!(second, KeyBegun::InFlight { retry_after: Some(LEASE - Duration::from_secs(10)) });
    assert_eq!(begin(&store, &key("other")).await, KeyBegun::Run(KeyRun::New));
}

async fn sixty_four_callers_run_once(store: TestKeys) {
    let handles = [store.again().await.0, store.again().await.0];
    for round in 0..3 {
        let mut beginning = JoinSet::new();
        for n in 0..64 {
            let (handle, key) = (handles[n % 2].clone(), key(&format!("k{round}")));
            beginning.spawn(async move { handle.begin(&key, &hold()).await.expect("it answers") });
        }
        let fresh = beginning.join_all().await.into_iter().filter(|b| matches!(b, KeyBegun::Run(_))).count();
        assert_eq!(fresh, 1);
    }
}

async fn a_stored_response_is_replayed_byte_for_byte(store: TestKeys) {
    let ours = hold();
    assert_eq!(begin_as(&store, &key("k"), &ours).await, KeyBegun::Run(KeyRun::New));
    let headers =
        vec![("location".to_owned(), "/charges/7".to_owned()), ("x-b".to_owned(), "é\t2".to_owned())];
    let answer = Answer { code: 201, headers, body: b"\xff\0 {\"id\": 7}\n".to_vec() };
    assert!(end(&store, &key("k"), &ours, &KeyEnd::Completed(answer.clone())).await);
    assert_eq!(begin(&store, &key("k")).await, KeyBegun::Replay(answer.clone()));
    assert!(!end(&store, &key("k"), &hold(), &completed(500, b"late")).await, "a stored answer is final");
    assert!(end(&store, &key("k"), &ours, &completed(500, b"late")).await, "its own end is recognised");
    assert!(!keep(&store, &key("k"), &ours).await, "there is no lease any more");
    assert_eq!(begin(&store, &key("k")).await, KeyBegun::Replay(answer.clone()));
    assert_eq!(begin_as(&store, &key("k"), &ours).await, KeyBegun::Replay(answer), "to its own holder too");
    let empty = hold();
    begin_as(&store, &key("empty"), &empty).await;
    assert!(end(&store, &key("empty"), &empty, &completed(204, b"")).await);
    assert_eq!(begin(&store, &key("empty")).await, KeyBegun::Replay(Answer::new(204, b"")));
}

async fn a_stored_error_is_replayed(store: TestKeys) {
    let ours = hold();
    begin_as(&store, &key("k"), &ours).await;
    let refused = Answer::new(422, *b"{\"title\":\"card refused\"}");
    assert!(end(&store, &key("k"), &ours, &KeyEnd::Failed(refused.clone())).await);
    assert_eq!(begin(&store, &key("k")).await, KeyBegun::Replay(refused));
    assert_eq!(begin(&store, &other_request("k")).await, KeyBegun::Mismatch);
}

async fn another_request_is_a_mismatch_and_counted(store: TestKeys) {
    let ours = hold();
    begin_as(&store, &key("k"), &ours).await;
    assert_eq!(begin(&store, &other_request("k")).await, KeyBegun::Mismatch);
    end(&store, &key("k"), &ours, &KeyEnd::Freed).await;
    assert_eq!(begin(&store, &other_request("k")).await, KeyBegun::Mismatch, "free for its own request only");
    assert_eq!(store.written("payments.charge/k", "conflicts").await, "2");
    assert_eq!(begin(&store, &key("k")).await, KeyBegun::Run(KeyRun::Again));
    assert_eq!(store.written("payments.charge/k", "conflicts").await, "2", "and still known");
}

async fn a_transient_failure_frees_the_key(store: TestKeys) {
    let ours = hold();
    begin_as(&store, &key("k"), &ours).await;
    assert!(end(&store, &key("k"), &ours, &KeyEnd::Freed).await);
    assert_eq!(begin(&store, &key("k")).await, KeyBegun::Run(KeyRun::Again));
    assert!(!end(&store, &key("k"), &ours, &KeyEnd::Freed).await, "the key is another's now");
    assert_eq!(store.written("payments.charge/k", "attempts").await, "2");
}

async fn work_whose_answer_could_not_be_stored_runs_again(store: TestKeys) {
    let ours = hold();
    begin_as(&store, &key("k"), &ours).await;
    assert!(end(&store, &key("k"), &ours, &KeyEnd::FailedStorage).await);
    assert_eq!(begin(&store, &key("k")).await, KeyBegun::Run(KeyRun::AfterFailedStorage));
}

async fn a_lease_that_is_over_is_taken_over_and_its_holder_fenced(store: TestKeys) {
    let (zombie, holder) = (hold(), hold());
    begin_as(&store, &key("k"), &zombie).await;
    store.time.advance(LEASE);
    assert_eq!(begin_as(&store, &key("k"), &holder).await, KeyBegun::Run(KeyRun::TakenOver));
    assert!(!end(&store, &key("k"), &zombie, &completed(200, b"late")).await);
    assert!(!end(&store, &key("k"), &zombie, &KeyEnd::Freed).await);
    assert!(!keep(&store, &key("k"), &zombie).await);
    assert_eq!(begin(&store, &key("k")).await, KeyBegun::InFlight { retry_after: Some(LEASE) });
    assert!(end(&store, &key("k"), &holder, &completed(200, b"done")).await);
}

async fn a_lease_that_is_kept_lasts_anew(store: TestKeys) {
    let ours = hold();
    begin_as(&store, &key("k"), &ours).await;
    store.time.advance(LEASE - SECOND);
    assert!(keep(&store, &key("k"), &ours).await);
    store.time.advance(LEASE - SECOND);
    assert_eq!(begin(&store, &key("k")).await, KeyBegun::InFlight { retry_after: Some(SECOND) });
    store.time.advance(SECOND);
    assert!(keep(&store, &key("k"), &ours).await, "over, but nobody has taken over");
    assert_eq!(begin(&store, &key("k")).await, KeyBegun::InFlight { retry_after: Some(LEASE) });
    assert!(!keep(&store, &key("nobody's"), &ours).await);
}

async fn begun_again_under_the_same_lease_it_runs_for_the_same_reason(store: TestKeys) {
    let leases = [hold(), hold(), hold(), hold()];
    let ends = [Some(KeyEnd::Freed), None, Some(KeyEnd::FailedStorage), None];
    let runs = [KeyRun::New, KeyRun::Again, KeyRun::TakenOver, KeyRun::AfterFailedStorage];
    for ((ours, run), ending) in leases.iter().zip(runs).zip(ends) {
        for _ in 0..2 {
            assert_eq!(begin_as(&store, &key("k"), ours).await, KeyBegun::Run(run));
        }
        store.time.advance(LEASE);
        assert_eq!(begin_as(&store, &key("k"), ours).await, KeyBegun::Run(run), "over, but not taken over");
        assert_eq!(begin(&store, &key("k")).await, KeyBegun::InFlight { retry_after: Some(LEASE) });
        match ending {
            Some(ending) => assert!(end(&store, &key("k"), ours, &ending).await),
            None => store.time.advance(LEASE),
        }
    }
    assert_eq!(store.written("payments.charge/k", "attempts").await, "4", "what was said again counts once");
}

async fn a_live_lease_outlasts_the_retention(store: TestKeys) {
    let ours = Hold { retention: SECOND, ..hold() };
    begin_as(&store, &key("k"), &ours).await;
    store.time.advance(LEASE - SECOND);
    assert_eq!(begin(&store, &key("k")).await, KeyBegun::InFlight { retry_after: Some(SECOND) });
    assert!(keep(&store, &key("k"), &ours).await);
    assert_eq!(begin(&store, &key("k")).await, KeyBegun::InFlight { retry_after: Some(LEASE) });
    assert!(end(&store, &key("k"), &ours, &completed(200, b"done")).await);
    assert_eq!(begin(&store, &key("k")).await, KeyBegun::Replay(Answer::new(200, *b"done")));
}

async fn an_answer_is_kept_for_its_whole_retention_and_then_the_key_is_fresh(store: TestKeys) {
    let ours = Hold { lasts: RETENTION * 2, ..hold() };
    begin_as(&store, &key("k"), &ours).await;
    store.time.advance(RETENTION);
    end(&store, &key("k"), &ours, &completed(200, b"done")).await;
    store.time.advance(RETENTION - SECOND);
    assert!(matches!(begin(&store, &key("k")).await, KeyBegun::Replay(_)), "counted from its end");
    store.time.advance(SECOND);
    let fresh = if store.forgets_by_itself() { KeyRun::New } else { KeyRun::Reused };
    assert_eq!(begin(&store, &other_request("k")).await, KeyBegun::Run(fresh), "for any request");
    assert_eq!(store.written("payments.charge/k", "attempts").await, "1");
    assert!(!end(&store, &key("k"), &ours, &completed(500, b"late")).await, "the earlier lease is forgotten");
}

async fn keys_of_others_are_respected(store: TestKeys) {
    let hash = "ab".repeat(32);
    let insert = |name: &str, status: &str, rest: &str| {
        format!(
            "INSERT INTO idempotency_keys (key, request_path, request_hash, status, response_code, response_body, created_at, locked_at, locked_by) \
             VALUES ('payments.charge/{name}', '/pay', '{hash}', '{status}', {rest});"
        )
    };
    let at = "'2026-03-01 12:00:00+00:00'";
    store.database().sql(&insert("locked", "STARTED", &format!("NULL, NULL, {at}, {at}, 'python-1'"))).await;
    store.database().sql(&insert("unlocked", "STARTED", &format!("NULL, NULL, {at}, NULL, NULL"))).await;
    store
        .database()
        .sql(&insert("done", "COMPLETED", &format!("201, '{{\"id\": 1}}', {at}, NULL, NULL")))
        .await;
    store.database().sql(&insert("error", "FAILED", &format!("422, '\"no\"', {at}, NULL, NULL"))).await;
    store.database().sql(&insert("free", "FAILED", &format!("NULL, NULL, {at}, NULL, NULL"))).await;
    store.database().sql(&insert("word", "ARCHIVED", &format!("NULL, NULL, {at}, NULL, NULL"))).await;
    store.time.advance(RETENTION - Duration::from_secs(1));
    for (name, expected) in [
        ("locked", KeyBegun::InFlight { retry_after: None }),
        ("unlocked", KeyBegun::InFlight { retry_after: None }),
        ("done", KeyBegun::Replay(Answer::new(201, *b"{\"id\": 1}"))),
        ("error", KeyBegun::Replay(Answer::new(422, *b"\"no\""))),
        ("word", KeyBegun::InFlight { retry_after: None }),
    ] {
        assert_eq!(begin(&store, &key(name)).await, expected, "{name}");
    }
    assert!(matches!(begin(&store, &key("free")).await, KeyBegun::Run(_)));
    let mismatch = KeyIntent { request_hash: "cd".repeat(32), ..key("done") };
    assert_eq!(begin(&store, &mismatch).await, KeyBegun::Mismatch);
}

async fn a_key_others_settle_meanwhile_is_theirs(store: TestKeys) {
    let ours = hold();
    begin_as(&store, &key("k"), &ours).await;
    store
        .database()
        .sql(
            "UPDATE idempotency_keys SET status = 'COMPLETED', response_code = 200, response_body = '\"theirs\"'",
        )
        .await;
    assert!(!end(&store, &key("k"), &ours, &completed(201, b"ours")).await);
    assert_eq!(begin(&store, &key("k")).await, KeyBegun::Replay(Answer::new(200, *b"\"theirs\"")));
}

async fn what_others_store_over_an_answer_of_ours_is_replayed_as_theirs(store: TestKeys) {
    for (name, update) in [
        ("again", "status = 'STARTED', response_code = NULL, response_body = NULL, locked_by = 'python-1'"),
        ("corrected", "response_body = '\"corrected\"'"),
    ] {
        let ours = hold();
        begin_as(&store, &key(name), &ours).await;
        let headers = vec![("content-type".to_owned(), "application/pdf".to_owned())];
        let pdf = Answer { code: 200, headers, body: b"\xff\0pdf".to_vec() };
        assert!(end(&store, &key(name), &ours, &KeyEnd::Completed(pdf)).await);
        for update in [
            update,
            "status = 'COMPLETED', response_code = 200, response_body = '\"theirs\"', locked_by = NULL",
        ] {
            let of = format!("UPDATE idempotency_keys SET {update} WHERE key = 'payments.charge/{name}'");
            store.database().sql(&of).await;
        }
        assert_eq!(
            begin(&store, &key(name)).await,
            KeyBegun::Replay(Answer::new(200, *b"\"theirs\"")),
            "{name}"
        );
    }
}

async fn an_error_of_others_with_a_strange_code_is_replayed_not_run_again(store: TestKeys) {
    for (name, code, replayed) in
        [("far", "99999", 500), ("below", "-1", 500), ("none", "0", 0), ("odd", "999", 999)]
    {
        let insert = format!(
            "INSERT INTO idempotency_keys (key, request_hash, status, response_code, response_body, created_at) \
             VALUES ('payments.charge/{name}', '{}', 'FAILED', {code}, '\"no\"', '2026-03-01 12:00:00+00:00')",
            "ab".repeat(32)
        );
        store.database().sql(&insert).await;
        assert_eq!(
            begin(&store, &key(name)).await,
            KeyBegun::Replay(Answer::new(replayed, *b"\"no\"")),
            "{name}"
        );
    }
}

async fn no_two_operations_share_a_key(store: TestKeys) {
    for (operation, client_key) in [
        ("a", "b/c"),
        ("a/b", "c"),
        ("a%2Fb", "c"),
        ("", "a/b/c"),
        ("a\0", "c"),
        ("a\\u0000", "c"),
        ("é", "c"),
        ("%C3%A9", "c"),
        ("a ", "c"),
        ("a", " c"),
        ("a", "c"),
        ("a", "C"),
        ("a", "c "),
        ("a", "%"),
        ("a", "_"),
        ("a", "'; DROP TABLE idempotency_keys; --"),
        ("a", "../c"),
    ] {
        let key = KeyIntent::new(operation, client_key, "ab".repeat(32)).expect("a key");
        let ours = hold();
        let begun = begin_as(&store, &key, &ours).await;
        assert_eq!(begun, KeyBegun::Run(KeyRun::New), "{operation:?} {client_key:?}");
        let answer = completed(200, format!("{operation}|{client_key}").as_bytes());
        assert!(end(&store, &key, &ours, &answer).await);
    }
    let longest = KeyIntent::new("a/b", &"k".repeat(255 - 6), String::new()).expect("it fits");
    assert_eq!(begin(&store, &longest).await, KeyBegun::Run(KeyRun::New));
    assert!(KeyIntent::new("a/b", &"k".repeat(255 - 5), String::new()).is_err());
}

async fn the_longest_times_are_long(store: TestKeys) {
    let ever = Hold { lasts: Duration::MAX, retention: Duration::MAX, ..hold() };
    begin_as(&store, &key("k"), &ever).await;
    assert!(keep(&store, &key("k"), &ever).await);
    begin_as(&store, &key("done"), &ever).await;
    assert!(end(&store, &key("done"), &ever, &completed(200, b"done")).await);
    store.time.advance(Duration::from_secs(90 * 365 * 86_400));
    assert!(matches!(begin(&store, &key("k")).await, KeyBegun::InFlight { retry_after: Some(_) }));
    assert_eq!(begin(&store, &key("done")).await, KeyBegun::Replay(Answer::new(200, *b"done")));
}

async fn keys_of_others_are_refused_until_the_askers_retention(store: TestKeys) {
    others(&store, "k", "STARTED").await;
    store.time.advance(RETENTION - SECOND);
    let longer = Hold { retention: RETENTION * 2, ..hold() };
    assert_eq!(begin(&store, &key("k")).await, KeyBegun::InFlight { retry_after: None });
    store.time.advance(SECOND);
    assert_eq!(begin_as(&store, &key("k"), &longer).await, KeyBegun::InFlight { retry_after: None });
    assert_eq!(begin(&store, &key("k")).await, KeyBegun::Run(KeyRun::Reused));
}

/// A row as another service's middleware writes it.
async fn others(store: &TestKeys, name: &str, status: &str) {
    let (hash, at) = ("ab".repeat(32), "2026-03-01 12:00:00+00:00");
    let insert = "INSERT INTO idempotency_keys (key, request_hash, status, created_at) VALUES";
    store.database().sql(&format!("{insert} ('payments.charge/{name}', '{hash}', '{status}', '{at}')")).await;
}

async fn names(store: &TestKeys) -> Vec<String> {
    store.database().column("SELECT client_key FROM idempotency_keys ORDER BY key").await
}

async fn sweep(store: &TestKeys, at_most: u32) -> u64 {
    store.keys.sweep(at_most).await.expect("it sweeps")
}

/// Three keys with a stored answer, their retention over.
async fn three_that_are_over(store: &TestKeys) {
    for name in ["a", "b", "c"] {
        let ours = hold();
        begin_as(store, &key(name), &ours).await;
        end(store, &key(name), &ours, &completed(200, b"done")).await;
        store.time.advance(SECOND);
    }
    store.time.advance(RETENTION);
}

async fn a_sweep_takes_a_small_batch_of_what_is_over(store: TestKeys) {
    three_that_are_over(&store).await;
    let insert = "INSERT INTO processed_messages (message_id, processed_at, expires_at) VALUES";
    let row = format!("{insert} ('m', '2026-03-01 12:00:00+00:00', '2026-03-01T12:00:30.000000+00:00')");
    store.database().sql(&row).await;
    begin(&store, &key("kept")).await;
    assert_eq!(sweep(&store, 2).await, 2);
    assert_eq!(names(&store).await, ["c", "kept"], "what is over longest goes first");
    assert_eq!(sweep(&store, 2).await, 2, "a key and a message");
    assert_eq!(store.database().cell("SELECT count(*) FROM processed_messages").await, "0");
    assert_eq!(sweep(&store, 2).await, 0);
    assert_eq!(names(&store).await, ["kept"]);
}

async fn a_sweep_leaves_live_leases_and_the_rows_of_others(store: TestKeys) {
    let ours = Hold { lasts: RETENTION * 3, ..hold() };
    begin_as(&store, &key("live"), &ours).await;
    begin(&store, &key("lease over")).await;
    others(&store, "theirs", "STARTED").await;
    others(&store, "theirs, done", "COMPLETED").await;
    store.time.advance(RETENTION * 2);
    assert_eq!(sweep(&store, 100).await, 1);
    let left = store.database().column("SELECT key FROM idempotency_keys ORDER BY key").await;
    let left: Vec<_> = left.iter().map(|key| key.trim_start_matches("payments.charge/")).collect();
    assert_eq!(left, ["live", "theirs", "theirs, done"]);
    assert!(end(&store, &key("live"), &ours, &completed(200, b"done")).await);
}

/// SQLite has one writer and no locks on rows.
#[tokio::test]
async fn on_postgres_a_sweep_leaves_what_another_transaction_has_locked() {
    let store = TestKeys::postgres().await;
    three_that_are_over(&store).await;
    let mut other = PgConnection::connect(&store.database().url).await.unwrap();
    let mut locking = other.begin().await.unwrap();
    let lock = "SELECT key FROM idempotency_keys WHERE client_key = 'b' FOR UPDATE";
    sqlx::query(lock).execute(&mut *locking).await.unwrap();
    assert_eq!(sweep(&store, 100).await, 2, "it does not wait");
    assert_eq!(names(&store).await, ["b"]);
    locking.rollback().await.unwrap();
    assert_eq!(sweep(&store, 100).await, 1);
}
