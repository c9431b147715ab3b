//! How values stand in columns: times in one fixed form, text that may be anything.
//!
//! Other services write these columns too, so reading never fails on what they left there.

use std::time::Duration;

use chrono::{DateTime, Datelike, SecondsFormat, SubsecRound, TimeDelta, Utc};
use sqlx::{
    Decode, Encode, Postgres, Sqlite, Type, encode::IsNull, error::BoxDynError, postgres::PgValueFormat,
};

/// An instant. SQLite compares times as text, so there they have one form: six digits and `+00:00`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Time(pub(super) DateTime<Utc>);

impl Time {
    /// Cut to what both databases keep.
    pub(super) fn new(at: DateTime<Utc>) -> Self {
        Self(at.trunc_subsecs(6))
    }

    pub(super) fn plus(self, duration: Duration) -> Self {
        let delta = TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX);
        Self::new(self.0.checked_add_signed(delta).unwrap_or(DateTime::<Utc>::MAX_UTC))
    }

    pub(super) fn minus(self, duration: Duration) -> Self {
        let delta = TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX);
        Self::new(self.0.checked_sub_signed(delta).unwrap_or(DateTime::<Utc>::MIN_UTC))
    }

    /// How long from `earlier` to this; zero if it is not later.
    pub(super) fn since(self, earlier: Self) -> Duration {
        (self.0 - earlier.0).to_std().unwrap_or_default()
    }
}

impl Type<Sqlite> for Time {
    fn type_info() -> <Sqlite as sqlx::Database>::TypeInfo {
        <String as Type<Sqlite>>::type_info()
    }
    fn compatible(_: &<Sqlite as sqlx::Database>::TypeInfo) -> bool {
        true
    }
}

impl Encode<'_, Sqlite> for Time {
    fn encode_by_ref(
        &self,
        buffer: &mut <Sqlite as sqlx::Database>::ArgumentBuffer,
    ) -> Result<IsNull, BoxDynError> {
        let text = self.0.to_rfc3339_opts(SecondsFormat::Micros, false);
        <String as Encode<'_, Sqlite>>::encode(text, buffer)
    }
}

impl<'r> Decode<'r, Sqlite> for Time {
    fn decode(value: <Sqlite as sqlx::Database>::ValueRef<'r>) -> Result<Self, BoxDynError> {
        let text = <Text as Decode<'r, Sqlite>>::decode(value)?.0;
        // What cannot be read was written around the triggers; it sorts as the oldest.
        Ok(Self(DateTime::parse_from_rfc3339(&text).map_or(DateTime::UNIX_EPOCH, |at| at.to_utc())))
    }
}

impl Type<Postgres> for Time {
    fn type_info() -> <Postgres as sqlx::Database>::TypeInfo {
        <DateTime<Utc> as Type<Postgres>>::type_info()
    }
}

impl Encode<'_, Postgres> for Time {
    fn encode_by_ref(
        &self,
        buffer: &mut <Postgres as sqlx::Database>::ArgumentBuffer,
    ) -> Result<IsNull, BoxDynError> {
        // The ends of our range are beyond Postgres': they stand for its infinities, as they do when read.
        match self.0.year() {
            ..=-4_713 => <i64 as Encode<'_, Postgres>>::encode_by_ref(&i64::MIN, buffer),
            262_000.. => <i64 as Encode<'_, Postgres>>::encode_by_ref(&i64::MAX, buffer),
            _ => <DateTime<Utc> as Encode<'_, Postgres>>::encode_by_ref(&self.0, buffer),
        }
    }
}

impl<'r> Decode<'r, Postgres> for Time {
    fn decode(value: <Postgres as sqlx::Database>::ValueRef<'r>) -> Result<Self, BoxDynError> {
        if value.format() == PgValueFormat::Text {
            return Ok(Self(<DateTime<Utc> as Decode<'r, Postgres>>::decode(value)?));
        }
        // By hand, because the driver panics on `infinity`, which others may write.
        let micros = <i64 as Decode<'r, Postgres>>::decode(value)?;
        const EPOCH_2000: i64 = 946_684_800_000_000;
        let at = micros.checked_add(EPOCH_2000).and_then(DateTime::from_timestamp_micros);
        let end = if micros > 0 { DateTime::<Utc>::MAX_UTC } else { DateTime::<Utc>::MIN_UTC };
        Ok(Self(at.unwrap_or(end)))
    }
}

/// Text that others may have written: on SQLite a text column can hold bytes or numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Text(pub(super) String);

impl Type<Sqlite> for Text {
    fn type_info() -> <Sqlite as sqlx::Database>::TypeInfo {
        <String as Type<Sqlite>>::type_info()
    }
    fn compatible(_: &<Sqlite as sqlx::Database>::TypeInfo) -> bool {
        true
    }
}

impl<'r> Decode<'r, Sqlite> for Text {
    fn decode(value: <Sqlite as sqlx::Database>::ValueRef<'r>) -> Result<Self, BoxDynError> {
        let bytes = <Vec<u8> as Decode<'r, Sqlite>>::decode(value)?;
        Ok(Self(
            String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned()),
        ))
    }
}

impl Type<Postgres> for Text {
    fn type_info() -> <Postgres as sqlx::Database>::TypeInfo {
        <String as Type<Postgres>>::type_info()
    }
    fn compatible(found: &<Postgres as sqlx::Database>::TypeInfo) -> bool {
        <String as Type<Postgres>>::compatible(found)
    }
}

impl<'r> Decode<'r, Postgres> for Text {
    fn decode(value: <Postgres as sqlx::Database>::ValueRef<'r>) -> Result<Self, BoxDynError> {
        Ok(Self(<String as Decode<'r, Postgres>>::decode(value)?))
    }
}

/// A whole number that others may have written: on SQLite a number's column can hold text, which then counts for 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Int(pub(super) i64);

impl Type<Sqlite> for Int {
    fn type_info() -> <Sqlite as sqlx::Database>::TypeInfo {
        <i64 as Type<Sqlite>>::type_info()
    }
    fn compatible(_: &<Sqlite as sqlx::Database>::TypeInfo) -> bool {
        true
    }
}

impl<'r> Decode<'r, Sqlite> for Int {
    fn decode(value: <Sqlite as sqlx::Database>::ValueRef<'r>) -> Result<Self, BoxDynError> {
        Ok(Self(<i64 as Decode<'r, Sqlite>>::decode(value)?))
    }
}

impl Type<Postgres> for Int {
    fn type_info() -> <Postgres as sqlx::Database>::TypeInfo {
        <i64 as Type<Postgres>>::type_info()
    }
}

impl<'r> Decode<'r, Postgres> for Int {
    fn decode(value: <Postgres as sqlx::Database>::ValueRef<'r>) -> Result<Self, BoxDynError> {
        Ok(Self(<i64 as Decode<'r, Postgres>>::decode(value)?))
    }
}

/// Text as it can be stored: Postgres refuses NUL in text and in JSON, so it is written out.
pub(super) fn clean(text: &str) -> String {
    if text.contains('\0') { text.replace('\0', "\\u0000") } else { text.to_owned() }
}

/// JSON as it can be stored, keys and all.
pub(super) fn clean_json(value: &serde_json::Value) -> sqlx::types::Json<serde_json::Value> {
    fn walk(value: &serde_json::Value) -> serde_json::Value {
        use serde_json::Value as V;
        match value {
            V::String(text) => V::String(clean(text)),
            V::Array(items) => V::Array(items.iter().map(walk).collect()),
            V::Object(map) => V::Object(map.iter().map(|(k, v)| (clean(k), walk(v))).collect()),
            other => other.clone(),
        }
    }
    sqlx::types::Json(walk(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nul_is_written_out_wherever_it_stands() {
        let hostile = serde_json::json!({"a\0": ["x\0y", {"n": 1}]});
        let text = clean_json(&hostile).0.to_string();
        assert_eq!(text, r#"{"a\\u0000":["x\\u0000y",{"n":1}]}"#);
    }

    #[test]
    fn a_time_moves_and_never_leaves_its_range() {
        let at = Time::new(DateTime::UNIX_EPOCH);
        assert_eq!(at.plus(Duration::from_secs(5)).since(at), Duration::from_secs(5));
        assert_eq!(at.since(at.plus(Duration::from_secs(5))), Duration::ZERO);
        assert!(at.plus(Duration::MAX) > at);
    }
}
