//! The shape of a preset's data file, and what is checked about it once. It reads no samples.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

use super::circuit::{Shape, Word};
use crate::domain::word::words;

words!(
    /// What a counter tells about an operation. One sample may play several roles.
    Role, "role", {
        /// First tries.
        First = "first",
        /// Retries.
        Retries = "retries",
        /// First tries and retries, not told apart.
        Attempts = "attempts",
        /// Attempts that succeeded, first or not: at most one for each call.
        Success = "success",
        /// Retries that succeeded.
        RetrySuccess = "retry_success",
        /// Calls that failed for good.
        GaveUp = "gave_up",
        /// Retries denied, for whatever reason.
        Denied = "denied",
        /// Retries denied because the budget was spent.
        DeniedByBudget = "denied_by_budget",
    }
);

words!(
    /// What a gauge tells about an operation.
    Level, "gauge's role", {
        /// What is left of the retry budget, in `[0, 1]`.
        Budget = "budget",
        /// The share of calls that failed, in `[0, 1]`, as the circuit sees it.
        FailureRate = "failure_rate",
    }
);

words!(
    /// Whose process exports such metrics: decides whether a lever is ours to pull.
    Owner, "owner", {
        /// A worker of ours.
        Ours = "ours",
        /// Somebody else's.
        Theirs = "theirs",
    }
);

/// How to read one kind of source.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    /// What it is called: `resilience4j`.
    pub name: String,
    /// Whose such processes are.
    #[serde(default = "theirs")]
    pub owner: Owner,
    /// A source that exports one of these metrics is of this kind.
    #[serde(deserialize_with = "several")]
    pub mark: Vec<Pattern>,
    /// Labels that the marking metric must have besides, where its name says too little.
    #[serde(default)]
    pub mark_labels: Vec<String>,
    /// How an operation is named after the labels of a sample: the first of these whose labels are all there.
    #[serde(deserialize_with = "several")]
    pub operation: Vec<Template>,
    /// Its counters.
    #[serde(default)]
    pub counter: Vec<Counter>,
    /// Its gauges.
    #[serde(default)]
    pub gauge: Vec<Gauge>,
    /// Its circuits.
    #[serde(default)]
    pub circuit: Vec<Circuit>,
}

/// Samples of one counter that play a role.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counter {
    /// The sample's whole name.
    #[serde(deserialize_with = "several")]
    pub metric: Vec<Pattern>,
    /// What it counts.
    pub role: Role,
    /// Labels it must have.
    #[serde(default)]
    pub when: Labelled,
    /// Labels it must not have.
    #[serde(default)]
    pub unless: Labelled,
    /// How its operation is named, if not as the preset says.
    #[serde(default, deserialize_with = "several")]
    pub operation: Vec<Template>,
    /// It counts so many times.
    #[serde(default = "once")]
    pub times: f64,
    /// It is a counter although its `# TYPE` says gauge.
    #[serde(default)]
    pub even_if_gauge: bool,
}

/// Samples of one gauge that tell something.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gauge {
    /// The sample's whole name.
    #[serde(deserialize_with = "several")]
    pub metric: Vec<Pattern>,
    /// What it tells.
    pub role: Level,
    /// Labels it must have.
    #[serde(default)]
    pub when: Labelled,
    /// How its operation is named, if not as the preset says.
    #[serde(default, deserialize_with = "several")]
    pub operation: Vec<Template>,
    /// What makes a share of its value: 0.01 of per cent.
    #[serde(default = "once")]
    pub times: f64,
}

/// Samples that tell the state of a circuit.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Circuit {
    /// The sample's whole name.
    #[serde(deserialize_with = "several")]
    pub metric: Vec<Pattern>,
    /// How the circuit is named, if not as the preset's operations.
    #[serde(default, deserialize_with = "several")]
    pub operation: Vec<Template>,
    /// In which of the five ways it tells.
    pub shape: Shape,
    /// The label that holds the state, or the event.
    #[serde(default)]
    pub label: Option<String>,
    /// What its words, numbers or events mean.
    #[serde(default)]
    pub map: BTreeMap<String, Word>,
}

/// Labels with the values they may have.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct Labelled(BTreeMap<String, Values>);

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(transparent)]
struct Values(#[serde(deserialize_with = "several")] Vec<Pattern>);

impl Labelled {
    /// Whether each of the labels has one of its values.
    pub(super) fn all<'l>(&self, label: impl Fn(&str) -> Option<&'l str>) -> bool {
        self.0.iter().all(|(name, values)| label(name).is_some_and(|value| values.fit(value)))
    }

    /// Whether one of the labels has one of its values.
    pub(super) fn any<'l>(&self, label: impl Fn(&str) -> Option<&'l str>) -> bool {
        self.0.iter().any(|(name, values)| label(name).is_some_and(|value| values.fit(value)))
    }
}

impl Values {
    fn fit(&self, value: &str) -> bool {
        self.0.iter().any(|pattern| pattern.fits(value))
    }
}

/// A word; with one `*` at its beginning or its end, all that end or begin with the rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pattern {
    /// The whole word.
    Is(String),
    /// `2*`.
    Begins(String),
    /// `*_count`.
    Ends(String),
}

impl Pattern {
    /// Whether `word` is meant.
    pub fn fits(&self, word: &str) -> bool {
        match self {
            Self::Is(whole) => word == whole,
            Self::Begins(start) => word.starts_with(start.as_str()),
            Self::Ends(end) => word.ends_with(end.as_str()),
        }
    }

    /// The same as a regular expression of Prometheus, which is always anchored.
    pub(super) fn as_regex(&self) -> String {
        match self {
            Self::Is(whole) => whole.clone(),
            Self::Begins(start) => format!("{start}.*"),
            Self::Ends(end) => format!(".*{end}"),
        }
    }
}

impl TryFrom<String> for Pattern {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let stars = text.matches('*').count();
        match (stars, text.strip_suffix('*'), text.strip_prefix('*')) {
            (0, ..) => Ok(Self::Is(text)),
            (1, Some(start), _) => Ok(Self::Begins(start.to_owned())),
            (1, None, Some(end)) => Ok(Self::Ends(end.to_owned())),
            _ => Err(format!("{text:?}: one * is understood, at the beginning or at the end")),
        }
    }
}

/// A name made of labels: `{parent_name}.{route_name}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Label(String),
}

impl Template {
    /// The name, if every label of it is there and not empty.
    pub(super) fn fill<'l>(&self, label: impl Fn(&str) -> Option<&'l str>) -> Option<String> {
        let mut name = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => name.push_str(text),
                Part::Label(wanted) => name.push_str(label(wanted).filter(|value| !value.is_empty())?),
            }
        }
        Some(name)
    }
}

impl TryFrom<String> for Template {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || format!("{text:?}: labels are written in braces, {{name}}");
        let (mut parts, mut rest) = (Vec::new(), text.as_str());
        while let Some((before, after)) = rest.split_once('{') {
            let (label, after) = after.split_once('}').ok_or_else(wrong)?;
            if before.contains('}') || label.is_empty() || label.contains('{') {
                return Err(wrong());
            }
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            parts.push(Part::Label(label.to_owned()));
            rest = after;
        }
        if rest.contains('}') || text.is_empty() {
            return Err(wrong());
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self(parts))
    }
}

fn theirs() -> Owner {
    Owner::Theirs
}

fn once() -> f64 {
    1.0
}

/// One text or a list of them.
fn several<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<String, Error = String>,
{
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "a text or a list of texts is expected")]
    enum Texts {
        One(String),
        Many(Vec<String>),
    }
    let texts = match Texts::deserialize(deserializer)? {
        Texts::One(text) => vec![text],
        Texts::Many(texts) => texts,
    };
    texts.into_iter().map(|text| T::try_from(text).map_err(serde::de::Error::custom)).collect()
}
