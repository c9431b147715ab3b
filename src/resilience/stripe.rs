//! A number that many threads add to without waiting for each other: each writes to a cache line of its own.

use super::sync::{AtomicU64, LINES, thread_number};

/// Two lines, because processors fetch them in pairs.
#[repr(align(128))]
#[derive(Debug)]
struct Line(AtomicU64);

/// One word a line; what the words mean is the owner's.
#[derive(Debug)]
pub(super) struct Striped([Line; LINES]);

impl Striped {
    pub(super) fn new() -> Self {
        Self(std::array::from_fn(|_| Line(AtomicU64::new(0))))
    }

    /// The calling thread's word.
    pub(super) fn mine(&self) -> &AtomicU64 {
        &self.0[thread_number() % LINES].0
    }

    /// Every word.
    pub(super) fn all(&self) -> impl Iterator<Item = &AtomicU64> {
        self.0.iter().map(|line| &line.0)
    }
}
