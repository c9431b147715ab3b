//! What a lock that was waited for in vain was on. Only Postgres tells of such a lock.

use sqlx::query;

use super::Conn;

/// An error, at once, where somebody has the whole table of keys or waits for it: nobody gets at any key then.
pub(super) async fn table_is_free(conn: &mut Conn<'_>) -> Result<(), sqlx::Error> {
    query("LOCK TABLE idempotency_keys IN ROW EXCLUSIVE MODE NOWAIT").execute(conn).await.map(|_| ())
}
