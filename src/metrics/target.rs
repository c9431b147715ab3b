//! A metrics endpoint: where it is, what it goes by and how one is let in. Nothing is asked here.

use std::fmt;

use reqwest::Url;

use super::admission::Admission;

/// A metrics endpoint.
#[derive(Clone)]
pub struct Target {
    name: String,
    url: Url,
    /// Where that is another URL: `url` holds an address and this one the name its certificate is for.
    asked: Option<Url>,
    admission: Admission,
}

/// Why a target cannot be asked at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadTarget {
    /// Not a URL.
    #[error("a metrics URL cannot be read ({reason}): write it as http://host:port/metrics")]
    Unreadable {
        /// What is wrong with it; the URL itself may hold a password and is not repeated.
        reason: String,
    },
    /// Some other protocol.
    #[error(
        "a metrics URL begins with {scheme}: only http and https are spoken: write it as http://host:port/metrics"
    )]
    Scheme {
        /// What it begins with.
        scheme: String,
    },
}

impl Target {
    /// Reads `http://host:port/path` or `name=http://host:port/path`. Without a name it goes by host and port; without
    /// a path it is `/metrics`.
    ///
    /// # Errors
    /// When it is no http or https URL.
    pub fn parse(text: &str) -> Result<Self, BadTarget> {
        let (name, url) = split_name(text);
        let mut url = checked(url)?;
        if matches!(url.path(), "" | "/") {
            url.set_path("/metrics");
        }
        let name = name.map_or_else(|| host_and_port(&url), str::to_owned);
        Ok(Self { name, url, asked: None, admission: Admission::default() })
    }

    /// The same target under another name.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// The same target, asked with this admission; its credentials stand over those of the URL.
    #[must_use]
    pub fn with(mut self, admission: Admission) -> Self {
        without_userinfo(&mut self.url, &admission);
        self.admission = admission;
        self
    }

    /// `worker-a`, or host and port.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its URL without credentials.
    pub fn shown(&self) -> String {
        shown(&self.url)
    }

    /// Host and port, in the form `instance` labels have; loopback by any name is `127.0.0.1`.
    pub fn address(&self) -> String {
        address(&host_and_port(&self.url))
    }

    pub(super) fn url(&self) -> &Url {
        self.asked.as_ref().unwrap_or(&self.url)
    }

    pub(super) fn admission(&self) -> &Admission {
        &self.admission
    }

    /// Whether credentials are sent, wherever they come from.
    pub(super) fn has_credentials(&self) -> bool {
        self.admission.has_credentials() || !self.url.username().is_empty() || self.url.password().is_some()
    }

    /// The same at one address of its host; the name says which.
    pub(super) fn at(&self, name: String, host: &str) -> Option<Self> {
        let mut url = self.url.clone();
        url.set_host(Some(host)).ok()?;
        Some(Self { name, url, asked: None, admission: self.admission.clone() })
    }

    /// The same, asked by another URL and admission: by the name of its host, where `admission` knows the address.
    pub(super) fn through(self, url: &Url, admission: Admission) -> Self {
        Self { asked: Some(url.clone()), admission, ..self }
    }

    /// With a parameter in its query.
    pub(super) fn asking(mut self, name: &str, value: &str) -> Self {
        self.url.query_pairs_mut().append_pair(name, value);
        self
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target").field("name", &self.name).field("url", &self.shown()).finish()
    }
}

/// `name=http://…`: a name, if there is one, and the rest.
pub(super) fn split_name(text: &str) -> (Option<&str>, &str) {
    match text.split_once('=') {
        Some((name, url)) if !name.contains([':', '/', '?']) => {
            (Some(name.trim()).filter(|name| !name.is_empty()), url)
        }
        _ => (None, text),
    }
}

/// Takes the credentials out of `url` where `admission` has others: two would be sent.
pub(super) fn without_userinfo(url: &mut Url, admission: &Admission) {
    if admission.has_credentials() {
        let _ = url.set_username("");
        let _ = url.set_password(None);
    }
}

/// An http or https URL; `host:port`, which reads as a scheme of that name, means http.
pub(super) fn checked(text: &str) -> Result<Url, BadTarget> {
    let text = text.trim();
    let authority = text.split(['/', '?']).next().unwrap_or_default();
    let port = authority.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
    let scheme = if port.is_some() { "http://" } else { "" };
    let url = Url::parse(&format!("{scheme}{text}"))
        .map_err(|error| BadTarget::Unreadable { reason: error.to_string() })?;
    match url.scheme() {
        "http" | "https" if url.has_host() => Ok(url),
        scheme => Err(BadTarget::Scheme { scheme: scheme.to_owned() }),
    }
}

/// `url` without credentials: a query may hold a token, so it goes as well.
pub(super) fn shown(url: &Url) -> String {
    let query = if url.query().is_some() { "?…" } else { "" };
    format!("{}://{}{}{query}", url.scheme(), authority(url), url.path())
}

fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

pub(super) fn host_and_port(url: &Url) -> String {
    format!("{}:{}", url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or(80))
}

/// One form for an address however it is written.
pub(super) fn address(host_and_port: &str) -> String {
    let lower = host_and_port.to_ascii_lowercase();
    for loopback in ["localhost", "[::1]"] {
        if let Some(port) = lower.strip_prefix(loopback).filter(|rest| rest.starts_with(':')) {
            return format!("127.0.0.1{port}");
        }
    }
    lower
}
