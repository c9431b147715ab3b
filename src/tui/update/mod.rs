//! What happened changes the model and names what is to be done. Pure: no clock, no I/O, no terminal.

mod action;
mod command_line;
mod complete;
mod copy;
mod dialog;
mod entry;
mod marks;
mod mouse;
mod navigate;
mod outcome;
mod picture;
mod sort;
mod viewer;

pub use command_line::{Entered, found};
pub use complete::candidates;

use crate::engine::Access;

use super::{
    Exit,
    keys::{Action, Kind},
    layout,
    model::{Entry, Model, Place, Tone, View},
    msg::{Effect, Key, Msg},
};

/// Takes one message in.
pub fn update(model: &mut Model, msg: Msg) -> Vec<Effect> {
    let mut effects = match msg {
        Msg::Tick(now) => {
            model.now = now.max(model.now);
            if model.toast.as_ref().is_some_and(|toast| toast.until <= model.now) {
                model.toast = None;
            }
            Vec::new()
        }
        Msg::Drawn => {
            model.unseen = false;
            Vec::new()
        }
        Msg::Resize(columns, rows) => {
            model.size = (columns, rows);
            Vec::new()
        }
        Msg::Key(key) => on_key(model, key),
        Msg::Mouse(mouse) => {
            mouse::moved(model, mouse);
            Vec::new()
        }
        Msg::Paste(text) => {
            entry::paste(model, &text);
            Vec::new()
        }
        Msg::Snapshot(snapshot) => {
            picture::arrived(model, snapshot);
            Vec::new()
        }
        Msg::Ended => {
            picture::ended(model);
            Vec::new()
        }
        Msg::NotRecorded(why) => {
            model.setting.recording = false;
            model.say(Tone::Bad, why);
            Vec::new()
        }
        Msg::Preview { ticket, result } => dialog::previewed(model, ticket, result),
        Msg::Done { ticket, result } => outcome::done(model, ticket, result),
        Msg::Matched { ticket, result } => {
            marks::matched(model, ticket, result);
            Vec::new()
        }
        Msg::Panicked(place) => {
            // One that was asked for is no bug.
            let what = match place.contains("engine/injection") {
                true => "a panic was injected, as asked: the screen goes on".to_owned(),
                false => format!(
                    "a task of this program failed at {place}: the screen goes on without it; please report it"
                ),
            };
            model.say(Tone::Bad, what);
            Vec::new()
        }
    };
    navigate::settle(model);
    let query = model.query();
    if model.asked.as_ref() != Some(&query) {
        model.asked = Some(query.clone());
        effects.push(Effect::Look(query));
    }
    effects
}

fn on_key(model: &mut Model, key: Key) -> Vec<Effect> {
    match key {
        Key::Ctrl('c') => return vec![Effect::Quit(Exit::Asked)],
        Key::Ctrl('z') => return vec![Effect::Suspend],
        _ => {}
    }
    if model.unseen {
        return Vec::new();
    }
    model.toast = None;
    // What cannot be seen cannot be meant.
    if !layout::fits(model.size) {
        return match key {
            Key::Char('q') => vec![Effect::Quit(Exit::Asked)],
            _ => Vec::new(),
        };
    }
    if let Some(top) = model.help {
        model.help = match key {
            Key::Char('j') | Key::Down => Some(top + 1),
            Key::Char('k') | Key::Up => Some(top.saturating_sub(1)),
            Key::PageDown | Key::Ctrl('d') | Key::Char(' ') => Some(top + 10),
            Key::PageUp | Key::Ctrl('u') => Some(top.saturating_sub(10)),
            Key::Char('g') | Key::Home => Some(0),
            _ => None,
        };
        return Vec::new();
    }
    if model.menu.is_some() {
        sort::key(model, key);
        return Vec::new();
    }
    if !matches!(model.entry, Entry::None) {
        return entry::key(model, key);
    }
    if model.dialog.is_some() {
        return dialog::key(model, key);
    }
    match model.setting.preferences.keys.binding(key) {
        None => Vec::new(),
        Some(binding) if binding.kind == Kind::Writes && model.read_only() => {
            let why = format!("{} is not possible: {}", binding.label, why_read_only(model));
            model.say(Tone::Note, why);
            Vec::new()
        }
        Some(binding) if binding.action != Action::Filter && !binding.works_at(model.place()) => {
            model.say(Tone::Note, nothing_here(binding.action, binding.label));
            Vec::new()
        }
        Some(binding) => obey(model, binding.action),
    }
}

/// Does what a key or a command asks for.
pub(super) fn obey(model: &mut Model, action: Action) -> Vec<Effect> {
    match action {
        Action::Down => navigate::by(model, 1),
        Action::Up => navigate::by(model, -1),
        Action::HalfDown => navigate::by(model, navigate::page(model) / 2),
        Action::HalfUp => navigate::by(model, -(navigate::page(model) / 2)),
        Action::PageDown => navigate::by(model, navigate::page(model)),
        Action::PageUp => navigate::by(model, -navigate::page(model)),
        Action::Top => navigate::by(model, isize::MIN / 2),
        Action::Bottom => navigate::by(model, isize::MAX / 2),
        Action::Enter => navigate::open(model),
        Action::Back => return back(model),
        Action::Show(view) => navigate::show(model, view),
        Action::NextView => navigate::turn(model, 1),
        Action::PrevView => navigate::turn(model, -1),
        Action::Group => navigate::regroup(model),
        Action::Filter => begin_filter(model),
        Action::Sort => sort::begin(model),
        Action::Slower => return sort::pace(model, true),
        Action::Faster => return sort::pace(model, false),
        Action::CommandLine => entry::begin_command(model),
        Action::Help => model.help = Some(0),
        Action::Mark => marks::toggle(model),
        Action::MarkRange => marks::begin_range(model),
        Action::MarkAll => return marks::all(model),
        Action::Freeze => return picture::freeze(model),
        Action::StepBack => picture::step_back(model),
        Action::StepForth => picture::step_forth(model),
        Action::Chart => model.charted = model.charted.next(),
        Action::Theme => {
            model.look = model.look.next();
            model.say(Tone::Note, format!("theme {}", model.look.palette.name()));
        }
        Action::CopyId => return copy::id(model),
        Action::CopyCommand => return copy::command(model),
        Action::Refresh => return vec![Effect::Nudge, Effect::Repaint],
        Action::Suspend => return vec![Effect::Suspend],
        Action::Quit => return vec![Effect::Quit(Exit::Asked)],
        Action::Payload => viewer::open(model),
        Action::Fold => viewer::fold(model),
        Action::NextHit => viewer::hit(model, 1),
        Action::PrevHit => viewer::hit(model, -1),
        Action::Clock => navigate::turn_clock(model),
        Action::Reveal => return action::reveal(model),
        Action::Replay => return action::replay(model),
        Action::Resume => return action::resume(model),
        Action::RollBack => return action::roll_back(model),
        Action::Release => return action::release(model),
        Action::Force => return action::force(model),
        Action::Discard => return action::discard(model),
        Action::Stop => return action::stop(model),
        Action::Pause => return action::pause(model),
    }
    Vec::new()
}

/// One step out; where there is none left, a frozen picture goes on.
fn back(model: &mut Model) -> Vec<Effect> {
    if navigate::back(model) { Vec::new() } else { picture::go_on(model) }
}

/// Why nothing can be written, and what to do about it.
fn why_read_only(model: &Model) -> String {
    match (model.setting.access, model.refusal()) {
        (Access::ReadOnly, _) if model.setting.playback.is_some() => {
            "this is a recording: nothing can be changed in it".to_owned()
        }
        (_, Some(why)) => format!("the database takes no writes: {why}"),
        (Access::ReadOnly, None) => "this dashboard is read-only; start it without --read-only".to_owned(),
        (Access::ReadWrite, None) => "this dashboard is read-only until :rw".to_owned(),
    }
}

/// `:rw` and `:ro`.
fn writing(model: &mut Model, wanted: bool) -> Result<Vec<Effect>, String> {
    if wanted && (model.setting.access == Access::ReadOnly || model.refusal().is_some()) {
        return Err(why_read_only(model));
    }
    model.held = !wanted;
    let production =
        if model.setting.preferences.production { ", with a reason: this is production" } else { "" };
    let said = match wanted {
        true => format!("read-write: Shift + letter writes, after a preview{production}; :ro ends it"),
        false => "read-only until :rw".to_owned(),
    };
    model.say(Tone::Note, said);
    Ok(vec![Effect::Arm(wanted)])
}

/// `/`. Where nothing can be filtered it goes to a list that can: what is typed after it must never act as keys.
fn begin_filter(model: &mut Model) {
    if model.viewer.is_some() {
        return viewer::begin_search(model);
    }
    model.pages.clear();
    if matches!(model.list_place(), Place::Pulse | Place::Circuits) {
        navigate::show(model, View::Onboardings);
    }
    entry::begin_filter(model);
}

/// Why a key does nothing where it was pressed, and where it would.
fn nothing_here(action: Action, label: &str) -> String {
    match action {
        Action::Enter => "no row to open here: the lists are 2 to 6, Esc goes back".to_owned(),
        Action::Mark | Action::MarkRange | Action::MarkAll => {
            "no rows to mark here: 2 Onboardings, 3 Keys and 4 Letters have some".to_owned()
        }
        Action::Group => "no groups here: 4 Letters has some".to_owned(),
        Action::Payload | Action::Fold | Action::NextHit | Action::PrevHit | Action::Reveal => {
            "no payload here: open an onboarding, a key or a letter".to_owned()
        }
        Action::Release => "no key to release here: 3 Keys has them".to_owned(),
        Action::Discard => "no dead letter to discard here: 4 Letters has them".to_owned(),
        Action::Stop => "no replay to stop here: 1 Pulse and 4 Letters have them".to_owned(),
        Action::Force => "no circuit to force here: 5 Circuits has them".to_owned(),
        Action::Pause => {
            "nothing to pause here: 5 Circuits has operations, 1 Pulse pauses all onboardings".to_owned()
        }
        Action::Chart => "no chart here: 1 Pulse has one".to_owned(),
        Action::Sort => "nothing to sort here: the lists are 2, 3, 4 and 6".to_owned(),
        Action::CopyId => "no id to copy here: the lists are 2 to 6".to_owned(),
        _ => format!("{label} has nothing to act on here"),
    }
}
