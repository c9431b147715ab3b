//! Whole incidents, scrape by scrape, up to the sentence on the screen.

use std::time::Duration;

use chrono::TimeDelta;
use redrive::metrics::{
    exposition,
    scrape::Scraped,
    signals::VerdictKind::{self, Calm, Elevated, Storm, Unknown},
    verdict::Rules,
};

use super::world::{HOOK, INTERVAL, Process, Style, Traffic, World, through_prometheus};

fn two_callers() -> World {
    World::new(vec![Process::new("legacy-crm", Style::Legacy), Process::new("worker-a", Style::Ours)])
}

#[test]
fn before_four_scrapes_nothing_is_judged() {
    let mut world = two_callers();
    let early = world.step(&[Traffic::CALM; 2]);
    assert_eq!(early.verdict.kind, Unknown);
    assert_eq!(early.verdict.sentence.as_str(), "too few scrapes yet: 4 are needed to judge");
    assert_eq!(world.run(3, &[Traffic::CALM; 2]), [Unknown, Unknown, Calm]);
}

#[test]
fn a_storm_rises_out_of_calm_and_the_sentence_proves_it() {
    let mut world = two_callers();
    world.processes[1].budget = Some(0.0);
    world.run(40, &[Traffic::CALM; 2]);
    let careful = Traffic { first: 20, first_ok: 2, retries: 4, retries_ok: 0 };
    let kinds = world.run(40, &[Traffic::STORM, careful]);
    assert!(kinds.contains(&Elevated), "it is elevated first");
    assert_eq!(kinds.last(), Some(&Storm));
    let verdict = world.collector.signals().verdict;
    assert_eq!(verdict.operation.unwrap().as_str(), HOOK);
    assert_eq!(
        verdict.sentence.as_str(),
        "1.9× load · 49 % of requests are retries · 3 % of retries help · budget 0"
    );
    let callers: Vec<_> = verdict.callers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(callers, ["legacy-crm", "worker-a"], "largest first");
    let whole: f64 = verdict.callers.iter().map(|(_, share)| share).sum();
    assert!((whole - 1.0).abs() < 1e-9 && verdict.callers[0].1 > 0.8);
    let levers: Vec<_> = verdict.levers.iter().map(|lever| (lever.text.as_str(), lever.key)).collect();
    assert_eq!(
        levers,
        [
            ("pause onboardings →1.4×", Some('P')),
            ("cap legacy-crm's retries →1.2×", None),
            ("replay letters once it is calm", None),
        ],
        "safest first; what is not ours is advice"
    );
    assert_eq!(verdict.root.as_ref().map(|root| root.as_str()), Some("github"));
}

#[test]
fn nobody_is_advised_about_a_process_of_ours() {
    let mut world = World::new(vec![Process::new("worker-a", Style::Ours)]);
    world.run(20, &[Traffic::STORM]);
    let levers = world.collector.signals().verdict.levers;
    assert!(levers.iter().all(|lever| !lever.text.as_str().contains("worker-a")), "{levers:?}");
    assert!(levers.iter().any(|lever| lever.ours), "{levers:?}");
}

#[test]
fn nothing_is_advised_against_a_storm_that_is_over_already() {
    let mut world = World::new(vec![Process::new("worker-a", Style::Ours)]);
    world.run(60, &[Traffic::CALM]);
    world.run(30, &[Traffic::STORM]);
    let mut told = Vec::new();
    for _ in 0..200 {
        world.run(1, &[Traffic::CALM]);
        let verdict = world.collector.signals().verdict;
        if verdict.kind == VerdictKind::Calm {
            break;
        }
        told.push(verdict.levers.iter().map(|lever| lever.text.to_string()).collect::<Vec<_>>().join(", "));
    }
    assert!(told.first().is_some_and(|levers| levers.contains("pause onboardings")), "{told:?}");
    assert!(told.last().is_some_and(|levers| levers.starts_with("wait: it is over")), "{told:?}");
}

#[test]
fn what_a_new_series_counted_is_marked_as_about() {
    let mut world = World::new(vec![Process::new("worker-a", Style::Ours)]);
    let sentences: Vec<String> = (1..=40_i32)
        .map(|round| {
            world.passes(INTERVAL);
            let line = |kind: &str, count: i32| {
                let labels = format!("operation=\"{HOOK}\",kind=\"{kind}\",outcome=\"success\"");
                format!("redrive_attempts_total{{{labels}}} {count}\n")
            };
            let retries = if round < 6 { String::new() } else { line("retry", round - 5) };
            let mut scraped = world.processes[0].scraped();
            scraped.outcome =
                Ok(Scraped::Exposition(exposition::parse(&(line("first", round * 9) + &retries)).unwrap()));
            world.collector.observe(world.at, world.wall, vec![scraped]);
            world.collector.signals().verdict.sentence.as_str().to_owned()
        })
        .collect();
    assert!(sentences[4].starts_with("1.0× load"), "{}", sentences[4]);
    assert!(sentences[6].starts_with("~1."), "{}", sentences[6]);
    assert!(sentences[39].starts_with("1.1× load"), "after a window it is exact: {}", sentences[39]);
}

#[test]
fn the_verdict_tells_since_when() {
    let mut world = two_callers();
    world.run(40, &[Traffic::CALM; 2]);
    let mut began = None;
    for _ in 0..40 {
        if world.step(&[Traffic::STORM; 2]).verdict.kind == Storm && began.is_none() {
            began = Some(world.wall);
        }
    }
    assert_eq!(world.collector.signals().verdict.since, began);
    assert!(began.is_some());
}

#[test]
fn a_dashboard_opened_in_the_middle_of_a_storm_still_says_storm() {
    let mut world = two_callers();
    let kinds = world.run(6, &[Traffic::STORM; 2]);
    assert_eq!(kinds, [Unknown, Unknown, Unknown, Elevated, Storm, Storm]);
}

#[test]
fn a_handful_of_requests_is_no_storm() {
    let mut world = World::new(vec![Process::new("cron", Style::Legacy)]);
    world.run(5, &[Traffic { first: 1, first_ok: 1, ..Traffic::default() }]);
    let poor = Traffic { first: 1, first_ok: 0, retries: 9, retries_ok: 0 };
    let kinds = [world.run(1, &[poor]), world.run(40, &[Traffic::default()])].concat();
    assert!(kinds.iter().all(|kind| *kind == Calm), "{kinds:?}");
}

#[test]
fn after_the_storm_it_is_calm_again() {
    let mut world = two_callers();
    world.run(40, &[Traffic::STORM; 2]);
    let kinds = world.run(60, &[Traffic::CALM; 2]);
    assert_eq!((kinds[0], *kinds.last().unwrap()), (Storm, Calm));
}

#[test]
fn windows_shrink_with_the_time_factor() {
    let steps_to_calm = |time_factor| {
        let rules = Rules { time_factor, ..Rules::default() };
        let mut world = World::with(rules, vec![Process::new("a", Style::Ours)]);
        world.run(40, &[Traffic::STORM]);
        world.run(80, &[Traffic::CALM]).iter().take_while(|kind| **kind != Calm).count()
    };
    assert!(steps_to_calm(0.2) * 2 < steps_to_calm(1.0));
}

#[test]
fn restarted_processes_make_no_spike() {
    let mut world = two_callers();
    world.run(20, &[Traffic::CALM; 2]);
    world.processes[0].restarts();
    let signals = world.step(&[Traffic::CALM; 2]);
    let highest = signals.chart.iter().filter_map(|point| point.first).fold(0.0, f64::max);
    assert!((highest - 20.0).abs() < 1e-6, "two callers with 10 first tries a second each, not {highest}");
}

#[test]
fn stale_data_is_unknown_and_never_calm() {
    let mut world = two_callers();
    world.run(20, &[Traffic::CALM; 2]);
    assert_eq!(world.silence(Duration::from_secs(29)).verdict.kind, Calm);
    let stale = world.silence(Duration::from_secs(3));
    assert_eq!(stale.verdict.kind, Unknown);
    assert_eq!(stale.verdict.sentence.as_str(), "none of 2 metrics targets answers");
    assert!(stale.operations.iter().all(|row| row.verdict == Unknown));
    assert!(stale.targets.iter().all(|target| target.error.is_some() && target.last_ok.is_some()));
    assert!(world.silence(Duration::from_secs(300)).operations.is_empty(), "no data after five minutes");
}

#[test]
fn one_silent_caller_takes_the_calm_but_not_the_storm() {
    for (traffic, expected) in [(Traffic::CALM, Unknown), (Traffic::STORM, Storm)] {
        let mut world = two_callers();
        world.run(40, &[traffic; 2]);
        let mut last = Calm;
        for _ in 0..20 {
            world.passes(INTERVAL);
            world.processes[0].does(traffic);
            let scrapes = vec![world.processes[0].scraped(), world.processes[1].silent()];
            world.collector.observe(world.at, world.wall, scrapes);
            last = world.collector.signals().verdict.kind;
        }
        assert_eq!(last, expected);
    }
}

#[test]
fn without_a_target_nothing_is_known_and_the_sentence_says_what_to_do() {
    let mut world = World::new(Vec::new());
    world.run(30, &[]);
    let verdict = world.collector.signals().verdict;
    assert_eq!(verdict.kind, Unknown);
    assert!(verdict.sentence.as_str().contains("--metrics URL"), "{}", verdict.sentence);
}

#[test]
fn a_gap_is_a_hole_in_the_chart_and_neither_zero_nor_bridged() {
    let mut world = World::new(vec![Process::new("a", Style::Ours)]);
    world.run(10, &[Traffic::CALM]);
    world.passes(Duration::from_secs(20));
    world.processes[0].does(Traffic { first: 5_000, first_ok: 5_000, ..Traffic::default() });
    world.run(10, &[Traffic::CALM]);
    let chart = world.collector.signals().chart;
    let holes = chart.iter().filter(|point| point.first.is_none()).count();
    assert!((9..=12).contains(&holes), "22 s in columns of 2 s, not {holes}");
    assert!(chart.iter().filter_map(|point| point.first).all(|rate| (rate - 10.0).abs() < 1e-6));
    assert!(chart.is_sorted_by_key(|point| point.at) && chart.last().unwrap().at <= world.wall);
}

#[test]
fn the_chart_tells_load_and_what_helped_where_they_are_known_and_holes_where_not() {
    let mut world = World::new(vec![Process::new("a", Style::Ours)]);
    world.run(10, &[Traffic::CALM]);
    let quiet = *world.collector.signals().chart.last().unwrap();
    assert_eq!((quiet.amplification, quiet.efficacy), (Some(1.0), None), "nothing was retried");
    world.passes(Duration::from_secs(20));
    world.run(10, &[Traffic::STORM]);
    let chart = world.collector.signals().chart;
    let stormy = chart.last().unwrap();
    assert!((stormy.amplification.unwrap() - 54.0 / 20.0).abs() < 1e-6, "{stormy:?}");
    assert!((stormy.efficacy.unwrap() - 1.0 / 34.0).abs() < 1e-6, "{stormy:?}");
    let holes = chart.iter().filter(|point| point.first.is_none());
    assert!(holes.clone().count() > 8);
    assert!(holes.clone().all(|point| (point.amplification, point.efficacy) == (None, None)));
}

#[test]
fn the_chart_reaches_back_a_quarter_of_an_hour_and_no_further() {
    let mut world = World::new(vec![Process::new("a", Style::Ours)]);
    world.run(600, &[Traffic::CALM]);
    let chart = world.collector.signals().chart;
    assert!(world.wall - chart.first().unwrap().at <= TimeDelta::minutes(15));
    assert!((448..=450).contains(&chart.len()), "{}", chart.len());
}

#[test]
fn columns_of_the_chart_keep_their_place_from_one_picture_to_the_next() {
    let mut world = World::new(vec![Process::new("a", Style::Ours)]);
    world.run(20, &[Traffic::CALM]);
    let before = world.collector.signals().chart;
    let after = world.step(&[Traffic::CALM]).chart;
    assert_eq!(
        after[..before.len()].iter().map(|p| p.at).collect::<Vec<_>>(),
        before.iter().map(|p| p.at).collect::<Vec<_>>()
    );
}

#[test]
fn what_prometheus_scraped_is_judged_from_its_own_past_at_once() {
    let mut process = Process::new("worker", Style::Ours);
    let mut world = World::new(Vec::new());
    world.passes(Duration::from_secs(900));
    // The server's clock is an hour ahead of ours: only distances may count.
    let asked_at = world.wall + TimeDelta::hours(1);
    let scrapes: Vec<_> = (0..=40_i32)
        .map(|n| {
            process.does(if n > 20 { Traffic::STORM } else { Traffic::CALM });
            (asked_at - TimeDelta::seconds(15) * (40 - n), process.exposition())
        })
        .collect();
    let result = through_prometheus(asked_at, "worker", "10.0.0.7:9000", &scrapes);
    world.collector.observe(world.at, world.wall, vec![result]);
    let signals = world.collector.signals();
    assert_eq!(signals.verdict.kind, Storm);
    let age = world.wall - signals.verdict.since.unwrap();
    assert!((TimeDelta::seconds(200)..TimeDelta::seconds(300)).contains(&age), "{age}");
    assert_eq!(signals.operations[0].caller.as_str(), "worker");
    assert_eq!(signals.chart.len(), 40, "one column for each scrape of 15 s");
}

#[test]
fn the_same_samples_told_again_count_once() {
    let (mut process, mut world) = (Process::new("worker", Style::Ours), World::new(Vec::new()));
    let mut told = Vec::new();
    for _ in 0..30 {
        world.passes(Duration::from_secs(5));
        process.does(Traffic::CALM);
        told.push((world.wall, process.exposition()));
        let result = through_prometheus(world.wall, "worker", "10.0.0.7:9000", &told);
        world.collector.observe(world.at, world.wall, vec![result]);
    }
    let signals = world.collector.signals();
    assert_eq!(signals.verdict.kind, Calm);
    let rate = signals.operations[0].first_rate.expect("told");
    assert!((rate - 4.0).abs() < 1e-6, "{rate}");
}

#[test]
fn a_process_seen_by_a_scrape_and_through_prometheus_counts_once() {
    let mut world = World::new(vec![Process::new("localhost", Style::Ours)]);
    let mut told = Vec::new();
    for _ in 0..40 {
        world.passes(INTERVAL);
        world.processes[0].does(Traffic::CALM);
        told.push((world.wall, world.processes[0].exposition()));
        let mut scraped = world.processes[0].scraped();
        scraped.address = "127.0.0.1:9000".to_owned();
        let through = through_prometheus(world.wall, "redrive", "localhost:9000", &told);
        world.collector.observe(world.at, world.wall, vec![through, scraped]);
    }
    let signals = world.collector.signals();
    assert_eq!(signals.operations.len(), 1);
    let point = signals.chart.last().unwrap();
    assert!((point.first.unwrap() - 10.0).abs() < 1e-6, "{point:?}");
}

#[test]
fn a_known_process_without_retries_is_calm_and_one_that_speaks_of_nothing_we_know_too() {
    let mut world = World::new(vec![Process::new("a", Style::Ours)]);
    assert_eq!(world.run(5, &[Traffic::CALM]).last(), Some(&Calm));
    let sentence = world.collector.signals().verdict.sentence;
    assert_eq!(sentence.as_str(), "1.0× load · 0 % of requests are retries");
}

#[test]
fn hostile_names_from_targets_are_shown_safely() {
    let mut world = two_callers();
    let mut scraped = world.processes[0].scraped();
    scraped.name = "evil\u{1b}[2J".to_owned();
    world.passes(INTERVAL);
    world.collector.observe(world.at, world.wall, vec![scraped]);
    let signals = world.collector.signals();
    assert!(!signals.targets.iter().any(|target| target.name.as_str().contains('\u{1b}')));
}

#[test]
fn every_word_has_its_severity() {
    let mut ranked: Vec<u8> =
        VerdictKind::ALL.iter().map(|kind| redrive::metrics::verdict::severity(*kind)).collect();
    ranked.sort_unstable();
    ranked.dedup();
    assert_eq!(ranked.len(), VerdictKind::ALL.len());
}

#[test]
fn a_label_with_an_id_in_it_does_not_make_an_operation_of_every_id() {
    let mut world = World::new(vec![Process::new("a", Style::Ours)]);
    for round in 0..4 {
        world.passes(INTERVAL);
        let mut text = String::new();
        for id in 0..5_000 {
            let labels = format!("operation=\"get/{round}/{id}\",kind=\"first\",outcome=\"success\"");
            text += &format!("redrive_attempts_total{{{labels}}} 1\n");
        }
        let mut scraped = world.processes[0].scraped();
        scraped.outcome = Ok(Scraped::Exposition(exposition::parse(&text).unwrap()));
        world.collector.observe(world.at, world.wall, vec![scraped]);
    }
    let signals = world.collector.signals();
    assert!(signals.operations.len() < 1_000, "{}", signals.operations.len());
    assert!(signals.operations.iter().any(|row| row.operation.as_str() == "other"));
    let rate = signals.chart.last().unwrap().first.unwrap();
    assert!((rate - 2_500.0).abs() < 1e-6, "nothing is left out of the sum: {rate}");
}
