//! CODEOWNERS: which teams own which paths. Users and e-mail addresses are no groups of a catalog and are passed over.

use serde::{Deserialize, Serialize};

/// Rules in the order of the file: the last that matches a path wins.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Codeowners {
    /// Only rules that name a team, or nobody.
    pub rules: Vec<Rule>,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// `*`, `*.tf`, `/network/`, `docs`.
    pub pattern: String,
    /// The teams' names without their organization; none: the rule takes the ownership away.
    pub teams: Vec<String>,
}

pub(super) fn parse(text: &str) -> Codeowners {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
    let rules = lines.filter_map(|line| {
        let mut words = line.split_whitespace();
        let pattern = words.next()?.to_owned();
        let owners: Vec<&str> = words.collect();
        let teams: Vec<String> = owners
            .iter()
            .filter_map(|owner| owner.strip_prefix('@')?.split_once('/'))
            .map(|(_, team)| team.to_owned())
            .filter(|team| !team.is_empty())
            .collect();
        let says_something = !teams.is_empty() || owners.is_empty();
        says_something.then_some(Rule { pattern, teams })
    });
    Codeowners { rules: rules.collect() }
}

impl Codeowners {
    /// The first team of the last rule that matches `path`.
    pub fn owner_of(&self, path: &str) -> Option<&str> {
        let rule = self.rules.iter().rev().find(|rule| matches(&rule.pattern, path))?;
        rule.teams.first().map(String::as_str)
    }

    /// Who owns the whole: the team of the last `*` rule, else the first team named at all.
    pub fn default_owner(&self) -> Option<&str> {
        let whole =
            self.rules.iter().rev().find(|rule| matches!(rule.pattern.as_str(), "*" | "/" | "**" | "/**"));
        whole.or(self.rules.iter().find(|rule| !rule.teams.is_empty()))?.teams.first().map(String::as_str)
    }

    /// Every team, each once, in the order they are named.
    pub fn teams(&self) -> Vec<&str> {
        let mut teams: Vec<&str> = Vec::new();
        for team in self.rules.iter().flat_map(|rule| &rule.teams) {
            if !teams.contains(&team.as_str()) {
                teams.push(team);
            }
        }
        teams
    }
}

/// The patterns infrastructure repositories use: everything, a suffix, a folder or a file, anchored or not. A `*`
/// in the middle of a path matches within one folder, `**` any depth.
fn matches(pattern: &str, path: &str) -> bool {
    let anchored = pattern.starts_with('/') || pattern.trim_end_matches('/').contains('/');
    let wanted: Vec<&str> = pattern.split('/').filter(|part| !part.is_empty()).collect();
    let parts: Vec<&str> = path.split('/').collect();
    if wanted.is_empty() {
        return true;
    }
    // A pattern that ends in "/" means a folder: something has to stand below it.
    let below = usize::from(pattern.ends_with('/'));
    let starts = if anchored { 0..1 } else { 0..parts.len() };
    starts.into_iter().any(|at| from_here(&wanted, &parts[at..], below))
}

fn from_here(wanted: &[&str], parts: &[&str], below: usize) -> bool {
    match (wanted, parts) {
        ([], rest) => rest.len() >= below,
        (["**", more @ ..], rest) => (0..=rest.len()).any(|skip| from_here(more, &rest[skip..], below)),
        ([one, more @ ..], [part, rest @ ..]) => glob(one, part) && from_here(more, rest, below),
        _ => false,
    }
}

fn glob(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((before, after)) => text.strip_prefix(before).is_some_and(|rest| {
            let ends = rest.char_indices().map(|(at, _)| at).chain([rest.len()]);
            ends.into_iter().any(|at| glob(after, &rest[at..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_github_says() {
        for (pattern, path) in [
            ("*", "a/b.tf"),
            ("*.tf", "a/b.tf"),
            ("/network/", "network/vpc.tf"),
            ("network/", "live/network/vpc.tf"),
            ("docs", "docs/a/b.md"),
            ("/docs/*", "docs/a.md"),
            ("/live/**/dns.tf", "live/eu/prod/dns.tf"),
            ("**/logs", "deep/in/logs/x"),
        ] {
            assert!(matches(pattern, path), "{pattern} owns {path}");
        }
        for (pattern, path) in [
            ("*.tf", "a/b.md"),
            ("/network/", "live/network/vpc.tf"),
            ("/network/", "network"),
            ("live/network", "x/live/network/a"),
            ("/live/*/dns.tf", "live/eu/prod/dns.tf"),
        ] {
            assert!(!matches(pattern, path), "{pattern} does not own {path}");
        }
    }

    #[test]
    fn the_last_rule_wins_and_users_are_no_teams() {
        let owners =
            parse("# ours\n* @acme/platform @jane\n/db/ @acme/data # theirs\n/docs/ @jane\n/free/\n");
        assert_eq!(owners.owner_of("main.tf"), Some("platform"));
        assert_eq!(owners.owner_of("db/main.tf"), Some("data"));
        assert_eq!(owners.owner_of("docs/a.md"), Some("platform"));
        assert_eq!(owners.owner_of("free/a.md"), None);
        assert_eq!((owners.default_owner(), owners.teams()), (Some("platform"), vec!["platform", "data"]));
    }
}
