//! The specification. One binary, so that it links once.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod circuits;
mod config;
mod crash;
mod demo;
mod engine;
mod entities;
mod errors;
mod examples;
mod files;
mod floors;
mod harness;
mod headless;
mod http;
mod keys;
mod lab;
mod laws;
mod layers;
mod letters;
mod live;
mod metrics;
mod plans;
mod readme;
mod record;
mod schema;
mod session;
mod support;
mod terminal;
mod tui;
mod upstreams;
mod whole;
