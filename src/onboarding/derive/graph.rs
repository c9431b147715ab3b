//! Entities and relationships while they are put together, and the catalog that comes of them.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{name, reference::Reference};
use crate::domain::catalog::{Entity, EntityRef, Relationship};

/// The version every derived entity carries.
const API_VERSION: &str = "backstage.io/v1alpha1";

/// What is registered, in a fixed order. Every end of a relationship is one of the entities.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Catalog {
    /// Groups, systems, components, resources, then others; each by its reference.
    pub entities: Vec<Entity>,
    /// Sorted, each once.
    pub relationships: Vec<Relationship>,
    /// What was left out, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

#[derive(Debug, Default)]
pub(super) struct Graph {
    entities: BTreeMap<EntityRef, Entity>,
    relationships: BTreeSet<Relationship>,
    pub(super) notes: Vec<String>,
}

impl Graph {
    /// Adds `entity` unless one with its reference is there, which then stays.
    pub(super) fn put(&mut self, entity: Entity) -> EntityRef {
        let reference = entity.reference();
        self.entities.entry(reference.clone()).or_insert(entity);
        reference
    }

    /// Adds `entity` in any case: where its name is taken it gets a digest of `origin`.
    pub(super) fn put_apart(&mut self, mut entity: Entity, origin: &str) -> EntityRef {
        if self.entities.contains_key(&entity.reference()) {
            let name = name::suffixed(entity.name(), origin);
            entity.metadata.insert("name".to_owned(), name.into());
        }
        self.put(entity)
    }

    /// A group for `reference`, made up where nobody declared it.
    pub(super) fn group(&mut self, reference: &Reference) -> Option<EntityRef> {
        let spec = json!({ "type": "team", "children": [] });
        self.made_up("group", "Group", reference, spec)
    }

    /// A system for `reference`, made up where nobody declared it.
    pub(super) fn system(&mut self, reference: &Reference, owner: &str) -> Option<EntityRef> {
        self.made_up("system", "System", reference, json!({ "owner": owner }))
    }

    fn made_up(&mut self, word: &str, kind: &str, reference: &Reference, spec: Value) -> Option<EntityRef> {
        let fits = reference.kind.eq_ignore_ascii_case(word)
            && name::is_name(&reference.name)
            && name::is_namespace(&reference.namespace);
        let known = self.entities.contains_key(&reference.entity_ref());
        if !known && !fits {
            self.notes.push(format!("{} is not in the catalog: left out", reference.entity_ref()));
            return None;
        }
        Some(if known { reference.entity_ref() } else { self.put(entity(kind, reference, spec)) })
    }

    /// Adds a relationship; nothing relates to itself.
    pub(super) fn relate(&mut self, source: &EntityRef, kind: &str, target: &EntityRef) {
        if source != target {
            let (source, target) = (source.clone(), target.clone());
            self.relationships.insert(Relationship { kind: kind.to_owned(), source, target });
        }
    }

    pub(super) fn holds(&self, reference: &EntityRef) -> bool {
        self.entities.contains_key(reference)
    }

    pub(super) fn finish(mut self) -> Catalog {
        let mut entities: Vec<Entity> = self.entities.into_values().collect();
        entities.sort_by_key(|entity| (rank(&entity.kind), entity.reference()));
        self.notes.sort();
        self.notes.dedup();
        Catalog { entities, relationships: self.relationships.into_iter().collect(), notes: self.notes }
    }
}

fn rank(kind: &str) -> usize {
    let order = ["group", "system", "component", "resource"];
    order.iter().position(|known| kind.eq_ignore_ascii_case(known)).unwrap_or(order.len())
}

/// An entity `kind` with the name and namespace of `reference`.
pub(super) fn entity(kind: &str, reference: &Reference, spec: Value) -> Entity {
    let mut metadata = Map::new();
    metadata.insert("name".to_owned(), reference.name.clone().into());
    metadata.insert("namespace".to_owned(), reference.namespace.clone().into());
    let spec = match spec {
        Value::Object(spec) => spec,
        _ => Map::new(),
    };
    Entity { api_version: API_VERSION.to_owned(), kind: kind.to_owned(), metadata, spec }
}

/// Sets annotations that are not there yet; the owner's own stay.
pub(super) fn annotate(entity: &mut Entity, annotations: &[(&str, &str)]) {
    let there = entity.metadata.entry("annotations").or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(there) = there {
        for (key, value) in annotations {
            there.entry(*key).or_insert_with(|| (*value).into());
        }
    }
}
