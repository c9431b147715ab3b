//! `catalog-info.yaml`: one entity a document, as its owner wrote them.
//!
//! Checks the envelope every Backstage entity has; what a kind asks for beyond it is left to the catalog's readers.

use std::collections::BTreeSet;

use serde::Deserialize as _;
use serde_json::Value;

use super::name;
use crate::domain::{catalog::Entity, fault::Fault};

/// Entities in one file at most.
const MAX_ENTITIES: usize = 500;

/// Kinds that describe where entities come from rather than something that exists.
const NOT_THINGS: [&str; 2] = ["location", "template"];

/// The entities in `text`; `at` names the file in faults.
///
/// # Errors
/// A permanent fault with file and line when the YAML or an envelope is malformed.
pub(super) fn parse(at: &str, text: &str) -> Result<Vec<Entity>, Fault> {
    let mut entities = Vec::new();
    let mut seen = BTreeSet::new();
    let starts = document_lines(text);
    for (index, document) in serde_norway::Deserializer::from_str(text).enumerate() {
        let line = starts.get(index).copied().unwrap_or(1);
        let value = Value::deserialize(document).map_err(|error| malformed(at, line, &error))?;
        if value.is_null() {
            continue;
        }
        let entity = entity(value).map_err(|why| wrong(at, line, &why))?;
        if NOT_THINGS.contains(&entity.kind.to_lowercase().as_str()) {
            continue;
        }
        if !seen.insert(entity.reference()) {
            return Err(wrong(at, line, &format!("the entity {} stands there twice", entity.reference())));
        }
        if entities.len() == MAX_ENTITIES {
            return Err(wrong(at, line, &format!("more than {MAX_ENTITIES} entities")));
        }
        entities.push(entity);
    }
    match entities.is_empty() {
        true => Err(wrong(at, 1, "there is no entity in it")),
        false => Ok(entities),
    }
}

fn entity(value: Value) -> Result<Entity, String> {
    let Value::Object(map) = &value else {
        return Err("expected a mapping with apiVersion, kind and metadata".to_owned());
    };
    for field in ["apiVersion", "kind"] {
        if map.get(field).and_then(Value::as_str).is_none_or(str::is_empty) {
            return Err(format!("{field} is missing or not text"));
        }
    }
    if map.get("metadata").and_then(|m| m.get("name")).and_then(Value::as_str).is_none() {
        return Err("metadata.name is missing or not text".to_owned());
    }
    if let Some(namespace) = map.get("metadata").and_then(|m| m.get("namespace"))
        && !namespace.as_str().is_some_and(name::is_namespace)
    {
        return Err(format!(
            "metadata.namespace {namespace} is not valid: lower case letters, digits and single -"
        ));
    }
    let entity: Entity = serde_json::from_value(value).map_err(|error| error.to_string())?;
    if !name::is_kind(&entity.kind) {
        return Err(format!("kind {:?} is not valid: letters and digits", entity.kind));
    }
    if !name::is_name(entity.name()) {
        return Err(format!(
            "metadata.name {:?} is not valid: at most 63 letters and digits, joined by single -, _ or .",
            entity.name()
        ));
    }
    Ok(entity)
}

fn malformed(at: &str, document: usize, error: &serde_norway::Error) -> Fault {
    let line = error.location().map_or(document, |l| l.line());
    let text = error.to_string();
    // The position is said once, in front.
    let why = text.split(" at line ").next().unwrap_or(&text);
    wrong(at, line, why)
}

fn wrong(at: &str, line: usize, why: &str) -> Fault {
    Fault::permanent(format!("{at}, line {line}: {why}; correct the file, then resume"))
}

/// The line each document begins on, counted from 1.
fn document_lines(text: &str) -> Vec<usize> {
    let mut starts = Vec::new();
    let mut content = false;
    for (index, line) in text.lines().enumerate() {
        let separator = line == "---" || line.starts_with("--- ");
        let blank = line.trim().is_empty() || line.trim_start().starts_with('#');
        if separator || (!blank && !content) {
            starts.push(index + 1);
            content = true;
        }
    }
    starts
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "apiVersion: backstage.io/v1alpha1\nkind: Component\nmetadata:\n  name: payments\n";

    fn message(text: &str) -> String {
        parse("catalog-info.yaml of acme/payments", text).expect_err("it is malformed").message
    }

    #[test]
    fn several_documents_and_empty_ones_between_them_are_read() {
        let text = format!("# ours\n---\n{GOOD}---\n---\n{}", GOOD.replace("payments", "ledger"));
        let names: Vec<String> =
            parse("x", &text).expect("well-formed").iter().map(|e| e.name().to_owned()).collect();
        assert_eq!(names, ["payments", "ledger"]);
    }

    #[test]
    fn malformed_yaml_names_file_and_line_and_no_retry_will_help() {
        let fault = parse("catalog-info.yaml of acme/payments", &format!("{GOOD}  owner: [a\n"))
            .expect_err("unclosed");
        assert_eq!(fault.class, crate::domain::fault::FaultClass::Permanent);
        assert!(
            fault.message.starts_with("catalog-info.yaml of acme/payments, line 6: "),
            "{}",
            fault.message
        );
    }

    #[test]
    fn a_wrong_envelope_names_the_line_of_its_document() {
        let text = format!("{GOOD}---\nkind: Component\n");
        assert!(message(&text).contains("line 5: apiVersion is missing"), "{}", message(&text));
        assert!(message(&GOOD.replace("payments", "a b")).contains("metadata.name \"a b\" is not valid"));
        assert!(message("just text").contains("expected a mapping"));
        assert!(message(&format!("{GOOD}---\n{GOOD}")).contains("twice"));
        assert!(message("# nothing\n").contains("no entity"));
    }

    #[test]
    fn aliases_that_multiply_are_refused_instead_of_filling_the_memory() {
        let mut text = "a: &a [x,x,x,x,x,x,x,x,x]\n".to_owned();
        for (one, next) in ('a'..'i').zip('b'..='i') {
            text.push_str(&format!(
                "{next}: &{next} [*{one},*{one},*{one},*{one},*{one},*{one},*{one},*{one}]\n"
            ));
        }
        assert!(message(&text).contains("repetition limit"), "{}", message(&text));
    }

    #[test]
    fn nesting_without_end_is_refused() {
        assert!(message(&"[".repeat(100_000)).contains("line 1"));
    }
}
