//! One picture as one line, and back. Pure.
//!
//! The [`Encoder`] keeps what the reader of its lines knows by then, the [`Replica`] keeps the same on the other side, so
//! that a line need only tell what is new.

use std::sync::Arc;

use chrono::{DateTime, Datelike as _, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    domain::{mask, text::SafeText},
    engine::reader::{Board, Query},
    metrics::signals::{Point, Signals},
    poll::{Snapshot, snapshot::DatabaseHealth},
};

/// Points of two charts this near to each other are the same point: each chart dates its points anew.
const NEAR: TimeDelta = TimeDelta::milliseconds(50);
/// How many times 1 a number is kept to.
const DECIMALS: f64 = 1e4;

/// A line that is no picture.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// Not our JSON.
    #[error("not a picture: {0}")]
    Json(String),
    /// It builds upon what no line before said.
    #[error("it continues a line that is not there")]
    Continues,
    /// A moment with which nothing can be reckoned.
    #[error("dated {0}, which no picture is")]
    Dated(DateTime<Utc>),
    /// Longer than any picture.
    #[error("longer than {0} MiB, which no picture is")]
    Long(usize),
}

/// What a line says of a part of the picture.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Part<T> {
    /// There is none.
    None,
    /// As the line before.
    Same,
    /// This.
    New(T),
}

#[derive(Debug, Serialize, Deserialize)]
struct Line {
    number: u64,
    at: DateTime<Utc>,
    query: Query,
    database: DatabaseHealth,
    board: Part<Board>,
    signals: Part<Told>,
}

/// What the metrics say; their chart begins with a piece of the chart before.
#[derive(Debug, Serialize, Deserialize)]
struct Told {
    signals: Signals,
    /// Points of the chart before that are left out at its beginning.
    skip: usize,
    /// Points after those that stay.
    keep: usize,
}

/// Pictures in, lines out.
#[derive(Debug, Default)]
pub struct Encoder {
    board: Option<Arc<Board>>,
    signals: Option<Arc<Signals>>,
    chart: Vec<Point>,
}

impl Encoder {
    /// The line of `picture`, with its end.
    ///
    /// # Errors
    /// Never with the pictures there are: what they hold can be written.
    pub fn line(&mut self, picture: &Snapshot) -> Result<String, serde_json::Error> {
        let board = match (&self.board, &picture.board) {
            (_, None) => Part::None,
            (Some(known), Some(board)) if Arc::ptr_eq(known, board) => Part::Same,
            // A page is what nobody may find in a file: payloads, contexts, stored responses.
            (_, Some(board)) => {
                let mut board = Board { page: None, ..Board::clone(board) };
                // JSON has no word for what is not a number.
                board
                    .replays
                    .retain(|replay| replay.per_second.is_finite() && replay.refail_limit.is_finite());
                Part::New(board)
            }
        };
        let mut chart = None;
        let signals = match (&self.signals, &picture.signals) {
            (_, None) => Part::None,
            (Some(known), Some(signals)) if Arc::ptr_eq(known, signals) => Part::Same,
            (_, Some(signals)) => {
                let points: Vec<Point> = signals.chart.iter().map(|point| rounded_point(*point)).collect();
                let (skip, keep) = overlap(&self.chart, &points);
                let rest = points[keep..].to_vec();
                chart = Some(self.chart[skip..skip + keep].iter().chain(&rest).copied().collect());
                let mut signals = Signals { chart: rest, ..Signals::clone(signals) };
                signals.verdict.callers.retain(|(_, share)| share.is_finite());
                Part::New(Told { signals, skip, keep })
            }
        };
        let line = Line {
            number: picture.number,
            at: picture.at,
            query: Query { detail: None, ..picture.query.clone() },
            database: picture.database.clone(),
            board,
            signals,
        };
        let mut value = serde_json::to_value(&line)?;
        clean(&mut value);
        let text = serde_json::to_string(&value)?;
        self.board.clone_from(&picture.board);
        self.signals.clone_from(&picture.signals);
        self.chart = chart.unwrap_or_else(|| std::mem::take(&mut self.chart));
        if self.signals.is_none() {
            self.chart.clear();
        }
        Ok(text + "\n")
    }
}

/// Lines in, pictures out.
#[derive(Debug, Default)]
pub struct Replica {
    board: Option<Arc<Board>>,
    signals: Option<Arc<Signals>>,
}

impl Replica {
    /// The picture of `line`.
    ///
    /// # Errors
    /// What is wrong with the line.
    pub fn picture(&mut self, line: &[u8]) -> Result<Snapshot, LineError> {
        let line = read(line)?;
        match line.board {
            Part::None => self.board = None,
            Part::Same if self.board.is_none() => return Err(LineError::Continues),
            Part::Same => {}
            Part::New(board) => self.board = Some(Arc::new(board)),
        }
        match line.signals {
            Part::None => self.signals = None,
            Part::Same if self.signals.is_none() => return Err(LineError::Continues),
            Part::Same => {}
            Part::New(told) => {
                let known = self.signals.as_ref().map_or(&[][..], |signals| &signals.chart);
                let end = told.skip.checked_add(told.keep).ok_or(LineError::Continues)?;
                let kept = known.get(told.skip..end).ok_or(LineError::Continues)?;
                let chart = kept.iter().chain(&told.signals.chart).copied().collect();
                self.signals = Some(Arc::new(Signals { chart, ..told.signals }));
            }
        }
        let chart = self.signals.as_ref().map_or(&[][..], |signals| &signals.chart);
        let dated = std::iter::once(line.at).chain(chart.iter().map(|point| point.at));
        if let Some(at) = dated.into_iter().find(|at| !(1970..10_000).contains(&at.year())) {
            return Err(LineError::Dated(at));
        }
        Ok(Snapshot {
            number: line.number,
            at: line.at,
            query: line.query,
            board: self.board.clone(),
            database: line.database,
            signals: self.signals.clone(),
        })
    }
}

/// Reads a line of a file, which may be anybody's: every text in it is made safe to show, also those that are raw in a live
/// picture because actions need them so.
fn read(line: &[u8]) -> Result<Line, LineError> {
    let wrong = |error: serde_json::Error| {
        // Its line is always the first.
        let error = error.to_string().replace("at line 1 column", "at column");
        LineError::Json(SafeText::new(&error).to_string())
    };
    let read = serde_json::from_slice(line).map_err(wrong)?;
    if line.trim_ascii_end().iter().all(|byte| (0x20..0x7f).contains(byte) && *byte != b'\\') {
        return Ok(read);
    }
    let mut value = serde_json::from_slice(line).map_err(wrong)?;
    make_safe(&mut value);
    serde_json::from_value(value).map_err(wrong)
}

fn make_safe(value: &mut Value) {
    match value {
        Value::String(text) => *text = SafeText::new(text).to_string(),
        Value::Array(values) => values.iter_mut().for_each(make_safe),
        Value::Object(fields) => {
            let safe = |(name, mut value): (String, Value)| {
                make_safe(&mut value);
                (SafeText::new(&name).to_string(), value)
            };
            *fields = std::mem::take(fields).into_iter().map(safe).collect();
        }
        Value::Number(_) | Value::Bool(_) | Value::Null => {}
    }
}

/// Where `next` begins in `known`, and how many of its points are the same from there on.
fn overlap(known: &[Point], next: &[Point]) -> (usize, usize) {
    let Some(first) = next.first() else { return (0, 0) };
    let skip = known.partition_point(|point| point.at < first.at - NEAR);
    let same = |(a, b): &(&Point, &Point)| (a.at - b.at).abs() <= NEAR && Point { at: b.at, ..**a } == **b;
    let keep = known[skip..].iter().zip(next).take_while(same).count();
    if keep == 0 { (0, 0) } else { (skip, keep) }
}

fn rounded(number: f64) -> f64 {
    (number * DECIMALS).round() / DECIMALS
}

fn rounded_point(point: Point) -> Point {
    Point {
        at: point.at,
        first: point.first.map(rounded),
        retries: point.retries.map(rounded),
        amplification: point.amplification.map(rounded),
        efficacy: point.efficacy.map(rounded),
    }
}

/// Masks every text and shortens every number.
fn clean(value: &mut Value) {
    match value {
        Value::String(text) => {
            let masked = mask::secrets(text);
            if masked != *text {
                *text = masked;
            }
        }
        Value::Number(number) => {
            let short = number.as_f64().filter(|_| number.is_f64()).map(rounded);
            if let Some(short) = short.and_then(serde_json::Number::from_f64) {
                *number = short;
            }
        }
        Value::Array(values) => values.iter_mut().for_each(clean),
        Value::Object(fields) => fields.values_mut().for_each(clean),
        Value::Null | Value::Bool(_) => {}
    }
}
