//! Stories of the engine: a real worker on a real database, with a workflow whose steps do what the story says.

mod commits;
mod noop;
mod script;
mod stories;
