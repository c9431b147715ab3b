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
        /// Stop a replay that runs.
        Stop = "stop",
        /// Decide that a letter needs nothing more.
        Discard = "discard",
        /// Take that back, or let a letter out of quarantine.
        Restore = "restore",
        /// Decide a circuit's state for every worker.
        Force = "force",
        /// Look at a payload in the clear.
        Reveal = "reveal",
        /// Hold an operation back.
        Pause = "pause",
        /// Let a held operation go on.
        Unpause = "unpause",
    }
);

impl ActionKind {
    /// What it says afterwards: completes the sentence "… by ana".
    pub const fn past(self) -> &'static str {
        match self {
            Self::Trigger => "triggered",
            Self::Resume => "resumed",
            Self::RollBack => "rolled back",
            Self::Replay => "replayed",
            Self::Release => "released",
            Self::Stop => "stopped",
            Self::Discard => "discarded",
            Self::Restore => "restored",
            Self::Reveal => "revealed",
            Self::Force => "forced",
            Self::Pause => "paused",
            Self::Unpause => "let go",
        }
    }

    /// The same as it is asked for: `roll back`.
    pub fn words(self) -> String {
        self.as_str().replace('_', " ")
    }
}
