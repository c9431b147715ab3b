//! Processes that die while the effect and its key are in one transaction: one effect, wherever they died.

use std::{env, process::Stdio, time::Duration};

use redrive::{
    engine::{
        idempotency::{Operation, Outcome, Worked},
        key::Answer,
    },
    store::{Undone, postgres, sqlite},
};
use sqlx::{Connection, PgConnection, SqliteConnection};

use super::child::{leashed, stand};
use crate::support::{daemon::Daemon, stores::TestStore};

/// Where it stands still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Point {
    BeforeEffect,
    AfterEffect,
    BeforeCommit,
    AfterCommit,
}

/// Begins, does the effect and its key, commits; stands still at `point`.
macro_rules! charge {
    ($name:ident, $dialect:ident, $connection:ty) => {
        async fn $name(url: &str, by: &str, point: &str) -> Result<Outcome, Undone<sqlx::Error>> {
            let mut connection = <$connection>::connect(url).await.map_err(Undone::Work)?;
            let mut tx = connection.begin().await.map_err(Undone::Work)?;
            let work = async |tx: &mut $connection| {
                stand(point, Point::BeforeEffect).await;
                sqlx::query("INSERT INTO effects (made_by) VALUES ($1)").bind(by).execute(tx).await?;
                stand(point, Point::AfterEffect).await;
                Ok(Worked::Completed(Answer::new(201, by)))
            };
            let operation = Operation::new("payments.charge").waiting_for(Duration::from_secs(20));
            let outcome = $dialect::once_in(&mut tx, &operation, "k", &"a request", &(), work).await?;
            stand(point, Point::BeforeCommit).await;
            tx.commit().await.map_err(Undone::Work)?;
            stand(point, Point::AfterCommit).await;
            Ok(outcome)
        }
    };
}

charge!(charge_on_sqlite, sqlite, SqliteConnection);
charge!(charge_on_postgres, postgres, PgConnection);

async fn charge(url: &str, by: &str, point: &str) -> Result<Outcome, Undone<sqlx::Error>> {
    match url.starts_with("sqlite:") {
        true => charge_on_sqlite(url, by, point).await,
        false => charge_on_postgres(url, by, point).await,
    }
}

#[tokio::test]
#[ignore = "the process under test of the others in this module"]
async fn charges_in_a_transaction() {
    let (Ok(url), Ok(point)) = (env::var("CHILD_URL"), env::var("CHILD_POINT")) else { return };
    leashed();
    let _ = charge(&url, "child", &point).await;
    panic!("it was to be killed at {point}");
}

async fn a_process_killed_anywhere_leaves_one_effect(store: TestStore) {
    store.sql("CREATE TABLE effects (made_by text NOT NULL)").await;
    for point in [Point::BeforeEffect, Point::AfterEffect, Point::BeforeCommit, Point::AfterCommit] {
        store.sql("DELETE FROM effects; DELETE FROM idempotency_keys").await;
        let mut child = std::process::Command::new(env::current_exe().unwrap());
        child
            .args(["--exact", "keys::atomic::charges_in_a_transaction", "--ignored", "--nocapture"])
            .env("CHILD_URL", &store.url)
            .env("CHILD_POINT", format!("{point:?}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        Daemon::of(child, &format!("stands at {point:?}")).kill();
        let done = charge(&store.url, "parent", "").await.expect("the dead one's transaction is gone");
        let by = if point == Point::AfterCommit { "child" } else { "parent" };
        assert_eq!(done.answer, Answer::new(201, by), "{point:?}");
        assert_eq!(store.column("SELECT made_by FROM effects").await, [by], "{point:?}");
    }
}

#[tokio::test]
async fn a_process_killed_anywhere_leaves_one_effect_on_sqlite() {
    a_process_killed_anywhere_leaves_one_effect(TestStore::sqlite().await).await;
}

#[tokio::test]
async fn a_process_killed_anywhere_leaves_one_effect_on_postgres() {
    a_process_killed_anywhere_leaves_one_effect(TestStore::postgres().await).await;
}
