//! The metrics' loop: every target at its own pace, all of them judged once an interval.

use std::sync::Arc;

use tokio::sync::watch;

use super::{Snapshot, Sources, publish};
use crate::{
    clock,
    http::Client,
    metrics::{collector::Collector, discovery::Origin, rounds::Rounds},
};

/// Scrapes and judges, for ever.
pub(super) async fn look(client: Client, sources: Sources, snapshots: Arc<watch::Sender<Arc<Snapshot>>>) {
    let mut collector =
        Collector::new(sources.rules.clone(), sources.scrape_interval, clock::instant(), clock::now())
            .reading(sources.presets.clone());
    for origin in &sources.origins {
        if let Origin::One(target) = origin {
            collector.expect(target);
        }
    }
    if let Some(server) = &sources.prometheus {
        collector.expect_server(server);
    }
    let mut rounds = Rounds::new(client, sources.origins, sources.prometheus, sources.scrape_interval);
    loop {
        rounds.next().await.tell(&mut collector);
        let signals = Arc::new(collector.signals());
        publish(&snapshots, |snapshot| snapshot.signals = Some(signals));
    }
}
