//! The words of a circuit and its whole transition table: what an instance computes for itself, and what an operator
//! forced on all.

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
    /// What moves a circuit from one state to another.
    CircuitEvent, "circuit event", {
        /// Too many of the calls in the window failed, or were slow.
        Tripped = "tripped",
        /// It was open for long enough.
        OpenOver = "open_over",
        /// The probes went well.
        ProbesPassed = "probes_passed",
        /// The probes did not.
        ProbesFailed = "probes_failed",
        /// Probes were out for longer than half open may last.
        WaitedOut = "waited_out",
    }
);

impl CircuitState {
    /// The state after `event`; one that has no meaning in this state changes nothing.
    #[must_use]
    pub const fn after(self, event: CircuitEvent) -> Self {
        use CircuitEvent::{OpenOver, ProbesFailed, ProbesPassed, Tripped, WaitedOut};
        match (self, event) {
            (Self::Closed, Tripped) => Self::Open,
            (Self::Closed, OpenOver | ProbesPassed | ProbesFailed | WaitedOut) => Self::Closed,
            (Self::Open, OpenOver) => Self::HalfOpen,
            (Self::Open, Tripped | ProbesPassed | ProbesFailed | WaitedOut) => Self::Open,
            (Self::HalfOpen, ProbesPassed) => Self::Closed,
            (Self::HalfOpen, ProbesFailed | WaitedOut) => Self::Open,
            (Self::HalfOpen, Tripped | OpenOver) => Self::HalfOpen,
        }
    }
}

words!(
    /// What an operator decided for every instance, apart from what they computed.
    Forced, "forced circuit state", {
        /// Refuse every call.
        Open = "forced_open",
        /// Let every call pass; what they say of the callee is still computed.
        Closed = "forced_closed",
        /// Let every call pass, and compute nothing.
        Disabled = "disabled",
    }
);

#[cfg(test)]
mod tests {
    use super::{CircuitEvent::*, CircuitState::*, *};

    #[test]
    fn the_whole_table() {
        let table: Vec<Vec<CircuitState>> = CircuitState::ALL
            .iter()
            .map(|state| CircuitEvent::ALL.iter().map(|event| state.after(*event)).collect())
            .collect();
        assert_eq!(CircuitEvent::ALL, [Tripped, OpenOver, ProbesPassed, ProbesFailed, WaitedOut]);
        assert_eq!(
            table,
            [
                [Open, Closed, Closed, Closed, Closed],
                [Open, HalfOpen, Open, Open, Open],
                [HalfOpen, HalfOpen, Closed, Open, Open],
            ]
        );
    }

    #[test]
    fn from_every_state_the_circuit_can_close_again() {
        for state in CircuitState::ALL {
            let (probing, closed) = (state.after(OpenOver), state.after(OpenOver).after(ProbesPassed));
            assert_eq!(closed, Closed, "{state} over {probing}");
        }
    }
}
