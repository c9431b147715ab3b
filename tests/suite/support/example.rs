//! The programs in `examples/`.

use std::{env, path::PathBuf, process::Command};

/// An example, built as the tests were; `cargo test --test suite` alone does not build them.
pub(crate) fn built(name: &str) -> PathBuf {
    let tests = env::current_exe().expect("the tests run from a file");
    let profile = tests.ancestors().nth(2).expect("target/PROFILE/deps/suite");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--offline", "--all-features", "--example", name, "--manifest-path"]);
    cargo
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .arg("--target-dir")
        .arg(profile.parent().expect("target"));
    if profile.ends_with("release") {
        cargo.arg("--release");
    }
    assert!(cargo.status().expect("there is a cargo").success(), "the example {name} builds");
    profile.join("examples").join(name)
}
