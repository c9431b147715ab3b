//! A lock with an end, for work that only one process may do at a time.
//!
//! A lock that ends by itself cannot stop a holder that was paused past its end. So taking it answers a fencing token
//! that grows with every new holding: hand it to whatever is protected, and let that refuse an older one.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::store::StoreError;

/// What asking for a lock answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Locked {
    /// It is ours.
    Taken {
        /// Grows with every new holding of the resource; the same while one holding is taken again.
        token: i64,
        /// When it ends, by the store's clock.
        until: DateTime<Utc>,
    },
    /// Another holds it.
    Held {
        /// When that ends, by the store's clock.
        until: DateTime<Utc>,
        /// The same as a time to wait.
        retry_after: Duration,
    },
}

/// Locks on named resources.
#[async_trait]
pub trait LockStore: Send + Sync {
    /// Takes `resource` for `owner`, for `ttl` from now. Taken again by the same owner before its end, it lasts anew
    /// under the same token.
    async fn lock(&self, resource: &str, owner: &str, ttl: Duration) -> Result<Locked, StoreError>;

    /// Lets go. `false`: `owner` does not hold it, and nothing was changed.
    async fn unlock(&self, resource: &str, owner: &str) -> Result<bool, StoreError>;
}
