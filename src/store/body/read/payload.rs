//! Payloads by shape and size: of large ones only the size is read, and none is asked for that the role may not read.

use serde_json::Value;
use sqlx::query;

use super::super::{
    Conn,
    row::{Columns, Row},
};
use crate::domain::mask;

/// Selects the text or bytes of `$column` as `payload`, unless it is larger than 1 MiB, and its `size` in bytes.
macro_rules! payload {
    ($column:literal) => {
        concat!(
            "CASE WHEN octet_length(",
            $column,
            ") <= 1048576 THEN ",
            $column,
            " END AS payload, CAST(octet_length(",
            $column,
            ") AS bigint) AS size"
        )
    };
}
pub(super) use payload;

/// Whether this role may read what `asks` about.
pub(super) async fn may(conn: &mut Conn<'_>, asks: &'static str) -> Result<bool, sqlx::Error> {
    use sqlx::Row as _;
    query(asks).fetch_one(conn).await?.try_get("may")
}

/// The selected payload by shape and size; `None` where there is none.
pub(super) fn shape(row: &Row) -> Result<Option<Value>, sqlx::Error> {
    let Some(size) = row.opt_int("size")? else { return Ok(None) };
    Ok(Some(match row.opt_text("payload")? {
        Some(text) => mask::stored(text.as_bytes()),
        None => mask::unread(size),
    }))
}

/// The same for bytes.
pub(super) fn shape_of_bytes(row: &Row) -> Result<Option<Value>, sqlx::Error> {
    let Some(size) = row.opt_int("size")? else { return Ok(None) };
    Ok(Some(row.bytes("payload")?.map_or_else(|| mask::unread(size), |bytes| mask::stored(&bytes))))
}
