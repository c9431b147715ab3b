//! Where atomics and locks come from, and which stripe a thread writes to.
//!
//! Code that is shared between threads takes them from here, so that the tests can mount it a second time over loom's.

pub(super) use std::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicU32, AtomicU64, Ordering},
};

use std::{cell::Cell, sync::atomic::AtomicUsize};

/// How many cache lines a striped number has. Threads beyond these share them, which is slower and still right.
pub(super) const LINES: usize = 4;

/// A number of this thread's own, given in order of first use.
pub(super) fn thread_number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local!(static MINE: Cell<Option<usize>> = const { Cell::new(None) });
    MINE.with(|mine| {
        mine.get().unwrap_or_else(|| {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            mine.set(Some(number));
            number
        })
    })
}
