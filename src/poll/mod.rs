//! Reader snapshots and metrics, joined into one `watch<Arc<Snapshot>>`. Never dies, only goes stale.
//!
//! Two loops write into the same picture, each at its own pace: the database's answers a [`Query`] again and again,
//! at once when the Query changes or somebody nudges; the metrics' scrapes every target.

mod database;
mod targets;

pub mod advice;
pub mod record;
pub mod snapshot;

use std::{sync::Arc, time::Duration};

use tokio::sync::{Notify, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use snapshot::DatabaseHealth;
pub use snapshot::Snapshot;

use crate::{
    clock,
    domain::text::SafeText,
    engine::reader::{Query, Reader},
    http::{self, HttpError},
    metrics::{discovery::Origin, prometheus::Prometheus, source::Presets, verdict::Rules},
};

/// What is looked at, and how often.
pub struct Sources {
    /// The database.
    pub reader: Arc<dyn Reader>,
    /// How often it is read.
    pub interval: Duration,
    /// Where metrics endpoints are named.
    pub origins: Vec<Origin>,
    /// A Prometheus server.
    pub prometheus: Option<Prometheus>,
    /// How often targets and server are asked.
    pub scrape_interval: Duration,
    /// How their counters are judged.
    pub rules: Rules,
    /// What they mean.
    pub presets: Presets,
}

/// The two ends a screen holds.
pub struct Feed {
    /// The newest picture.
    pub snapshots: watch::Receiver<Arc<Snapshot>>,
    /// What the screen wants to look at.
    pub queries: watch::Sender<Query>,
    /// Asks for a fresh picture now.
    pub nudge: Arc<Notify>,
    /// How often the database is read.
    pub pace: watch::Sender<Duration>,
}

/// Starts looking, until `cancel`.
///
/// # Errors
/// When no HTTP client can be built.
pub fn start(sources: Sources, tracker: &TaskTracker, cancel: &CancellationToken) -> Result<Feed, HttpError> {
    let first = Snapshot {
        number: 0,
        at: clock::now(),
        query: Query::default(),
        board: None,
        database: DatabaseHealth {
            label: SafeText::new(&sources.reader.label()),
            last_ok: None,
            error: None,
        },
        signals: None,
    };
    let (snapshots, seen) = watch::channel(Arc::new(first));
    let snapshots = Arc::new(snapshots);
    let (queries, asked) = watch::channel(Query::default());
    let nudge = Arc::new(Notify::new());
    let (pace, interval) = watch::channel(sources.interval);
    let without_metrics = sources.origins.is_empty() && sources.prometheus.is_none();
    let database = database::look(
        Arc::clone(&sources.reader),
        interval,
        asked,
        Arc::clone(&nudge),
        Arc::clone(&snapshots),
        without_metrics.then(|| sources.rules.clone()),
    );
    let cancelled = cancel.clone();
    tracker.spawn(async move { cancelled.run_until_cancelled(database).await });
    if !without_metrics {
        let client = http::client(crate::metrics::scrape::TIMEOUT)?;
        let looking = targets::look(client, sources, snapshots);
        let cancelled = cancel.clone();
        tracker.spawn(async move { cancelled.run_until_cancelled(looking).await });
    }
    Ok(Feed { snapshots: seen, queries, nudge, pace })
}

/// Changes the picture: the next number, the present moment, and what `change` says.
fn publish(snapshots: &watch::Sender<Arc<Snapshot>>, change: impl FnOnce(&mut Snapshot)) {
    snapshots.send_modify(|snapshot| {
        let mut next = Snapshot::clone(snapshot);
        next.number += 1;
        next.at = clock::now();
        change(&mut next);
        *snapshot = Arc::new(next);
    });
}
