//! Recordings: what a line holds and what it never does, and what is said of files that cannot be played.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, sync::Arc};

use chrono::TimeDelta;
use redrive::{
    clock,
    domain::text::SafeText,
    engine::reader::{Detail, List, Query},
    poll::{
        Snapshot,
        record::{self, Encoder, Head, Recording, Replica},
    },
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    support::program::run,
    tui::worlds::{self, World, noon},
};

fn head() -> Head {
    Head {
        format: record::FORMAT.to_owned(),
        version: record::VERSION,
        redrive: "0.0.1".to_owned(),
        title: SafeText::new("demo · sqlite"),
        interval_ms: 1_000,
        begun_at: noon(),
    }
}

/// Numbers as a recording keeps them.
fn short(picture: &mut Snapshot) {
    let short = |value: &mut Option<f64>| *value = value.map(|value| (value * 1e4).round() / 1e4);
    let Some(signals) = picture.signals.as_mut().map(Arc::make_mut) else { return };
    for operation in &mut signals.operations {
        for value in [&mut operation.retry_ratio, &mut operation.amplification] {
            short(value);
        }
    }
    for point in &mut signals.chart {
        for value in [&mut point.first, &mut point.retries, &mut point.amplification, &mut point.efficacy] {
            short(value);
        }
    }
}

/// The world's picture `seconds` after noon.
fn picture(world: &World, list: List, seconds: i64) -> Snapshot {
    let mut picture = Snapshot::clone(&world.picture(&Query { list, ..Query::default() }));
    let later = TimeDelta::seconds(seconds);
    picture.number = u64::try_from(seconds).unwrap();
    picture.at += later;
    if let Some(signals) = &mut picture.signals {
        Arc::make_mut(signals).chart.iter_mut().for_each(|point| point.at += later);
    }
    short(&mut picture);
    picture
}

#[test]
fn a_picture_comes_back_from_its_line_as_it_was() {
    for world in worlds::all() {
        let (mut encoder, mut replica) = (Encoder::default(), Replica::default());
        let lists = [
            List::None,
            List::Onboardings,
            List::Keys,
            List::Letters { group: None },
            List::Audit,
            List::None,
        ];
        for (second, list) in lists.into_iter().enumerate() {
            let picture = picture(&world, list, i64::try_from(second).unwrap());
            let line = encoder.line(&picture).unwrap();
            let back = replica.picture(line.as_bytes()).unwrap();
            if world.name == "hostile" {
                // Its secrets are gone, and what is left is left alone.
                let again = Encoder::default().line(&back).unwrap();
                let once_more = Replica::default().picture(again.as_bytes()).unwrap();
                assert_eq!(once_more, back);
            } else {
                assert_eq!(back, picture, "{} {second}", world.name);
            }
        }
    }
}

#[test]
fn what_a_line_need_not_say_again_it_does_not_say() {
    let (mut encoder, mut replica) = (Encoder::default(), Replica::default());
    let first = picture(&worlds::storm(), List::None, 0);
    let whole = encoder.line(&first).unwrap();
    let same = Snapshot { number: 1, ..first.clone() };
    let short = encoder.line(&same).unwrap();
    assert!(whole.len() > 20_000 && short.len() < 500, "{} and {}", whole.len(), short.len());
    // The next second's chart is this one's but for a point at each end, and dated anew.
    let mut next = picture(&worlds::storm(), List::None, 0);
    let chart = &mut Arc::make_mut(next.signals.as_mut().unwrap()).chart;
    let mut point = chart.remove(0);
    chart.iter_mut().for_each(|point| point.at += TimeDelta::milliseconds(3));
    point.at = noon() + TimeDelta::seconds(1);
    chart.push(point);
    let longer = encoder.line(&next).unwrap();
    assert!(longer.len() < whole.len() / 3, "{} of {}", longer.len(), whole.len());
    replica.picture(whole.as_bytes()).unwrap();
    assert_eq!(replica.picture(short.as_bytes()).unwrap(), same);
    let back = replica.picture(longer.as_bytes()).unwrap().signals.unwrap();
    let wanted = next.signals.unwrap();
    assert_eq!(back.chart.len(), wanted.chart.len());
    for (back, wanted) in back.chart.iter().zip(&wanted.chart) {
        assert!((back.at - wanted.at).abs() < TimeDelta::milliseconds(50));
        assert_eq!((back.first, back.retries), (wanted.first, wanted.retries));
    }
}

#[test]
fn no_payload_no_context_and_no_secret_gets_into_a_line() {
    let mut world = worlds::storm();
    let id = world.onboardings[0].id.clone();
    world.letters[0].error = SafeText::new(
        "401 for https://bob:hunter2@api.github.com with ghp_0123456789abcdefghijABCDEFGHIJ0123",
    );
    for detail in [
        Detail::Onboarding(id),
        Detail::Key(world.keys[0].key.clone()),
        Detail::Letter(world.letters[0].id.clone()),
    ] {
        let query = Query { list: List::Letters { group: None }, detail: Some(detail), ..Query::default() };
        let line = Encoder::default().line(&world.picture(&query)).unwrap();
        for secret in
            ["hunter2", "ghp_0123", "urgent", "bob:pw", "\"context\"", "\"request\":", "\"response\":"]
        {
            assert!(!line.contains(secret), "{secret} in {line}");
        }
        assert!(line.contains("401 for"), "what the list shows is there");
        let back = Replica::default().picture(line.as_bytes()).unwrap();
        assert_eq!((back.query.detail, back.board.unwrap().page.clone()), (None, None));
    }
}

fn write(folder: &Path, name: &str, lines: &[String]) -> std::path::PathBuf {
    let path = folder.join(name);
    fs::write(&path, lines.concat()).unwrap();
    path
}

fn first_line() -> String {
    serde_json::to_string(&head()).unwrap() + "\n"
}

fn two_pictures() -> [String; 2] {
    let mut encoder = Encoder::default();
    [0, 1].map(|second| encoder.line(&picture(&worlds::storm(), List::None, second)).unwrap())
}

#[test]
fn a_file_is_its_owners_alone_and_never_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("storm.jsonl");
    let mut recorder = record::create(&path, &head()).unwrap();
    recorder.write(&picture(&worlds::storm(), List::None, 0)).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let error = record::create(&path, &head()).unwrap_err().to_string();
    let path = path.display();
    assert_eq!(
        error,
        format!(
            "cannot record to {path}: there is such a file already; name another one, or remove it first"
        )
    );
    let recording = Recording::open(Path::new(&path.to_string())).unwrap();
    assert_eq!((recording.head, recording.pictures), (head(), 1));
}

#[test]
fn a_last_line_that_was_cut_off_is_left_out_and_any_other_bad_line_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let [one, two] = two_pictures();
    let cut = two[..two.len() / 2].to_owned();
    let path = write(folder.path(), "cut", &[first_line(), one.clone(), cut.clone()]);
    assert_eq!(Recording::open(&path).unwrap().pictures, 1);
    let path = write(folder.path(), "bad", &[first_line(), one.clone(), cut + "\n", two.clone()]);
    let error = Recording::open(&path).unwrap_err().to_string();
    assert!(
        error.contains("bad, line 3: not a picture: ") && error.ends_with("head -n 2 keeps them"),
        "{error}"
    );
    let path = write(folder.path(), "alone", &[first_line()]);
    let error = Recording::open(&path).unwrap_err().to_string();
    assert!(error.ends_with("alone holds no picture: its writer ended before the first one"), "{error}");
    let path =
        write(folder.path(), "dated", &[first_line(), one.replace("\"at\":\"2026-", "\"at\":\"+262142-")]);
    let error = Recording::open(&path).unwrap_err().to_string();
    assert!(error.contains("dated, line 2: dated +262142-03-14"), "{error}");
    // The second line builds upon the first.
    let mut encoder = Encoder::default();
    let first = picture(&worlds::storm(), List::None, 0);
    encoder.line(&first).unwrap();
    let again = encoder.line(&Snapshot { number: 9, ..first }).unwrap();
    let path = write(folder.path(), "headless", &[first_line(), again]);
    let error = Recording::open(&path).unwrap_err().to_string();
    assert!(error.contains("headless, line 2: it continues a line that is not there"), "{error}");
}

#[test]
fn what_cannot_be_played_is_said_before_anything_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let other = first_line().replace("\"version\":1", "\"version\":2").replace("0.0.1", "9.1.0");
    write(folder.path(), "other", &[other]);
    write(folder.path(), "notes", &["hello\n".to_owned()]);
    for (name, wanted) in [
        (
            "missing",
            format!("redrive: cannot play {}: No such file or directory (os error 2)\n", at("missing")),
        ),
        ("", format!("redrive: cannot play {}: it is not a plain file\n", at(""))),
        (
            "notes",
            format!(
                "redrive: {}, line 1: this is no recording of redrive; redrive top --record FILE makes one\n",
                at("notes")
            ),
        ),
        (
            "other",
            format!(
                "redrive: {}, line 1: a recording of version 2, and this redrive reads version 1: play it with redrive 9.1.0, which wrote it\n",
                at("other")
            ),
        ),
    ] {
        let (code, _, err) = run(&["top", "--playback", &at(name)]);
        assert_eq!((code, err), (1, wanted));
    }
    let (code, _, err) = run(&["top", "--playback", &at("x"), "--database-url", "sqlite::memory:"]);
    assert_eq!(code, 2);
    assert!(err.contains("a recording is played without database and network"), "{err}");
    for flags in
        [&["--playback", "a", "--record", "b"][..], &["--speed", "2"], &["--playback", "a", "--speed", "0"]]
    {
        assert_eq!(run(&[&["top"], flags].concat()).0, 2, "{flags:?}");
    }
}

#[tokio::test]
async fn a_recording_is_played_by_its_own_clock_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let mut encoder = Encoder::default();
    let lines: Vec<String> = std::iter::once(first_line())
        .chain([0, 1, 2, 4_000].map(|s| encoder.line(&picture(&worlds::storm(), List::None, s)).unwrap()))
        .collect();
    let recording = Recording::open(&write(folder.path(), "four", &lines)).unwrap();
    assert_eq!((recording.pictures, recording.to - recording.from), (4, TimeDelta::seconds(4_000)));
    let (tracker, cancel) = (TaskTracker::new(), CancellationToken::new());
    let began = clock::instant();
    let mut player = recording.play(100.0, &tracker, &cancel).unwrap();
    assert_eq!(player.snapshots.borrow_and_update().number, 0);
    player.clock.hold(true);
    let held = player.clock.now();
    assert_eq!(player.clock.now(), held, "a clock that is held stands");
    player.clock.hold(false);
    let mut numbers = Vec::new();
    while player.snapshots.changed().await.is_ok() {
        numbers.push(player.snapshots.borrow_and_update().number);
    }
    assert_eq!(numbers.last(), Some(&4_000), "the hour nobody recorded is skipped: {numbers:?}");
    assert!(began.elapsed().as_secs() < 20);
    assert!(player.clock.now() >= recording.to);
    let end = player.clock.now();
    assert_eq!(player.clock.now(), end, "its clock stands at the end");
}
