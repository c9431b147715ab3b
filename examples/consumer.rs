//! A consumer of a queue that delivers at least once: every message has its effect once, whatever is delivered again
//! and wherever the consumer crashes.
//!
//! ```text
//! cargo run --example consumer [-- --database-url sqlite:PATH]
//! ```
//! The database is a temporary file unless a new one is named. On Postgres only two lines change: `consume` comes from
//! `redrive::store::postgres`, and the connection is a `PgConnection`.

use std::{collections::VecDeque, env, str::FromStr, time::Duration};

use anyhow::{Result, bail};
use redrive::{
    config::Retention,
    store::{Consumed, migrate, sqlite::consume},
};
use sqlx::{ConnectOptions, Connection, SqliteConnection, sqlite::SqliteConnectOptions};

/// What the queue delivers. The id is the sender's and the same in every delivery.
#[derive(Clone)]
struct Payment {
    id: &'static str,
    cents: i64,
}

/// Where the consumer crashes.
#[derive(Clone, Copy, PartialEq)]
enum Crash {
    BeforeTheCommit,
    BeforeTheAcknowledgement,
}

/// The effect: rows of our own, written on the connection that `consume` hands over.
async fn credit(tx: &mut SqliteConnection, payment: &Payment) -> Result<i64, sqlx::Error> {
    let credit = "UPDATE accounts SET cents = cents + $1 WHERE name = 'acme' RETURNING cents";
    sqlx::query_scalar(credit).bind(payment.cents).fetch_one(tx).await
}

/// One delivery. Only a message whose handling ends well is acknowledged, and only after the commit.
async fn handle(
    connection: &mut SqliteConnection,
    payment: &Payment,
    crash: Option<Crash>,
) -> Result<Consumed<i64>> {
    let mut tx = connection.begin_with("BEGIN IMMEDIATE").await?;
    let work = async |tx: &mut SqliteConnection| credit(tx, payment).await;
    let consumed = consume(&mut tx, payment.id, Retention::MESSAGE, work).await?;
    if crash == Some(Crash::BeforeTheCommit) {
        bail!("crashed before the commit: rolled back, effect and record together");
    }
    tx.commit().await?;
    if crash == Some(Crash::BeforeTheAcknowledgement) {
        bail!("crashed after the commit, before the acknowledgement");
    }
    Ok(consumed)
}

#[tokio::main]
async fn main() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let url = match env::args().skip(1).collect::<Vec<_>>().as_slice() {
        [] => format!("sqlite:{}", folder.path().join("consumer.db").display()),
        [flag, url] if flag == "--database-url" => url.clone(),
        _ => bail!("usage: consumer [--database-url sqlite:PATH]"),
    };
    migrate(&url).await?;
    let options = SqliteConnectOptions::from_str(&url)?.busy_timeout(Duration::from_secs(5));
    let mut connection = options.connect().await?;
    let accounts = "CREATE TABLE accounts (name text PRIMARY KEY, cents bigint NOT NULL); \
        INSERT INTO accounts VALUES ('acme', 0)";
    sqlx::raw_sql(accounts).execute(&mut connection).await?;

    // The second message is sent twice, the third and the fourth meet a crash; what is not acknowledged comes again.
    let payments =
        [("payment-1", 100), ("payment-2", 20), ("payment-2", 20), ("payment-3", 3), ("payment-4", 4000)];
    let mut queue: VecDeque<Payment> = payments.map(|(id, cents)| Payment { id, cents }).into();
    let mut crashes =
        vec![("payment-3", Crash::BeforeTheCommit), ("payment-4", Crash::BeforeTheAcknowledgement)];
    let (mut deliveries, mut effects) = (0, 0);
    while let Some(payment) = queue.pop_front() {
        deliveries += 1;
        let crash = crashes.iter().position(|(id, _)| *id == payment.id).map(|at| crashes.remove(at).1);
        match handle(&mut connection, &payment, crash).await {
            Ok(Consumed::Processed(cents)) => {
                effects += 1;
                println!("{}: processed, the account has {cents}", payment.id);
            }
            Ok(Consumed::Duplicate { .. }) => println!("{}: a duplicate, nothing was done", payment.id),
            Err(error) => {
                println!("{}: {error}", payment.id);
                effects += u32::from(crash == Some(Crash::BeforeTheAcknowledgement));
                queue.push_back(payment);
            }
        }
    }
    let cents: i64 = sqlx::query_scalar("SELECT cents FROM accounts").fetch_one(&mut connection).await?;
    println!("proven: {deliveries} deliveries of 4 messages, {effects} effects, the account has {cents}");
    Ok(())
}
