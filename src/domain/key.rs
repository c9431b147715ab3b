//! An idempotency key: the words of its life, and the one table that says what may follow what.
//!
//! ```text
//!             asked                       ended
//!   fresh ───────────▶ in flight ──────────────────────▶ completed | failed   replayed until retention
//!     ▲ ▲                │    ▲ ▲                   └──▶ freed | failed storage
//!     │ │      lease over│    │ └─asked again─────────────────┘
//!     │ │                ▼    │asked: taken over
//!     │ │             lease over
//!     │ └── retention over, from all but in flight       elsewhere (held by others, no lease): refused
//!     └──── released: elsewhere, lease over, in flight ─▶ freed          until retention or a release
//! ```
//! Every store answers by this table: the SQL ones call it, Redis repeats it in a script, and one model-based law
//! compares them all with it.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::{id::KeyId, word::words};

words!(
    /// `idempotency_keys.status`: the words other services know. Everything finer is a [`KeyPhase`].
    KeyStatus, "key status", {
        /// Somebody is working under this key.
        Started = "STARTED",
        /// The response is stored and is replayed.
        Completed = "COMPLETED",
        /// It failed; with a stored error if the failure is permanent.
        Failed = "FAILED",
    }
);

words!(
    /// Where a key of ours stands, finer than its [`KeyStatus`].
    KeyPhase, "key phase", {
        /// In flight under a lease.
        Started = "started",
        /// The response is stored.
        Completed = "completed",
        /// The permanent error is stored.
        Failed = "failed",
        /// A transient failure set it free: the next try runs.
        Freed = "freed",
        /// The work was done but its response could not be stored: the next try runs again.
        FailedStorage = "failed_storage",
    }
);

impl KeyPhase {
    /// The status other services see.
    pub const fn status(self) -> KeyStatus {
        match self {
            Self::Started => KeyStatus::Started,
            Self::Completed => KeyStatus::Completed,
            Self::Failed | Self::Freed | Self::FailedStorage => KeyStatus::Failed,
        }
    }
}

/// Where a key stands at one instant, its lease and its retention judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyLife {
    /// Nobody used it, or so long ago that its retention is over.
    Fresh,
    /// Somebody works under it and the lease is live.
    InFlight,
    /// Somebody began under it and the lease ended without an answer.
    LeaseOver,
    /// Others work under it, without a lease that could end.
    Elsewhere,
    /// The response is stored.
    Completed,
    /// The permanent error is stored.
    Failed,
    /// A transient failure or an operator set it free.
    Freed,
    /// The work was done but its response could not be stored.
    FailedStorage,
}

/// What can happen to a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyEvent {
    /// Somebody asks to work under it, with the request it belongs to.
    Asked,
    /// Its holder ends with this phase; [`KeyPhase::Started`] is no end.
    Ended(KeyPhase),
    /// The lease ends without an answer.
    LeaseEnded,
    /// An operator releases it.
    Released,
    /// It was kept for its whole retention.
    RetentionEnded,
}

/// What a stored row says of its lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyLease {
    /// None: a row of others, or nobody works under it.
    Absent,
    /// It still runs.
    Live,
    /// It ended.
    Over,
}

words!(
    /// Why work runs under a key.
    KeyRun, "reason to run", {
        /// Nobody used the key before.
        New = "new",
        /// It was used before, longer ago than it is kept: its earlier response is gone.
        Reused = "reused",
        /// The last try failed in a way that may pass, or an operator released it.
        Again = "again",
        /// The earlier holder's lease ended without an answer: its effect may have happened.
        TakenOver = "taken_over",
        /// The earlier holder's response could not be stored: its effect did happen.
        AfterFailedStorage = "after_failed_storage",
    }
);

/// What somebody who asks with the same request is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyAsked {
    /// Run the work.
    Run(KeyRun),
    /// Replay what is stored.
    Replay,
    /// Wait: somebody works under it.
    Wait,
}

impl KeyLife {
    /// Every one of them.
    pub const ALL: [Self; 8] = [
        Self::Fresh,
        Self::InFlight,
        Self::LeaseOver,
        Self::Elsewhere,
        Self::Completed,
        Self::Failed,
        Self::Freed,
        Self::FailedStorage,
    ];

    /// Reads it off a stored row. `status` and `phase` are `None` where the word is missing or unknown, `answered`
    /// says whether a response code is stored, `expired` whether its retention is over.
    ///
    /// A status nobody knows is taken for [`KeyLife::Elsewhere`], because running twice is worse than waiting. A
    /// live lease outlasts any retention.
    pub const fn of(
        status: Option<KeyStatus>,
        phase: Option<KeyPhase>,
        lease: KeyLease,
        answered: bool,
        expired: bool,
    ) -> Self {
        match (status, lease) {
            (Some(KeyStatus::Started) | None, KeyLease::Live) => Self::InFlight,
            _ if expired => Self::Fresh,
            (Some(KeyStatus::Started) | None, KeyLease::Over) => Self::LeaseOver,
            (Some(KeyStatus::Started) | None, KeyLease::Absent) => Self::Elsewhere,
            (Some(KeyStatus::Completed), _) => Self::Completed,
            (Some(KeyStatus::Failed), _) => match phase {
                Some(KeyPhase::FailedStorage) => Self::FailedStorage,
                Some(KeyPhase::Failed) | None if answered => Self::Failed,
                _ => Self::Freed,
            },
        }
    }

    /// What somebody who asks with the same request is answered. With another request anything but
    /// [`KeyLife::Fresh`] is a mismatch.
    pub const fn asked(self) -> KeyAsked {
        match self {
            Self::Fresh => KeyAsked::Run(KeyRun::New),
            Self::Freed => KeyAsked::Run(KeyRun::Again),
            Self::LeaseOver => KeyAsked::Run(KeyRun::TakenOver),
            Self::FailedStorage => KeyAsked::Run(KeyRun::AfterFailedStorage),
            Self::Completed | Self::Failed => KeyAsked::Replay,
            Self::InFlight | Self::Elsewhere => KeyAsked::Wait,
        }
    }

    /// Where it stands after `event`; `None` where nothing changes: the event is refused or cannot happen.
    pub const fn next(self, event: KeyEvent) -> Option<Self> {
        match (self, event) {
            (_, KeyEvent::Asked) => match self.asked() {
                KeyAsked::Run(_) => Some(Self::InFlight),
                KeyAsked::Replay | KeyAsked::Wait => None,
            },
            // A holder whose lease is over may still end, as long as nobody took over.
            (Self::InFlight | Self::LeaseOver, KeyEvent::Ended(phase)) => match phase {
                KeyPhase::Started => None,
                KeyPhase::Completed => Some(Self::Completed),
                KeyPhase::Failed => Some(Self::Failed),
                KeyPhase::Freed => Some(Self::Freed),
                KeyPhase::FailedStorage => Some(Self::FailedStorage),
            },
            (_, KeyEvent::Ended(_)) => None,
            (Self::InFlight, KeyEvent::LeaseEnded) => Some(Self::LeaseOver),
            (_, KeyEvent::LeaseEnded) => None,
            (Self::InFlight | Self::LeaseOver | Self::Elsewhere, KeyEvent::Released) => Some(Self::Freed),
            (_, KeyEvent::Released) => None,
            (Self::Fresh | Self::InFlight, KeyEvent::RetentionEnded) => None,
            (_, KeyEvent::RetentionEnded) => Some(Self::Fresh),
        }
    }
}

/// The longest stored key, in bytes: operation, `/` and client key together.
pub const MAX_KEY_BYTES: usize = 255;

/// Why a client's key cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKey {
    /// Nothing in it.
    #[error("the idempotency key is empty: send a unique value, for example a UUID")]
    Empty,
    /// Too long once stored.
    #[error(
        "the idempotency key makes {bytes} bytes together with its operation: at most {MAX_KEY_BYTES} fit"
    )]
    TooLong {
        /// How many bytes it would take.
        bytes: usize,
    },
    /// Not printable ASCII.
    #[error("the idempotency key holds a character that is not printable ASCII")]
    NotPrintable,
}

/// The stored form of `client_key` under `operation`: `operation/client_key`. What could end the operation's name early,
/// or is no printable ASCII, is written `%2F` in it: two operations never share a key.
///
/// # Errors
/// When the key is empty, too long or not printable ASCII.
pub fn key_id(operation: &str, client_key: &str) -> Result<KeyId, InvalidKey> {
    if client_key.is_empty() {
        return Err(InvalidKey::Empty);
    }
    if !client_key.bytes().all(|b| (0x20..0x7f).contains(&b)) {
        return Err(InvalidKey::NotPrintable);
    }
    let mut id = String::with_capacity(operation.len() + 1 + client_key.len());
    for byte in operation.bytes() {
        match byte {
            b'%' | b'/' | ..0x20 | 0x7f.. => {
                write!(id, "%{byte:02X}").expect("a string takes whatever is written")
            }
            plain => id.push(char::from(plain)),
        }
    }
    id.push('/');
    id.push_str(client_key);
    match id.len() {
        bytes if bytes > MAX_KEY_BYTES => Err(InvalidKey::TooLong { bytes }),
        _ => Ok(KeyId(id)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const EVENTS: [KeyEvent; 9] = [
        KeyEvent::Asked,
        KeyEvent::Ended(KeyPhase::Started),
        KeyEvent::Ended(KeyPhase::Completed),
        KeyEvent::Ended(KeyPhase::Failed),
        KeyEvent::Ended(KeyPhase::Freed),
        KeyEvent::Ended(KeyPhase::FailedStorage),
        KeyEvent::LeaseEnded,
        KeyEvent::Released,
        KeyEvent::RetentionEnded,
    ];

    #[test]
    fn the_whole_table_reads_as_drawn() {
        let table: Vec<String> = KeyLife::ALL
            .iter()
            .map(|life| {
                let cells = EVENTS.iter().map(|event| match life.next(*event) {
                    Some(next) => format!("{next:?}"),
                    None => "-".to_owned(),
                });
                format!("{life:?}: {}", cells.collect::<Vec<_>>().join(" "))
            })
            .collect();
        assert_eq!(
            table,
            [
                "Fresh: InFlight - - - - - - - -",
                "InFlight: - - Completed Failed Freed FailedStorage LeaseOver Freed -",
                "LeaseOver: InFlight - Completed Failed Freed FailedStorage - Freed Fresh",
                "Elsewhere: - - - - - - - Freed Fresh",
                "Completed: - - - - - - - - Fresh",
                "Failed: - - - - - - - - Fresh",
                "Freed: InFlight - - - - - - - Fresh",
                "FailedStorage: InFlight - - - - - - - Fresh",
            ]
        );
    }

    #[test]
    fn from_anywhere_the_work_can_run_again() {
        for start in KeyLife::ALL {
            let (mut seen, mut todo) = (BTreeSet::from([start]), vec![start]);
            while let Some(life) = todo.pop() {
                for next in EVENTS.iter().filter_map(|event| life.next(*event)) {
                    if seen.insert(next) {
                        todo.push(next);
                    }
                }
            }
            assert!(
                seen.iter().any(|life| matches!(life.asked(), KeyAsked::Run(_))),
                "{start:?} is a dead end"
            );
        }
    }

    #[test]
    fn every_row_that_can_be_read_has_one_life() {
        let statuses = [None, Some(KeyStatus::Started), Some(KeyStatus::Completed), Some(KeyStatus::Failed)];
        let phases = KeyPhase::ALL.iter().map(|phase| Some(*phase)).chain([None]).collect::<Vec<_>>();
        let mut lives = BTreeSet::new();
        for status in statuses {
            for phase in &phases {
                for lease in [KeyLease::Absent, KeyLease::Live, KeyLease::Over] {
                    for (answered, expired) in [(false, false), (false, true), (true, false), (true, true)] {
                        let life = KeyLife::of(status, *phase, lease, answered, expired);
                        lives.insert(life);
                        let in_flight = !matches!(status, Some(KeyStatus::Completed | KeyStatus::Failed))
                            && lease == KeyLease::Live;
                        assert_eq!(life == KeyLife::InFlight, in_flight);
                        assert_eq!(life == KeyLife::Fresh, expired && !in_flight);
                        if life == KeyLife::Failed {
                            assert!(answered, "only a stored error is replayed");
                        }
                    }
                }
            }
        }
        assert_eq!(lives.len(), KeyLife::ALL.len(), "every life can be read off some row");
    }

    proptest! {
        /// Between two runs under one key the first one's holder gave it up, lost its lease, was released, or the
        /// answer's retention ended.
        #[test]
        fn two_runs_never_overlap_under_a_live_lease(events in prop::collection::vec(0..EVENTS.len(), 1..60)) {
            let (mut life, mut holder) = (KeyLife::Fresh, false);
            for event in events.into_iter().map(|at| EVENTS[at]) {
                let Some(next) = life.next(event) else { continue };
                if event == KeyEvent::Asked {
                    prop_assert!(!holder, "{:?} ran while a holder's lease was live", life);
                }
                holder = next == KeyLife::InFlight;
                life = next;
            }
        }

        /// A stored answer leaves only by its retention.
        #[test]
        fn a_stored_answer_stays_until_its_retention_ends(at in 0..EVENTS.len()) {
            for life in [KeyLife::Completed, KeyLife::Failed] {
                let event = EVENTS[at];
                prop_assert_eq!(life.next(event).is_some(), event == KeyEvent::RetentionEnded);
            }
        }
    }
}
