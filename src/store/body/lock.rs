//! Locks on named resources.

use std::time::Duration;

use sqlx::query;

use super::{key::LONGEST, row::Columns, tx::Tx};
use crate::{engine::lock::Locked, store::value::clean};

pub(super) async fn lock(
    tx: &mut Tx,
    resource: &str,
    owner: &str,
    ttl: Duration,
) -> Result<Locked, sqlx::Error> {
    let (now, until) = (tx.now, tx.now.plus(ttl.min(LONGEST)));
    let (resource, owner) = (clean(resource), clean(owner));
    // The first token is the time, so that tokens grow even over rows that were removed by hand.
    let insert = "INSERT INTO redrive_locks (resource, owner, token, locked_at, expires_at) VALUES ($1, $2, $3, $4, $5) \
        ON CONFLICT (resource) DO NOTHING";
    let token = now.0.timestamp_micros();
    let insert = query(insert).bind(&resource).bind(&owner).bind(token).bind(now).bind(until);
    if insert.execute(tx.conn()).await?.rows_affected() == 1 {
        return Ok(Locked::Taken { token, until: until.0 });
    }
    let select =
        concat!("SELECT owner, token, expires_at FROM redrive_locks WHERE resource = $1", for_update!());
    let row = query(select).bind(&resource).fetch_one(tx.conn()).await?;
    let (holder, ends) = (row.opt_text("owner")?, row.time("expires_at")?);
    let live = holder.is_some() && ends > now;
    if live && holder.as_deref() != Some(owner.as_str()) {
        return Ok(Locked::Held { until: ends.0, retry_after: ends.since(now) });
    }
    let token = row.int("token")? + i64::from(!live);
    let update = "UPDATE redrive_locks SET owner = $2, token = $3, expires_at = $4, \
        locked_at = CASE WHEN $5 THEN locked_at ELSE $6 END WHERE resource = $1";
    let update = query(update).bind(&resource).bind(&owner).bind(token).bind(until).bind(live).bind(now);
    update.execute(tx.conn()).await?;
    Ok(Locked::Taken { token, until: until.0 })
}

pub(super) async fn unlock(tx: &mut Tx, resource: &str, owner: &str) -> Result<bool, sqlx::Error> {
    let now = tx.now;
    let update = "UPDATE redrive_locks SET owner = NULL, expires_at = $3 WHERE resource = $1 AND owner = $2 AND expires_at > $3";
    let update = query(update).bind(clean(resource)).bind(clean(owner)).bind(now);
    Ok(update.execute(tx.conn()).await?.rows_affected() == 1)
}
