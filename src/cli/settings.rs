//! Settings: flags over environment over the config file over the defaults.

use std::{collections::BTreeMap, env, time::Duration};

use anyhow::{Context, bail};

use super::{
    Common, comfort,
    config_file::{ConfigFile, FileUpstreams, Place, Time},
    policies, targets, verdict, wrong_usage,
};
use crate::{
    config::{Engine, Intake, Retention, Upstreams},
    metrics::source::Presets,
    run::{Elsewhere, Settings},
};

/// Gathers the settings.
///
/// # Errors
/// A config file that cannot be read, with the line; a context that is not in it; a value out of range.
pub(super) fn gather(flags: &Common) -> anyhow::Result<Settings> {
    let file = flags.config.as_deref().map(ConfigFile::read).transpose()?.unwrap_or_default();
    let values = &file.values;
    let place = match &flags.context {
        None => Place {
            database_url: values.database_url.clone(),
            listen_url: values.listen_url.clone(),
            connections: values.connections,
            metrics: values.metrics.clone(),
            file_sd: values.file_sd.clone(),
            target: values.target.clone(),
            prometheus: values.prometheus.clone(),
            read_only: values.read_only,
            production: values.production,
        },
        Some(name) => match values.context.get(name) {
            Some(place) => place.clone(),
            None if flags.config.is_none() => {
                return wrong_usage(format!(
                    "--context {name} is a part of a config file, and none was given: name it with --config PATH"
                ));
            }
            None => bail!("no [context.{name}] in the config file: it has {}", names(&values.context)),
        },
    };
    let engine = Engine { retention: retention(&file)?, ..engine(&file)? };
    let within: Vec<&str> = flags.context.iter().flat_map(|name| ["context", name]).collect();
    let metrics = targets::origins(&flags.metrics, &place, (&file, &within));
    let prometheus = targets::server(flags.prometheus.as_ref(), &place, (&file, &within));
    let named = flags.database_url.clone().filter(|url| !url.is_empty());
    let database_url = named.or(place.database_url).or_else(|| variable("DATABASE_URL"));
    Ok(Settings {
        database_url,
        listen_url: variable("REDRIVE_LISTEN_URL").or(place.listen_url),
        connections: connections(place.connections, (&file, &within))?,
        metrics,
        prometheus,
        read_only: flags.read_only || place.read_only,
        operator: flags.operator.clone().or_else(login_name).unwrap_or_else(|| "unknown".to_owned()),
        context: flags.context.clone(),
        production: place.production,
        contexts: values
            .context
            .iter()
            .map(|(name, place)| elsewhere(name, place, flags, &file))
            .collect::<anyhow::Result<_>>()?,
        preferences: comfort::preferences(&file)?,
        theme: comfort::theme(&file)?,
        upstreams: upstreams(&values.upstreams),
        rules: verdict::rules(&file, engine.time_factor)?,
        presets: Presets::with(values.preset.clone()),
        engine,
        policies: policies::policies(&file)?,
        intake: intake(&file)?,
        token: variable("REDRIVE_TOKEN"),
        log: flags.log.clone(),
        warnings: file.warning().into_iter().collect(),
    })
}

/// A context that `:ctx` goes to. What was said on the command line of the first one's database is not said of it.
fn elsewhere(name: &str, place: &Place, flags: &Common, file: &ConfigFile) -> anyhow::Result<Elsewhere> {
    let within = ["context", name];
    Ok(Elsewhere {
        name: name.to_owned(),
        database_url: place.database_url.clone().or_else(|| variable("DATABASE_URL")),
        listen_url: place.listen_url.clone(),
        connections: connections(place.connections, (file, &within))?,
        metrics: targets::origins(&[], place, (file, &within)),
        prometheus: targets::server(None, place, (file, &within)),
        read_only: flags.read_only || place.read_only,
        production: place.production,
    })
}

/// How many connections a process may have; `None`: as many as suits it.
fn connections(said: Option<u32>, (file, within): (&ConfigFile, &[&str])) -> anyhow::Result<Option<u32>> {
    let expected = |found: &str| format!("connections is {found}: between 2 and 1,000 is expected");
    if let Some(text) = variable("REDRIVE_CONNECTIONS") {
        let said = text.parse().ok().filter(|n| (2..=1_000).contains(n));
        return said.map(Some).with_context(|| format!("REDRIVE_CONNECTIONS: {}", expected(&text)));
    }
    match said {
        Some(n) if !(2..=1_000).contains(&n) => {
            Err(file.wrong(&[within, &["connections"]].concat(), &expected(&n.to_string())))
        }
        said => Ok(said),
    }
}

fn names(contexts: &BTreeMap<String, Place>) -> String {
    match contexts.keys().cloned().collect::<Vec<_>>().join(", ") {
        none if none.is_empty() => "none".to_owned(),
        names => names,
    }
}

/// The same, if it can stand for somebody.
fn login_name() -> Option<String> {
    login().and_then(|login| super::name(&login).ok())
}

/// Who is logged in: the environment says, else the system.
fn login() -> Option<String> {
    variable("USER").or_else(|| variable("LOGNAME")).or_else(|| {
        let said = std::process::Command::new("id").arg("-un").output().ok()?;
        let name = String::from_utf8(said.stdout).ok()?.trim().to_owned();
        (!name.is_empty()).then_some(name)
    })
}

pub(super) fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

fn upstreams(file: &FileUpstreams) -> Upstreams {
    let default = Upstreams::default();
    let or = |name: &str, said: &Option<String>| variable(name).or_else(|| said.clone());
    Upstreams {
        github_url: or("REDRIVE_GITHUB_URL", &file.github_url).unwrap_or(default.github_url),
        github_token: variable("REDRIVE_GITHUB_TOKEN").unwrap_or_default(),
        tfc_url: or("REDRIVE_TFC_URL", &file.tfc_url).unwrap_or(default.tfc_url),
        tfc_token: variable("REDRIVE_TFC_TOKEN").unwrap_or_default(),
        notify_url: or("REDRIVE_NOTIFY_URL", &file.notify_url),
        callback_url: or("REDRIVE_CALLBACK_URL", &file.callback_url).unwrap_or(default.callback_url),
        webhook_secret: variable("REDRIVE_WEBHOOK_SECRET").unwrap_or_default(),
    }
}

/// What is wrong with a value of `[engine]` or another table, with its line where the file said it.
fn wrong(file: &ConfigFile, keys: [&str; 2], env: Option<&str>, said: &str) -> anyhow::Error {
    match env.and_then(|env| variable(env).map(|_| env)) {
        Some(env) => anyhow::anyhow!("{env}: {said}"),
        None => file.wrong(&keys, said),
    }
}

fn engine(file: &ConfigFile) -> anyhow::Result<Engine> {
    let (default, values) = (Engine::default(), &file.values.engine);
    let lease = duration("REDRIVE_LEASE", values.lease, default.lease)?;
    if !(Duration::from_secs(1)..=Duration::from_secs(3_600)).contains(&lease) {
        let said = format!("lease is {}: between 1s and 1h is expected", humantime::format_duration(lease));
        return Err(wrong(file, ["engine", "lease"], Some("REDRIVE_LEASE"), &said));
    }
    let time_factor = match variable("REDRIVE_TIME_FACTOR") {
        Some(text) => {
            text.parse().with_context(|| format!("REDRIVE_TIME_FACTOR is {text:?}, not a number"))?
        }
        None => values.time_factor.unwrap_or(default.time_factor),
    };
    if !(0.001..=100.0).contains(&time_factor) {
        let said = format!("time_factor is {time_factor}: between 0.001 and 100 is expected");
        return Err(wrong(file, ["engine", "time_factor"], Some("REDRIVE_TIME_FACTOR"), &said));
    }
    let concurrency = values.concurrency.unwrap_or(default.concurrency);
    if !(1..=1_000).contains(&concurrency) {
        let said = format!("concurrency is {concurrency}: between 1 and 1,000 is expected");
        return Err(wrong(file, ["engine", "concurrency"], None, &said));
    }
    let unpark_per_second = values.unpark_per_second.unwrap_or(default.unpark_per_second);
    if !(0.01..=10_000.0).contains(&unpark_per_second) {
        let said = format!("unpark_per_second is {unpark_per_second}: between 0.01 and 10,000 is expected");
        return Err(wrong(file, ["engine", "unpark_per_second"], None, &said));
    }
    let quarantine_after = values.quarantine_after.unwrap_or(default.quarantine_after);
    if !(1..=1_000).contains(&quarantine_after) {
        let said = format!("quarantine_after is {quarantine_after}: between 1 and 1,000 replays is expected");
        return Err(wrong(file, ["engine", "quarantine_after"], None, &said));
    }
    let cleanup_after = values.cleanup_after.map_or(default.cleanup_after, |after| after.0);
    if let Some(after) = cleanup_after.filter(|after| *after > Duration::from_secs(366 * 86_400)) {
        let found = humantime::format_duration(after);
        let said = format!("cleanup_after is {found}: at most 366days is expected, or never");
        return Err(wrong(file, ["engine", "cleanup_after"], None, &said));
    }
    Ok(Engine {
        lease,
        cool_down: duration("REDRIVE_COOL_DOWN", values.cool_down, default.cool_down)?,
        concurrency,
        time_factor,
        unpark_per_second,
        quarantine_after,
        cleanup_after,
        ..default
    })
}

fn intake(file: &ConfigFile) -> anyhow::Result<Intake> {
    let (default, values) = (Intake::default(), &file.values.intake);
    let concurrency = values.concurrency.unwrap_or(default.concurrency);
    if !(1..=100_000).contains(&concurrency) {
        let said = format!("intake.concurrency is {concurrency}: between 1 and 100,000 is expected");
        return Err(file.wrong(&["intake", "concurrency"], &said));
    }
    let longest_wait = values.longest_wait.map_or(default.longest_wait, |time| time.0);
    if !(Duration::from_secs(1)..=Duration::from_secs(86_400)).contains(&longest_wait) {
        let found = humantime::format_duration(longest_wait);
        let said = format!("intake.longest_wait is {found}: between 1s and 1day is expected");
        return Err(file.wrong(&["intake", "longest_wait"], &said));
    }
    let timeout = |name: &str, said: Option<Time>, default: Duration| {
        let limit = said.map_or(default, |time| time.0);
        if (Duration::from_millis(100)..=Duration::from_secs(600)).contains(&limit) {
            return Ok(limit);
        }
        let found = humantime::format_duration(limit);
        let said = format!("intake.{name} is {found}: between 100ms and 10min is expected");
        Err(file.wrong(&["intake", name], &said))
    };
    if let Some(host) = values.allowed_hosts.iter().find(|host| !is_host(host)) {
        let said =
            format!("intake.allowed_hosts has {host:?}: a name or an address without a port is expected");
        return Err(file.wrong(&["intake", "allowed_hosts"], &said));
    }
    Ok(Intake {
        concurrency,
        longest_wait,
        header_timeout: timeout("header_timeout", values.header_timeout, default.header_timeout)?,
        body_timeout: timeout("body_timeout", values.body_timeout, default.body_timeout)?,
        allowed_hosts: values.allowed_hosts.clone(),
    })
}

/// A name, or an address with or without its brackets.
fn is_host(text: &str) -> bool {
    let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    let address = text.trim_start_matches('[').trim_end_matches(']');
    !text.is_empty() && text.chars().all(name) || address.parse::<std::net::Ipv6Addr>().is_ok()
}

fn retention(file: &ConfigFile) -> anyhow::Result<Retention> {
    let mut operations = BTreeMap::new();
    for (operation, Time(window)) in &file.values.retention {
        if !(Duration::from_secs(60)..=Duration::from_secs(366 * 86_400)).contains(window) {
            let said = format!(
                "the retention of {operation} is {}: between 1min and 366days is expected",
                humantime::format_duration(*window)
            );
            return Err(file.wrong(&["retention", operation], &said));
        }
        operations.insert(operation.clone(), *window);
    }
    Ok(Retention { operations })
}

fn duration(env: &str, file: Option<Time>, default: Duration) -> anyhow::Result<Duration> {
    match variable(env) {
        None => Ok(file.map_or(default, |time| time.0)),
        Some(text) => humantime::parse_duration(&text)
            .with_context(|| format!("{env} is {text:?}, not a duration such as 30s or 1h")),
    }
}
