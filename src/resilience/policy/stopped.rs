//! Why a call ended without success.

use std::{
    error::Error,
    fmt::{self, Display},
    time::Duration,
};

use crate::{
    domain::{fault::FaultClass, word::words},
    resilience::{budget::Denied, circuit::Refused, classify::Classify},
};

/// How one attempt failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure<E> {
    /// With the call's own error.
    Error(E),
    /// It gave no answer within this time and was dropped: its effect may have happened.
    TimedOut(Duration),
}

/// Why there is no other attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Another attempt would fail alike.
    Permanent,
    /// The other side said not to try again.
    PushedBack,
    /// All attempts that this class of failure is worth are used.
    Exhausted,
    /// The deadline has passed, or would before the next attempt.
    Deadline,
    /// The retry is not affordable.
    Budget(Denied),
    /// The circuit admits no call.
    Circuit(Refused),
    /// As many calls as may be are under way.
    Bulkhead,
}

words!(
    /// [`Reason`] without its details, for counting.
    StopWord, "reason to stop", {
        /// Another attempt would fail alike.
        Permanent = "permanent",
        /// The other side said not to.
        PushedBack = "pushed_back",
        /// All attempts are used.
        Exhausted = "exhausted",
        /// The deadline.
        Deadline = "deadline",
        /// The retry budget.
        Budget = "budget",
        /// The circuit.
        Circuit = "circuit",
        /// The bulkhead.
        Bulkhead = "bulkhead",
    }
);

/// A call that ended without success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stopped<E> {
    /// What was called.
    pub operation: String,
    /// Why there is no other attempt.
    pub reason: Reason,
    /// How many attempts were made.
    pub attempts: u32,
    /// How the last of them failed; `None` when there was none.
    pub last: Option<Failure<E>>,
}

impl<E: Classify> Classify for Failure<E> {
    fn class(&self) -> FaultClass {
        match self {
            Self::Error(error) => error.class(),
            Self::TimedOut(_) => FaultClass::Timeout,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Error(error) => error.retry_after(),
            Self::TimedOut(_) => None,
        }
    }

    fn throttled(&self) -> bool {
        matches!(self, Self::Error(error) if error.throttled())
    }

    fn pushed_back(&self) -> bool {
        matches!(self, Self::Error(error) if error.pushed_back())
    }
}

/// For a policy around another one, which does not try again what this one has tried again: retries multiply.
impl<E: Classify> Classify for Stopped<E> {
    fn class(&self) -> FaultClass {
        match (&self.reason, &self.last) {
            (Reason::Circuit(_), _) => FaultClass::CircuitOpen,
            (Reason::Budget(_), _) => FaultClass::BudgetSpent,
            (Reason::Bulkhead, _) => FaultClass::BulkheadFull,
            (_, Some(failure)) => failure.class(),
            (_, None) => FaultClass::Timeout,
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        self.last.as_ref().and_then(Classify::retry_after)
    }

    fn throttled(&self) -> bool {
        self.last.as_ref().is_some_and(Classify::throttled)
    }

    fn pushed_back(&self) -> bool {
        self.reason == Reason::PushedBack || self.attempts > 1
    }
}

impl Reason {
    /// The word to count it under.
    pub fn word(&self) -> StopWord {
        match self {
            Self::Permanent => StopWord::Permanent,
            Self::PushedBack => StopWord::PushedBack,
            Self::Exhausted => StopWord::Exhausted,
            Self::Deadline => StopWord::Deadline,
            Self::Budget(_) => StopWord::Budget,
            Self::Circuit(_) => StopWord::Circuit,
            Self::Bulkhead => StopWord::Bulkhead,
        }
    }
}

impl<E: Display> Display for Failure<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error(error) => error.fmt(f),
            Self::TimedOut(after) => write!(f, "no answer within {} ms", after.as_millis()),
        }
    }
}

impl<E: Display> Display for Stopped<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (operation, attempts) = (&self.operation, self.attempts);
        let times = if attempts == 1 { "attempt" } else { "attempts" };
        write!(f, "{operation} failed after {attempts} {times}: ")?;
        match self.reason {
            Reason::Permanent => write!(f, "another would fail alike")?,
            Reason::PushedBack => write!(f, "it was told not to try again")?,
            Reason::Exhausted => write!(f, "none is left")?,
            Reason::Deadline => write!(f, "its deadline leaves no time for another")?,
            Reason::Budget(denied) => write!(f, "its retry budget is spent ({denied})")?,
            Reason::Circuit(refused) => {
                let wait = refused.wait.as_secs_f64();
                write!(f, "its circuit admits no call ({}); ask again in {wait:.1} s", refused.why)?;
            }
            Reason::Bulkhead => write!(f, "as many of its calls as may be are under way")?,
        }
        match &self.last {
            Some(failure) => write!(f, "; the last said: {failure}"),
            None => Ok(()),
        }
    }
}

impl<E: Error + 'static> Error for Stopped<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.last {
            Some(Failure::Error(error)) => Some(error),
            Some(Failure::TimedOut(_)) | None => None,
        }
    }
}
