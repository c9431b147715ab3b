//! Masking: secrets and payloads are shown by shape and size, never by content, unless revealed.
//!
//! Two layers. [`payload`] knows the structure: fields on a short list stay readable, everything else becomes its type
//! and size. [`secrets`] knows only text: whatever looks like a credential, a card number or an e-mail address is taken
//! out, also of error texts and of the readable fields. What it may not know is where the text is shown.

use serde_json::Value;

/// Fields whose values an operator needs and that carry no secrets; compared without case, `_` and `-`.
const READABLE: &[&str] = &[
    "apiversion",
    "branch",
    "completedat",
    "count",
    "currentstate",
    "defaultbranch",
    "entities",
    "entity",
    "entitytypes",
    "fingerprint",
    "host",
    "hookid",
    "id",
    "kind",
    "name",
    "namespace",
    "notificationid",
    "onboardingid",
    "operation",
    "organization",
    "owner",
    "path",
    "paths",
    "private",
    "ref",
    "repo",
    "repository",
    "repourl",
    "sha",
    "size",
    "source",
    "startedat",
    "state",
    "status",
    "step",
    "subtask",
    "target",
    "tenant",
    "tenantid",
    "terraformversion",
    "truncated",
    "type",
    "url",
    "version",
    "workspace",
    "workspaceid",
    "workspacename",
];

/// Names whose values are secret wherever they stand.
const SECRET_NAMES: &[&str] = &[
    "authorization",
    "apikey",
    "accesskey",
    "clientsecret",
    "cookie",
    "credential",
    "passphrase",
    "passwd",
    "password",
    "privatekey",
    "pwd",
    "secret",
    "session",
    "setcookie",
    "signature",
    "token",
    "xhubsignature",
];

/// Beginnings of well-known tokens.
const TOKEN_PREFIXES: &[&str] = &[
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "ghr_",
    "github_pat_",
    "glpat-",
    "xoxb-",
    "xoxp-",
    "xoxa-",
    "sk_live_",
    "sk_test_",
    "sk-",
    "AKIA",
    "ASIA",
    "atlasv1.",
    "npm_",
    "whsec_",
];

const SECRET: &str = "‹secret›";

/// The most fields of one object that are shown.
const MAX_FIELDS: usize = 200;

/// The longest list of which every element is shown.
const MAX_ELEMENTS: usize = 20;

/// `value` by shape and size: readable fields stay, minus secrets; the rest becomes `‹text, 24 characters›`,
/// `‹number›`, `‹true or false›`.
pub fn payload(value: &Value) -> Value {
    masked(value, false)
}

/// Stored bytes by shape and size: JSON as [`payload`] shows it, everything else by its size only.
pub fn stored(bytes: &[u8]) -> Value {
    let size = match bytes.len() {
        1 => "1 byte".to_owned(),
        n => format!("{n} bytes"),
    };
    match std::str::from_utf8(bytes).map(serde_json::from_str) {
        Ok(Ok(value)) => payload(&value),
        Ok(Err(_)) => Value::String(format!("‹text, {size}›")),
        Err(_) => Value::String(format!("‹no text, {size}›")),
    }
}

/// Stands for a payload of which only the size, in bytes, was read.
pub fn unread(bytes: i64) -> Value {
    Value::String(format!("‹{bytes} bytes, too large to show by shape›"))
}

/// Stands for a payload that the database's role may not read.
pub fn denied() -> Value {
    Value::String("‹not readable for this role›".to_owned())
}

/// Whether `text` is what masking puts in a value's place: masking it again changes nothing.
fn is_mask(text: &str) -> bool {
    let Some(inner) = text.strip_prefix('‹').and_then(|rest| rest.strip_suffix('›')) else {
        return false;
    };
    let digits = |n: &str| !n.is_empty() && n.len() < 20 && n.bytes().all(|b| b.is_ascii_digit());
    let sized = |prefix: &str, suffixes: &[&str]| {
        let rest = inner.strip_prefix(prefix);
        rest.is_some_and(|rest| suffixes.iter().any(|suffix| rest.strip_suffix(suffix).is_some_and(digits)))
    };
    matches!(inner, "number" | "true or false" | "secret" | "not readable for this role")
        || sized("text, ", &[" character", " characters", " byte", " bytes"])
        || sized("no text, ", &[" byte", " bytes"])
        || sized("", &[" more", " bytes, too large to show by shape"])
}

fn masked(value: &Value, readable: bool) -> Value {
    match value {
        Value::Null => Value::Null,
        Value::String(text) if is_mask(text) => value.clone(),
        Value::String(text) if readable => Value::String(secrets(text)),
        Value::String(text) => Value::String(match text.chars().count() {
            1 => "‹text, 1 character›".to_owned(),
            n => format!("‹text, {n} characters›"),
        }),
        Value::Number(_) | Value::Bool(_) if readable => value.clone(),
        Value::Number(_) => Value::String("‹number›".to_owned()),
        Value::Bool(_) => Value::String("‹true or false›".to_owned()),
        Value::Array(items) => {
            let mut shown: Vec<_> =
                items.iter().take(MAX_ELEMENTS).map(|item| masked(item, readable)).collect();
            let told =
                |item: &Value| item.as_str().is_some_and(|text| text.ends_with(" more›") && is_mask(text));
            if let [.., last] = &items[..]
                && items.len() == MAX_ELEMENTS + 1
                && told(last)
            {
                shown.push(last.clone());
            } else if let Some(more) = items.len().checked_sub(MAX_ELEMENTS).filter(|more| *more > 0) {
                shown.push(Value::String(format!("‹{more} more›")));
            }
            Value::Array(shown)
        }
        Value::Object(fields) => fields
            .iter()
            .take(MAX_FIELDS)
            .map(|(name, value)| {
                let plain = plain_name(name);
                let value = if is_secret_name(&plain) {
                    Value::String(SECRET.to_owned())
                } else {
                    masked(value, READABLE.contains(&plain.as_str()))
                };
                (name.clone(), value)
            })
            .collect(),
    }
}

/// `text` without what looks like a credential, a card number or an e-mail address.
pub fn secrets(text: &str) -> String {
    let text = url_passwords(text);
    let text = named_values(&text);
    let text = by_word(&text);
    card_numbers(&text)
}

/// Whether `text` holds a credential: a password in a URL, a token, the value of a name such as `password`.
pub fn holds_secret(text: &str) -> bool {
    let without = |shown: &str| shown.matches(SECRET).count() > text.matches(SECRET).count();
    let password = |address: &str| {
        let end = address.find(|c: char| c.is_whitespace() || matches!(c, '/' | '?' | '#' | '"' | '\''));
        let user = address[..end.unwrap_or(address.len())].rsplit_once('@').map(|(user, _)| user);
        user.and_then(|user| user.split_once(':')).is_some_and(|(_, password)| !password.is_empty())
    };
    without(&secrets(text)) || text.split("://").skip(1).any(password)
}

fn plain_name(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

fn is_secret_name(plain: &str) -> bool {
    SECRET_NAMES.iter().any(|secret| plain.ends_with(secret) || plain.starts_with(secret) && plain.len() > 3)
}

/// `https://user:pass@host` keeps the user and the host.
fn url_passwords(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        out.push_str(before);
        let end = after
            .find(|c: char| c.is_whitespace() || matches!(c, '/' | '?' | '#' | '"' | '\''))
            .unwrap_or(after.len());
        rest = &after[end..];
        match after[..end].rsplit_once('@') {
            Some((user, host)) => {
                let user = user.split(':').next().unwrap_or_default();
                out.push_str(&format!("{user}:***@{host}"));
            }
            None => out.push_str(&after[..end]),
        }
    }
    out + rest
}

/// `password=…`, `"token": "…"`, `Authorization: Bearer …`, `?access_token=…`: the value goes.
fn named_values(text: &str) -> String {
    let is_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-');
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['=', ':']) {
        let before = &rest[..at];
        let after = &rest[at + 1..];
        let name_end = before.trim_end_matches(['"', '\'', ' ']);
        let name_start = name_end
            .rfind(|c| !is_name(c))
            .map_or(0, |i| i + name_end[i..].chars().next().map_or(1, char::len_utf8));
        out.push_str(before);
        out.push_str(&rest[at..=at]);
        let plain = plain_name(&name_end[name_start..]);
        // `secret ::` and `https://` are no values.
        if !is_secret_name(&plain) || after.starts_with("//") || after.trim_start().is_empty() {
            rest = after;
            continue;
        }
        let value = after.trim_start_matches([' ', '\\']);
        out.push_str(&after[..after.len() - value.len()]);
        let skipped = match value.chars().next() {
            Some(quote @ ('"' | '\'')) => {
                out.push(quote);
                let inner = &value[1..];
                let end = inner.find(quote).unwrap_or(inner.len());
                rest = &inner[end..];
                end
            }
            // A header goes on to the end of its line; other values end at a space or a separator.
            _ if plain.ends_with("authorization") || plain.ends_with("cookie") => {
                let end = value.find(['\n', '\r', '"', '\'', '⏎', ',']).unwrap_or(value.len());
                rest = &value[end..];
                end
            }
            _ => {
                let end = value
                    .find(|c: char| {
                        c.is_whitespace() || matches!(c, '&' | ',' | ';' | '"' | '\'' | '}' | ')' | '⏎')
                    })
                    .unwrap_or(value.len());
                rest = &value[end..];
                end
            }
        };
        if skipped > 0 {
            out.push_str(SECRET);
        }
    }
    out + rest
}

/// Tokens by their shape, the word after `Bearer`, and e-mail addresses.
fn by_word(text: &str) -> String {
    let is_part = |c: char| {
        c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '+' | '/' | '=' | '@' | '%' | '~')
    };
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut after_scheme = false;
    while !rest.is_empty() {
        let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        let (word, tail) = rest.split_at(end);
        let trimmed = word.trim_end_matches('.');
        if after_scheme && trimmed.len() >= 8 || is_token(trimmed) {
            out.push_str(SECRET);
            out.push_str(&word[trimmed.len()..]);
        } else if is_email(trimmed) {
            out.push_str("‹e-mail›");
            out.push_str(&word[trimmed.len()..]);
        } else {
            out.push_str(word);
        }
        if !word.is_empty() {
            after_scheme = ["bearer", "basic"].contains(&word.to_ascii_lowercase().as_str());
        }
        let gap = tail.find(is_part).unwrap_or(tail.len());
        out.push_str(&tail[..gap]);
        rest = &tail[gap..];
    }
    out
}

fn is_token(word: &str) -> bool {
    let prefixed = |prefix: &&&str| word.len() >= prefix.len() + 12 && word.starts_with(**prefix);
    let is_jwt = word.starts_with("eyJ") && word.split('.').count() == 3 && word.len() > 30;
    is_jwt || TOKEN_PREFIXES.iter().find(prefixed).is_some()
}

fn is_email(word: &str) -> bool {
    let Some((local, domain)) = word.split_once('@') else { return false };
    !local.is_empty()
        && domain.split('.').count() >= 2
        && domain
            .split('.')
            .all(|p| !p.is_empty() && p.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'))
}

/// 13 to 19 digits, also in groups, that pass the Luhn check and begin like a card's.
fn card_numbers(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        out.push_str(&rest[..start]);
        let run = &rest[start..];
        let glued = rest[..start]
            .chars()
            .next_back()
            .is_some_and(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
        let end = run.find(|c: char| !c.is_ascii_digit() && c != ' ' && c != '-').unwrap_or(run.len());
        let number = run[..end].trim_end_matches([' ', '-']);
        let follows =
            run[number.len()..].chars().next().is_some_and(|c| c.is_ascii_alphanumeric() || c == '_');
        if !glued && !follows && is_card(number) {
            out.push_str("‹card number›");
        } else {
            out.push_str(number);
        }
        rest = &run[number.len()..];
    }
    out + rest
}

fn is_card(number: &str) -> bool {
    let digits: Vec<u32> = number.chars().filter_map(|c| c.to_digit(10)).collect();
    let luhn: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(i, d)| if i % 2 == 0 { *d } else { d * 2 / 10 + d * 2 % 10 })
        .sum();
    (13..=19).contains(&digits.len()) && (3..=6).contains(&digits[0]) && luhn.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn secrets_are_taken_out_of_error_texts_and_the_rest_stays() {
        for (raw, shown) in [
            ("503 from api.github.com after 12 ms", "503 from api.github.com after 12 ms"),
            ("GET https://bob:hunter2@host/x failed", "GET https://bob:***@host/x failed"),
            ("Authorization: Bearer abc.def-123 was refused", "Authorization: ‹secret›"),
            ("sent Bearer abcdefgh12345 twice", "sent Bearer ‹secret› twice"),
            (r#"{"password": "hunter2", "a": 1}"#, r#"{"password": "‹secret›", "a": 1}"#),
            ("?access_token=abc&page=2", "?access_token=‹secret›&page=2"),
            ("client_secret=s3cr3t; x", "client_secret=‹secret›; x"),
            ("token ghp_0123456789abcdefABCDEF expired", "token ‹secret› expired"),
            ("jwt eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abcDEF_123.", "jwt ‹secret›."),
            ("mail ana.b@example.com.", "mail ‹e-mail›."),
            ("card 4111 1111 1111 1111 declined", "card ‹card number› declined"),
            ("order 4111 1111 1111 1112", "order 4111 1111 1111 1112"),
            ("github.create_hook: circuit is open", "github.create_hook: circuit is open"),
            (
                "worker w-1: lease 0198a7c2-1111-7000-8000-0000000000aa",
                "worker w-1: lease 0198a7c2-1111-7000-8000-0000000000aa",
            ),
        ] {
            assert_eq!(secrets(raw), shown);
        }
    }

    #[test]
    fn what_holds_a_secret_is_told_from_what_only_looks_so() {
        for text in [
            "postgres://ana:hunter2@db/x",
            "http://prom/?access_token=abc",
            "ghp_0123456789abcdefABCDEF",
            "password=hunter2",
        ] {
            assert!(holds_secret(text), "{text}");
        }
        for text in ["postgres://ana@db/x", "https://api.github.com", "/run/secrets/token", "ana@example.com"]
        {
            assert!(!holds_secret(text), "{text}");
        }
    }

    #[test]
    fn what_was_masked_once_is_the_same_when_it_is_masked_again() {
        for raw in [
            "GET https://bob:hunter2@host/x?token=abc failed: Authorization: Bearer abc.def-123",
            r#"{"password": "hunter2", "mail": "ana@example.com", "card": "4111 1111 1111 1111"}"#,
            "sent Bearer abcdefgh12345 and ghp_0123456789abcdefABCDEF",
        ] {
            let once = secrets(raw);
            assert_eq!(secrets(&once), once);
        }
    }

    #[test]
    fn a_payload_shows_its_shape_and_its_readable_fields() {
        let raw = json!({
            "tenantId": "acme", "repo_url": "https://u:p@github.com/acme/pay", "note": "call me", "n": 3, "ok": true,
            "webhookSecret": "hunter2", "gone": null, "tags": ["a", "bc"], "nested": { "name": "ledger", "x": "y" },
        });
        assert_eq!(
            payload(&raw),
            json!({
                "tenantId": "acme", "repo_url": "https://u:***@github.com/acme/pay", "note": "‹text, 7 characters›",
                "n": "‹number›", "ok": "‹true or false›", "webhookSecret": "‹secret›", "gone": null,
                "tags": ["‹text, 1 character›", "‹text, 2 characters›"], "nested": { "name": "ledger", "x": "‹text, 1 character›" },
            })
        );
    }

    #[test]
    fn what_is_masked_already_stays_and_what_only_looks_so_does_not() {
        let raw = json!({ "note": "call me", "n": 3, "token": "x", "list": vec!["a"; 30], "ok": false });
        let once = payload(&raw);
        assert_eq!(payload(&once), once);
        assert_eq!(payload(&json!("‹hunter2›")), json!("‹text, 9 characters›"));
        assert_eq!(payload(&json!("‹text, hunter2 characters›")), json!("‹text, 26 characters›"));
        assert_eq!(stored(b"hunter2"), json!("‹text, 7 bytes›"));
        assert_eq!(stored(&[0xff]), json!("‹no text, 1 byte›"));
        assert_eq!(stored(br#"{"id":7,"note":"x"}"#), json!({ "id": 7, "note": "‹text, 1 character›" }));
        for value in [stored(b"x"), stored(&[0xff, 0xfe]), unread(10), denied()] {
            assert_eq!(payload(&value), value);
        }
    }

    proptest! {
        #[test]
        fn a_password_never_survives_whatever_surrounds_it(before in "[ -~é]{0,40}", after in "[ -~é]{0,40}") {
            let before = before.replace(['"', '\'', '=', ':'], " ");
            let text = format!("{before} password=CorrectHorse9 {after}");
            prop_assert!(!secrets(&text).contains("CorrectHorse9"));
        }

        #[test]
        fn any_text_can_be_masked(text in any::<String>()) {
            let once = secrets(&text);
            prop_assert!(once.len() <= text.len() * 12 + 64);
        }
    }
}
