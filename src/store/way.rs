//! What is known of the way to the server, shared by all connections of one store. Knows no SQL.

use std::{
    fmt,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use crate::clock;

/// A pooler in between, and connections that fell silent. Clones are the same.
#[derive(Clone, Default)]
pub(super) struct Way(Arc<Known>);

#[derive(Default)]
struct Known {
    pooler: OnceLock<&'static str>,
    silent: Mutex<Option<Instant>>,
}

impl Way {
    /// How it is known that a pooler lends its connections for one transaction at a time; `None`: there is none.
    pub(super) fn pooler(&self) -> Option<&'static str> {
        self.0.pooler.get().copied()
    }

    /// There is a pooler, as `how` shows. From now on no connection is relied on from one transaction to the next.
    pub(super) fn met_pooler(&self, how: &'static str) {
        if self.0.pooler.set(how).is_ok() {
            tracing::info!(how, "a pooler stands between redrive and the database");
        }
    }

    /// A connection did not answer: something on the way may drop packets in silence.
    pub(super) fn fell_silent(&self) {
        *self.silent() = Some(clock::instant());
    }

    /// Whether a connection that was last used `idle` ago may be as dead as the one that fell silent since.
    pub(super) fn is_suspect(&self, idle: Duration) -> bool {
        let last_used = clock::instant().checked_sub(idle);
        self.silent().is_some_and(|silent| last_used.is_none_or(|used| used <= silent))
    }

    fn silent(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.0.silent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Way").field(&self.pooler()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_idle_since_the_silence_are_suspect() {
        let way = Way::default();
        assert!(!way.is_suspect(Duration::from_secs(60)));
        way.fell_silent();
        assert!(way.is_suspect(Duration::from_secs(60)));
        assert!(way.clone().is_suspect(Duration::from_secs(60)), "whoever shares the way knows");
    }
}
