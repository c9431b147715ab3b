//! What is derived from what: one folder under `tests/golden` for each repository, its answers as the upstreams give
//! them, and `entities.json` with what has to come of it. `REDRIVE_BLESS=1` writes that file anew: read its diff.

use std::{
    fs,
    path::{Path, PathBuf},
};

use redrive::onboarding::{
    derive::{self, Catalog},
    github::{Contents, Repository},
    tfc::{ManagedResource, Workspace},
    tree::Tree,
};
use serde_json::{Value, json};

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// One repository as the upstreams answer it.
struct World {
    repository: Repository,
    tree: Tree,
    files: PathBuf,
    workspace: Option<(Workspace, Vec<ManagedResource>)>,
}

impl World {
    fn of(folder: &Path) -> Self {
        let workspace = folder.join("workspace.json").exists().then(|| {
            let both: Value = serde_json::from_str(&read(&folder.join("workspace.json"))).expect("JSON");
            let workspace = Workspace::from_document(&both["workspace"].to_string()).expect("a workspace");
            (workspace, ManagedResource::from_document(&both["resources"].to_string()).expect("resources"))
        });
        Self {
            repository: serde_json::from_str(&read(&folder.join("repository.json"))).expect("a repository"),
            tree: Tree::from_listing(&read(&folder.join("tree.json"))).expect("a tree"),
            files: folder.join("files"),
            workspace,
        }
    }

    /// What comes of it: a catalog, or the fault that ends the onboarding.
    fn derived(&self) -> Value {
        let selection = derive::select(&self.tree);
        let contents = selection.paths.iter().map(|path| Contents {
            path: path.clone(),
            bytes: fs::read(self.files.join(path)).expect("a chosen file is there"),
        });
        let files: Vec<Contents> = contents.collect();
        let mut facts = match derive::extract(&self.repository.full_name, &files) {
            Ok(facts) => facts,
            Err(fault) => return json!({ "fault": fault }),
        };
        facts.notes.extend(selection.notes);
        // As it is carried from state to state.
        let carried = serde_json::to_value(&facts).expect("facts serialise");
        let facts = serde_json::from_value(carried).expect("facts are read back");
        let catalog = derive::generate(derive::Input {
            tenant: self.repository.owner(),
            repository: &self.repository,
            facts: &facts,
            workspace: self.workspace.as_ref().map(|(workspace, _)| workspace),
            managed: self.workspace.as_ref().map_or(&[], |(_, managed)| managed),
        });
        hangs_together(&catalog);
        serde_json::to_value(catalog).expect("a catalog serialises")
    }
}

fn hangs_together(catalog: &Catalog) {
    let known: Vec<_> = catalog.entities.iter().map(|entity| entity.reference()).collect();
    let mut once = known.clone();
    once.sort();
    once.dedup();
    assert_eq!(once.len(), known.len(), "each entity stands there once: {known:?}");
    for relationship in &catalog.relationships {
        assert!(known.contains(&relationship.source), "{relationship:?} comes from an entity");
        assert!(known.contains(&relationship.target), "{relationship:?} leads to an entity");
        assert!(["ownerOf", "partOf", "dependsOn"].contains(&relationship.kind.as_str()));
    }
    for entity in &catalog.entities {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let name = entity.name();
        assert!((1..=63).contains(&name.len()) && name.chars().all(plain), "{name:?} is a valid name");
    }
}

/// What differs between `derived` and the file, in words; `None` where nothing does.
fn differs(derived: &Value, file: &Path) -> Option<String> {
    let Ok(expected) = fs::read_to_string(file) else {
        return Some(format!("{} is missing: run with REDRIVE_BLESS=1 and read it", file.display()));
    };
    let derived = pretty(derived);
    let pairs = expected.lines().map(Some).chain(std::iter::repeat(None));
    let first = derived.lines().zip(pairs).enumerate().find(|(_, (now, then))| Some(*now) != *then);
    match first {
        Some((line, (now, then))) => Some(format!(
            "{}:{}\n  expected {}\n  derived  {now}",
            file.display(),
            line + 1,
            then.unwrap_or("(the end)")
        )),
        None if derived.lines().count() != expected.lines().count() => {
            Some(format!("{} says more than was derived", file.display()))
        }
        None => None,
    }
}

fn pretty(value: &Value) -> String {
    format!("{}\n", serde_json::to_string_pretty(value).expect("JSON"))
}

#[test]
fn every_golden_repository_gives_exactly_its_entities() {
    let folders =
        fs::read_dir(golden()).expect("the golden repositories").map(|entry| entry.expect("it").path());
    let mut folders: Vec<PathBuf> = folders.filter(|path| path.is_dir()).collect();
    folders.sort();
    assert!(folders.len() >= 7, "{folders:?}");
    let mut wrong = Vec::new();
    for folder in folders {
        let (derived, file) = (World::of(&folder).derived(), folder.join("entities.json"));
        assert_eq!(derived, World::of(&folder).derived(), "the same input gives the same output");
        if std::env::var_os("REDRIVE_BLESS").is_some() {
            fs::write(&file, pretty(&derived)).expect("the file is writable");
        }
        wrong.extend(differs(&derived, &file));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_golden_repository_that_changes_is_noticed() {
    let folder = golden().join("terraform");
    let file = folder.join("entities.json");
    let mut world = World::of(&folder);
    world.repository.name = "payments2".to_owned();
    let said = differs(&world.derived(), &file).expect("another name gives other entities");
    assert!(said.contains("payments2"), "{said}");
    let mut world = World::of(&folder);
    world.workspace.as_mut().expect("it has one").1.clear();
    assert!(differs(&world.derived(), &file).is_some(), "what the workspace manages counts");
    assert!(differs(&json!({}), &folder.join("none.json")).is_some_and(|said| said.contains("missing")));
}

#[test]
fn a_malformed_catalog_file_is_never_replaced_by_a_guess() {
    let fault = &World::of(&golden().join("malformed")).derived()["fault"];
    assert_eq!(fault["class"], "permanent");
    let message = fault["message"].as_str().expect("a message");
    assert!(message.starts_with("catalog-info.yaml of acme/poison, line 6: "), "{message}");
}
