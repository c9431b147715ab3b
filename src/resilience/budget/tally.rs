//! How many first tries and retries.

use std::ops::{AddAssign, SubAssign};

use crate::resilience::slices::Slices;

/// How many first tries and retries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// First tries.
    pub first: u64,
    /// Retries.
    pub retries: u64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.first += other.first;
        self.retries += other.retries;
    }
}

impl SubAssign for Tally {
    fn sub_assign(&mut self, other: Self) {
        self.first -= other.first;
        self.retries -= other.retries;
    }
}

impl Slices<Tally> {
    /// Takes back the latest retry.
    pub(super) fn forgive(&mut self) {
        let (mut slices, total) = self.latest_first();
        if let Some(slice) = slices.find(|slice| slice.retries > 0) {
            slice.retries -= 1;
            total.retries -= 1;
        }
    }
}
