//! Interference: locks that others hold, transactions the database ends by itself, callers that give up half-way.
//! None of it may stop the work of anybody else or take what is somebody's.

use std::time::Duration;

use redrive::{
    domain::key::KeyRun,
    engine::{
        command::{Command, Elsewhere, Target},
        key::{Hold, KeyBegun, KeyIntent},
        store::{Recorded, StepDone, StepOutcome, Write},
    },
};
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::support::{
    stores::{LEASE, TestStore, anything, done, request},
    wait::eventually,
};

laws!(
    a_transaction_that_the_database_ends_by_itself_spoils_no_later_one,
    callers_that_give_up_half_way_spoil_no_later_transaction,
    what_was_said_to_be_done_is_committed_though_callers_before_gave_up_half_way,
);

const PATIENCE: Duration = Duration::from_secs(20);

/// A transaction of somebody else, held open until it is told to commit.
struct Stranger(PgConnection);

impl Stranger {
    async fn who_did(store: &TestStore, statements: &str) -> Self {
        let mut connection = PgConnection::connect(&store.url).await.expect("it connects");
        let begun = format!("BEGIN; {statements}");
        sqlx::raw_sql(AssertSqlSafe(begun)).execute(&mut connection).await.expect("the stranger writes");
        Self(connection)
    }

    async fn commits(mut self) {
        sqlx::raw_sql("COMMIT").execute(&mut self.0).await.expect("the stranger commits");
        self.0.close().await.expect("the stranger leaves");
    }
}

/// As a full disk does on SQLite.
async fn a_transaction_that_the_database_ends_by_itself_spoils_no_later_one(store: TestStore) {
    store
        .sql(match store.is_sqlite() {
            true => {
                "CREATE TRIGGER full_disk BEFORE INSERT ON onboarding_history WHEN NEW.repo_url LIKE '%/boom' \
                 BEGIN SELECT RAISE(ROLLBACK, 'the disk is full'); END"
            }
            false => {
                "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
                 IF NEW.repo_url LIKE '%/boom' THEN RAISE 'the disk is full'; END IF; RETURN NEW; END $$; \
                 CREATE TRIGGER full_disk BEFORE INSERT ON onboarding_history FOR EACH ROW EXECUTE FUNCTION full_disk()"
            }
        })
        .await;
    let refused = store.submit(Command::Trigger { request: request("boom") }).await;
    assert!(refused.expect_err("it fails").to_string().contains("the disk is full"));
    store.trigger("fine").await;
    assert_eq!(store.claim("worker-a", 10).await.len(), 1);
}

async fn callers_that_give_up_half_way_spoil_no_later_transaction(store: TestStore) {
    let (handle, runs) = (&store.opened.store, anything());
    for polls in 0..120_usize {
        // Given up after so many steps: at the beginning, inside, and at the end of its transaction.
        let mut asked = Box::pin(handle.next_due(&runs));
        for _ in 0..polls % 12 {
            if futures_util::poll!(&mut asked).is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(asked);
        let triggered = store.submit(Command::Trigger { request: request(&format!("r{polls}")) }).await;
        assert_eq!(triggered.map(|receipt| receipt.triggered.is_some()), Ok(true), "after {polls} steps");
    }
}

async fn what_was_said_to_be_done_is_committed_though_callers_before_gave_up_half_way(store: TestStore) {
    let handle = &store.opened.store;
    let (worker, runs) = ("worker-a".into(), anything());
    for steps in 0..60_usize {
        // Given up at every step of beginning a transaction, its first statement's answer on the way among them.
        let mut asked = Box::pin(handle.claim(&worker, &runs, 1, LEASE));
        for _ in 0..steps % 6 {
            if futures_util::poll!(&mut asked).is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(asked);
        let key = KeyIntent::new("test.run", &format!("k{steps}"), "hash".to_owned()).expect("a key");
        let hold = Hold::new("worker-a", LEASE, LEASE);
        let begun = handle.begin(&key, &hold).await.expect("it begins");
        assert_eq!(begun, KeyBegun::Run(KeyRun::New));
        let others_see =
            store.cell(&format!("SELECT count(*) FROM idempotency_keys WHERE key = '{}'", key.key)).await;
        assert_eq!(others_see, "1", "after {steps} steps");
    }
}

/// Differs by necessity: SQLite has one writer, who locks everything and is waited for.
#[tokio::test]
async fn a_row_that_somebody_else_holds_does_not_stop_the_claiming_of_others() {
    let store = TestStore::postgres().await;
    let held = store.trigger("held").await;
    let free = store.trigger("free").await;
    let touch = format!("UPDATE onboarding_history SET tenant_id = tenant_id WHERE id = '{held}'");
    let stranger = Stranger::who_did(&store, &touch).await;
    let claimed = tokio::time::timeout(Duration::from_secs(5), store.claim("worker-a", 10)).await;
    let claimed = claimed.expect("nobody waits for the stranger");
    assert_eq!(claimed.iter().map(|c| &c.lease.onboarding).collect::<Vec<_>>(), [&free]);
    stranger.commits().await;
    store.time.advance(Duration::from_secs(2));
    let claimed = store.claim("worker-a", 10).await;
    assert_eq!(claimed.iter().map(|c| &c.lease.onboarding).collect::<Vec<_>>(), [&held]);
}

/// Differs by necessity: on SQLite nobody registers while somebody undoes.
#[tokio::test]
async fn an_entity_that_somebody_registers_at_the_same_moment_survives_a_roll_back() {
    let store = TestStore::postgres().await;
    store
        .sql(
            "INSERT INTO entities (id, kind, metadata, tenant_id) VALUES ('e-1', 'Group', '{\"name\": \"team\"}', 'acme')",
        )
        .await;
    let id = store.trigger("ledger").await;
    store
        .sql(&format!("INSERT INTO redrive_entity_owners (entity_id, onboarding_id) VALUES ('e-1', '{id}')"))
        .await;
    let onboarding = Target { id: id.clone(), seen: None };
    store.submit(Command::RollBack { onboarding, elsewhere: Elsewhere::Leave }).await.expect("it rolls back");
    let back = store.claim_one().await;
    // As registering does: the entity is locked by its update, then owned.
    let other = Stranger::who_did(
        &store,
        "UPDATE entities SET updated_at = now() WHERE id = 'e-1'; \
         INSERT INTO redrive_entity_owners (entity_id, onboarding_id) VALUES ('e-1', 'another')",
    )
    .await;
    let undoing = store.record(&back, StepOutcome::RolledBack { writes: vec![Write::Unregister] });
    let committing = async {
        eventually("the roll-back waits for the other", PATIENCE, async || {
            let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
            (store.cell(waiting).await != "0").then_some(())
        })
        .await;
        other.commits().await;
    };
    let (undone, ()) = tokio::join!(undoing, committing);
    assert_eq!(undone, Ok(Recorded::Released));
    assert_eq!(store.cell("SELECT count(*) FROM entities WHERE id = 'e-1'").await, "1");
}

/// Differs by necessity: SQLite has one writer.
#[tokio::test]
async fn registering_what_somebody_registers_alike_at_the_same_moment_waits_for_nobody() {
    let store = TestStore::postgres().await;
    let team = || {
        let entity = json!({"apiVersion": "v1", "kind": "Group", "metadata": {"name": "team"}, "spec": {"type": "team"}});
        let entities = vec![serde_json::from_value(entity).expect("an entity")];
        let writes = vec![Write::Register { entities, relationships: Vec::new() }];
        StepOutcome::Completed { done: StepDone { writes, ..done() } }
    };
    store.trigger("ledger").await;
    assert_eq!(store.record(&store.claim_one().await, team()).await, Ok(Recorded::Released));
    // Another registering of the same team, not committed yet.
    let stranger = Stranger::who_did(
        &store,
        "SELECT id FROM entities FOR KEY SHARE; INSERT INTO redrive_entity_owners SELECT id, 'another' FROM entities; \
         UPDATE entities SET updated_at = now()",
    )
    .await;
    store.trigger("billing").await;
    let claimed = store.claim_one().await;
    let registered = tokio::time::timeout(Duration::from_secs(5), store.record(&claimed, team())).await;
    assert_eq!(registered, Ok(Ok(Recorded::Released)), "it does not wait for the stranger");
    stranger.commits().await;
    assert_eq!(store.cell("SELECT count(*) FROM redrive_entity_owners").await, "3");
}
