//! Stories of the engine: a real worker on a real database, with a workflow whose steps do what the story says.

mod script;
mod stories;
