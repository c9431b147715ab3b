//! What a circuit remembers of its calls: the last so many, or those of the last so long.

use std::{
    ops::{AddAssign, SubAssign},
    time::{Duration, Instant},
};

use crate::resilience::slices::Slices;

/// Which calls are remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    /// The last so many.
    Calls(u32),
    /// Those that ended within the last so long, forgotten a tenth of it at a time.
    Time(Duration),
}

/// What is known of some calls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// How many ended.
    pub calls: u32,
    /// How many of them failed.
    pub failed: u32,
    /// How many of them took long, whether they failed or not.
    pub slow: u32,
}

impl Counts {
    /// One call.
    pub(super) fn one(failed: bool, slow: bool) -> Self {
        Self { calls: 1, failed: failed.into(), slow: slow.into() }
    }

    /// So many quick successes.
    pub(super) fn well(calls: u32) -> Self {
        Self { calls, failed: 0, slow: 0 }
    }

    /// Whether all of them went well.
    pub(super) fn is_clean(&self) -> bool {
        self.failed == 0 && self.slow == 0
    }

    /// The share that failed, in `[0, 1]`; `None` of no calls.
    pub fn failure_rate(&self) -> Option<f64> {
        (self.calls > 0).then(|| f64::from(self.failed) / f64::from(self.calls))
    }

    /// The share that was slow, in `[0, 1]`; `None` of no calls.
    pub fn slow_rate(&self) -> Option<f64> {
        (self.calls > 0).then(|| f64::from(self.slow) / f64::from(self.calls))
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.calls = self.calls.saturating_add(other.calls);
        self.failed = self.failed.saturating_add(other.failed);
        self.slow = self.slow.saturating_add(other.slow);
    }
}

impl SubAssign for Counts {
    fn sub_assign(&mut self, other: Self) {
        self.calls = self.calls.saturating_sub(other.calls);
        self.failed = self.failed.saturating_sub(other.failed);
        self.slow = self.slow.saturating_sub(other.slow);
    }
}

/// The calls themselves.
#[derive(Debug)]
pub(super) enum Remembered {
    /// `ring` holds of each call whether it failed and whether it was slow.
    Calls {
        ring: Vec<(bool, bool)>,
        next: usize,
        limit: usize,
        total: Counts,
    },
    Time(Slices<Counts>),
}

impl Remembered {
    pub(super) fn new(window: Window, now: Instant) -> Self {
        match window {
            Window::Calls(limit) => {
                let limit = limit.max(1) as usize;
                Self::Calls { ring: Vec::new(), next: 0, limit, total: Counts::default() }
            }
            Window::Time(window) => Self::Time(Slices::new(window, now)),
        }
    }

    /// Remembers one call that ended at `now`, and forgets what that pushes out.
    pub(super) fn add(&mut self, call: Counts, now: Instant) {
        match self {
            Self::Calls { .. } => self.push(call),
            Self::Time(slices) => {
                slices.roll(now);
                slices.add(call);
            }
        }
    }

    /// Remembers so many quick successes that ended before anything that is added next.
    pub(super) fn add_well(&mut self, calls: u32) {
        match self {
            Self::Calls { limit, .. } => {
                for _ in 0..calls.min(u32::try_from(*limit).unwrap_or(u32::MAX)) {
                    self.push(Counts::one(false, false));
                }
            }
            Self::Time(slices) => slices.add(Counts::well(calls)),
        }
    }

    /// What is remembered, with `unread` quick successes on top, as it stands at `now`.
    pub(super) fn counts(&self, unread: u32, now: Instant) -> Counts {
        match self {
            Self::Calls { total, limit, .. } => {
                // As far as a window that was clean goes, which is the only one that leaves any unread.
                let calls = total.calls.saturating_add(unread).min(u32::try_from(*limit).unwrap_or(u32::MAX));
                Counts { calls, ..*total }
            }
            Self::Time(slices) => {
                let mut then = *slices;
                then.add(Counts::well(unread));
                then.roll(now);
                then.total()
            }
        }
    }

    /// What is remembered, as of the last call.
    pub(super) fn total(&self) -> Counts {
        match self {
            Self::Calls { total, .. } => *total,
            Self::Time(slices) => slices.total(),
        }
    }

    /// Until when quick successes need no time, in nanoseconds from the window's beginning.
    pub(super) fn timeless_until(&self) -> u64 {
        match self {
            Self::Calls { .. } => u64::MAX,
            Self::Time(slices) => slices.ends(),
        }
    }

    fn push(&mut self, call: Counts) {
        let Self::Calls { ring, next, limit, total } = self else { return };
        let seen = (call.failed > 0, call.slow > 0);
        *total += call;
        match ring.get_mut(*next) {
            Some(oldest) => {
                let (failed, slow) = std::mem::replace(oldest, seen);
                *total -= Counts::one(failed, slow);
            }
            None => ring.push(seen),
        }
        *next = (*next + 1) % *limit;
    }
}
