//! # redrive
//!
//! A terminal dashboard for multi-step onboardings and everything else that is retried, and the engine behind it.
//! This page is the map.
//!
//! ## Six words
//! - [`poll::Snapshot`]: everything the screen may show at one instant, immutable, in an `Arc`.
//! - [`engine::reader::Query`]: what else the screen wants to look at; the next Snapshot names the Query it answers.
//! - [`tui::msg::Msg`]: something happened (key, snapshot, result, tick, resize).
//! - [`tui::msg::Effect`]: something to do, as data. `update` returns it, only the runner does it.
//! - [`engine::command::Command`]: a wish addressed to the engine, the only way in; answered with a `Receipt` or a
//!   typed `Refusal`.
//! - [`engine::store::Store`]: the engine's memory: a few atomic verbs with laws.
//!
//! ## Floors
//! An import goes only downwards; `tests/suite/floors.rs` reads the `use` lines and holds it.
//! ```text
//! cli          flags; one file per noun for the headless twins
//! run          composition root: opens, wires, owns shutdown
//! demo         loopback upstreams, legacy callers, the incident scenarios, the lab
//! tui          the loop, the model, update (pure), keys (the table), view (pure)
//! service      HTTP intake, /metrics, /livez, /readyz
//! poll         reader snapshots + metrics → watch<Arc<Snapshot>>; never dies, only goes stale; recordings of them
//! onboarding   the nine-state pipeline as a workflow definition; one file per upstream client
//! metrics      expositions in, counters → rates, verdict (pure), what we export
//! store        the only folder that knows SQL: one text, two dialects; keys and locks on Redis beside them
//! engine       the rules and the only writer
//! resilience   pure policy: backoff, classification, budget, circuit, bulkhead; as tower layers for any service (no I/O either)
//! domain       nouns, transition tables, display-safe text, masking
//! ground       clock (the only reader of time and randomness), config (plain types), http (the one client builder)
//! ```
//!
//! ## One way round
//! ```text
//!  store (Reader) ─▶ poll ──watch──▶ Msg::Snapshot ─┐
//!  targets ────────▶ poll                           ├─▶ update(&mut Model, Msg) -> Vec<Effect> ─▶ view
//!  keys ─▶ keys::lookup ─▶ an action ───────────────┘            │ Effect::Submit ─▶ engine ─▶ Msg + a nudge to poll
//!                                                                └ Effect::Look(Query) ─▶ poll
//!  engine::act ─▶ work row ─▶ worker: claim ─▶ run a state ─▶ record ─▶ the next state, or an end
//! ```
//!
//! ## Where to begin
//! For keys of your own: [`engine::idempotency`], and [`domain::key`] for what may follow what. For a workflow of your
//! own: `examples/order_saga.rs` and [`engine::workflow`]. For a source of metrics nobody reads yet: a file in
//! `src/metrics/source/presets`. For the whole:
//! [`engine::command`], [`engine::store`], [`engine::policies`], [`domain::onboarding`], `tui::keys`, `tui::update`: with these the rest
//! is detail. What the engine promises is said once, in the README; how it is broken on purpose, in [`engine::injection`]
//! and `tests/suite/crash`.
//!
//! ## Glossary
//! The word on the screen = the column = the type = the metric.
//!
//! workflow · onboarding · state · attempt · checkpoint · subtask · compensation · key · lease · letter (dead letter) ·
//! replay · discard · restore · reveal · quarantined · resume · roll back · circuit · budget · roof (over all budgets) · bulkhead · force · pause · parked ·
//! operation (one callee and verb, `github.create_hook`) · operator · action ·
//! target (a metrics endpoint) · origin (where targets are named) · elsewhere (begun by others)

pub mod cli;
pub mod clock;
pub mod config;
pub mod demo;
pub mod domain;
pub mod engine;
pub mod http;
pub mod metrics;
pub mod onboarding;
pub mod poll;
pub mod resilience;
pub mod run;
pub mod service;
pub mod store;
pub mod tui;
