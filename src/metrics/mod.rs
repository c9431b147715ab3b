//! Expositions in, counters to rates, rates to one true sentence; and what our own processes export.
//!
//! ```text
//!   scrape ──▶ exposition ─┐                         ┌─▶ chart
//!                          ├─▶ source ─▶ rates ─▶ history ─▶ arithmetic ─▶ verdict ─▶ sentence
//!   prometheus ────────────┘   (what a metric means)      (one process)
//!                          └───────────── collector: fed, then asked for signals ─────────────┘
//! ```
//! Only `scrape` and `prometheus` ask over the network, `discovery` whom, `rounds` when; everything else is handed its
//! instants.

pub mod admission;
pub mod arithmetic;
mod chart;
pub mod collector;
pub mod discovery;
pub mod export;
pub mod exposition;
pub mod history;
mod hits;
mod judgement;
mod keys;
mod labels;
mod line;
mod observer;
mod process;
pub mod prometheus;
pub mod rates;
mod reason;
mod reply;
mod root;
pub mod rounds;
pub mod scrape;
mod sentence;
pub mod signals;
pub mod source;
pub mod starts;
pub mod stored;
mod tally;
mod target;
pub mod verdict;

use std::time::Duration;

use futures_util::future::{join, join_all};

pub use keys::tell as tell_of_keys;
use prometheus::Prometheus;
use scrape::{ScrapeResult, Target};

/// Asks every target and the server at once; none takes longer than `limit`, so a bad one delays the others by that
/// much at most.
pub async fn ask(
    client: &reqwest::Client,
    targets: &[Target],
    server: Option<&Prometheus>,
    limit: Duration,
) -> Vec<ScrapeResult> {
    let scrapes = join_all(targets.iter().map(|target| scrape::scrape_within(client, target, limit)));
    let server = async {
        match server {
            Some(server) => Some(server.fetch(client).await),
            None => None,
        }
    };
    let (mut said, server) = join(scrapes, server).await;
    said.extend(server);
    said
}
