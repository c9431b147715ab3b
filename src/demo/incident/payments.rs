//! A payment service for the incidents that are about keys: `/charge` charges whenever it is asked, `/charge_keyed` once
//! for each `Idempotency-Key`, by the layer any service can have. Replies can get lost on their way.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    Json, Router,
    extract::{Request, State},
    http::StatusCode,
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::post,
};
use serde::{Deserialize, Serialize};

use super::Ground;
use crate::{
    clock::Random,
    config::Retention,
    demo::{
        DemoError, random,
        traffic::{Failed, listen, serve},
        upstreams::lost,
    },
    engine::{
        idempotency::{Keys, Operation},
        injection::{Injection, Injections},
        store::Store,
    },
    http,
    metrics::{export::Metrics, scrape::Target},
    service::IdempotencyLayer,
    store::{self, OpenOptions},
};

/// What the keys belong to.
pub(super) const OPERATION: &str = "payments.charge";

/// The operation, its answers kept over a weekend.
pub(super) fn operation() -> Operation {
    Operation::new(OPERATION).kept_for(Retention::PAYMENT)
}

/// What is asked for, and a part of what is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Payment {
    order: String,
    cents: u64,
}

/// What is answered: the number of the charge tells one from the next.
#[derive(Debug, Serialize, Deserialize)]
struct Receipt {
    order: String,
    charge: u64,
}

/// The service while it runs.
pub(super) struct Payments {
    inner: Arc<Inner>,
    address: SocketAddr,
    metrics: SocketAddr,
}

struct Inner {
    locked: Mutex<Locked>,
}

struct Locked {
    /// The share of replies that get lost.
    lost: f64,
    random: Random,
    charges: u64,
    /// How often each order was charged.
    by_order: BTreeMap<String, u64>,
}

/// Keys in the demo's database, in connections of their own, told to `metrics`. Each of `faults` is around the store and
/// the faults after it: what one strikes the later ones do not count.
pub(super) async fn keys(
    ground: &Ground<'_>,
    faults: Vec<Injection>,
    metrics: &Arc<Metrics>,
) -> Result<Keys, DemoError> {
    let options = OpenOptions { connections: 2, ..OpenOptions::default() };
    let opened = store::open(ground.database, options).await?;
    let around = |store, fault| Injections::new(vec![fault]).around_store(store);
    let store: Arc<dyn Store> = faults.into_iter().rev().fold(opened.store, around);
    Ok(Keys::new(store, "payments-api").observed_by(metrics.clone()))
}

impl Payments {
    /// Listens; `faults` are in the way of its keys' store.
    pub(super) async fn start(ground: &Ground<'_>, faults: Vec<Injection>) -> Result<Self, DemoError> {
        let Ground { plan, tracker, cancel, .. } = *ground;
        let metrics = Arc::new(Metrics::new());
        let keys = keys(ground, faults, &metrics).await?;
        let once = IdempotencyLayer::new(keys, tracker.clone()).operations(|_| operation());
        let locked = Locked { lost: 0.0, random: random(plan, 70), charges: 0, by_order: BTreeMap::new() };
        let inner = Arc::new(Inner { locked: Mutex::new(locked) });
        // The reply gets lost outside of the key: what was done is done, and stored.
        let app = Router::new()
            .route("/charge_keyed", post(charge).route_layer(once))
            .route("/charge", post(charge))
            .layer(middleware::from_fn_with_state(Arc::clone(&inner), lose))
            .with_state(Arc::clone(&inner));
        let address = listen(app, tracker, cancel).await?;
        let page = move || metrics.encode();
        let metrics = serve(Arc::new(page), tracker, cancel).await?;
        Ok(Self { inner, address, metrics })
    }

    /// Its metrics.
    pub(super) fn target(&self) -> Result<Target, DemoError> {
        Ok(Target::parse(&format!("http://{}/metrics", self.metrics))?.named("payments-api"))
    }

    /// Where a payment is asked for, under a key or without.
    pub(super) fn url(&self, keyed: bool) -> String {
        let path = if keyed { "charge_keyed" } else { "charge" };
        format!("http://{}/{path}", self.address)
    }

    /// From now on this share of replies gets lost.
    pub(super) fn lose(&self, share: f64) {
        self.inner.locked().lost = share;
    }

    /// How often each order that begins with `prefix` was charged, most often first.
    pub(super) fn charges(&self, prefix: &str) -> Vec<u64> {
        let locked = self.inner.locked();
        let of = locked.by_order.iter().filter(|(order, _)| order.starts_with(prefix));
        let mut charges: Vec<u64> = of.map(|(_, charges)| *charges).collect();
        charges.sort_unstable_by(|a, b| b.cmp(a));
        charges
    }
}

impl Inner {
    fn locked(&self) -> MutexGuard<'_, Locked> {
        // What was counted before a panic elsewhere is still right.
        self.locked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Knows nothing of keys: whenever it runs, money moves.
async fn charge(State(inner): State<Arc<Inner>>, Json(payment): Json<Payment>) -> Response {
    let mut locked = inner.locked();
    locked.charges += 1;
    *locked.by_order.entry(payment.order.clone()).or_default() += 1;
    (StatusCode::CREATED, Json(Receipt { order: payment.order, charge: locked.charges })).into_response()
}

async fn lose(State(inner): State<Arc<Inner>>, request: Request, next: Next) -> Response {
    let answer = next.run(request).await;
    let mut locked = inner.locked();
    let (chance, share) = (locked.random.unit(), locked.lost);
    if chance < share { lost() } else { answer }
}

/// What a payer was answered, over all its requests.
#[derive(Default)]
pub(super) struct Answers(Mutex<Heard>);

#[derive(Default)]
struct Heard {
    /// The different charges each order was told of.
    told: BTreeMap<String, BTreeSet<u64>>,
    replayed: u64,
    broken: u64,
}

impl Answers {
    /// Asks for `order` to be paid, and hears what is answered.
    pub(super) async fn pay(&self, client: &http::Client, url: &str, order: &str) -> Result<(), Failed> {
        let payment = Payment { order: order.to_owned(), cents: 1_999 };
        let sent = client.post(url).header("idempotency-key", order).json(&payment).send();
        let answer = sent.await.map_err(|_| Failed)?;
        let replayed = answer.headers().contains_key("idempotent-replayed");
        if !answer.status().is_success() {
            return Err(Failed);
        }
        let body = answer.bytes().await.map_err(|_| Failed)?;
        let mut heard = self.locked();
        heard.replayed += u64::from(replayed);
        match serde_json::from_slice::<Receipt>(&body) {
            Ok(receipt) if receipt.order == order => {
                heard.told.entry(receipt.order).or_default().insert(receipt.charge);
            }
            _ => heard.broken += 1,
        }
        Ok(())
    }

    /// Answers that were replayed.
    pub(super) fn replayed(&self) -> u64 {
        self.locked().replayed
    }

    /// Answers that were no receipt of the order they were for.
    pub(super) fn broken(&self) -> u64 {
        self.locked().broken
    }

    /// How many different charges an order was told of, at most.
    pub(super) fn most_told(&self) -> usize {
        self.locked().told.values().map(BTreeSet::len).max().unwrap_or(0)
    }

    fn locked(&self) -> MutexGuard<'_, Heard> {
        // What was heard before a panic elsewhere is still right.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
