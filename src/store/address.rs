//! Where the database is: the URL read, and what of it may be shown. Opens nothing.

use std::{path::PathBuf, str::FromStr};

use sqlx::postgres::{PgConnectOptions, PgSslMode};

use crate::engine::store::StoreError;

/// A database URL, read.
#[derive(Clone)]
pub(super) enum Address {
    /// `sqlite:PATH`.
    File(PathBuf),
    /// `sqlite::memory:`: a file that goes when the store does.
    Temporary,
    /// `postgres://…`.
    Postgres(Box<Server>),
}

/// A Postgres server, or a pooler before it.
#[derive(Debug, Clone)]
pub(super) struct Server {
    pub(super) connect: PgConnectOptions,
    /// `?pooler=transaction`: somebody says that it is a pooler. One may be met without that.
    pub(super) pooler: bool,
}

impl Address {
    /// Reads `url`.
    pub(super) fn parse(url: &str) -> Result<Self, StoreError> {
        let wrong = |why: String| StoreError::Unreachable { database: shown(url), why };
        if let Some(path) = url.strip_prefix("sqlite:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            let path = path.split('?').next().unwrap_or_default();
            return match path {
                ":memory:" => Ok(Self::Temporary),
                "" => Err(wrong("sqlite: is followed by no path".to_owned())),
                path => Ok(Self::File(PathBuf::from(path))),
            };
        }
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            if url
                .split_once("://")
                .and_then(|(_, rest)| rest.split_once('/'))
                .is_some_and(|(_, path)| path.split('?').next().is_some_and(|path| path.contains('@')))
            {
                return Err(wrong("the password holds a / that must be written as %2F".to_owned()));
            }
            let (url, pooler) = without_pooler(url).map_err(wrong)?;
            let options = PgConnectOptions::from_str(&url).map_err(|error| wrong(error.to_string()))?;
            let said = url.split_once('?').is_some_and(|(_, rest)| rest.contains("sslmode="));
            let connect = match is_near(&options) {
                _ if said => options,
                true => options.ssl_mode(PgSslMode::Prefer),
                // The driver's default falls back to plain text silently.
                false => options.ssl_mode(PgSslMode::VerifyFull),
            };
            return Ok(Self::Postgres(Box::new(Server { connect, pooler })));
        }
        let hint = match url.starts_with(['/', '.']) {
            true => format!("; for the file, write sqlite:{url}"),
            false => String::new(),
        };
        Err(wrong(format!("expected sqlite:PATH, sqlite::memory: or postgres://USER@HOST/DATABASE{hint}")))
    }

    /// Whether its name says that it is for trying things out.
    pub(super) fn is_for_trying(&self) -> bool {
        let name = match self {
            Self::Temporary => return true,
            Self::File(path) => path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
            Self::Postgres(server) => server.connect.get_database().unwrap_or_default().to_owned(),
        };
        name.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| matches!(word, "test" | "demo"))
    }

    /// For headers and errors: never a password.
    pub(super) fn label(&self) -> String {
        match self {
            Self::File(path) => {
                format!(
                    "sqlite {}",
                    path.file_name().map_or_else(|| path.display().to_string(), |n| n.display().to_string())
                )
            }
            Self::Temporary => "sqlite (temporary)".to_owned(),
            Self::Postgres(server) => server.label(server.pooler),
        }
    }
}

impl Server {
    /// `host/name (postgres, user:***)`; what tells it apart first, because a header may be short.
    pub(super) fn label(&self, pooler: bool) -> String {
        let options = &self.connect;
        let host =
            options.get_socket().map_or_else(|| options.get_host().to_owned(), |s| s.display().to_string());
        let port = match options.get_port() {
            5432 => String::new(),
            port => format!(":{port}"),
        };
        let user = options.get_username();
        let through = if pooler { " through a pooler" } else { "" };
        format!("{host}{port}/{} (postgres{through}, {user}:***)", options.get_database().unwrap_or(user))
    }
}

/// The URL without `pooler=transaction`, which is ours, and whether it was there.
fn without_pooler(url: &str) -> Result<(String, bool), String> {
    let Some((address, parameters)) = url.split_once('?') else { return Ok((url.to_owned(), false)) };
    let mut pooler = false;
    let mut others = Vec::new();
    for parameter in parameters.split('&') {
        match parameter.split_once('=') {
            Some(("pooler", "transaction")) => pooler = true,
            Some(("pooler", _)) => {
                return Err("pooler is followed by something else than transaction".to_owned());
            }
            _ => others.push(parameter),
        }
    }
    let mark = if others.is_empty() { "" } else { "?" };
    Ok((format!("{address}{mark}{}", others.join("&")), pooler))
}

/// On this machine: a socket or loopback.
fn is_near(options: &PgConnectOptions) -> bool {
    let host = options.get_host();
    options.get_socket().is_some()
        || host.starts_with('/')
        || host == "localhost"
        || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// A URL that could not be read, with whatever may be a password taken out.
pub(super) fn shown(url: &str) -> String {
    match (url.find("://"), url.rfind('@')) {
        (Some(scheme), Some(at)) if at > scheme => {
            format!("{}***{}", &url[..scheme + 3], url[at..].split('?').next().unwrap_or_default())
        }
        // Without an `@` what follows a colon may be a password whose host was forgotten.
        (Some(scheme), _) => {
            let rest = &url[scheme + 3..];
            let host = rest.split([':', '?', '#']).next().unwrap_or_default();
            format!("{}{host}", &url[..scheme + 3])
        }
        // Of another kind of text, `host=… password=…` say, nothing is known to be no password.
        _ => format!("({} characters)", url.chars().count()),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn postgres(url: &str) -> PgConnectOptions {
        match Address::parse(url).unwrap() {
            Address::Postgres(server) => server.connect,
            _ => panic!("{url} is Postgres"),
        }
    }

    #[test]
    fn what_is_for_trying_says_so_in_its_name() {
        let is = |url: &str| Address::parse(url).expect(url).is_for_trying();
        for url in
            ["sqlite:/x/demo.db", "sqlite::memory:", "postgres://u@h/test_1", "postgres://u@h/payments-demo"]
        {
            assert!(is(url), "{url}");
        }
        for url in [
            "sqlite:/test/payments.db",
            "postgres://test@h/payments",
            "postgres://u@test/latest",
            "postgres://u@h",
        ] {
            assert!(!is(url), "{url}");
        }
    }

    #[test]
    fn far_away_the_certificate_is_verified_unless_told_otherwise() {
        let mode = |url| format!("{:?}", postgres(url).get_ssl_mode());
        assert_eq!(mode("postgres://u:p@db.example.org/x"), "VerifyFull");
        assert_eq!(mode("postgres://u:p@db.example.org/x?sslmode=disable"), "Disable");
        assert_eq!(mode("postgres://u:p@127.0.0.1/x"), "Prefer");
    }

    #[test]
    fn a_password_is_never_shown() {
        let secret = "hunter2";
        let label = Address::parse(&format!("postgres://u:{secret}@127.0.0.1:6000/x")).unwrap().label();
        assert_eq!(label, "127.0.0.1:6000/x (postgres, u:***)");
        for bad in [
            format!("mysql://u:{secret}@h/x"),
            format!("postgres://u:{secret}@h:port/x?password={secret}"),
            format!("host=h user=u password={secret}"),
            format!("postgres:u:{secret}@h/x"),
            format!("postgres://u:a/{secret}@h/x"),
        ] {
            let Err(error) = Address::parse(&bad) else { panic!("{bad} is refused") };
            assert!(!error.to_string().contains(secret), "{error}");
        }
    }

    #[test]
    fn paths_and_memory_are_told_apart() {
        assert!(matches!(Address::parse("sqlite::memory:"), Ok(Address::Temporary)));
        assert!(
            matches!(Address::parse("sqlite:///var/x.db"), Ok(Address::File(p)) if p == Path::new("/var/x.db"))
        );
        assert!(
            matches!(Address::parse("sqlite:x.db?mode=rwc"), Ok(Address::File(p)) if p == Path::new("x.db"))
        );
    }
}
