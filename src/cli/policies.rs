//! How everything is tried, from the config file: `[operation."github.create_hook"]`, `[state.REGISTERING]`, `[roof]`.
//!
//! What is not said is as built in: an operation's as `[operation.default]`, a state's as its row of the onboarding table.

use std::{collections::BTreeMap, fmt, time::Duration};

use serde::{Deserialize, Deserializer, de};
use toml::de::{DeTable, DeValue};

use super::config_file::{ConfigFile, Time};
use crate::{
    domain::{id::StateName, onboarding::State},
    engine::{
        policies::{OperationPolicy, Policies},
        workflow::StepPolicy,
    },
    onboarding::pipeline::{self, OPERATIONS},
    resilience::{
        backoff,
        budget::{BudgetPolicy, RatioPolicy, RoofPolicy, TokenPolicy},
        circuit::{self, CircuitPolicy},
        invalid::Invalid,
    },
};

/// The table of every operation without one of its own.
const DEFAULT: &str = "default";

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct FileRoof {
    share: Option<f64>,
    floor: Option<f64>,
    window: Option<Time>,
    kept: Option<f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct FileState {
    attempts: Option<u32>,
    base: Option<Time>,
    cap: Option<Time>,
    jitter: Option<Jitter>,
    timeout: Option<Time>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct FileOperation {
    timeout: Option<Time>,
    concurrency: Option<u32>,
    weight: Option<f64>,
    budget: Option<FileBudget>,
    circuit: FileCircuit,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct FileBudget {
    mode: Mode,
    share: Option<f64>,
    floor: Option<f64>,
    window: Option<Time>,
    capacity: Option<u32>,
    retry: Option<u32>,
    after_timeout: Option<u32>,
    success: Option<u32>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Mode {
    #[default]
    Ratio,
    Standard,
    Adaptive,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct FileCircuit {
    window: Option<Window>,
    minimum_calls: Option<u32>,
    failure_rate: Option<f64>,
    slow: Option<FileSlow>,
    open_for: Option<Time>,
    open_growth: Option<f64>,
    open_cap: Option<Time>,
    probes: Option<u32>,
    trial: Option<Trial>,
    half_open_for: Option<Time>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileSlow {
    from: Time,
    rate: f64,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Trial {
    All,
    Rates,
}

/// A number of calls, or a time.
#[derive(Debug, Clone, Copy)]
struct Window(circuit::Window);

/// A word, or a share.
#[derive(Debug, Clone, Copy)]
struct Jitter(backoff::Jitter);

impl<'de> Deserialize<'de> for Window {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Window;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of calls such as 20, or a time such as \"30s\"")
            }

            fn visit_i64<E: de::Error>(self, calls: i64) -> Result<Window, E> {
                let calls = u32::try_from(calls)
                    .map_err(|_| E::invalid_value(de::Unexpected::Signed(calls), &self))?;
                Ok(Window(circuit::Window::Calls(calls)))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Window, E> {
                let time = humantime::parse_duration(text);
                time.map(|time| Window(circuit::Window::Time(time)))
                    .map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl<'de> Deserialize<'de> for Jitter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Jitter;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "\"none\", \"full\", \"equal\", \"decorrelated\", or a share of the delay such as 0.25",
                )
            }

            fn visit_str<E: de::Error>(self, word: &str) -> Result<Jitter, E> {
                Ok(Jitter(match word {
                    "none" => backoff::Jitter::None,
                    "full" => backoff::Jitter::Full,
                    "equal" => backoff::Jitter::Equal,
                    "decorrelated" => backoff::Jitter::Decorrelated,
                    other => return Err(E::invalid_value(de::Unexpected::Str(other), &self)),
                }))
            }

            fn visit_f64<E: de::Error>(self, share: f64) -> Result<Jitter, E> {
                Ok(Jitter(backoff::Jitter::Proportional(share)))
            }

            fn visit_i64<E: de::Error>(self, share: i64) -> Result<Jitter, E> {
                self.visit_f64(share as f64)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// The keys of a value, and what is wrong with it.
pub(super) type Misnamed<'a> = (Vec<&'a str>, String);

/// Whether every operation and state of `file` is one of this program's.
///
/// # Errors
/// The first that is not, and those there are.
pub(super) fn check_names<'a>(file: &'a DeTable<'_>) -> Result<(), Misnamed<'a>> {
    let names = |table: &'static str| {
        let (_, value) = file.iter().find(|(key, _)| key.get_ref() == table)?;
        match value.get_ref() {
            DeValue::Table(named) => {
                Some(named.keys().map(|key| key.get_ref().as_ref()).collect::<Vec<&str>>())
            }
            _ => None,
        }
    };
    for name in names("operation").unwrap_or_default() {
        if name != DEFAULT && !OPERATIONS.contains(&name) {
            let quoted = match OPERATIONS.iter().find(|known| known.split('.').next() == Some(name)) {
                Some(known) => format!("; a name with a dot is quoted: [operation.\"{known}\"]"),
                None => String::new(),
            };
            let all = OPERATIONS.join(", ");
            return Err((
                vec!["operation", name],
                format!("{name:?} is not an operation: expected {DEFAULT} or one of {all}{quoted}"),
            ));
        }
    }
    for name in names("state").unwrap_or_default() {
        if name.parse::<State>().is_err() {
            let all = State::ALL.iter().map(|state| state.as_str()).collect::<Vec<_>>().join(", ");
            return Err((vec!["state", name], format!("{name:?} is not a state: expected one of {all}")));
        }
    }
    Ok(())
}

/// The policies `file` asks for.
///
/// # Errors
/// A value that cannot be meant, or not together with another, with its line.
pub(super) fn policies(file: &ConfigFile) -> anyhow::Result<Policies> {
    let values = &file.values;
    let wrong = |table: &[&str], invalid: &Invalid| {
        let keys: Vec<&str> = table.iter().copied().chain(invalid.field.split('.')).collect();
        let name = table.join(".");
        file.wrong(&keys, &format!("{name}.{invalid}"))
    };
    let roof = values.roof.policy();
    roof.check().map_err(|invalid| wrong(&["roof"], &invalid))?;
    let operation = |name: &str, base: &OperationPolicy| -> anyhow::Result<OperationPolicy> {
        let Some(said) = values.operation.get(name) else { return Ok(base.clone()) };
        let policy = said.over(base).map_err(|invalid| wrong(&["operation", name], &invalid))?;
        policy.check().map_err(|invalid| wrong(&["operation", name], &invalid))?;
        Ok(policy)
    };
    let otherwise = operation(DEFAULT, &OperationPolicy::default())?;
    let mut operations = BTreeMap::new();
    for name in values.operation.keys().filter(|name| *name != DEFAULT) {
        operations.insert(name.clone(), operation(name, &otherwise)?);
    }
    let mut states = BTreeMap::new();
    for (name, said) in &values.state {
        let Ok(state) = name.parse::<State>() else { continue };
        let policy = said.over(pipeline::policy(state));
        policy.check().map_err(|invalid| wrong(&["state", name], &invalid))?;
        states.insert(StateName(name.clone()), policy);
    }
    Ok(Policies { roof, otherwise, operations, states })
}

fn time(said: Option<Time>, otherwise: Duration) -> Duration {
    said.map_or(otherwise, |time| time.0)
}

impl FileRoof {
    fn policy(&self) -> RoofPolicy {
        let base = RoofPolicy::default();
        RoofPolicy {
            share: self.share.unwrap_or(base.share),
            floor: self.floor.unwrap_or(base.floor),
            window: time(self.window, base.window),
            kept: self.kept.unwrap_or(base.kept),
        }
    }
}

impl FileState {
    fn over(&self, base: StepPolicy) -> StepPolicy {
        StepPolicy {
            attempts: self.attempts.unwrap_or(base.attempts),
            backoff: backoff::Backoff {
                base: time(self.base, base.backoff.base),
                cap: time(self.cap, base.backoff.cap),
                jitter: self.jitter.map_or(base.backoff.jitter, |jitter| jitter.0),
            },
            timeout: time(self.timeout, base.timeout),
            on_exhaustion: base.on_exhaustion,
        }
    }
}

impl FileOperation {
    fn over(&self, base: &OperationPolicy) -> Result<OperationPolicy, Invalid> {
        Ok(OperationPolicy {
            timeout: time(self.timeout, base.timeout),
            concurrency: self.concurrency.or(base.concurrency),
            budget: match &self.budget {
                None => base.budget,
                Some(budget) => budget.policy().map_err(|invalid| invalid.within("budget"))?,
            },
            weight: self.weight.unwrap_or(base.weight),
            circuit: self.circuit.over(base.circuit),
        })
    }
}

impl FileBudget {
    fn policy(&self) -> Result<BudgetPolicy, Invalid> {
        let ratio = [
            ("share", self.share.is_some()),
            ("floor", self.floor.is_some()),
            ("window", self.window.is_some()),
        ];
        let tokens = [
            ("capacity", self.capacity.is_some()),
            ("retry", self.retry.is_some()),
            ("after_timeout", self.after_timeout.is_some()),
            ("success", self.success.is_some()),
        ];
        let (foreign, other) = match self.mode {
            Mode::Ratio => (&tokens[..], "a budget of mode \"standard\" or \"adaptive\""),
            Mode::Standard | Mode::Adaptive => (&ratio[..], "a budget of mode \"ratio\""),
        };
        if let Some((field, _)) = foreign.iter().find(|(_, said)| *said) {
            let found = format!("said of mode {:?}", format!("{:?}", self.mode).to_lowercase());
            return Err(Invalid { field: (*field).to_owned(), found, expected: other.to_owned() });
        }
        let base = RatioPolicy::default();
        let ratio = RatioPolicy {
            share: self.share.unwrap_or(base.share),
            floor: self.floor.unwrap_or(base.floor),
            window: time(self.window, base.window),
        };
        let base = TokenPolicy::default();
        let tokens = TokenPolicy {
            capacity: self.capacity.unwrap_or(base.capacity),
            retry: self.retry.unwrap_or(base.retry),
            after_timeout: self.after_timeout.unwrap_or(base.after_timeout),
            success: self.success.unwrap_or(base.success),
        };
        Ok(match self.mode {
            Mode::Ratio => BudgetPolicy::Ratio(ratio),
            Mode::Standard => BudgetPolicy::Tokens(tokens),
            Mode::Adaptive => BudgetPolicy::Adaptive(tokens),
        })
    }
}

impl FileCircuit {
    fn over(&self, base: CircuitPolicy) -> CircuitPolicy {
        CircuitPolicy {
            window: self.window.map_or(base.window, |window| window.0),
            minimum_calls: self.minimum_calls.unwrap_or(base.minimum_calls),
            failure_rate: self.failure_rate.unwrap_or(base.failure_rate),
            slow: match &self.slow {
                Some(slow) => Some(circuit::Slow { from: slow.from.0, rate: slow.rate }),
                None => base.slow,
            },
            open_for: time(self.open_for, base.open_for),
            open_growth: self.open_growth.unwrap_or(base.open_growth),
            open_cap: time(self.open_cap, base.open_cap),
            probes: self.probes.unwrap_or(base.probes),
            trial: match self.trial {
                Some(Trial::All) => circuit::Trial::All,
                Some(Trial::Rates) => circuit::Trial::Rates,
                None => base.trial,
            },
            half_open_for: time(self.half_open_for, base.half_open_for),
        }
    }
}
