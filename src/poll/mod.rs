//! Reader snapshots and metrics, joined into one `watch<Arc<Snapshot>>`. Never dies, only goes stale.

pub mod snapshot;

pub use snapshot::Snapshot;
