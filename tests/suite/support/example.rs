//! The programs in `examples/`.

use std::{env, path::PathBuf};

/// An example that was built with the tests, as `cargo test` does unless it is told which tests to build.
pub(crate) fn built(name: &str) -> PathBuf {
    let tests = env::current_exe().expect("the tests run from a file");
    let profile = tests.ancestors().nth(2).expect("target/PROFILE/deps/suite");
    let example = profile.join("examples").join(name);
    let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples").join(format!("{name}.rs"));
    let written = |file: &PathBuf| file.metadata().and_then(|about| about.modified());
    let fresh = matches!((written(&example), written(&source)), (Ok(built), Ok(source)) if built >= source);
    assert!(fresh, "{} is missing or older than its source: run `cargo build --examples`", example.display());
    example
}
