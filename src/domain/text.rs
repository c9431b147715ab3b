//! Display-safe text: what comes from outside may be shown, never obeyed.

use serde::Serialize;

/// Text in which nothing can move the cursor, hide or reorder anything: made once, where the text comes in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct SafeText(String);

impl SafeText {
    /// The longest text kept, in characters; longer ones lose their middle to an ellipsis.
    pub const MAX_CHARS: usize = 4_096;

    /// Makes `raw` safe to show: see the module.
    pub fn new(raw: &str) -> Self {
        Self(raw.chars().map(|c| if c.is_control() { '·' } else { c }).take(Self::MAX_CHARS).collect())
    }

    /// The safe text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for SafeText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.0)
    }
}

impl From<&str> for SafeText {
    fn from(raw: &str) -> Self {
        Self::new(raw)
    }
}
