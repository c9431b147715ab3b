//! A payload in the clear, read in the transaction that audits it.

use sqlx::query;

use super::{Conn, act::Acted, audit::Touched, row::Columns, tx::Tx};
use crate::{
    engine::{
        command::{Command, LeftOut, Reasoned, Receipt, Submission},
        plan,
        reader::Detail,
        reveal::Revealed,
    },
    store::{
        error::Fail,
        value::{clean, clean_json},
    },
};

/// What is stored, where there is a row.
struct Stored {
    onboarding: Option<String>,
    payload: Option<Vec<u8>>,
}

pub(super) async fn reveal(tx: &mut Tx, of: &Detail, reasoned: Reasoned) -> Result<Acted, Fail> {
    let stored = read(tx.conn(), of).await?;
    let (kind, id) = named(of);
    let mut left_out = plan::judge_reveal(stored.is_some(), reasoned).err();
    let (onboarding, payload) = stored.map_or((None, None), |stored| (stored.onboarding, stored.payload));
    if left_out.is_none() && payload.is_none() {
        left_out = Some(LeftOut::NoPayload);
    }
    let revealed = payload.filter(|_| left_out.is_none()).map(|payload| Revealed::of(&payload));
    let touched = vec![Touched { kind, id: id.to_owned(), onboarding, left_out }];
    Ok(Acted { touched, revealed, ..Acted::default() })
}

/// The receipt of an action that was done already; of a reveal with the payload, which is not kept with it, where it is
/// the very same that was audited.
pub(super) async fn again(
    conn: &mut Conn<'_>,
    submission: &Submission,
    receipt: Receipt,
) -> Result<Receipt, Fail> {
    let Command::Reveal { of } = &submission.command else { return Ok(receipt) };
    let select =
        "SELECT CAST(command AS text) AS command, operator FROM redrive_operator_actions WHERE id = $1";
    let row = query(select).bind(clean(submission.action.as_str())).fetch_one(&mut *conn).await?;
    let asked = serde_json::to_value(&submission.command)
        .map_err(|error| Fail::Sql(sqlx::Error::Encode(Box::new(error))))?;
    let same = row.json("command")? == *clean_json(&asked)
        && row.text("operator")? == clean(submission.asker.name());
    let payload = if same { read(conn, of).await?.and_then(|stored| stored.payload) } else { None };
    Ok(Receipt { revealed: payload.map(|payload| Revealed::of(&payload)), ..receipt })
}

fn named(of: &Detail) -> (&'static str, &str) {
    match of {
        Detail::Onboarding(id) => ("onboarding", id.as_str()),
        Detail::Key(id) => ("key", id.as_str()),
        Detail::Letter(id) => ("letter", id.as_str()),
    }
}

async fn read(conn: &mut Conn<'_>, of: &Detail) -> Result<Option<Stored>, sqlx::Error> {
    let select = match of {
        Detail::Onboarding(_) => {
            "SELECT h.id AS onboarding_id, s.context AS payload FROM onboarding_history h \
             LEFT JOIN onboarding_state s ON s.onboarding_id = h.id WHERE h.id = $1"
        }
        Detail::Letter(_) => {
            "SELECT onboarding_id, CAST(request AS text) AS payload FROM redrive_dead_letters WHERE id = $1"
        }
        Detail::Key(_) => {
            "SELECT onboarding_id, CAST(response_body AS text) AS payload, response_raw FROM idempotency_keys WHERE key = $1"
        }
    };
    let Some(row) = query(select).bind(clean(named(of).1)).fetch_optional(conn).await? else {
        return Ok(None);
    };
    let raw = if matches!(of, Detail::Key(_)) { row.bytes("response_raw")? } else { None };
    let payload = match raw {
        Some(raw) => Some(raw),
        None => row.opt_text("payload")?.map(String::into_bytes),
    };
    Ok(Some(Stored { onboarding: row.opt_text("onboarding_id")?, payload }))
}
