//! Ids as newtypes, so that a letter's id is never passed where an onboarding's is meant. All are TEXT in tables.
//!
//! Others write some of them: written for people they are [`SafeText`], so that none can be printed as it is.

use serde::{Deserialize, Serialize};

use super::text::SafeText;

macro_rules! id {
    ($($(#[$meta:meta])* $name:ident),+ $(,)?) => { $(
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl $name {
            /// The raw id, as stored, for statements, requests and comparisons. May hold anything when others wrote it: people
            /// are shown what `Display` writes.
            pub fn as_str(&self) -> &str { &self.0 }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                SafeText::new(&self.0).fmt(f)
            }
        }
        impl From<&str> for $name { fn from(id: &str) -> Self { Self(id.to_owned()) } }
        impl From<String> for $name { fn from(id: String) -> Self { Self(id) } }
    )+ };
}

id! {
    /// An onboarding.
    OnboardingId,
    /// A dead letter.
    LetterId,
    /// A replay of one or more letters.
    ReplayId,
    /// A worker process.
    WorkerId,
    /// An operator's action; made when the dialog opens, so that sending it twice applies it once.
    ActionId,
    /// One holding of a lease: fresh at each claim, so that a late writer is fenced off.
    LeaseId,
    /// A stored idempotency key: `operation/client_key`.
    KeyId,
    /// An operation: one callee and verb, `github.create_hook`, or a workflow as a whole, `onboarding`.
    OperationName,
    /// The name of a workflow's state. Text, because other services and newer versions may write states we do not know.
    StateName,
}
