//! A repository's tree: every file and its size, also where GitHub truncates the listing.

use std::collections::VecDeque;

use reqwest::Method;
use serde::{Deserialize, Serialize};

use super::github::Github;
use crate::{domain::fault::Fault, engine::call::StepCalls};

/// Requests made for one tree before the rest of it is left out; a listing carries up to 100,000 entries.
const MAX_REQUESTS: usize = 200;

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TreeFile {
    /// From the root, without a leading slash.
    pub path: String,
    /// In bytes.
    pub size: u64,
}

/// The files of a repository, by path.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tree {
    /// Sorted by path.
    pub files: Vec<TreeFile>,
    /// Whether parts were left out because the tree is too large.
    pub cut: bool,
}

#[derive(Deserialize)]
struct RawTree {
    #[serde(default)]
    tree: Vec<RawEntry>,
    #[serde(default)]
    truncated: bool,
}

#[derive(Deserialize)]
struct RawEntry {
    path: String,
    #[serde(rename = "type")]
    kind: String,
    sha: String,
    #[serde(default)]
    size: u64,
}

impl Github {
    /// The files of `branch`. A truncated listing is walked folder by folder; an empty repository has none.
    ///
    /// # Errors
    /// Anything but the tree.
    pub async fn tree(
        &self,
        calls: &StepCalls,
        owner: &str,
        name: &str,
        branch: &str,
    ) -> Result<Tree, Fault> {
        let whole = match self.listing(calls, owner, name, branch, Depth::Whole).await {
            // "Git Repository is empty."
            Err(fault) if fault.http_status == Some(409) => return Ok(Tree::default()),
            answer => answer?,
        };
        let mut tree = Tree::default();
        if whole.truncated {
            self.walk(calls, owner, name, branch, &mut tree).await?;
        } else {
            tree.take("", whole.tree);
        }
        tree.files.sort();
        Ok(tree)
    }

    async fn walk(
        &self,
        calls: &StepCalls,
        owner: &str,
        name: &str,
        root: &str,
        tree: &mut Tree,
    ) -> Result<(), Fault> {
        let mut waiting = VecDeque::from([(String::new(), root.to_owned())]);
        for _ in 0..MAX_REQUESTS {
            let Some((prefix, sha)) = waiting.pop_front() else { return Ok(()) };
            // The root is known to be too large; a folder is tried whole first.
            let mut part = match prefix.as_str() {
                "" => self.listing(calls, owner, name, &sha, Depth::OneLevel).await?,
                _ => self.listing(calls, owner, name, &sha, Depth::Whole).await?,
            };
            let mut whole = !prefix.is_empty();
            if whole && part.truncated {
                part = self.listing(calls, owner, name, &sha, Depth::OneLevel).await?;
                whole = false;
            }
            // One level of one folder over 100,000 entries: what was sent is all there is to get.
            tree.cut |= part.truncated;
            if !whole {
                let folders = part.tree.iter().filter(|entry| entry.kind == "tree");
                waiting.extend(folders.map(|entry| (format!("{prefix}{}/", entry.path), entry.sha.clone())));
            }
            tree.take(&prefix, part.tree);
        }
        tree.cut |= !waiting.is_empty();
        Ok(())
    }

    async fn listing(
        &self,
        calls: &StepCalls,
        owner: &str,
        name: &str,
        sha: &str,
        depth: Depth,
    ) -> Result<RawTree, Fault> {
        let segments = ["repos", owner, name, "git", "trees", sha];
        let (call, mut request) = self.ask("github.tree", Method::GET, &segments)?;
        if depth == Depth::Whole {
            request = request.query(&[("recursive", "1")]);
        }
        Ok(call.json(calls, request).await?.0)
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Depth {
    Whole,
    OneLevel,
}

impl Tree {
    /// A tree from the JSON GitHub answers, of one listing that is not truncated.
    ///
    /// # Errors
    /// When it has another shape.
    pub fn from_listing(json: &str) -> Result<Self, serde_json::Error> {
        let raw: RawTree = serde_json::from_str(json)?;
        let mut tree = Self { files: Vec::new(), cut: raw.truncated };
        tree.take("", raw.tree);
        tree.files.sort();
        Ok(tree)
    }

    fn take(&mut self, prefix: &str, entries: Vec<RawEntry>) {
        let blobs = entries.into_iter().filter(|entry| entry.kind == "blob");
        self.files.extend(blobs.map(|e| TreeFile { path: format!("{prefix}{}", e.path), size: e.size }));
    }
}
