//! Settings: flags over environment over the config file over the defaults.

use std::{collections::BTreeMap, env, fs, path::Path, time::Duration};

use anyhow::{Context, bail};
use serde::Deserialize;

use super::Common;
use crate::{
    config::{Engine, Retention, Upstreams},
    run::Settings,
};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(flatten)]
    place: Place,
    #[serde(default)]
    context: BTreeMap<String, Place>,
    #[serde(default)]
    upstreams: FileUpstreams,
    #[serde(default)]
    engine: FileEngine,
    /// How long keys are remembered, by operation.
    #[serde(default)]
    retention: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct Place {
    database_url: Option<String>,
    #[serde(default)]
    metrics: Vec<String>,
    prometheus: Option<String>,
    #[serde(default)]
    read_only: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileUpstreams {
    github_url: Option<String>,
    tfc_url: Option<String>,
    notify_url: Option<String>,
    callback_url: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileEngine {
    lease: Option<String>,
    cool_down: Option<String>,
    concurrency: Option<usize>,
    time_factor: Option<f64>,
}

/// Gathers the settings.
///
/// # Errors
/// A config file that cannot be read, with the line; a context that is not in it; a value out of range.
pub(super) fn gather(flags: &Common) -> anyhow::Result<Settings> {
    let file = flags.config.as_deref().map(read).transpose()?.unwrap_or_default();
    let place = match &flags.context {
        None => file.place,
        Some(name) => match file.context.get(name) {
            Some(place) => place.clone(),
            None => bail!("no [context.{name}] in the config file: it has {}", names(&file.context)),
        },
    };
    let database_url = flags.database_url.clone().or(place.database_url).or_else(|| variable("DATABASE_URL"));
    Ok(Settings {
        database_url,
        metrics: if flags.metrics.is_empty() { place.metrics } else { flags.metrics.clone() },
        prometheus: flags.prometheus.clone().or(place.prometheus),
        read_only: flags.read_only || place.read_only,
        operator: flags.operator.clone().or_else(login).unwrap_or_else(|| "unknown".to_owned()),
        context: flags.context.clone(),
        upstreams: upstreams(file.upstreams),
        engine: Engine { retention: retention(&file.retention)?, ..engine(&file.engine)? },
        token: variable("REDRIVE_TOKEN"),
        log: flags.log.clone(),
    })
}

fn read(path: &Path) -> anyhow::Result<File> {
    let text = fs::read_to_string(path)
        .with_context(|| format!("cannot read the config file {}", path.display()))?;
    toml::from_str(&text).with_context(|| format!("the config file {} is wrong", path.display()))
}

fn names(contexts: &BTreeMap<String, Place>) -> String {
    match contexts.keys().cloned().collect::<Vec<_>>().join(", ") {
        none if none.is_empty() => "none".to_owned(),
        names => names,
    }
}

/// Who is logged in: the environment says, else the system.
fn login() -> Option<String> {
    variable("USER").or_else(|| variable("LOGNAME")).or_else(|| {
        let said = std::process::Command::new("id").arg("-un").output().ok()?;
        let name = String::from_utf8(said.stdout).ok()?.trim().to_owned();
        (!name.is_empty()).then_some(name)
    })
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

fn upstreams(file: FileUpstreams) -> Upstreams {
    let default = Upstreams::default();
    Upstreams {
        github_url: variable("REDRIVE_GITHUB_URL").or(file.github_url).unwrap_or(default.github_url),
        github_token: variable("REDRIVE_GITHUB_TOKEN").unwrap_or_default(),
        tfc_url: variable("REDRIVE_TFC_URL").or(file.tfc_url).unwrap_or(default.tfc_url),
        tfc_token: variable("REDRIVE_TFC_TOKEN").unwrap_or_default(),
        notify_url: variable("REDRIVE_NOTIFY_URL").or(file.notify_url),
        callback_url: variable("REDRIVE_CALLBACK_URL").or(file.callback_url).unwrap_or(default.callback_url),
        webhook_secret: variable("REDRIVE_WEBHOOK_SECRET").unwrap_or_default(),
        call_timeout: default.call_timeout,
    }
}

fn engine(file: &FileEngine) -> anyhow::Result<Engine> {
    let default = Engine::default();
    let lease = duration("lease", "REDRIVE_LEASE", file.lease.as_deref(), default.lease)?;
    if !(Duration::from_secs(1)..=Duration::from_secs(3_600)).contains(&lease) {
        bail!("lease is {}: between 1s and 1h is expected", humantime::format_duration(lease));
    }
    let time_factor = match variable("REDRIVE_TIME_FACTOR") {
        Some(text) => {
            text.parse().with_context(|| format!("REDRIVE_TIME_FACTOR is {text:?}, not a number"))?
        }
        None => file.time_factor.unwrap_or(default.time_factor),
    };
    if !(0.001..=100.0).contains(&time_factor) {
        bail!("time_factor is {time_factor}: between 0.001 and 100 is expected");
    }
    let concurrency = file.concurrency.unwrap_or(default.concurrency);
    if !(1..=1_000).contains(&concurrency) {
        bail!("concurrency is {concurrency}: between 1 and 1,000 is expected");
    }
    Ok(Engine {
        lease,
        cool_down: duration("cool_down", "REDRIVE_COOL_DOWN", file.cool_down.as_deref(), default.cool_down)?,
        concurrency,
        time_factor,
        ..default
    })
}

fn retention(file: &BTreeMap<String, String>) -> anyhow::Result<Retention> {
    let mut operations = BTreeMap::new();
    for (operation, text) in file {
        let window = humantime::parse_duration(text).with_context(|| {
            format!("the retention of {operation} is {text:?}, not a duration such as 24h")
        })?;
        if !(Duration::from_secs(60)..=Duration::from_secs(366 * 86_400)).contains(&window) {
            bail!("the retention of {operation} is {text}: between 1min and 366days is expected");
        }
        operations.insert(operation.clone(), window);
    }
    Ok(Retention { operations })
}

fn duration(name: &str, env: &str, file: Option<&str>, default: Duration) -> anyhow::Result<Duration> {
    match variable(env).as_deref().or(file) {
        None => Ok(default),
        Some(text) => humantime::parse_duration(text)
            .with_context(|| format!("{name} is {text:?}, not a duration such as 30s or 1h")),
    }
}
