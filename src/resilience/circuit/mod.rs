//! A circuit: after too many failures, stop asking for a while, then probe with a few calls before trusting again.
//!
//! ```text
//!             a rate reached its threshold            open time over
//!   closed ───────────────────────────▶ open ─────────────────────────▶ half open
//!     ▲                                  ▲                                │   │
//!     │                                  └── probes failed, or never ended┘   │
//!     └──────────────────────── probes passed ────────────────────────────────┘
//! ```
//! The table is [`crate::domain::circuit::CircuitState::after`]. Time is handed in; reading changes nothing. What an
//! operator forced stands beside the computed state and hides it for as long as it lasts.

mod force;
mod machine;
mod policy;
mod shared;
mod window;

#[cfg(test)]
mod loomed;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod sequences;
#[cfg(test)]
mod tests;

pub use force::Force;
pub use machine::Standing;
pub use policy::{CircuitPolicy, Slow, Trial};
pub use shared::{Circuit, Permit};
pub use window::{Counts, Window};

use std::time::Duration;

use super::{slices, stripe, sync};
use crate::domain::word::words;

words!(
    /// Why a circuit admits no call.
    Refusal, "circuit refusal", {
        /// It is open.
        Open = "open",
        /// It is half open and all its probes are out.
        ProbesOut = "probes_out",
        /// An operator forced it open.
        Forced = "forced_open",
    }
);

/// A call that was not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// Why.
    pub why: Refusal,
    /// How long to wait before asking again.
    pub wait: Duration,
}
