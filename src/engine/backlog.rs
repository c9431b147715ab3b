//! How far the workers are behind: for how long the earliest due work has waited. What takes new work looks at it.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// Written by a worker, read by whoever lets work in.
#[derive(Debug, Default)]
pub struct Backlog(AtomicU64);

impl Backlog {
    /// The earliest due work has waited for so long.
    pub fn set(&self, late: Duration) {
        self.0.store(u64::try_from(late.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// For how long the earliest due work has waited.
    pub fn late(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }
}
