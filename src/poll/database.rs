//! The database's loop.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use tokio::sync::{Notify, watch};

use super::{Snapshot, publish};
use crate::{
    clock,
    domain::text::SafeText,
    engine::reader::{Query, Reader},
    metrics::{stored, verdict::Rules},
};

/// A read that takes longer has failed; the statement's own limit is shorter.
const LONGEST_READ: Duration = Duration::from_secs(5);
/// While the database does not answer it is asked this seldom at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Reads what is asked for, for ever. Where no metrics are named, what workers left in the database is judged by these
/// rules.
pub(super) async fn look(
    reader: Arc<dyn Reader>,
    interval: watch::Receiver<Duration>,
    mut asked: watch::Receiver<Query>,
    nudge: Arc<Notify>,
    snapshots: Arc<watch::Sender<Arc<Snapshot>>>,
    judged_by: Option<Rules>,
) {
    let mut failures = 0_u32;
    loop {
        let query = asked.borrow_and_update().clone();
        // A bug in reading is one failed read, not the end of all looking.
        let read = AssertUnwindSafe(reader.read(&query)).catch_unwind();
        let read = match tokio::time::timeout(LONGEST_READ, read).await {
            Ok(Ok(Ok(board))) => Ok(board),
            Ok(Ok(Err(error))) => Err(error.to_string()),
            Ok(Err(_)) => Err("this program failed at reading the board: please report it".to_owned()),
            Err(_) => Err(format!("no answer within {} s from {}", LONGEST_READ.as_secs(), reader.label())),
        };
        failures = if read.is_ok() { 0 } else { failures.saturating_add(1) };
        publish(&snapshots, |snapshot| match read {
            Ok(board) => {
                snapshot.query = query;
                if let Some(rules) = &judged_by {
                    snapshot.signals = stored::signals(&board.circuits, rules).map(Arc::new);
                }
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
