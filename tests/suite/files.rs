//! SQLite files that may not be written, by the very program and as somebody who has no rights.

use std::{
    fs::{self, Permissions},
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::Command,
};

use redrive::store::{OpenOptions, migrate, open};
use sqlx::{Connection as _, SqliteConnection};

use crate::support::{
    daemon::Daemon,
    program,
    stores::{column, request, submission},
    wait::eventually,
};

/// A folder that anybody may look into, with the program in it.
struct Place {
    folder: tempfile::TempDir,
    program: PathBuf,
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("it is ours");
}

impl Place {
    fn new() -> Self {
        // Not below TMPDIR, which may be for its owner alone.
        let folder = tempfile::Builder::new().prefix("redrive-files-").tempdir_in("/tmp").expect("a folder");
        mode(folder.path(), 0o755);
        let program = folder.path().join("redrive");
        if fs::hard_link(program::REDRIVE, &program).is_err() {
            fs::copy(program::REDRIVE, &program).expect("the program can be copied");
        }
        Self { folder, program }
    }

    /// `redrive ARGS` as somebody without rights: exit code and everything it said.
    fn run(&self, args: &[&str]) -> (i32, String) {
        let mut command = Command::new(&self.program);
        command
            .args(args)
            .env_clear()
            .env("HOME", "/nonexistent")
            .env("PATH", "/usr/bin:/bin")
            .current_dir("/");
        let id = Command::new("id").arg("-u").output().expect("there is an id");
        if id.stdout == b"0\n" {
            command.uid(65_534).gid(65_534);
        }
        let output = command.output().expect("it starts");
        let said = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&said).into_owned())
    }
}

/// A database in WAL mode with one onboarding in it, closed.
async fn database(folder: &Path) -> PathBuf {
    let file = folder.join("orders.db");
    let url = format!("sqlite:{}", file.display());
    migrate(&url).await.expect("it migrates");
    let opened = open(&url, OpenOptions::default()).await.expect("it opens");
    let trigger = redrive::engine::command::Command::Trigger { request: request("ledger") };
    opened.store.act(&submission(trigger)).await.expect("it acts");
    drop(opened);
    // Whoever closes last empties the WAL into the file.
    let mut last = SqliteConnection::connect(&url).await.expect("it connects");
    sqlx::raw_sql("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut last).await.expect("it empties the WAL");
    last.close().await.expect("it closes");
    file
}

#[tokio::test]
async fn a_file_that_may_only_be_read_is_read_and_says_so() {
    let place = Place::new();
    let data = place.folder.path().join("data");
    fs::create_dir(&data).expect("a folder");
    let file = database(&data).await;
    for ending in ["-wal", "-shm"] {
        let _ = fs::remove_file(format!("{}{ending}", file.display()));
    }
    mode(&file, 0o444);
    mode(&data, 0o555);
    let url = format!("sqlite:{}", file.display());
    let (code, said) = place.run(&["check", "--database-url", &url]);
    assert!(said.contains("read-only: the file may not be written by this user"), "{said}");
    assert_eq!(code, 0, "that is no fault: {said}");
    let (code, said) = place.run(&["onboardings", "list", "--database-url", &url]);
    assert!(code == 0 && said.contains("ledger"), "{said}");
    let (code, said) = place.run(&["letters", "discard", "x", "--yes", "--database-url", &url]);
    assert!(code == 1, "{said}");
    mode(&data, 0o755);
    assert_eq!(column(&url, "SELECT count(*) FROM onboarding_history").await, ["1"]);
}

#[tokio::test]
async fn a_log_that_cannot_be_read_where_it_lies_is_named() {
    let place = Place::new();
    let data = place.folder.path().join("data");
    fs::create_dir(&data).expect("a folder");
    let file = database(&data).await;
    // As a copy looks that was taken of a database in use, without its -shm.
    let mut writer =
        SqliteConnection::connect(&format!("sqlite:{}", file.display())).await.expect("it opens");
    sqlx::raw_sql("CREATE TABLE theirs (n bigint)").execute(&mut writer).await.expect("it writes");
    let copy = place.folder.path().join("copy");
    fs::create_dir(&copy).expect("a folder");
    for ending in ["", "-wal"] {
        let name = format!("orders.db{ending}");
        fs::copy(data.join(&name), copy.join(&name)).expect("it is copied");
        mode(&copy.join(&name), 0o444);
    }
    mode(&copy, 0o555);
    let (code, said) =
        place.run(&["check", "--database-url", &format!("sqlite:{}/orders.db", copy.display())]);
    assert!(code == 1 && said.contains("holds what is not in the file yet"), "{said}");
    mode(&copy, 0o755);
}

#[test]
fn after_a_clean_stop_the_file_alone_is_whole() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = runtime.block_on(database(folder.path()));
    let url = format!("sqlite:{}", file.display());
    let mut worker = Daemon::start(
        &["worker", "--listen", "127.0.0.1:0", "--name", "one", "--database-url", &url],
        &[("REDRIVE_GITHUB_URL", "http://127.0.0.1:1"), ("REDRIVE_TFC_URL", "http://127.0.0.1:1")],
        "listens on",
    );
    let attempts = "SELECT count(*) FROM redrive_attempts";
    let limit = std::time::Duration::from_secs(20);
    let tried = eventually("it tried something", limit, async || {
        Some(column(&url, attempts).await.remove(0)).filter(|tried| tried != "0")
    });
    runtime.block_on(tried);
    worker.signal("TERM");
    assert_eq!(worker.wait(limit), Some(0));
    let left = fs::metadata(format!("{}-wal", file.display())).map_or(0, |wal| wal.len());
    assert_eq!(left, 0, "nothing is left in the log");
    let alone = folder.path().join("alone.db");
    fs::copy(&file, &alone).expect("it is copied");
    let kept = runtime.block_on(column(&format!("sqlite:{}", alone.display()), attempts));
    assert_ne!(kept, ["0"]);
}

#[tokio::test]
async fn an_address_that_says_read_only_is_obeyed() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = database(folder.path()).await;
    let opened = open(&format!("sqlite:{}?mode=ro", file.display()), OpenOptions::default()).await;
    let opened = opened.expect("it opens");
    let board = opened.reader.read(&redrive::engine::reader::Query::default()).await.expect("it reads");
    assert_eq!(board.read_only.as_deref(), Some("its address says mode=ro"));
    let trigger = redrive::engine::command::Command::Trigger { request: request("again") };
    opened.store.act(&submission(trigger)).await.expect_err("nothing is written");
}

#[tokio::test]
async fn a_path_may_hold_what_a_url_may_not() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for name in ["two words.db", "100%25.db", "what%3F.db", "100%.db", "a#b.db"] {
        let url = format!("sqlite:{}/{name}", folder.path().display());
        migrate(&url).await.expect("it migrates");
        open(&url, OpenOptions::default()).await.expect("it opens");
    }
    let mut names: Vec<_> = fs::read_dir(folder.path())
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .filter(|name| name.ends_with(".db"))
        .collect();
    names.sort();
    assert_eq!(names, ["100%.db", "a#b.db", "two words.db", "what?.db"]);
}
