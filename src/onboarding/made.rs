//! What a create-or-get came to.

use serde::{Deserialize, Serialize};

/// Whether the thing was there already, with its id on the other side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "made", content = "id", rename_all = "snake_case")]
pub enum Made {
    /// It is new.
    Created(String),
    /// The same one was there: by an earlier attempt of ours, or by somebody else.
    Found(String),
}

impl Made {
    /// Its id on the other side.
    pub fn id(&self) -> &str {
        match self {
            Self::Created(id) | Self::Found(id) => id,
        }
    }
}
