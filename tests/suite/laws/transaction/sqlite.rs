//! What the laws need of Sqlite.

use std::{str::FromStr, time::Duration};

use redrive::{
    engine::{idempotency::Held, store::StoreError},
    store::{
        Undone,
        sqlite::{consume, once_in},
    },
};
use sqlx::{ConnectOptions, SqliteConnection, sqlite::SqliteConnectOptions};

use crate::support::stores::TestStore;

#[path = "message.rs"]
mod message;
#[path = "once.rs"]
mod once;

type Db = sqlx::Sqlite;
type Conn = SqliteConnection;

async fn empty() -> TestStore {
    TestStore::sqlite().await
}

/// A connection as a service has it, which waits for locks that long.
async fn connect(store: &TestStore, patience: Duration) -> Conn {
    let options = SqliteConnectOptions::from_str(&store.url).expect("a URL").busy_timeout(patience);
    options.connect().await.expect("it connects")
}

/// Whether somebody waits for a lock: that cannot be seen from outside.
async fn is_waited(_: &TestStore) -> bool {
    true
}

/// A connection that gives up waiting soon.
async fn hurried(store: &TestStore) -> Conn {
    connect(store, Duration::from_millis(30)).await
}

/// How long the connection waits for locks.
async fn patience(conn: &mut Conn) -> String {
    let milliseconds: i64 =
        sqlx::query_scalar("PRAGMA busy_timeout").fetch_one(conn).await.expect("it answers");
    milliseconds.to_string()
}

/// It is not known whether the file was locked for the key's sake.
fn waited_in_vain(undone: &Undone<sqlx::Error>) -> bool {
    matches!(undone, Undone::Held(Held::Store(StoreError::Busy { .. })))
}
