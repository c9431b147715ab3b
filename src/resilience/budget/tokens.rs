//! A bucket of tokens; the tests mount this file a second time over loom's types.

use super::{
    policy::TokenPolicy,
    sync::{AtomicU32, Ordering},
};

/// A bucket that retries take from and successes fill.
#[derive(Debug)]
pub(super) struct Tokens {
    policy: TokenPolicy,
    left: AtomicU32,
}

impl Tokens {
    /// A full bucket.
    pub(super) fn new(policy: TokenPolicy) -> Self {
        Self { policy, left: AtomicU32::new(policy.capacity) }
    }

    /// Takes `cost` tokens; `false`: there are not as many, and none was taken.
    pub(super) fn take(&self, cost: u32) -> bool {
        self.left.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(cost)).is_ok()
    }

    /// Puts `tokens` in, as far as they fit. A full bucket is only looked at.
    #[inline]
    pub(super) fn put(&self, tokens: u32) {
        let full = self.policy.capacity;
        let fill = |left: u32| (left < full).then(|| left.saturating_add(tokens).min(full));
        // `Err` is a bucket that was full.
        let _ = self.left.fetch_update(Ordering::AcqRel, Ordering::Relaxed, fill);
    }

    pub(super) fn left(&self) -> u32 {
        self.left.load(Ordering::Acquire)
    }

    pub(super) fn policy(&self) -> TokenPolicy {
        self.policy
    }
}
