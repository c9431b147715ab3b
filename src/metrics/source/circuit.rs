//! The five ways in which sources tell the state of a circuit, and what each comes to. Forced and disabled never read as
//! closed, and what is not told is unknown.

use std::fmt;

use chrono::{DateTime, Utc};

use super::preset::Circuit;
use crate::domain::word::words;

words!(
    /// In which way a source tells the state of a circuit. The fifth way is silence.
    Shape, "shape of a circuit", {
        /// One gauge for each state, of which one is 1.
        OneHot = "one_hot",
        /// One number, which a map must explain.
        Number = "number",
        /// 1 while at capacity, which is no tripped breaker.
        AtCapacity = "at_capacity",
        /// Counters of changes: the last one seen is all that is known.
        Events = "events",
    }
);

words!(
    /// A state of a circuit, ours or anybody's.
    Word, "state of a circuit", {
        /// Lets everything pass.
        Closed = "closed",
        /// Lets nothing pass.
        Open = "open",
        /// Lets a few pass, to see.
        HalfOpen = "half_open",
        /// Open by decree.
        ForcedOpen = "forced_open",
        /// Closed by decree.
        ForcedClosed = "forced_closed",
        /// Lets everything pass and would not open.
        Disabled = "disabled",
        /// Only counts.
        MetricsOnly = "metrics_only",
    }
);

/// What one process tells of one of its circuits.
#[derive(Debug, Clone, PartialEq)]
pub enum Seen {
    /// Its state.
    Is(Word),
    /// As many as it takes at once.
    AtCapacity,
    /// Fewer than that.
    BelowCapacity,
    /// Two states at once, or none of those it names.
    Inconsistent,
    /// A word that nothing explains.
    UnknownWord(String),
    /// A number that no map explains.
    Unmapped(f64),
    /// The last change that was seen, and when; it may have changed since, or before.
    Last(Word, DateTime<Utc>),
    /// Nothing was told yet.
    Unknown,
}

impl Seen {
    /// How bad it is where several tell different things, worst highest.
    pub fn severity(&self) -> u8 {
        match self {
            Self::Is(Word::Open | Word::ForcedOpen) => 5,
            Self::Is(Word::HalfOpen) | Self::AtCapacity => 4,
            Self::Last(Word::Open | Word::ForcedOpen | Word::HalfOpen, _) => 4,
            Self::Inconsistent | Self::UnknownWord(_) | Self::Unmapped(_) => 3,
            Self::Is(Word::ForcedClosed | Word::Disabled | Word::MetricsOnly) => 2,
            Self::Unknown => 1,
            Self::Is(Word::Closed) | Self::BelowCapacity | Self::Last(..) => 0,
        }
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Is(word) => f.write_str(&word.as_str().replace('_', " ")),
            Self::AtCapacity => f.write_str("at capacity"),
            Self::BelowCapacity => f.write_str("below capacity"),
            Self::Inconsistent => f.write_str("inconsistent"),
            Self::UnknownWord(word) => write!(f, "unmapped state {word}"),
            Self::Unmapped(number) => write!(f, "unmapped value {number}"),
            Self::Last(word, at) => {
                let word = word.as_str().replace('_', " ");
                write!(f, "last seen {word} {}, unconfirmed", at.format("%H:%M"))
            }
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

/// What one scrape says of one circuit, gathered sample by sample.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::metrics) enum Told {
    /// Of the states it names, these are 1.
    OneHot(Vec<String>),
    /// Its number.
    Number(f64),
    /// Whether any of its gauges says so.
    AtCapacity(bool),
}

impl Circuit {
    /// What a word, a number or an event means here.
    fn word(&self, said: &str) -> Option<Word> {
        let meant = self.map.get(said).copied();
        meant.or_else(|| if self.shape == Shape::Events { None } else { said.parse().ok() })
    }

    /// What the event in a sample's label means.
    pub(in crate::metrics) fn event<'l>(&self, label: impl Fn(&str) -> Option<&'l str>) -> Option<Word> {
        if self.shape != Shape::Events {
            return None;
        }
        label(self.label.as_deref()?).and_then(|event| self.word(event))
    }

    /// Adds a sample of `value` to what was told so far.
    pub(in crate::metrics) fn gather<'l>(
        &self,
        told: Option<Told>,
        value: f64,
        label: impl Fn(&str) -> Option<&'l str>,
    ) -> Option<Told> {
        match (self.shape, told) {
            (Shape::Events, told) => told,
            (Shape::Number, _) => Some(Told::Number(value)),
            (Shape::AtCapacity, told) => {
                Some(Told::AtCapacity(value > 0.0 || told == Some(Told::AtCapacity(true))))
            }
            (Shape::OneHot, told) => {
                let mut hot = if let Some(Told::OneHot(hot)) = told { hot } else { Vec::new() };
                if value > 0.0 {
                    hot.push(self.label.as_deref().and_then(label).unwrap_or_default().to_owned());
                }
                Some(Told::OneHot(hot))
            }
        }
    }

    /// What all of it comes to.
    pub(in crate::metrics) fn seen(&self, told: &Told) -> Seen {
        match told {
            Told::AtCapacity(true) => Seen::AtCapacity,
            Told::AtCapacity(false) => Seen::BelowCapacity,
            Told::Number(number) => match self.map.get(&number.to_string()) {
                Some(word) => Seen::Is(*word),
                None => Seen::Unmapped(*number),
            },
            Told::OneHot(hot) => match hot.as_slice() {
                [state] => self.word(state).map_or_else(|| Seen::UnknownWord(state.clone()), Seen::Is),
                _ => Seen::Inconsistent,
            },
        }
    }
}
