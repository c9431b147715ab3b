//! Freezing and stepping back: which pictures are kept, what the screen says of them, and that nothing is done on them.

use std::sync::Arc;

use chrono::TimeDelta;
use redrive::{
    engine::{
        Access,
        reader::{Detail, List, Query},
    },
    poll::Snapshot,
    tui::{
        model::Model,
        msg::{Effect, Msg},
        past::Past,
    },
};

use super::{
    stories::storm,
    story::Story,
    worlds::{self, noon},
};

const WIDE: (u16, u16) = (120, 36);
const NARROW: (u16, u16) = (80, 24);

/// A picture of the world as it is `seconds` after noon, with that many failed onboardings.
fn picture(story: &Story, seconds: u64) -> Arc<Snapshot> {
    let later = TimeDelta::seconds(i64::try_from(seconds).unwrap());
    let mut picture = Snapshot::clone(&story.world.picture(&story.model.query()));
    picture.number = seconds + 1;
    picture.at = noon() + later;
    picture.database.last_ok = Some(picture.at);
    let mut board = picture.board.as_deref().expect("the world has a board").clone();
    board.at = picture.at;
    board.counts.failed.0 = i64::try_from(seconds).unwrap();
    picture.board = Some(Arc::new(board));
    if let Some(signals) = &mut picture.signals {
        let signals = Arc::make_mut(signals);
        signals.chart.iter_mut().for_each(|point| point.at += later);
        signals.targets.iter_mut().for_each(|target| target.last_ok = Some(picture.at));
    }
    Arc::new(picture)
}

/// A picture a second, for so many seconds.
fn live(story: &mut Story, seconds: std::ops::RangeInclusive<u64>) {
    for second in seconds {
        let picture = picture(story, second);
        story.tell(Msg::Tick(picture.at));
        story.tell(Msg::Snapshot(picture));
    }
}

fn shown(model: &Model) -> u64 {
    model.snapshot.as_ref().expect("a picture").number - 1
}

#[test]
fn a_frozen_screen_steps_back_and_forth_and_goes_back_to_live() {
    let mut story = storm();
    live(&mut story, 1..=90);
    story.press("f").see("‖ frozen 14:04:01, 0 s ago").see("← step back");
    live(&mut story, 91..=94);
    story.see("failed 90").see("‖ frozen 14:04:01, 4 s ago");
    story.press("Left Left").see("failed 88").see("‖ frozen 14:03:59, 6 s ago");
    story.press("Right Right Right").see("failed 91");
    story.press("Right Right Right Right Right").see("failed 94").see("this is the newest picture");
    story.press("Left f").see("failed 94").see("● live");
    live(&mut story, 95..=95);
    story.see("failed 95");
    story.press("f Left Esc").see("● live").see("failed 95").not_see("← step back");
}

#[test]
fn half_an_hour_is_kept_thinned_out_beyond_the_last_minute() {
    let mut story = storm();
    live(&mut story, 1..=2_000);
    story.press("f");
    let mut seen = vec![shown(&story.model)];
    loop {
        story.press("Left");
        if shown(&story.model) == seen[seen.len() - 1] {
            break;
        }
        seen.push(shown(&story.model));
    }
    story.see("this is the oldest picture that is kept");
    assert_eq!(seen[..61], (1_940..=2_000).rev().collect::<Vec<u64>>());
    assert!(seen[61..].windows(2).all(|pair| pair[0] - pair[1] == 5), "{:?}", &seen[55..80]);
    let oldest = seen[seen.len() - 1];
    assert!((200..=206).contains(&oldest), "{oldest}");
    assert_eq!(story.model.past.len(), seen.len());
    story.see("30 min ago");
}

#[test]
fn an_old_picture_takes_little_and_is_whole() {
    for mut world in worlds::all() {
        world.onboardings.truncate(200);
        world.keys.truncate(200);
        world.letters.truncate(200);
        let detail = world.onboardings.first().map(|row| Detail::Onboarding(row.id.clone()));
        for list in [List::None, List::Onboardings, List::Keys, List::Letters { group: None }, List::Audit] {
            let query = Query { list, detail: detail.clone(), ..Query::default() };
            let first = world.picture(&query);
            let mut past = Past::default();
            past.push(&first);
            let whole = past.bytes();
            let later = first.at + TimeDelta::minutes(2);
            past.push(&Snapshot { number: first.number + 1, at: later, ..Snapshot::clone(&first) });
            let packed = past.bytes() - whole;
            let what = format!("{} {:?}: {packed} of {whole} bytes", world.name, query.list);
            // JSON has no word for a number that is none: such a picture is kept as it is.
            let shrinks = whole > 10_000 && world.name != "hostile";
            assert!(packed <= if shrinks { whole / 3 } else { whole }, "{what}");
            let oldest = past.before(first.number + 1).expect("it is kept");
            let told = |picture: &Snapshot| format!("{:?}", (&picture.board, &picture.signals));
            assert!(told(&oldest) == told(&first), "{what}");
        }
    }
}

#[test]
fn what_an_old_picture_tells_of_time_is_as_of_then() {
    let mut story = storm();
    live(&mut story, 1..=30);
    story.see("STORM 01:15");
    story.press("f Left Left Left Left Left").see("STORM 01:10");
    story.wait(300).see("STORM 01:10").see("‖ frozen 14:02:56, 5 min ago");
}

#[test]
fn an_old_picture_has_its_own_chart() {
    let mut story = storm();
    live(&mut story, 1..=200);
    story.press("f");
    let newest = story.snapshot().signals.clone().expect("signals").chart.clone();
    for _ in 0..70 {
        story.press("Left");
    }
    let second = shown(&story.model);
    let chart = &story.snapshot().signals.as_ref().expect("signals").chart;
    assert_eq!(
        chart.first().map(|point| point.at),
        picture(&story, second).signals.as_ref().map(|s| s.chart[0].at)
    );
    assert!(chart.last().unwrap().at < newest.last().unwrap().at);
}

#[test]
fn nothing_is_done_on_an_old_picture() {
    let mut story = storm();
    story.press("2");
    live(&mut story, 1..=3);
    story.press("f Left U").see("not on a stale picture: this picture is of the past: f goes back to live");
    assert_eq!(story.asked(), []);
    // The newest one is as good as a live one while it is fresh.
    story.press("f U").see("reading what it would do");
}

#[test]
fn arrows_say_what_they_are_for_while_the_screen_is_live() {
    storm().press("Left").see("f freezes the picture; then ← → step");
}

#[test]
fn escape_closes_what_is_open_before_it_lets_the_picture_go_on() {
    let mut story = storm();
    story.press("2 Enter f Esc").see("‖ frozen").see("onboardings ·");
    story.press("Esc").see("● live");
}

#[test]
fn a_frozen_header_fits_every_width() {
    for columns in [60, 79, 80, 100, 120] {
        let mut story = Story::with(worlds::storm(), (columns, 20), Access::ReadOnly);
        story.press("f").wait(240).see("14:02:31, 4 min ago").see("read-only");
    }
}

#[test]
fn pictures_with_long_lists_are_bounded_by_their_size() {
    let story = Story::of(worlds::storm(), NARROW);
    let mut past = Past::default();
    let mut heavy = Snapshot::clone(&picture(&story, 0));
    let board = Arc::make_mut(heavy.board.as_mut().expect("a board"));
    let group = board.letter_groups[0].clone();
    board.letter_groups = vec![group; 6_000];
    for number in 0..100_u64 {
        heavy.number = number;
        heavy.at = noon() + TimeDelta::seconds(i64::try_from(number).unwrap() * 6);
        past.push(&heavy);
    }
    assert!(past.bytes() < 25 << 20, "{} MiB", past.bytes() >> 20);
    assert!((10..100).contains(&past.len()), "{}", past.len());
    assert_eq!(past.before(100).map(|newest| newest.number), Some(99), "the oldest go first");
}

#[test]
fn the_chart_shows_rates_load_and_what_helped_in_turn() {
    let mut story = storm();
    story.see("⡪ first tries and ⣿ retries per second");
    story.press("a").see("⣿ load, attempts per first try").see("1× ┤");
    story.press("a").see("⣿ helped, share of all retries").see("100 % ┤");
    story.press("a").see("⡪ first tries and ⣿ retries per second");
    story.press("2 a").see("no chart here: 1 Pulse has one");
    let mut calm = Story::of(worlds::calm(), WIDE);
    calm.press("a a").see("n/a: nothing was retried yet, or no target tells how retries end");
}

#[test]
fn a_hole_in_the_load_is_a_hole_in_its_chart() {
    let mut story = storm();
    story.press("a");
    let screen = story.screen();
    let floor = screen.lines().find(|line| line.contains(" 1× ┤")).expect("the chart's floor").to_owned();
    let plot: String = floor.split('┤').nth(1).unwrap().chars().take_while(|c| *c != '│').collect();
    let plot = plot.trim_end();
    assert!(plot.contains("  ") && !plot.starts_with("  "), "a hole between two pieces: {plot:?}");
    let unknown = |story: &mut Story| {
        story.world_with(|world| {
            let signals = world.signals.as_mut().unwrap();
            signals.chart.iter_mut().for_each(|point| point.amplification = Some(1.0));
        });
        story.screen().matches("1× ┤⣀").count()
    };
    assert_eq!(unknown(&mut story), 1, "a load of 1 is drawn, and is no hole:\n{}", story.screen());
}

#[test]
fn panels_of_metrics_say_their_age_and_go_grey_when_only_the_metrics_are_old() {
    let mut story = storm();
    story.not_see("old ─");
    story.world_with(|world| {
        let signals = world.signals.as_mut().unwrap();
        signals.targets.iter_mut().for_each(|target| target.last_ok = Some(noon() - TimeDelta::seconds(44)));
    });
    let screen = story.screen();
    assert!(screen.contains("per second · 44 s old"), "{screen}");
    assert!(screen.contains("operations by caller · 44 s old"), "{screen}");
    story.see("● live");
    let grey = |story: &Story, text: &str| style_at(story, text) == story.model.look.stale().fg;
    assert!(grey(&story, "operations by caller"), "old metrics are grey");
    assert!(!grey(&story, "failed 12"), "the board is not");
}

#[test]
fn circuits_nobody_reports_any_more_say_their_age_and_go_grey() {
    let mut story = storm();
    story.world_with(|world| {
        let board = world.board.as_mut().unwrap();
        board.circuits.iter_mut().for_each(|row| row.reported_at = board.at - TimeDelta::seconds(90));
    });
    story.see("circuits · 90 s old");
    assert_eq!(style_at(&story, "circuits · 90 s"), story.model.look.stale().fg);
}

/// The colour in which `text` is drawn.
fn style_at(story: &Story, text: &str) -> Option<ratatui::style::Color> {
    let terminal = super::story::drawn(&story.model);
    let buffer = terminal.backend().buffer();
    for row in 0..buffer.area.height {
        let symbols: Vec<&str> =
            (0..buffer.area.width).map(|column| buffer[(column, row)].symbol()).collect();
        let line = symbols.concat();
        if let Some(at) = line.find(text) {
            let column = line[..at].chars().count();
            return Some(buffer[(u16::try_from(column).unwrap(), row)].fg);
        }
    }
    panic!("{text:?} is not on the screen:\n{}", story.screen());
}

#[test]
fn dead_letters_say_how_many_came_in_and_how_old_the_oldest_is() {
    for (size, said) in [(WIDE, "12 in 15 min · oldest 3 d"), (NARROW, "12/15 min · oldest 3 d")] {
        let mut story = Story::of(worlds::storm(), size);
        story.world_with(|world| {
            let counts = &mut world.board.as_mut().unwrap().counts;
            counts.letters_arrived.0 = 12;
            counts.oldest_letter = Some(noon() - TimeDelta::hours(72));
        });
        story.see(said);
    }
    let mut story = Story::of(worlds::calm(), WIDE);
    story.not_see("in 15 min");
    story.world_with(|world| world.board.as_mut().unwrap().counts.letters_arrived.0 = 2).see("2 in 15 min");
}

#[test]
fn a_recording_is_played_held_and_ends_frozen_and_nothing_is_done_in_it() {
    let mut story = Story::with(worlds::storm(), WIDE, Access::ReadOnly);
    story.model.setting.playback = Some(4.0);
    story.see("● playing 4×").see("read-only");
    live(&mut story, 1..=5);
    assert_eq!(story.press("f").asked(), [Effect::Hold(true)]);
    story.press("Left Left").see("failed 3").see("‖ frozen 14:02:34, 2 s ago").not_see("stale");
    assert_eq!(story.press("f").asked(), [Effect::Hold(false)]);
    story.see("failed 5").see("● playing");
    story.press("R").see("this is a recording: nothing can be changed in it");
    story.tell(Msg::Ended).see("the recording ends here").see("‖ frozen");
    story.press("Left").see("failed 4");
    story.press("f").see("the recording ends here").see("failed 4");
    assert_eq!(story.asked(), []);
}

#[test]
fn a_recording_says_what_nobody_looked_at() {
    let mut story = Story::with(worlds::storm(), WIDE, Access::ReadOnly);
    story.model.setting.playback = Some(1.0);
    let recorded = picture(&story, 1);
    story.press("2");
    story.tell(Msg::Snapshot(recorded)).see("not in the recording");
    story.press("*").see("this is a recording: only rows on the screen can be marked");
    assert_eq!(story.asked(), []);
}

#[test]
fn a_recording_that_fails_is_told_and_leaves_the_header() {
    let mut story = storm();
    story.model.setting.recording = true;
    story.see("recording");
    story.tell(Msg::NotRecorded("nothing is recorded any more: the disk is full".to_owned()));
    story.see("the disk is full").press("j").not_see("recording");
}
