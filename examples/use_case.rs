//! An order and its payment: each done once per key, however often the caller asks.
//!
//! ```text
//! cargo run --example use_case [-- --database-url sqlite:PATH]
//! ```
//! Placing an order writes our own rows: [`once_in`] commits the key with them. Charging a card happens elsewhere:
//! [`Keys::once`] runs it at least once, and hands the callee the same key each time. Handing over to the warehouse is
//! for one process at a time: a lock. The database is a temporary file unless a new one is named; on Postgres `once_in` comes
//! from `redrive::store::postgres`, and connections are `PgConnection`s.

use std::{collections::HashMap, env, str::FromStr, time::Duration};

use anyhow::{Result, bail};
use redrive::{
    config::Retention,
    engine::{
        idempotency::{Held, Keys, Operation, Outcome, Source, Worked},
        key::Answer,
        lock::Locked,
    },
    store::{OpenOptions, Undone, migrate, open, sqlite::once_in},
};
use serde::Serialize;
use sqlx::{ConnectOptions, Connection, SqliteConnection, sqlite::SqliteConnectOptions};

/// What a client asks for. Its canonical JSON is what its key belongs to.
#[derive(Serialize)]
struct Order {
    article: &'static str,
    pieces: i64,
}

/// The work of placing an order, on the caller's transaction.
async fn place(tx: &mut SqliteConnection, order: &Order) -> Result<Worked, sqlx::Error> {
    let insert = "INSERT INTO orders (article, pieces, status) VALUES ($1, $2, 'placed') RETURNING id";
    let insert = sqlx::query_scalar::<_, i64>(insert).bind(order.article).bind(order.pieces);
    let id = insert.fetch_one(&mut *tx).await?;
    let take = "UPDATE stock SET pieces = pieces - $2 WHERE article = $1 AND pieces >= $2";
    let taken = sqlx::query(take).bind(order.article).bind(order.pieces).execute(tx).await?;
    Ok(match taken.rows_affected() {
        // It will not pass by itself: this answer is kept, the row above is not.
        0 => Worked::Failed(Answer::new(409, *b"not so many in stock")),
        _ => Worked::Completed(Answer::new(201, format!("order {id} is placed"))),
    })
}

/// The use case: a transaction of its own, committed whatever the answer is.
async fn place_once(
    db: &mut SqliteConnection,
    key: &str,
    order: &Order,
) -> Result<Outcome, Undone<sqlx::Error>> {
    let operation = Operation::new("orders.place");
    let mut tx = db.begin_with("BEGIN IMMEDIATE").await.map_err(Undone::Work)?;
    let work = async |tx: &mut SqliteConnection| place(tx, order).await;
    let outcome = once_in(&mut tx, &operation, key, order, &(), work).await?;
    tx.commit().await.map_err(Undone::Work)?;
    Ok(outcome)
}

/// A use case may answer a repeated request with how things stand now. The effect is skipped all the same.
async fn place_and_read(db: &mut SqliteConnection, key: &str, order: &Order) -> Result<String> {
    let outcome = place_once(db, key, order).await?;
    match outcome.source {
        Source::Stored => {
            let status = sqlx::query_scalar::<_, String>("SELECT status FROM orders WHERE article = $1");
            Ok(format!("now {}", status.bind(order.article).fetch_one(db).await?))
        }
        _ => Ok(text(&outcome)),
    }
}

/// Stands in for a payment provider: busy at first, then it declines one card. Remembers the keys it was sent.
#[derive(Default)]
struct Provider(HashMap<String, u32>);

impl Provider {
    fn charge(&mut self, key: &str, card: &str) -> Worked {
        let calls = self.0.entry(key.to_owned()).or_default();
        *calls += 1;
        match (*calls, card) {
            (_, "stolen") => Worked::Failed(Answer::new(402, *b"the card is declined")),
            (1, _) => Worked::Freed(Answer::new(503, *b"the provider is busy")),
            _ => Worked::Completed(Answer::new(200, *b"charged")),
        }
    }
}

fn text(outcome: &Outcome) -> String {
    format!("{} {}", outcome.answer.code, String::from_utf8_lossy(&outcome.answer.body))
}

fn said(outcome: &Outcome) -> String {
    let how = if outcome.source == Source::Stored { "replayed" } else { "ran" };
    format!("{how}: {}", text(outcome))
}

#[tokio::main]
async fn main() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let url = match env::args().skip(1).collect::<Vec<_>>().as_slice() {
        [] => format!("sqlite:{}", folder.path().join("orders.db").display()),
        [flag, url] if flag == "--database-url" => url.clone(),
        _ => bail!("usage: use_case [--database-url sqlite:PATH]"),
    };
    migrate(&url).await?;
    let options = SqliteConnectOptions::from_str(&url)?.busy_timeout(Duration::from_secs(5));
    let mut db = options.connect().await?;
    let tables = "CREATE TABLE orders (id integer PRIMARY KEY, article text NOT NULL, pieces bigint NOT NULL, status text NOT NULL); \
        CREATE TABLE stock (article text PRIMARY KEY, pieces bigint NOT NULL); INSERT INTO stock VALUES ('lamp', 3)";
    sqlx::raw_sql(tables).execute(&mut db).await?;

    println!("An order, in our own transaction:");
    let (two, nine) = (Order { article: "lamp", pieces: 2 }, Order { article: "lamp", pieces: 9 });
    for _ in 0..2 {
        println!("  two lamps      {}", said(&place_once(&mut db, "key-1", &two).await?));
    }
    match place_once(&mut db, "key-1", &nine).await {
        Err(Undone::Held(held @ Held::Mismatch)) => println!("  nine lamps     refused: {held}"),
        other => bail!("a key belongs to one request, but: {other:?}"),
    }
    for _ in 0..2 {
        println!("  nine lamps     {}", said(&place_once(&mut db, "key-2", &nine).await?));
    }

    println!("A card, at another service:");
    let opened = open(&url, OpenOptions::default()).await?;
    let keys = Keys::new(opened.store.clone(), "shop");
    let charge = Operation::new("payments.charge").kept_for(Retention::PAYMENT);
    let mut provider = Provider::default();
    for (key, card) in
        [("key-3", "good"), ("key-3", "good"), ("key-3", "good"), ("key-4", "stolen"), ("key-4", "stolen")]
    {
        let outcome = keys.once(&charge, key, card, || async { provider.charge(key, card) }).await?;
        println!("  a {card:6} card  {}", said(&outcome));
    }
    sqlx::raw_sql("UPDATE orders SET status = 'paid'").execute(&mut db).await?;
    println!("  the order      {}", place_and_read(&mut db, "key-1", &two).await?);

    println!("The warehouse, one process at a time:");
    for shop in ["shop-a", "shop-b"] {
        match opened.store.lock("warehouse", shop, Duration::from_secs(30)).await? {
            // The token grows with every holder: the warehouse refuses an older one.
            Locked::Taken { .. } => println!("  {shop}         has it"),
            Locked::Held { .. } => println!("  {shop}         has to wait"),
        }
    }
    opened.store.unlock("warehouse", "shop-a").await?;

    let orders: i64 = sqlx::query_scalar("SELECT count(*) FROM orders").fetch_one(&mut db).await?;
    let left: i64 = sqlx::query_scalar("SELECT pieces FROM stock").fetch_one(&mut db).await?;
    let (good, stolen) = (provider.0["key-3"], provider.0["key-4"]);
    println!(
        "proven: 6 requests made {orders} order and left {left} lamp; of 5 charges the provider saw {good} and {stolen}"
    );
    Ok(())
}
