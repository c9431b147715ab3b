//! A service with a capacity, on loopback: the lab's model in real time. A request takes a slot or waits in a queue of
//! limited length; what does not fit is refused at once. It does not know when a caller has stopped waiting, and works
//! for it all the same: that is how retries can keep it down.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    Router,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    routing::post,
};
use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::export;
use crate::{
    clock::{self, Random},
    demo::lab::{Capacity, Effect},
};

/// Which operation a fault is about; `None`: all.
pub(crate) type At = Option<&'static str>;

/// A service while it runs.
#[derive(Clone)]
pub(crate) struct Service {
    inner: Arc<Inner>,
    address: SocketAddr,
}

struct Inner {
    capacity: Capacity,
    slots: Semaphore,
    waiting: AtomicUsize,
    /// How much longer than usual an operation takes.
    costs: BTreeMap<&'static str, f64>,
    locked: Mutex<Locked>,
    tracker: TaskTracker,
    cancel: CancellationToken,
}

struct Locked {
    faults: Vec<(At, Effect)>,
    random: Random,
    requests: u64,
    /// By whoever began it all: the `x-person` that every layer hands on.
    by_person: BTreeMap<String, u64>,
}

impl Service {
    /// Listens on loopback with `capacity`; operations in `costs` take so many times as long.
    ///
    /// # Errors
    /// When there is no port.
    pub(crate) async fn start(
        capacity: Capacity,
        costs: &[(&'static str, f64)],
        random: Random,
        tracker: &TaskTracker,
        cancel: &CancellationToken,
    ) -> std::io::Result<Self> {
        let locked = Locked { faults: Vec::new(), random, requests: 0, by_person: BTreeMap::new() };
        let inner = Arc::new(Inner {
            capacity,
            slots: Semaphore::new(capacity.slots),
            waiting: AtomicUsize::new(0),
            costs: costs.iter().copied().collect(),
            locked: Mutex::new(locked),
            tracker: tracker.clone(),
            cancel: cancel.clone(),
        });
        let app = Router::new().route("/{operation}", post(take)).with_state(Arc::clone(&inner));
        let address = export::listen(app, tracker, cancel).await?;
        Ok(Self { inner, address })
    }

    /// Where `operation` is called.
    pub(crate) fn url(&self, operation: &str) -> String {
        format!("http://{}/{operation}", self.address)
    }

    /// Exactly these faults from now on.
    pub(crate) fn set(&self, faults: &[(At, Effect)]) {
        self.inner.locked().faults = faults.to_vec();
    }

    /// How many requests came in.
    pub(crate) fn requests(&self) -> u64 {
        self.inner.locked().requests
    }

    /// The most requests that came in for one person.
    pub(crate) fn most_for_one_person(&self) -> u64 {
        self.inner.locked().by_person.values().copied().max().unwrap_or(0)
    }
}

async fn take(
    State(inner): State<Arc<Inner>>,
    Path(operation): Path<String>,
    headers: HeaderMap,
) -> StatusCode {
    let person = headers.get("x-person").and_then(|value| value.to_str().ok());
    let refused = {
        let mut locked = inner.locked();
        locked.requests += 1;
        if let Some(person) = person {
            *locked.by_person.entry(person.to_owned()).or_default() += 1;
        }
        locked.strikes(
            &operation,
            |effect| if let Effect::Refusing(share) = effect { Some(share) } else { None },
        )
    };
    if refused || !inner.has_room() {
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    // In a task of its own: it stays in the queue, and is worked on, when its caller has left.
    let work = Arc::clone(&inner);
    let task = inner.tracker.spawn(async move {
        let cancel = work.cancel.clone();
        cancel.run_until_cancelled(work.work(&operation)).await
    });
    match task.await {
        Ok(Some(true)) => StatusCode::OK,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl Inner {
    /// Takes a place: at once, or in the queue.
    fn has_room(&self) -> bool {
        let places = self.capacity.slots + self.capacity.queue;
        let enter = |inside: usize| (inside < places).then_some(inside + 1);
        self.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, enter).is_ok()
    }

    /// Waits for a slot, works, leaves the place; tells whether it went well.
    async fn work(&self, operation: &str) -> bool {
        let place = Place(&self.waiting);
        // Slots are handed out in the order they were asked for, and never closed.
        let Ok(slot) = self.slots.acquire().await else { return false };
        let (takes, well) = {
            let mut locked = self.locked();
            let slow = |effect: &Effect| if let Effect::Slow(factor) = effect { *factor } else { 1.0 };
            let factor: f64 = locked.effects(operation).map(slow).product();
            let cost = self.costs.get(operation).copied().unwrap_or(1.0);
            let takes = self.capacity.service.mul_f64(cost * factor * (0.5 + locked.random.unit()));
            let failing = |effect| if let Effect::Failing(share) = effect { Some(share) } else { None };
            (takes, !locked.strikes(operation, failing))
        };
        clock::sleep(takes).await;
        drop((slot, place));
        well
    }

    fn locked(&self) -> MutexGuard<'_, Locked> {
        // What was counted before a panic elsewhere is still right.
        self.locked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of those inside, until it is dropped.
struct Place<'a>(&'a AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Locked {
    fn effects(&self, operation: &str) -> impl Iterator<Item = &Effect> {
        let about = move |at: &At| at.is_none_or(|only| only == operation);
        self.faults.iter().filter(move |(at, _)| about(at)).map(|(_, effect)| effect)
    }

    fn strikes(&mut self, operation: &str, share: impl Fn(Effect) -> Option<f64>) -> bool {
        let shares: Vec<f64> = self.effects(operation).copied().filter_map(share).collect();
        shares.into_iter().any(|share| self.random.unit() < share)
    }
}
