//! The pictures of the last half hour, thinned out, for stepping back: every one of the last minute, one every five
//! seconds before that.
//!
//! Bounded twice: by their number and by their size, whatever lists were looked at; the oldest go first. The chart of
//! one picture is the chart of the next but for its newest points, so the points are kept once for all of them; what a
//! picture holds besides is packed once it is older than a minute. Pure; it knows neither keys nor screen.

use std::{
    collections::VecDeque,
    io::{self, Read, Write},
    sync::Arc,
};

use chrono::{DateTime, TimeDelta, Utc};
use flate2::{Compression, read::DeflateDecoder, write::DeflateEncoder};
use serde::Serialize;

use crate::{
    engine::reader::{Board, Rows},
    metrics::signals::{Point, Signals},
    poll::Snapshot,
};

/// How far back one can step.
pub const REACH: TimeDelta = TimeDelta::minutes(30);
/// Pictures younger than this are all kept.
const CLOSE: TimeDelta = TimeDelta::minutes(1);
/// Older ones are at least this far apart.
const APART: TimeDelta = TimeDelta::seconds(5);
/// The most pictures: a minute at ten a second, and the rest at one in five seconds.
const MOST: usize = 1_000;
/// The most bytes: packed as they are, others reckoned as JSON, which is about what they take in memory.
const MOST_BYTES: usize = 24 << 20;
/// Larger ones are not packed: that would be felt at the keys.
const PACKED_UP_TO: usize = 1 << 20;
/// The most points of all their charts together: more than the longest chart and [`REACH`] at two points a second.
const MOST_POINTS: usize = 6_000;

/// A picture without its chart.
#[derive(Debug, Clone)]
struct Kept {
    /// Without board and signals once they are packed.
    picture: Arc<Snapshot>,
    /// Board and signals as deflated JSON.
    packed: Option<Box<[u8]>>,
    /// The first and the last point of its chart.
    chart: Option<(DateTime<Utc>, DateTime<Utc>)>,
    bytes: usize,
}

impl Kept {
    /// Packs it, unless it is large, or tiny, or would not come out again.
    fn pack(&mut self) {
        if self.packed.is_some() || self.bytes > PACKED_UP_TO {
            return;
        }
        let Ok(packed) = pack(&self.picture) else { return };
        let light = Snapshot { board: None, signals: None, ..Snapshot::clone(&self.picture) };
        let bytes = FIXED + packed.len();
        if bytes < self.bytes && unpack(&light, &packed).is_ok() {
            self.bytes = bytes;
            (self.picture, self.packed) = (Arc::new(light), Some(packed));
        }
    }

    fn picture(&self) -> Option<Arc<Snapshot>> {
        match &self.packed {
            None => Some(Arc::clone(&self.picture)),
            Some(packed) => unpack(&self.picture, packed).map(Arc::new).ok(),
        }
    }
}

fn pack(picture: &Snapshot) -> io::Result<Box<[u8]>> {
    let json = serde_json::to_vec(&(&picture.board.as_deref(), &picture.signals.as_deref()))?;
    let mut packer = DeflateEncoder::new(Vec::new(), Compression::fast());
    packer.write_all(&json)?;
    packer.finish().map(Vec::into_boxed_slice)
}

/// `light` with the board and the signals that were packed.
fn unpack(light: &Snapshot, packed: &[u8]) -> io::Result<Snapshot> {
    let mut json = Vec::new();
    DeflateDecoder::new(packed).read_to_end(&mut json)?;
    let (board, signals): (Option<Board>, Option<Signals>) = serde_json::from_slice(&json)?;
    Ok(Snapshot { board: board.map(Arc::new), signals: signals.map(Arc::new), ..light.clone() })
}

/// The pictures, oldest first.
#[derive(Debug, Clone, Default)]
pub struct Past {
    kept: VecDeque<Kept>,
    /// How many of them, from the oldest on, were thinned out already.
    thinned: usize,
    points: VecDeque<Point>,
    bytes: usize,
    /// What the metrics said last, with their chart and without: two pictures in a row often share it.
    last: Option<(Arc<Signals>, Arc<Signals>)>,
}

impl Past {
    /// Keeps the newest picture and lets go of what is too old, too close together or too much.
    pub fn push(&mut self, picture: &Snapshot) {
        if self.kept.back().is_some_and(|last| last.picture.number >= picture.number) {
            self.pop_back();
        }
        let signals = picture.signals.as_ref().map(|signals| self.without_chart(signals));
        let chart = picture.signals.as_ref().and_then(|signals| ends(&signals.chart));
        let light = Snapshot { signals, ..picture.clone() };
        let bytes = weight(&light);
        self.bytes += bytes;
        self.kept.push_back(Kept { picture: Arc::new(light), packed: None, chart, bytes });
        self.thin_out(picture.at);
        while self.kept.len() > 1
            && (self.kept.len() > MOST
                || self.bytes > MOST_BYTES
                || self.oldest_is_before(picture.at - REACH))
        {
            self.pop_front();
        }
    }

    /// The picture before number `number`.
    pub fn before(&self, number: u64) -> Option<Arc<Snapshot>> {
        let at = self.kept.partition_point(|kept| kept.picture.number < number);
        self.whole(at.checked_sub(1)?)
    }

    /// The picture after number `number`.
    pub fn after(&self, number: u64) -> Option<Arc<Snapshot>> {
        self.whole(self.kept.partition_point(|kept| kept.picture.number <= number))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// How much they take, about, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes + self.points.len() * size_of::<Point>()
    }

    /// The picture at `index` with its chart.
    fn whole(&self, index: usize) -> Option<Arc<Snapshot>> {
        let kept = self.kept.get(index)?;
        let picture = kept.picture()?;
        let (Some(signals), Some((first, last))) = (&picture.signals, kept.chart) else {
            return Some(picture);
        };
        let begin = self.points.partition_point(|point| point.at < first);
        let end = self.points.partition_point(|point| point.at <= last);
        let chart = self.points.range(begin..end.max(begin)).copied().collect();
        let signals = Signals { chart, ..Signals::clone(signals) };
        Some(Arc::new(Snapshot { signals: Some(Arc::new(signals)), ..Snapshot::clone(&picture) }))
    }

    /// `signals` without its chart, whose points go to the others.
    fn without_chart(&mut self, signals: &Arc<Signals>) -> Arc<Signals> {
        if let Some((seen, light)) = &self.last
            && Arc::ptr_eq(seen, signals)
        {
            return Arc::clone(light);
        }
        // What the newest chart says of its time is the last word: history may have come late.
        if let Some((first, _)) = ends(&signals.chart) {
            let known = self.points.partition_point(|point| point.at < first);
            self.points.truncate(known);
            self.points.extend(&signals.chart);
            let over = self.points.len().saturating_sub(MOST_POINTS);
            self.points.drain(..over);
        }
        let light = Arc::new(Signals {
            verdict: signals.verdict.clone(),
            operations: signals.operations.clone(),
            circuits: signals.circuits.clone(),
            keys: signals.keys.clone(),
            chart: Vec::new(),
            targets: signals.targets.clone(),
        });
        self.last = Some((Arc::clone(signals), Arc::clone(&light)));
        light
    }

    fn oldest_is_before(&self, time: DateTime<Utc>) -> bool {
        self.kept.front().is_some_and(|oldest| oldest.picture.at < time)
    }

    /// Lets go of pictures that left the last minute and are too close to the one before, and packs the others.
    fn thin_out(&mut self, now: DateTime<Utc>) {
        let before = self.thinned.checked_sub(1).and_then(|index| self.kept.get(index));
        let mut before = before.map(|kept| kept.picture.at);
        while let Some(kept) = self.kept.get_mut(self.thinned).filter(|kept| kept.picture.at < now - CLOSE) {
            if before.is_none_or(|before| kept.picture.at - before >= APART) {
                self.bytes -= kept.bytes;
                kept.pack();
                self.bytes += kept.bytes;
                before = Some(kept.picture.at);
                self.thinned += 1;
            } else if let Some(gone) = self.kept.remove(self.thinned) {
                self.bytes -= gone.bytes;
            }
        }
    }

    fn pop_front(&mut self) {
        if let Some(gone) = self.kept.pop_front() {
            self.bytes -= gone.bytes;
            self.thinned = self.thinned.saturating_sub(1);
        }
    }

    fn pop_back(&mut self) {
        if let Some(gone) = self.kept.pop_back() {
            self.bytes -= gone.bytes;
            self.thinned = self.thinned.min(self.kept.len());
        }
    }
}

fn ends(chart: &[Point]) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
    Some((chart.first()?.at, chart.last()?.at))
}

/// What a picture takes whatever it holds.
const FIXED: usize = size_of::<Snapshot>() + size_of::<Board>() + size_of::<Signals>();

/// How much a picture takes, about.
fn weight(picture: &Snapshot) -> usize {
    let board = picture.board.as_deref().map_or(0, |board| {
        let Board { workers, circuits, pauses, letter_groups, replays, page, .. } = board;
        weighed(&(workers, circuits, pauses, letter_groups, replays, page)) + weight_of(&board.rows)
    });
    FIXED + board + weighed(&picture.signals.as_deref())
}

/// Of a long list a few rows are weighed for all: this is done for every picture.
fn weight_of(rows: &Rows) -> usize {
    fn a_few<T: Serialize>(rows: &[T]) -> usize {
        const FEW: usize = 20;
        let (sum, few) = rows
            .iter()
            .step_by((rows.len() / FEW).max(1))
            .fold((0, 0), |(sum, few), row| (sum + weighed(row), few + 1));
        sum * rows.len() / few.max(1)
    }
    match rows {
        Rows::None => 0,
        Rows::Onboardings(rows) => a_few(rows),
        Rows::Keys(rows) => a_few(rows),
        Rows::Letters(rows) => a_few(rows),
        Rows::Audit(rows) => a_few(rows),
    }
}

fn weighed(value: &impl Serialize) -> usize {
    struct Counted(usize);
    impl std::io::Write for Counted {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut counted = Counted(0);
    // Counting bytes cannot fail; a value that JSON cannot hold would end the count, no more.
    let _ = serde_json::to_writer(&mut counted, value);
    counted.0
}
