//! What Prometheus's query API answers, and its series sorted by process and time of scrape. Nothing is asked here.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::{
    exposition::{Kind, Labels, Sample},
    prometheus::Instance,
};

#[derive(Deserialize)]
#[serde(tag = "status", rename_all = "lowercase")]
pub(super) enum Reply {
    Success { data: Found, warnings: Option<Vec<String>> },
    Error { error: String },
}

#[derive(Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
pub(super) enum Found {
    Matrix(Vec<Series>),
    Vector(Vec<Counted>),
    Scalar(f64, #[expect(dead_code, reason = "the same number as text")] String),
}

#[derive(Deserialize)]
pub(super) struct Counted {
    pub(super) value: (f64, String),
}

#[derive(Deserialize)]
pub(super) struct Series {
    metric: BTreeMap<String, String>,
    #[serde(default)]
    values: Vec<(f64, String)>,
}

pub(super) fn instant_of(seconds: f64) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_millis((seconds * 1_000.0).round() as i64)
}

/// Sorts series by process and time of scrape: all samples of one scrape carry the same time.
pub(super) fn by_instance(all: Vec<Series>) -> Vec<Instance> {
    let mut found: BTreeMap<(String, String), BTreeMap<DateTime<Utc>, Vec<Sample>>> = BTreeMap::new();
    for Series { mut metric, values } in all {
        let name = metric.remove("__name__").unwrap_or_default();
        let job = metric.remove("job").unwrap_or_default();
        let instance = metric.remove("instance").unwrap_or_default();
        let labels = Labels::new(metric.into_iter().collect());
        let scrapes = found.entry((job, instance)).or_default();
        for (at, value) in values {
            let (Some(at), Ok(value)) = (instant_of(at), value.parse::<f64>()) else { continue };
            scrapes.entry(at).or_default().push(Sample {
                name: name.clone(),
                labels: labels.clone(),
                // The query API does not tell types; the names asked for are ours and their types known.
                kind: Kind::Untyped,
                value,
                timestamp: Some(at),
            });
        }
    }
    found
        .into_iter()
        .map(|((job, instance), scrapes)| Instance { job, instance, scrapes: scrapes.into_iter().collect() })
        .collect()
}
