//! What an onboarding carries from state to state, as stored in `onboarding_state.context`.
//!
//! Ours stands under one name in it: what others wrote beside it is kept as it is, and is never mistaken for ours.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    derive::{Catalog, Facts, Selection},
    github::Repository,
    tfc::{ManagedResource, Workspace},
};

/// The name ours stands under.
const OURS: &str = "pipeline";

/// What the states so far found out. Everything can be missing and is then looked up again.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Context {
    /// The repository, from VALIDATING.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repository: Option<Repository>,
    /// The workspace, from VALIDATING.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workspace: Option<Workspace>,
    /// What stood on the other side before our first effect, from DISCOVERING.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Before>,
    /// The files to fetch, from DISCOVERING to EXTRACTING.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selection: Option<Selection>,
    /// What the workspace manages, from DISCOVERING to GENERATING.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub managed: Option<Vec<ManagedResource>>,
    /// What the files say, from EXTRACTING to GENERATING.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub facts: Option<Facts>,
    /// What is to be registered, from GENERATING to REGISTERING.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub catalog: Option<Catalog>,
    /// References of what was registered, from REGISTERING.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registered: Option<Vec<String>>,
    /// What was left out of the catalog, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// Ids of what was there before us: found again it is not ours to undo.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Before {
    /// The hook that already called our URL.
    pub hook: Option<String>,
    /// The notification configuration that already had our name and URL.
    pub notification: Option<String>,
}

impl Context {
    /// Ours in `stored`; nothing where it is not there or another version's.
    pub fn read(stored: &Value) -> Self {
        stored.get(OURS).and_then(|ours| Self::deserialize(ours).ok()).unwrap_or_default()
    }

    /// `stored` with ours put in place.
    pub fn written(&self, stored: &Value) -> Value {
        let mut whole = match stored {
            Value::Object(map) => map.clone(),
            _ => Map::new(),
        };
        let ours = serde_json::to_value(self).expect("plain fields with text keys always serialise");
        whole.insert(OURS.to_owned(), ours);
        Value::Object(whole)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_others_wrote_is_kept_and_never_read_as_ours() {
        let stored = json!({ "entityIds": ["1"], "repository": "not ours", "pipeline": "nor this" });
        let context = Context::read(&stored);
        assert_eq!(context, Context::default());
        let written = context.written(&stored);
        assert_eq!((&written["entityIds"], &written["repository"]), (&json!(["1"]), &json!("not ours")));
        assert_eq!(Context::read(&written), context);
    }
}
