//! The tables that other services write hold what their drivers give and expect: `their_rows.py` writes a row of each by
//! plain SQL, reads it and one of ours back, and judges the types. Here the engine makes of theirs what they meant.

use std::{path::Path, time::Duration};

use redrive::{
    domain::{
        catalog::{Entity, EntityRef, Relationship},
        fault::Fault,
        key::KeyRun,
        onboarding::Status,
    },
    engine::{
        command::{Command, Elsewhere, Target},
        key::{Answer, Hold, KeyBegun, KeyEnd, KeyIntent},
        store::{Claimed, Opening, Recorded, StepDone, StepOutcome, Write},
    },
    store::{self, Consumed},
};
use serde_json::{Value, json};
use sqlx::Connection;

use crate::support::{
    python,
    stores::{LEASE, TestStore, done},
};

laws!(
    onboarding_histories_fit_their_writers,
    onboarding_states_fit_their_writers,
    onboarding_progress_fits_its_writers,
    entities_fit_their_writers,
    entity_relationships_fit_their_writers,
    idempotency_keys_fit_their_writers,
    processed_messages_fit_their_writers,
);

const RETENTION: Duration = Duration::from_secs(3_600);

/// What the other program says of `table`, in which `ours` is a row of the engine's.
fn judge(store: &TestStore, table: &str, ours: &str) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/suite/laws/their_rows.py");
    let asked = json!({ "url": store.url, "table": table, "ours": ours });
    python::run(Path::new(script), &asked.to_string());
}

/// An onboarding that registered two entities and then failed.
async fn failed(store: &TestStore) -> String {
    let id = store.trigger("ledger").await;
    let claimed = store.claim_one().await;
    let entity = |kind: &str, name: &str| -> Entity {
        let entity = json!({ "apiVersion": "v1", "kind": kind, "metadata": { "name": name }, "spec": { "type": "service" } });
        serde_json::from_value(entity).expect("an entity")
    };
    let end = |reference: &str| EntityRef(reference.to_owned());
    let owned = Relationship {
        kind: "ownedBy".into(),
        source: end("component:default/ledger"),
        target: end("group:default/team"),
    };
    let entities = vec![entity("Component", "ledger"), entity("Group", "team")];
    let finished = StepDone {
        subtasks: vec!["entity:Component:ledger".into()],
        writes: vec![Write::Register { entities, relationships: vec![owned] }],
        ..done()
    };
    let outcome =
        StepOutcome::Advanced { done: finished, next: "VALIDATING".into(), opens: Some(Opening::default()) };
    assert_eq!(store.record(&claimed, outcome).await, Ok(Recorded::GoOn));
    let claimed = Claimed { state: "VALIDATING".into(), ..claimed };
    store.fail(&claimed, Fault::transient("503")).await;
    id.0
}

/// A failed onboarding of theirs, of which they keep more than its history.
async fn their_history(store: &TestStore) {
    store
        .sql(
            "INSERT INTO onboarding_history (id, tenant_id, repo_url, fingerprint, status, current_state, created_at) \
             VALUES ('theirs', 'acme', 'r', 'f', 'failed', 'EXTRACTING', '2026-03-01 10:00:00+00:00')",
        )
        .await;
}

async fn onboarding_histories_fit_their_writers(store: TestStore) {
    judge(&store, "onboarding_history", &failed(&store).await);
    let row = store.page(&"theirs".into()).await.row;
    assert_eq!((row.status, row.phase, row.created_at.to_rfc3339()), (Status::Completed, None, at()));
}

async fn onboarding_states_fit_their_writers(store: TestStore) {
    let ours = failed(&store).await;
    their_history(&store).await;
    judge(&store, "onboarding_state", &ours);
    let onboarding = Target { id: "theirs".into(), seen: None };
    let back = Command::RollBack { onboarding, elsewhere: Elsewhere::TakeOver };
    store.submit(back).await.expect("it is rolled back");
    let claimed = store.claim_one().await;
    assert_eq!((claimed.state.as_str(), &claimed.unreadable), ("REGISTERING", &None));
    assert_eq!(claimed.context, json!({ "entityIds": ["e1"], "n": 1.5 }));
    assert_eq!(claimed.entities_created, ["e1"]);
}

async fn onboarding_progress_fits_its_writers(store: TestStore) {
    let ours = failed(&store).await;
    their_history(&store).await;
    judge(&store, "onboarding_progress", &ours);
    let subtasks = store.page(&"theirs".into()).await.subtasks;
    assert_eq!(subtasks.len(), 1);
    assert_eq!((subtasks[0].1.as_str(), subtasks[0].2.to_rfc3339()), ("entity:Component:ledger", at()));
}

async fn entities_fit_their_writers(store: TestStore) {
    judge(&store, "entities", &failed(&store).await);
    let names = "SELECT metadata ->> 'name' FROM entities WHERE kind = 'Component' ORDER BY 1";
    assert_eq!(store.column(names).await, ["ledger", "theirs"]);
}

async fn entity_relationships_fit_their_writers(store: TestStore) {
    judge(&store, "entity_relationships", &failed(&store).await);
    let types = "SELECT type FROM entity_relationships ORDER BY 1";
    assert_eq!(store.column(types).await, ["", "", "ownedBy"]);
}

async fn idempotency_keys_fit_their_writers(store: TestStore) {
    let keys = &store.opened.store;
    let key = |name: &str| KeyIntent::new("charge", name, "h".to_owned()).expect("a key");
    let bodies: [(&str, &[u8]); 8] = [
        ("json", br#"{"id": 7}"#),
        ("awkward", br#"{"b":1,  "a":2}"#),
        ("text", b"no\xff"),
        ("empty", b""),
        ("number", b"1.0"),
        ("nul", br#" "\u0000" "#),
        ("tiny", b"[1e-99999]"),
        ("lone", br#""\ud800""#),
    ];
    for (name, body) in bodies {
        let ours = Hold::new("w", LEASE, RETENTION);
        assert_eq!(keys.begin(&key(name), &ours).await, Ok(KeyBegun::Run(KeyRun::New)));
        let end = KeyEnd::Completed(Answer::new(200, body));
        assert_eq!(keys.end(&key(name).key, &ours, &end).await, Ok(true), "{name}");
    }
    judge(&store, "idempotency_keys", "charge");
    let hold = Hold::new("w", LEASE, RETENTION * 24);
    for (name, body) in bodies {
        let begun = keys.begin(&key(name), &hold).await.expect("it answers");
        assert_eq!(begun, KeyBegun::Replay(Answer::new(200, body)), "{name}");
    }
    let Ok(KeyBegun::Replay(theirs)) = keys.begin(&key("theirs"), &hold).await else {
        panic!("it is replayed")
    };
    assert_eq!(theirs.code, 201);
    assert_eq!(serde_json::from_slice::<Value>(&theirs.body).expect("JSON"), json!({ "id": 7 }));
    assert_eq!(keys.begin(&key("held"), &hold).await, Ok(KeyBegun::InFlight { retry_after: None }));
}

async fn processed_messages_fit_their_writers(database: TestStore) {
    macro_rules! consume {
        ($dialect:ident, $connection:ty, $id:literal) => {{
            let mut connection = <$connection>::connect(&database.url).await.expect("it connects");
            let mut tx = connection.begin().await.expect("it begins");
            let work = async |_: &mut $connection| Ok::<_, ()>(());
            let consumed =
                store::$dialect::consume(&mut tx, $id, RETENTION, work).await.expect("it is consumed");
            tx.commit().await.expect("it commits");
            consumed
        }};
    }
    macro_rules! consume_here {
        ($id:literal) => {
            match database.is_sqlite() {
                true => consume!(sqlite, sqlx::SqliteConnection, $id),
                false => consume!(postgres, sqlx::PgConnection, $id),
            }
        };
    }
    assert!(matches!(consume_here!("ours"), Consumed::Processed(())));
    judge(&database, "processed_messages", "ours");
    let Consumed::Duplicate { processed_at } = consume_here!("theirs") else { panic!("it is known") };
    assert_eq!(processed_at.to_rfc3339(), at());
}

/// When their rows are of.
fn at() -> String {
    "2026-03-01T10:00:00.250+00:00".to_owned()
}
