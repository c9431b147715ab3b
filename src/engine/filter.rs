//! The filter language: `status:failed tenant:acme error:"rate limit" !state:NOTIFYING`, and free text over ids,
//! tenants, repositories and error text. Parsed here once; the store turns terms into conditions.

use serde::{Deserialize, Serialize};

use super::reader::List;
use crate::domain::{
    action::ActionKind,
    key::{KeyPhase, KeyStatus},
    letter::{LetterOutcome, LetterReason, LetterStatus},
    onboarding::{Phase, State, Status},
    text::SafeText,
    word::words,
};

words!(
    /// A column a term can name.
    Field, "filter field", {
        /// The word others see, or the finer phase.
        Status = "status",
        /// What was done.
        Action = "action",
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
        /// How long ago it began, compared: `>1h`, `<10m`.
        Age = "age",
        /// How often it was tried, compared: `>3`.
        Attempts = "attempts",
        /// How often it was replayed, compared.
        Replays = "replays",
        /// How many other requests came under the key, compared.
        Conflicts = "conflicts",
    }
);

/// One condition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Term {
    /// The column; `None` looks at all text columns of the list.
    pub field: Option<Field>,
    /// What it must contain (status, action and state: equal, and a known word), without regard to case; of fields that are
    /// compared, the sign and the number or time: [`Term::compared`].
    pub value: String,
    /// The row must not match.
    pub negated: bool,
}

/// How a number or an age is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is its sign")]
pub enum Comparison {
    Less,
    AtMost,
    Equal,
    AtLeast,
    More,
}

impl Field {
    /// Whether its values are compared instead of looked for.
    pub const fn is_compared(self) -> bool {
        matches!(self, Self::Age | Self::Attempts | Self::Replays | Self::Conflicts)
    }

    /// The fields that rows of `list` have.
    pub const fn of(list: &List) -> &'static [Self] {
        use Field as F;
        match list {
            List::Onboardings => &[
                F::Status,
                F::State,
                F::Tenant,
                F::Repo,
                F::Error,
                F::Operation,
                F::Id,
                F::Operator,
                F::Age,
                F::Attempts,
            ],
            List::Keys => &[
                F::Status,
                F::State,
                F::Tenant,
                F::Repo,
                F::Operation,
                F::Id,
                F::Operator,
                F::Age,
                F::Attempts,
                F::Conflicts,
            ],
            List::Letters { .. } => &[
                F::Status,
                F::State,
                F::Tenant,
                F::Repo,
                F::Error,
                F::Operation,
                F::Id,
                F::Operator,
                F::Age,
                F::Replays,
            ],
            List::Audit => &[F::Action, F::Id, F::Operator, F::Age],
            List::None => Self::ALL,
        }
    }
}

impl Term {
    /// What the row's age (in seconds) or number is compared with; `None` for fields that are not compared.
    pub fn compared(&self) -> Option<(Comparison, i64)> {
        self.field.filter(|field| field.is_compared()).and_then(|field| compared(field, &self.value))
    }
}

/// An age needs a sign, because hardly a row is exactly so old.
fn compared(field: Field, value: &str) -> Option<(Comparison, i64)> {
    use Comparison::{AtLeast, AtMost, Equal, Less, More};
    let signs = [(">=", AtLeast), ("<=", AtMost), (">", More), ("<", Less), ("=", Equal)];
    let (comparison, rest) = signs
        .into_iter()
        .find_map(|(sign, comparison)| value.strip_prefix(sign).map(|rest| (comparison, rest)))
        .unwrap_or((Equal, value));
    if field == Field::Age {
        let age = humantime::parse_duration(rest.trim()).ok()?;
        let seconds = i64::try_from(age.as_secs()).ok().filter(|seconds| *seconds <= 100 * 366 * 86_400)?;
        return (comparison != Equal).then_some((comparison, seconds));
    }
    rest.trim().parse::<u32>().ok().map(|number| (comparison, i64::from(number)))
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
    #[error("no field {found:?}: use {known}")]
    UnknownField {
        /// What was typed.
        found: String,
        /// Those the list has.
        known: String,
    },
    /// Rows of this list have no such field.
    #[error("{whose} no {field}: use {known}")]
    NotHere {
        /// `keys have`.
        whose: &'static str,
        /// Which.
        field: Field,
        /// Those they have.
        known: String,
    },
    /// It is not a comparison.
    #[error("{field}:{} is not a comparison: {example}", SafeText::new(.found))]
    NotCompared {
        /// Of which field.
        field: Field,
        /// What was typed.
        found: String,
        /// What would be.
        example: &'static str,
    },
    /// In one of several words.
    #[error("word {at}, {}: {why}", SafeText::new(.word))]
    At {
        /// Which, from 1.
        at: usize,
        /// As typed, cut.
        word: String,
        /// What is wrong with it.
        why: Box<FilterError>,
    },
    /// A quote was opened and never closed.
    #[error("a quote is not closed")]
    OpenQuote,
    /// Nothing after the colon or the exclamation mark.
    #[error("nothing after {0:?}")]
    NoValue(String),
    /// No row of the list has such a status, or there is no such action.
    #[error("no {field} {found:?}: {known}")]
    UnknownWord {
        /// Of which field.
        field: Field,
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

impl FilterError {
    /// What is wrong, wherever.
    pub fn cause(&self) -> &Self {
        match self {
            Self::At { why, .. } => why.cause(),
            cause => cause,
        }
    }
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
const ACTION_WORDS: Words = || ActionKind::ALL.iter().map(|word| word.as_str()).collect();
const STATE_WORDS: Words = || State::ALL.iter().map(|word| word.as_str()).collect();

/// The statuses of each list's rows.
const STATUSES: [(&str, Words); 3] =
    [("onboardings are", ONBOARDING_WORDS), ("keys are", KEY_WORDS), ("letters are", LETTER_WORDS)];
/// What operators do.
const ACTIONS: [(&str, Words); 1] = [("actions are", ACTION_WORDS)];

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

/// A status or an action as columns hold it: a word nobody writes would find nothing and not say why.
fn known(field: Field, typed: &str, known: &[(&str, Words)]) -> Result<String, FilterError> {
    let word = typed.to_lowercase().replace([' ', '-'], "_");
    let word = SAID.iter().find(|(said, _)| *said == word).map_or(word, |(_, word)| (*word).to_owned());
    if known.iter().any(|(_, words)| words().iter().any(|known| known.eq_ignore_ascii_case(&word))) {
        return Ok(word);
    }
    let known: Vec<String> = known.iter().map(|(whose, words)| format!("{whose} {}", list(*words))).collect();
    Err(FilterError::UnknownWord { field, found: typed.to_owned(), known: known.join("; ") })
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
        Self::of(&List::None, typed, &STATUSES)
    }

    /// The words that may stand after `field:` in a list, as far as they are known beforehand.
    pub fn known_values(list: &List, field: Field) -> Vec<String> {
        let told = |words: Words| self::list(words).split(", ").map(str::to_owned).collect();
        match (field, list) {
            (Field::State, _) => told(STATE_WORDS),
            (Field::Status, List::Onboardings) => told(ONBOARDING_WORDS),
            (Field::Status, List::Keys) => told(KEY_WORDS),
            (Field::Status, List::Letters { .. }) => told(LETTER_WORDS),
            (Field::Action, _) => told(ACTION_WORDS),
            (Field::Age, _) => [">1h", "<10m", ">1day"].map(str::to_owned).to_vec(),
            (Field::Attempts | Field::Replays | Field::Conflicts, _) => {
                [">0", ">3", "=1"].map(str::to_owned).to_vec()
            }
            _ => Vec::new(),
        }
    }

    /// The same for rows of one list: a status of another list's would find nothing and not say why.
    ///
    /// # Errors
    /// What cannot be read, in words.
    pub fn parse_for(list: &List, typed: &str) -> Result<Self, FilterError> {
        Self::of(
            list,
            typed,
            match list {
                List::Onboardings => &STATUSES[..1],
                List::Keys => &STATUSES[1..2],
                List::Letters { .. } => &STATUSES[2..],
                List::Audit | List::None => &STATUSES,
            },
        )
    }

    fn of(list: &List, typed: &str, statuses: &[(&str, Words)]) -> Result<Self, FilterError> {
        let words = split(typed)?;
        let several = words.len() > 1;
        let read = |(at, word): (usize, &String)| {
            term(list, word, statuses).map_err(|why| match several {
                true => {
                    FilterError::At { at: at + 1, word: word.chars().take(40).collect(), why: Box::new(why) }
                }
                false => why,
            })
        };
        Ok(Self { terms: words.iter().enumerate().map(read).collect::<Result<_, _>>()? })
    }
}

/// Whose rows, for errors.
const fn whose(list: &List) -> &'static str {
    match list {
        List::Onboardings => "onboardings have",
        List::Keys => "keys have",
        List::Letters { .. } => "letters have",
        List::Audit => "the audit's rows have",
        List::None => "these rows have",
    }
}

/// The fields its rows have.
fn fields(list: &List) -> String {
    Field::of(list).iter().map(|field| field.as_str()).collect::<Vec<_>>().join(", ")
}

fn term(list: &List, word: &str, statuses: &[(&str, Words)]) -> Result<Term, FilterError> {
    let (negated, rest) = word.strip_prefix('!').map_or((false, word), |rest| (true, rest));
    // A URL has a colon too: only a plain word before it names a field.
    let (field, value) = match rest.split_once(':') {
        Some((name, value)) if !value.starts_with("//") && name.chars().all(|c| c.is_ascii_alphabetic()) => {
            let field = name.to_ascii_lowercase().parse();
            let field = field
                .map_err(|_| FilterError::UnknownField { found: name.to_owned(), known: fields(list) })?;
            (Some(field), value)
        }
        _ => (None, rest),
    };
    if value.is_empty() {
        return Err(FilterError::NoValue(word.to_owned()));
    }
    if let Some(field) = field.filter(|field| !Field::of(list).contains(field)) {
        return Err(FilterError::NotHere { whose: whose(list), field, known: fields(list) });
    }
    let value = match field {
        Some(field) if field.is_compared() && compared(field, value).is_none() => {
            let example = match field {
                Field::Age => "age:>1h, age:<10m",
                _ => "use >3, >=3, <3, <=3 or =3",
            };
            return Err(FilterError::NotCompared { field, found: value.to_owned(), example });
        }
        Some(Field::Status) => known(Field::Status, value, statuses)?,
        Some(Field::Action) => known(Field::Action, value, &ACTIONS)?,
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
        let refused = Filter::parse_for(&List::Keys, "colour:red").unwrap_err().to_string();
        let known = "status, state, tenant, repo, operation, id, operator, age, attempts, conflicts";
        assert_eq!(refused, format!("no field \"colour\": use {known}"));
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
        for known in ["rolled_back", "elsewhere", "failed_storage", "replaying"] {
            assert!(refused.contains(known), "{known}: {refused}");
        }
    }

    #[test]
    fn a_status_of_another_list_is_refused_with_this_lists_own() {
        let refused = Filter::parse_for(&List::Onboardings, "status:open").unwrap_err().to_string();
        assert!(refused.starts_with("no status \"open\": onboardings are in_progress,"), "{refused}");
        assert!(!refused.contains("letters") && !refused.contains("discarded"), "{refused}");
        assert!(Filter::parse_for(&List::Letters { group: None }, "status:open").is_ok());
        assert!(Filter::parse_for(&List::Audit, "action:replay !action:discard").is_ok());
        assert!(Filter::parse_for(&List::Keys, "status:stuck").is_ok());
        let refused = Filter::parse_for(&List::Audit, "status:replay").unwrap_err().to_string();
        assert_eq!(refused, "the audit's rows have no status: use action, id, operator, age");
        let refused = Filter::parse_for(&List::Audit, "action:faild").unwrap_err().to_string();
        assert!(refused.starts_with("no action \"faild\": actions are trigger, resume,"), "{refused}");
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
            ("action:\"roll back\"", "roll_back"),
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

    #[test]
    fn ages_and_numbers_are_compared() {
        use Comparison::{AtMost, Equal, More};
        let compared = |typed: &str| Filter::parse(typed).map(|filter| filter.terms[0].compared());
        assert_eq!(compared("age:>1h"), Ok(Some((More, 3_600))));
        assert_eq!(compared("!age:<=\"1h 30m\""), Ok(Some((AtMost, 5_400))));
        assert_eq!(compared("attempts:3"), Ok(Some((Equal, 3))));
        assert_eq!(compared("replays:>0"), Ok(Some((More, 0))));
        assert_eq!(compared("acme"), Ok(None));
        for (typed, said) in [
            ("age:1h", "age:1h is not a comparison: age:>1h, age:<10m"),
            ("age:>soon", "age:>soon is not a comparison: age:>1h, age:<10m"),
            ("attempts:many", "attempts:many is not a comparison: use >3, >=3, <3, <=3 or =3"),
        ] {
            assert_eq!(Filter::parse(typed).unwrap_err().to_string(), said);
        }
    }

    #[test]
    fn of_several_words_the_wrong_one_is_named() {
        let said = Filter::parse_for(&List::Keys, "status:stuck error:503").unwrap_err().to_string();
        assert!(said.starts_with("word 2, error:503: keys have no error: use status, state,"), "{said}");
        let said = Filter::parse("tenant:a age: x").unwrap_err().to_string();
        assert_eq!(said, "word 2, age:: nothing after \"age:\"");
    }
}
