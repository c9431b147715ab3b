//! Expositions in, counters to rates, rates to one true sentence; and what our own processes export.
//!
//! ```text
//!   scrape ──▶ exposition ─┐                         ┌─▶ chart
//!                          ├─▶ source ─▶ rates ─▶ history ─▶ arithmetic ─▶ verdict ─▶ sentence
//!   prometheus ────────────┘   (what a metric means)      (one process)
//!                          └───────────── collector: fed, then asked for signals ─────────────┘
//! ```
//! Only `scrape` and `prometheus` do I/O; everything else is handed its instants.

pub mod arithmetic;
mod chart;
pub mod collector;
pub mod export;
pub mod exposition;
pub mod history;
mod hits;
mod judgement;
mod line;
mod observer;
mod process;
pub mod prometheus;
pub mod rates;
pub mod scrape;
mod sentence;
pub mod signals;
pub mod source;
pub mod verdict;
