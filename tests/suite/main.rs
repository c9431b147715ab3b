//! The specification. One binary, so that it links once.

mod entities;
mod floors;
mod harness;
mod laws;
mod metrics;
mod support;
mod upstreams;
