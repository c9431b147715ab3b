//! `consume`: a message and what it did are committed together.

use std::{sync::Arc, time::Duration};

use redrive::{
    config::Retention,
    store::{Consumed, Undone},
};
use sqlx::{Connection, Transaction};
use tokio::{sync::oneshot, task::JoinSet};

use super::{super::PATIENCE, Conn, Db, connect, consume, empty, is_waited};
use crate::support::{stores::TestStore, wait::eventually};

type Done = Result<Consumed<&'static str>, Undone<sqlx::Error>>;

async fn place() -> TestStore {
    let store = empty().await;
    store.time.free();
    store.sql("CREATE TABLE orders (name text NOT NULL)").await;
    store
}

async fn order(tx: &mut Conn) -> Result<&'static str, sqlx::Error> {
    sqlx::query("INSERT INTO orders (name) VALUES ('ledger')").execute(tx).await?;
    Ok("placed")
}

async fn deliver(tx: &mut Transaction<'_, Db>, id: &str) -> Done {
    consume(tx, id, Retention::MESSAGE, async |tx| order(tx).await).await
}

async fn deliver_and_commit(store: &TestStore, id: &str) -> Done {
    let mut connection = connect(store, PATIENCE).await;
    let mut tx = connection.begin().await.expect("it begins");
    let done = deliver(&mut tx, id).await;
    tx.commit().await.expect("it commits");
    done
}

async fn orders(store: &TestStore) -> usize {
    store.column("SELECT name FROM orders").await.len()
}

fn is_new(done: &Done) -> bool {
    matches!(done, Ok(Consumed::Processed("placed")))
}

fn is_duplicate(done: &Done) -> bool {
    matches!(done, Ok(Consumed::Duplicate { .. }))
}

#[tokio::test]
async fn a_message_is_processed_once() {
    let store = place().await;
    let mut connection = connect(&store, PATIENCE).await;
    let mut tx = connection.begin().await.expect("it begins");
    let first = deliver(&mut tx, "m").await;
    assert!(is_new(&first), "{first:?}");
    assert_eq!(
        store.column("SELECT message_id FROM processed_messages").await.len() + orders(&store).await,
        0
    );
    tx.commit().await.expect("it commits");
    assert_eq!(orders(&store).await, 1);
    let processed = store.cell("SELECT processed_at FROM processed_messages").await;
    match deliver_and_commit(&store, "m").await {
        Ok(Consumed::Duplicate { processed_at }) => {
            // `2026-03-01T12:00:00` on SQLite, with a space on Postgres.
            let said = processed_at.format("%H:%M:%S").to_string();
            assert!(processed.contains(&said), "{processed} says {said}");
        }
        other => panic!("{other:?}"),
    }
    assert!(is_new(&deliver_and_commit(&store, "another").await));
    assert_eq!(orders(&store).await, 2);
}

#[tokio::test]
async fn what_failed_or_was_rolled_back_is_delivered_again() {
    let store = place().await;
    let mut connection = connect(&store, PATIENCE).await;
    let mut tx = connection.begin().await.expect("it begins");
    assert!(is_new(&deliver(&mut tx, "rolled back").await));
    drop(tx);
    let mut tx = connection.begin().await.expect("it begins");
    let work = async |tx: &mut Conn| {
        order(tx).await?;
        sqlx::query("INSERT INTO nowhere VALUES (1)").execute(tx).await.map(|_| "placed")
    };
    let failed = consume(&mut tx, "failed", Retention::MESSAGE, work).await;
    assert!(matches!(failed, Err(Undone::Work(sqlx::Error::Database(_)))), "{failed:?}");
    tx.commit().await.expect("the transaction can be used on");
    assert_eq!(
        (orders(&store).await, store.column("SELECT message_id FROM processed_messages").await.len()),
        (0, 0)
    );
    for id in ["rolled back", "failed"] {
        assert!(is_new(&deliver_and_commit(&store, id).await), "{id}");
    }
    assert_eq!(orders(&store).await, 2);
}

#[tokio::test]
async fn a_delivery_beside_another_waits_for_its_end() {
    for commits in [true, false] {
        let store = Arc::new(place().await);
        let mut connection = connect(&store, PATIENCE).await;
        let mut tx = connection.begin().await.expect("it begins");
        assert!(is_new(&deliver(&mut tx, "m").await));
        let (asking, asks) = oneshot::channel();
        let mut second = JoinSet::new();
        second.spawn({
            let store = store.clone();
            async move {
                asking.send(()).expect("somebody listens");
                deliver_and_commit(&store, "m").await
            }
        });
        asks.await.expect("it asks");
        eventually("the second waits", PATIENCE, async || is_waited(&store).await.then_some(())).await;
        assert!(second.try_join_next().is_none(), "it is answered only when the first has ended");
        match commits {
            true => tx.commit().await.expect("it commits"),
            false => tx.rollback().await.expect("it rolls back"),
        }
        let done = second.join_next().await.expect("one").expect("no panic");
        assert_eq!((is_duplicate(&done), is_new(&done)), (commits, !commits), "{done:?}");
        assert_eq!(orders(&store).await, 1);
    }
}

#[tokio::test]
async fn sixteen_deliveries_are_one_effect() {
    let store = Arc::new(place().await);
    let mut deliveries = JoinSet::new();
    for _ in 0..16 {
        let store = store.clone();
        deliveries.spawn(async move { deliver_and_commit(&store, "m").await });
    }
    let done = deliveries.join_all().await;
    assert_eq!(done.iter().filter(|done| is_new(done)).count(), 1, "{done:?}");
    assert_eq!(done.iter().filter(|done| is_duplicate(done)).count(), 15, "{done:?}");
    assert_eq!(orders(&store).await, 1);
}

#[tokio::test]
async fn what_others_processed_stays_processed() {
    let store = place().await;
    store.sql("INSERT INTO processed_messages (message_id, processed_at) VALUES ('theirs', '2026-03-01 10:00:00+00')").await;
    store.opened.store.sweep(100).await.expect("it sweeps");
    match deliver_and_commit(&store, "theirs").await {
        Ok(Consumed::Duplicate { processed_at }) => {
            assert_eq!(processed_at.to_rfc3339(), "2026-03-01T10:00:00+00:00")
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(orders(&store).await, 0);
}

#[tokio::test]
async fn a_message_is_new_once_its_retention_is_over_swept_or_not() {
    let store = place().await;
    let mut connection = connect(&store, PATIENCE).await;
    for retention in [Duration::ZERO, Duration::ZERO, Retention::MESSAGE] {
        let mut tx = connection.begin().await.expect("it begins");
        let done = consume(&mut tx, "m", retention, async |tx| order(tx).await).await;
        assert!(is_new(&done), "{done:?}");
        tx.commit().await.expect("it commits");
    }
    store.opened.store.sweep(100).await.expect("it sweeps");
    assert!(is_duplicate(&deliver_and_commit(&store, "m").await), "a quarter of an hour is not over");
    let ahead = redrive::clock::now() + Retention::MESSAGE + Duration::from_secs(60);
    store.time.set(ahead);
    assert_eq!(store.opened.store.sweep(100).await, Ok(1), "ours is forgotten");
    assert!(is_new(&deliver_and_commit(&store, "m").await));
    assert_eq!(orders(&store).await, 4);
}
