//! Names a Backstage catalog accepts.

use crate::domain::onboarding::sha256_hex;

/// The longest name, namespace or kind.
const MAX: usize = 63;

/// Whether `name` is a valid `metadata.name`: letters and digits, joined by single `-`, `_` or `.`, at most 63.
pub(super) fn is_name(name: &str) -> bool {
    name.len() <= MAX && parts(name, &['-', '_', '.']).all(is_alphanumeric)
}

/// Whether `namespace` is a valid `metadata.namespace`: a DNS label.
pub(super) fn is_namespace(namespace: &str) -> bool {
    let lower = |part: &str| part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    namespace.len() <= MAX && parts(namespace, &['-']).all(|part| !part.is_empty() && lower(part))
}

/// Whether `kind` is a valid kind: a letter, then letters and digits.
pub(super) fn is_kind(kind: &str) -> bool {
    kind.len() <= MAX && kind.starts_with(|c: char| c.is_ascii_alphabetic()) && is_alphanumeric(kind)
}

/// Whether `tag` is a valid tag: lower case letters, digits, `+` and `#`, joined by single `-`.
pub(super) fn is_tag(tag: &str) -> bool {
    let part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '+' | '#');
    tag.len() <= MAX && parts(tag, &['-']).all(|p| !p.is_empty() && p.chars().all(part))
}

/// A valid name that reads like `text`; one that had to be cut ends in a digest, so that two stay two.
pub(super) fn sanitised(text: &str) -> String {
    let mut name = String::new();
    for c in text.chars() {
        match c {
            c if c.is_ascii_alphanumeric() => name.push(c),
            // Only single separators, and none at the beginning.
            '_' | '.' if name.ends_with(is_alphanumeric_char) => name.push(c),
            _ if name.ends_with(is_alphanumeric_char) => name.push('-'),
            _ => {}
        }
    }
    let trimmed = name.trim_end_matches(['-', '_', '.']);
    match trimmed.len() {
        0 => format!("x{}", &sha256_hex(text.as_bytes())[..8]),
        1..=MAX => trimmed.to_owned(),
        _ => suffixed(trimmed, text),
    }
}

/// `name` with a digest of `origin` at its end, within the limit.
pub(super) fn suffixed(name: &str, origin: &str) -> String {
    let kept = name[..name.len().min(MAX - 9)].trim_end_matches(['-', '_', '.']);
    format!("{kept}-{}", &sha256_hex(origin.as_bytes())[..8])
}

/// A valid namespace that reads like `text`.
pub(super) fn namespace(text: &str) -> String {
    sanitised(text).to_ascii_lowercase().replace(['_', '.'], "-")
}

fn parts<'a>(text: &'a str, separators: &'a [char]) -> impl Iterator<Item = &'a str> {
    text.split(separators)
}

fn is_alphanumeric(text: &str) -> bool {
    !text.is_empty() && text.chars().all(is_alphanumeric_char)
}

fn is_alphanumeric_char(c: char) -> bool {
    c.is_ascii_alphanumeric()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn whatever_comes_in_a_valid_name_and_namespace_comes_out(text in "\\PC{0,200}") {
            prop_assert!(is_name(&sanitised(&text)), "{}", sanitised(&text));
            prop_assert!(is_namespace(&namespace(&text)), "{}", namespace(&text));
        }

        #[test]
        fn a_valid_name_stays_as_it_is(text in "[a-zA-Z0-9]{1,20}([-_.][a-zA-Z0-9]{1,10}){0,3}") {
            prop_assert_eq!(sanitised(&text), text);
        }
    }

    #[test]
    fn two_long_names_that_differ_at_the_end_stay_two() {
        let (a, b) = ("n".repeat(80) + "a", "n".repeat(80) + "b");
        assert_ne!(sanitised(&a), sanitised(&b));
    }

    #[test]
    fn names_a_catalog_refuses_are_recognised() {
        for bad in ["", "a--b", "-a", "a b", "ä", "a/b"] {
            assert!(!is_name(bad), "{bad}");
        }
        for bad in ["Acme", "a_b", ""] {
            assert!(!is_namespace(bad), "{bad}");
        }
        assert!(!is_kind("1Component") && is_kind("Component"));
        assert!(is_tag("c++") && !is_tag("C"));
    }
}
