//! The kind of an error text: what is left when everything is taken out that varies from one failure to the next.

/// How [`shape`] judges: raised whenever it judges otherwise, so that letters grouped by an older rule are grouped again.
pub const VERSION: i32 = 2;

/// Quotes that open, and those that close them. An apostrophe is none: `'` opens only where no word goes on before it, and
/// closes only where none goes on behind it; so does `’`.
const QUOTES: &[(char, &[char])] = &[
    ('"', &['"']),
    ('\'', &['\'']),
    ('`', &['`']),
    ('“', &['”']),
    ('„', &['“', '”']),
    ('‘', &['’']),
    ('«', &['»']),
];

/// Behind these a short number or a short word in capitals is a code and says what happened: `exit code 137`, `SQLSTATE 40P01`.
const CODE_WORDS: &[&str] = &[
    "code",
    "exitcode",
    "statuscode",
    "errorcode",
    "status",
    "errno",
    "sqlstate",
    "exit",
    "exited",
    "error",
    "signal",
    "http",
];

/// Behind these a number says where or how much, even if it looks like an HTTP status.
const MEASURE_WORDS: &[&str] = &[
    "attempt", "byte", "col", "column", "id", "index", "length", "limit", "line", "no", "number", "of",
    "offset", "page", "pid", "port", "position", "row", "size", "took",
];

/// Before these a number says how much; number and unit are taken out together.
const UNITS: &[&str] = &[
    "%",
    "ns",
    "us",
    "µs",
    "μs",
    "ms",
    "s",
    "sec",
    "secs",
    "m",
    "min",
    "mins",
    "h",
    "hr",
    "hrs",
    "d",
    "nanosecond",
    "nanoseconds",
    "microsecond",
    "microseconds",
    "millisecond",
    "milliseconds",
    "millis",
    "second",
    "seconds",
    "minute",
    "minutes",
    "hour",
    "hours",
    "day",
    "days",
    "b",
    "kb",
    "kib",
    "mb",
    "mib",
    "gb",
    "gib",
    "tb",
    "tib",
    "byte",
    "bytes",
    "attempt",
    "attempts",
    "time",
    "times",
    "tries",
    "retries",
    "row",
    "rows",
    "item",
    "items",
    "record",
    "records",
    "requests",
    "connections",
    "messages",
    "files",
    "lines",
    "characters",
];

const DAYS_AND_MONTHS: &[&str] = &[
    "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun", "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug",
    "Sep", "Oct", "Nov", "Dec",
];

/// A message with what varies taken out.
///
/// - What stands in quotes becomes `'…'`.
/// - A word becomes `#` if it has a digit, a slash or an `@` in it, or is a long hexadecimal id: numbers, ids, versions,
///   moments, addresses, paths, people. With a unit behind it the unit goes too, and several in a row are one.
/// - A number that says what happened stays: the first HTTP status, and what stands behind a word like `code`, `status`
///   or `SQLSTATE`; so does a code in capitals that begins a clause: `ORA-00942:`.
pub fn shape(message: &str) -> String {
    let tokens = tokens(message);
    let mut out = Out::default();
    let (mut before, mut has_status) = ("", false);
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        at += 1;
        match *token {
            Token::Space => out.space(),
            Token::Mark(mark) => out.push(mark.encode_utf8(&mut [0; 4])),
            Token::Quoted => out.push("'…'"),
            Token::Word(word) => {
                let place = Place {
                    before,
                    after: &tokens[at..],
                    behind_quote: at > 1 && tokens[at - 2] == Token::Quoted,
                };
                match judge(word, place, has_status) {
                    Judged::Measure => {
                        out.varies();
                        at += 2;
                    }
                    Judged::Varies => out.varies(),
                    Judged::Status => {
                        has_status = true;
                        out.push(word);
                    }
                    Judged::Stays => out.push(word),
                }
                before = word;
            }
        }
    }
    out.text
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'a> {
    Space,
    /// Punctuation that words do not go across.
    Mark(char),
    Quoted,
    Word(&'a str),
}

/// What a word stands between.
#[derive(Clone, Copy)]
struct Place<'a> {
    before: &'a str,
    after: &'a [Token<'a>],
    behind_quote: bool,
}

enum Judged {
    Stays,
    /// The HTTP status.
    Status,
    Varies,
    /// It and the unit behind it vary.
    Measure,
}

fn judge(word: &str, place: Place<'_>, has_status: bool) -> Judged {
    let bare = bare(word);
    let is_number = bare.starts_with(|c: char| c.is_ascii_digit())
        && bare.chars().all(|c| c.is_ascii_digit() || c == '.' || c == ',');
    let unit = |unit: &str| unit == "%" || UNITS.contains(&self::bare(unit).to_lowercase().as_str());
    if is_number
        && word.ends_with(bare)
        && matches!(place.after, [Token::Space, Token::Word(next), ..] if unit(next))
    {
        return Judged::Measure;
    }
    let has_digit = bare.chars().any(|c| c.is_ascii_digit());
    let is_inside = |sign: char| {
        word.split_once(sign)
            .is_some_and(|(left, right)| !self::bare(left).is_empty() && !self::bare(right).is_empty())
    };
    if word.contains('/') && !bare.is_empty() || is_inside('@') || is_hexadecimal_id(bare) {
        return Judged::Varies;
    }
    if DAYS_AND_MONTHS.contains(&bare) {
        let next = place
            .after
            .iter()
            .find_map(|token| if let Token::Word(next) = token { Some(*next) } else { None });
        let near = [Some(place.before), next].into_iter().flatten();
        let dated = near.into_iter().any(|word| word.contains(|c: char| c.is_ascii_digit()));
        return if dated { Judged::Varies } else { Judged::Stays };
    }
    if !has_digit {
        return Judged::Stays;
    }
    let word_before: String =
        place.before.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    if CODE_WORDS.contains(&word_before.as_str()) && is_code(bare)
        || word.ends_with(':')
            && (place.before.is_empty() || place.before.ends_with(':'))
            && is_named_code(bare)
    {
        return if is_status(bare) { Judged::Status } else { Judged::Stays };
    }
    let by_itself = word.starts_with(bare) || place.behind_quote && word.starts_with(':');
    let is_measured = word.ends_with('%') || MEASURE_WORDS.contains(&word_before.as_str());
    match !has_status && is_status(bare) && by_itself && !is_measured {
        true => Judged::Status,
        false => Judged::Varies,
    }
}

fn bare(word: &str) -> &str {
    word.trim_matches(|c: char| !c.is_alphanumeric())
}

fn is_status(bare: &str) -> bool {
    bare.len() == 3
        && matches!(
            bare.parse(),
            Ok(100..=103 | 200..=208 | 300..=308 | 400..=431 | 451 | 500..=511 | 520..=530)
        )
}

fn is_code(bare: &str) -> bool {
    bare.len() <= 6 && bare.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase())
        || is_named_code(bare)
}

/// `ORA-00942`, `E11000`: capitals, then digits.
fn is_named_code(bare: &str) -> bool {
    let digits = bare.trim_start_matches(|c: char| c.is_ascii_uppercase());
    let letters = bare.len() - digits.len();
    let digits = digits.strip_prefix(['-', '_']).unwrap_or(digits);
    (1..=8).contains(&letters)
        && (1..=6).contains(&digits.len())
        && digits.bytes().all(|b| b.is_ascii_digit())
}

/// `deadbeefcafe`: no digit tells it from a word, so its letters have to.
fn is_hexadecimal_id(bare: &str) -> bool {
    let parts = bare.split('-').count();
    (parts == 1 && bare.len() >= 8 || parts == 5)
        && bare.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')
        && bare.bytes().any(|b| b.is_ascii_alphabetic())
}

fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    // Kinds of quotes that are not closed any more from here on.
    let mut never_closed = [false; QUOTES.len()];
    let (mut at, mut word, mut last) = (0, None, None);
    while let Some(c) = text[at..].chars().next() {
        let behind = at + c.len_utf8();
        let next = text[behind..].chars().next();
        let is_apostrophe = c == '\'' && last.is_some_and(char::is_alphanumeric);
        let token = match QUOTES.iter().position(|(open, _)| *open == c) {
            _ if c.is_whitespace() => Some((Token::Space, behind)),
            _ if is_mark(c, last, next) => Some((Token::Mark(c), behind)),
            _ if c == ':' && next.is_some_and(char::is_alphanumeric) => {
                let is_code_word = word.is_some_and(|start: usize| {
                    CODE_WORDS.contains(&text[start..at].to_lowercase().as_str())
                });
                is_code_word.then_some((Token::Mark(c), behind))
            }
            Some(kind) if !is_apostrophe && !never_closed[kind] => {
                let end = closes_at(&text[behind..], QUOTES[kind].1);
                never_closed[kind] = end.is_none();
                end.map(|end| (Token::Quoted, behind + end))
            }
            _ => None,
        };
        at = match token {
            Some((token, end)) => {
                tokens.extend(word.take().map(|start| Token::Word(&text[start..at])));
                tokens.push(token);
                end
            }
            None => {
                word.get_or_insert(at);
                behind
            }
        };
        last = text[..at].chars().next_back();
    }
    tokens.extend(word.map(|start| Token::Word(&text[start..])));
    tokens
}

/// A comma inside a number is a part of it.
fn is_mark(c: char, last: Option<char>, next: Option<char>) -> bool {
    let is_digit = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit());
    matches!(c, '=' | '(' | ')' | '[' | ']' | '{' | '}' | ';')
        || c == ',' && !(is_digit(last) && is_digit(next))
}

/// Where the text behind the first of `closing` begins.
fn closes_at(text: &str, closing: &[char]) -> Option<usize> {
    let mut found = text.match_indices(closing);
    found.find_map(|(at, quote)| {
        let end = at + quote.len();
        let goes_on = text[end..].starts_with(char::is_alphanumeric);
        (!(goes_on && matches!(quote, "'" | "’"))).then_some(end)
    })
}

/// The shape as far as it is written: no space at its ends, one between words, one `#` for several.
#[derive(Default)]
struct Out {
    text: String,
    has_space: bool,
    varied: bool,
}

impl Out {
    fn space(&mut self) {
        self.has_space = !self.text.is_empty();
    }

    fn push(&mut self, piece: &str) {
        if std::mem::take(&mut self.has_space) {
            self.text.push(' ');
        }
        self.text.push_str(piece);
        self.varied = false;
    }

    fn varies(&mut self) {
        if !(self.varied && std::mem::take(&mut self.has_space)) {
            self.push("#");
        }
        self.varied = true;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_says_what_happened_stays_readable() {
        for (message, kind) in [
            ("took 512 ms", "took #"),
            ("503 from api.github.com: Service Unavailable", "503 from api.github.com: Service Unavailable"),
            (
                "422 from app.terraform.io: invalid workspace ws-a1b2c3",
                "422 from app.terraform.io: invalid workspace #",
            ),
            ("could not write (SQLSTATE 23505)", "could not write (SQLSTATE 23505)"),
            ("  can't find \"x\",  id=7 ", "can't find '…', id=#"),
            ("no hexadecimal id: facade, decade, added", "no hexadecimal id: facade, decade, added"),
            ("the order may Sun", "the order may Sun"),
            ("", ""),
        ] {
            assert_eq!(shape(message), kind);
        }
    }

    #[test]
    fn millions_of_quotes_that_never_close_are_read_once() {
        let message = "“ ' „ ".repeat(500_000);
        assert!(shape(&message).len() <= message.len());
    }

    proptest! {
        #[test]
        fn any_text_has_a_shape(message in any::<String>()) {
            let _ = shape(&message);
        }

        #[test]
        fn so_has_what_looks_like_an_error(message in "[a-cA-C0-9 :='’‘“”„«»\"`,;%@/().-]{0,60}") {
            let _ = shape(&message);
        }
    }
}
