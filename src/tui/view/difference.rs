//! What is different about an error: word by word, short. Knows no screen.

/// The words that differ between two texts, and where they stand: what both begin and end with is left away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Difference {
    /// What stood there before.
    pub(super) was: String,
    /// What stands there now.
    pub(super) is: String,
    /// Whether most words are the same: a detail changed, not the error.
    pub(super) in_detail: bool,
}

/// The difference of `now` to `before`; `None`: there is none.
pub(super) fn of(before: &str, now: &str) -> Option<Difference> {
    let (old, new): (Vec<&str>, Vec<&str>) =
        (before.split_whitespace().collect(), now.split_whitespace().collect());
    if old == new {
        return None;
    }
    let shorter = old.len().min(new.len());
    let begin = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let end =
        old.iter().rev().zip(new.iter().rev()).take(shorter - begin).take_while(|(a, b)| a == b).count();
    let middle = |words: &[&str]| words[begin..words.len() - end].join(" ");
    Some(Difference { was: middle(&old), is: middle(&new), in_detail: (begin + end) * 2 >= shorter })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn difference(was: &str, is: &str, in_detail: bool) -> Option<Difference> {
        Some(Difference { was: was.to_owned(), is: is.to_owned(), in_detail })
    }

    #[test]
    fn only_the_words_that_differ_are_told() {
        assert_eq!(of("503 from api", "503  from api"), None);
        assert_eq!(of("503 from api after 12 ms", "503 from api after 9 ms"), difference("12", "9", true));
        assert_eq!(of("503 from api", "502 from api"), difference("503", "502", true));
        assert_eq!(of("a b", "a b c"), difference("", "c", true));
        assert_eq!(of("503 from api", "no answer"), difference("503 from api", "no answer", false));
        assert_eq!(of("", "x"), difference("", "x", true));
        assert_eq!(of("a a", "a"), difference("a", "", true));
    }
}
