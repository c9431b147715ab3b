//! The filter language: `status:failed tenant:acme error:"rate limit" !state:NOTIFYING`, and free text over ids,
//! tenants, repositories and error text. Parsed here once; the store turns terms into conditions.

use serde::{Deserialize, Serialize};

use super::reader::List;
use crate::domain::{
    action::ActionKind,
    key::{KeyPhase, KeyStatus},
    letter::{LetterOutcome, LetterReason, LetterStatus},
    onboarding::{Phase, State, Status},
    word::words,
};

words!(
    /// A column a term can name.
    Field, "filter field", {
        /// The word others see, or the finer phase.
        Status = "status",
        /// The state.
        State = "state",
        /// The tenant.
        Tenant = "tenant",
        /// The repository.
        Repo = "repo",
        /// The error text.
        Error = "error",
        /// The operation.
        Operation = "operation",
        /// The id.
        Id = "id",
        /// Who did it.
        Operator = "operator",
    }
);

/// One condition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Term {
    /// The column; `None` looks at all text columns of the list.
    pub field: Option<Field>,
    /// What it must contain (status and state: equal, and a known word), without regard to case.
    pub value: String,
    /// The row must not match.
    pub negated: bool,
}

/// Every term must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// In the order typed.
    pub terms: Vec<Term>,
}

/// A filter that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// No such field.
    #[error("no field {0:?}: use status, state, tenant, repo, error, operation, id or operator")]
    UnknownField(String),
    /// A quote was opened and never closed.
    #[error("a quote is not closed")]
    OpenQuote,
    /// Nothing after the colon or the exclamation mark.
    #[error("nothing after {0:?}")]
    NoValue(String),
    /// No row of the list has such a status.
    #[error("no status {found:?}: {known}")]
    UnknownStatus {
        /// What was typed.
        found: String,
        /// Those there are.
        known: String,
    },
    /// There is no such state.
    #[error("no state {0:?}: use {states} or how one of them begins", states = list(STATE_WORDS))]
    UnknownState(String),
    /// Several states begin so.
    #[error("state {found:?} could be {candidates}: type more of it")]
    AmbiguousState {
        /// What was typed.
        found: String,
        /// The states that begin so, separated by "or".
        candidates: String,
    },
}

type Words = fn() -> Vec<&'static str>;

const ONBOARDING_WORDS: Words = || {
    let statuses = Status::ALL.iter().map(|word| word.as_str());
    statuses.chain(Phase::ALL.iter().map(|word| word.as_str())).chain(["elsewhere"]).collect()
};
const KEY_WORDS: Words = || {
    let statuses = KeyStatus::ALL.iter().map(|word| word.as_str());
    statuses.chain(KeyPhase::ALL.iter().map(|word| word.as_str())).chain(KEY_SAID).collect()
};
/// Where keys stand by their lease or answer as well: no single column says it.
const KEY_SAID: [&str; 4] = ["in_flight", "stuck", "elsewhere", "failed_for_good"];
const LETTER_WORDS: Words = || {
    let statuses = LetterStatus::ALL.iter().map(|word| word.as_str());
    let outcomes = LetterOutcome::ALL.iter().map(|word| word.as_str());
    statuses.chain(outcomes).chain(LetterReason::ALL.iter().map(|word| word.as_str())).collect()
};
const AUDIT_WORDS: Words = || ActionKind::ALL.iter().map(|word| word.as_str()).collect();
const STATE_WORDS: Words = || State::ALL.iter().map(|word| word.as_str()).collect();

/// The statuses of each list's rows.
const STATUSES: [(&str, Words); 4] = [
    ("onboardings are", ONBOARDING_WORDS),
    ("keys are", KEY_WORDS),
    ("letters are", LETTER_WORDS),
    ("the audit's are", AUDIT_WORDS),
];

/// How screens say some words of keys.
const SAID: [(&str, &str); 1] = [("free_to_retry", "freed")];

/// Each word once.
fn list(words: Words) -> String {
    let mut told: Vec<String> = Vec::new();
    for word in words() {
        let word = if State::ALL.iter().any(|state| state.as_str() == word) {
            word.to_owned()
        } else {
            word.to_ascii_lowercase()
        };
        if !told.contains(&word) {
            told.push(word);
        }
    }
    told.join(", ")
}

/// A status as columns hold it: a word nobody writes would find nothing and not say why.
fn status(typed: &str, statuses: &[(&str, Words)]) -> Result<String, FilterError> {
    let word = typed.to_lowercase().replace([' ', '-'], "_");
    let word = SAID.iter().find(|(said, _)| *said == word).map_or(word, |(_, word)| (*word).to_owned());
    if statuses.iter().any(|(_, words)| words().iter().any(|known| known.eq_ignore_ascii_case(&word))) {
        return Ok(word);
    }
    let known: Vec<String> =
        statuses.iter().map(|(whose, words)| format!("{whose} {}", list(*words))).collect();
    Err(FilterError::UnknownStatus { found: typed.to_owned(), known: known.join("; ") })
}

/// A state by its name, or by how only it begins.
fn state(typed: &str) -> Result<String, FilterError> {
    let word = typed.to_uppercase().replace([' ', '-'], "_");
    let states = STATE_WORDS();
    if states.contains(&word.as_str()) {
        return Ok(word);
    }
    let begin_so: Vec<&str> = states.into_iter().filter(|state| state.starts_with(&word)).collect();
    match begin_so.as_slice() {
        [] => Err(FilterError::UnknownState(typed.to_owned())),
        [only] => Ok((*only).to_owned()),
        several => {
            Err(FilterError::AmbiguousState { found: typed.to_owned(), candidates: several.join(" or ") })
        }
    }
}

impl Filter {
    /// Whether everything matches.
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// Reads what was typed.
    ///
    /// # Errors
    /// What cannot be read, in words.
    pub fn parse(typed: &str) -> Result<Self, FilterError> {
        Self::of(typed, &STATUSES)
    }

    /// The same for rows of one list: a status of another list's would find nothing and not say why.
    ///
    /// # Errors
    /// What cannot be read, in words.
    pub fn parse_for(list: &List, typed: &str) -> Result<Self, FilterError> {
        Self::of(
            typed,
            match list {
                List::Onboardings => &STATUSES[..1],
                List::Keys => &STATUSES[1..2],
                List::Letters { .. } => &STATUSES[2..3],
                List::Audit => &STATUSES[3..],
                List::None => &STATUSES,
            },
        )
    }

    fn of(typed: &str, statuses: &[(&str, Words)]) -> Result<Self, FilterError> {
        let terms = split(typed)?.into_iter().map(|word| term(&word, statuses)).collect::<Result<_, _>>()?;
        Ok(Self { terms })
    }
}

fn term(word: &str, statuses: &[(&str, Words)]) -> Result<Term, FilterError> {
    let (negated, rest) = word.strip_prefix('!').map_or((false, word), |rest| (true, rest));
    // A URL has a colon too: only a plain word before it names a field.
    let (field, value) = match rest.split_once(':') {
        Some((name, value)) if !value.starts_with("//") && name.chars().all(|c| c.is_ascii_alphabetic()) => {
            let field =
                name.to_ascii_lowercase().parse().map_err(|_| FilterError::UnknownField(name.to_owned()))?;
            (Some(field), value)
        }
        _ => (None, rest),
    };
    if value.is_empty() {
        return Err(FilterError::NoValue(word.to_owned()));
    }
    let value = match field {
        Some(Field::Status) => status(value, statuses)?,
        Some(Field::State) => state(value)?,
        _ => value.to_owned(),
    };
    Ok(Term { field, value, negated })
}

/// Splits at spaces outside double quotes and drops the quotes.
fn split(typed: &str) -> Result<Vec<String>, FilterError> {
    let (mut words, mut word, mut quoted, mut begun) = (Vec::new(), String::new(), false, false);
    for c in typed.chars() {
        match c {
            '"' => {
                quoted = !quoted;
                begun = true;
            }
            c if c.is_whitespace() && !quoted => {
                if begun {
                    words.push(std::mem::take(&mut word));
                }
                begun = false;
            }
            c => {
                word.push(c);
                begun = true;
            }
        }
    }
    if quoted {
        return Err(FilterError::OpenQuote);
    }
    if begun {
        words.push(word);
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_quotes_negation_and_free_text_are_read() {
        let filter =
            Filter::parse(r#"status:failed error:"rate limit" !state:NOTIFYING acme https://x/y"#).unwrap();
        let as_words: Vec<_> =
            filter.terms.iter().map(|t| (t.field.map(Field::as_str), t.value.as_str(), t.negated)).collect();
        assert_eq!(
            as_words,
            [
                (Some("status"), "failed", false),
                (Some("error"), "rate limit", false),
                (Some("state"), "NOTIFYING", true),
                (None, "acme", false),
                (None, "https://x/y", false),
            ]
        );
    }

    #[test]
    fn what_cannot_be_read_is_said_exactly() {
        assert_eq!(Filter::parse("colour:red"), Err(FilterError::UnknownField("colour".to_owned())));
        assert_eq!(Filter::parse("error:\"rate"), Err(FilterError::OpenQuote));
        assert_eq!(Filter::parse("status:"), Err(FilterError::NoValue("status:".to_owned())));
    }

    fn value(typed: &str) -> Result<String, String> {
        Filter::parse(typed).map(|filter| filter.terms[0].value.clone()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_status_nobody_has_is_refused_with_those_there_are() {
        let refused = value("!status:faild").unwrap_err();
        assert!(
            refused.starts_with("no status \"faild\": onboardings are in_progress, completed, failed,"),
            "{refused}"
        );
        for known in ["rolled_back", "elsewhere", "failed_storage", "replaying", "roll_back"] {
            assert!(refused.contains(known), "{known}: {refused}");
        }
    }

    #[test]
    fn a_status_of_another_list_is_refused_with_this_lists_own() {
        let refused = Filter::parse_for(&List::Onboardings, "status:open").unwrap_err().to_string();
        assert!(refused.starts_with("no status \"open\": onboardings are in_progress,"), "{refused}");
        assert!(!refused.contains("letters") && !refused.contains("discarded"), "{refused}");
        assert!(Filter::parse_for(&List::Letters { group: None }, "status:open").is_ok());
        assert!(Filter::parse_for(&List::Audit, "status:replay !status:discard").is_ok());
        assert!(Filter::parse_for(&List::Keys, "status:stuck").is_ok());
    }

    #[test]
    fn a_status_may_be_typed_as_screens_say_it() {
        for (typed, expected) in [
            ("status:FAILED", "failed"),
            ("status:\"rolled back\"", "rolled_back"),
            ("status:Rolling-Back", "rolling_back"),
            ("status:\"in flight\"", "in_flight"),
            ("status:\"failed storage\"", "failed_storage"),
            ("status:stuck", "stuck"),
            ("status:exhausted", "exhausted"),
            ("status:replay", "replay"),
        ] {
            assert_eq!(value(typed).as_deref(), Ok(expected), "{typed}");
        }
    }

    #[test]
    fn a_state_may_be_typed_by_how_only_it_begins() {
        assert_eq!(value("state:configuring").as_deref(), Ok("CONFIGURING_SYNC"));
        assert_eq!(value("state:\"rolling back\"").as_deref(), Ok("ROLLING_BACK"));
        assert_eq!(
            value("state:re").unwrap_err(),
            "state \"re\" could be RECEIVED or REGISTERING: type more of it"
        );
        let refused = value("state:NOTIFING").unwrap_err();
        assert!(refused.starts_with("no state \"NOTIFING\": use RECEIVED, VALIDATING,"), "{refused}");
    }
}
