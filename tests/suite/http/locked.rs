//! A key that cannot be got at: because somebody has it, or because somebody has the whole table.

use std::time::Duration;

use redrive::{
    config,
    store::{OpenOptions, open},
};
use sqlx::{Connection as _, PgConnection};

use super::{Answered, shed::Intake};
use crate::support::stores::TestStore;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fresh_key_in_a_locked_table_is_busy_and_a_key_that_somebody_has_is_in_flight() {
    let store = TestStore::postgres().await;
    let options = OpenOptions { lock_timeout: Duration::from_millis(200), ..OpenOptions::default() };
    let opened = open(&store.url, options).await.expect("it opens");
    let intake = Intake::over(store, opened, config::Intake::default(), None).await;
    let trigger = async || Answered::sent(intake.post("payments").header("idempotency-key", "k")).await;
    let mut other = PgConnection::connect(&intake.store.url).await.unwrap();
    for mode in ["SHARE", "ACCESS EXCLUSIVE"] {
        let lock = format!("BEGIN; LOCK TABLE idempotency_keys IN {mode} MODE");
        sqlx::raw_sql(sqlx::AssertSqlSafe(lock)).execute(&mut other).await.unwrap();
        let busy = trigger().await;
        assert_eq!(busy.problem(503).0, "key-store-down", "{mode}");
        assert_eq!(busy.header("retry-after"), Some("5"), "{mode}");
        sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
    }
    let insert = "BEGIN; INSERT INTO idempotency_keys (key, request_hash, status, created_at) \
                  VALUES ('POST %2Fonboardings/k', 'x', 'STARTED', now())";
    sqlx::raw_sql(insert).execute(&mut other).await.unwrap();
    let held = trigger().await;
    assert_eq!(held.problem(409).0, "idempotency-key-in-flight", "a key that a caller's transaction has");
    assert!(held.header("retry-after").is_some());
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
    assert_eq!(trigger().await.status, 202);
}
