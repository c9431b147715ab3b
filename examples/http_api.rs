//! An HTTP service that takes payments and charges each of them once, however often a client asks.
//!
//! ```text
//! cargo run --example http_api -- [--listen 127.0.0.1:8080] [--database-url sqlite:payments.db]
//!
//! curl -i -X POST http://127.0.0.1:8080/payments -H 'Idempotency-Key: "order-42"' -H 'Content-Type: application/json' \
//!      -d '{"account": "acme", "cents": 1999}'
//! ```
//! Sent again, the same command is answered the same and marked `idempotent-replayed: true`; with other cents it is
//! answered 422, without a key 400, and while the first is still being worked on 409.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context as _;
use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use clap::Parser;
use redrive::{
    config::Retention,
    engine::{
        idempotency::{Keys, Operation},
        sweeper,
    },
    service::IdempotencyLayer,
    store,
};
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

#[derive(Parser)]
struct Options {
    /// Where to listen; port 0 takes any free one.
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: String,
    /// Where the keys are: sqlite:PATH or postgres://…
    #[arg(long, default_value = "sqlite:payments.db")]
    database_url: String,
}

/// Stands for a payment provider: what was charged to whom.
type Provider = Arc<Mutex<HashMap<String, Vec<u64>>>>;

#[derive(Deserialize)]
struct Payment {
    account: String,
    cents: u64,
}

/// Knows nothing of keys: whenever it runs, money moves.
async fn pay(State(provider): State<Provider>, Json(payment): Json<Payment>) -> Response {
    if payment.cents == 0 {
        return (StatusCode::UNPROCESSABLE_ENTITY, Json(json!({"error": "nothing to pay"}))).into_response();
    }
    let mut charges = provider.lock().unwrap_or_else(PoisonError::into_inner);
    let charges = charges.entry(payment.account.clone()).or_default();
    charges.push(payment.cents);
    let location = format!("/payments/{}/{}", payment.account, charges.len());
    let receipt = Json(json!({"account": payment.account, "cents": payment.cents, "number": charges.len()}));
    (StatusCode::CREATED, [(header::LOCATION, location)], receipt).into_response()
}

async fn charged(State(provider): State<Provider>) -> Response {
    Json(&*provider.lock().unwrap_or_else(PoisonError::into_inner)).into_response()
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    store::migrate(&options.database_url).await.context("creating the tables")?;
    let opened = store::open(&options.database_url, store::OpenOptions::default()).await?;
    let (tracker, shutdown) = (TaskTracker::new(), CancellationToken::new());

    let keys = Keys::new(opened.store.clone(), "payments-api");
    let once = IdempotencyLayer::new(keys, tracker.clone())
        .operations(|_| Operation::new("payments.charge").kept_for(Retention::PAYMENT));
    let routes = Router::new()
        .route("/payments", post(pay).layer(once))
        .route("/charged", get(charged))
        .with_state(Provider::default());

    tracker.spawn(sweeper::run(opened.store, Duration::from_secs(60), shutdown.clone()));
    let listener = TcpListener::bind(&options.listen).await.context("listening")?;
    println!("listens on http://{}", listener.local_addr()?);
    let stop = async { drop(tokio::signal::ctrl_c().await) };
    axum::serve(listener, routes).with_graceful_shutdown(stop).await?;
    // Work whose callers have gone is finished, so that its answers are stored.
    shutdown.cancel();
    tracker.close();
    tracker.wait().await;
    Ok(())
}
