//! From what the upstreams hold to catalog entities. Pure: text in, entities out, the same for the same input.
//!
//! Three steps, each small enough to be kept in an onboarding's context: [`select`] the few files that matter,
//! [`extract`] facts from their text, [`generate`] entities and relationships from the facts.
//! A `catalog-info.yaml` is its owner's own word and wins; without one the Terraform files, CODEOWNERS and the
//! workspace speak.

mod catalog_info;
mod codeowners;
mod generate;
mod graph;
mod name;
mod reference;
mod resources;
mod select;
mod terraform;

use serde::{Deserialize, Serialize};

pub use self::{
    codeowners::Codeowners,
    generate::{Input, generate},
    graph::Catalog,
    select::{Selection, select},
    terraform::Block,
};
use super::github::Contents;
use crate::domain::{catalog::Entity, fault::Fault};

/// What the files say.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// The entities of `catalog-info.yaml`, as they stand there; `None` without such a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub declared: Option<Vec<Entity>>,
    /// Modules and resources of the Terraform files; not read where entities are declared.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocks: Vec<Block>,
    /// Who owns which paths.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owners: Option<Codeowners>,
    /// What was left out, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// Reads `files`, which [`select`] chose.
///
/// # Errors
/// A permanent fault naming file and line when `catalog-info.yaml` is malformed: its owner meant something by it, and
/// guessing would register something else. A malformed Terraform file or CODEOWNERS line is only noted.
pub fn extract(repository: &str, files: &[Contents]) -> Result<Facts, Fault> {
    let mut facts = Facts::default();
    for file in files {
        let text = std::str::from_utf8(&file.bytes);
        if select::is_catalog_info(&file.path) {
            let at = format!("{} of {repository}", file.path);
            let text = text.map_err(|_| Fault::permanent(format!("{at} is not UTF-8 text")))?;
            facts.declared = Some(catalog_info::parse(&at, text)?);
            continue;
        }
        let Ok(text) = text else {
            facts.notes.push(format!("{} is not UTF-8 text: left out", file.path));
            continue;
        };
        if select::is_codeowners(&file.path) {
            facts.owners = Some(codeowners::parse(text));
        } else {
            match terraform::parse(&file.path, text) {
                Ok(blocks) => facts.blocks.extend(blocks),
                Err(note) => facts.notes.push(note),
            }
        }
    }
    facts.blocks.sort();
    Ok(facts)
}
