//! Requests in one canonical form, so that the same request always has the same hash.
//!
//! White space and the order of keys do not matter; every value does. Numbers are compared as they were written: 1, 1.0
//! and 1e0 are three values, and the twentieth digit counts.

use std::{collections::BTreeMap, fmt::Write as _};

use serde::{Serialize, de::IgnoredAny};

use super::onboarding::sha256_hex;

/// JSON nested deeper than this is not looked into.
const MAX_DEPTH: u32 = 128;

/// Lowercase hex SHA-256 of `request` as JSON without white space, object keys sorted.
///
/// # Errors
/// When it cannot be written as JSON: a map whose keys are no text, say.
pub fn hash(request: &(impl Serialize + ?Sized)) -> Result<String, serde_json::Error> {
    // `Value` keeps an object's keys sorted.
    Ok(sha256_hex(serde_json::to_value(request)?.to_string().as_bytes()))
}

/// Lowercase hex SHA-256 of an HTTP request: its method, its path with the query, and its body.
///
/// A body whose content type is JSON counts in canonical form. One that is no JSON all the same, that names a key twice
/// or nests deeper than 128 levels counts byte for byte, as does every other content type.
pub fn hash_http(method: &str, target: &str, content_type: Option<&str>, body: &[u8]) -> String {
    let json = content_type.is_some_and(is_json).then(|| canonical(body)).flatten();
    let (kind, body) = json.as_ref().map_or(("raw", body), |json| ("json", json.as_bytes()));
    // Neither a method nor a target can hold a line feed, so that two requests never share these bytes.
    sha256_hex(&[format!("{method} {target}\n{kind}\n").as_bytes(), body].concat())
}

fn is_json(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind == "application/json" || kind.ends_with("+json")
}

fn canonical(body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?;
    // Without building anything, and without recursion. What follows may rely on the syntax.
    serde_json::from_str::<IgnoredAny>(text).ok()?;
    Reader { text, at: 0 }.value(MAX_DEPTH)
}

/// Reads text that is known to be JSON.
struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    /// The next value in canonical form; `None` where it has none.
    fn value(&mut self, depth: u32) -> Option<String> {
        match self.next()? {
            b'{' => self.object(depth.checked_sub(1)?),
            b'[' => self.array(depth.checked_sub(1)?),
            b'"' => self.string(),
            _ => self.word(),
        }
    }

    fn object(&mut self, depth: u32) -> Option<String> {
        let mut members = BTreeMap::new();
        self.at += 1;
        while self.next()? != b'}' {
            let key = self.string()?;
            if members.insert(key, self.value(depth)?).is_some() {
                return None;
            }
        }
        self.at += 1;
        let mut object = String::new();
        for (key, value) in members {
            let comma = if object.is_empty() { "" } else { "," };
            write!(object, "{comma}{key}:{value}").expect("a string takes whatever is written");
        }
        Some(format!("{{{object}}}"))
    }

    fn array(&mut self, depth: u32) -> Option<String> {
        let mut items = Vec::new();
        self.at += 1;
        while self.next()? != b']' {
            items.push(self.value(depth)?);
        }
        self.at += 1;
        Some(format!("[{}]", items.join(",")))
    }

    /// A string in one spelling, whichever of its characters were escaped.
    fn string(&mut self) -> Option<String> {
        self.next()?;
        let (bytes, start) = (self.text.as_bytes(), self.at);
        self.at += 1;
        while *bytes.get(self.at)? != b'"' {
            self.at += if bytes[self.at] == b'\\' { 2 } else { 1 };
        }
        self.at += 1;
        // Half a surrogate pair is JSON, but no text.
        let text: String = serde_json::from_str(self.text.get(start..self.at)?).ok()?;
        serde_json::to_string(&text).ok()
    }

    /// A number, `true`, `false` or `null`, as it was written.
    fn word(&mut self) -> Option<String> {
        let rest = &self.text[self.at..];
        let end = rest.find(|c: char| matches!(c, ',' | ']' | '}') || c.is_ascii_whitespace());
        let word = &rest[..end.unwrap_or(rest.len())];
        self.at += word.len();
        (!word.is_empty()).then(|| word.to_owned())
    }

    /// The next byte that says something: white space, commas and colons only separate.
    fn next(&mut self) -> Option<u8> {
        let rest = &self.text.as_bytes()[self.at..];
        let skipped = rest.iter().position(|b| !matches!(b, b' ' | b'\t' | b'\r' | b'\n' | b',' | b':'))?;
        self.at += skipped;
        Some(rest[skipped])
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_order_of_keys_does_not_matter_and_a_value_does() {
        let hash_of = |a: u32| hash(&HashMap::from([("b", 1), ("a", a), ("c", 3)])).expect("plain JSON");
        assert_eq!(hash_of(2), hash(&serde_json::json!({"a": 2, "b": 1, "c": 3})).expect("plain JSON"));
        assert_ne!(hash_of(2), hash_of(4));
    }

    fn of(body: impl AsRef<[u8]>) -> String {
        hash_http("POST", "/payments?dry=1", Some("application/json; charset=utf-8"), body.as_ref())
    }

    #[test]
    fn the_canonical_form_reads_as_it_should() {
        let body =
            " {\"b\" : [ 1, 1.0,12345678901234567890123 , null], \"\\u0061\":{ },\"c\\/\":\"\\u00e9\\n\"}\n";
        let expected = "{\"a\":{},\"b\":[1,1.0,12345678901234567890123,null],\"c/\":\"é\\n\"}";
        assert_eq!(canonical(body.as_bytes()).as_deref(), Some(expected));
    }

    #[test]
    fn numbers_are_compared_by_their_digits() {
        let numbers = [
            "1",
            "1.0",
            "1e0",
            "-0",
            "0",
            "12345678901234567890",
            "12345678901234567891",
            "0.1",
            "0.10",
            "0.1000000000000000055511151231257827",
            "1e999",
            "2e999",
        ];
        let hashes: std::collections::BTreeSet<_> = numbers.iter().map(of).collect();
        assert_eq!(hashes.len(), numbers.len());
    }

    #[test]
    fn what_has_no_canonical_form_counts_byte_for_byte() {
        let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        for body in [
            "not json".into(),
            "{\"a\":1,}".into(),
            "{\"a\":1} {}".into(),
            String::new(),
            " ".into(),
            "{\"a\":1,\"a\":2}".into(),
            "{\"a\":1,\"\\u0061\":2}".into(),
            "\"\\ud800\"".into(),
            deep(129),
            deep(1_000_000),
            "\u{feff}{}".into(),
            "{\"a\": NaN}".into(),
            "01".into(),
        ] {
            assert_eq!(canonical(body.as_bytes()), None, "{body:.20}");
            assert_eq!(of(&body), of(&body));
            assert_ne!(of(&body), of(format!("{body} ")), "{body:.20}");
        }
        assert!(canonical(deep(128).as_bytes()).is_some());
        assert_eq!(canonical(b"\"\xff\""), None);
    }

    #[test]
    fn method_target_and_kind_of_body_count() {
        let hash = |method, target, kind, body: &str| hash_http(method, target, kind, body.as_bytes());
        let (json, plain) = (Some("application/json"), Some("text/plain"));
        let first = hash("POST", "/a", json, "{}");
        for other in [
            hash("PATCH", "/a", json, "{}"),
            hash("POST", "/a?", json, "{}"),
            hash("POST", "/b", json, "{}"),
            hash("POST", "/a", plain, "{}"),
            hash("POST", "/a", None, "{}"),
        ] {
            assert_ne!(first, other);
        }
        assert_eq!(first, hash("POST", "/a", Some("Application/Merge-Patch+JSON ; x=y"), " { } "));
        assert_ne!(hash("POST", "/a", plain, "{}"), hash("POST", "/a", plain, "{ }"));
    }

    /// JSON as a tree in which two values are the same exactly when the text means the same.
    #[derive(Debug, Clone, PartialEq)]
    enum Tree {
        Word(String),
        Text(String),
        Array(Vec<Tree>),
        Object(BTreeMap<String, Tree>),
    }

    fn tree() -> impl Strategy<Value = Tree> {
        let leaf = prop_oneof![
            "null|true|false".prop_map(Tree::Word),
            "-?(0|[1-9][0-9]{0,22})(\\.[0-9]{1,22})?([eE][+-]?[0-9]{1,3})?".prop_map(Tree::Word),
            "[ -~\\n\u{e9}\u{1f600}]{0,8}".prop_map(Tree::Text),
        ];
        leaf.prop_recursive(5, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Tree::Array),
                prop::collection::btree_map("[a-c\"\\\\:,{ ]{0,3}", inner, 0..5).prop_map(Tree::Object),
            ]
        })
    }

    /// Writes a tree in one of its many spellings, by the bits of `style`.
    fn spelled(tree: &Tree, style: &mut impl FnMut() -> u32) -> String {
        let space = |style: &mut dyn FnMut() -> u32| ["", " ", "\n\t", "\r\n  "][style() as usize % 4];
        let text = |text: &str, style: &mut dyn FnMut() -> u32| -> String {
            let spelled = text.chars().map(|c| match style() % 3 {
                0 => c.encode_utf16(&mut [0; 2]).iter().fold(String::new(), |s, u| format!("{s}\\u{u:04X}")),
                _ => {
                    let quoted = serde_json::to_string(&c).unwrap();
                    quoted[1..quoted.len() - 1].to_owned()
                }
            });
            format!("\"{}\"", spelled.collect::<String>())
        };
        let inside = match tree {
            Tree::Word(word) => word.clone(),
            Tree::Text(words) => text(words, style),
            Tree::Array(items) => {
                let items: Vec<_> = items.iter().map(|item| spelled(item, style)).collect();
                format!("[{}{}]", items.join(","), space(style))
            }
            Tree::Object(members) => {
                let mut members: Vec<_> = members
                    .iter()
                    .map(|(key, value)| {
                        (style(), format!("{}{}:{}", space(style), text(key, style), spelled(value, style)))
                    })
                    .collect();
                members.sort();
                let members: Vec<_> = members.into_iter().map(|(_, member)| member).collect();
                format!("{{{}{}}}", members.join(","), space(style))
            }
        };
        format!("{}{inside}{}", space(style), space(style))
    }

    /// Changes the `n`th leaf to `to`.
    fn changed(tree: &mut Tree, n: &mut usize, to: &Tree) {
        match tree {
            Tree::Array(items) if !items.is_empty() => items.iter_mut().for_each(|item| changed(item, n, to)),
            Tree::Object(members) if !members.is_empty() => {
                members.values_mut().for_each(|member| changed(member, n, to));
            }
            leaf => {
                if *n == 0 {
                    *leaf = to.clone();
                }
                *n = n.wrapping_sub(1);
            }
        }
    }

    fn styles(seed: u64) -> impl FnMut() -> u32 {
        let mut random = crate::clock::Random::seeded(seed);
        move || u32::try_from(random.bits() >> 32).expect("32 bits")
    }

    proptest! {
        #[test]
        fn white_space_order_and_escapes_never_change_the_hash(tree in tree(), a: u64, b: u64) {
            let (a, b) = (spelled(&tree, &mut styles(a)), spelled(&tree, &mut styles(b)));
            prop_assert!(canonical(a.as_bytes()).is_some(), "{} is JSON", a);
            prop_assert_eq!(of(&a), of(&b), "{} and {}", a, b);
        }

        #[test]
        fn any_change_of_a_value_changes_the_hash(tree in tree(), at in 0_usize..12, to in tree(), a: u64, b: u64) {
            let mut other = tree.clone();
            changed(&mut other, &mut at.clone(), &to);
            let same = tree == other;
            let (a, b) = (spelled(&tree, &mut styles(a)), spelled(&other, &mut styles(b)));
            prop_assert_eq!(of(&a) == of(&b), same, "{} and {}", a, b);
        }

        #[test]
        fn bytes_of_any_kind_have_a_hash(body: Vec<u8>) {
            prop_assert_eq!(of(&body).len(), 64);
        }
    }
}
