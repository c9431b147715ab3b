//! An idempotency key: the words of its life.

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

/// The stored form of `client_key` under `operation`.
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
    let id = format!("{operation}/{client_key}");
    match id.len() {
        bytes if bytes > MAX_KEY_BYTES => Err(InvalidKey::TooLong { bytes }),
        _ => Ok(KeyId(id)),
    }
}
