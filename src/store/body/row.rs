//! Reading a row's columns by name, leniently where others write them.

use std::str::FromStr;

use serde_json::Value;
use sqlx::{Database, Row as _};

use super::Db;
use crate::{
    domain::{action::ActionKind, mask, text::SafeText},
    engine::command::LastAction,
    store::value::{Int, Text, Time},
};

pub(super) type Row = <Db as Database>::Row;
type Got<T> = Result<T, sqlx::Error>;

/// A row's columns as what they mean.
pub(super) trait Columns {
    fn raw(&self) -> &Row;

    fn opt_text(&self, column: &str) -> Got<Option<String>> {
        Ok(self.raw().try_get::<Option<Text>, _>(column)?.map(|t| t.0))
    }

    /// Empty where there is none.
    fn text(&self, column: &str) -> Got<String> {
        Ok(self.opt_text(column)?.unwrap_or_default())
    }

    /// What somebody or something said, for whoever looks: without secrets.
    fn told(&self, column: &str) -> Got<SafeText> {
        Ok(told(&self.text(column)?))
    }

    fn opt_told(&self, column: &str) -> Got<Option<SafeText>> {
        Ok(self.opt_text(column)?.map(|text| told(&text)))
    }

    /// A name, as it is: an operator may well be called by an e-mail address.
    fn name(&self, column: &str) -> Got<SafeText> {
        Ok(SafeText::new(&self.text(column)?))
    }

    fn opt_name(&self, column: &str) -> Got<Option<SafeText>> {
        Ok(self.opt_text(column)?.map(|name| SafeText::new(&name)))
    }

    fn id<I: From<String>>(&self, column: &str) -> Got<I> {
        Ok(self.text(column)?.into())
    }

    fn opt_id<I: From<String>>(&self, column: &str) -> Got<Option<I>> {
        Ok(self.opt_text(column)?.map(Into::into))
    }

    /// `None` for a missing word and for one that is not known.
    fn word<W: FromStr>(&self, column: &str) -> Got<Option<W>> {
        Ok(self.opt_text(column)?.and_then(|word| word.parse().ok()))
    }

    fn opt_time(&self, column: &str) -> Got<Option<Time>> {
        self.raw().try_get(column)
    }

    fn time(&self, column: &str) -> Got<Time> {
        Ok(self.opt_time(column)?.unwrap_or(Time(chrono::DateTime::UNIX_EPOCH)))
    }

    fn opt_int(&self, column: &str) -> Got<Option<i64>> {
        Ok(self.raw().try_get::<Option<Int>, _>(column)?.map(|n| n.0))
    }

    fn int(&self, column: &str) -> Got<i64> {
        Ok(self.opt_int(column)?.unwrap_or_default())
    }

    /// Of two counters that only grow: in range whatever others wrote there.
    fn sum(&self, one: &str, other: &str) -> Got<i64> {
        Ok(self.int(one)?.saturating_add(self.int(other)?))
    }

    fn int32(&self, column: &str) -> Got<i32> {
        Ok(i32::try_from(self.int(column)?).unwrap_or(i32::MAX))
    }

    /// SQLite keeps whatever others write: what is no number is 0, as it is for [`int`](Self::int).
    fn float(&self, column: &str) -> Got<Option<f64>> {
        self.raw().try_get_unchecked(column)
    }

    fn bytes(&self, column: &str) -> Got<Option<Vec<u8>>> {
        self.raw().try_get_unchecked(column)
    }

    /// JSON that was selected as text; `null` where it is missing or malformed.
    fn json(&self, column: &str) -> Got<Value> {
        Ok(self.json_or_why(column)?.0)
    }

    /// The same, and why it cannot be read where it is malformed.
    fn json_or_why(&self, column: &str) -> Got<(Value, Option<String>)> {
        let text = self.opt_text(column)?.filter(|text| !text.trim().is_empty());
        Ok(match text.map(|text| serde_json::from_str(&text)) {
            None => (Value::Null, None),
            Some(Ok(value)) => (value, None),
            Some(Err(error)) => (Value::Null, Some(error.to_string())),
        })
    }

    /// The columns `a_operator`, `a_kind`, `a_at` of a joined action.
    fn last_action(&self) -> Got<Option<LastAction>> {
        let Some(operator) = self.opt_text("a_operator")? else { return Ok(None) };
        let Some(kind) = self.word::<ActionKind>("a_kind")? else { return Ok(None) };
        Ok(Some(LastAction { operator, kind, at: self.time("a_at")?.0 }))
    }
}

impl Columns for Row {
    fn raw(&self) -> &Row {
        self
    }
}

/// The one place where secrets are taken out of what is read to be shown: errors, reasons, addresses. No screen, answer,
/// recording or export gets them in another way.
pub(super) fn told(text: &str) -> SafeText {
    SafeText::new(&mask::secrets(text))
}

/// The strings in a JSON array; nothing for anything else.
pub(super) fn strings(value: &Value) -> Vec<String> {
    let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
    items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect()
}
