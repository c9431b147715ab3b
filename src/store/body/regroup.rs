//! Letters whose fingerprint an older rule made are grouped again, a page at a time. What is done stands in each letter, so
//! a pass that was interrupted goes on where it was.

use sqlx::query;

use super::{
    Conn,
    row::{Columns, Row},
    tx::{Born, Tx},
};
use crate::domain::{
    fault::{FINGERPRINT_VERSION, fingerprint},
    letter::LetterStatus,
};

/// Letters a page: some milliseconds of work, and few locks.
const PAGE: i64 = 200;

/// [`FINGERPRINT_VERSION`], written out as the index of such letters has it.
macro_rules! of_an_older_rule {
    () => {
        "fingerprint_version < 2"
    };
}
const _: () = assert!(FINGERPRINT_VERSION == 2, "lay the index redrive_dead_letters_regroup anew");

/// Whether there is such a letter.
pub(super) async fn is_due(conn: &mut Conn<'_>) -> Result<bool, sqlx::Error> {
    let select =
        concat!("SELECT id FROM redrive_dead_letters WHERE ", of_an_older_rule!(), " ORDER BY id LIMIT 1");
    Ok(query(select).fetch_optional(conn).await?.is_some())
}

/// Groups a page of them again; answers how many.
pub(super) async fn page(tx: &mut Tx) -> Result<u64, sqlx::Error> {
    let select = concat!(
        "SELECT id, operation, error, error_class, error_fingerprint, status, created_at, action_id FROM redrive_dead_letters \
         WHERE ",
        of_an_older_rule!(),
        " ORDER BY id LIMIT $1",
        skip_locked!()
    );
    let rows = query(select).bind(PAGE).fetch_all(tx.conn()).await?;
    for row in &rows {
        regroup(tx, row).await?;
    }
    Ok(rows.len() as u64)
}

async fn regroup(tx: &mut Tx, row: &Row) -> Result<(), sqlx::Error> {
    let (error, operation) = (row.text("error")?, row.opt_text("operation")?);
    let was = row.text("error_fingerprint")?;
    let is = fingerprint(operation.as_deref(), &row.text("error_class")?, &error);
    let update = "UPDATE redrive_dead_letters SET error_fingerprint = $2, fingerprint_version = $3, revision = revision + 1 \
        WHERE id = $1";
    let update = query(update).bind(row.text("id")?).bind(&is).bind(FINGERPRINT_VERSION);
    update.execute(tx.conn()).await?;
    if is == was {
        return Ok(());
    }
    let status: Option<LetterStatus> = row.word("status")?;
    let at = row.time("created_at")?;
    let old = tx.group(&was);
    old.leave(status);
    old.left += 1;
    let new = tx.group(&is);
    if let Some(status) = status {
        new.enter(status);
    }
    let action = row.opt_text("action_id")?;
    new.bear(Born { error, operation, count: 1, first: at, last: at, action });
    Ok(())
}
