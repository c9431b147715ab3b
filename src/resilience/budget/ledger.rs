//! First tries and retries over a window, counted by many threads at once.
//!
//! A first try adds to a word of its thread's own. Retries, which are rare while all is well, take the lock and read
//! those words first. The tests mount this file a second time over loom's types.

use std::time::{Duration, Instant};

use super::{
    slices::{Slices, nanos},
    stripe::Striped,
    sync::{AtomicU64, Mutex, Ordering},
    tally::Tally,
};

/// What one operation did over the last window.
#[derive(Debug)]
pub(super) struct Ledger {
    origin: Instant,
    /// When the slice ends that words are read into, in nanoseconds from the origin.
    ends: AtomicU64,
    unread: Striped,
    slices: Mutex<Slices<Tally>>,
}

impl Ledger {
    pub(super) fn new(window: Duration, now: Instant) -> Self {
        let slices = Slices::new(window, now);
        let ends = AtomicU64::new(slices.ends());
        Self { origin: now, ends, unread: Striped::new(), slices: Mutex::new(slices) }
    }

    /// Counts one first try at `now`.
    #[inline]
    pub(super) fn first_try(&self, now: Instant) {
        if nanos(self.origin, now) >= self.ends.load(Ordering::Relaxed) {
            self.with(now, |_, slices| slices.add(Tally { first: 1, retries: 0 }));
        } else {
            self.unread.mine().fetch_add(1, Ordering::Release);
        }
    }

    /// Counts one retry at `now` if `affordable` says so of what was done in the window before it.
    pub(super) fn retry(&self, now: Instant, affordable: impl FnOnce(Tally) -> bool) -> bool {
        self.with(now, |total, slices| {
            let granted = affordable(total);
            if granted {
                slices.add(Tally { first: 0, retries: 1 });
            }
            granted
        })
    }

    /// A retry that was counted was not made.
    pub(super) fn unretry(&self, now: Instant) {
        self.with(now, |_, slices| slices.forgive());
    }

    /// What was done in the window before `now`. Looking changes nothing.
    pub(super) fn total(&self, now: Instant) -> Tally {
        let mut then = *self.lock();
        let unread = self.unread.all().map(|word| word.load(Ordering::Acquire)).sum();
        then.add(Tally { first: unread, retries: 0 });
        then.roll(now);
        then.total()
    }

    fn with<T>(&self, now: Instant, act: impl FnOnce(Tally, &mut Slices<Tally>) -> T) -> T {
        let mut slices = self.lock();
        for word in self.unread.all() {
            if word.load(Ordering::Relaxed) != 0 {
                slices.add(Tally { first: word.swap(0, Ordering::AcqRel), retries: 0 });
            }
        }
        slices.roll(now);
        self.ends.store(slices.ends(), Ordering::Relaxed);
        act(slices.total(), &mut slices)
    }

    fn lock(&self) -> super::sync::MutexGuard<'_, Slices<Tally>> {
        // A panic under this lock leaves plain counters behind, which are still good.
        self.slices.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
