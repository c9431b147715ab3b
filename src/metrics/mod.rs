//! Expositions in, counters to rates, rates to one true sentence; and what our own processes export.

pub mod signals;
