//! Entities: registered in the commit that records the step, shared inside a tenant, never across.

use redrive::{
    domain::{
        catalog::{Entity, EntityRef, Relationship},
        id::OnboardingId,
    },
    engine::{
        command::{Command, Elsewhere, Target},
        store::{Claimed, Conflict, Recorded, StepDone, StepOutcome, Write},
    },
};
use serde_json::json;

use crate::support::stores::{TestStore, done};

laws!(
    entities_and_relationships_are_registered_with_the_step,
    registering_again_updates_and_never_doubles,
    another_tenants_entity_is_refused_and_nothing_is_written,
    a_shared_entity_survives_one_owners_roll_back,
    what_others_had_registered_stays,
    rows_of_others_are_cleaned_up_as_they_noted,
);

fn entity(kind: &str, name: &str) -> Entity {
    let metadata = json!({"name": name, "tags": ["x"]});
    let entity = json!({"apiVersion": "backstage.io/v1alpha1", "kind": kind, "metadata": metadata, "spec": {"owner": "team"}});
    serde_json::from_value(entity).expect("an entity")
}

fn register(entities: Vec<Entity>, relationships: &[(&str, &str, &str)]) -> StepOutcome {
    let end = |reference: &str| EntityRef(reference.to_owned());
    let relationships = relationships
        .iter()
        .map(|(kind, source, target)| Relationship {
            kind: (*kind).into(),
            source: end(source),
            target: end(target),
        })
        .collect();
    let writes = vec![Write::Register { entities, relationships }];
    StepOutcome::Completed { done: StepDone { writes, ..done() } }
}

async fn registered(store: &TestStore, name: &str, entities: Vec<Entity>) -> OnboardingId {
    let id = store.trigger(name).await;
    let claimed = store.claim_one().await;
    assert_eq!(store.record(&claimed, register(entities, &[])).await, Ok(Recorded::Released));
    id
}

async fn undone(store: &TestStore, id: &OnboardingId) -> Claimed {
    let onboarding = Target { id: id.clone(), seen: None };
    store
        .submit(Command::RollBack { onboarding, elsewhere: Elsewhere::TakeOver })
        .await
        .expect("it rolls back");
    let back = store.claim_one().await;
    let outcome = StepOutcome::RolledBack { writes: vec![Write::Unregister] };
    assert_eq!(store.record(&back, outcome).await, Ok(Recorded::Released));
    back
}

async fn names(store: &TestStore) -> Vec<String> {
    store.column("SELECT kind || ':' || (metadata ->> 'name') FROM entities ORDER BY 1").await
}

async fn entities_and_relationships_are_registered_with_the_step(store: TestStore) {
    let id = store.trigger("ledger").await;
    let claimed = store.claim_one().await;
    let relationships = [
        ("ownerOf", "group:default/team", "component:default/ledger"),
        ("dependsOn", "component:default/ledger", "resource:default/gone"),
    ];
    let entities = vec![entity("Component", "ledger"), entity("Group", "team")];
    assert_eq!(store.record(&claimed, register(entities, &relationships)).await, Ok(Recorded::Released));
    assert_eq!(names(&store).await, ["Component:ledger", "Group:team"]);
    assert_eq!(
        store.column("SELECT type FROM entity_relationships").await,
        ["ownerOf"],
        "an end that is missing is left out"
    );
    let page = store.page(&id).await;
    let entities: Vec<_> = page.entities.iter().map(|e| e.as_str()).collect();
    assert_eq!(entities, ["component:default/ledger", "group:default/team"]);
    let noted = store.cell("SELECT entities_created FROM onboarding_history").await;
    for id in store.column("SELECT id FROM entities").await {
        assert!(noted.contains(&id), "{noted} notes {id} for those who look there");
    }
}

async fn registering_again_updates_and_never_doubles(store: TestStore) {
    registered(&store, "one", vec![entity("Component", "ledger")]).await;
    let before = store.column("SELECT id FROM entities").await;
    let mut changed = entity("Component", "ledger");
    changed.spec.insert("owner".into(), json!("other"));
    registered(&store, "two", vec![changed]).await;
    assert_eq!(store.column("SELECT id FROM entities").await, before);
    assert_eq!(store.cell("SELECT spec ->> 'owner' FROM entities").await, "other");
}

async fn another_tenants_entity_is_refused_and_nothing_is_written(store: TestStore) {
    store
        .sql(
            "INSERT INTO entities (api_version, kind, metadata, spec, tenant_id) \
             VALUES ('v1', 'Component', '{\"name\": \"ledger\", \"namespace\": \"default\"}', '{}', 'globex')",
        )
        .await;
    store.trigger("ledger").await;
    let claimed = store.claim_one().await;
    let before = store.everything().await;
    let outcome = register(vec![entity("Resource", "bucket"), entity("Component", "ledger")], &[]);
    let answer = store.record(&claimed, outcome).await;
    let expected =
        Conflict::ForeignEntity { entity: "component:default/ledger".into(), tenant: "globex".into() };
    assert_eq!(answer, Err(expected));
    assert_eq!(store.everything().await, before);
    assert_eq!(
        store.record(&claimed, register(vec![entity("Resource", "bucket")], &[])).await,
        Ok(Recorded::Released),
        "the lease still holds"
    );
}

async fn a_shared_entity_survives_one_owners_roll_back(store: TestStore) {
    let one = registered(&store, "one", vec![entity("Component", "one"), entity("Group", "team")]).await;
    let two = registered(&store, "two", vec![entity("Component", "two"), entity("Group", "team")]).await;
    undone(&store, &one).await;
    assert_eq!(names(&store).await, ["Component:two", "Group:team"]);
    undone(&store, &two).await;
    assert!(names(&store).await.is_empty());
    assert_eq!(store.cell("SELECT count(*) FROM redrive_entity_owners").await, "0");
}

async fn what_others_had_registered_stays(store: TestStore) {
    store
        .sql("INSERT INTO entities (api_version, kind, metadata, spec, tenant_id) VALUES ('v1', 'Group', '{\"name\": \"team\"}', '{}', 'acme')")
        .await;
    let one = registered(&store, "one", vec![entity("Component", "one"), entity("Group", "team")]).await;
    undone(&store, &one).await;
    assert_eq!(names(&store).await, ["Group:team"]);
}

async fn rows_of_others_are_cleaned_up_as_they_noted(store: TestStore) {
    store
        .sql(
            "INSERT INTO entities (id, api_version, kind, metadata, spec, tenant_id) VALUES \
             ('e1', 'v1', 'Component', '{\"name\": \"a\"}', '{}', 'acme'), ('e2', 'v1', 'Component', '{\"name\": \"b\"}', '{}', 'acme'), \
             ('e3', 'v1', 'Component', '{\"name\": \"c\"}', '{}', 'globex'), ('e4', 'v1', 'Component', '{\"name\": \"d\"}', '{}', 'acme'); \
             INSERT INTO entity_relationships (source_id, target_id) VALUES ('e1', 'e4'), ('e3', 'e4'); \
             INSERT INTO onboarding_history (id, tenant_id, repo_url, fingerprint, status, current_state, entities_created, created_at) \
             VALUES ('theirs', 'acme', 'r', 'f', 'failed', 'CONFIGURING_SYNC', '[\"e1\", \"e3\"]', '2026-03-01 11:00:00+00:00'); \
             INSERT INTO onboarding_state (onboarding_id, current_state, context, last_checkpoint, updated_at) \
             VALUES ('theirs', 'CONFIGURING_SYNC', '{\"entityIds\": [\"e2\"]}', '2026-03-01 11:00:00+00:00', '2026-03-01 11:00:00+00:00');",
        )
        .await;
    let back = undone(&store, &"theirs".into()).await;
    assert_eq!(back.state.as_str(), "CONFIGURING_SYNC");
    assert_eq!(back.entities_created, ["e1", "e3", "e2"]);
    assert_eq!(
        store.column("SELECT id FROM entities ORDER BY id").await,
        ["e3", "e4"],
        "another tenant's is not theirs to remove"
    );
    assert_eq!(store.column("SELECT source_id FROM entity_relationships").await, ["e3"]);
    assert_eq!(store.cell("SELECT status FROM onboarding_history").await, "failed_cleaned_up");
}
