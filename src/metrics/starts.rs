//! When counters began to count, as their own process says: OpenMetrics writes `x_created` beside a counter `x_total`, a
//! histogram or a summary. So a restart shows even where a counter did not fall. What a counter counts is not known here.

use std::collections::HashMap;

use super::exposition::{Kind, Labels, Sample};

/// The start times that one exposition tells.
///
/// ```
/// # use redrive::metrics::{exposition, starts::Starts};
/// let text = "# TYPE calls counter\ncalls_total{op=\"pay\"} 3\ncalls_created{op=\"pay\"} 1767225600.5\n# EOF\n";
/// let samples = exposition::parse(text).expect("it is well written").samples;
/// assert_eq!(Starts::of(&samples).get(&samples[0]), Some(1_767_225_600.5));
/// ```
#[derive(Debug, Default)]
pub struct Starts<'a>(HashMap<(&'a str, Labels), f64>);

/// What a counter's samples carry behind the name that `_created` is put to.
const PARTS: [&str; 4] = ["_total", "_bucket", "_count", "_sum"];

/// A start before September 2001 is none: a gauge that happens to be called `…_created`, such as a number of orders.
const EARLIEST: f64 = 1e9;

impl<'a> Starts<'a> {
    /// The start times among `samples`.
    pub fn of(samples: &'a [Sample]) -> Self {
        let told = samples.iter().filter_map(|sample| {
            let base = sample.name.strip_suffix("_created")?;
            let is_time =
                sample.kind != Kind::Counter && sample.value.is_finite() && sample.value >= EARLIEST;
            is_time.then(|| ((base, sample.labels.clone()), sample.value))
        });
        Self(told.collect())
    }

    /// When the counter of `sample` began, in seconds of Unix time; `None` where nobody says.
    pub fn get(&self, sample: &Sample) -> Option<f64> {
        if self.0.is_empty() {
            return None;
        }
        let part = PARTS.iter().find_map(|part| sample.name.strip_suffix(part));
        // A bucket began with its histogram, a quantile with its summary.
        let labels = match sample.name.ends_with("_bucket") || sample.kind == Kind::Summary {
            true => sample.labels.without(&["le", "quantile"]),
            false => sample.labels.clone(),
        };
        self.0.get(&(part.unwrap_or(&sample.name), labels)).copied()
    }
}
