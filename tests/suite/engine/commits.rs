//! How often the engine commits: once a state, and once for a claim. On any machine alike, because what is counted are
//! transactions and not their time.

use std::path::Path;

use redrive::store::{self, OpenOptions};

use super::noop::{self, Noop};
use crate::support::{stores, wal};

/// A worker's first sign of life, and its goodbye: no part of an onboarding.
const HELLO_AND_GOODBYE: usize = 2;

/// Every row that is written notes the transaction that wrote it, and its table.
const NOTE_EVERY_WRITE: &str = "CREATE TABLE written (xid text, written text, PRIMARY KEY (xid, written));
    CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO written VALUES (pg_current_xact_id(), TG_TABLE_NAME) ON CONFLICT DO NOTHING;
        RETURN NULL;
    END $$;
    DO $$ DECLARE r record; BEGIN
        FOR r IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'written' LOOP
            EXECUTE format('CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON %I FOR EACH ROW EXECUTE FUNCTION note()', r.tablename);
        END LOOP;
    END $$;";

/// Triggers so many onboardings and runs them in one worker, as many at once.
async fn run(url: &str, many: usize, at_once: usize) {
    let store = store::open(url, OpenOptions::default()).await.unwrap().store;
    noop::trigger(&*store, many).await;
    let workflow = Noop::of(many);
    assert_eq!(workflow.states(), 8);
    noop::gone_home(noop::hire(&[store], &noop::quiet(at_once), &workflow)).await;
    let completed = "SELECT count(*) FROM onboarding_history WHERE status = 'completed'";
    assert_eq!(stores::column(url, completed).await, [many.to_string()]);
}

/// Commits of a run: triggers, claims, states.
async fn on_sqlite(many: usize, at_once: usize) -> usize {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("commits.db");
    let url = format!("sqlite:{}", file.display());
    store::migrate(&url).await.unwrap();
    let since = wal::Since::now(Path::new(&file)).await;
    run(&url, many, at_once).await;
    // The file has one writer, and whoever waits for it first comes first: the sign of life before any state.
    since.written().await.commits - HELLO_AND_GOODBYE
}

/// The same.
async fn on_postgres(many: usize, at_once: usize) -> usize {
    let database = crate::support::postgres::database().await;
    stores::try_sql(&database.url, NOTE_EVERY_WRITE).await.unwrap();
    run(&database.url, many, at_once).await;
    let all_but_the_workers_own = "SELECT count(DISTINCT xid) FROM written \
        WHERE xid NOT IN (SELECT xid FROM written WHERE written = 'redrive_workers')";
    stores::column(&database.url, all_but_the_workers_own).await[0].parse().unwrap()
}

#[tokio::test]
async fn an_onboarding_of_eight_states_is_nine_commits_and_its_trigger_on_sqlite() {
    assert_eq!(on_sqlite(1, 1).await, 1 + 1 + 8, "the trigger, the claim, one a state");
}

#[tokio::test]
async fn an_onboarding_of_eight_states_is_nine_commits_and_its_trigger_on_postgres() {
    assert_eq!(on_postgres(1, 1).await, 1 + 1 + 8, "the trigger, the claim, one a state");
}

#[tokio::test]
async fn what_is_due_together_is_claimed_in_one_commit_on_sqlite() {
    assert_eq!(on_sqlite(5, 5).await, 5 + 1 + 5 * 8, "the triggers, one claim, one a state");
}

#[tokio::test]
async fn what_is_due_together_is_claimed_in_one_commit_on_postgres() {
    assert_eq!(on_postgres(5, 5).await, 5 + 1 + 5 * 8, "the triggers, one claim, one a state");
}
