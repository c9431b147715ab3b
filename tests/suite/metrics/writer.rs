//! A small correct writer of expositions, and arbitrary things for it to write. It shares nothing with the reader under test.

use std::fmt::Write as _;

use proptest::{collection::vec, option, prelude::*, sample::select};
use redrive::metrics::exposition::{Exposition, Format, Kind};

/// What one sample line says.
#[derive(Debug, Clone)]
pub(super) struct Said {
    pub(super) name: String,
    pub(super) labels: Vec<(String, String)>,
    pub(super) value: f64,
    pub(super) millis: Option<i64>,
    pub(super) kind: Kind,
    exemplar: bool,
}

/// All of it but its kind, to be compared.
pub(super) type Key = (String, Vec<(String, String)>, u64, Option<i64>);

impl Said {
    fn key(&self) -> Key {
        let value = if self.value.is_nan() { f64::NAN } else { self.value };
        (self.name.clone(), self.labels.clone(), value.to_bits(), self.millis)
    }
}

/// What was read, in the same words; kinds are another matter.
pub(super) fn keys(read: &Exposition) -> Vec<Key> {
    let said = read.samples.iter().map(|sample| Said {
        name: sample.name.clone(),
        labels: sample.labels.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect(),
        value: sample.value,
        millis: sample.timestamp.map(|at| at.timestamp_millis()),
        kind: sample.kind,
        exemplar: false,
    });
    said.map(|said| said.key()).collect()
}

/// A metric with all its samples.
#[derive(Debug, Clone)]
struct Family {
    name: String,
    kind: &'static str,
    help: Option<String>,
    type_last: bool,
    said: Vec<Said>,
}

/// A whole exposition.
#[derive(Debug, Clone)]
pub(super) struct Document {
    pub(super) format: Format,
    names: Names,
    families: Vec<Family>,
}

impl Document {
    /// Every sample in the order it is written in.
    pub(super) fn said(&self) -> Vec<&Said> {
        self.families.iter().flat_map(|family| &family.said).collect()
    }

    pub(super) fn keys(&self) -> Vec<Key> {
        self.said().into_iter().map(Said::key).collect()
    }

    /// Its lines, and whether each is a sample.
    pub(super) fn lines(&self) -> Vec<(bool, String)> {
        let mut lines = Vec::new();
        for family in &self.families {
            let name = if is_plain(&family.name) { family.name.clone() } else { quoted(&family.name) };
            let declared = (false, format!("# TYPE {name} {}", family.kind));
            let help = family.help.as_ref().map(|help| (false, format!("# HELP {name} {}", escaped(help))));
            // In front of HELP or behind it, and in the text format even behind the samples.
            let late = family.type_last && self.format == Format::Text && self.names == Names::Utf8;
            if !late {
                lines.push(declared.clone());
            }
            lines.extend(help);
            lines.extend(family.said.iter().map(|said| (true, self.line(said))));
            if late {
                lines.push(declared);
            }
        }
        if self.format == Format::OpenMetrics {
            lines.push((false, "# EOF".to_owned()));
        }
        lines
    }

    pub(super) fn text(&self) -> String {
        self.lines().into_iter().map(|(_, line)| line + "\n").collect()
    }

    fn line(&self, said: &Said) -> String {
        let name = |name: &String| if is_label(name) { name.clone() } else { quoted(name) };
        let mut inside: Vec<String> =
            said.labels.iter().map(|(label, value)| format!("{}={}", name(label), quoted(value))).collect();
        let mut line = String::new();
        if is_plain(&said.name) {
            line.push_str(&said.name);
        } else {
            inside.insert(0, quoted(&said.name));
        }
        if !inside.is_empty() {
            write!(line, "{{{}}}", inside.join(",")).unwrap();
        }
        write!(line, " {}", number(said.value)).unwrap();
        if let Some(millis) = said.millis {
            match self.format {
                Format::Text => write!(line, " {millis}").unwrap(),
                Format::OpenMetrics => {
                    let sign = if millis < 0 { "-" } else { "" };
                    let millis = millis.unsigned_abs();
                    write!(line, " {sign}{}.{:03}", millis / 1_000, millis % 1_000).unwrap();
                }
            }
        }
        if said.exemplar && self.format == Format::OpenMetrics {
            line.push_str(match self.names {
                Names::Plain => " # {trace_id=\"a\"} 0.5 1767225600.25",
                Names::Utf8 => " # {trace_id=\"a}b # {\"} 0.5 1767225600.25",
            });
        }
        line
    }
}

fn is_label(name: &str) -> bool {
    !name.contains(':') && is_plain(name)
}

fn is_plain(name: &str) -> bool {
    name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
        && !name.starts_with(|c: char| c.is_ascii_digit())
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\n', "\\n")
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", escaped(text).replace('"', "\\\""))
}

fn number(value: f64) -> String {
    match value {
        nan if nan.is_nan() => "NaN".to_owned(),
        f64::INFINITY => "+Inf".to_owned(),
        f64::NEG_INFINITY => "-Inf".to_owned(),
        plain if plain.abs() < 1e6 => format!("{plain}"),
        great => format!("{great:e}"),
    }
}

/// How wild it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Names {
    /// Names as Prometheus 2 knows them, and nothing that its client for Python stumbles over.
    Plain,
    /// Any text, in quotes.
    Utf8,
}

fn name(names: Names) -> BoxedStrategy<String> {
    let plain = "[a-zA-Z_:][a-zA-Z0-9_:]{0,12}".prop_map(String::from);
    match names {
        Names::Plain => plain.boxed(),
        Names::Utf8 => prop_oneof![plain, "(?s).{1,6}", "[{}\"\\\\=,# .\n]{1,6}"].boxed(),
    }
}

fn label(names: Names) -> BoxedStrategy<String> {
    let plain = "[a-zA-Z_][a-zA-Z0-9_]{0,8}".prop_map(String::from);
    match names {
        Names::Plain => plain.boxed(),
        Names::Utf8 => prop_oneof![3 => plain, 1 => "(?s).{1,6}"].boxed(),
    }
}

fn labels(names: Names) -> impl Strategy<Value = Vec<(String, String)>> {
    let value = prop_oneof!["(?s).{0,10}", "[{}\"\\\\=,#|\n ]{0,8}", Just("/users/{id}?a=b,c".to_owned())];
    prop::collection::btree_map(label(names), value, 0..4).prop_map(|map| map.into_iter().collect())
}

/// One sample of a counter, gauge, histogram or summary, by the suffix it carries.
fn parts(kind: &str, format: Format) -> Vec<(&'static str, Kind)> {
    match kind {
        "counter" if format == Format::Text => vec![("", Kind::Counter)],
        "counter" => vec![("_total", Kind::Counter), ("_created", Kind::Gauge)],
        "histogram" => {
            ["_bucket", "_count", "_sum"].into_iter().map(|part| (part, Kind::Histogram)).collect()
        }
        "summary" => ["", "_count", "_sum"].into_iter().map(|part| (part, Kind::Summary)).collect(),
        "gauge" => vec![("", Kind::Gauge)],
        _ => vec![("", Kind::Untyped)],
    }
}

fn family(format: Format, names: Names) -> impl Strategy<Value = Family> {
    let earliest = if names == Names::Plain { 0 } else { -1_000_000_000_i64 };
    let unknown = if format == Format::Text { "untyped" } else { "unknown" };
    let kind = select(vec!["counter", "gauge", "histogram", "summary", unknown]);
    let sets = vec((labels(names), any::<f64>(), option::of(earliest..10_000_000_000_000_i64)), 1..4);
    (name(names), kind, option::of("(?s)[^\r]{0,12}"), any::<bool>(), sets, any::<bool>()).prop_map(
        move |(name, kind, help, type_last, sets, exemplar)| {
            let mut family = Family { name, kind, help, type_last, said: Vec::new() };
            for (place, (mut labels, value, millis)) in sets.into_iter().enumerate() {
                // Every set is another series.
                labels.retain(|(name, _)| name != "set" && name != "le" && name != "quantile");
                labels.push(("set".to_owned(), place.to_string()));
                for (suffix, kind) in parts(kind, format) {
                    let mut labels = labels.clone();
                    match suffix {
                        "_bucket" => labels.push(("le".to_owned(), "+Inf".to_owned())),
                        "" if kind == Kind::Summary => labels.push(("quantile".to_owned(), "0.5".to_owned())),
                        _ => {}
                    }
                    labels.sort();
                    // A count is none without being a whole number, and a quantile is of what is not negative.
                    let value = match kind {
                        Kind::Gauge if suffix.is_empty() => value,
                        Kind::Untyped => value,
                        _ if value.is_finite() => f64::from((value.abs() % 1e6) as u32),
                        _ => 7.0,
                    };
                    let exemplar = exemplar && ["_total", "_bucket"].contains(&suffix);
                    let name = format!("{}{suffix}", family.name);
                    family.said.push(Said { name, labels, value, millis, kind, exemplar });
                }
            }
            family
        },
    )
}

/// An exposition of that format.
pub(super) fn document(format: Format, names: Names) -> impl Strategy<Value = Document> {
    vec(family(format, names), 1..5).prop_map(move |mut families| {
        // No name may be another with a suffix.
        for (place, family) in families.iter_mut().enumerate() {
            let whole = format!("{}{place}", family.name);
            for said in &mut family.said {
                said.name = format!("{whole}{}", &said.name[family.name.len()..]);
            }
            family.name = whole;
        }
        Document { format, names, families }
    })
}
