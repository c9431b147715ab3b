//! What one operation's policy says: plain values, checked before they are used.

use std::time::Duration;

use crate::resilience::{
    backoff::{Backoff, Jitter},
    budget::BudgetPolicy,
    circuit::CircuitPolicy,
    classify::Classes,
    invalid::{self, Invalid},
};

/// How the calls of one operation are made.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Attempts in all, from 1.
    pub attempts: u32,
    /// The waits between them.
    pub backoff: Backoff,
    /// The longest wait that the other side may ask for; beyond, it is taken to be this.
    pub longest_asked: Duration,
    /// How long the whole call may take, waits included; `None`: as long as its attempts do.
    pub deadline: Option<Duration>,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// How many attempts, of all calls together, may be under way at once; `None`: any number.
    pub concurrency: Option<u32>,
    /// How often each class of failure is tried.
    pub classes: Classes,
    /// How many retries are affordable.
    pub budget: BudgetPolicy,
    /// Its part of what is kept under a roof, against the parts of other operations.
    pub weight: f64,
    /// When to stop asking.
    pub circuit: CircuitPolicy,
}

/// An operation without a policy of its own: 5 attempts, base 1 s, cap 60 s.
impl Default for Settings {
    fn default() -> Self {
        Self {
            attempts: 5,
            backoff: Backoff {
                base: Duration::from_secs(1),
                cap: Duration::from_secs(60),
                jitter: Jitter::Full,
            },
            longest_asked: Duration::from_secs(3_600),
            deadline: None,
            timeout: Duration::from_secs(30),
            concurrency: None,
            classes: Classes::default(),
            budget: BudgetPolicy::default(),
            weight: 1.0,
            circuit: CircuitPolicy::default(),
        }
    }
}

impl Settings {
    /// Says what cannot be meant, or cannot be meant together.
    ///
    /// # Errors
    /// The first value that is out of range or contradicts another.
    pub fn check(&self) -> Result<(), Invalid> {
        invalid::count("attempts", self.attempts, 1, 1_000)?;
        // A single attempt is never followed by a wait, and needs none.
        if self.attempts > 1 {
            self.backoff.check()?;
        }
        invalid::time("longest_asked", self.longest_asked)?;
        invalid::time("timeout", self.timeout)?;
        if let Some(deadline) = self.deadline {
            invalid::time("deadline", deadline)?;
            if self.timeout > deadline {
                return Err(Invalid::at_most("timeout", self.timeout, "deadline", deadline));
            }
        }
        if let Some(concurrency) = self.concurrency {
            invalid::count("concurrency", concurrency, 1, 1_000_000)?;
        }
        self.classes.check()?;
        self.budget.check().map_err(|invalid| invalid.within("budget"))?;
        invalid::number("weight", self.weight, 0.001, 1_000.0)?;
        self.circuit.check().map_err(|invalid| invalid.within("circuit"))?;
        match self.circuit.slow {
            // Such a call is a timeout before it can be slow.
            Some(slow) if slow.from > self.timeout => {
                Err(Invalid::at_most("circuit.slow.from", slow.from, "timeout", self.timeout))
            }
            _ => Ok(()),
        }
    }
}
