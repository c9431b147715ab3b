//! [`super::sync`] over loom's types, which try every order in which threads can meet.

pub(super) use loom::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicU32, AtomicU64, Ordering},
};

use std::cell::Cell;

pub(super) const LINES: usize = 2;

loom::thread_local!(static MINE: Cell<usize> = Cell::new(0));

/// Loom wants the same numbers in every order that it tries: the test gives them.
pub(super) fn number_this_thread(number: usize) {
    MINE.with(|mine| mine.set(number));
}

pub(super) fn thread_number() -> usize {
    MINE.with(Cell::get)
}
