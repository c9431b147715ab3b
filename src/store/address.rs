//! Where the database is: the URL read, and what of it may be shown. Opens nothing.

use std::{os::unix::ffi::OsStringExt as _, path::PathBuf, str::FromStr};

use sqlx::postgres::{PgConnectOptions, PgSslMode};

use crate::engine::store::StoreError;

/// A database URL, read.
#[derive(Clone)]
pub(super) enum Address {
    /// `sqlite:PATH`.
    File {
        /// Decoded.
        path: PathBuf,
        /// `?mode=ro`: nothing is written.
        read_only: bool,
    },
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
            let (path, parameters) = path.split_once('?').unwrap_or((path, ""));
            let read_only = is_read_only(parameters).map_err(wrong)?;
            return match path.strip_prefix("//").unwrap_or(path) {
                ":memory:" => Ok(Self::Temporary),
                "" => Err(wrong("sqlite: is followed by no path".to_owned())),
                path => Ok(Self::File { path: decoded(path), read_only }),
            };
        }
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            if is_cut_in_the_password(url) {
                let why = "the password holds a /, ? or #: write %2F, %3F or %23 instead";
                return Err(wrong(why.to_owned()));
            }
            let (url, pooler) = without_pooler(url).map_err(wrong)?;
            let options = PgConnectOptions::from_str(&url).map_err(|error| wrong(error.to_string()))?;
            // The driver keeps the brackets that only the URL needs.
            let bare = options.get_host().strip_prefix('[').and_then(|host| host.strip_suffix(']'));
            let options = match bare.map(str::to_owned) {
                Some(bare) => options.host(&bare),
                None => options,
            };
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
            Self::File { path, .. } => path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
            Self::Postgres(server) => server.connect.get_database().unwrap_or_default().to_owned(),
        };
        name.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| matches!(word, "test" | "demo"))
    }

    /// For headers and errors: never a password.
    pub(super) fn label(&self) -> String {
        match self {
            Self::File { path, .. } => {
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

/// What the driver reads of a Postgres URL; it ignores all else in silence.
const PARAMETERS: [&str; 19] = [
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "statement-cache-capacity",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
    "pooler",
];

/// The URL without `pooler=transaction`, which is ours, and whether it was there. A parameter that nobody reads is
/// refused: a mistyped `sslmode` would be believed.
fn without_pooler(url: &str) -> Result<(String, bool), String> {
    let Some((address, parameters)) = url.split_once('?') else { return Ok((url.to_owned(), false)) };
    let mut pooler = false;
    let mut others = Vec::new();
    for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        match (name, value) {
            ("pooler", "transaction") => pooler = true,
            ("pooler", _) => return Err("pooler is followed by something else than transaction".to_owned()),
            _ if PARAMETERS.contains(&name) || name.starts_with("options[") => others.push(parameter),
            _ => return Err(unknown(name, &PARAMETERS)),
        }
    }
    let mark = if others.is_empty() { "" } else { "?" };
    Ok((format!("{address}{mark}{}", others.join("&")), pooler))
}

/// Whether the parameters of a SQLite URL say that nothing is written.
fn is_read_only(parameters: &str) -> Result<bool, String> {
    let mut read_only = false;
    for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
        match parameter.split_once('=') {
            Some(("mode", "ro")) => read_only = true,
            Some(("mode", "rw" | "rwc")) => {}
            Some(("mode", _)) => {
                return Err("mode is followed by something else than ro, rw or rwc".to_owned());
            }
            Some((name, _)) => return Err(unknown(name, &["mode"])),
            None => return Err("a ? in a path is written as %3F".to_owned()),
        }
    }
    Ok(read_only)
}

fn unknown(name: &str, known: &[&str]) -> String {
    format!("the parameter {name} is unknown: known are {}", known.join(", "))
}

/// Whether a password that was not encoded ends the part of the URL it stands in, so that its rest would be read, and
/// shown, as something else.
fn is_cut_in_the_password(url: &str) -> bool {
    let Some((_, rest)) = url.split_once("://") else { return false };
    let Some(cut) = rest.find(['/', '?', '#']) else { return false };
    let after = &rest[cut..];
    if rest[..cut].contains('@') {
        // What may follow the host holds no @ but in the value of a parameter, and never a #.
        return after.contains('#');
    }
    let before_at = after.split_once('@').map(|(before, _)| before);
    before_at.is_some_and(|before| !before.contains('=') || before.contains('#'))
}

/// A path without its `%` escapes; a `%` that begins none stands for itself.
fn decoded(path: &str) -> PathBuf {
    let (mut bytes, mut rest) = (Vec::with_capacity(path.len()), path.as_bytes());
    while let Some((first, after)) = rest.split_first() {
        let escaped = std::str::from_utf8(after.get(..2).unwrap_or_default()).ok();
        let escaped = escaped.filter(|_| *first == b'%').and_then(|hex| u8::from_str_radix(hex, 16).ok());
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &after[2..] } else { after };
    }
    PathBuf::from(std::ffi::OsString::from_vec(bytes))
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

    fn file(url: &str) -> (String, bool) {
        match Address::parse(url).unwrap() {
            Address::File { path, read_only } => (path.display().to_string(), read_only),
            _ => panic!("{url} is a file"),
        }
    }

    fn refusal(url: &str) -> String {
        let Err(error) = Address::parse(url) else { panic!("{url} is refused") };
        error.to_string()
    }

    #[test]
    fn paths_and_memory_are_told_apart() {
        assert!(matches!(Address::parse("sqlite::memory:"), Ok(Address::Temporary)));
        for (url, path, read_only) in [
            ("sqlite:///var/x.db", "/var/x.db", false),
            ("sqlite:x.db?mode=rwc", "x.db", false),
            ("sqlite:x.db?mode=ro", "x.db", true),
            ("sqlite:my files/x y.db", "my files/x y.db", false),
            ("sqlite:what%3F.db", "what?.db", false),
            ("sqlite:100%.db", "100%.db", false),
            ("sqlite:100%25.db?mode=ro", "100%.db", true),
        ] {
            assert_eq!(file(url), (path.to_owned(), read_only), "{url}");
        }
    }

    #[test]
    fn parameters_nobody_reads_are_refused_by_name() {
        assert!(refusal("postgres://u@h/x?sslmod=disable").contains("the parameter sslmod is unknown"));
        assert!(refusal("sqlite:x.db?cache=shared").contains("the parameter cache is unknown"));
        assert!(refusal("sqlite:what?.db").contains("a ? in a path is written as %3F"));
        assert!(refusal("sqlite:x.db?mode=r").contains("ro, rw or rwc"));
        assert!(refusal("postgres://u@h/x?pooler=session").contains("pooler"));
        assert!(Address::parse("postgres://u@h/x?sslmode=disable&pooler=transaction").is_ok());
    }

    #[test]
    fn a_literal_address_of_the_sixth_version_is_one() {
        let server = postgres("postgres://u@[::1]:6000/x");
        assert_eq!((server.get_host(), server.get_port()), ("::1", 6000));
        assert!(postgres("postgres://u@[2001:db8::1]/x").get_host().starts_with("2001"));
    }

    #[test]
    fn no_part_of_a_password_that_was_not_encoded_is_shown() {
        for cut in ["/", "?", "#", "@", "12/", "12?", "12#", "1@2#"] {
            for url in [format!("postgres://u:{cut}hunter2@h/x"), format!("postgres://u:hunter2{cut}@h/x")] {
                let said = match Address::parse(&url) {
                    Ok(address) => address.label(),
                    Err(error) => error.to_string(),
                };
                assert!(!said.contains("hunter2") && !said.contains("12"), "{url}: {said}");
            }
        }
        assert!(
            Address::parse("postgres:///x?user=me@server&host=/tmp").is_ok(),
            "a parameter may hold an @"
        );
    }
}
