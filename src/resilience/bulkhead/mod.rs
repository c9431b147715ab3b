//! A bulkhead: how many calls of one operation may be under way at once, so that a slow callee holds that many callers
//! and no more. Nobody waits here: who finds no place is told so at once, and may come back later.

#[cfg(test)]
mod loomed;
mod places;

use super::sync;
pub use places::{Bulkhead, Place};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_enter_as_there_are_places_and_a_place_given_up_is_free_again() {
        let bulkhead = Bulkhead::new(2);
        let (first, _second) = (bulkhead.enter(), bulkhead.enter());
        assert!(first.is_some() && bulkhead.enter().is_none());
        drop(first);
        assert_eq!(bulkhead.taken(), 1);
        assert!(bulkhead.enter().is_some());
    }

    #[test]
    fn without_a_place_nobody_enters() {
        assert!(Bulkhead::new(0).enter().is_none());
    }
}
