//! What the laws need of Postgres.

use std::time::Duration;

use redrive::{
    engine::idempotency::Held,
    store::{
        Undone,
        postgres::{consume, once_in},
    },
};
use sqlx::{Connection, PgConnection};

use crate::support::stores::TestStore;

#[path = "message.rs"]
mod message;
#[path = "once.rs"]
mod once;

type Db = sqlx::Postgres;
type Conn = PgConnection;

async fn empty() -> TestStore {
    TestStore::postgres().await
}

/// A connection as a service has it, which waits for locks that long.
async fn connect(store: &TestStore, patience: Duration) -> Conn {
    let mut connection = PgConnection::connect(&store.url).await.expect("it connects");
    let set = format!("SET lock_timeout = {}", patience.as_millis());
    sqlx::raw_sql(sqlx::AssertSqlSafe(set)).execute(&mut connection).await.expect("it is set");
    connection
}

/// Whether somebody waits for a lock.
async fn is_waited(store: &TestStore) -> bool {
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    store.cell(waiting).await != "0"
}

/// A connection that would not give up waiting by itself: `once_in` does.
async fn hurried(store: &TestStore) -> Conn {
    connect(store, Duration::from_secs(20)).await
}

/// How long the connection waits for locks.
async fn patience(conn: &mut Conn) -> String {
    sqlx::query_scalar("SELECT current_setting('lock_timeout')").fetch_one(conn).await.expect("it answers")
}

fn waited_in_vain(undone: &Undone<sqlx::Error>) -> bool {
    matches!(undone, Undone::Held(Held::InFlight { retry_after: None }))
}
