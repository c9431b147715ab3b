//! Signals: from expositions to one sentence.

mod collector;
mod export;
mod exposition;
mod incidents;
mod keys;
mod presets;
mod prometheus;
mod python;
mod rates;
mod scrape;
mod serve;
mod verdict;
mod world;
mod writer;
mod written;

pub(crate) use serve::Server;

/// One of the dumps in `tests/fixtures/metrics`: real names, labels and HELP texts with made-up values.
fn fixture(name: &str) -> String {
    let path = format!("{}/tests/fixtures/metrics/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}
