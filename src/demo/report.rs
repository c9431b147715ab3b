//! What a scenario came to: plain values, as JSON or as text. It says, and judges nothing.

use serde::Serialize;

use super::{
    Scenario,
    seen::{Said, Turn},
    stage::Phase,
};

/// One number, or a few words, for one side of a comparison.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figure {
    /// What was measured.
    pub what: &'static str,
    /// For whom: a policy, a caller.
    pub side: &'static str,
    /// How much; times are the scenario's, a share is in `[0, 1]`.
    pub value: f64,
    /// Of what: `s`, `requests`, `share`.
    pub unit: &'static str,
}

impl Figure {
    pub(super) fn new(what: &'static str, side: &'static str, value: f64, unit: &'static str) -> Self {
        Self { what, side, value: (value * 1_000.0).round() / 1_000.0, unit }
    }

    fn shown(&self) -> String {
        match self.unit {
            "share" => format!("{:.1} %", 100.0 * self.value),
            "s" if self.value >= 120.0 => format!("{:.1} min", self.value / 60.0),
            unit if self.value.fract() == 0.0 => format!("{:.0} {unit}", self.value),
            unit => format!("{:.1} {unit}", self.value),
        }
    }
}

/// Something that had to be, and whether it was.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Expectation {
    /// What had to be.
    pub says: String,
    /// Whether it was.
    pub met: bool,
    /// What was there instead, or the proof.
    pub found: String,
}

impl Expectation {
    pub(super) fn new(says: impl Into<String>, met: bool, found: impl ToString) -> Self {
        Self { says: says.into(), met, found: found.to_string() }
    }
}

/// Timers later than this hold callers and services up, in milliseconds: the shortest of their times are not much longer.
const TOO_LATE: f64 = 25.0;

/// One run of a scenario.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Which one.
    pub scenario: Scenario,
    /// What happens, in one sentence.
    pub says: &'static str,
    /// What tames it.
    pub tamed_by: &'static str,
    /// Of its chances.
    pub seed: u64,
    /// Real time per time of the scenario's.
    pub time_factor: f64,
    /// How long it took, in real seconds.
    pub real_seconds: f64,
    /// Nineteen of twenty of the process's timers were at most so late, in real milliseconds.
    pub timers_late_ms: f64,
    /// What happened when.
    pub phases: Vec<Phase>,
    /// What the dashboard's headline said when.
    pub verdicts: Vec<Said>,
    /// What each operation's own verdict was when.
    pub operations: Vec<Turn>,
    /// What was measured, side by side.
    pub figures: Vec<Figure>,
    /// What had to be.
    pub expectations: Vec<Expectation>,
    /// Whether all of it was.
    pub met: bool,
}

/// The figures as lines of text, one for each thing measured: its sides beside each other.
pub(super) fn lines(figures: &[Figure]) -> String {
    let mut whats: Vec<&str> = Vec::new();
    for figure in figures {
        if !whats.contains(&figure.what) {
            whats.push(figure.what);
        }
    }
    let line = |what: &&str| {
        let sides = figures.iter().filter(|figure| figure.what == *what);
        let sides: Vec<String> = sides
            .map(|figure| match figure.side {
                "" => figure.shown(),
                side => format!("{side} {}", figure.shown()),
            })
            .collect();
        format!("  {what}: {}", sides.join(" · "))
    };
    whats.iter().map(line).collect::<Vec<_>>().join("\n")
}

impl Report {
    /// Whether the machine was too busy for the figures to mean much.
    pub fn is_too_busy(&self) -> bool {
        self.timers_late_ms > TOO_LATE
    }

    /// The whole as text.
    pub fn text(&self) -> String {
        let mut text = format!(
            "{}, seed {}, {} s for {} of its own: {}\n\nwhat happened\n",
            self.scenario,
            self.seed,
            self.real_seconds,
            self.phases.last().map_or_else(String::new, |phase| clock(phase.until)),
            self.says
        );
        for Phase { phase, from, until } in &self.phases {
            text.push_str(&format!("  {} to {}  {phase}\n", clock(*from), clock(*until)));
        }
        text.push_str("\nwhat the dashboard said\n");
        for said in &self.verdicts {
            let operation = said.operation.as_deref().unwrap_or("everything");
            text.push_str(&format!("  {}  {} {operation}: {}", clock(said.at), said.verdict, said.sentence));
            if let Some((name, share)) = said.callers.first() {
                text.push_str(&format!(" · from {name} {:.0} %", 100.0 * share));
            }
            if let Some(root) = said.root.as_ref().filter(|root| Some(*root) != said.operation.as_ref()) {
                text.push_str(&format!(" · root {root}"));
            }
            text.push('\n');
        }
        text.push_str(&format!("\nside by side\n{}\n", lines(&self.figures)));
        text.push_str(&format!("tamed by {}\n\nwhat had to be\n", self.tamed_by));
        for Expectation { says, met, found } in &self.expectations {
            let mark = if *met { "met    " } else { "NOT MET" };
            text.push_str(&format!("  {mark}  {says} ({found})\n"));
        }
        text.push_str(if self.met { "all met" } else { "not all met" });
        if self.is_too_busy() {
            let late = self.timers_late_ms;
            text.push_str(&format!(
                "\nthis machine was too busy, timers were up to {late} ms late: run it again, or with a larger --time-factor"
            ));
        }
        text
    }
}

/// `12:05`, or `1:02:05`.
fn clock(seconds: f64) -> String {
    let seconds = seconds.round() as u64;
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes:02}:{seconds:02}"),
        hours => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}
