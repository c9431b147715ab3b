//! An operator's action: who did what.

use super::word::words;

words!(
    /// What an operator can ask of the engine.
    ActionKind, "action", {
        /// Start an onboarding.
        Trigger = "trigger",
        /// Go on from the checkpoint with fresh attempts.
        Resume = "resume",
        /// Undo what was done, last-in first-out.
        RollBack = "roll_back",
        /// Try dead letters again, paced.
        Replay = "replay",
        /// Set a held key free.
        Release = "release",
        /// Decide a circuit's state for every worker.
        Force = "force",
        /// Hold an operation back.
        Pause = "pause",
        /// Let a held operation go on.
        Unpause = "unpause",
    }
);
