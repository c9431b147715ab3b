//! The filter language: `status:failed tenant:acme error:"rate limit" !state:NOTIFYING`, and free text over ids,
//! tenants, repositories and error text. Parsed here once; the store turns terms into conditions.

use crate::domain::word::words;

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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    /// The column; `None` looks at all text columns of the list.
    pub field: Option<Field>,
    /// What it must contain (status and state: equal), without regard to case.
    pub value: String,
    /// The row must not match.
    pub negated: bool,
}

/// Every term must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
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
        split(typed)?
            .into_iter()
            .map(|word| term(&word))
            .collect::<Result<_, _>>()
            .map(|terms| Self { terms })
    }
}

fn term(word: &str) -> Result<Term, FilterError> {
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
    Ok(Term { field, value: value.to_owned(), negated })
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
}
