//! One attempt at one state, and a compensation: the two rows that tell what happened and what could be undone.

use super::word::words;

words!(
    /// How an attempt ended.
    AttemptOutcome, "attempt outcome", {
        /// The state was recorded.
        Succeeded = "succeeded",
        /// It failed with a fault.
        Failed = "failed",
        /// A circuit was open: no attempt was spent.
        Parked = "parked",
        /// The worker gave it back before it was done: no attempt was spent.
        HandedBack = "handed_back",
        /// The worker vanished and its lease ran out. It counts.
        Lost = "lost",
    }
);

words!(
    /// Where a compensation stands.
    CompensationStatus, "compensation status", {
        /// Written before the effect; the effect may have happened.
        Recorded = "recorded",
        /// The effect was undone.
        Undone = "undone",
        /// There was nothing to undo: it never happened, was there before us, or was gone already.
        NothingToUndo = "nothing_to_undo",
        /// Undoing it failed for good.
        Failed = "failed",
    }
);
