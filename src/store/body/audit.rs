//! The audit: who did what to which targets, in the transaction that did it. Rows are only ever inserted.

use sqlx::query;

use super::{Conn, row::Columns, tx::Tx};
use crate::{
    domain::id::ActionId,
    engine::command::{LeftOut, Receipt, Submission},
    store::{
        error::Fail,
        value::{clean, clean_json},
    },
};

/// A target as the audit keeps it.
pub(super) struct Touched {
    /// `onboarding`, `letter`, `key` or `circuit`.
    pub(super) kind: &'static str,
    pub(super) id: String,
    pub(super) onboarding: Option<String>,
    pub(super) left_out: Option<LeftOut>,
}

/// The receipt of an earlier submission of the same action.
pub(super) async fn earlier(conn: &mut Conn<'_>, action: &ActionId) -> Result<Option<Receipt>, Fail> {
    let select = "SELECT CAST(receipt AS text) AS receipt FROM redrive_operator_actions WHERE id = $1";
    let Some(row) = query(select).bind(clean(action.as_str())).fetch_optional(conn).await? else {
        return Ok(None);
    };
    let receipt: Receipt = serde_json::from_value(row.json("receipt")?)
        .map_err(|error| Fail::Sql(sqlx::Error::Decode(Box::new(error))))?;
    Ok(Some(Receipt { repeated: true, ..receipt }))
}

pub(super) async fn write(
    tx: &mut Tx,
    submission: &Submission,
    receipt: &Receipt,
    targets: &[Touched],
) -> Result<(), Fail> {
    let as_json = |value: Result<serde_json::Value, serde_json::Error>| {
        value.map(|v| clean_json(&v)).map_err(|error| Fail::Sql(sqlx::Error::Encode(Box::new(error))))
    };
    let applied = i64::try_from(receipt.applied()).unwrap_or(i64::MAX);
    let all = i64::try_from(receipt.outcomes.len()).unwrap_or(i64::MAX);
    let insert = "INSERT INTO redrive_operator_actions (id, at, operator, kind, how, reason, command, receipt, applied, left_out) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    let action = clean(submission.action.as_str());
    query(insert)
        .bind(&action)
        .bind(tx.now)
        .bind(clean(submission.asker.name()))
        .bind(receipt.kind.as_str())
        .bind(submission.command.how())
        .bind(submission.reason.as_deref().map(clean))
        .bind(as_json(serde_json::to_value(&submission.command))?)
        .bind(as_json(serde_json::to_value(receipt))?)
        .bind(applied)
        .bind(all - applied)
        .execute(tx.conn())
        .await?;
    for target in targets {
        // A target named twice is one row: the first judgement is the one that was acted on.
        let insert = "INSERT INTO redrive_operator_action_targets (action_id, target_kind, target_id, onboarding_id, at, left_out) \
            VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING";
        query(insert)
            .bind(&action)
            .bind(target.kind)
            .bind(clean(&target.id))
            .bind(&target.onboarding)
            .bind(tx.now)
            .bind(target.left_out.as_ref().map(|why| clean(&why.to_string())))
            .execute(tx.conn())
            .await?;
    }
    Ok(())
}
