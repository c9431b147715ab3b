//! What the tests stand on: real servers, a real terminal, waiting without sleeping.
//!
//! Nothing here knows what redrive does; a test that needs worlds or stand-ins keeps them beside itself.
#![allow(
    dead_code,
    reason = "each test, and each example that mounts a file of this folder, uses a part of it"
)]

pub(crate) mod daemon;
pub(crate) mod example;
pub(crate) mod keys;
pub(crate) mod leash;
pub(crate) mod pgbouncer;
pub(crate) mod place;
pub(crate) mod postgres;
pub(crate) mod program;
pub(crate) mod prometheus;
pub(crate) mod proxy;
pub(crate) mod pty;
pub(crate) mod python;
#[cfg(feature = "redis")]
pub(crate) mod redis;
pub(crate) mod stores;
pub(crate) mod wait;
pub(crate) mod wal;
