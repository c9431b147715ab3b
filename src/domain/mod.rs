//! The nouns: what the program talks about, with their words and their total transition tables.
//!
//! Knows std, serde, chrono, SHA-256 and the Unicode tables, and nothing of databases, networks, screens, clocks or chance.

pub mod action;
pub mod attempt;
pub mod canonical;
pub mod catalog;
pub mod circuit;
pub mod fault;
pub mod id;
pub mod key;
pub mod letter;
pub mod mask;
pub mod onboarding;
pub mod shape;
pub mod text;
pub mod word;
