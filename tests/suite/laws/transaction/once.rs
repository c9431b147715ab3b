//! `once_in`: the key and the rows are committed together.

use std::{sync::Arc, time::Duration};

use redrive::{
    domain::key::KeyRun,
    engine::{
        idempotency::{Held, Keys, Outcome, Source, Worked},
        key::{Answer, Hold, KeyEnd, KeyIntent},
        observer::KeyOutcome,
        store::StoreError,
    },
    store::{OpenOptions, Undone, open},
};
use sqlx::{Connection, Transaction};
use tokio::{sync::oneshot, task::JoinSet};

use super::{
    super::{Counts, PATIENCE, answer, completed, operation},
    Conn, Db, connect, empty, hurried, is_waited, once_in, patience, waited_in_vain,
};
use crate::support::{
    stores::{LEASE, TestStore},
    wait::eventually,
};

type Done = Result<Outcome, Undone<sqlx::Error>>;

async fn place() -> TestStore {
    let store = empty().await;
    store.time.free();
    store.sql("CREATE TABLE orders (name text NOT NULL)").await;
    store
}

/// The work: one row of business, then its outcome.
async fn order(tx: &mut Conn, name: &str, worked: Worked) -> Result<Worked, sqlx::Error> {
    sqlx::query("INSERT INTO orders (name) VALUES ($1)").bind(name).execute(tx).await?;
    Ok(worked)
}

async fn place_order(tx: &mut Transaction<'_, Db>, key: &str, name: &str) -> Done {
    once_in(tx, &operation(), key, name, &(), async |tx| order(tx, name, completed()).await).await
}

/// In a transaction of its own, committed whatever came out.
async fn place_and_commit(store: &TestStore, key: &str, name: &str) -> Done {
    let mut connection = connect(store, PATIENCE).await;
    let mut tx = connection.begin().await.expect("it begins");
    let done = place_order(&mut tx, key, name).await;
    tx.commit().await.expect("it commits");
    done
}

fn source(done: Done) -> Source {
    done.expect("an answer").source
}

const NEW: Source = Source::Ran(KeyRun::New);

async fn orders(store: &TestStore) -> Vec<String> {
    store.column("SELECT name FROM orders ORDER BY name").await
}

async fn keys(store: &TestStore) -> Vec<String> {
    store.column("SELECT key || ' ' || status || ' ' || phase FROM idempotency_keys ORDER BY key").await
}

fn intent(key: &str, name: &str) -> KeyIntent {
    let hash = redrive::domain::canonical::hash(name).expect("plain JSON");
    KeyIntent::new("orders.place", key, hash).expect("a key")
}

#[tokio::test]
async fn the_effect_and_its_key_commit_together() {
    let store = place().await;
    let mut connection = connect(&store, PATIENCE).await;
    let mut tx = connection.begin().await.expect("it begins");
    let first = place_order(&mut tx, "k", "ledger").await.expect("it runs");
    assert_eq!(first, Outcome { answer: answer(), source: NEW });
    assert!(orders(&store).await.is_empty() && keys(&store).await.is_empty(), "nobody sees either before");
    tx.commit().await.expect("it commits");
    assert_eq!(orders(&store).await, ["ledger"]);
    assert_eq!(keys(&store).await, ["orders.place/k COMPLETED completed"]);
    let held = "SELECT count(*) FROM idempotency_keys WHERE lease_until IS NULL AND locked_at IS NULL AND expires_at > created_at";
    assert_eq!(store.cell(held).await, "1", "nobody holds it, and it will be forgotten");
    let second = place_and_commit(&store, "k", "ledger").await.expect("it replays");
    assert_eq!(second, Outcome { answer: answer(), source: Source::Stored });
    assert_eq!(orders(&store).await, ["ledger"]);
}

#[tokio::test]
async fn a_roll_back_frees_both() {
    let store = place().await;
    let mut connection = connect(&store, PATIENCE).await;
    let mut tx = connection.begin().await.expect("it begins");
    place_order(&mut tx, "k", "ledger").await.expect("it runs");
    tx.rollback().await.expect("it rolls back");
    assert!(orders(&store).await.is_empty() && keys(&store).await.is_empty());
    assert_eq!(source(place_and_commit(&store, "k", "ledger").await), NEW);
    assert_eq!(orders(&store).await, ["ledger"]);
}

#[tokio::test]
async fn a_caller_that_vanishes_leaves_nothing() {
    let store = place().await;
    let mut connection = connect(&store, PATIENCE).await;
    let mut tx = connection.begin().await.expect("it begins");
    place_order(&mut tx, "k", "ledger").await.expect("it runs");
    drop(tx);
    drop(connection);
    assert_eq!(source(place_and_commit(&store, "k", "ledger").await), NEW);
    assert_eq!(orders(&store).await, ["ledger"]);
}

#[tokio::test]
async fn a_caller_that_gives_up_during_the_work_leaves_nothing() {
    let store = place().await;
    let mut connection = connect(&store, PATIENCE).await;
    let mut tx = connection.begin().await.expect("it begins");
    let (reached, began) = oneshot::channel();
    let work = async |tx: &mut Conn| {
        order(tx, "half", completed()).await?;
        let _ = reached.send(());
        std::future::pending::<Result<Worked, sqlx::Error>>().await
    };
    let operation = operation();
    tokio::select! {
        _ = once_in(&mut tx, &operation, "k", "ledger", &(), work) => panic!("it never ends"),
        _ = began => {}
    }
    assert_eq!(
        source(place_order(&mut tx, "k", "ledger").await),
        NEW,
        "the key is free in the same transaction"
    );
    tx.commit().await.expect("it commits");
    assert_eq!(orders(&store).await, ["ledger"]);
}

/// A second caller beside a first whose transaction is open; answers what the second one got once the first `ended`.
async fn second_beside(
    store: TestStore,
    ended: impl AsyncFnOnce(Transaction<'_, Db>),
) -> (TestStore, Source) {
    let store = Arc::new(store);
    let mut connection = connect(&store, PATIENCE).await;
    let mut tx = connection.begin().await.expect("it begins");
    place_order(&mut tx, "k", "ledger").await.expect("it runs");
    let (asking, asks) = oneshot::channel();
    let mut second = JoinSet::new();
    second.spawn({
        let store = store.clone();
        async move {
            let mut connection = connect(&store, PATIENCE).await;
            let mut tx = connection.begin().await.expect("it begins");
            asking.send(()).expect("somebody listens");
            let done = place_order(&mut tx, "k", "ledger").await;
            tx.commit().await.expect("it commits");
            done
        }
    });
    asks.await.expect("it asks");
    eventually("the second waits", PATIENCE, async || is_waited(&store).await.then_some(())).await;
    assert!(second.try_join_next().is_none(), "it is answered only when the first has ended");
    ended(tx).await;
    let source = source(second.join_next().await.expect("one").expect("no panic"));
    drop(second);
    (Arc::into_inner(store).expect("the task is over"), source)
}

#[tokio::test]
async fn a_second_caller_waits_and_replays() {
    let ended = async |tx: Transaction<'_, Db>| tx.commit().await.expect("it commits");
    let (store, source) = second_beside(place().await, ended).await;
    assert_eq!(source, Source::Stored);
    assert_eq!(orders(&store).await, ["ledger"]);
}

#[tokio::test]
async fn a_second_caller_runs_where_the_first_rolled_back() {
    let ended = async |tx: Transaction<'_, Db>| tx.rollback().await.expect("it rolls back");
    let (store, source) = second_beside(place().await, ended).await;
    assert_eq!(source, NEW);
    assert_eq!(orders(&store).await, ["ledger"]);
}

#[tokio::test]
async fn waiting_has_an_end_and_harms_nothing() {
    let store = place().await;
    let mut connection = connect(&store, PATIENCE).await;
    let mut first = connection.begin().await.expect("it begins");
    place_order(&mut first, "k", "ledger").await.expect("it runs");
    let mut other = hurried(&store).await;
    let mut second = other.begin().await.expect("it begins");
    if !store.is_sqlite() {
        // There a second writer would wait already.
        order(&mut second, "before", completed()).await.expect("it writes");
    }
    let waits = patience(&mut second).await;
    let work = async |_: &mut Conn| Ok::<_, sqlx::Error>(completed());
    let hurried = operation().waiting_for(Duration::from_millis(30));
    let counts = Counts::default();
    let refused = once_in(&mut second, &hurried, "k", "ledger", &counts, work).await.expect_err("it is held");
    assert!(waited_in_vain(&refused), "{refused:?}");
    let counted = if store.is_sqlite() { KeyOutcome::Error } else { KeyOutcome::InProgress };
    assert_eq!(counts.0.into_inner().expect("no panic before"), [counted]);
    assert_eq!(patience(&mut second).await, waits, "the caller's own patience is as it was");
    first.commit().await.expect("it commits");
    assert_eq!(source(place_order(&mut second, "k", "ledger").await), Source::Stored);
    let work = async |tx: &mut Conn| {
        assert_eq!(patience(tx).await, waits, "in the work too");
        order(tx, "after", completed()).await
    };
    assert_eq!(source(once_in(&mut second, &hurried, "another", "after", &(), work).await), NEW);
    assert_eq!(patience(&mut second).await, waits, "and after it");
    second.commit().await.expect("it commits");
    let expected: &[&str] =
        if store.is_sqlite() { &["after", "ledger"] } else { &["after", "before", "ledger"] };
    assert_eq!(orders(&store).await, expected);
}

#[tokio::test]
async fn a_permanent_failure_is_stored_without_its_rows() {
    let store = place().await;
    let mut connection = connect(&store, PATIENCE).await;
    let mut tx = connection.begin().await.expect("it begins");
    order(&mut tx, "the caller's own", completed()).await.expect("it writes");
    let refused = Worked::Failed(Answer::new(422, *b"no such article"));
    let work = async |tx: &mut Conn| order(tx, "half", refused).await;
    let failed = once_in(&mut tx, &operation(), "k", "ledger", &(), work).await.expect("an answer");
    assert_eq!(failed, Outcome { answer: Answer::new(422, *b"no such article"), source: NEW });
    tx.commit().await.expect("it commits");
    assert_eq!(orders(&store).await, ["the caller's own"]);
    assert_eq!(keys(&store).await, ["orders.place/k FAILED failed"]);
    let again = place_and_commit(&store, "k", "ledger").await.expect("it replays");
    assert_eq!(again, Outcome { answer: Answer::new(422, *b"no such article"), source: Source::Stored });
}

#[tokio::test]
async fn what_may_pass_leaves_the_key_as_it_was() {
    let store = place().await;
    let hold = Hold::new("caller", LEASE, Duration::from_secs(60));
    let freed = intent("freed", "ledger");
    store.opened.store.begin(&freed, &hold).await.expect("it begins");
    store.opened.store.end(&freed.key, &hold, &KeyEnd::Freed).await.expect("it ends");
    let before = store.everything().await;
    let mut connection = connect(&store, PATIENCE).await;
    let mut tx = connection.begin().await.expect("it begins");
    for (key, run) in [("k", KeyRun::New), ("freed", KeyRun::Again)] {
        let busy = Worked::Freed(Answer::new(503, *b"come again"));
        let work = async |tx: &mut Conn| order(tx, "half", busy).await;
        let done = once_in(&mut tx, &operation(), key, "ledger", &(), work).await.expect("an answer");
        assert_eq!(done, Outcome { answer: Answer::new(503, *b"come again"), source: Source::Ran(run) });
        // An error of the database would end a transaction of Postgres; here only the savepoint.
        let work = async |tx: &mut Conn| {
            order(tx, "half", completed()).await?;
            sqlx::query("INSERT INTO nowhere VALUES (1)").execute(tx).await.map(|_| completed())
        };
        let done = once_in(&mut tx, &operation(), key, "ledger", &(), work).await;
        assert!(matches!(done, Err(Undone::Work(sqlx::Error::Database(_)))), "{done:?}");
    }
    tx.commit().await.expect("it commits");
    assert_eq!(store.everything().await, before);
    assert!(orders(&store).await.is_empty());
    assert_eq!(source(place_and_commit(&store, "freed", "ledger").await), Source::Ran(KeyRun::Again));
}

#[tokio::test]
async fn a_key_is_one_inside_and_outside_of_transactions() {
    let store = place().await;
    let outside = Keys::new(store.opened.store.clone(), "caller");
    let once = async |key: &str| {
        outside
            .once(&operation(), key, "ledger", || async { Worked::Completed(Answer::new(200, *b"outside")) })
            .await
    };
    place_and_commit(&store, "inside", "ledger").await.expect("it runs");
    let seen = once("inside").await.expect("it replays");
    assert_eq!(seen, Outcome { answer: answer(), source: Source::Stored });
    once("outside").await.expect("it runs");
    let seen = place_and_commit(&store, "outside", "ledger").await.expect("it replays");
    assert_eq!(seen, Outcome { answer: Answer::new(200, *b"outside"), source: Source::Stored });
    assert!(orders(&store).await == ["ledger"]);

    let hold = Hold::new("caller", LEASE, Duration::from_secs(60));
    store.opened.store.begin(&intent("held", "ledger"), &hold).await.expect("it begins");
    match place_and_commit(&store, "held", "ledger").await {
        Err(Undone::Held(Held::InFlight { retry_after: Some(after) })) => assert!(after <= LEASE),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn outside_of_the_transaction_that_has_a_key_nothing_runs() {
    let store = place().await;
    let mut connection = connect(&store, PATIENCE).await;
    let mut tx = connection.begin().await.expect("it begins");
    place_order(&mut tx, "k", "ledger").await.expect("it runs");
    let options = OpenOptions { lock_timeout: Duration::from_millis(30), ..OpenOptions::default() };
    let hurried = Keys::new(open(&store.url, options).await.expect("it opens").store, "caller");
    let work = || async { panic!("the key is taken") };
    let held = hurried.once(&operation(), "k", "ledger", work).await.expect_err("it is held");
    match store.is_sqlite() {
        true => assert!(matches!(held, Held::Store(StoreError::Busy { .. })), "{held:?}"),
        false => assert_eq!(held, Held::InFlight { retry_after: None }),
    }
    tx.commit().await.expect("it commits");
    let seen = hurried.once(&operation(), "k", "ledger", work).await.expect("it replays");
    assert_eq!(seen.source, Source::Stored);
}

#[tokio::test]
async fn another_request_is_a_mismatch_that_counts_once_committed() {
    let store = place().await;
    place_and_commit(&store, "k", "ledger").await.expect("it runs");
    let mut connection = connect(&store, PATIENCE).await;
    for (commits, conflicts) in [(false, "0"), (true, "1")] {
        let mut tx = connection.begin().await.expect("it begins");
        let refused = place_order(&mut tx, "k", "another").await;
        assert!(matches!(refused, Err(Undone::Held(Held::Mismatch))), "{refused:?}");
        match commits {
            true => tx.commit().await.expect("it commits"),
            false => tx.rollback().await.expect("it rolls back"),
        }
        assert_eq!(store.cell("SELECT conflicts FROM idempotency_keys").await, conflicts);
    }
    assert_eq!(orders(&store).await, ["ledger"]);
}

#[tokio::test]
async fn keys_of_others_are_respected() {
    let store = place().await;
    let hash = intent("k", "ledger").request_hash;
    let insert = async |name: &str, status: &str, rest: &str| {
        let now = if store.is_sqlite() { "datetime('now')" } else { "now()" };
        let listed = "key, request_path, request_hash, status, created_at, response_code, response_body, locked_at, locked_by";
        let row = format!("'orders.place/{name}', '/orders', '{hash}', '{status}', {now}, {rest}");
        store.sql(&format!("INSERT INTO idempotency_keys ({listed}) VALUES ({row})")).await;
    };
    insert("locked", "STARTED", "NULL, NULL, '2026-03-01 10:00:00+00', 'python-1'").await;
    insert("unlocked", "STARTED", "NULL, NULL, NULL, NULL").await;
    insert("done", "COMPLETED", "201, '\"theirs\"', NULL, NULL").await;
    insert("error", "FAILED", "422, '\"no\"', NULL, NULL").await;
    insert("free", "FAILED", "NULL, NULL, NULL, NULL").await;
    for name in ["locked", "unlocked"] {
        let held = place_and_commit(&store, name, "ledger").await;
        assert!(matches!(held, Err(Undone::Held(Held::InFlight { retry_after: None }))), "{name}: {held:?}");
    }
    for (name, answer) in
        [("done", Answer::new(201, *b"\"theirs\"")), ("error", Answer::new(422, *b"\"no\""))]
    {
        let seen = place_and_commit(&store, name, "ledger").await.expect("it replays");
        assert_eq!(seen, Outcome { answer, source: Source::Stored });
    }
    let refused = place_and_commit(&store, "done", "another").await;
    assert!(matches!(refused, Err(Undone::Held(Held::Mismatch))), "{refused:?}");
    assert!(orders(&store).await.is_empty());
    assert_eq!(source(place_and_commit(&store, "free", "ledger").await), Source::Ran(KeyRun::Again));
}

#[tokio::test]
async fn a_lease_that_is_over_is_taken_over_and_its_holder_fenced() {
    let store = place().await;
    let zombie = Hold::new("zombie", Duration::ZERO, Duration::from_secs(60));
    let key = intent("k", "ledger");
    store.opened.store.begin(&key, &zombie).await.expect("it begins");
    assert_eq!(source(place_and_commit(&store, "k", "ledger").await), Source::Ran(KeyRun::TakenOver));
    let late = KeyEnd::Completed(Answer::new(200, *b"late"));
    assert!(!store.opened.store.end(&key.key, &zombie, &late).await.expect("it answers"));
    assert_eq!(place_and_commit(&store, "k", "ledger").await.expect("it replays").answer, answer());
}

#[tokio::test]
async fn a_key_is_new_once_its_retention_is_over() {
    let store = place().await;
    let brief = operation().kept_for(Duration::ZERO);
    let mut connection = connect(&store, PATIENCE).await;
    for run in [KeyRun::New, KeyRun::Reused] {
        let mut tx = connection.begin().await.expect("it begins");
        let work = async |tx: &mut Conn| order(tx, "ledger", completed()).await;
        assert_eq!(source(once_in(&mut tx, &brief, "k", "ledger", &(), work).await), Source::Ran(run));
        tx.commit().await.expect("it commits");
    }
    assert_eq!(orders(&store).await, ["ledger", "ledger"]);
}

#[tokio::test]
async fn sixteen_callers_are_one_effect() {
    let store = Arc::new(place().await);
    let mut callers = JoinSet::new();
    for _ in 0..16 {
        let store = store.clone();
        callers.spawn(async move { source(place_and_commit(&store, "k", "ledger").await) });
    }
    let sources = callers.join_all().await;
    assert_eq!(sources.iter().filter(|source| **source == NEW).count(), 1, "{sources:?}");
    assert_eq!(sources.iter().filter(|source| **source == Source::Stored).count(), 15, "{sources:?}");
    assert_eq!(orders(&store).await, ["ledger"]);
}

#[tokio::test]
async fn what_is_asked_is_counted() {
    let store = place().await;
    let counts = Counts::default();
    let mut connection = connect(&store, PATIENCE).await;
    let mut tx = connection.begin().await.expect("it begins");
    for name in ["ledger", "ledger", "another"] {
        let work = async |tx: &mut Conn| order(tx, name, completed()).await;
        let _ = once_in(&mut tx, &operation(), "k", name, &counts, work).await;
    }
    let counted = counts.0.into_inner().expect("no panic before");
    assert_eq!(counted, [KeyOutcome::New, KeyOutcome::Replayed, KeyOutcome::Mismatch]);
}

#[tokio::test]
async fn a_transaction_is_asked_for_and_a_key() {
    let store = place().await;
    let mut connection = connect(&store, PATIENCE).await;
    let work = async |_: &mut Conn| Ok::<_, sqlx::Error>(completed());
    let refused =
        once_in(&mut connection, &operation(), "k", "ledger", &(), work).await.expect_err("no transaction");
    assert!(refused.to_string().contains("in no transaction of sqlx"), "{refused}");
    let mut tx = connection.begin().await.expect("it begins");
    let refused = once_in(&mut tx, &operation(), "", "ledger", &(), work).await;
    assert!(matches!(refused, Err(Undone::Held(Held::Invalid(_)))), "{refused:?}");
}
