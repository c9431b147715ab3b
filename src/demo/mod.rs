//! (being written)

pub mod upstreams;
