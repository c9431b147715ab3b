//! The places, counted by one atomic number. The tests mount this file a second time over loom's types.

use super::sync::{AtomicU64, Ordering};

/// One operation's places.
#[derive(Debug)]
pub struct Bulkhead {
    places: u32,
    taken: AtomicU64,
}

/// A place that is taken; dropped, it is free again.
#[must_use = "a place that is dropped is free again"]
#[derive(Debug)]
pub struct Place<'a>(&'a Bulkhead);

impl Bulkhead {
    /// So many places, all of them free.
    pub fn new(places: u32) -> Self {
        Self { places, taken: AtomicU64::new(0) }
    }

    /// How many there are.
    pub fn places(&self) -> u32 {
        self.places
    }

    /// How many are taken. Looking changes nothing.
    pub fn taken(&self) -> u32 {
        u32::try_from(self.taken.load(Ordering::Relaxed)).unwrap_or(u32::MAX)
    }

    /// Takes a place, if one is free.
    pub fn enter(&self) -> Option<Place<'_>> {
        let mut taken = self.taken.load(Ordering::Relaxed);
        while taken < u64::from(self.places) {
            match self.taken.compare_exchange_weak(taken, taken + 1, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return Some(Place(self)),
                Err(other) => taken = other,
            }
        }
        None
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::AcqRel);
    }
}
