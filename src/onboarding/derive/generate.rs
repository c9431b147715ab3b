//! From facts to entities and relationships.
//!
//! ```text
//!  Group ──ownerOf──▶ System ◀──partOf── Component ──dependsOn──▶ Resource (module, resource)
//!                        ▲                                            │
//!                        └───────────────────partOf───────────────────┘
//! ```
//! Derived entities live in the tenant's namespace and carry the repository's name in front, so that two tenants'
//! `aws_s3_bucket.logs` never are one entity.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{
    Block, Facts,
    graph::{Catalog, Graph, annotate, entity},
    name,
    reference::Reference,
};
use crate::{
    domain::catalog::{Entity, EntityRef},
    onboarding::{
        github::Repository,
        tfc::{ManagedResource, Workspace},
    },
};

/// Resources of a workspace's state that become entities at most.
const MAX_MANAGED: usize = 500;

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
    fn namespace(&self) -> String {
        name::namespace(self.tenant)
    }

    fn team(&self, team: Option<&str>) -> Reference {
        let team = team.unwrap_or_else(|| self.repository.owner());
        Reference { kind: "group".to_owned(), namespace: self.namespace(), name: name::sanitised(team) }
    }

    fn default_team(&self) -> Reference {
        self.team(self.facts.owners.as_ref().and_then(|owners| owners.default_owner()))
    }

    fn named(&self, kind: &str, text: &str) -> Reference {
        Reference { kind: kind.to_owned(), namespace: self.namespace(), name: name::sanitised(text) }
    }

    fn annotate(&self, entity: &mut Entity) {
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

    let mut resources = Resources { input, system, component, known: BTreeMap::new() };
    resources.blocks(graph);
    resources.managed(graph);
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

/// The resources of one repository while they are added.
struct Resources<'a> {
    input: &'a Input<'a>,
    system: EntityRef,
    component: EntityRef,
    /// By folder and address.
    known: BTreeMap<(String, String), EntityRef>,
}

impl Resources<'_> {
    fn blocks(&mut self, graph: &mut Graph) {
        let blocks = &self.input.facts.blocks;
        for block in blocks {
            let title = match block.folder.as_str() {
                "" => block.address.clone(),
                folder => format!("{}-{}", folder.replace('/', "-"), block.address),
            };
            let owner = self.input.facts.owners.as_ref().and_then(|owners| owners.owner_of(&block.file));
            let kind = if block.kind == "module" { "terraform-module" } else { &block.kind };
            let mut annotations = vec![("terraform.io/address", block.address.as_str())];
            annotations.extend(block.source.as_deref().map(|source| ("terraform.io/module-source", source)));
            let origin = format!("{}/{}", block.folder, block.address);
            let made = self.put(graph, &title, kind, owner, &annotations, &origin);
            self.known.insert((block.folder.clone(), block.address.clone()), made);
        }
        let called: BTreeSet<String> = blocks.iter().filter_map(local_folder).collect();
        for block in blocks {
            let own = &self.known[&(block.folder.clone(), block.address.clone())];
            for other in &block.refers_to {
                if let Some(other) = self.known.get(&(block.folder.clone(), other.clone())) {
                    graph.relate(own, "dependsOn", other);
                }
            }
            if let Some(folder) = local_folder(block) {
                for inner in self.known.iter().filter(|((at, _), _)| *at == folder).map(|(_, inner)| inner) {
                    graph.relate(own, "dependsOn", inner);
                }
            }
            // What stands inside a called module is reached through the module.
            if !called.contains(&block.folder) {
                graph.relate(&self.component, "dependsOn", own);
            }
        }
    }

    fn managed(&mut self, graph: &mut Graph) {
        let calls = |block: &Block| {
            let folder = local_folder(block)?;
            Some(((block.folder.clone(), block.address.clone()), folder))
        };
        let called: BTreeMap<(String, String), String> =
            self.input.facts.blocks.iter().filter_map(calls).collect();
        let mut seen = BTreeSet::new();
        for resource in self.input.managed {
            let address = without_indices(&resource.address);
            if address.starts_with("data.") || address.contains(".data.") || !seen.insert(address.clone()) {
                continue;
            }
            if seen.len() > MAX_MANAGED {
                graph.notes.push(format!("resources of the workspace beyond {MAX_MANAGED} were left out"));
                break;
            }
            if self.declares(&address, &called) {
                continue;
            }
            let annotations = [("terraform.io/address", address.as_str())];
            let made = self.put(graph, &address, &resource.kind, None, &annotations, &address);
            let module = address.strip_prefix("module.").and_then(|rest| rest.split('.').next());
            let module = module.and_then(|m| self.known.get(&(String::new(), format!("module.{m}"))));
            graph.relate(module.unwrap_or(&self.component), "dependsOn", &made);
        }
    }

    /// Whether a file declares the resource at `address`, followed through the modules that are folders here.
    fn declares(&self, address: &str, called: &BTreeMap<(String, String), String>) -> bool {
        let (mut folder, mut rest) = (String::new(), address);
        while let Some(inner) = rest.strip_prefix("module.") {
            let (module, inner) = inner.split_once('.').unwrap_or((inner, ""));
            let Some(into) = called.get(&(folder, format!("module.{module}"))) else { return false };
            (folder, rest) = (into.clone(), inner);
        }
        self.known.contains_key(&(folder, rest.to_owned()))
    }

    fn put(
        &self,
        graph: &mut Graph,
        title: &str,
        kind: &str,
        owner: Option<&str>,
        annotations: &[(&str, &str)],
        origin: &str,
    ) -> EntityRef {
        let input = self.input;
        let team = owner.map_or_else(|| input.default_team(), |owner| input.team(Some(owner)));
        let spec = json!({ "type": kind, "owner": team.entity_ref().0, "system": self.system.0 });
        let named =
            input.named("resource", &format!("{}-{}", input.repository.name, title.replace('.', "-")));
        let mut made = entity("Resource", &named, spec);
        made.metadata.insert("title".to_owned(), title.into());
        annotate(&mut made, annotations);
        input.annotate(&mut made);
        let own = graph.put_apart(made, origin);
        if let Some(group) = graph.group(&team) {
            graph.relate(&group, "ownerOf", &own);
        }
        graph.relate(&own, "partOf", &self.system);
        own
    }
}

/// The folder a module with a local source calls.
fn local_folder(block: &Block) -> Option<String> {
    let source = block.source.as_deref().filter(|s| s.starts_with("./") || s.starts_with("../"))?;
    let mut folder: Vec<&str> = block.folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in source.split('/') {
        match part {
            "" | "." => {}
            // Out of the repository: not a folder of ours.
            ".." => {
                folder.pop()?;
            }
            part => folder.push(part),
        }
    }
    // A module that calls its own folder is not valid; following it would explain everything by itself.
    Some(folder.join("/")).filter(|folder| *folder != block.folder)
}

/// `module.vpc["eu"].aws_subnet.a[0]` → `module.vpc.aws_subnet.a`.
fn without_indices(address: &str) -> String {
    let mut out = String::with_capacity(address.len());
    let (mut depth, mut quoted) = (0_usize, false);
    for c in address.chars() {
        match c {
            '"' if depth > 0 => quoted = !quoted,
            '[' if !quoted => depth += 1,
            ']' if !quoted => depth = depth.saturating_sub(1),
            c if depth == 0 => out.push(c),
            _ => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_instances_of_a_resource_are_one() {
        assert_eq!(without_indices("module.vpc[\"e]u\"].aws_subnet.a[0]"), "module.vpc.aws_subnet.a");
    }

    #[test]
    fn a_local_source_is_resolved_within_the_repository() {
        let block = |folder: &str, source: &str| Block {
            folder: folder.to_owned(),
            address: "module.m".to_owned(),
            file: "main.tf".to_owned(),
            kind: "module".to_owned(),
            source: Some(source.to_owned()),
            refers_to: Vec::new(),
        };
        assert_eq!(local_folder(&block("live/eu", "../../modules/vpc")).as_deref(), Some("modules/vpc"));
        assert_eq!(local_folder(&block("", "../elsewhere")), None);
        assert_eq!(local_folder(&block("live", "./")), None);
        assert_eq!(local_folder(&block("", "hashicorp/consul/aws")), None);
    }
}
