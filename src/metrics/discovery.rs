//! Where targets come from: named one by one, the addresses of a host name, or a list in a file. Nothing is scraped here.

use std::{collections::BTreeMap, fmt, io, net::SocketAddr, path::PathBuf, sync::Arc};

use futures_util::future::BoxFuture;
use serde::Deserialize;

use super::{
    admission::Admission,
    scrape::{ScrapeResult, TIMEOUT},
    target::{self, BadTarget, Target},
};

/// Where targets come from.
#[derive(Debug, Clone)]
pub enum Origin {
    /// One that is always there.
    One(Target),
    /// Every address that a host name has, looked up again and again: `dns+http://host:port/metrics`.
    Dns(Target),
    /// A list in Prometheus's `file_sd` format, JSON or YAML by its name, read again and again.
    File(PathBuf, Admission),
}

/// No more targets than these are taken from one origin.
pub const MAX_TARGETS: usize = 1_000;

/// No list may be larger than this, in bytes.
const MAX_FILE: usize = 4 * 1_024 * 1_024;

/// What an origin names at the moment.
#[derive(Debug, Clone, Default)]
pub struct Discovered {
    /// Everything to be scraped.
    pub targets: Vec<Target>,
    /// What is wrong with the rest, in words.
    pub fault: Option<String>,
}

type Found = io::Result<Vec<SocketAddr>>;

/// Who knows the addresses of a host.
#[derive(Clone)]
pub struct Resolver(Arc<dyn Fn(String, u16) -> BoxFuture<'static, Found> + Send + Sync>);

impl Resolver {
    /// The system's.
    pub fn system() -> Self {
        Self::new(|host, port| {
            Box::pin(async move { Ok(tokio::net::lookup_host((host.as_str(), port)).await?.collect()) })
        })
    }

    /// One that answers a host and a port as told.
    pub fn new(answer: impl Fn(String, u16) -> BoxFuture<'static, Found> + Send + Sync + 'static) -> Self {
        Self(Arc::new(answer))
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolver")
    }
}

impl Origin {
    /// Reads `[NAME=]http://host:port/path`, or the same with `dns+` in front of the URL.
    ///
    /// # Errors
    /// When it is no http or https URL.
    pub fn parse(text: &str) -> Result<Self, BadTarget> {
        let (name, url) = target::split_name(text);
        match url.trim().strip_prefix("dns+") {
            None => Target::parse(text).map(Self::One),
            Some(url) => {
                let target = Target::parse(url)?;
                Ok(Self::Dns(match name {
                    Some(name) => target.named(name),
                    None => target,
                }))
            }
        }
    }

    /// The same, asked with this admission.
    #[must_use]
    pub fn with(self, admission: Admission) -> Self {
        match self {
            Self::One(target) => Self::One(target.with(admission)),
            Self::Dns(target) => Self::Dns(target.with(admission)),
            Self::File(path, _) => Self::File(path, admission),
        }
    }

    /// What it goes by where something is wrong with it: a name and an address, without credentials.
    pub fn shown(&self) -> (String, String) {
        match self {
            Self::One(target) => (target.name().to_owned(), target.shown()),
            Self::Dns(target) => (target.name().to_owned(), format!("dns+{}", target.shown())),
            Self::File(path, _) => {
                let name = path.file_name().unwrap_or(path.as_os_str());
                (name.to_string_lossy().into_owned(), path.display().to_string())
            }
        }
    }

    /// Looks what it names now.
    ///
    /// # Errors
    /// Why nothing can be known, in words; what it named before may still be right.
    pub async fn look(&self, resolver: &Resolver) -> Result<Discovered, String> {
        match self {
            Self::One(target) => Ok(Discovered { targets: vec![target.clone()], fault: None }),
            Self::Dns(target) => {
                let url = target.url();
                let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
                let asking = (resolver.0)(host, url.port_or_known_default().unwrap_or(80));
                match tokio::time::timeout(TIMEOUT, asking).await {
                    Err(_) => Err("its host name was not resolved in time".to_owned()),
                    Ok(Err(error)) => Err(format!("its host name cannot be resolved ({error})")),
                    Ok(Ok(addresses)) => addresses_of(target, addresses),
                }
            }
            Self::File(path, admission) => {
                let path = path.clone();
                // A file may stand on a disk that hangs.
                let read = tokio::task::spawn_blocking(move || listed(&path));
                match read.await {
                    Ok(groups) => Ok(targets_of(groups?, admission)),
                    Err(_) => Err("it could not be read: tell us, this is a bug".to_owned()),
                }
            }
        }
    }
}

fn addresses_of(target: &Target, mut addresses: Vec<SocketAddr>) -> Result<Discovered, String> {
    addresses.sort_unstable();
    addresses.dedup();
    let mut found = Discovered::default();
    found.leave_out(addresses.len());
    for address in addresses.into_iter().take(MAX_TARGETS) {
        let host = match address {
            SocketAddr::V4(v4) => v4.ip().to_string(),
            SocketAddr::V6(v6) => format!("[{}]", v6.ip()),
        };
        let own = target::host_and_port(target.url());
        let name = match target.name() {
            unnamed if unnamed == own => address.to_string(),
            name => format!("{name}/{address}"),
        };
        let at = target.at(name, &host).ok_or("one of its addresses cannot be asked")?;
        found.targets.push(match target.url().scheme() {
            // The certificate is one for the name, so it is the name that is asked, at this address.
            "https" => {
                let name = target.url().host_str().unwrap_or_default();
                let admission =
                    target.admission().pinned(name, address).map_err(|error| error.to_string())?;
                at.through(target.url(), admission)
            }
            _ => at,
        });
    }
    Ok(found)
}

/// Some targets with the same labels.
#[derive(Debug, Deserialize)]
struct Group {
    #[serde(default)]
    targets: Vec<String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

fn listed(path: &std::path::Path) -> Result<Vec<Group>, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("the list cannot be read ({error})"))?;
    if text.len() > MAX_FILE {
        return Err(format!("the list is larger than {} MiB", MAX_FILE / 1_024 / 1_024));
    }
    let wrong = |error: &dyn fmt::Display| format!("the list is not one of targets and labels ({error})");
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("json") => serde_json::from_str(&text).map_err(|error| wrong(&error)),
        Some("yml" | "yaml") => serde_norway::from_str(&text).map_err(|error| wrong(&error)),
        _ => Err("the list's name ends neither in .json nor in .yml or .yaml: rename it".to_owned()),
    }
}

fn targets_of(groups: Vec<Group>, admission: &Admission) -> Discovered {
    let mut found = Discovered::default();
    found.leave_out(groups.iter().map(|group| group.targets.len()).sum());
    for group in &groups {
        for address in &group.targets {
            if found.targets.len() == MAX_TARGETS {
                return found;
            }
            match group.target(address) {
                Ok(target) => found.targets.push(target.with(admission.clone())),
                Err(error) => {
                    found.fault.get_or_insert_with(|| format!("one target of the list is left out: {error}"));
                }
            }
        }
    }
    found
}

impl Group {
    fn target(&self, address: &str) -> Result<Target, BadTarget> {
        let label = |name: &str| self.labels.get(name).map(String::as_str);
        let scheme = label("__scheme__").unwrap_or("http");
        let path = label("__metrics_path__").unwrap_or("/metrics");
        if address.contains(['/', '@', '?']) {
            let reason = "a list names hosts and ports, not URLs".to_owned();
            return Err(BadTarget::Unreadable { reason });
        }
        let slash = if path.starts_with('/') { "" } else { "/" };
        let mut target = Target::parse(&format!("{scheme}://{address}{slash}{path}"))?;
        for (name, value) in &self.labels {
            if let Some(parameter) = name.strip_prefix("__param_") {
                target = target.asking(parameter, value);
            }
        }
        Ok(match self.name_of(address) {
            Some(name) => target.named(&name),
            None => target,
        })
    }

    /// Its labels name it, the job first; and its address, where the same labels are another's as well.
    fn name_of(&self, address: &str) -> Option<String> {
        let plain = self.labels.iter().filter(|(name, _)| !name.starts_with("__"));
        let mut words: Vec<(&str, &str)> = plain
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .filter(|(_, v)| !v.is_empty())
            .collect();
        words.sort_by_key(|(name, _)| match *name {
            "job" => 0,
            "instance" => 2,
            _ => 1,
        });
        let mut words: Vec<&str> = words.into_iter().map(|(_, value)| value).collect();
        if words.is_empty() {
            return None;
        }
        if self.targets.len() > 1 {
            words.push(address);
        }
        Some(words.join("/"))
    }
}

impl Discovered {
    fn leave_out(&mut self, all: usize) {
        if all > MAX_TARGETS {
            self.fault = Some(format!("it names {all} targets: only the first {MAX_TARGETS} are scraped"));
        }
    }
}

/// Everything that `origins` name at the moment, and with which of them something is wrong.
pub async fn all(origins: &[Origin], resolver: &Resolver) -> (Vec<Target>, Vec<ScrapeResult>) {
    let (mut targets, mut faults) = (Vec::new(), Vec::new());
    let looked = futures_util::future::join_all(origins.iter().map(|origin| origin.look(resolver))).await;
    for (origin, found) in origins.iter().zip(looked) {
        let (name, address) = origin.shown();
        match found {
            Ok(found) => {
                targets.extend(found.targets);
                faults.extend(found.fault.map(|fault| ScrapeResult::fault(name, address, fault)));
            }
            Err(fault) => faults.push(ScrapeResult::fault(name, address, fault)),
        }
    }
    (targets, faults)
}
