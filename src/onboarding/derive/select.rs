//! Which files of a repository are worth fetching.

use serde::{Deserialize, Serialize};

use crate::onboarding::tree::{Tree, TreeFile};

/// Where a repository may say what it is, in the order they are looked for.
const CATALOG_INFO: [&str; 2] = ["catalog-info.yaml", "catalog-info.yml"];

/// Where GitHub looks for CODEOWNERS, in its order.
const CODEOWNERS: [&str; 3] = [".github/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS"];

/// Terraform files fetched at most.
const MAX_TERRAFORM_FILES: usize = 60;

/// The largest Terraform or CODEOWNERS file fetched, in bytes.
const MAX_BYTES: u64 = 256 << 10;

/// The largest catalog file fetched, in bytes.
const MAX_CATALOG_BYTES: u64 = 4 << 20;

/// Folders whose Terraform describes nothing that runs.
const NOT_DEPLOYED: [&str; 7] =
    [".terraform", "examples", "example", "test", "tests", "fixtures", "node_modules"];

/// The files to fetch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selection {
    /// Their paths, sorted.
    pub paths: Vec<String>,
    /// What was left out, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

pub(super) fn is_catalog_info(path: &str) -> bool {
    CATALOG_INFO.contains(&path)
}

pub(super) fn is_codeowners(path: &str) -> bool {
    CODEOWNERS.contains(&path)
}

/// The files of `tree` that matter: the catalog file, else Terraform files; and CODEOWNERS.
pub fn select(tree: &Tree) -> Selection {
    let mut chosen = Selection::default();
    if tree.cut {
        chosen.notes.push("the tree is too large to be read whole: files may be missing".to_owned());
    }
    let find = |path: &&str| tree.files.iter().find(|file| file.path == **path);
    let catalog = CATALOG_INFO.iter().find_map(&find);
    let declared = catalog.is_some_and(|file| chosen.take(file, MAX_CATALOG_BYTES));
    if let Some(owners) = CODEOWNERS.iter().find_map(find) {
        chosen.take(owners, MAX_BYTES);
    }
    if !declared {
        let mut terraform: Vec<&TreeFile> = tree.files.iter().filter(|f| is_terraform(&f.path)).collect();
        // Files near the root say more about the whole than files deep below.
        terraform.sort_by_key(|file| (file.path.matches('/').count(), &file.path));
        if let Some(more) = terraform.len().checked_sub(MAX_TERRAFORM_FILES).filter(|more| *more > 0) {
            chosen.notes.push(format!("{more} Terraform files beyond {MAX_TERRAFORM_FILES} were left out"));
        }
        for file in terraform.into_iter().take(MAX_TERRAFORM_FILES) {
            chosen.take(file, MAX_BYTES);
        }
    }
    chosen.paths.sort();
    chosen
}

fn is_terraform(path: &str) -> bool {
    let mut folders = path.rsplit('/').skip(1);
    path.ends_with(".tf") && !folders.any(|folder| NOT_DEPLOYED.contains(&folder))
}

impl Selection {
    fn take(&mut self, file: &TreeFile, limit: u64) -> bool {
        let fits = file.size <= limit;
        match fits {
            true => self.paths.push(file.path.clone()),
            false => self.notes.push(format!("{} is over {} KiB: left out", file.path, limit >> 10)),
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, u64)]) -> Tree {
        let files = files.iter().map(|(path, size)| TreeFile { path: (*path).to_owned(), size: *size });
        Tree { files: files.collect(), cut: false }
    }

    #[test]
    fn a_catalog_file_makes_terraform_unnecessary_but_owners_are_still_read() {
        let chosen = select(&tree(&[("CODEOWNERS", 9), ("catalog-info.yaml", 9), ("main.tf", 9)]));
        assert_eq!(chosen.paths, ["CODEOWNERS", "catalog-info.yaml"]);
    }

    #[test]
    fn what_is_not_deployed_or_too_large_is_left_out() {
        let chosen = select(&tree(&[
            ("main.tf", 9),
            ("big.tf", MAX_BYTES + 1),
            ("modules/x/main.tf", 9),
            ("modules/x/examples/main.tf", 9),
            ("main.tfvars", 9),
        ]));
        assert_eq!(chosen.paths, ["main.tf", "modules/x/main.tf"]);
        assert_eq!(chosen.notes.len(), 1);
    }

    #[test]
    fn of_too_many_files_those_near_the_root_are_taken() {
        let paths: Vec<String> =
            (0..70).map(|n| format!("deep/er/{n}.tf")).chain(["main.tf".to_owned()]).collect();
        let files: Vec<(&str, u64)> = paths.iter().map(|path| (path.as_str(), 1)).collect();
        let chosen = select(&tree(&files));
        assert_eq!(chosen.paths.len(), MAX_TERRAFORM_FILES);
        assert!(chosen.paths.contains(&"main.tf".to_owned()));
        assert!(chosen.notes[0].contains("11 Terraform files"), "{:?}", chosen.notes);
    }
}
