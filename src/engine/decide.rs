//! What follows a failed attempt. Pure: policy, numbers and a fault in, a decision in words out.

use std::time::Duration;

use super::workflow::{OnExhaustion, StepPolicy};
use crate::{
    domain::{
        fault::{Fault, FaultClass},
        letter::LetterReason,
    },
    resilience::classify::{Classes, Tries},
};

/// The longest we let the other side make us wait.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(3_600);
/// A worker vanishing is no error of the step; but a step that takes its workers down with it must end.
const LOST_ATTEMPTS: u32 = 5;

/// What follows.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// Try again after the delay.
    Retry {
        /// How long to wait.
        delay: Duration,
        /// Why, in words.
        reason: String,
    },
    /// Wait until the call is admitted, spending nothing.
    Park {
        /// Whose call.
        operation: String,
        /// Why it was not, in words.
        reason: String,
        /// How long.
        delay: Duration,
        /// An operator's decision holds it.
        held: bool,
    },
    /// Leave it undone, note it and go on.
    GoOn {
        /// What is noted.
        note: String,
    },
    /// End in a dead letter.
    Fail {
        /// Why.
        letter: LetterReason,
        /// The same in words.
        reason: String,
    },
}

/// How an attempt stands among the others of its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tried {
    /// The number of the attempt that failed, from 1.
    pub attempt: u32,
    /// How many of the earlier ones ended because their worker vanished; they are not held against the step.
    pub lost: u32,
}

impl Tried {
    /// Attempts that ended in a fault, this one included.
    pub fn faults(self) -> u32 {
        self.attempt.saturating_sub(self.lost)
    }

    /// Whether no other attempt follows a fault of this one.
    pub fn is_last(self, policy: &StepPolicy) -> bool {
        self.faults() >= policy.attempts
    }

    /// Whether so many workers vanished over it that it must not be started again.
    pub fn takes_workers_down(self, policy: &StepPolicy) -> bool {
        self.lost >= policy.attempts.max(LOST_ATTEMPTS)
    }
}

/// Decides what follows `fault`; `unit` is a random number in `[0, 1)` for the jitter.
pub fn after_fault(policy: &StepPolicy, tried: Tried, fault: &Fault, unit: f64) -> Decision {
    if !fault.class.was_made() {
        // Wait, whatever attempt it is.
        let operation = fault.operation.clone().unwrap_or_default();
        let wait = fault.retry_after.unwrap_or(policy.backoff.base);
        // Those parked together must not come back together.
        let delay = wait + policy.backoff.base.mul_f64(unit);
        let held = fault.class == FaultClass::Held;
        return Decision::Park { operation, reason: fault.message.clone(), delay, held };
    }
    let tries = Classes::default().tries(fault.class);
    let (allowed, faults) = (tries.of(policy.attempts), tried.faults());
    if faults < allowed {
        let jittered = match tries {
            Tries::FewAndSlow(_) => policy.backoff.cap,
            Tries::Once | Tries::All => policy.backoff.delay(faults, unit),
        };
        let asked = fault.retry_after.unwrap_or_default().min(LONGEST_RETRY_AFTER);
        let delay = jittered.max(asked);
        let source = match (asked > jittered, policy.backoff.jitter) {
            (true, _) => "as the other side asked".to_owned(),
            (false, jitter) => jitter.to_string(),
        };
        let reason = format!(
            "{}: attempt {} of {allowed} follows in {:.1} s, {source}",
            fault.class,
            faults + 1,
            delay.as_secs_f64()
        );
        return Decision::Retry { delay, reason };
    }
    let (letter, reason) = match fault.class {
        FaultClass::Permanent => {
            (LetterReason::Permanent, "permanent: another attempt would fail alike".to_owned())
        }
        class if allowed == 1 => (LetterReason::Exhausted, format!("{class}: this state has one attempt")),
        class => (LetterReason::Exhausted, format!("{class}: all {allowed} attempts are used")),
    };
    match policy.on_exhaustion {
        OnExhaustion::GoOn => Decision::GoOn { note: format!("{reason}; {}", fault.message) },
        OnExhaustion::Fail => Decision::Fail { letter, reason },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resilience::backoff::{Backoff, Jitter};

    fn policy() -> StepPolicy {
        StepPolicy {
            attempts: 3,
            backoff: Backoff {
                base: Duration::from_secs(2),
                cap: Duration::from_secs(30),
                jitter: Jitter::Full,
            },
            timeout: Duration::from_secs(30),
            on_exhaustion: OnExhaustion::Fail,
        }
    }

    fn tried(attempt: u32) -> Tried {
        Tried { attempt, lost: 0 }
    }

    #[test]
    fn a_transient_fault_is_retried_until_its_attempts_are_used() {
        let fault = Fault::transient("503");
        assert!(matches!(after_fault(&policy(), tried(2), &fault, 0.5), Decision::Retry { .. }));
        assert!(matches!(
            after_fault(&policy(), tried(3), &fault, 0.5),
            Decision::Fail { letter: LetterReason::Exhausted, .. }
        ));
    }

    #[test]
    fn a_permanent_fault_is_never_retried() {
        let decision = after_fault(&policy(), tried(1), &Fault::permanent("422"), 0.0);
        assert!(matches!(decision, Decision::Fail { letter: LetterReason::Permanent, .. }));
    }

    #[test]
    fn an_unknown_fault_is_retried_once_and_slowly() {
        let fault = Fault::new(FaultClass::Unknown, "418");
        let Decision::Retry { delay, .. } = after_fault(&policy(), tried(1), &fault, 0.0) else {
            panic!("it is retried once")
        };
        assert_eq!(delay, Duration::from_secs(30));
        assert!(matches!(after_fault(&policy(), tried(2), &fault, 0.0), Decision::Fail { .. }));
    }

    #[test]
    fn the_other_sides_wait_is_honoured_when_it_is_longer() {
        let fault = Fault { retry_after: Some(Duration::from_secs(90)), ..Fault::transient("429") };
        let Decision::Retry { delay, .. } = after_fault(&policy(), tried(1), &fault, 0.9) else {
            panic!("it is retried")
        };
        assert_eq!(delay, Duration::from_secs(90));
    }

    #[test]
    fn an_open_circuit_parks_whatever_attempt_it_is() {
        let fault = Fault {
            retry_after: Some(Duration::from_secs(7)),
            ..Fault::new(FaultClass::CircuitOpen, "open").of("github.create_hook")
        };
        let decision = after_fault(&policy(), tried(3), &fault, 0.0);
        let expected = Decision::Park {
            operation: "github.create_hook".to_owned(),
            reason: "open".to_owned(),
            delay: Duration::from_secs(7),
            held: false,
        };
        assert_eq!(decision, expected);
    }

    #[test]
    fn attempts_lost_with_their_worker_are_not_held_against_the_step_but_end_at_last() {
        let (fault, lost) = (Fault::transient("503"), Tried { attempt: 4, lost: 2 });
        assert!(matches!(after_fault(&policy(), lost, &fault, 0.5), Decision::Retry { .. }));
        assert!(Tried { attempt: 6, lost: 5 }.takes_workers_down(&policy()));
    }
}
