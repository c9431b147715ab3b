//! Expositions read beside Prometheus's own client for Python. Where the two differ is said here, and nowhere else they may:
//! - It fails a whole document on one malformed line; here that line is a warning.
//! - In the text format it calls a counter's samples `x_total` even where they are written `x`.
//! - There it knows a type only in front of the samples.
//! - In OpenMetrics it takes the first brace for the end of an exemplar's labels, even within quotes, and counts the fraction of
//!   a negative timestamp the wrong way. It reads `-0` as a whole number, which has no minus zero.
//! - It knows no quoted names, which came later than the version that Debian ships.

use std::{fmt::Write as _, path::Path};

use proptest::{
    strategy::{Strategy as _, ValueTree as _},
    test_runner::TestRunner,
};
use redrive::metrics::exposition::{Format, Kind, parse};
use serde_json::Value;

use super::writer::{Names, document};
use crate::support::python;

/// Everything about one sample: its name, labels, value and milliseconds.
type Row = (String, Vec<(String, String)>, u64, Option<i64>);

fn bits(value: f64) -> u64 {
    // Minus zero is a zero.
    if value.is_nan() { f64::NAN.to_bits() } else { (value + 0.0).to_bits() }
}

/// What Python reads of each file, or why it reads nothing.
fn by_python(files: &[(Format, &Path)]) -> Vec<Result<Vec<Row>, String>> {
    let mut input = String::new();
    for (format, path) in files {
        let format = if *format == Format::Text { "text" } else { "openmetrics" };
        writeln!(input, "{format}\t{}", path.display()).unwrap();
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/suite/metrics/read_as_python.py");
    let said = python::run(Path::new(script), &input);
    said.lines()
        .map(|line| {
            let answer: Value = serde_json::from_str(line).unwrap();
            match answer["error"].as_str() {
                Some(error) => Err(error.to_owned()),
                None => Ok(answer["read"].as_array().unwrap().iter().map(row).collect()),
            }
        })
        .collect()
}

fn row(said: &Value) -> Row {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let labels = said[1].as_array().unwrap().iter().map(|pair| (text(&pair[0]), text(&pair[1]))).collect();
    (text(&said[0]), labels, bits(said[2].as_str().unwrap().parse().unwrap()), said[3].as_i64())
}

/// What is read here, in Python's words.
fn here(text: &str) -> Vec<Row> {
    let read = parse(text).unwrap();
    assert_eq!(read.warnings, []);
    let counter_without_total = |name: &str, kind| kind == Kind::Counter && !name.ends_with("_total");
    read.samples
        .iter()
        .map(|sample| {
            let total = if counter_without_total(&sample.name, sample.kind) { "_total" } else { "" };
            let labels = sample.labels.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
            let millis = sample.timestamp.map(|at| at.timestamp_millis());
            (format!("{}{total}", sample.name), labels, bits(sample.value), millis)
        })
        .collect()
}

/// Python groups by metric, so the order may differ.
fn sorted(mut rows: Vec<Row>) -> Vec<Row> {
    rows.sort();
    rows
}

#[test]
fn every_real_dump_reads_as_it_does_in_python() {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/metrics"));
    let paths: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "prom"))
        .collect();
    assert!(paths.len() >= 10, "the dumps were found");
    let texts: Vec<String> = paths.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
    let files: Vec<_> =
        paths.iter().zip(&texts).map(|(path, text)| (Format::of(None, text), path.as_path())).collect();
    for ((read, text), path) in by_python(&files).into_iter().zip(&texts).zip(&paths) {
        let read = read.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(sorted(here(text)), sorted(read), "{}", path.display());
    }
}

#[test]
fn generated_expositions_read_as_they_do_in_python() {
    let folder = tempfile::tempdir().unwrap();
    let mut runner = TestRunner::deterministic();
    let documents: Vec<_> = (0..400)
        .map(|number| {
            let format = if number % 2 == 0 { Format::Text } else { Format::OpenMetrics };
            let document = document(format, Names::Plain).new_tree(&mut runner).unwrap().current();
            let path = folder.path().join(number.to_string());
            std::fs::write(&path, document.text()).unwrap();
            (document, path)
        })
        .collect();
    let files: Vec<_> = documents.iter().map(|(document, path)| (document.format, path.as_path())).collect();
    let mut samples = 0;
    for (read, (document, _)) in by_python(&files).into_iter().zip(&documents) {
        let text = document.text();
        let read = read.unwrap_or_else(|error| panic!("{error}\n{text}"));
        samples += read.len();
        assert_eq!(sorted(here(&text)), sorted(read), "{text}");
    }
    assert!(samples > 2_000, "{samples}");
}

#[test]
fn a_malformed_line_costs_python_the_whole_document_and_here_only_itself() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "a 1\nb{x=\"y} two\nc 3\n").unwrap();
    assert!(by_python(&[(Format::Text, file.path())])[0].is_err());
    let read = parse(&std::fs::read_to_string(file.path()).unwrap()).unwrap();
    assert_eq!((read.samples.len(), read.warnings[0].line), (2, 2));
}
