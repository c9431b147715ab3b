//! The metrics' loop: every target at once, so that a bad one delays none of the others by more than its timeout.

use std::sync::Arc;

use tokio::sync::watch;

use super::{Snapshot, Sources, publish};
use crate::{
    clock,
    http::Client,
    metrics::{self, collector::Collector, scrape},
};

/// Scrapes and judges, for ever.
pub(super) async fn look(client: Client, sources: Sources, snapshots: Arc<watch::Sender<Arc<Snapshot>>>) {
    let mut collector =
        Collector::new(sources.rules.clone(), sources.scrape_interval, clock::instant(), clock::now())
            .reading(sources.presets.clone());
    for target in &sources.targets {
        collector.expect(target);
    }
    if let Some(server) = &sources.prometheus {
        collector.expect_server(server);
    }
    loop {
        let began = clock::instant();
        // A slow target must not hold up the others' next scrape for longer than the interval itself.
        let limit = scrape::TIMEOUT.min(sources.scrape_interval.max(std::time::Duration::from_millis(500)));
        let said = metrics::ask(&client, &sources.targets, sources.prometheus.as_ref(), limit).await;
        collector.observe(clock::instant(), clock::now(), said);
        let signals = Arc::new(collector.signals());
        publish(&snapshots, |snapshot| snapshot.signals = Some(signals));
        let spent = clock::instant().saturating_duration_since(began);
        clock::sleep(sources.scrape_interval.saturating_sub(spent)).await;
    }
}
