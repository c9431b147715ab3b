//! Files that redrive makes are their owner's alone, and one that others can read is told of.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use sqlx::{Connection as _, SqliteConnection};

use super::json;
use crate::support::{
    program::{redrive, run},
    wait::eventually,
};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).permissions().mode()
        & 0o777
}

/// `redrive ARGS` under a umask that lets everybody read, not yet started.
fn openly(args: &[&str]) -> Command {
    let program = redrive(args);
    let mut command = Command::new("sh");
    command
        .args(["-c", "umask 022 && exec \"$0\" \"$@\""])
        .arg(program.get_program())
        .args(program.get_args());
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}

fn migrate(database: &Path, log: &Path) {
    let url = format!("sqlite:{}", database.display());
    let made = openly(&["migrate", "--database-url", &url, "--log", log.to_str().unwrap()]).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

#[tokio::test]
async fn a_new_database_what_sqlite_puts_beside_it_and_a_new_log_are_the_owners_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (database, log) = (folder.path().join("new.db"), folder.path().join("new.log"));
    let url = format!("sqlite:{}", database.display());
    migrate(&database, &log);
    let mut open = SqliteConnection::connect(&url).await.unwrap();
    sqlx::raw_sql("CREATE TABLE x (y)").execute(&mut open).await.unwrap();
    for suffix in ["", "-wal", "-shm"] {
        let path = PathBuf::from(format!("{}{suffix}", database.display()));
        assert_eq!(format!("{:o}", mode(&path)), "600", "{}", path.display());
    }
    assert_eq!(format!("{:o}", mode(&log)), "600");
}

#[test]
fn a_file_that_is_there_keeps_its_mode() {
    let folder = tempfile::tempdir().unwrap();
    let (database, log) = (folder.path().join("old.db"), folder.path().join("old.log"));
    for path in [&database, &log] {
        fs::write(path, "").unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o640)).unwrap();
    }
    migrate(&database, &log);
    assert_eq!((mode(&database), mode(&log)), (0o640, 0o640));
}

#[test]
fn a_config_file_with_a_secret_that_others_can_read_is_told_of_with_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("redrive.toml");
    let database = format!("--database-url=sqlite:{}", folder.path().join("x.db").display());
    assert_eq!(run(&["migrate", &database]).0, 0);
    let config = path.to_str().unwrap();
    let remedy = format!("chmod 600 {config}");
    for (text, mode, told) in [
        ("[context.live]\ndatabase_url = \"postgres://ana:hunter2@db/x\"\n", 0o644, true),
        ("[context.live]\ndatabase_url = \"postgres://ana:hunter2@db/x\"\n", 0o640, true),
        ("[context.live]\ndatabase_url = \"postgres://ana:hunter2@db/x\"\n", 0o600, false),
        ("[context.live]\ndatabase_url = \"postgres://ana@db/x\"\n", 0o644, false),
    ] {
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let (_, out, err) = run(&["check", "--json", &database, "--config", config]);
        assert_eq!(err.contains(&remedy), told, "{text} {mode:o}: {err}");
        let finding =
            json(&out).as_array().unwrap().iter().find(|finding| finding["what"] == "config").cloned();
        assert_eq!(
            finding.is_some_and(|f| f["found"] == "warning" && f["says"].as_str().unwrap().contains(&remedy)),
            told,
            "{out}"
        );
        assert!(!out.contains("hunter2") && !err.contains("hunter2"));
    }
}

#[tokio::test]
async fn a_demos_folder_is_the_owners_alone() {
    let folder = tempfile::tempdir().unwrap();
    let mut demo = openly(&["demo", "--headless"]);
    demo.env("TMPDIR", folder.path()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut demo = demo.spawn().unwrap();
    let made = eventually("the demo has a folder", Duration::from_secs(20), async || {
        fs::read_dir(folder.path()).ok()?.flatten().next().map(|entry| mode(&entry.path()))
    })
    .await;
    demo.kill().unwrap();
    demo.wait().unwrap();
    assert_eq!(format!("{made:o}"), "700");
}
