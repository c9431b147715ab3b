//! `Retry-After`: how long the other side asks us to wait, whatever its status. From outside: hostile.

use std::time::{Duration, SystemTime};

/// No wait that is asked for is taken to be longer; a policy may allow less.
pub const LONGEST: Duration = Duration::from_secs(24 * 3_600);

/// Reads seconds, or an HTTP date in any of its three forms relative to `now`.
///
/// A date that has passed means now. What is neither, `1.5`, `+5`, `-1` or a page of text, is `None`.
pub fn parse(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim_matches([' ', '\t']);
    let asked = if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
        // A number too large to hold is still a number: the longest wait.
        value.parse().map_or(LONGEST, Duration::from_secs)
    } else {
        httpdate::parse_http_date(value).ok()?.duration_since(now).unwrap_or_default()
    };
    Some(asked.min(LONGEST))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Duration = Duration::from_secs(784_111_747);

    fn read(value: &str) -> Option<u64> {
        parse(value, SystemTime::UNIX_EPOCH + NOW).map(|wait| wait.as_secs())
    }

    #[test]
    fn seconds_are_read_and_held_to_the_longest() {
        assert_eq!(read("120"), Some(120));
        assert_eq!(read(" 0\t"), Some(0));
        assert_eq!(read("0000000000000000000000000000007"), Some(7));
        assert_eq!(read("99999999999999999999999999"), Some(86_400));
        assert_eq!(read("31536000"), Some(86_400));
    }

    #[test]
    fn the_three_forms_of_a_date_are_read() {
        assert_eq!(read("Sun, 06 Nov 1994 08:49:37 GMT"), Some(30));
        assert_eq!(read("Sunday, 06-Nov-94 08:49:37 GMT"), Some(30));
        assert_eq!(read("Sun Nov  6 08:49:37 1994"), Some(30));
        assert_eq!(read("Sun, 06 Nov 1994 08:00:00 GMT"), Some(0), "it has passed");
        assert_eq!(read("Fri, 31 Dec 9999 23:59:59 GMT"), Some(86_400));
    }

    #[test]
    fn what_is_neither_says_nothing() {
        for value in
            ["", " ", "soon", "-1", "+5", "1.5", "1e3", "0x10", "١٢", "NaN", "12 34", "Sun, 31 Feb 1994"]
        {
            assert_eq!(read(value), None, "{value:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic_or_wait_longer(value in "\\PC{0,40}|[0-9 ,:A-Za-z-]{0,40}") {
            prop_assert!(read(&value).is_none_or(|seconds| seconds <= LONGEST.as_secs()));
        }
    }
}
