//! When to try again, when to stop asking; usable alone.
//!
//! [`backoff`], [`classify`], [`budget`], [`circuit`] and [`bulkhead`] are pure: time and randomness are handed in. [`policy`] puts
//! them together around a call and is the one that waits, in a [`policy::Time`] that is handed in too. [`layer`] puts a
//! policy around tower services, other people's too.

pub mod backoff;
pub mod budget;
pub mod bulkhead;
pub mod circuit;
pub mod classify;
pub mod invalid;
pub mod layer;
pub mod policy;
pub mod retry_after;

mod slices;
mod stripe;
mod sync;
