//! A client whose calls are tried again, within reason: by hand, and as a tower layer around any client.
//!
//! ```text
//! cargo run --example resilient_client
//! ```
//! The ledger it calls stands on loopback. It fails twice for each path before it works, and says which attempt it was
//! told of; `/closed` never works, and says not to try again.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Result;
use axum::{
    Extension, Router,
    http::{StatusCode, Uri},
    response::{IntoResponse, Response},
    routing::put,
};
use redrive::{
    http::{Client, client},
    resilience::{
        backoff::{Backoff, Jitter},
        layer::{Caller, CallerLayer, HttpFault, RetryLayer, SHOULD_RETRY},
        policy::{Attempt, Policy, Settings},
    },
};
use tokio::{net::TcpListener, task::JoinSet};
use tower::{Service, ServiceBuilder, service_fn};

/// One attempt, by hand: it tells the ledger which one it is, and reads what the answer says about another.
async fn book(client: &Client, url: String, attempt: Attempt) -> Result<String, HttpFault> {
    let request = client.put(url).headers(Caller::current().headers(attempt)).body("100 cents");
    let answer = request.send().await.map_err(HttpFault::broken)?;
    HttpFault::check(answer.status(), answer.headers())?;
    answer.text().await.map_err(HttpFault::broken)
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut servers = JoinSet::new();
    let ledger = serve(&mut servers).await?;
    let client = client(Duration::from_secs(10))?;

    // One policy for one operation, shared by all who make its calls.
    let policy = Arc::new(Policy::new(
        "ledger.book",
        Settings {
            attempts: 4,
            backoff: Backoff {
                base: Duration::from_millis(20),
                cap: Duration::from_secs(1),
                jitter: Jitter::Full,
            },
            timeout: Duration::from_secs(5),
            deadline: Some(Duration::from_secs(20)),
            ..Settings::default()
        },
    )?);

    let booked = policy.run(|attempt| book(&client, format!("{ledger}/by-hand"), attempt)).await?;
    println!("by hand: {booked}");

    let send = service_fn(move |request: http::Request<&'static str>| {
        let client = client.clone();
        async move { client.execute(request.try_into()?).await.map(http::Response::from) }
    });
    let mut layered = ServiceBuilder::new().layer(RetryLayer::http(policy)).service(send);
    for path in ["as-a-layer", "closed"] {
        let request = http::Request::put(format!("{ledger}/{path}")).body("100 cents")?;
        let answer = layered.call(request).await?;
        println!("{path}: {}", answer.status());
    }
    Ok(())
}

/// Starts the ledger: where it is.
async fn serve(servers: &mut JoinSet<std::io::Result<()>>) -> Result<String> {
    let seen = Arc::new(Mutex::new(HashMap::<String, u32>::new()));
    let ledger = move |uri: Uri, Extension(caller): Extension<Caller>| async move {
        let times = {
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            let times = seen.entry(uri.path().to_owned()).or_default();
            *times += 1;
            *times
        };
        let answer: Response = match (uri.path(), times) {
            ("/closed", _) => (StatusCode::SERVICE_UNAVAILABLE, [(SHOULD_RETRY, "false")]).into_response(),
            (_, 1 | 2) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
            _ => "booked".into_response(),
        };
        println!("  the ledger: {uri}, attempt {}: {}", caller.attempt(), answer.status().as_u16());
        answer
    };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let base = format!("http://{}", listener.local_addr()?);
    let routes = Router::new().route("/{path}", put(ledger)).layer(CallerLayer);
    servers.spawn(async { axum::serve(listener, routes).await });
    Ok(base)
}
