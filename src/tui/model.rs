//! What the screen knows: the picture it shows, where the operator stands in it, and what is under way.
//!
//! Changed only by `update`; read by `view`. No clock, no I/O: `now` came with a message.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use tui_input::Input;

use super::{
    dialog::Dialog, layout, msg::Ticket, past::Past, preferences::Preferences, rows::ListRows, theme::Look,
    tree, widget::text,
};
use crate::{
    domain::{action::ActionKind, text::SafeText},
    engine::{
        Access,
        filter::{Field, Filter, FilterError},
        order::Order,
        reader::{Board, Detail, List, Page, Query, Rows},
        reveal::Revealed,
    },
    metrics::signals::KeySignals,
    poll::Snapshot,
};

/// The six screens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is said in words in the key table")]
pub enum View {
    Pulse,
    Onboardings,
    Keys,
    Letters,
    Circuits,
    Audit,
}

impl View {
    /// In the order of their numbers.
    pub const ALL: [Self; 6] =
        [Self::Pulse, Self::Onboardings, Self::Keys, Self::Letters, Self::Circuits, Self::Audit];

    /// Its name on the tab.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pulse => "Pulse",
            Self::Onboardings => "Onboardings",
            Self::Keys => "Keys",
            Self::Letters => "Letters",
            Self::Circuits => "Circuits",
            Self::Audit => "Audit",
        }
    }

    /// Its place among the tabs.
    pub fn index(self) -> usize {
        Self::ALL.iter().position(|view| *view == self).unwrap_or_default()
    }
}

/// Where keys are pressed: a list or a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is a screen or a page of the same name")]
pub enum Place {
    Pulse,
    Onboardings,
    Keys,
    Groups,
    Letters,
    Circuits,
    Audit,
    OnboardingPage,
    KeyPage,
    LetterPage,
    Payload,
}

impl Place {
    /// Its rows; those of groups are letters.
    pub const fn list(self) -> List {
        match self {
            Self::Onboardings => List::Onboardings,
            Self::Keys => List::Keys,
            Self::Groups | Self::Letters => List::Letters { group: None },
            Self::Audit => List::Audit,
            _ => List::None,
        }
    }

    /// The orders its rows can come in, the usual one first.
    pub fn orders(self) -> &'static [Order] {
        match self {
            Self::Groups => Order::GROUPS,
            other => other.list().orders(),
        }
    }
}

/// How letters are listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum LettersBy {
    /// Groups by error.
    #[default]
    Error,
    /// The letters of one group.
    Group(String),
    /// One by one.
    One,
}

/// What the chart on Pulse shows, in the operations' words.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Charted {
    /// First tries and retries per second.
    #[default]
    Rates,
    /// The load factor, α.
    Load,
    /// The share of retries that helped, η.
    Helped,
}

impl Charted {
    /// What comes after it.
    pub fn next(self) -> Self {
        match self {
            Self::Rates => Self::Load,
            Self::Load => Self::Helped,
            Self::Helped => Self::Rates,
        }
    }
}

/// A list's cursor, marks and filter. They follow ids, not places.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ListState {
    /// The id under the cursor.
    pub cursor: Option<String>,
    /// Where that id was last seen, for when it goes away.
    pub index: usize,
    /// The first row on the screen.
    pub top: usize,
    /// Marked ids with the version they had then.
    pub marks: BTreeMap<String, i64>,
    /// Where a range begins.
    pub range: Option<String>,
    /// The filter as typed.
    pub typed: String,
    /// The same, read.
    pub filter: Filter,
    /// The order asked for, if not the list's first.
    pub order: Option<Order>,
    /// How many rows are asked for.
    pub limit: u32,
    /// The screen whose row chose the filter; leaving the filter leads back there.
    pub from: Option<View>,
}

/// How many operations the panel below the keys names.
const KEY_OPERATIONS: usize = 4;

/// A row's page that is open.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenPage {
    /// Which.
    pub detail: Detail,
    /// The first line on the screen.
    pub top: usize,
}

/// The open page's payload, looked into.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Viewer {
    /// The row under the cursor.
    pub cursor: usize,
    /// The first row on the screen.
    pub top: usize,
    /// What is folded, by JSON pointer.
    pub folded: BTreeSet<String>,
    /// What was looked for, in lower case; empty: nothing.
    pub sought: String,
}

/// How moments are said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Clock {
    /// Each as it is usual where it stands: ages in lists, UTC in histories.
    #[default]
    Usual,
    /// As UTC.
    Utc,
    /// As how long ago.
    Ago,
}

/// What is being typed at the bottom line.
#[derive(Debug, Clone, Default)]
pub enum Entry {
    /// Nothing.
    #[default]
    None,
    /// A filter, and why it cannot be read.
    Filter(Input, Option<String>),
    /// The filter there is, as it stands; what is typed replaces it.
    Present(Input),
    /// What to look for in a payload.
    Search(Input),
    /// A command, and why it cannot be obeyed.
    Command(Input, Option<String>),
}

/// A row on which something was asked and not yet seen done.
#[derive(Debug, Clone, PartialEq)]
pub struct Pending {
    /// Of the submission.
    pub ticket: Ticket,
    /// What was asked.
    pub kind: ActionKind,
    /// When the engine did it; it stays pending until a picture at least as new.
    pub done_at: Option<DateTime<Utc>>,
}

/// How a message is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// It worked.
    Good,
    /// Worth knowing.
    Note,
    /// It did not work.
    Bad,
}

/// A message above the hint line.
#[derive(Debug, Clone, PartialEq)]
pub struct Toast {
    /// How it is meant.
    pub tone: Tone,
    /// What it says.
    pub text: SafeText,
    /// Goes away by itself then; a key takes it away at once.
    pub until: DateTime<Utc>,
}

/// A screen's fixed facts.
#[derive(Debug, Clone)]
pub struct Setting {
    /// `demo · sqlite`.
    pub title: SafeText,
    /// Who acts.
    pub operator: String,
    /// Whether anything may be changed.
    pub access: Access,
    /// The database's URL, for commands that are copied; never one with a secret.
    pub database: Option<String>,
    /// How often the poll looks.
    pub interval: Duration,
    /// Where the pictures come from a recording: how much faster than they were taken.
    pub playback: Option<f64>,
    /// Every picture is recorded.
    pub recording: bool,
    /// What the operator chose in the config file.
    pub preferences: Preferences,
}

/// Everything the screen knows.
#[derive(Debug, Clone)]
pub struct Model {
    /// Fixed facts.
    pub setting: Setting,
    /// How it looks.
    pub look: Look,
    /// How late it is.
    pub now: DateTime<Utc>,
    /// Columns and rows of the terminal.
    pub size: (u16, u16),
    /// The picture shown.
    pub snapshot: Option<Arc<Snapshot>>,
    /// The newest picture, while the shown one is frozen.
    pub held_back: Option<Arc<Snapshot>>,
    /// The moment at which the picture is frozen: what it says of time, it says as of then.
    pub frozen: Option<DateTime<Utc>>,
    /// The recording that is played is over.
    pub ended: bool,
    /// The picture is one from before the screen was frozen.
    pub stepped_back: bool,
    /// The pictures one can step back to.
    pub past: Past,
    /// What the chart on Pulse shows.
    pub charted: Charted,
    /// The screen shown.
    pub view: View,
    /// How letters are listed.
    pub letters_by: LettersBy,
    lists: BTreeMap<u8, ListState>,
    /// Pages opened over the list, the last on top.
    pub pages: Vec<OpenPage>,
    /// The payload of the page on top, while it is looked into.
    pub viewer: Option<Viewer>,
    /// A payload in the clear, of the page on top; forgotten when the page is left.
    pub revealed: Option<(Detail, Revealed)>,
    /// How moments are said.
    pub clock: Clock,
    /// What is being typed.
    pub entry: Entry,
    /// The first line of the help, while it is open.
    pub help: Option<usize>,
    /// The sort order under the cursor, while their menu is open.
    pub menu: Option<usize>,
    /// Which of the commands found is chosen.
    pub picked: Option<usize>,
    /// Nothing may be changed until `:rw`.
    pub held: bool,
    /// The dialog that is open.
    pub dialog: Option<Dialog>,
    /// Dialogs whose submissions are on their way.
    pub sent: Vec<(Ticket, Dialog)>,
    /// Dialogs whose reply was lost and that could not be shown yet.
    pub lost: VecDeque<Dialog>,
    /// Rows on which something was asked, by id.
    pub pending: BTreeMap<String, Pending>,
    /// The question for every matching row that is on its way.
    pub matching: Option<(Ticket, Place)>,
    /// A dialog closed and the screen was not drawn since: keys that come before that were meant for the dialog.
    pub unseen: bool,
    /// A message.
    pub toast: Option<Toast>,
    /// What was last looked at.
    pub asked: Option<Query>,
    tickets: u64,
}

impl Model {
    /// An empty screen.
    pub fn new(setting: Setting, look: Look, size: (u16, u16), now: DateTime<Utc>) -> Self {
        let (held, view) = (setting.preferences.production, setting.preferences.view);
        let greeting = setting.preferences.greeting.clone();
        let mut model = Self {
            setting,
            look,
            now,
            size,
            snapshot: None,
            held_back: None,
            frozen: None,
            ended: false,
            stepped_back: false,
            past: Past::default(),
            charted: Charted::default(),
            view: view.unwrap_or(View::Pulse),
            letters_by: LettersBy::default(),
            lists: BTreeMap::new(),
            pages: Vec::new(),
            viewer: None,
            revealed: None,
            clock: Clock::default(),
            entry: Entry::None,
            help: None,
            menu: None,
            picked: None,
            held,
            dialog: None,
            sent: Vec::new(),
            lost: VecDeque::new(),
            pending: BTreeMap::new(),
            matching: None,
            unseen: false,
            toast: None,
            asked: None,
            tickets: 0,
        };
        if let Some(greeting) = greeting {
            model.say(Tone::Bad, greeting);
        }
        model
    }

    /// A number never given before.
    pub fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }

    /// Whether nothing may be changed.
    pub fn read_only(&self) -> bool {
        self.held || self.setting.access == Access::ReadOnly || self.refusal().is_some()
    }

    /// Why the database takes no writes, as it says itself.
    pub fn refusal(&self) -> Option<&str> {
        self.board()?.read_only.as_deref()
    }

    /// What the database held, once it answered.
    pub fn board(&self) -> Option<&Board> {
        self.snapshot.as_ref()?.board.as_deref()
    }

    /// What the metrics tell of idempotency keys, where a target tells.
    pub fn key_signals(&self) -> Option<&KeySignals> {
        self.snapshot.as_ref()?.signals.as_ref()?.keys.as_ref()
    }

    /// Where keys are pressed now.
    pub fn place(&self) -> Place {
        match self.pages.last().map(|page| &page.detail) {
            Some(_) if self.viewer.is_some() => Place::Payload,
            Some(Detail::Onboarding(_)) => Place::OnboardingPage,
            Some(Detail::Key(_)) => Place::KeyPage,
            Some(Detail::Letter(_)) => Place::LetterPage,
            None => self.list_place(),
        }
    }

    /// The list behind any page.
    pub fn list_place(&self) -> Place {
        match (self.view, &self.letters_by) {
            (View::Pulse, _) => Place::Pulse,
            (View::Onboardings, _) => Place::Onboardings,
            (View::Keys, _) => Place::Keys,
            (View::Letters, LettersBy::Error) => Place::Groups,
            (View::Letters, _) => Place::Letters,
            (View::Circuits, _) => Place::Circuits,
            (View::Audit, _) => Place::Audit,
        }
    }

    /// The state of the list behind any page.
    pub fn list(&self) -> &ListState {
        static EMPTY: ListState = ListState {
            cursor: None,
            index: 0,
            top: 0,
            marks: BTreeMap::new(),
            range: None,
            typed: String::new(),
            filter: Filter { terms: Vec::new() },
            order: None,
            limit: 0,
            from: None,
        };
        self.lists.get(&(self.list_place() as u8)).unwrap_or(&EMPTY)
    }

    /// The same, to change it.
    pub fn list_mut(&mut self) -> &mut ListState {
        self.lists.entry(self.list_place() as u8).or_default()
    }

    /// Takes the marks off `ids`, on whatever list they are.
    pub fn unmark(&mut self, ids: &HashSet<&str>) {
        self.lists.values_mut().for_each(|list| list.marks.retain(|id, _| !ids.contains(id.as_str())));
    }

    /// Forgets the letters' cursor, marks and filter: another group is shown.
    pub fn forget_letters(&mut self) {
        let order = self.lists.remove(&(Place::Letters as u8)).and_then(|list| list.order);
        self.lists.insert(Place::Letters as u8, ListState { order, ..ListState::default() });
    }

    /// The orders the list behind any page can come in, the usual one first.
    pub fn orders(&self) -> &'static [Order] {
        self.list_place().orders()
    }

    /// The order it comes in.
    pub fn order(&self) -> Order {
        self.list().order.or_else(|| self.orders().first().copied()).unwrap_or(Order::Newest)
    }

    /// What the screen wants to look at.
    pub fn query(&self) -> Query {
        let list = match (self.view, &self.letters_by) {
            (View::Pulse | View::Circuits, _) => List::None,
            (View::Onboardings, _) => List::Onboardings,
            (View::Keys, _) => List::Keys,
            (View::Letters, LettersBy::Error) => List::None,
            (View::Letters, LettersBy::Group(group)) => List::Letters { group: Some(group.clone()) },
            (View::Letters, LettersBy::One) => List::Letters { group: None },
            (View::Audit, _) => List::Audit,
        };
        // Groups are filtered on the screen: the board holds all of them.
        let filter = if list == List::None { Filter::default() } else { self.list().filter.clone() };
        let detail = self.pages.last().map(|page| page.detail.clone());
        let order = if list == List::None { None } else { self.list().order };
        Query { list, filter, order, after: None, limit: self.list().limit, detail }
    }

    /// Reads a filter for the rows of the list behind any page.
    ///
    /// # Errors
    /// What cannot be read, in words.
    pub fn parse_filter(&self, typed: &str) -> Result<Filter, FilterError> {
        let list = match self.list_place() {
            // What groups cannot tell is asked of their letters.
            Place::Groups => List::Letters { group: None },
            // Where nothing can be filtered, `/` goes to the onboardings.
            Place::Pulse | Place::Circuits => List::Onboardings,
            _ => self.query().list,
        };
        Filter::parse_for(&list, typed)
    }

    /// The list's rows, when the picture shows this list under this filter.
    pub fn listed(&self) -> Option<&Rows> {
        let snapshot = self.snapshot.as_ref()?;
        let wanted = self.query();
        let same = snapshot.query.list == wanted.list
            && snapshot.query.filter == wanted.filter
            && snapshot.query.order == wanted.order;
        same.then(|| self.board().map(|board| &board.rows))?
    }

    /// The open page, when the picture shows it.
    pub fn page(&self) -> Option<&Page> {
        let detail = &self.pages.last()?.detail;
        let snapshot = self.snapshot.as_ref()?;
        let page = self.board()?.page.as_ref()?;
        (snapshot.query.detail.as_ref() == Some(detail)).then_some(page)
    }

    /// The rows of the open page's payload, in the clear where it was revealed; `None` while nothing is read.
    pub fn payload(&self) -> Option<Vec<tree::Row>> {
        let (viewer, columns) = (self.viewer.as_ref()?, usize::from(self.size.0.saturating_sub(4)));
        if let Some((_, revealed)) = &self.revealed {
            return Some(tree::revealed(revealed, &viewer.folded, columns));
        }
        let null = serde_json::Value::Null;
        let masked = match self.page()? {
            Page::Onboarding(page) => &page.context,
            Page::Key(page) => page.response.as_ref().unwrap_or(&null),
            Page::Letter(page) => &page.request,
            Page::Missing => return None,
        };
        Some(tree::rows(masked, &viewer.folded, columns))
    }

    /// What stands where rows or a page are not there yet: they are being read, or the frozen picture lacks them.
    pub fn unread(&self) -> &'static str {
        match (self.frozen, self.setting.playback) {
            (_, Some(_)) => "not in the recording: nobody looked at this while it was made",
            (Some(_), None) => "frozen: press f to look at this",
            (None, None) => "reading …",
        }
    }

    /// Whether the picture is frozen and does not show what the operator went to since.
    pub fn is_frozen_elsewhere(&self) -> bool {
        let lacks_page = !self.pages.is_empty() && self.page().is_none();
        let lacks_list = self.query().list != List::None && self.listed().is_none();
        (self.frozen.is_some() || self.setting.playback.is_some()) && (lacks_page || lacks_list)
    }

    /// The id under the cursor, if its row is on the list that is shown.
    pub fn selected(&self) -> Option<String> {
        let id = self.list().cursor.as_ref()?;
        self.rows().position(id, self.list().index).map(|_| id.clone())
    }

    /// The groups that match the filter.
    pub fn groups(&self) -> Vec<&crate::engine::reader::LetterGroup> {
        let filter = &self.list().filter;
        let mut groups: Vec<_> = self.board().map_or_else(Vec::new, |board| {
            board.letter_groups.iter().filter(|group| group_matches(group, filter)).collect()
        });
        // As the database counts: the board holds the largest groups, largest first.
        match self.list().order {
            Some(Order::Newest) => groups.sort_by_key(|group| std::cmp::Reverse(group.last_seen)),
            Some(Order::Oldest) => groups.sort_by_key(|group| group.first_seen),
            _ => {}
        }
        groups
    }

    /// The list's rows as ids and versions.
    pub fn rows(&self) -> ListRows<'_> {
        match self.list_place() {
            Place::Groups => ListRows::Groups(self.groups()),
            Place::Circuits => {
                self.board().map_or(ListRows::None, |board| ListRows::Circuits(&board.circuits))
            }
            _ => self.listed().map_or(ListRows::None, ListRows::Read),
        }
    }

    /// Where the cursor is among `rows`: by id, else where the id was.
    pub fn cursor_in(&self, rows: &ListRows<'_>) -> usize {
        let list = self.list();
        let by_id = list.cursor.as_ref().and_then(|id| rows.position(id, list.index));
        by_id.unwrap_or_else(|| list.index.min(rows.len().saturating_sub(1)))
    }

    /// The moment the screen tells of: now, or when the picture was frozen.
    pub fn moment(&self) -> DateTime<Utc> {
        self.frozen.unwrap_or(self.now)
    }

    /// How old the picture is, by the database's last answer.
    pub fn age(&self) -> Option<TimeDelta> {
        let last = self.snapshot.as_ref()?.database.last_ok?;
        // What was recorded is as old as it was then.
        let now = if self.setting.playback.is_some() { self.moment() } else { self.now };
        Some((now - last).max(TimeDelta::zero()))
    }

    /// How old what the metrics say is, by the newest answer of any target; `None` where there is none to expect.
    pub fn metrics_age(&self) -> Option<TimeDelta> {
        let signals = self.snapshot.as_ref()?.signals.as_ref()?;
        let newest = signals.targets.iter().filter_map(|target| target.last_ok).max()?;
        Some((self.moment() - newest).max(TimeDelta::zero()))
    }

    /// The same, when that is too old for what is shown as the present.
    pub fn metrics_stale(&self) -> Option<TimeDelta> {
        self.metrics_age().filter(|age| age.to_std().unwrap_or_default() > self.fresh_for())
    }

    /// How long what was read is the present.
    pub fn fresh_for(&self) -> Duration {
        (self.setting.interval * 2).max(Duration::from_secs(10))
    }

    /// How late it is by the database's clock, which dated its rows.
    pub fn database_now(&self) -> DateTime<Utc> {
        match (&self.snapshot, self.board()) {
            (Some(snapshot), Some(board)) => {
                // The board was read when the database last answered, which may be before the picture was made.
                let since =
                    (self.moment() - snapshot.database.last_ok.unwrap_or(snapshot.at)).max(TimeDelta::zero());
                board.at.checked_add_signed(since).unwrap_or(board.at)
            }
            _ => self.moment(),
        }
    }

    /// Why the picture is not to be trusted, in words; `None` while it is live.
    pub fn stale(&self) -> Option<String> {
        let Some(snapshot) = &self.snapshot else { return Some("waiting for the first picture".to_owned()) };
        if let Some(error) = snapshot.database.error.as_ref() {
            return Some(crate::domain::mask::secrets(error.as_str()));
        }
        let Some(age) = self.age() else { return Some("the database has not answered yet".to_owned()) };
        if self.stepped_back && self.setting.playback.is_none() {
            return Some("this picture is of the past: f goes back to live".to_owned());
        }
        if age.to_std().unwrap_or_default() <= self.fresh_for() {
            return None;
        }
        Some(match self.frozen {
            Some(_) if self.setting.playback.is_none() => "the picture is frozen: f lets it go on".to_owned(),
            _ => "nothing new from the database".to_owned(),
        })
    }

    /// Shows a message for a while.
    pub fn say(&mut self, tone: Tone, text: impl AsRef<str>) {
        let seconds = if tone == Tone::Bad { 30 } else { 6 };
        let text = SafeText::new(text.as_ref());
        self.toast = Some(Toast { tone, text, until: self.now + TimeDelta::seconds(seconds) });
    }

    /// Rows of the screen below the banner.
    pub fn body_rows(&self) -> usize {
        layout::body_rows(self.size, self.banner().len())
    }

    /// How many rows of a list fit.
    pub fn list_height(&self) -> usize {
        layout::list_rows(self.body_rows(), self.panel_rows())
    }

    /// How many rows of a page fit.
    pub fn page_height(&self) -> usize {
        layout::page_rows(self.body_rows())
    }

    /// Rows of the panel below the list.
    pub fn panel_rows(&self) -> usize {
        let wanted = match self.list_place() {
            Place::Audit => 7,
            // Who decided what, and what each of a few workers computed.
            Place::Circuits if self.body_rows() >= 30 => 12,
            Place::Circuits => 9,
            // A border, a heading and the operations, or one line that says why there are none.
            Place::Keys => match self.key_signals().map_or(0, |keys| keys.operations.len()) {
                0 => 3,
                operations => operations.min(KEY_OPERATIONS) + 3,
            },
            Place::Groups => match self.board().map_or(0, |board| board.replays.len()) {
                0 => 0,
                replays => replays.min(4) + 2,
            },
            _ => 0,
        };
        layout::panel_rows(self.body_rows(), wanted)
    }

    /// The lines between the tabs and the screen, when something is wrong with the picture; at most three.
    pub fn banner(&self) -> Vec<String> {
        // Before the first board the reason has the whole screen.
        let (Some(why), Some(_)) = (self.stale(), self.board()) else { return Vec::new() };
        let text = match self.age() {
            Some(age) => format!("stale for {}: {why}", text::span(age)),
            None => why,
        };
        let mut lines = text::wrap(&text, usize::from(self.size.0.saturating_sub(2)));
        lines.truncate(3);
        lines
    }
}

/// Whether groups of letters have every column that `filter` names.
pub fn told_by_groups(filter: &Filter) -> bool {
    let known = |field| matches!(field, None | Some(Field::Error | Field::Operation | Field::Id));
    filter.terms.iter().all(|term| known(term.field))
}

fn group_matches(group: &crate::engine::reader::LetterGroup, filter: &Filter) -> bool {
    let error = group.error.as_str().to_lowercase();
    let operation = group.operation.as_ref().map(|o| o.as_str().to_lowercase()).unwrap_or_default();
    filter.terms.iter().all(|term| {
        let value = term.value.to_lowercase();
        let holds = match term.field {
            Some(Field::Error) => error.contains(&value),
            Some(Field::Operation) => operation.contains(&value),
            Some(Field::Id) => group.fingerprint.contains(&value),
            _ => error.contains(&value) || operation.contains(&value) || group.fingerprint.contains(&value),
        };
        holds != term.negated
    })
}
