//! The scenarios by name: what each is about in one line, what tames it, and how fast it is played. What happens in
//! them is in `incident`.

use crate::domain::word::words;

/// `words!`, whose lines of documentation are also what the command line says.
macro_rules! scenarios {
    ($($(#[doc = $line:literal])+ $variant:ident = $word:literal),+ $(,)?) => {
        words!(
            /// An incident the demo can show.
            Scenario, "scenario", { $($(#[doc = $line])+ $variant = $word),+ }
        );

        impl Scenario {
            /// What happens, in one sentence.
            pub const fn says(self) -> &'static str {
                match self { $(Self::$variant => concat!($($line),+).trim_ascii()),+ }
            }
        }
    };
}

scenarios! {
    /// GitHub answers 503 and is slow for 90 s; an unprotected caller makes it a storm.
    Outage = "outage",
    /// A bad release, rolled back after 10 min, keeps a service down for an hour: every caller keeps retrying.
    Yandex = "yandex",
    /// A person taps "Try again" four times, a balancer sends every request six times: 30 requests from one person.
    TapTryAgain = "tap-try-again",
    /// A few heavy calls use up a uniform retry budget and starve the light ones.
    HeavyEndpoint = "heavy-endpoint",
    /// 1,000 clients fail together and come back in waves.
    NoJitter = "no-jitter",
    /// A reply is lost, the caller asks again without a key, and is charged twice.
    DoubleCharge = "double-charge",
    /// Responses cannot be stored for a while.
    StorageFailure = "storage-failure",
    /// A process died holding a key, 24 h ago.
    StuckLock = "stuck-lock",
    /// One item always fails.
    Poison = "poison",
    /// Nothing goes wrong.
    Calm = "calm",
}

/// A scenario that is not known.
pub type UnknownScenario = crate::domain::word::UnknownWord;

impl Scenario {
    /// What tames it.
    pub const fn tamed_by(self) -> &'static str {
        match self {
            Self::Outage => "a budget and a circuit, parked work, and a replay at a pace",
            Self::Yandex => "a retry budget and a circuit",
            Self::TapTryAgain => "retrying at one layer only",
            Self::HeavyEndpoint => "a budget for each operation, by weight",
            Self::NoJitter => "full jitter",
            Self::DoubleCharge => "an idempotency key: one effect, the stored response replayed",
            Self::StorageFailure => "a marked key: the handler runs again, nothing broken is replayed",
            Self::StuckLock => "leases: a take-over when one is over, a guarded release before",
            Self::Poison => "attempts that end in a dead letter",
            Self::Calm => "nothing: there is nothing to tame",
        }
    }

    /// The time factor when nobody names one: about a minute, with or without a dashboard; the dashboard's outage is
    /// slow enough to act in.
    pub const fn usual_factor(self, headless: bool) -> f64 {
        match self {
            Self::Outage | Self::Calm if !headless => 0.5,
            Self::Outage | Self::Calm => 0.25,
            Self::Yandex => 0.018,
            Self::TapTryAgain => 0.12,
            Self::HeavyEndpoint => 0.3,
            // A thousand clients for the dashboard, fewer where one waits for the report.
            Self::NoJitter => {
                if headless {
                    0.4
                } else {
                    1.0
                }
            }
            Self::DoubleCharge | Self::StorageFailure | Self::StuckLock | Self::Poison => 0.5,
        }
    }

    /// Whether it is about onboardings: elsewhere they are few, and only there so that no screen is empty.
    pub(super) const fn is_about_onboardings(self) -> bool {
        matches!(self, Self::Outage | Self::Poison | Self::Calm)
    }
}
