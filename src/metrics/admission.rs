//! How one is let in at a metrics endpoint or a Prometheus server: credentials, a tenant, certificates. All of it is sent
//! to the host it was given for and to nobody else, and none of it is ever shown.

use std::{
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use reqwest::{Client, RequestBuilder, header::HeaderValue};

use super::scrape::TIMEOUT;
use crate::http::{self, HttpError};

/// What stands behind `X-Scope-OrgID`, the tenant of Mimir, Cortex and Loki.
const TENANT: &str = "X-Scope-OrgID";

/// Credentials of HTTP.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// `Authorization: Bearer …`
    Bearer(String),
    /// A name and a password.
    Basic {
        /// Without a colon.
        username: String,
        /// May be empty.
        password: String,
    },
}

/// Neither word nor length of a secret is told.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bearer(_) => "Bearer(***)",
            Self::Basic { .. } => "Basic(***)",
        })
    }
}

/// Why something cannot be sent in a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unsendable {
    /// Line breaks, control characters and what is not ASCII.
    #[error("it holds what no header may, such as a line break: give it without")]
    Characters,
    /// What stands before the first colon is taken for the whole name.
    #[error("a user's name with a colon cannot be sent: give one without")]
    Colon,
}

/// How one is let in; by default like anybody.
#[derive(Clone, Default)]
pub struct Admission {
    credentials: Option<Credentials>,
    tenant: Option<HeaderValue>,
    ca_file: Option<PathBuf>,
    /// One that trusts `ca_file`.
    client: Option<Client>,
}

impl fmt::Debug for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admission")
            .field("credentials", &self.credentials)
            .field("ca_file", &self.ca_file)
            .finish_non_exhaustive()
    }
}

impl Admission {
    /// With these credentials.
    ///
    /// # Errors
    /// When they cannot be sent.
    pub fn with(mut self, credentials: Credentials) -> Result<Self, Unsendable> {
        match &credentials {
            Credentials::Bearer(token) if HeaderValue::from_str(token).is_err() => {
                return Err(Unsendable::Characters);
            }
            Credentials::Basic { username, .. } if username.contains(':') => return Err(Unsendable::Colon),
            _ => {}
        }
        self.credentials = Some(credentials);
        Ok(self)
    }

    /// On behalf of this tenant.
    ///
    /// # Errors
    /// When it cannot be sent.
    pub fn tenant(mut self, tenant: &str) -> Result<Self, Unsendable> {
        self.tenant = Some(HeaderValue::from_str(tenant).map_err(|_| Unsendable::Characters)?);
        Ok(self)
    }

    /// Trusting the certificates in the PEM file `ca_file` as well.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub fn trusting(mut self, ca_file: &Path) -> Result<Self, HttpError> {
        self.client = Some(http::client_trusting(TIMEOUT, Some(ca_file))?);
        self.ca_file = Some(ca_file.to_owned());
        Ok(self)
    }

    /// The same, where `host` is at `address` whatever anybody else says.
    ///
    /// # Errors
    /// When the file of certificates cannot be used any more.
    pub(super) fn pinned(&self, host: &str, address: SocketAddr) -> Result<Self, HttpError> {
        let client = http::client_pinned(TIMEOUT, self.ca_file.as_deref(), host, address)?;
        Ok(Self { client: Some(client), ..self.clone() })
    }

    pub(super) fn has_credentials(&self) -> bool {
        self.credentials.is_some()
    }

    /// The client to ask with: its own, if it trusts somebody else than `usual` does.
    pub(super) fn client<'a>(&'a self, usual: &'a Client) -> &'a Client {
        self.client.as_ref().unwrap_or(usual)
    }

    pub(super) fn sign(&self, request: RequestBuilder) -> RequestBuilder {
        let request = match &self.credentials {
            None => request,
            Some(Credentials::Bearer(token)) => request.bearer_auth(token),
            Some(Credentials::Basic { username, password }) => request.basic_auth(username, Some(password)),
        };
        match &self.tenant {
            None => request,
            Some(tenant) => request.header(TENANT, tenant.clone()),
        }
    }
}
