//! What is wrong with a policy's value: its name, what it is, what is expected instead.

use std::{fmt::Display, time::Duration};

/// A value that cannot be meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {found}: {expected} is expected")]
pub struct Invalid {
    /// The value's name as in the config file, with the tables it stands in: `circuit.slow.from`.
    pub field: String,
    /// What it is.
    pub found: String,
    /// What it should be.
    pub expected: String,
}

/// No time of a policy is longer: far enough from what would overflow an instant.
pub const LONGEST: Duration = Duration::from_secs(365 * 24 * 3_600);

impl Invalid {
    pub(super) fn new(field: &str, found: impl Display, expected: impl Into<String>) -> Self {
        Self { field: field.to_owned(), found: found.to_string(), expected: expected.into() }
    }

    /// The same of a value that stands in `table`.
    #[must_use]
    pub fn within(self, table: &str) -> Self {
        Self { field: format!("{table}.{}", self.field), ..self }
    }

    /// `field` contradicts `other`, which it must not exceed.
    pub(super) fn at_most(field: &str, found: Duration, other: &str, limit: Duration) -> Self {
        let (found, limit) = (humantime::format_duration(found), humantime::format_duration(limit));
        Self::new(field, format!("{found}, which is over {other} ({limit})"), "at most that")
    }
}

/// A time that is neither zero nor over [`LONGEST`].
pub(crate) fn time(field: &str, found: Duration) -> Result<(), Invalid> {
    let good = !found.is_zero() && found <= LONGEST;
    let expected = "more than 0 and at most 365 days";
    good.then_some(()).ok_or_else(|| Invalid::new(field, humantime::format_duration(found), expected))
}

/// A number in `[low, high]`; NaN and infinities are in no range.
pub(crate) fn number(field: &str, found: f64, low: f64, high: f64) -> Result<(), Invalid> {
    let good = (low..=high).contains(&found);
    good.then_some(()).ok_or_else(|| Invalid::new(field, found, format!("between {low} and {high}")))
}

/// A count in `[low, high]`.
pub(crate) fn count(field: &str, found: u32, low: u32, high: u32) -> Result<(), Invalid> {
    let good = (low..=high).contains(&found);
    good.then_some(()).ok_or_else(|| Invalid::new(field, found, format!("between {low} and {high}")))
}
