//! A dead letter: what could not be done, kept with everything needed to do it later.

use super::word::words;

words!(
    /// Where a letter stands.
    LetterStatus, "letter status", {
        /// Waiting for somebody to decide.
        Open = "open",
        /// A replay of it is on its way.
        Replaying = "replaying",
        /// Dealt with: its outcome says how.
        Closed = "closed",
        /// An operator decided that it needs nothing more; can be restored.
        Discarded = "discarded",
        /// Replayed too often: left alone.
        Quarantined = "quarantined",
    }
);

words!(
    /// Why the work ended as a letter.
    LetterReason, "letter reason", {
        /// Every attempt was used.
        Exhausted = "exhausted",
        /// The error was permanent: no retry was made.
        Permanent = "permanent",
    }
);

words!(
    /// How a letter was closed.
    LetterOutcome, "letter outcome", {
        /// Its replay succeeded.
        Succeeded = "succeeded",
        /// Its onboarding was resumed by other means than a replay.
        Resumed = "resumed",
        /// Its onboarding was rolled back.
        RolledBack = "rolled_back",
        /// It was replayed, failed again, and a newer letter took its place.
        FailedAgain = "failed_again",
    }
);

words!(
    /// What became of one letter in a replay.
    ReplayOutcome, "replay outcome", {
        /// Not begun, or on its way.
        Waiting = "waiting",
        /// It went through.
        Succeeded = "succeeded",
        /// It failed again; the new letter says with what.
        FailedAgain = "failed_again",
        /// It was left out: the reason says why.
        Skipped = "skipped",
    }
);
