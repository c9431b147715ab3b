//! Everything the screen may show at one instant.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::advice::{self, Advice};
use crate::{
    domain::text::SafeText,
    engine::reader::{Board, Query},
    metrics::signals::Signals,
};

/// How the database is doing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DatabaseHealth {
    /// `sqlite demo`, `host/name (postgres, user:***)`.
    pub label: SafeText,
    /// When it last answered; the age of everything on the board.
    pub last_ok: Option<DateTime<Utc>>,
    /// Why the last read failed, in words, while it does.
    pub error: Option<SafeText>,
}

/// Everything the screen may show at one instant; immutable.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// Counts up with every snapshot.
    pub number: u64,
    /// When it was put together, by this process's clock.
    pub at: DateTime<Utc>,
    /// The Query that `board` answers.
    pub query: Query,
    /// What the database held; the last good picture while it does not answer, `None` before the first.
    pub board: Option<Arc<Board>>,
    /// How the database is doing.
    pub database: DatabaseHealth,
    /// What the metrics say; `None` without any target.
    pub signals: Option<Arc<Signals>>,
}

impl Snapshot {
    /// What an operator should know first, most important first; nothing before the first board. `now` is by the
    /// database's clock.
    pub fn advice(&self, now: DateTime<Utc>) -> Vec<Advice> {
        self.board.as_ref().map_or_else(Vec::new, |board| advice::advice(board, self.signals.as_deref(), now))
    }
}
