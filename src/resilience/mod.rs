//! Pure policy: when to try again, when to stop asking. No I/O, no clock, no randomness of its own; usable alone.

pub mod backoff;
pub mod budget;
pub mod circuit;
pub mod classify;
pub mod invalid;
pub mod policy;
pub mod retry_after;

mod slices;
mod stripe;
mod sync;
