//! The README says what the code says. `REDRIVE_BLESS=1` writes into it what it should say.

use std::{env, fs, path::Path};

use crate::support::program::run;

const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
const BEGIN: &str = "<!-- keys: begin (from the table in src/tui/keys.rs) -->\n";
const END: &str = "<!-- keys: end -->";

#[test]
fn the_key_table_of_the_readme_is_the_one_in_the_code() {
    let readme = fs::read_to_string(README).unwrap();
    let (before, rest) = readme.split_once(BEGIN).expect("the table's begin is marked");
    let (table, after) = rest.split_once(END).expect("the table's end is marked");
    let wanted = format!("\n{}\n", redrive::tui::keys::markdown());
    if env::var_os("REDRIVE_BLESS").is_some() {
        return fs::write(README, format!("{before}{BEGIN}{wanted}{END}{after}")).unwrap();
    }
    assert_eq!(table, wanted, "run this test once more with REDRIVE_BLESS=1");
}

#[test]
fn every_config_file_the_readme_shows_is_taken() {
    let readme = fs::read_to_string(README).unwrap();
    let blocks: Vec<&str> =
        readme.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(!blocks.is_empty());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("redrive.toml");
    for block in blocks {
        fs::write(&path, block).unwrap();
        let database = "--database-url=sqlite:/nowhere.db";
        let (_, _, err) = run(&["onboardings", "list", database, "--config", path.to_str().unwrap()]);
        assert!(err.contains("there is no file /nowhere.db"), "{block}\n{err}");
    }
}

#[test]
fn every_picture_and_file_the_readme_shows_is_there() {
    let readme = fs::read_to_string(README).unwrap();
    let links = readme.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let ours: Vec<_> = links.filter(|link| !link.contains("://") && !link.starts_with('#')).collect();
    assert!(ours.contains(&"screenshots/pulse-dark.png"), "{ours:?}");
    for link in ours {
        assert!(Path::new(README).with_file_name(link).exists(), "{link}");
    }
}
