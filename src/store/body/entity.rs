//! Catalog entities, their relationships and their owners: what `Register` and `Unregister` write.

use std::collections::HashMap;

use serde_json::{Value, json};
use sqlx::query;

use super::{onboarding::Onboarding, row::Columns, tx::Tx};
use crate::{
    clock,
    domain::catalog::{Entity, EntityRef, Relationship},
    engine::store::{Conflict, Write},
    store::value::{clean, clean_json},
};

/// Owns what others had registered before us, so that no roll-back of ours removes it.
const ELSEWHERE: &str = "";

pub(super) async fn write(
    tx: &mut Tx,
    onboarding: &Onboarding,
    writes: &[Write],
) -> Result<Result<(), Conflict>, sqlx::Error> {
    for write in writes {
        match write {
            Write::Register { entities, relationships } => {
                if let Err(conflict) = register(tx, onboarding, entities, relationships).await? {
                    return Ok(Err(conflict));
                }
            }
            Write::Unregister => unregister(tx, onboarding).await?,
        }
    }
    Ok(Ok(()))
}

async fn register(
    tx: &mut Tx,
    onboarding: &Onboarding,
    entities: &[Entity],
    relationships: &[Relationship],
) -> Result<Result<(), Conflict>, sqlx::Error> {
    let mut sorted: Vec<&Entity> = entities.iter().collect();
    // One order for all, because entities are shared between onboardings.
    sorted.sort_by_key(|e| (e.kind.clone(), e.namespace().to_owned(), e.name().to_owned()));
    let mut ids: HashMap<EntityRef, String> = HashMap::new();
    for entity in sorted {
        match upsert(tx, onboarding, entity).await? {
            Ok(id) => ids.insert(entity.reference(), id),
            Err(conflict) => return Ok(Err(conflict)),
        };
    }
    for relationship in relationships {
        let mut ends = Vec::with_capacity(2);
        for end in [&relationship.source, &relationship.target] {
            let known = ids.get(end).cloned();
            ends.push(match known {
                Some(id) => Some(id),
                None => earlier(tx, onboarding, end).await?,
            });
        }
        if let [Some(source), Some(target)] = ends.as_slice() {
            let insert = "INSERT INTO entity_relationships (source_id, target_id, type) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
            let insert = query(insert).bind(source).bind(target).bind(clean(&relationship.kind));
            insert.execute(tx.conn()).await?;
        }
    }
    note(tx, onboarding.id.as_str()).await?;
    Ok(Ok(()))
}

async fn upsert(
    tx: &mut Tx,
    onboarding: &Onboarding,
    entity: &Entity,
) -> Result<Result<String, Conflict>, sqlx::Error> {
    let (kind, namespace, name) = (clean(&entity.kind), clean(entity.namespace()), clean(entity.name()));
    let tenant = &onboarding.request.tenant_id;
    // Many onboardings share a team or a system, and hardly ever change it: what is there already and alike is not
    // written again, or all of them would wait for one another. It is only kept from being deleted meanwhile.
    let alike = concat!(
        "SELECT id FROM entities WHERE kind = $1 AND coalesce(metadata ->> 'namespace', 'default') = $2 \
         AND metadata ->> 'name' = $3 AND tenant_id = $4 AND api_version = $5 AND metadata = $6 AND spec = $7",
        for_key_share!()
    );
    let alike = query(alike)
        .bind(&kind)
        .bind(&namespace)
        .bind(&name)
        .bind(tenant)
        .bind(clean(&entity.api_version))
        .bind(clean_json(&Value::Object(entity.metadata.clone())))
        .bind(clean_json(&Value::Object(entity.spec.clone())))
        .fetch_optional(tx.conn())
        .await?;
    if let Some(row) = alike {
        let id = row.text("id")?;
        own(tx, onboarding, &id, true).await?;
        return Ok(Ok(id));
    }
    let fresh = clock::new_id();
    let upsert = "INSERT INTO entities (id, api_version, kind, metadata, spec, tenant_id, updated_at) \
        VALUES ($1, $2, $3, $4, $5, $6, $7) \
        ON CONFLICT (kind, (coalesce(metadata ->> 'namespace', 'default')), (metadata ->> 'name')) DO UPDATE SET \
        api_version = excluded.api_version, metadata = excluded.metadata, spec = excluded.spec, \
        updated_at = excluded.updated_at WHERE entities.tenant_id = excluded.tenant_id RETURNING id";
    let row = query(upsert)
        .bind(&fresh)
        .bind(clean(&entity.api_version))
        .bind(&kind)
        .bind(clean_json(&Value::Object(entity.metadata.clone())))
        .bind(clean_json(&Value::Object(entity.spec.clone())))
        .bind(tenant)
        .bind(tx.now)
        .fetch_optional(tx.conn())
        .await?;
    let Some(row) = row else {
        let select = "SELECT tenant_id FROM entities WHERE kind = $1 AND coalesce(metadata ->> 'namespace', 'default') = $2 \
            AND metadata ->> 'name' = $3";
        let row = query(select).bind(kind).bind(namespace).bind(name).fetch_optional(tx.conn()).await?;
        let tenant = row.map(|row| row.text("tenant_id")).transpose()?.unwrap_or_default();
        return Ok(Err(Conflict::ForeignEntity { entity: entity.reference().0, tenant }));
    };
    let id = row.text("id")?;
    let was_there = id != fresh;
    own(tx, onboarding, &id, was_there).await?;
    Ok(Ok(id))
}

/// Notes that the onboarding owns the entity; one that `was_there` without an owner has others to own it.
async fn own(tx: &mut Tx, onboarding: &Onboarding, id: &str, was_there: bool) -> Result<(), sqlx::Error> {
    // What this onboarding noted as its own before it was ours is its own still.
    if was_there && !onboarding.entities_created.iter().any(|noted| noted == id) {
        let keep = "INSERT INTO redrive_entity_owners (entity_id, onboarding_id) SELECT $1, $2 \
            WHERE NOT EXISTS (SELECT 1 FROM redrive_entity_owners WHERE entity_id = $1) ON CONFLICT DO NOTHING";
        query(keep).bind(id).bind(ELSEWHERE).execute(tx.conn()).await?;
    }
    let own =
        "INSERT INTO redrive_entity_owners (entity_id, onboarding_id) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    query(own).bind(id).bind(onboarding.id.as_str()).execute(tx.conn()).await.map(|_| ())
}

/// An end that this write does not bring: an entity of the same tenant from before.
async fn earlier(
    tx: &mut Tx,
    onboarding: &Onboarding,
    end: &EntityRef,
) -> Result<Option<String>, sqlx::Error> {
    let select = "SELECT id FROM entities WHERE \
        lower(kind || ':' || coalesce(metadata ->> 'namespace', 'default') || '/' || (metadata ->> 'name')) = $1 \
        AND tenant_id = $2 ORDER BY id LIMIT 1";
    let select = query(select).bind(clean(&end.0)).bind(&onboarding.request.tenant_id);
    select.fetch_optional(tx.conn()).await?.map(|row| row.text("id")).transpose()
}

/// Notes the entities where other services look for them.
async fn note(tx: &mut Tx, onboarding: &str) -> Result<(), sqlx::Error> {
    let owned = owned(tx, onboarding).await?;
    let update = "UPDATE onboarding_history SET entities_created = $2, revision = revision + 1 WHERE id = $1";
    query(update).bind(onboarding).bind(clean_json(&json!(owned))).execute(tx.conn()).await.map(|_| ())
}

async fn owned(tx: &mut Tx, onboarding: &str) -> Result<Vec<String>, sqlx::Error> {
    let select = "SELECT entity_id FROM redrive_entity_owners WHERE onboarding_id = $1 ORDER BY entity_id";
    let rows = query(select).bind(onboarding).fetch_all(tx.conn()).await?;
    rows.iter().map(|row| row.text("entity_id")).collect()
}

async fn unregister(tx: &mut Tx, onboarding: &Onboarding) -> Result<(), sqlx::Error> {
    let id = onboarding.id.as_str();
    let mut candidates = owned(tx, id).await?;
    if candidates.is_empty() {
        // Others began it: they noted what they created, and their tenant must match.
        candidates = onboarding.entities_created.iter().map(|id| clean(id)).collect();
        candidates.sort();
    }
    query("DELETE FROM redrive_entity_owners WHERE onboarding_id = $1").bind(id).execute(tx.conn()).await?;
    for entity in candidates {
        // Whoever registers it right now is waited for here, or the delete would not see its ownership.
        let lock = concat!("SELECT id FROM entities WHERE id = $1", for_update!());
        query(lock).bind(&entity).fetch_optional(tx.conn()).await?;
        let delete = "DELETE FROM entities WHERE id = $1 AND tenant_id = $2 \
            AND NOT EXISTS (SELECT 1 FROM redrive_entity_owners WHERE entity_id = $1)";
        let delete = query(delete).bind(&entity).bind(&onboarding.request.tenant_id);
        if delete.execute(tx.conn()).await?.rows_affected() == 1 {
            let loose = "DELETE FROM entity_relationships WHERE source_id = $1 OR target_id = $1";
            query(loose).bind(&entity).execute(tx.conn()).await?;
        }
    }
    note(tx, id).await
}
