//! What other people's metrics mean: presets that map a source's names and labels to roles. A preset is a data file; those
//! that come along stand in `presets/`, others in the user's config. No arithmetic.

pub mod circuit;
pub mod preset;

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, LazyLock},
};

use super::exposition::{Kind, Labels, Sample};
pub use circuit::Seen;
pub use preset::{Circuit, Level, Owner, Preset, Role};
use preset::{Pattern, Template};

/// The presets that come along, the more telling first: a process that exports several is read by the first of them
/// only, so that no attempt counts twice.
const FILES: &[&str] = &[
    include_str!("presets/redrive.toml"),
    include_str!("presets/http_client.toml"),
    include_str!("presets/resilience4j.toml"),
    include_str!("presets/smallrye.toml"),
    include_str!("presets/polly.toml"),
    include_str!("presets/grpc.toml"),
    include_str!("presets/envoy.toml"),
    include_str!("presets/linkerd.toml"),
    include_str!("presets/istio.toml"),
    include_str!("presets/river.toml"),
    include_str!("presets/oban.toml"),
    include_str!("presets/celery.toml"),
    include_str!("presets/temporal.toml"),
    include_str!("presets/asynq.toml"),
    include_str!("presets/sidekiq.toml"),
    include_str!("presets/rabbitmq.toml"),
    include_str!("presets/opossum.toml"),
    include_str!("presets/generic.toml"),
];

static BUILT_IN: LazyLock<Presets> = LazyLock::new(|| {
    let parsed = FILES.iter().map(|text| {
        toml::from_str(text)
            .unwrap_or_else(|error| unreachable!("a preset that comes along is broken: {error}"))
    });
    Presets::compile(parsed.collect())
});

/// When a process began, in seconds of Unix time; the name is the same in every client library.
pub const PROCESS_START: &str = "process_start_time_seconds";

/// Every preset that is known. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Presets(Arc<[Reading]>);

impl Default for Presets {
    fn default() -> Self {
        BUILT_IN.clone()
    }
}

/// A preset, ready to read samples.
#[derive(Debug)]
pub struct Reading {
    preset: Preset,
    exact: HashMap<String, Vec<Rule>>,
    patterns: Vec<(Pattern, Rule)>,
}

/// The place of a rule within its preset.
#[derive(Debug, Clone, Copy)]
enum Rule {
    Counter(usize),
    Gauge(usize),
    Circuit(usize),
}

/// What a sample tells of an operation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Meaning<'p> {
    /// It counts, so many times.
    Counts(Role, f64),
    /// It is a share, once multiplied.
    Is(Level, f64),
    /// It tells of a circuit.
    Circuit(&'p Circuit),
}

impl Presets {
    /// Those that come along, and before them `more`.
    #[must_use]
    pub fn with(more: Vec<Preset>) -> Self {
        let known = BUILT_IN.0.iter().map(|reading| reading.preset.clone());
        Self::compile(more.into_iter().chain(known).collect())
    }

    fn compile(presets: Vec<Preset>) -> Self {
        Self(presets.into_iter().map(Reading::new).collect())
    }

    /// The preset that reads `samples`, if any does.
    pub fn of(&self, samples: &[Sample]) -> Option<&Reading> {
        // A target of 100,000 series has a few hundred names.
        let mut names: HashMap<&str, &Sample> = HashMap::new();
        let mut last = "";
        for sample in samples {
            if sample.name != last {
                last = &sample.name;
                names.entry(last).or_insert(sample);
            }
        }
        self.0.iter().find(|reading| {
            let preset = &reading.preset;
            let labelled =
                |sample: &Sample| preset.mark_labels.iter().all(|l| sample.labels.get(l).is_some());
            preset.mark.iter().any(|mark| match mark {
                Pattern::Is(name) => names.get(name.as_str()).is_some_and(|sample| labelled(sample)),
                mark => names.iter().any(|(name, sample)| mark.fits(name) && labelled(sample)),
            })
        })
    }

    /// The names of all, in the order they are tried.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|reading| reading.preset.name.as_str())
    }

    /// Every metric that some preset reads, as regular expressions of Prometheus: what a server is asked for.
    pub fn metrics(&self) -> BTreeSet<String> {
        let patterns = self.0.iter().flat_map(|reading| {
            let exact = reading.exact.keys().cloned();
            exact.chain(reading.patterns.iter().map(|(pattern, _)| pattern.as_regex()))
        });
        patterns.chain([PROCESS_START.to_owned()]).collect()
    }
}

impl Reading {
    fn new(preset: Preset) -> Self {
        let (mut exact, mut patterns) = (HashMap::<String, Vec<Rule>>::new(), Vec::new());
        let counters = preset.counter.iter().enumerate().map(|(at, c)| (&c.metric, Rule::Counter(at)));
        let gauges = preset.gauge.iter().enumerate().map(|(at, g)| (&g.metric, Rule::Gauge(at)));
        let circuits = preset.circuit.iter().enumerate().map(|(at, c)| (&c.metric, Rule::Circuit(at)));
        for (metrics, rule) in counters.chain(gauges).chain(circuits) {
            for metric in metrics {
                match metric {
                    Pattern::Is(name) => exact.entry(name.clone()).or_default().push(rule),
                    pattern => patterns.push((pattern.clone(), rule)),
                }
            }
        }
        Self { preset, exact, patterns }
    }

    /// `resilience4j`.
    pub fn name(&self) -> &str {
        &self.preset.name
    }

    /// Whose such processes are.
    pub fn owner(&self) -> Owner {
        self.preset.owner
    }

    /// Whether such a source tells this at all: what it does not tell is unknown, never 0.
    pub fn tells(&self, role: Role) -> bool {
        self.preset.counter.iter().any(|counter| counter.role == role)
    }

    /// The operations a sample is about and what it tells of them; empty where it tells nothing.
    pub fn read(&self, sample: &Sample) -> Vec<(String, Meaning<'_>)> {
        // Nothing that is not finite is added up.
        if !sample.value.is_finite() {
            return Vec::new();
        }
        let exact = self.exact.get(&sample.name).into_iter().flatten();
        let patterns = self.patterns.iter().filter(|(pattern, _)| pattern.fits(&sample.name));
        exact.chain(patterns.map(|(_, rule)| rule)).filter_map(|rule| self.apply(*rule, sample)).collect()
    }

    fn apply(&self, rule: Rule, sample: &Sample) -> Option<(String, Meaning<'_>)> {
        let label = |name: &str| sample.labels.get(name);
        let (operation, meaning) = match rule {
            Rule::Counter(at) => {
                let counter = &self.preset.counter[at];
                // A gauge in spite of its name is not a counter.
                let counts = sample.kind != Kind::Gauge || counter.even_if_gauge;
                let fits = counts && counter.when.all(label) && !counter.unless.any(label);
                (&counter.operation, fits.then_some(Meaning::Counts(counter.role, counter.times))?)
            }
            Rule::Gauge(at) => {
                let gauge = &self.preset.gauge[at];
                (&gauge.operation, gauge.when.all(label).then_some(Meaning::Is(gauge.role, gauge.times))?)
            }
            Rule::Circuit(at) => {
                let circuit = &self.preset.circuit[at];
                (&circuit.operation, Meaning::Circuit(circuit))
            }
        };
        let templates = if operation.is_empty() { &self.preset.operation } else { operation };
        Some((named(templates, &sample.labels)?, meaning))
    }
}

fn named(templates: &[Template], labels: &Labels) -> Option<String> {
    templates.iter().find_map(|template| template.fill(|label| labels.get(label)))
}
