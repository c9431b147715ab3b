//! Synthetic repositories: any well-formed `OWNER/NAME` exists and always holds the same files, made from a hash of
//! its name. Some declare a catalog, some hold only Terraform.
//!
//! The beginning of a name asks for something special:
//! `missing-` does not exist · `poison-` has a malformed catalog file · `empty-` has no commit · `huge-` has a tree that
//! is truncated · `big-` has a catalog file over 1 MB · `hooked-` has 230 hooks of others · `stubborn-` has a tree that
//! always answers 500.

use std::fmt::Write as _;

use crate::domain::onboarding::sha256_hex;

/// Owners a demo's onboardings come from.
pub const TENANTS: [&str; 6] = ["acme", "globex", "initech", "umbrella", "hooli", "stark"];

/// Names a demo's repositories are made of.
pub const NAMES: [&str; 12] = [
    "payments",
    "ledger",
    "identity",
    "billing",
    "catalog",
    "search",
    "shipping",
    "inventory",
    "pricing",
    "reports",
    "gateway",
    "messaging",
];

/// A hook's worth of others on `hooked-` repositories, more than two pages of GitHub's largest, 100.
pub(super) const OTHERS_HOOKS: u64 = 230;

/// How the names of repositories begin whose tree always answers 500.
pub(in crate::demo) const STUBBORN: &str = "stubborn-";

/// A repository made from its name.
#[derive(Debug, Clone)]
pub(super) struct Synthetic {
    pub(super) owner: String,
    pub(super) name: String,
    digest: String,
}

/// A file of it.
#[derive(Debug, Clone)]
pub(super) struct File {
    pub(super) path: String,
    pub(super) text: String,
}

impl Synthetic {
    /// The repository, if it exists.
    pub(super) fn find(owner: &str, name: &str) -> Option<Self> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let well_formed = |part: &str| !part.is_empty() && part.len() <= 100 && part.chars().all(plain);
        if !well_formed(owner) || !well_formed(name) || name.starts_with("missing-") {
            return None;
        }
        let digest = sha256_hex(format!("{owner}/{name}").to_lowercase().as_bytes());
        Some(Self { owner: owner.to_owned(), name: name.to_owned(), digest })
    }

    pub(super) fn is(&self, kind: &str) -> bool {
        self.name.starts_with(kind)
    }

    pub(super) fn slug(&self) -> String {
        format!("{}/{}", self.owner, self.name)
    }

    /// A number below `below` that is always the same for `what` of this repository.
    pub(super) fn pick(&self, what: &str, below: u64) -> u64 {
        number(&sha256_hex(format!("{}{what}", self.digest).as_bytes())) % below.max(1)
    }

    /// GitHub's number for it.
    pub(super) fn id(&self) -> u64 {
        self.pick("id", 900_000_000) + 100_000_000
    }

    /// Whether it says itself what it is.
    pub(super) fn declares(&self) -> bool {
        self.is("poison-") || self.is("big-") || (!self.is("huge-") && self.pick("declares", 2) == 0)
    }

    /// The sha of `path`'s content; of a folder, its tree's.
    pub(super) fn sha(&self, path: &str) -> String {
        sha256_hex(format!("{}:{path}", self.digest).as_bytes())[..40].to_owned()
    }

    /// Its files, sorted by path.
    pub(super) fn files(&self) -> Vec<File> {
        if self.is("empty-") {
            return Vec::new();
        }
        let mut files = vec![
            File { path: "README.md".to_owned(), text: format!("# {}\n", self.name) },
            File { path: ".github/CODEOWNERS".to_owned(), text: self.codeowners() },
            File { path: "main.tf".to_owned(), text: self.terraform() },
            File { path: "modules/network/main.tf".to_owned(), text: NETWORK.to_owned() },
            File {
                path: "variables.tf".to_owned(),
                text: "variable \"environment\" {\n  type = string\n}\n".to_owned(),
            },
        ];
        if self.declares() {
            files.push(File { path: "catalog-info.yaml".to_owned(), text: self.catalog_info() });
        }
        if self.is("huge-") {
            for (region, number) in ["eu", "us"].iter().flat_map(|region| (0..8).map(move |n| (region, n))) {
                let text = format!("resource \"aws_sqs_queue\" \"{region}_{number}\" {{}}\n");
                files.push(File { path: format!("live/{region}/queue-{number}.tf"), text });
            }
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        files
    }

    fn team(&self) -> &'static str {
        ["platform", "data", "commerce", "core"][self.pick("team", 4) as usize]
    }

    fn codeowners(&self) -> String {
        format!("# Who is asked\n* @{0}/{1}\n/modules/network/ @{0}/network\n", self.owner, self.team())
    }

    fn catalog_info(&self) -> String {
        let (name, namespace, team) =
            (&self.name, self.owner.to_lowercase().replace(['_', '.'], "-"), self.team());
        let head = |kind: &str, name: &str| {
            format!(
                "---\napiVersion: backstage.io/v1alpha1\nkind: {kind}\nmetadata:\n  name: {name}\n  namespace: {namespace}\n"
            )
        };
        let mut text = head("Component", name);
        if self.is("poison-") {
            // An unclosed list, as it happens when a file is edited in a browser.
            text.push_str("  tags: [infrastructure, terraform\nspec:\n  type: service\n");
            return text;
        }
        let _ = write!(
            text,
            "  description: The {name} service of {}\n  tags: [infrastructure]\nspec:\n  type: service\n  lifecycle: production\n  owner: {team}\n  system: {name}-system\n  dependsOn: ['resource:{name}-database', 'resource:{name}-artifacts']\n",
            self.owner
        );
        text.push_str(&head("System", &format!("{name}-system")));
        let _ = writeln!(text, "spec:\n  owner: {team}");
        for (resource, kind) in [("database", "database"), ("artifacts", "s3-bucket")] {
            text.push_str(&head("Resource", &format!("{name}-{resource}")));
            let _ = writeln!(text, "spec:\n  type: {kind}\n  owner: {team}\n  system: {name}-system");
        }
        text.push_str(&head("Group", team));
        text.push_str("spec:\n  type: team\n  children: []\n");
        if self.is("big-") {
            let line = format!("# {}\n", "padding ".repeat(12));
            text.push_str(&line.repeat(1_100_000 / line.len()));
        }
        text
    }

    fn terraform(&self) -> String {
        let mut text = "terraform {\n  required_version = \">= 1.5\"\n}\n\nmodule \"network\" {\n  source      = \"./modules/network\"\n  environment = var.environment\n}\n".to_owned();
        let (mut more, first) = (POOL.len() as u64, self.pick("first", POOL.len() as u64));
        more = 2 + self.pick("more", more - 2);
        for (kind, name, body) in POOL.iter().cycle().skip(first as usize).take(more as usize) {
            let _ = write!(text, "\nresource \"{kind}\" \"{name}\" {{\n{body}}}\n");
        }
        text
    }
}

/// What repositories and workspaces are made of.
pub(super) const POOL: [(&str, &str, &str); 7] = [
    ("aws_s3_bucket", "artifacts", "  bucket = \"artifacts-${var.environment}\"\n"),
    ("aws_db_instance", "main", "  engine     = \"postgres\"\n  depends_on = [module.network]\n"),
    ("aws_sqs_queue", "events", "  name = \"events\"\n"),
    ("aws_sns_topic", "alerts", "  name = \"alerts\"\n"),
    (
        "aws_lambda_function",
        "worker",
        "  environment {\n    variables = { QUEUE = aws_sqs_queue.events.url }\n  }\n",
    ),
    ("aws_kms_key", "main", "  enable_key_rotation = true\n"),
    ("aws_elasticache_cluster", "cache", "  subnet_group_name = module.network.subnet_group\n"),
];

const NETWORK: &str = "variable \"environment\" {}\n\nresource \"aws_vpc\" \"main\" {\n  cidr_block = \"10.0.0.0/16\"\n}\n\nresource \"aws_subnet\" \"private\" {\n  vpc_id = aws_vpc.main.id\n}\n\noutput \"subnet_group\" {\n  value = aws_subnet.private.id\n}\n";

/// The first 60 bits of a digest.
pub(super) fn number(digest: &str) -> u64 {
    u64::from_str_radix(&digest[..15], 16).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_is_the_same_every_time_and_another_name_is_another() {
        let of = |name| Synthetic::find("acme", name).map(|r| (r.id(), r.files().len(), r.sha("main.tf")));
        assert_eq!(of("payments"), of("payments"));
        assert_ne!(of("payments"), of("ledger"));
        assert!(of("missing-payments").is_none() && of("a b").is_none());
    }

    #[test]
    fn among_the_names_of_the_demo_some_declare_a_catalog_and_some_do_not() {
        let all =
            TENANTS.iter().flat_map(|owner| NAMES.iter().filter_map(|name| Synthetic::find(owner, name)));
        let (declaring, silent): (Vec<_>, Vec<_>) = all.partition(Synthetic::declares);
        assert!(declaring.len() > 10 && silent.len() > 10, "{} and {}", declaring.len(), silent.len());
    }
}
