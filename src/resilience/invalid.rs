//! What is wrong with a policy's value: its name, what it is, what is expected instead.

use std::{fmt::Display, time::Duration};

/// A value that cannot be meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {found}: {expected} is expected")]
pub struct Invalid {
    /// The value's name, as in the config file.
    pub field: &'static str,
    /// What it is.
    pub found: String,
    /// What it should be.
    pub expected: String,
}

/// No time of a policy is longer: far enough from what would overflow an instant.
pub const LONGEST: Duration = Duration::from_secs(365 * 24 * 3_600);

impl Invalid {
    pub(super) fn new(field: &'static str, found: impl Display, expected: impl Into<String>) -> Self {
        Self { field, found: found.to_string(), expected: expected.into() }
    }

    /// `field` contradicts `other`, which it must not exceed.
    pub(super) fn at_most(field: &'static str, found: Duration, other: &str, limit: Duration) -> Self {
        let (found, limit) = (humantime::format_duration(found), humantime::format_duration(limit));
        Self::new(field, format!("{found}, which is over {other} ({limit})"), "at most that")
    }
}

/// A time that is neither zero nor over [`LONGEST`].
pub(super) fn time(field: &'static str, found: Duration) -> Result<(), Invalid> {
    let good = !found.is_zero() && found <= LONGEST;
    let expected = "more than 0 and at most 365 days";
    good.then_some(()).ok_or_else(|| Invalid::new(field, humantime::format_duration(found), expected))
}

/// A number in `[low, high]`; NaN and infinities are in no range.
pub(super) fn number(field: &'static str, found: f64, low: f64, high: f64) -> Result<(), Invalid> {
    let good = (low..=high).contains(&found);
    good.then_some(()).ok_or_else(|| Invalid::new(field, found, format!("between {low} and {high}")))
}

/// A count in `[low, high]`.
pub(super) fn count(field: &'static str, found: u32, low: u32, high: u32) -> Result<(), Invalid> {
    let good = (low..=high).contains(&found);
    good.then_some(()).ok_or_else(|| Invalid::new(field, found, format!("between {low} and {high}")))
}
