//! The text exposition format, read into samples; it knows nothing of what a metric means.
//!
//! Numbers and timestamps are read by `prometheus-parse`. Names, labels and types are read here, because that crate
//! (0.2.5) drops `name{} v`, label values with `}` and names with `:`, cuts values at `,`, loses those with `=`,
//! leaves escapes as they are, accepts a quote that never ends, forgets the type of OpenMetrics counters, takes
//! OpenMetrics seconds for milliseconds and skips what it cannot read without a word. So every line is taken apart
//! here and handed to it as `s<index> <value> <milliseconds>`, a form it reads right.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

pub use super::labels::Labels;
use super::line::{self, Line};

/// What a sample is, by its `# TYPE` line and never by its suffix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only rises, until its process restarts.
    Counter,
    /// Goes up and down.
    Gauge,
    /// A bucket, the sum or the count of a histogram: each of them only rises.
    Histogram,
    /// A quantile, the sum or the count of a summary.
    Summary,
    /// Nobody said.
    Untyped,
}

/// One line of an exposition.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// As written, with every suffix.
    pub name: String,
    /// Its labels, unescaped.
    pub labels: Labels,
    /// What it is.
    pub kind: Kind,
    /// As exported; may be NaN or infinite.
    pub value: f64,
    /// When its source says it was measured.
    pub timestamp: Option<DateTime<Utc>>,
}

/// A line that could not be read; the rest was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// Everything one target said.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Exposition {
    /// In the order they were written.
    pub samples: Vec<Sample>,
    /// The first [`Exposition::MAX_WARNINGS`] lines that could not be read.
    pub warnings: Vec<Warning>,
    /// How many lines could not be read.
    pub unreadable: usize,
}

impl Exposition {
    /// No more warnings than these are kept: garbage would fill the memory with them.
    pub const MAX_WARNINGS: usize = 100;

    fn warn(&mut self, line: usize, reason: &'static str) {
        self.unreadable += 1;
        if self.warnings.len() < Self::MAX_WARNINGS {
            self.warnings.push(Warning { line, reason });
        }
    }
}

/// Why a body is no exposition at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAnExposition {
    /// A login page, most often.
    #[error("it answered an HTML page instead of metrics: a login page or a wrong path? check the URL")]
    Html,
    /// Not one line could be read.
    #[error("none of its {lines} lines is a metric (line {first}: {reason}): check the URL")]
    NoMetric {
        /// How many lines could not be read.
        lines: usize,
        /// The first of them, counted from 1.
        first: usize,
        /// What is wrong with that one.
        reason: &'static str,
    },
}

/// How an exposition is written: the two differ in what a timestamp counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Prometheus's text format, timestamps in milliseconds.
    Text,
    /// OpenMetrics, timestamps in seconds; it ends with `# EOF`, or it was cut off.
    OpenMetrics,
}

impl Format {
    /// By the header `Content-Type`, else by how `text` ends: some say `text/plain` of OpenMetrics too.
    pub fn of(content_type: Option<&str>, text: &str) -> Self {
        let said =
            content_type.is_some_and(|said| said.trim_start().starts_with("application/openmetrics-text"));
        if said || ends(text) { Self::OpenMetrics } else { Self::Text }
    }
}

fn ends(text: &str) -> bool {
    text.trim_end().lines().next_back().is_some_and(|line| line == "# EOF")
}

/// How many lines `prometheus-parse` is handed at a time: it makes much of each.
const BATCH: usize = 4_096;

/// Lines taken apart that still lack their numbers.
#[derive(Default)]
struct Batch<'a> {
    heads: Vec<Head<'a>>,
}

/// A sample whose numbers are still text.
struct Head<'a> {
    line: usize,
    name: String,
    labels: Labels,
    value: &'a str,
    millis: Option<i64>,
}

impl Batch<'_> {
    /// Lets `prometheus-parse` read the numbers, and joins them with their heads again.
    fn empty_into(&mut self, found: &mut Exposition) {
        let plain = self.heads.iter().enumerate().map(|(index, head)| {
            Ok(match head.millis {
                None => format!("s{index} {}", head.value),
                Some(millis) => format!("s{index} {} {millis}", head.value),
            })
        });
        let read = prometheus_parse::Scrape::parse_at(plain, DateTime::UNIX_EPOCH)
            .map(|scrape| scrape.samples)
            .unwrap_or_default();
        let mut numbers = read.into_iter().filter_map(|sample| {
            let index: usize = sample.metric.strip_prefix('s')?.parse().ok()?;
            let prometheus_parse::Value::Untyped(value) = sample.value else { return None };
            Some((index, value, sample.timestamp))
        });
        let mut next = numbers.next();
        for (index, head) in self.heads.drain(..).enumerate() {
            match next {
                Some((at, value, timestamp)) if at == index => {
                    next = numbers.next();
                    found.samples.push(Sample {
                        name: head.name,
                        labels: head.labels,
                        kind: Kind::Untyped,
                        value,
                        timestamp: head.millis.map(|_| timestamp),
                    });
                }
                _ => found.warn(head.line, "its value is not a number"),
            }
        }
    }
}

/// Reads `text`, in the format it seems to be in. A line that cannot be read becomes a warning and the rest is kept; an
/// empty text is an exposition without samples.
///
/// # Errors
/// When it is an HTML page, or says something but no metric.
pub fn parse(text: &str) -> Result<Exposition, NotAnExposition> {
    parse_as(Format::of(None, text), text)
}

/// As [`parse`], where the format is known.
///
/// # Errors
/// When it is an HTML page, or says something but no metric.
pub fn parse_as(format: Format, text: &str) -> Result<Exposition, NotAnExposition> {
    let text = text.trim_start_matches('\u{feff}');
    if is_html(text) {
        return Err(NotAnExposition::Html);
    }
    let mut found = Exposition::default();
    let mut types: HashMap<String, Kind> = HashMap::new();
    let mut batch = Batch::default();
    let mut lines = 0;
    for (index, raw) in text.lines().enumerate() {
        lines = index + 1;
        match line::read(raw, format) {
            Ok(Line::Nothing) => {}
            Ok(Line::Type { name, kind }) => {
                types.insert(name.into_owned(), kind);
            }
            Ok(Line::Sample { name, labels, value, millis }) => {
                batch.heads.push(Head { line: lines, name: name.into_owned(), labels, value, millis });
                if batch.heads.len() >= BATCH {
                    batch.empty_into(&mut found);
                }
            }
            Err(reason) => found.warn(lines, reason),
        }
    }
    batch.empty_into(&mut found);
    // Only now, since a type may be declared behind the samples.
    let mut last: Option<(usize, Kind)> = None;
    for index in 0..found.samples.len() {
        let name = &found.samples[index].name;
        let kind = match last {
            Some((before, kind)) if found.samples[before].name == *name => kind,
            _ => kind_of(name, &types),
        };
        found.samples[index].kind = kind;
        last = Some((index, kind));
    }
    if format == Format::OpenMetrics && lines > 0 && !ends(text) {
        found.warn(lines, "it ends without # EOF: it may be cut off");
    }
    found.warnings.sort_by_key(|warning| warning.line);
    match found.warnings.first() {
        Some(first) if found.samples.is_empty() => Err(NotAnExposition::NoMetric {
            lines: found.unreadable,
            first: first.line,
            reason: first.reason,
        }),
        _ => Ok(found),
    }
}

/// The declared type of a sample, also where the declaration lacks the suffix the sample carries.
fn kind_of(name: &str, types: &HashMap<String, Kind>) -> Kind {
    if let Some(kind) = types.get(name) {
        return *kind;
    }
    let of = |suffix: &str| name.strip_suffix(suffix).and_then(|base| types.get(base)).copied();
    if of("_total") == Some(Kind::Counter) {
        return Kind::Counter;
    }
    if of("_created").is_some_and(|kind| kind != Kind::Gauge) {
        return Kind::Gauge;
    }
    ["_bucket", "_count", "_sum"]
        .into_iter()
        .filter_map(of)
        .find(|kind| matches!(kind, Kind::Histogram | Kind::Summary))
        .unwrap_or(Kind::Untyped)
}

fn is_html(text: &str) -> bool {
    let start: String = text.trim_start().chars().take(15).collect::<String>().to_ascii_lowercase();
    ["<!doctype", "<html", "<head", "<body", "<?xml", "<!--"].iter().any(|mark| start.starts_with(mark))
}
