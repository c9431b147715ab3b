//! The database's loop.

use std::{sync::Arc, time::Duration};

use tokio::sync::{Notify, watch};

use super::{Snapshot, publish};
use crate::{
    clock,
    domain::text::SafeText,
    engine::reader::{Query, Reader},
};

/// A read that takes longer has failed; the statement's own limit is shorter.
const LONGEST_READ: Duration = Duration::from_secs(5);
/// While the database does not answer it is asked this seldom at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Reads what is asked for, for ever.
pub(super) async fn look(
    reader: Arc<dyn Reader>,
    interval: watch::Receiver<Duration>,
    mut asked: watch::Receiver<Query>,
    nudge: Arc<Notify>,
    snapshots: Arc<watch::Sender<Arc<Snapshot>>>,
) {
    let mut failures = 0_u32;
    loop {
        let query = asked.borrow_and_update().clone();
        let read = tokio::time::timeout(LONGEST_READ, reader.read(&query)).await;
        let read = match read {
            Ok(Ok(board)) => Ok(board),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("no answer within {} s from {}", LONGEST_READ.as_secs(), reader.label())),
        };
        failures = if read.is_ok() { 0 } else { failures.saturating_add(1) };
        publish(&snapshots, |snapshot| match read {
            Ok(board) => {
                snapshot.query = query;
                snapshot.board = Some(Arc::new(board));
                snapshot.database.last_ok = Some(clock::now());
                snapshot.database.error = None;
            }
            Err(error) => snapshot.database.error = Some(SafeText::new(&error)),
        });
        let interval = *interval.borrow();
        let pause = interval.saturating_mul(2_u32.saturating_pow(failures.min(10))).min(LONGEST_PAUSE);
        let pause = if failures == 0 { interval } else { pause };
        tokio::select! {
            changed = asked.changed() => if changed.is_err() { clock::sleep(pause).await },
            () = nudge.notified() => {}
            () = clock::sleep(pause) => {}
        }
    }
}
