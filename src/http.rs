//! The one HTTP client builder: TLS by rustls and ring, the system's roots where there are any and Mozilla's where
//! there are none, so that it works in a container without a CA store.
//!
//! Knows nothing of whom it will be used to call.

use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::Duration,
};

pub use reqwest::Client;
use reqwest::{NoProxy, Proxy, redirect};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};

/// What every request of ours says it comes from.
pub const USER_AGENT: &str = concat!("redrive/", env!("CARGO_PKG_VERSION"));

/// Redirects followed before giving up.
const MAX_REDIRECTS: usize = 5;

/// Why no client could be made.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The CA file cannot be read.
    #[error("cannot read the CA file {path}: {source}; give the path of a PEM file with certificates")]
    CaFile {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// The CA file holds no certificate.
    #[error(
        "the CA file {path} holds no usable certificate ({why}); give the path of a PEM file with certificates"
    )]
    NoCertificate {
        /// The file.
        path: PathBuf,
        /// What was wrong with its content.
        why: String,
    },
    /// The TLS settings do not fit together.
    #[error("cannot set up TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// The client refused its settings.
    #[error("cannot set up the HTTP client: {0}")]
    Client(#[from] reqwest::Error),
}

/// A client whose whole calls, connection and body included, take at most `timeout`.
///
/// # Errors
/// When TLS cannot be set up.
pub fn client(timeout: Duration) -> Result<reqwest::Client, HttpError> {
    client_trusting(timeout, None)
}

/// As [`client`], trusting the certificates in the PEM file `ca_file` as well.
///
/// # Errors
/// When the file cannot be used or TLS cannot be set up.
pub fn client_trusting(timeout: Duration, ca_file: Option<&Path>) -> Result<reqwest::Client, HttpError> {
    Ok(builder(timeout, ca_file)?.build()?)
}

/// As [`client_trusting`], where `host` is at `address` whatever anybody else says; its certificate is still one for `host`.
///
/// # Errors
/// When the file cannot be used or TLS cannot be set up.
pub fn client_pinned(
    timeout: Duration,
    ca_file: Option<&Path>,
    host: &str,
    address: SocketAddr,
) -> Result<reqwest::Client, HttpError> {
    Ok(builder(timeout, ca_file)?.resolve(host, address).build()?)
}

fn builder(timeout: Duration, ca_file: Option<&Path>) -> Result<reqwest::ClientBuilder, HttpError> {
    // reqwest's own set-up fails where there is no CA store, even for plain http: it is handed a finished one.
    let tls = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots(ca_file)?)
        .with_no_client_auth();
    let mut builder = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .user_agent(USER_AGENT)
        .timeout(timeout)
        .connect_timeout(timeout)
        .redirect(redirect::Policy::custom(follow))
        .no_proxy();
    for proxy in proxies()? {
        builder = builder.proxy(proxy);
    }
    Ok(builder)
}

/// The system's certificates, or the built-in ones where it has none; read once, because it takes tens of milliseconds.
fn system_roots() -> &'static RootCertStore {
    static ROOTS: OnceLock<RootCertStore> = OnceLock::new();
    ROOTS.get_or_init(|| {
        let mut roots = RootCertStore::empty();
        // A store with a few broken certificates is common: what can be read is used.
        let (added, _) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if added == 0 {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        roots
    })
}

fn roots(ca_file: Option<&Path>) -> Result<RootCertStore, HttpError> {
    let mut roots = system_roots().clone();
    if let Some(path) = ca_file {
        let path = path.to_owned();
        let pem = match fs::read(&path) {
            Ok(pem) => pem,
            Err(source) => return Err(HttpError::CaFile { path, source }),
        };
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
        match certificates {
            Err(error) => return Err(HttpError::NoCertificate { path, why: error.to_string() }),
            Ok(found) => {
                if roots.add_parsable_certificates(found).0 == 0 {
                    return Err(HttpError::NoCertificate { path, why: "none was found in it".to_owned() });
                }
            }
        }
    }
    Ok(roots)
}

/// Redirects stay on their host and never fall back to plain http: a token must not follow one elsewhere.
/// One that is not followed is handed back as the answer it is.
fn follow(attempt: redirect::Attempt<'_>) -> redirect::Action {
    let stays = attempt.previous().last().is_some_and(|from| {
        let to = attempt.url();
        let downgraded = from.scheme() == "https" && to.scheme() != "https";
        from.host_str() == to.host_str() && !downgraded
    });
    match stays && attempt.previous().len() <= MAX_REDIRECTS {
        true => attempt.follow(),
        false => attempt.stop(),
    }
}

/// The proxies of the environment, never for loopback: the demo's stand-ins and local targets are right here.
fn proxies() -> Result<Vec<Proxy>, HttpError> {
    let variable = |name: &str| {
        [name.to_owned(), name.to_lowercase()]
            .iter()
            .find_map(|n| std::env::var(n).ok())
            .filter(|v| !v.is_empty())
    };
    let except = format!("localhost,127.0.0.0/8,::1,{}", variable("NO_PROXY").unwrap_or_default());
    let mut proxies = Vec::new();
    if let Some(url) = variable("HTTPS_PROXY") {
        proxies.push(Proxy::https(url)?);
    }
    if let Some(url) = variable("HTTP_PROXY") {
        proxies.push(Proxy::http(url)?);
    }
    if let Some(url) = variable("ALL_PROXY") {
        proxies.push(Proxy::all(url)?);
    }
    Ok(proxies.into_iter().map(|proxy| proxy.no_proxy(NoProxy::from_string(&except))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_can_be_made_on_this_machine_whatever_its_ca_store() {
        client(Duration::from_secs(1)).expect("no CA store is needed");
    }

    #[test]
    fn a_ca_file_without_a_certificate_is_refused_by_name() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        let error = client_trusting(Duration::from_secs(1), Some(file.path())).expect_err("it is empty");
        assert!(error.to_string().contains(&file.path().display().to_string()), "{error}");
        let missing = client_trusting(Duration::from_secs(1), Some(Path::new("/no/such/file.pem")));
        assert!(matches!(missing, Err(HttpError::CaFile { .. })));
    }
}
