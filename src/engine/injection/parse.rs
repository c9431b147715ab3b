//! `PLACE.MOMENT=WHAT[@FIRST][*TIMES]`: an injection as people write it.

use std::{fmt, str::FromStr, time::Duration};

use super::{Injection, Moment, VERBS, What};

/// What is wrong with an injection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadInjection {
    /// Not of the form.
    #[error("PLACE.MOMENT=WHAT is expected, CONFIGURING_SYNC.after=crash say")]
    Form,
    /// No such place.
    #[error("no such place {0:?}: a state (CONFIGURING_SYNC), a verb of the store ({verbs}), or both (record:NOTIFYING)", verbs = VERBS.join(", "))]
    Place(String),
    /// No such moment.
    #[error("no such moment {0:?}: before, after or, for a verb of the store on SQLite, commit")]
    Moment(String),
    /// No such fault.
    #[error("no such fault {0:?}: fail, delay:TIME, timeout, repeat, crash, stop or panic")]
    What(String),
    /// Not a time.
    #[error("delay: is followed by {0:?}, which is no time such as 500ms or 2s, of at most 1h")]
    Delay(String),
    /// It makes no sense there.
    #[error("{what} makes no sense at {moment}: {why}")]
    Never {
        /// The fault.
        what: String,
        /// The moment.
        moment: String,
        /// What does.
        why: &'static str,
    },
    /// Not a number of times.
    #[error("{0:?} is not a number of times from 1 to 1,000,000")]
    Times(String),
}

impl fmt::Display for Injection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.as_ref().map(|state| format!(":{state}")).unwrap_or_default();
        let moment = match self.moment {
            Moment::Before => "before",
            Moment::After => "after",
            Moment::Commit => "commit",
        };
        let what = match self.what {
            What::Fail => "fail".to_owned(),
            What::Delay(delay) => format!("delay:{}", humantime::format_duration(delay)),
            What::Timeout => "timeout".to_owned(),
            What::Repeat => "repeat".to_owned(),
            What::Crash => "crash".to_owned(),
            What::Stop => "stop".to_owned(),
            What::Panic => "panic".to_owned(),
        };
        write!(f, "{}{state}.{moment}={what}", self.place)?;
        if self.from != 1 {
            write!(f, "@{}", self.from)?;
        }
        if self.times != u32::MAX {
            write!(f, "*{}", self.times)?;
        }
        Ok(())
    }
}

impl FromStr for Injection {
    type Err = BadInjection;

    fn from_str(text: &str) -> Result<Self, BadInjection> {
        let (at, what) = text.split_once('=').ok_or(BadInjection::Form)?;
        let (place, moment) = at.rsplit_once('.').ok_or(BadInjection::Form)?;
        let (place, state) = match place.split_once(':') {
            Some((verb, state)) => (verb, Some(state)),
            None => (place, None),
        };
        let is_verb = VERBS.contains(&place);
        let is_state =
            |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c == '_');
        if !(is_verb && state.is_none_or(is_state) || state.is_none() && is_state(place)) {
            return Err(BadInjection::Place(at.rsplit_once('.').map_or(at, |(place, _)| place).to_owned()));
        }
        let (what, times) = split_number(what, '*', u32::MAX)?;
        let (what, from) = split_number(what, '@', 1)?;
        let never = |why| BadInjection::Never { what: what.to_owned(), moment: moment.to_owned(), why };
        let fault = match (what, what.strip_prefix("delay:").map(humantime::parse_duration)) {
            (_, Some(Ok(delay))) if delay <= Duration::from_secs(3_600) => What::Delay(delay),
            (_, Some(_)) => return Err(BadInjection::Delay(what["delay:".len()..].to_owned())),
            ("fail", _) => What::Fail,
            ("timeout", _) => What::Timeout,
            ("repeat", _) => What::Repeat,
            ("crash", _) => What::Crash,
            ("stop", _) => What::Stop,
            ("panic", _) => What::Panic,
            _ => return Err(BadInjection::What(what.to_owned())),
        };
        let moment = match moment {
            "before" if matches!(fault, What::Timeout | What::Repeat) => {
                return Err(never("it is about an effect that was made: say after"));
            }
            "before" => Moment::Before,
            "after" if is_verb && fault == What::Timeout => {
                return Err(never("a verb of the store fails: say fail"));
            }
            "after" => Moment::After,
            "commit" if is_verb && fault == What::Crash => Moment::Commit,
            "commit" => return Err(never("only a verb of the store can crash there")),
            other => return Err(BadInjection::Moment(other.to_owned())),
        };
        Ok(Self {
            place: place.to_owned(),
            state: state.map(str::to_owned),
            moment,
            what: fault,
            from,
            times,
        })
    }
}

/// The number after the last `mark`, if there is one.
fn split_number(text: &str, mark: char, otherwise: u32) -> Result<(&str, u32), BadInjection> {
    let Some((rest, number)) = text.rsplit_once(mark) else { return Ok((text, otherwise)) };
    match number.parse() {
        Ok(times @ 1..=1_000_000) => Ok((rest, times)),
        _ => Err(BadInjection::Times(number.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Injection {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn wrong(text: &str) -> String {
        text.parse::<Injection>().expect_err(text).to_string()
    }

    #[test]
    fn a_place_a_moment_and_a_fault_are_read() {
        let expected = Injection {
            place: "record".to_owned(),
            state: Some("NOTIFYING".to_owned()),
            moment: Moment::After,
            what: What::Fail,
            from: 2,
            times: 3,
        };
        assert_eq!(read("record:NOTIFYING.after=fail@2*3"), expected);
        let crash = read("CONFIGURING_SYNC.before=crash");
        assert_eq!((crash.what, crash.from, crash.times), (What::Crash, 1, u32::MAX));
        assert_eq!(read("claim.before=delay:1s 500ms").what, What::Delay(Duration::from_millis(1_500)));
        assert_eq!(read("record.commit=crash").moment, Moment::Commit);
        for text in ["record:NOTIFYING.after=fail@2*3", "REGISTERING.before=delay:2s", "record.commit=crash"]
        {
            assert_eq!(read(text).to_string(), text);
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_what_can() {
        assert_eq!(wrong("crash"), "PLACE.MOMENT=WHAT is expected, CONFIGURING_SYNC.after=crash say");
        assert!(
            wrong("rekord.after=crash").starts_with("no such place \"rekord\": a state"),
            "{}",
            wrong("rekord.after=crash")
        );
        assert!(wrong("REGISTERING:X.after=crash").starts_with("no such place \"REGISTERING:X\""));
        assert!(wrong("record.later=crash").starts_with("no such moment \"later\""));
        assert!(wrong("record.after=explode").starts_with("no such fault \"explode\""));
        for time in ["-2s", "9h", ""] {
            let said = wrong(&format!("record.after=delay:{time}"));
            assert!(said.starts_with(&format!("delay: is followed by {time:?}, which is no time")), "{said}");
        }
        assert!(wrong("REGISTERING.before=timeout").contains("say after"));
        assert!(wrong("record.after=timeout").contains("say fail"));
        assert!(wrong("REGISTERING.commit=crash").contains("only a verb of the store"));
        assert_eq!(wrong("record.after=fail*0"), "\"0\" is not a number of times from 1 to 1,000,000");
    }
}
