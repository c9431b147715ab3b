//! The config file: what it may hold, and where in it a value stands, so that whatever is wrong with one names its line.

use std::{
    collections::BTreeMap,
    fs,
    io::Read as _,
    ops::Range,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, anyhow, bail};
use serde::{Deserialize, Deserializer, de::Error as _};
use toml::de::{DeTable, DeValue};

use super::{
    comfort::{FileKeys, FileView},
    policies::{FileOperation, FileRoof, FileState},
    targets::{FileServer, FileTarget},
    verdict::FileVerdict,
};
use crate::{domain::mask, metrics::source::Preset};

/// Everything a file may hold.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct File {
    pub(super) database_url: Option<String>,
    pub(super) listen_url: Option<String>,
    pub(super) connections: Option<u32>,
    /// Metrics endpoints that anybody may ask.
    pub(super) metrics: Vec<String>,
    /// Lists of them, in Prometheus's format.
    pub(super) file_sd: Vec<PathBuf>,
    /// Those that want credentials or certificates.
    pub(super) target: Vec<FileTarget>,
    pub(super) prometheus: Option<FileServer>,
    pub(super) read_only: bool,
    pub(super) production: bool,
    pub(super) theme: Option<String>,
    pub(super) mouse: Option<bool>,
    /// Which keys ask for what, by action.
    pub(super) keys: BTreeMap<String, FileKeys>,
    /// Screens to find again.
    pub(super) view: BTreeMap<String, FileView>,
    pub(super) context: BTreeMap<String, Place>,
    pub(super) upstreams: FileUpstreams,
    pub(super) engine: FileEngine,
    pub(super) intake: FileIntake,
    /// How long keys are remembered, by operation.
    pub(super) retention: BTreeMap<String, Time>,
    pub(super) roof: FileRoof,
    /// How calls are made, by operation; `default` is that of all others.
    pub(super) operation: BTreeMap<String, FileOperation>,
    /// How the pipeline's states are tried.
    pub(super) state: BTreeMap<String, FileState>,
    /// How retries are judged.
    pub(super) verdict: FileVerdict,
    /// What other people's metrics mean, tried before the presets that come along.
    pub(super) preset: Vec<Preset>,
}

/// Where to look.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Place {
    pub(super) database_url: Option<String>,
    /// Where to listen for new work, and to migrate, when a pooler stands before the database.
    pub(super) listen_url: Option<String>,
    /// How many connections to it there may be at once.
    pub(super) connections: Option<u32>,
    /// Metrics endpoints that anybody may ask.
    pub(super) metrics: Vec<String>,
    /// Lists of them, in Prometheus's format.
    pub(super) file_sd: Vec<PathBuf>,
    /// Those that want credentials or certificates.
    pub(super) target: Vec<FileTarget>,
    pub(super) prometheus: Option<FileServer>,
    pub(super) read_only: bool,
    /// Mistakes are dear here: read-only until `:rw`, and nothing is done without a reason.
    pub(super) production: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct FileUpstreams {
    pub(super) github_url: Option<String>,
    pub(super) tfc_url: Option<String>,
    pub(super) notify_url: Option<String>,
    pub(super) callback_url: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct FileEngine {
    pub(super) lease: Option<Time>,
    pub(super) cool_down: Option<Time>,
    pub(super) concurrency: Option<usize>,
    pub(super) unpark_per_second: Option<f64>,
    pub(super) quarantine_after: Option<u32>,
    pub(super) cleanup_after: Option<TimeOrNever>,
    pub(super) time_factor: Option<f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct FileIntake {
    pub(super) concurrency: Option<u32>,
    pub(super) longest_wait: Option<Time>,
    pub(super) header_timeout: Option<Time>,
    pub(super) body_timeout: Option<Time>,
    pub(super) allowed_hosts: Vec<String>,
}

/// A duration as people write it: `30s`, `1h 30m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Time(pub(super) Duration);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let parsed = humantime::parse_duration(&text);
        parsed
            .map(Self)
            .map_err(|_| D::Error::custom(format!("{text:?} is not a duration such as 30s or 1h")))
    }
}

/// A duration, or `never`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TimeOrNever(pub(super) Option<Duration>);

impl<'de> Deserialize<'de> for TimeOrNever {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match (text.as_str(), humantime::parse_duration(&text)) {
            ("never", _) => Ok(Self(None)),
            (_, Ok(after)) => Ok(Self(Some(after))),
            _ => Err(D::Error::custom(format!("{text:?} is not a duration such as 24h or 0s, nor never"))),
        }
    }
}

/// The longest file that is read, in bytes.
const LONGEST: u64 = 1 << 20;

/// A file that was read.
#[derive(Debug, Default)]
pub(super) struct ConfigFile {
    path: PathBuf,
    text: String,
    pub(super) values: File,
}

impl ConfigFile {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// A file that cannot be read; a key that is not known or a value of the wrong kind, with its line.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let mut text = String::new();
        let read = fs::File::open(path).and_then(|file| file.take(LONGEST + 1).read_to_string(&mut text));
        read.with_context(|| format!("cannot read the config file {}", path.display()))?;
        if text.len() as u64 > LONGEST {
            bail!("the config file {} is longer than 1 MiB: is it one?", path.display());
        }
        let mut file = Self { path: path.to_owned(), text, values: File::default() };
        // First the names that stand for something, because what is below an unknown one is only noise.
        if let Some(table) = file.table() {
            super::policies::check_names(&table).map_err(|(keys, said)| file.wrong(&keys, &said))?;
        }
        file.values = toml::from_str(&file.text).map_err(|error| {
            let line = error.span().map(|span| file.line_at(span)).unwrap_or(1);
            file.at(line, error.message())
        })?;
        Ok(file)
    }

    /// An error about the value at `keys`: the line is that of the last of them that stands in the file.
    pub(super) fn wrong(&self, keys: &[&str], said: &str) -> anyhow::Error {
        let line = self.table().and_then(|table| find(&table, keys)).map_or(1, |span| self.line_at(span));
        self.at(line, said)
    }

    /// Where the file is: what paths in it begin from.
    pub(super) fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }

    /// What is wrong with the file itself, if others can read a secret in it.
    pub(super) fn warning(&self) -> Option<String> {
        let mode = fs::metadata(&self.path).ok()?.permissions().mode();
        let secret =
            || self.table().is_some_and(|table| table.values().any(|value| holds_secret(value.get_ref())));
        (mode & 0o077 != 0 && secret()).then(|| {
            let path = self.path.display();
            format!("the config file {path} holds a secret and others can read it: chmod 600 {path}")
        })
    }

    fn table(&self) -> Option<DeTable<'_>> {
        DeTable::parse(&self.text).ok().map(toml::Spanned::into_inner)
    }

    fn at(&self, line: usize, said: &str) -> anyhow::Error {
        anyhow!("the config file {}, line {line}: {said}", self.path.display())
    }

    fn line_at(&self, span: Range<usize>) -> usize {
        1 + self.text.get(..span.start).unwrap_or(&self.text).matches('\n').count()
    }
}

fn holds_secret(value: &DeValue<'_>) -> bool {
    match value {
        DeValue::String(text) => mask::holds_secret(text),
        DeValue::Array(items) => items.iter().any(|item| holds_secret(item.get_ref())),
        DeValue::Table(table) => table.values().any(|value| holds_secret(value.get_ref())),
        _ => false,
    }
}

/// Where the deepest of `keys` that exists stands; a number is one of several tables of the same name.
fn find(table: &DeTable<'_>, keys: &[&str]) -> Option<Range<usize>> {
    let (first, rest) = keys.split_first()?;
    let (key, value) = table.iter().find(|(key, _)| key.get_ref() == first)?;
    let deeper = match value.get_ref() {
        DeValue::Table(table) => find(table, rest),
        DeValue::Array(items) => rest.split_first().and_then(|(number, rest)| {
            let item = items.get(number.parse::<usize>().ok()?)?;
            match item.get_ref() {
                DeValue::Table(table) => find(table, rest).or_else(|| beginning(table)),
                _ => Some(item.span()),
            }
        }),
        _ => None,
    };
    Some(deeper.unwrap_or_else(|| key.span()))
}

/// Where a table's first key stands: the table itself is all of its lines.
fn beginning(table: &DeTable<'_>) -> Option<Range<usize>> {
    table.keys().map(toml::Spanned::span).min_by_key(|span| span.start)
}
