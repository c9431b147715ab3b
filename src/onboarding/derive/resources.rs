//! The resources of a derived catalog: what the Terraform files declare and what only the workspace's state knows of.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::{
    Block, Input,
    graph::{Graph, annotate, entity},
};
use crate::domain::catalog::EntityRef;

/// Resources of a workspace's state that become entities at most.
const MAX_MANAGED: usize = 500;

/// The resources of one repository while they are added.
pub(super) struct Resources<'a> {
    input: &'a Input<'a>,
    system: EntityRef,
    component: EntityRef,
    /// By folder and address.
    known: BTreeMap<(String, String), EntityRef>,
}

impl<'a> Resources<'a> {
    /// Those of `component`, part of `system`.
    pub(super) fn new(input: &'a Input<'a>, system: EntityRef, component: EntityRef) -> Self {
        Self { input, system, component, known: BTreeMap::new() }
    }

    /// Adds what the files declare, then what only the workspace knows of.
    pub(super) fn add(mut self, graph: &mut Graph) {
        self.blocks(graph);
        self.managed(graph);
    }

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
