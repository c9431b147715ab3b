//! The key table: the only source (with what [`super::keymap`] changes) of lookup, hint line, `?` help, the README's table and read-only mode.
//!
//! Lower case never writes; every write is Shift and a letter, and always opens a preview.

use std::fmt::Write as _;

use super::{
    keymap::Keymap,
    model::{Place, View},
    msg::Key,
};

/// What a key asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is said in words in the table below")]
pub enum Action {
    Down,
    Up,
    Top,
    Bottom,
    HalfDown,
    HalfUp,
    PageDown,
    PageUp,
    Enter,
    Back,
    Show(View),
    NextView,
    PrevView,
    Filter,
    Sort,
    Slower,
    Faster,
    CommandLine,
    Help,
    Mark,
    MarkRange,
    MarkAll,
    Group,
    Freeze,
    StepBack,
    StepForth,
    Chart,
    Theme,
    CopyId,
    CopyCommand,
    Refresh,
    Suspend,
    Quit,
    Payload,
    Fold,
    NextHit,
    PrevHit,
    Clock,
    Replay,
    Resume,
    RollBack,
    Release,
    Reveal,
    Force,
    Pause,
    Discard,
    Stop,
}

/// Whether an action changes something outside the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only looks.
    Looks,
    /// Changes something, after a preview.
    Writes,
}

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Binding {
    /// What it asks for.
    pub action: Action,
    /// The keys that ask for it; the first is the one shown in the hint line.
    pub keys: &'static [Key],
    /// Two or three words for the hint line.
    pub label: &'static str,
    /// One sentence for the help.
    pub help: &'static str,
    /// Where it does something; empty: everywhere.
    pub places: &'static [Place],
    /// Whether it changes something.
    pub kind: Kind,
    /// Rank in the hint line, smallest first; 0: not in it.
    pub hint: u8,
}

const MARKABLE: &[Place] = &[Place::Onboardings, Place::Keys, Place::Groups, Place::Letters];
const FILTERABLE: &[Place] =
    &[Place::Onboardings, Place::Keys, Place::Groups, Place::Letters, Place::Audit, Place::Payload];
const SORTABLE: &[Place] = &[Place::Onboardings, Place::Keys, Place::Groups, Place::Letters, Place::Audit];
const WITH_ID: &[Place] = &[
    Place::Onboardings,
    Place::Keys,
    Place::Groups,
    Place::Letters,
    Place::Circuits,
    Place::Audit,
    Place::OnboardingPage,
    Place::KeyPage,
    Place::LetterPage,
];
const OPENABLE: &[Place] = &[
    Place::Onboardings,
    Place::Keys,
    Place::Groups,
    Place::Letters,
    Place::Circuits,
    Place::KeyPage,
    Place::LetterPage,
    Place::Payload,
];
const PAGES: &[Place] = &[Place::OnboardingPage, Place::KeyPage, Place::LetterPage];
const REVEALABLE: &[Place] = &[Place::OnboardingPage, Place::KeyPage, Place::LetterPage, Place::Payload];
const ONBOARDING_BEHIND: &[Place] = &[
    Place::Onboardings,
    Place::Keys,
    Place::Letters,
    Place::OnboardingPage,
    Place::KeyPage,
    Place::LetterPage,
];
const REPLAYABLE: &[Place] = &[
    Place::Pulse,
    Place::Groups,
    Place::Letters,
    Place::LetterPage,
    Place::OnboardingPage,
    Place::Onboardings,
];
const RELEASABLE: &[Place] = &[Place::Keys, Place::KeyPage];
const LETTERS: &[Place] = &[Place::Groups, Place::Letters, Place::LetterPage];
const REPLAYING: &[Place] = &[Place::Pulse, Place::Groups, Place::Letters, Place::LetterPage];
const FORCEABLE: &[Place] = &[Place::Circuits];
const PAUSABLE: &[Place] = &[Place::Pulse, Place::Onboardings, Place::Circuits];
const RESUMABLE: &[Place] = &[
    Place::Pulse,
    Place::Onboardings,
    Place::Keys,
    Place::Letters,
    Place::OnboardingPage,
    Place::KeyPage,
    Place::LetterPage,
];

const fn looks(
    action: Action,
    keys: &'static [Key],
    label: &'static str,
    help: &'static str,
    places: &'static [Place],
    hint: u8,
) -> Binding {
    Binding { action, keys, label, help, places, kind: Kind::Looks, hint }
}

const fn writes(
    action: Action,
    keys: &'static [Key],
    label: &'static str,
    help: &'static str,
    places: &'static [Place],
    hint: u8,
) -> Binding {
    Binding { action, keys, label, help, places, kind: Kind::Writes, hint }
}

/// Every key there is.
#[rustfmt::skip]
pub const TABLE: &[Binding] = &[
    looks(Action::Down, &[Key::Char('j'), Key::Down], "down", "One row down.", &[], 0),
    looks(Action::Up, &[Key::Char('k'), Key::Up], "up", "One row up.", &[], 0),
    looks(Action::Top, &[Key::Char('g'), Key::Home], "top", "To the first row.", &[], 0),
    looks(Action::Bottom, &[Key::Char('G'), Key::End], "bottom", "To the last row that was read.", &[], 0),
    looks(Action::PageDown, &[Key::PageDown], "page down", "A page down.", &[], 0),
    looks(Action::PageUp, &[Key::PageUp], "page up", "A page up.", &[], 0),
    looks(Action::HalfDown, &[Key::Ctrl('d')], "half down", "Half a page down.", &[], 0),
    looks(Action::HalfUp, &[Key::Ctrl('u')], "half up", "Half a page up.", &[], 0),
    looks(Action::Enter, &[Key::Enter], "open", "Open the row; on a key or a letter, the onboarding behind it; in a payload, fold.", OPENABLE, 4),
    looks(Action::Back, &[Key::Esc], "back", "Back: close, or clear the range, the filter, the marks, let a frozen picture go on, in this order.", &[], 0),
    looks(Action::Show(View::Pulse), &[Key::Char('1')], "Pulse", "Pulse: what is wrong, where it comes from, what to do.", &[], 0),
    looks(Action::Show(View::Onboardings), &[Key::Char('2')], "Onboardings", "Onboardings.", &[], 0),
    looks(Action::Show(View::Keys), &[Key::Char('3')], "Keys", "Idempotency keys: why will it not retry?", &[], 0),
    looks(Action::Show(View::Letters), &[Key::Char('4')], "Letters", "Dead letters, by error.", &[], 0),
    looks(Action::Show(View::Circuits), &[Key::Char('5')], "Circuits", "Circuits: what is let through.", &[], 0),
    looks(Action::Show(View::Audit), &[Key::Char('6')], "Audit", "Who did what.", &[], 0),
    looks(Action::NextView, &[Key::Tab], "next", "The next screen.", &[], 0),
    looks(Action::PrevView, &[Key::BackTab], "previous", "The screen before.", &[], 0),
    looks(Action::Filter, &[Key::Char('/')], "filter", "Filter: field:value, !not, \"quotes\", free text over ids and errors; Tab completes; in a payload, search. Fields: status state tenant repo error operation id operator; age:>1h attempts:>3 replays:>0 conflicts:>0.", FILTERABLE, 6),
    looks(Action::Sort, &[Key::Char('s')], "sort", "The orders this list can come in; the database sorts.", SORTABLE, 8),
    looks(Action::Slower, &[Key::Char('+')], "slower", "Read the database less often.", &[], 0),
    looks(Action::Faster, &[Key::Char('-')], "faster", "Read the database more often.", &[], 0),
    looks(Action::CommandLine, &[Key::Char(':')], "command", "Command line: everything there is to do; type to search, Tab completes, ↑ ↓ choose.", &[], 9),
    looks(Action::Help, &[Key::Char('?')], "help", "This page.", &[], 11),
    looks(Action::Mark, &[Key::Char(' ')], "mark", "Mark the row, or take the mark off.", MARKABLE, 5),
    looks(Action::MarkRange, &[Key::Char('V')], "range", "Begin a range; Space marks it.", MARKABLE, 0),
    looks(Action::MarkAll, &[Key::Char('*')], "mark all", "Mark every row that matches, also those not on the screen; says how many.", MARKABLE, 0),
    looks(Action::Group, &[Key::Char('z')], "group", "Letters by error, or one by one.", &[Place::Groups, Place::Letters], 7),
    looks(Action::Payload, &[Key::Char('v')], "payload", "Look into the payload of the page: context, stored response or request, masked.", PAGES, 5),
    looks(Action::Fold, &[Key::Char('o')], "fold", "In a payload: fold the field, or open it again.", &[Place::Payload], 1),
    looks(Action::NextHit, &[Key::Char('n')], "next hit", "In a payload: the next hit of what / looked for.", &[Place::Payload], 7),
    looks(Action::PrevHit, &[Key::Char('N')], "hit before", "In a payload: the hit before.", &[Place::Payload], 0),
    looks(Action::Clock, &[Key::Char('u')], "clock", "Times as UTC, or as how long ago; everywhere.", &[], 0),
    looks(Action::Freeze, &[Key::Char('f')], "freeze", "Hold the picture still, and let it go on; so does Esc, where nothing is left to close.", &[], 8),
    looks(Action::StepBack, &[Key::Left], "step back", "While frozen: the picture before this one; those of the last 30 minutes are kept.", &[], 0),
    looks(Action::StepForth, &[Key::Right], "step forth", "While frozen: the picture after this one.", &[], 0),
    looks(Action::Chart, &[Key::Char('a')], "chart", "The chart: first tries and retries per second, the load factor, the share of retries that helped.", &[Place::Pulse], 7),
    looks(Action::Theme, &[Key::Char('t')], "theme", "The next theme: dark, light, high contrast, colour-blind-safe.", &[], 0),
    looks(Action::CopyId, &[Key::Char('y')], "copy id", "Send the row's id to the terminal's clipboard (OSC 52), which does not answer.", WITH_ID, 0),
    looks(Action::CopyCommand, &[Key::Char('Y')], "copy command", "Copy the command line that shows the same; in a dialog, the one that does it.", &[], 0),
    looks(Action::Refresh, &[Key::Ctrl('r')], "refresh", "Read again now and paint everything anew.", &[], 0),
    looks(Action::Suspend, &[Key::Ctrl('z')], "suspend", "Back to the shell until fg.", &[], 0),
    looks(Action::Quit, &[Key::Char('q'), Key::Ctrl('c')], "quit", "Leave; replays go on in the engine.", &[], 10),
    writes(Action::Replay, &[Key::Char('R')], "replay", "Replay dead letters: the marked ones, else the row's, its group's, or on Pulse all open ones.", REPLAYABLE, 1),
    writes(Action::Resume, &[Key::Char('U')], "resume", "Resume onboardings from their checkpoint: the marked ones, else the row's, or on Pulse all failed ones.", RESUMABLE, 2),
    writes(Action::RollBack, &[Key::Char('B')], "roll back", "Roll back the onboarding of the row: undo what it did, last first. One at a time.", ONBOARDING_BEHIND, 3),
    writes(Action::Release, &[Key::Char('L')], "release", "Release idempotency keys, so that the next request runs: the marked ones, else the row's. Asks for a reason where the holder may still be at work.", RELEASABLE, 1),
    writes(Action::Reveal, &[Key::Char('M')], "reveal", "Reveal the page's payload in the clear until the page is left. Asks for a reason; the audit keeps who and why.", REVEALABLE, 2),
    writes(Action::Discard, &[Key::Char('D')], "discard", "Discard dead letters that need nothing more: the marked ones, else the row's or its group's; on discarded or quarantined ones (filter status:discarded) restore them.", LETTERS, 3),
    writes(Action::Stop, &[Key::Char('K')], "stop replay", "Stop the newest replay that runs: what it has begun goes on, the rest is open again.", REPLAYING, 0),
    writes(Action::Force, &[Key::Char('O')], "force", "Force the row's circuit open, closed or disabled on every worker, for a time and with a reason; or leave it to them again.", FORCEABLE, 1),
    writes(Action::Pause, &[Key::Char('P')], "pause", "Pause the row's operation on every worker, or let it go on; on Pulse and Onboardings everything that goes forward.", PAUSABLE, 6),
];

impl Binding {
    /// Whether it does something at `place`.
    pub fn works_at(&self, place: Place) -> bool {
        self.places.is_empty() || self.places.contains(&place)
    }

    /// What the config file and the command line call it: `roll-back`.
    pub fn name(&self) -> String {
        self.label.to_lowercase().replace(' ', "-")
    }
}

/// The bindings that exist: without those that write when `read_only`.
pub fn available(read_only: bool) -> impl Iterator<Item = &'static Binding> {
    TABLE.iter().filter(move |binding| !read_only || binding.kind == Kind::Looks)
}

/// The key and label pairs of the hint line at `place`, most useful first: those for stepping back while `frozen`.
pub fn hints(keys: &Keymap, place: Place, read_only: bool, frozen: bool) -> Vec<(String, &'static str)> {
    let first = |action| frozen && matches!(action, Action::Freeze | Action::StepBack | Action::StepForth);
    let rank = |binding: &Binding| if first(binding.action) { 0 } else { binding.hint };
    let wanted = |b: &&Binding| (b.hint > 0 || first(b.action)) && b.works_at(place);
    let mut found: Vec<_> = available(read_only).filter(wanted).collect();
    found.sort_by_key(|binding| rank(binding));
    let label = |b: &Binding| match b.action {
        Action::Freeze if frozen => "go on",
        Action::Enter if place == Place::Payload => "fold",
        Action::Filter if place == Place::Payload => "search",
        _ => b.label,
    };
    found.into_iter().filter_map(|b| Some((keys.shown_key(b.action)?, label(b)))).collect()
}

/// A key as people read it.
pub fn shown(key: Key) -> String {
    match key {
        Key::Char(' ') => "Space".to_owned(),
        Key::Char(c) => c.to_string(),
        Key::Ctrl(c) => format!("Ctrl+{}", c.to_ascii_uppercase()),
        Key::Up => "↑".to_owned(),
        Key::Down => "↓".to_owned(),
        Key::Left => "←".to_owned(),
        Key::Right => "→".to_owned(),
        Key::PageUp => "PgUp".to_owned(),
        Key::PageDown => "PgDn".to_owned(),
        Key::BackTab => "Shift+Tab".to_owned(),
        other => format!("{other:?}"),
    }
}

/// The table for the README.
pub fn markdown() -> String {
    let mut text = "| keys | what they do |\n| --- | --- |\n".to_owned();
    for binding in TABLE {
        let keys = binding.keys.iter().map(|key| format!("`{}`", shown(*key))).collect::<Vec<_>>().join(" ");
        let opens = if binding.kind == Kind::Writes { " Opens a preview first." } else { "" };
        let _ = writeln!(text, "| {keys} | {}{opens} |", binding.help);
    }
    text
}
