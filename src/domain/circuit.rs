//! The words of a circuit: what an instance computed for itself, and what an operator forced on all.

use super::word::words;

words!(
    /// What one instance computed from its own calls.
    CircuitState, "circuit state", {
        /// Calls pass.
        Closed = "closed",
        /// Calls are refused until the probe is due.
        Open = "open",
        /// A few probing calls pass.
        HalfOpen = "half_open",
    }
);

words!(
    /// What an operator decided for every instance, apart from what they computed.
    Forced, "forced circuit state", {
        /// Refuse every call.
        Open = "forced_open",
        /// Let every call pass.
        Closed = "forced_closed",
    }
);
