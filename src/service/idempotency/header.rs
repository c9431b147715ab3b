//! The `Idempotency-Key` header: a structured-field string in quotes, or the bare value that most clients send.

use axum::http::HeaderMap;

use crate::domain::key::InvalidKey;

/// The request's header.
pub(super) const NAME: &str = "idempotency-key";

/// Why a header carries no usable key. Both spellings of a value are the same key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
    #[error("more than one Idempotency-Key was sent: send one")]
    Repeated,
    #[error("the Idempotency-Key holds a byte that is not ASCII: send printable ASCII, for example a UUID")]
    NotAscii,
    #[error("the Idempotency-Key holds a control character: send printable ASCII, for example a UUID")]
    Control,
    #[error("the Idempotency-Key begins with a quote that no other closes: send \"…\", or the bare value")]
    Unclosed,
    #[error("in a quoted Idempotency-Key only a quote or a backslash may follow a backslash")]
    Escape,
    #[error("something follows the closing quote of the Idempotency-Key: send the quoted value alone")]
    Trailing,
    #[error("the Idempotency-Key holds a space, a comma or a quote: send such a value in quotes")]
    Bare,
    #[error(transparent)]
    Key(#[from] InvalidKey),
}

/// The one key that was sent; `None` where none was.
pub(super) fn client_key(headers: &HeaderMap) -> Result<Option<String>, Malformed> {
    let mut sent = headers.get_all(NAME).iter();
    let Some(value) = sent.next() else { return Ok(None) };
    if sent.next().is_some() {
        return Err(Malformed::Repeated);
    }
    let value = value.as_bytes();
    if !value.is_ascii() {
        return Err(Malformed::NotAscii);
    }
    if value.iter().any(u8::is_ascii_control) {
        return Err(Malformed::Control);
    }
    let value: String = value.iter().map(|byte| char::from(*byte)).collect();
    let key = match value.trim_matches(' ') {
        quoted if quoted.starts_with('"') => unquoted(&quoted[1..])?,
        bare if bare.contains([' ', ',', '"']) => return Err(Malformed::Bare),
        bare => bare.to_owned(),
    };
    if key.is_empty() { Err(InvalidKey::Empty.into()) } else { Ok(Some(key)) }
}

/// What stands in a structured-field string (RFC 9651, section 3.3.3) behind its opening quote.
fn unquoted(text: &str) -> Result<String, Malformed> {
    let (mut key, mut rest) = (String::new(), text.chars());
    loop {
        match rest.next().ok_or(Malformed::Unclosed)? {
            '"' if rest.as_str().is_empty() => return Ok(key),
            '"' => return Err(Malformed::Trailing),
            '\\' => match rest.next() {
                Some(escaped @ ('"' | '\\')) => key.push(escaped),
                Some(_) => return Err(Malformed::Escape),
                None => return Err(Malformed::Unclosed),
            },
            plain => key.push(plain),
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn read(value: &[u8]) -> Result<Option<String>, Malformed> {
        let value = HeaderValue::from_bytes(value).expect("a header can hold it");
        client_key(&HeaderMap::from_iter([(axum::http::HeaderName::from_static(NAME), value)]))
    }

    #[test]
    fn quoted_and_bare_are_the_same_key() {
        for (sent, key) in [
            (r"8e03978e-40d5-43e8-bc93-6894a57f9324", "8e03978e-40d5-43e8-bc93-6894a57f9324"),
            (r#""8e03978e-40d5-43e8-bc93-6894a57f9324""#, "8e03978e-40d5-43e8-bc93-6894a57f9324"),
            (r#""a \"b\" \\ c, d""#, r#"a "b" \ c, d"#),
            (r#""x" "#, "x"),
            (r"order:42/a+b=;c\d", r"order:42/a+b=;c\d"),
        ] {
            assert_eq!(read(sent.as_bytes()), Ok(Some(key.to_owned())), "{sent}");
        }
        assert_eq!(client_key(&HeaderMap::new()), Ok(None));
    }

    #[test]
    fn whatever_else_is_sent_has_a_sentence_of_its_own() {
        for (sent, why) in [
            (&b""[..], Malformed::Key(InvalidKey::Empty)),
            (b"  ", Malformed::Key(InvalidKey::Empty)),
            (b"\"\"", Malformed::Key(InvalidKey::Empty)),
            ("schlüssel".as_bytes(), Malformed::NotAscii),
            (b"a\xffb", Malformed::NotAscii),
            (b"a\tb", Malformed::Control),
            (b"\"a", Malformed::Unclosed),
            (b"\"", Malformed::Unclosed),
            (b"\"a\\", Malformed::Unclosed),
            (b"\"a\\\"", Malformed::Unclosed),
            (b"\"a\\n\"", Malformed::Escape),
            (b"\"a\"b", Malformed::Trailing),
            (b"\"a\", \"b\"", Malformed::Trailing),
            (b"\"a\";p=1", Malformed::Trailing),
            (b"a, b", Malformed::Bare),
            (b"a b", Malformed::Bare),
            (b"a\"", Malformed::Bare),
        ] {
            assert_eq!(read(sent), Err(why), "{:?}", String::from_utf8_lossy(sent));
        }
    }
}
