//! JSON:API documents, as far as Terraform Cloud uses them.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// A document about one thing.
#[derive(Debug, Deserialize)]
pub(super) struct One<A> {
    pub(super) data: Node<A>,
}

/// One page of a list.
#[derive(Debug, Deserialize)]
pub(super) struct Many<A> {
    pub(super) data: Vec<Node<A>>,
    #[serde(default)]
    meta: Meta,
}

/// One thing: its id, attributes and links to others.
#[derive(Debug, Deserialize)]
pub(super) struct Node<A> {
    pub(super) id: String,
    pub(super) attributes: A,
    #[serde(default)]
    relationships: BTreeMap<String, Value>,
}

#[derive(Debug, Default, Deserialize)]
struct Meta {
    #[serde(default)]
    pagination: Option<Pagination>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Pagination {
    #[serde(default)]
    next_page: Option<u32>,
}

impl<A> Many<A> {
    /// The number of the page after this one.
    pub(super) fn next_page(&self) -> Option<u32> {
        self.meta.pagination.as_ref()?.next_page
    }
}

impl<A> Node<A> {
    /// The id of the one thing the relationship `name` leads to.
    pub(super) fn related(&self, name: &str) -> Option<String> {
        let id = self.relationships.get(name)?.get("data")?.get("id")?;
        Some(id.as_str()?.to_owned())
    }
}
