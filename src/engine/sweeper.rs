//! The sweeper: forgets keys and messages whose retention is over, a small batch at a time, so that nobody waits for it.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use super::key::KeyStore;
use crate::clock;

/// Rows a batch: some milliseconds of work, and few locks.
const BATCH: u32 = 500;
/// Between full batches, so that others come in between.
const PAUSE: Duration = Duration::from_millis(50);

/// Sweeps every `every` until `shutdown`. Several may run at once: what one has locked the others leave out.
pub async fn run(keys: Arc<dyn KeyStore>, every: Duration, shutdown: CancellationToken) {
    loop {
        let wait = match keys.sweep(BATCH).await {
            Ok(swept) if swept >= u64::from(BATCH) => PAUSE,
            Ok(swept) => {
                if swept > 0 {
                    tracing::debug!(swept, "forgot keys whose retention is over");
                }
                every
            }
            Err(error) => {
                tracing::warn!(%error, "cannot forget old keys: trying again later");
                every
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = clock::sleep(wait) => {}
        }
    }
}
