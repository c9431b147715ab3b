//! The dashboard: stories told with keys, pictures of every screen, laws that hold for all of them, and the loop in a
//! real terminal.

mod advice;
mod comfort;
mod copies;
mod dialogs;
mod engine;
mod hostile;
mod laws;
mod pages;
mod past;
mod payloads;
mod pictures;
mod plans;
mod release;
mod replays;
mod steering;
mod stories;
mod story;
mod tasks;
mod terminal;
mod typing;
pub(crate) mod worlds;
