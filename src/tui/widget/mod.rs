//! Small drawing tools of our own. They know cells and styles, nothing of onboardings.

pub mod chart;
pub mod table;
pub mod text;
