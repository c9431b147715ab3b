//! Signals: from expositions to one sentence.

mod admission;
mod collector;
mod discovery;
mod export;
mod exposition;
mod hostile;
mod incidents;
mod keys;
mod presets;
mod prometheus;
mod python;
mod rates;
mod rounds;
mod scrape;
mod serve;
mod tls;
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
