//! A sliding window in ten slices: what is added is forgotten, slice by slice, once it is older than the window.

use std::{
    ops::{AddAssign, SubAssign},
    time::{Duration, Instant},
};

const SLICES: usize = 10;

/// Sums of `T` over the last window.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slices<T> {
    slices: [T; SLICES],
    total: T,
    /// The slice that is being filled, counted from `origin`.
    head: u64,
    /// The length of one, in nanoseconds.
    length: u64,
    origin: Instant,
}

/// Nanoseconds from `origin` to `now`; 0 before it, and far enough for five centuries.
pub(super) fn nanos(origin: Instant, now: Instant) -> u64 {
    let since = now.saturating_duration_since(origin);
    since.as_secs().saturating_mul(1_000_000_000).saturating_add(u64::from(since.subsec_nanos()))
}

impl<T: Copy + Default + AddAssign + SubAssign> Slices<T> {
    /// An empty window of length `window` that begins at `origin`.
    pub(super) fn new(window: Duration, origin: Instant) -> Self {
        let length = u64::try_from(window.as_nanos() / SLICES as u128).unwrap_or(u64::MAX).max(1);
        Self { slices: [T::default(); SLICES], total: T::default(), head: 0, length, origin }
    }

    /// Forgets what is too old at `now`. A `now` before an earlier one changes nothing.
    pub(super) fn roll(&mut self, now: Instant) {
        let head = nanos(self.origin, now) / self.length;
        for passed in 1..=head.saturating_sub(self.head).min(SLICES as u64) {
            let slice = &mut self.slices[((self.head + passed) % SLICES as u64) as usize];
            self.total -= std::mem::take(slice);
        }
        self.head = self.head.max(head);
    }

    /// Adds to the slice that is being filled.
    pub(super) fn add(&mut self, what: T) {
        self.slices[(self.head % SLICES as u64) as usize] += what;
        self.total += what;
    }

    /// The sum over the window as it was rolled last.
    pub(super) fn total(&self) -> T {
        self.total
    }

    /// Every slice, the one that is being filled first. What is changed there must be changed in the total too.
    pub(super) fn latest_first(&mut self) -> (impl Iterator<Item = &mut T>, &mut T) {
        let head = (self.head % SLICES as u64) as usize;
        let (newer, older) = self.slices.split_at_mut(head + 1);
        (newer.iter_mut().rev().chain(older.iter_mut().rev()), &mut self.total)
    }

    /// When the slice that is being filled ends, in nanoseconds from the origin.
    pub(super) fn ends(&self) -> u64 {
        self.head.saturating_add(1).saturating_mul(self.length)
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the tests need some instant to begin from")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_was_added_is_forgotten_after_the_window() {
        let origin = Instant::now();
        let mut window = Slices::<u32>::new(Duration::from_secs(10), origin);
        window.add(3);
        window.roll(origin + Duration::from_secs(9));
        window.add(4);
        assert_eq!(window.total(), 7);
        window.roll(origin + Duration::from_secs(10));
        assert_eq!(window.total(), 4);
        window.roll(origin + Duration::from_secs(1_000_000));
        assert_eq!(window.total(), 0);
    }

    proptest! {
        #[test]
        fn the_sum_is_that_of_the_last_ten_slices(steps in prop::collection::vec((0_u64..25, 0_u32..9), 0..60)) {
            let origin = Instant::now();
            let mut window = Slices::<u32>::new(Duration::from_secs(10), origin);
            let (mut now, mut added) = (0, Vec::new());
            for (pause, amount) in steps {
                now += pause;
                window.roll(origin + Duration::from_secs(now));
                window.add(amount);
                added.push((now, amount));
                let expected: u32 = added.iter().filter(|(at, _)| now - at < 10).map(|(_, n)| n).sum();
                prop_assert_eq!(window.total(), expected);
            }
        }
    }
}
