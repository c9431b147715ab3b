//! What a caller is answered who does things once in a transaction of its own. The verbs are `once_in` and `consume`,
//! one pair for each dialect: [`postgres`](super::postgres) and [`sqlite`](super::sqlite).

use chrono::{DateTime, Utc};

use crate::engine::idempotency::Held;

/// Why nothing was done. The transaction is as it was before the call and can be used on, unless its connection is
/// lost; only a mismatch leaves something, its count on the key.
#[derive(Debug, thiserror::Error)]
pub enum Undone<E> {
    /// The key or the database did not let the work run, or did not take its end.
    #[error(transparent)]
    Held(#[from] Held),
    /// The work's own error.
    #[error("{0}")]
    Work(E),
}

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Consumed<T> {
    /// It is new: the work ran, and this is what it came to.
    Processed(T),
    /// It was processed before: nothing ran.
    Duplicate {
        /// When, by the database's clock.
        processed_at: DateTime<Utc>,
    },
}
