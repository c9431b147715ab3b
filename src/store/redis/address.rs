//! Where Redis is: the URL read, and what of it may be shown. Opens nothing.

use redis::{ConnectionAddr, ConnectionInfo, ProtocolVersion, RedisError};

use crate::{engine::store::StoreError, store::address::shown};

/// Reads `redis://`, `rediss://` (TLS, its certificate verified) or `unix:/PATH`.
pub(super) fn parse(url: &str) -> Result<ConnectionInfo, StoreError> {
    let wrong = |why: &str| StoreError::Unreachable { database: shown(url), why: why.to_owned() };
    let Some((scheme, rest)) = url.split_once(':') else { return Err(wrong(EXPECTED)) };
    if !["redis", "rediss", "unix"].contains(&scheme) {
        return Err(wrong(EXPECTED));
    }
    if scheme != "unix" {
        let path = rest.strip_prefix("//").and_then(|rest| rest.split_once('/'));
        if path.is_some_and(|(_, path)| path.contains('@')) {
            return Err(wrong("the password holds a / that must be written as %2F"));
        }
        if rest.contains('#') {
            return Err(wrong(
                "it holds a #: in a password write %23; leaving certificates unverified is no option",
            ));
        }
    }
    let info: ConnectionInfo = url.parse().map_err(|error: RedisError| wrong(&reason(&error)))?;
    // Only the newer protocol tells of a connection that ended while nobody was asking.
    let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    Ok(info.set_redis_settings(settings))
}

/// The driver's reason for not reading a URL, which names no part of it.
fn reason(error: &RedisError) -> String {
    let said = error.to_string();
    match said.split(" - ").next().unwrap_or_default() {
        "Redis URL did not parse" => {
            "it is no URL; special characters in a user's name or a password are written as %XX".to_owned()
        }
        "Invalid database number" => "what follows the host is the database's number, as in /0".to_owned(),
        other => other.to_owned(),
    }
}

/// For headers and errors: never a password.
pub(super) fn label(info: &ConnectionInfo) -> String {
    let settings = info.redis_settings();
    let who = match (settings.username(), settings.password()) {
        (None, None) => String::new(),
        (user, _) => format!("{}:***@", user.unwrap_or_default()),
    };
    let number = if settings.db() == 0 { String::new() } else { format!("/{}", settings.db()) };
    match info.addr() {
        ConnectionAddr::Unix(path) => format!("redis {}{number}", path.display()),
        ConnectionAddr::TcpTls { .. } => format!("rediss://{who}{}{number}", info.addr()),
        _ => format!("redis://{who}{}{number}", info.addr()),
    }
}

const EXPECTED: &str = "expected redis://HOST:PORT/NUMBER, rediss://HOST:PORT/NUMBER or unix:/PATH?db=NUMBER";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_says_where_and_never_the_password() {
        for (url, expected) in [
            ("redis://127.0.0.1", "redis://127.0.0.1:6379"),
            ("redis://:hunter2@cache.example.org:7000/3", "redis://:***@cache.example.org:7000/3"),
            ("rediss://ana:hunter2@cache.example.org", "rediss://ana:***@cache.example.org:6379"),
            ("redis://ana:h%2Fu%23@[::1]:7000", "redis://ana:***@::1:7000"),
            ("unix:/run/redis.sock?db=2&pass=hunter2", "redis /run/redis.sock/2"),
        ] {
            assert_eq!(label(&parse(url).unwrap()), expected, "{url}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_in_words_without_the_password() {
        let secret = "hunter2";
        for (url, why) in [
            (format!("http://:{secret}@h"), "expected redis://"),
            (String::new(), "expected redis://"),
            (format!("h,password={secret}"), "expected redis://"),
            (format!("redis://:a/{secret}@h/0"), "written as %2F"),
            (format!("redis://:a#{secret}@h/0"), "write %23"),
            (format!("rediss://:{secret}@h#insecure"), "no option"),
            (format!("redis://u:{secret}"), "it is no URL"),
            (format!("redis://:{secret}@h:port/0"), "it is no URL"),
            (format!("redis://:{secret}@h/zero"), "the database's number"),
            (format!("redis://:{secret}@"), "it is no URL"),
            (format!("redis:{secret}"), "Missing hostname"),
            (format!("redis://:{secret}@0.0.0.0"), "Cannot connect to a wildcard address"),
            (format!("unix:?pass={secret}"), "Missing path"),
        ] {
            let error = parse(&url).expect_err(&url).to_string();
            assert!(error.contains(why), "{url}: {error}");
            assert!(!error.contains(secret), "{error}");
        }
    }
}
