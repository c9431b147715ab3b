//! What happened ([`Msg`]) and what is to be done ([`Effect`]), both as data.
//!
//! Knows no terminal library, so that stories can be told without one.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};

use super::Exit;
use crate::{
    domain::{
        circuit::Forced,
        id::{ActionId, KeyId, LetterId, OnboardingId, OperationName, ReplayId},
    },
    engine::{
        command::{Command, Elsewhere, Receipt, Refusal, Submission, Target},
        filter::Filter,
        plan::Plan,
        reader::{Detail, Query, Rows},
    },
    poll::Snapshot,
};

/// A key as pressed, in the program's own words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Key {
    /// A printable character, shifted ones as they come.
    Char(char),
    /// Control and a lower-case letter.
    Ctrl(char),
    /// Enter.
    Enter,
    /// Escape.
    Esc,
    /// Tab.
    Tab,
    /// Shift and Tab.
    BackTab,
    /// Arrow up.
    Up,
    /// Arrow down.
    Down,
    /// Arrow left.
    Left,
    /// Arrow right.
    Right,
    /// Page up.
    PageUp,
    /// Page down.
    PageDown,
    /// Home.
    Home,
    /// End.
    End,
    /// Backspace.
    Backspace,
    /// Delete.
    Delete,
    /// Any other.
    Other,
}

/// What the mouse did, on the screen's columns and rows from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mouse {
    /// The left button went down.
    Click {
        /// The column.
        column: u16,
        /// The row.
        row: u16,
    },
    /// The wheel went up a notch.
    WheelUp,
    /// The wheel went down a notch.
    WheelDown,
}

/// Numbers questions, so that a late answer finds its asker or nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// Something happened.
#[derive(Debug, Clone)]
pub enum Msg {
    /// It is now this late.
    Tick(DateTime<Utc>),
    /// A key was pressed.
    Key(Key),
    /// The mouse was used; never an action that writes.
    Mouse(Mouse),
    /// Text was pasted; never an action.
    Paste(String),
    /// The terminal has this many columns and rows.
    Resize(u16, u16),
    /// The screen shows everything up to here.
    Drawn,
    /// A newer picture.
    Snapshot(Arc<Snapshot>),
    /// The recording that is played is over.
    Ended,
    /// Pictures are not recorded any more; why.
    NotRecorded(String),
    /// What a dialog asked to see first.
    Preview {
        /// Of the dialog.
        ticket: Ticket,
        /// What came of it.
        result: Result<Previewed, Refusal>,
    },
    /// What became of a submission.
    Done {
        /// Of the submission.
        ticket: Ticket,
        /// What came of it.
        result: Result<Receipt, Refusal>,
    },
    /// Every row that matches, for marking.
    Matched {
        /// Of the question.
        ticket: Ticket,
        /// The rows, at most [`Query::COUNT_CAP`].
        result: Result<Rows, Refusal>,
    },
    /// A task behind the screen panicked; where.
    Panicked(String),
}

/// A wish resolved to ids, judged.
#[derive(Debug, Clone, PartialEq)]
pub struct Previewed {
    /// The key that makes the submission apply once.
    pub action: ActionId,
    /// What will be asked.
    pub command: Command,
    /// What it would do.
    pub plan: Plan,
}

/// What an operator wants, before ids that are not on the screen were looked up.
#[derive(Debug, Clone, PartialEq)]
pub enum Wish {
    /// Resume these.
    Resume(Vec<Target<OnboardingId>>, Elsewhere),
    /// Resume every failed onboarding that matches.
    ResumeFailed(Filter),
    /// Roll this one back.
    RollBack(Target<OnboardingId>, Elsewhere),
    /// Replay these letters.
    Replay(Vec<Target<LetterId>>),
    /// Replay every open letter of these groups.
    ReplayGroups(Vec<String>),
    /// Replay every open letter.
    ReplayAll,
    /// Set these letters aside.
    Discard(Vec<Target<LetterId>>),
    /// Set every open letter of these groups aside.
    DiscardGroups(Vec<String>),
    /// Open these letters again.
    Restore(Vec<Target<LetterId>>),
    /// See this payload in the clear.
    Reveal(Detail),
    /// Stop this replay.
    Stop(Target<ReplayId>),
    /// Set these keys free.
    Release(Vec<Target<KeyId>>),
    /// Force this operation's circuit; `None`: leave it to the workers again.
    Force(Target<OperationName>, Option<Forced>),
    /// Hold this operation back.
    Pause(Target<OperationName>),
    /// Let this operation go on.
    Unpause(Target<OperationName>),
}

/// Something to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Look at this from now on.
    Look(Query),
    /// Read again now.
    Nudge,
    /// Read the database this often from now on.
    Pace(Duration),
    /// Let the engine take commands, or not.
    Arm(bool),
    /// Draw everything anew, whatever the terminal shows.
    Repaint,
    /// Find out what the wish would do.
    Preview(Ticket, Wish),
    /// Ask the engine.
    Submit(Ticket, Submission),
    /// Read every row that matches.
    Match(Ticket, Query),
    /// The recording that is played waits, or goes on.
    Hold(bool),
    /// Put this on the clipboard.
    Copy(String),
    /// Give the terminal back until `fg`.
    Suspend,
    /// Leave.
    Quit(Exit),
}
