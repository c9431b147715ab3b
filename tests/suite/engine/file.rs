//! Troubles of a file: another process has it locked, or nobody may write to it. Whoever waits, or comes later, completes
//! every onboarding.

use std::time::Duration;

use redrive::{
    engine::command::{Command, Refusal},
    store::OpenOptions,
};
use sqlx::{Connection, SqliteConnection};

use super::{
    script::{Script, Turn, World},
    troubles::{recorded_once, trigger},
};
use crate::support::stores::{TestStore, request, submission};

/// Another process has the file's lock for `long`, while four steps end that `patience` cannot record.
async fn a_locked_file_is_waited_for(patience: Duration, long: Duration) {
    let store = TestStore::sqlite().await;
    let options = OpenOptions { lock_timeout: patience, connect_timeout: patience, ..OpenOptions::default() };
    let script = Script::new().then("REGISTERING", vec![Turn::Hold; 4]);
    let world = World::open_with(&store.url, options, script).await;
    let ids = trigger(&world, 4, "waits").await;
    let _hand = world.hire("one");
    world.until_run("REGISTERING", 4).await;
    let mut stranger = SqliteConnection::connect(&store.url).await.expect("it connects");
    sqlx::raw_sql("PRAGMA busy_timeout = 10000; BEGIN IMMEDIATE")
        .execute(&mut stranger)
        .await
        .expect("it locks");
    let locked = redrive::clock::instant();
    world.script.go_on_by(4);
    while redrive::clock::instant() - locked < long {
        let command = Command::Trigger { request: request("another") };
        let Err(Refusal::Store(error)) = world.engine.submit(&submission(command)).await else {
            panic!("the file is locked")
        };
        let says =
            ["the action: database is locked", "waiting for a connection: no connection came free in time"]
                .map(|why| format!("the database was too busy for {why}; nothing was changed, try again"));
        assert!(says.contains(&error.to_string()), "{error}");
    }
    stranger.close().await.expect("the stranger leaves");
    recorded_once(&world, &store.url, &ids, "locked").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_another_process_has_locked_for_longer_than_a_lease_is_waited_for() {
    a_locked_file_is_waited_for(Duration::from_millis(50), Duration::from_secs(3)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: another process has the file locked for 30 s"]
async fn a_file_that_another_process_has_locked_for_half_a_minute_is_waited_for() {
    let as_ever = OpenOptions::default().lock_timeout;
    a_locked_file_is_waited_for(as_ever, Duration::from_secs(30)).await;
}

/// A read-only file keeps its steps until somebody may write: whoever comes then completes them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_takes_no_writes_is_named_and_its_work_is_done_once_it_does() {
    let store = TestStore::sqlite().await;
    let path = store.url.strip_prefix("sqlite:").expect("a file").to_owned();
    let world = World::open(&store.url, Script::new()).await;
    let ids = trigger(&world, 4, "waits").await;
    drop(world);
    let url = store.url.clone();
    store.sql("PRAGMA wal_checkpoint(TRUNCATE)").await;
    read_only(&path, true);
    let world = World::open(&url, Script::new()).await;
    let hand = world.hire("one");
    let command = Command::Trigger { request: request("another") };
    let refused = world.engine.submit(&submission(command)).await.expect_err("it is read-only");
    assert_eq!(refused.to_string(), "the database is read-only: nothing was changed");
    hand.stop().await;
    assert_eq!(world.script.log(), [""; 0], "nothing was begun that could not be recorded");
    drop(world);
    read_only(&path, false);
    let world = World::open(&url, Script::new()).await;
    let _hand = world.hire("two");
    recorded_once(&world, &url, &ids, "read-only").await;
}

/// Whatever user this runs as: a file of a later format is only read.
pub(crate) fn read_only(path: &str, is: bool) {
    use std::os::unix::fs::FileExt as _;
    const WRITE_VERSION: u64 = 18;
    let file = std::fs::OpenOptions::new().write(true).open(path).expect("the file is there");
    file.write_all_at(&[if is { 3 } else { 2 }], WRITE_VERSION).expect("it is written");
}
