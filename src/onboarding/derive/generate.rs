//! From facts to entities and relationships.
//!
//! ```text
//!  Group ──ownerOf──▶ System ◀──partOf── Component ──dependsOn──▶ Resource (module, resource)
//!                        ▲                                            │
//!                        └───────────────────partOf───────────────────┘
//! ```
//! Derived entities live in the tenant's namespace and carry the repository's name in front, so that two tenants'
//! `aws_s3_bucket.logs` never are one entity.

use serde_json::{Value, json};

use super::{
    Facts,
    graph::{Catalog, Graph, annotate, entity},
    name,
    reference::Reference,
    resources::Resources,
};
use crate::{
    domain::catalog::{Entity, EntityRef},
    onboarding::{
        github::Repository,
        tfc::{ManagedResource, Workspace},
    },
};

/// Everything the upstreams said about one request.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// Who asked: gives the namespace of derived entities.
    pub tenant: &'a str,
    /// The repository.
    pub repository: &'a Repository,
    /// What its files say.
    pub facts: &'a Facts,
    /// The workspace, if the request names one.
    pub workspace: Option<&'a Workspace>,
    /// What the workspace manages.
    pub managed: &'a [ManagedResource],
}

/// The catalog for `input`: never fails, and is the same for the same input.
pub fn generate(input: Input<'_>) -> Catalog {
    let mut graph = Graph::default();
    graph.notes.clone_from(&input.facts.notes);
    match &input.facts.declared {
        Some(entities) => declared(&input, entities, &mut graph),
        None => derived(&input, &mut graph),
    }
    graph.finish()
}

impl Input<'_> {
    pub(super) fn namespace(&self) -> String {
        name::namespace(self.tenant)
    }

    pub(super) fn team(&self, team: Option<&str>) -> Reference {
        let team = team.unwrap_or_else(|| self.repository.owner());
        Reference { kind: "group".to_owned(), namespace: self.namespace(), name: name::sanitised(team) }
    }

    pub(super) fn default_team(&self) -> Reference {
        self.team(self.facts.owners.as_ref().and_then(|owners| owners.default_owner()))
    }

    pub(super) fn named(&self, kind: &str, text: &str) -> Reference {
        Reference { kind: kind.to_owned(), namespace: self.namespace(), name: name::sanitised(text) }
    }

    pub(super) fn annotate(&self, entity: &mut Entity) {
        let location = format!("url:{}", self.repository.html_url);
        let slug = self.repository.full_name.as_str();
        annotate(
            entity,
            &[("backstage.io/managed-by-location", &location), ("github.com/project-slug", slug)],
        );
        if let Some(workspace) = self.workspace {
            annotate(entity, &[("terraform.io/workspace-id", &workspace.id)]);
        }
    }
}

/// What the owner declared, with the relationships its `spec`s imply.
fn declared(input: &Input<'_>, entities: &[Entity], graph: &mut Graph) {
    for entity in entities {
        let mut entity = entity.clone();
        if entity.kind.eq_ignore_ascii_case("component") {
            input.annotate(&mut entity);
        }
        graph.put(entity);
    }
    for entity in entities {
        let (own, namespace) = (entity.reference(), entity.namespace());
        let text = |field: &str| entity.spec.get(field).and_then(Value::as_str);
        let owned = !["group", "user"].iter().any(|kind| entity.kind.eq_ignore_ascii_case(kind));
        let owner = match text("owner") {
            Some(owner) => Reference::parse(owner, Some("group"), namespace),
            None => Some(Reference { namespace: namespace.to_owned(), ..input.default_team() }),
        };
        if let Some(group) = owner.as_ref().filter(|_| owned).and_then(|owner| graph.group(owner)) {
            graph.relate(&group, "ownerOf", &own);
        }
        let owner = owner.map(|owner| owner.entity_ref().0).unwrap_or_default();
        let system = text("system").and_then(|s| Reference::parse(s, Some("system"), namespace));
        if let Some(system) = system.and_then(|system| graph.system(&system, &owner)) {
            graph.relate(&own, "partOf", &system);
        }
        if let Some(parent) =
            text("subcomponentOf").and_then(|s| Reference::parse(s, Some("component"), namespace))
        {
            relate_known(graph, &own, "partOf", &parent.entity_ref());
        }
        for (field, forward) in [("dependsOn", true), ("dependencyOf", false)] {
            for other in entity.spec.get(field).and_then(Value::as_array).into_iter().flatten() {
                let Some(other) = other.as_str().and_then(|o| Reference::parse(o, None, namespace)) else {
                    graph.notes.push(format!(
                        "{own}: {field} {other} is not a reference like resource:NAME: left out"
                    ));
                    continue;
                };
                let other = other.entity_ref();
                match forward {
                    true => relate_known(graph, &own, "dependsOn", &other),
                    false if graph.holds(&other) => graph.relate(&other, "dependsOn", &own),
                    false => graph.notes.push(format!("{other} is not in the catalog: left out")),
                }
            }
        }
    }
}

fn relate_known(graph: &mut Graph, own: &EntityRef, kind: &str, other: &EntityRef) {
    match graph.holds(other) {
        true => graph.relate(own, kind, other),
        false => graph.notes.push(format!("{other} is not in the catalog: left out")),
    }
}

/// What Terraform, CODEOWNERS and the workspace say.
fn derived(input: &Input<'_>, graph: &mut Graph) {
    let repository = input.repository;
    for team in input.facts.owners.iter().flat_map(|owners| owners.teams()) {
        graph.group(&input.team(Some(team)));
    }
    let team = input.default_team();
    let Some(group) = graph.group(&team) else { return };
    let owner = group.0.clone();

    let system = input.named("system", &repository.name);
    let mut made = entity("System", &system, json!({ "owner": owner }));
    describe(&mut made, repository);
    input.annotate(&mut made);
    let system = graph.put(made);

    let deployed = !input.facts.blocks.is_empty() || !input.managed.is_empty();
    let spec = json!({
        "type": if deployed { "infrastructure" } else { "other" },
        "lifecycle": if repository.archived { "deprecated" } else { "production" },
        "owner": owner,
        "system": system.0,
    });
    let mut made = entity("Component", &input.named("component", &repository.name), spec);
    describe(&mut made, repository);
    input.annotate(&mut made);
    let component = graph.put(made);
    graph.relate(&group, "ownerOf", &system);
    graph.relate(&group, "ownerOf", &component);
    graph.relate(&component, "partOf", &system);

    Resources::new(input, system, component).add(graph);
}

fn describe(entity: &mut Entity, repository: &Repository) {
    if let Some(description) = repository.description.as_ref().filter(|d| !d.is_empty()) {
        entity.metadata.insert("description".to_owned(), description.clone().into());
    }
    let tags: Vec<&String> = repository.topics.iter().filter(|topic| name::is_tag(topic)).collect();
    if !tags.is_empty() {
        entity.metadata.insert("tags".to_owned(), json!(tags));
    }
}
