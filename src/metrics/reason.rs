//! Why asking over HTTP gave nothing, in words: what is wrong and what to do, without a URL, since that may hold a secret.

use reqwest::StatusCode;

use super::scrape::ScrapeFault;

/// A status that is no success; `known` tells whether credentials were sent.
pub(super) fn refused(status: StatusCode, known: bool) -> ScrapeFault {
    ScrapeFault(match status.as_u16() {
        401 if known => "401: it does not accept these credentials: check them".to_owned(),
        401 => {
            "401: it wants credentials: name their variables in the config file, token_env or username and password_env"
                .to_owned()
        }
        403 if known => "403: these credentials do not suffice: let somebody grant them reading".to_owned(),
        403 => "403: it lets nobody in without credentials: name their variables in the config file".to_owned(),
        404 => "404: nothing is served under this path: check the URL".to_owned(),
        429 => "429: it is asked too often: raise the interval".to_owned(),
        code @ 300..=399 => format!("{code}: it redirects elsewhere, which is not followed: give that URL"),
        code @ 500..=599 => format!("{code}: it failed inside: see its log"),
        code => format!("{code}: it refused to answer"),
    })
}

/// An answer that ended too soon.
pub(super) fn broken(error: &reqwest::Error) -> ScrapeFault {
    let (_, cause) = causes(error);
    ScrapeFault(format!("its answer broke off or is damaged ({cause})"))
}

/// A request that got no answer.
pub(super) fn unsent(error: &reqwest::Error) -> ScrapeFault {
    let (refused, deepest) = causes(error);
    ScrapeFault(match deepest.to_ascii_lowercase() {
        _ if refused => {
            "connection refused: nothing listens there: is the process up and the port right?".to_owned()
        }
        _ if error.is_timeout() => "it did not answer in time".to_owned(),
        _ if error.is_redirect() => {
            "it redirects elsewhere, which is not followed: give that URL".to_owned()
        }
        lower if lower.contains("unknownissuer") => {
            "its TLS certificate comes from nobody who is trusted here: give its CA as ca_file in the config file"
                .to_owned()
        }
        lower if lower.contains("certificate") => format!("its TLS certificate is not accepted ({deepest})"),
        lower if lower.contains("invalidcontenttype") => {
            "it does not speak TLS: write its URL with http://".to_owned()
        }
        lower if lower.contains("dns") || lower.contains("lookup") || lower.contains("resolve") => {
            format!("its host name cannot be resolved ({deepest})")
        }
        _ if error.is_connect() => format!("no connection ({deepest})"),
        _ => format!("the request failed ({deepest})"),
    })
}

/// Whether a connection was refused, and the deepest cause: the outer ones repeat the URL.
fn causes(error: &reqwest::Error) -> (bool, String) {
    let (mut refused, mut deepest) = (false, String::new());
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        let io = inner.downcast_ref::<std::io::Error>();
        refused |= io.is_some_and(|io| io.kind() == std::io::ErrorKind::ConnectionRefused);
        deepest = inner.to_string();
        cause = inner.source();
    }
    (refused, deepest)
}
