//! Requests in one canonical form, so that the same request always has the same hash.

use serde::Serialize;

use super::onboarding::sha256_hex;

/// Lowercase hex SHA-256 of `request` as JSON without white space, object keys sorted.
///
/// # Errors
/// When it cannot be written as JSON: a map whose keys are no text, say.
pub fn hash(request: &(impl Serialize + ?Sized)) -> Result<String, serde_json::Error> {
    // `Value` keeps an object's keys sorted.
    Ok(sha256_hex(serde_json::to_value(request)?.to_string().as_bytes()))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn the_order_of_keys_does_not_matter_and_a_value_does() {
        let hash_of = |a: u32| hash(&HashMap::from([("b", 1), ("a", a), ("c", 3)])).expect("plain JSON");
        assert_eq!(hash_of(2), hash(&serde_json::json!({"a": 2, "b": 1, "c": 3})).expect("plain JSON"));
        assert_ne!(hash_of(2), hash_of(4));
    }
}
