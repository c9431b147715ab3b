//! The floors of `src/lib.rs`: an import goes only downwards, and each heavy crate stays on its floor.

use std::{fs, path::Path};

/// Top to bottom, as on the map.
const FLOORS: [&str; 15] = [
    "cli",
    "run",
    "demo",
    "tui",
    "service",
    "poll",
    "onboarding",
    "metrics",
    "store",
    "engine",
    "resilience",
    "domain",
    "http",
    "config",
    "clock",
];

/// Crates that may be named only on these floors.
const KEPT_TO: [(&str, &[&str]); 5] = [
    ("sqlx", &["store"]),
    ("redis", &["store"]),
    ("ratatui", &["tui"]),
    ("crossterm", &["tui"]),
    ("reqwest", &["http", "metrics", "onboarding", "demo"]),
];

fn sources(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).expect("src is readable") {
        let path = entry.expect("src is readable").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let name = path.strip_prefix("src").expect("under src").display().to_string();
            found.push((name, fs::read_to_string(&path).expect("a source file is text")));
        }
    }
}

fn floor_of(file: &str) -> Option<usize> {
    let first = file.split('/').next()?.trim_end_matches(".rs");
    FLOORS.iter().position(|floor| *floor == first)
}

/// The floors named after `crate::`, also inside `use crate::{a, b::c}`.
fn named(source: &str) -> Vec<String> {
    let mut names = Vec::new();
    for (at, _) in source.match_indices("crate::") {
        let rest = &source[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            None => names.push(rest),
            Some(group) => {
                let mut depth = 0;
                let mut start = 0;
                for (i, c) in group.char_indices() {
                    match c {
                        '{' => depth += 1,
                        '}' if depth == 0 => {
                            names.push(group[start..i].trim());
                            break;
                        }
                        '}' => depth -= 1,
                        ',' if depth == 0 => {
                            names.push(group[start..i].trim());
                            start = i + 1;
                        }
                        _ => {}
                    }
                }
            }
        }
    }
    names.into_iter().map(|n| n.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()).collect()
}

fn code_only(source: &str) -> String {
    source.lines().filter(|l| !l.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

#[test]
fn an_import_goes_only_downwards() {
    let mut files = Vec::new();
    sources(Path::new("src"), &mut files);
    assert!(files.len() > 10, "the sources were found");
    let mut wrong = Vec::new();
    for (file, source) in &files {
        let Some(own) = floor_of(file) else { continue };
        for name in named(&code_only(source)) {
            if FLOORS.iter().position(|floor| *floor == name).is_some_and(|other| other < own) {
                wrong.push(format!("{file} imports crate::{name}, which is above it"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_heavy_crate_stays_on_its_floor() {
    let mut files = Vec::new();
    sources(Path::new("src"), &mut files);
    let mut wrong = Vec::new();
    for (file, source) in &files {
        let floor = file.split('/').next().unwrap_or_default().trim_end_matches(".rs");
        for (name, allowed) in KEPT_TO {
            if code_only(source).contains(&format!("{name}::")) && !allowed.contains(&floor) {
                wrong.push(format!("{file} names {name}, which belongs in {}", allowed.join(", ")));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_floors_test_sees_an_import_that_climbs() {
    assert_eq!(named("use crate::{cli::x, domain::{a, b}};\ncrate::tui::y()"), ["cli", "domain", "tui"]);
}
