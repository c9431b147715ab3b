//! Catalog entities in the shape Backstage gives them.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// One entity: `apiVersion`, `kind`, `metadata`, `spec`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entity {
    /// `backstage.io/v1alpha1`.
    pub api_version: String,
    /// `Component`, `Resource`, `System`, `Group`.
    pub kind: String,
    /// `name`, and optionally `namespace`, `annotations`, `tags`, …
    pub metadata: Map<String, Value>,
    /// What the kind asks for.
    #[serde(default)]
    pub spec: Map<String, Value>,
}

impl Entity {
    /// `metadata.name`; empty where an entity has none.
    pub fn name(&self) -> &str {
        self.metadata.get("name").and_then(Value::as_str).unwrap_or_default()
    }

    /// `metadata.namespace`, `default` where it is missing.
    pub fn namespace(&self) -> &str {
        self.metadata.get("namespace").and_then(Value::as_str).unwrap_or("default")
    }

    /// What identifies it: `kind:namespace/name`, in lower case as Backstage compares them.
    pub fn reference(&self) -> EntityRef {
        EntityRef(format!("{}:{}/{}", self.kind, self.namespace(), self.name()).to_lowercase())
    }
}

/// `kind:namespace/name` in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EntityRef(pub String);

impl std::fmt::Display for EntityRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.0)
    }
}

/// A directed relationship between two entities: `ownerOf`, `partOf`, `dependsOn`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Relationship {
    /// `ownerOf`, `partOf`, `dependsOn`.
    #[serde(rename = "type")]
    pub kind: String,
    /// From.
    pub source: EntityRef,
    /// To.
    pub target: EntityRef,
}
