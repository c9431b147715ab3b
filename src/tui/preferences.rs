//! What an operator chose in the config file: keys, saved views, the contexts to go to, the mouse. Plain data, checked.

use std::time::Duration;

use super::{
    keymap::Keymap,
    model::{Place, View},
    theme::Look,
};
use crate::engine::{filter::Filter, order::Order};

/// All of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Preferences {
    /// Which keys ask for what.
    pub keys: Keymap,
    /// `[view.NAME]`, by name.
    pub views: Vec<SavedView>,
    /// The names of `[context.NAME]`, in the order of [`Switch::context`].
    pub contexts: Vec<String>,
    /// The one shown is marked production: read-only until `:rw`, and nothing is done without a reason.
    pub production: bool,
    /// Whether the mouse is listened to.
    pub mouse: bool,
    /// The screen to begin with.
    pub view: Option<View>,
    /// What is to be said first.
    pub greeting: Option<String>,
}

/// A screen as somebody wants to find it again.
#[derive(Debug, Clone, PartialEq)]
pub struct SavedView {
    /// What `:view` calls it.
    pub name: String,
    /// Which list.
    pub place: Place,
    /// The filter as written.
    pub typed: String,
    /// The same, read.
    pub filter: Filter,
    /// In which order.
    pub order: Option<Order>,
}

/// Another context is wanted, and what goes along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Switch {
    /// Its place in [`Preferences::contexts`].
    pub context: usize,
    /// How the screen looks.
    pub look: Look,
    /// The screen shown.
    pub view: View,
    /// How often the database is read.
    pub interval: Duration,
}
