//! The text exposition format, read into samples; it knows nothing of what a metric means.
//!
//! Numbers and timestamps are read by `prometheus-parse`. Names, labels and types are read here, because that crate
//! (0.2.5) drops `name{} v`, label values with `}` and names with `:`, cuts values at `,`, loses those with `=`,
//! leaves escapes as they are, accepts a quote that never ends, forgets the type of OpenMetrics counters, takes
//! OpenMetrics seconds for milliseconds and skips what it cannot read without a word. So every line is taken apart
//! here and handed to it as `s{i="<index>"} <value> <milliseconds>`, a form it reads right.

use std::{collections::HashMap, sync::Arc};

use chrono::{DateTime, Utc};

use super::line::{self, Line};

/// A metric's labels, sorted by name. Shared, not copied: a target may have 100,000 series.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Labels(Arc<[(String, String)]>);

impl Labels {
    /// Labels from pairs in any order.
    pub fn new(mut pairs: Vec<(String, String)>) -> Self {
        pairs.sort();
        Self(pairs.into())
    }

    /// The value of the label `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(label, _)| label == name).map(|(_, value)| value.as_str())
    }

    /// Every pair, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

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

/// How many lines `prometheus-parse` is handed at a time: it makes much of each.
const BATCH: usize = 4_096;

/// Lines taken apart that still lack their numbers.
#[derive(Default)]
struct Batch {
    heads: Vec<Head>,
    plain: Vec<String>,
}

/// A sample without its number.
struct Head {
    line: usize,
    name: String,
    labels: Labels,
    has_timestamp: bool,
}

impl Batch {
    fn push(&mut self, head: Head, value: &str, millis: Option<i64>) {
        let at = millis.map_or_else(String::new, |ms| ms.to_string());
        self.plain.push(format!("s{{i=\"{}\"}} {value} {at}", self.heads.len()));
        self.heads.push(head);
    }

    /// Lets `prometheus-parse` read the numbers, and joins them with their heads again.
    fn empty_into(&mut self, found: &mut Exposition) {
        let read = prometheus_parse::Scrape::parse_at(self.plain.drain(..).map(Ok), DateTime::UNIX_EPOCH)
            .map(|scrape| scrape.samples)
            .unwrap_or_default();
        let mut numbers = read.into_iter().filter_map(|sample| {
            let index: usize = sample.labels.get("i")?.parse().ok()?;
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
                        timestamp: head.has_timestamp.then_some(timestamp),
                    });
                }
                _ => found.warn(head.line, "its value is not a number"),
            }
        }
    }
}

/// Reads `text`. A line that cannot be read becomes a warning and the rest is kept; an empty text is an exposition
/// without samples.
///
/// # Errors
/// When it is an HTML page, or says something but no metric.
pub fn parse(text: &str) -> Result<Exposition, NotAnExposition> {
    let text = text.trim_start_matches('\u{feff}');
    if is_html(text) {
        return Err(NotAnExposition::Html);
    }
    let seconds = text.trim_end().ends_with("# EOF");
    let mut found = Exposition::default();
    let mut types: HashMap<String, Kind> = HashMap::new();
    let mut batch = Batch::default();
    for (index, raw) in text.lines().enumerate() {
        let line = index + 1;
        match line::read(raw, seconds) {
            Ok(Line::Nothing) => {}
            Ok(Line::Type { name, kind }) => {
                types.insert(name.into_owned(), kind);
            }
            Ok(Line::Sample { name, labels, value, millis }) => {
                let head = Head { line, name: name.into_owned(), labels, has_timestamp: millis.is_some() };
                batch.push(head, value, millis);
                if batch.heads.len() >= BATCH {
                    batch.empty_into(&mut found);
                }
            }
            Err(reason) => found.warn(line, reason),
        }
    }
    batch.empty_into(&mut found);
    for sample in &mut found.samples {
        sample.kind = kind_of(&sample.name, &types);
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
