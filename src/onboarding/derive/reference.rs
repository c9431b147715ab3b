//! Entity references as people write them: `[kind:][namespace/]name`.

use crate::domain::catalog::EntityRef;

/// A reference with its parts filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reference {
    pub(super) kind: String,
    pub(super) namespace: String,
    pub(super) name: String,
}

impl Reference {
    /// Reads `text`; what it leaves out comes from `kind` and `namespace`. `None` where a part is missing.
    pub(super) fn parse(text: &str, kind: Option<&str>, namespace: &str) -> Option<Self> {
        let (kind, rest) = match text.trim().split_once(':') {
            Some((kind, rest)) => (kind, rest),
            None => (kind?, text.trim()),
        };
        let (namespace, name) = rest.split_once('/').unwrap_or((namespace, rest));
        let whole = [kind, namespace, name].iter().all(|part| !part.is_empty());
        whole.then(|| Self { kind: kind.to_owned(), namespace: namespace.to_owned(), name: name.to_owned() })
    }

    /// As the catalog compares it.
    pub(super) fn entity_ref(&self) -> EntityRef {
        EntityRef(format!("{}:{}/{}", self.kind, self.namespace, self.name).to_lowercase())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_reference_leaves_out_is_filled_in() {
        let read = |text| Reference::parse(text, Some("group"), "acme").map(|r| r.entity_ref().0);
        assert_eq!(read("platform").as_deref(), Some("group:acme/platform"));
        assert_eq!(read("User:jane").as_deref(), Some("user:acme/jane"));
        assert_eq!(read("group:default/Platform").as_deref(), Some("group:default/platform"));
        assert_eq!(read("group:"), None);
        assert_eq!(Reference::parse("ledger", None, "acme"), None);
    }
}
