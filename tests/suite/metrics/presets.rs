//! What other people's metrics mean, on dumps with real names.

use std::{collections::BTreeSet, time::Duration};

use chrono::{DateTime, TimeDelta};
use redrive::{
    clock,
    metrics::{
        collector::Collector,
        exposition::{self, Exposition},
        scrape::{ScrapeResult, Scraped},
        signals::{OperationSignal, Signals, VerdictKind},
        source::{Preset, Presets},
        verdict::Rules,
    },
};

use super::fixture;

const INTERVAL: Duration = Duration::from_secs(15);

/// What a collector says after each of `scrapes` of one target.
fn watched_with(presets: Presets, scrapes: &[Exposition]) -> Vec<Signals> {
    let begun = clock::instant();
    let mut collector =
        Collector::new(Rules::default(), INTERVAL, begun, DateTime::UNIX_EPOCH).reading(presets);
    let round = |(n, exposition): (usize, &Exposition)| {
        let after = INTERVAL * u32::try_from(n).expect("few");
        let result = ScrapeResult {
            name: "theirs".to_owned(),
            url: "http://theirs:9100/metrics".to_owned(),
            address: "theirs:9100".to_owned(),
            took: Duration::from_millis(3),
            outcome: Ok(Scraped::Exposition(exposition.clone())),
        };
        let wall = DateTime::UNIX_EPOCH + TimeDelta::from_std(after).expect("short");
        collector.observe(begun + after, wall, vec![result]);
        collector.signals()
    };
    scrapes.iter().enumerate().map(round).collect()
}

fn watched(scrapes: &[Exposition]) -> Vec<Signals> {
    watched_with(Presets::default(), scrapes)
}

fn read(text: &str) -> Exposition {
    exposition::parse(text).expect("readable")
}

fn dump(name: &str) -> Exposition {
    read(&fixture(name))
}

/// `after`, and then `steps` more in which everything grows as it did between the two.
fn growing(before: &Exposition, after: &Exposition, steps: u32) -> Vec<Exposition> {
    let mut all = vec![before.clone(), after.clone()];
    for step in 1..=steps {
        let mut next = after.clone();
        for (sample, earlier) in next.samples.iter_mut().zip(&before.samples) {
            assert_eq!((&sample.name, &sample.labels), (&earlier.name, &earlier.labels));
            sample.value += (sample.value - earlier.value) * f64::from(step);
        }
        all.push(next);
    }
    all
}

/// What is said of the only operation after the last of `scrapes`.
fn only(scrapes: &[Exposition]) -> OperationSignal {
    let signals = watched(scrapes).pop().expect("a scrape");
    let [row] = signals.operations.as_slice() else { panic!("one operation, not {:?}", signals.operations) };
    row.clone()
}

fn near(found: Option<f64>, expected: f64) {
    let value = found.unwrap_or_else(|| panic!("{expected} is expected, not n/a"));
    assert!((value - expected).abs() < 0.005, "{expected} is expected, not {value}");
}

#[test]
fn each_dump_is_read_by_the_preset_of_its_source() {
    for (name, preset) in [
        ("resilience4j.t0.prom", "resilience4j"),
        ("envoy.t0.prom", "envoy"),
        ("linkerd-proxy.prom", "linkerd"),
        ("polly-dotnet-otel.prom", "polly"),
        ("river-otel.prom", "river"),
        ("temporal-core-sdk.prom", "temporal"),
        ("asynq.prom", "asynq"),
        ("celery-exporter.prom", "celery"),
        ("rabbitmq.prom", "rabbitmq"),
    ] {
        let presets = Presets::default();
        let found = presets.of(&dump(name).samples).map(|reading| reading.name().to_owned());
        assert_eq!(found.as_deref(), Some(preset), "{name}");
    }
    assert!(Presets::default().of(&read("http_requests_total 5\n").samples).is_none());
}

#[test]
fn no_two_presets_have_one_name() {
    let presets = Presets::default();
    let names: BTreeSet<&str> = presets.names().collect();
    assert_eq!(names.len(), presets.names().count());
}

#[test]
fn envoy_is_read_as_its_makers_mean_it() {
    let row = only(&[dump("envoy.t0.prom"), dump("envoy.t1.prom")]);
    assert_eq!(row.operation.as_str(), "payments-api");
    near(row.amplification, 2.74);
    near(row.retry_ratio, 0.63);
    near(row.efficacy, 0.018);
    near(row.first_rate, 1_380.0 / 15.0);
}

#[test]
fn envoys_growth_is_a_storm_when_it_goes_on_for_four_scrapes() {
    let scrapes = growing(&dump("envoy.t0.prom"), &dump("envoy.t1.prom"), 3);
    let signals = watched(&scrapes);
    let kinds: Vec<_> = signals.iter().map(|signals| signals.verdict.kind).collect();
    assert_eq!(kinds[4], VerdictKind::Storm, "{kinds:?}");
    let verdict = &signals[4].verdict;
    assert_eq!(verdict.operation.as_ref().map(|name| name.as_str()), Some("payments-api"));
    assert_eq!(
        verdict.sentence.as_str(),
        "2.7× load · 63 % of requests are retries · 2 % of retries help · budget 0",
        "an overflow of retries means that the budget is gone"
    );
    assert_eq!(verdict.began, Some(DateTime::UNIX_EPOCH), "as long as it was watched");
}

#[test]
fn istios_envoys_name_their_cluster_in_another_label() {
    let text = |total, retry| {
        format!(
            "envoy_cluster_upstream_rq_total{{cluster_name=\"outbound|80||orders\"}} {total}\n\
             envoy_cluster_upstream_rq_retry{{cluster_name=\"outbound|80||orders\"}} {retry}\n"
        )
    };
    let row = only(&[read(&text(100, 0)), read(&text(150, 10))]);
    assert_eq!(row.operation.as_str(), "outbound|80||orders");
    near(row.amplification, 1.25);
}

#[test]
fn resilience4j_counts_calls_and_its_breaker_attempts() {
    let row = only(&[dump("resilience4j.t0.prom"), dump("resilience4j.t1.prom")]);
    assert_eq!(row.operation.as_str(), "payments");
    near(row.amplification, 2.53);
    near(row.efficacy, 75.0 / 652.0);
}

#[test]
fn a_restart_between_scrapes_makes_neither_a_negative_rate_nor_a_spike() {
    let names = ["resilience4j.t0.prom", "resilience4j.t1.prom", "resilience4j.t2-restarted.prom"];
    let signals = watched(&names.map(dump));
    let rates = |signals: &Signals| {
        let row = &signals.operations[0];
        (row.first_rate.expect("told"), row.attempt_rate.expect("told"))
    };
    let (first, attempts) = rates(&signals[2]);
    // 425 calls and 1,077 attempts before it, 44 calls and 48 attempts since.
    assert!((first - 469.0 / 30.0).abs() < 1e-6 && (attempts - 1_125.0 / 30.0).abs() < 1e-6);
    let point = signals[2].chart.last().expect("drawn");
    assert!(point.first.is_some_and(|rate| (0.0..=425.0 / 15.0).contains(&rate)));
    assert!(point.retries.is_some_and(|rate| rate >= 0.0));
}

#[test]
fn a_failure_rate_below_nothing_is_not_known() {
    let signals = watched(&[dump("resilience4j.t2-restarted.prom"), dump("resilience4j.t1.prom")]);
    assert_eq!(signals[0].circuits[0].failure_rate, None);
    near(signals[1].circuits[0].failure_rate, 0.78);
    assert_eq!(signals[1].circuits[0].state.as_str(), "open");
}

#[test]
fn a_counter_that_says_it_began_anew_is_restarted_even_if_it_did_not_fall() {
    let text = |count: u32, created: u32| {
        read(&format!(
            "# TYPE celery_task_sent counter\ncelery_task_sent_total{{name=\"a\"}} {count}\n\
             celery_task_sent_created{{name=\"a\"}} {created}\n# EOF\n"
        ))
    };
    let row = only(&[text(30, 1_767_225_600), text(45, 1_767_225_900)]);
    assert_eq!(row.first_rate, Some(3.0), "45 since the restart, not 15 since the scrape before");
}

fn circuit_of(text: &str) -> String {
    let signals = watched(&[read(text)]).pop().expect("a scrape");
    signals.circuits.first().map_or_else(|| "silent".to_owned(), |circuit| circuit.state.as_str().to_owned())
}

#[test]
fn forced_and_disabled_circuits_never_read_as_closed() {
    for state in ["closed", "open", "half_open", "forced_open", "disabled", "metrics_only"] {
        let text = format!("resilience4j_circuitbreaker_state{{name=\"a\",state=\"{state}\"}} 1\n");
        assert_eq!(circuit_of(&text), state.replace('_', " "));
    }
    let other = "resilience4j_circuitbreaker_state{name=\"a\",state=\"melted\"} 1\n";
    assert_eq!(circuit_of(other), "unmapped state melted");
}

#[test]
fn two_states_at_once_or_none_are_inconsistent() {
    let states = |open: u8, closed: u8| {
        format!(
            "resilience4j_circuitbreaker_state{{name=\"a\",state=\"open\"}} {open}\n\
             resilience4j_circuitbreaker_state{{name=\"a\",state=\"closed\"}} {closed}\n"
        )
    };
    assert_eq!(circuit_of(&states(1, 1)), "inconsistent");
    assert_eq!(circuit_of(&states(0, 0)), "inconsistent");
    assert_eq!(circuit_of(&states(1, 0)), "open");
}

#[test]
fn a_number_without_a_map_says_so_and_a_preset_of_ones_own_explains_it() {
    let text = "circuit_breaker_state{name=\"payments\"} 2\n";
    assert_eq!(circuit_of(text), "unmapped value 2");
    let own: Preset = toml::from_str(
        "name = \"ours\"\nmark = \"circuit_breaker_state\"\noperation = \"{name}\"\n\
         [[circuit]]\nmetric = \"circuit_breaker_state\"\nshape = \"number\"\n\
         map = { 0 = \"closed\", 1 = \"half_open\", 2 = \"open\" }\n",
    )
    .expect("a preset");
    let signals = watched_with(Presets::with(vec![own]), &[read(text)]);
    assert_eq!(signals[0].circuits[0].state.as_str(), "open");
    assert_eq!(signals[0].targets[0].preset.as_ref().map(|name| name.as_str()), Some("ours"));
}

#[test]
fn at_capacity_is_no_open_circuit() {
    let full = watched(&[dump("envoy.t1.prom")]);
    assert_eq!(full[0].circuits[0].state.as_str(), "at capacity");
    assert_eq!(watched(&[dump("envoy.t0.prom")])[0].circuits[0].state.as_str(), "below capacity");
}

#[test]
fn of_events_only_the_last_change_that_was_seen_is_told() {
    let told = |opened: u32, closed: u32| {
        read(&format!(
            "# TYPE circuit counter\ncircuit{{name=\"stock\",event=\"open\"}} {opened}\n\
             circuit{{name=\"stock\",event=\"close\"}} {closed}\ncircuit{{name=\"stock\",event=\"fire\"}} 9\n"
        ))
    };
    let signals = watched(&[told(3, 3), told(3, 3), told(4, 3), told(4, 3), told(4, 4)]);
    let states: Vec<_> = signals.iter().map(|signals| signals.circuits[0].state.as_str()).collect();
    assert_eq!(
        states,
        [
            "unknown",
            "unknown",
            "last seen open 00:00, unconfirmed",
            "last seen open 00:00, unconfirmed",
            "last seen closed 00:01, unconfirmed"
        ]
    );
}

#[test]
fn what_a_source_does_not_tell_is_unknown_and_never_0() {
    for name in ["asynq.prom", "temporal-core-sdk.prom"] {
        let row = only(&[dump(name), dump(name)]);
        assert_eq!((row.first_rate, row.retry_rate, row.retry_ratio), (None, None, None), "{name}");
        assert_eq!((row.efficacy, row.budget_remaining), (None, None), "{name}");
        assert!(row.attempt_rate.is_some(), "{name}");
    }
    let row = only(&[dump("rabbitmq.prom"), dump("rabbitmq.prom")].map(|mut dump| {
        dump.samples.retain(|sample| sample.labels.get("queue_type") == Some("rabbit_quorum_queue"));
        dump
    }));
    assert_eq!(
        (row.first_rate, row.retry_ratio, row.attempt_rate),
        (None, None, None),
        "redeliveries of nothing"
    );
}

#[test]
fn a_gauge_in_spite_of_its_name_is_not_counted() {
    let enqueued = |value: u32| {
        format!(
            "{}# x {value}\n",
            fixture("asynq.prom").replace("\"retry\"} 205", &format!("\"retry\"}} {value}"))
        )
    };
    let row = only(&[read(&enqueued(5)), read(&enqueued(900))]);
    assert_eq!(row.attempt_rate, Some(0.0));
}

#[test]
fn a_breaker_without_a_retry_and_a_retry_without_a_breaker_are_not_taken_for_each_other() {
    let retry = "resilience4j_retry_calls_total{kind=\"successful_without_retry\",name=\"a\"} ";
    let row = only(&[read(&format!("{retry}5\n")), read(&format!("{retry}65\n"))]);
    assert_eq!((row.first_rate, row.retry_rate, row.amplification), (Some(4.0), None, None));
    let breaker = "resilience4j_circuitbreaker_state{name=\"a\",state=\"closed\"} 1\n\
                   resilience4j_circuitbreaker_calls_seconds_count{kind=\"failed\",name=\"a\"} ";
    let row = only(&[read(&format!("{breaker}5\n")), read(&format!("{breaker}65\n"))]);
    assert_eq!((row.first_rate, row.retry_rate, row.attempt_rate), (None, None, Some(4.0)));
}

#[test]
fn attempts_are_told_apart_by_their_number() {
    let halved = |dump: &Exposition| {
        let mut earlier = dump.clone();
        earlier.samples.iter_mut().for_each(|sample| sample.value /= 2.0);
        earlier
    };
    let polly = dump("polly-dotnet-otel.prom");
    let row = only(&[halved(&polly), polly.clone()]);
    assert_eq!(row.operation.as_str(), "payments-http.charge");
    near(row.amplification, 12_332.0 / 11_010.0);
    near(row.efficacy, 16.0 / 1_322.0);
    let river = dump("river-otel.prom");
    let row = only(&[halved(&river), river.clone()]);
    assert_eq!(row.operation.as_str(), "provision_account");
    near(row.amplification, 9_045.0 / 8_500.0);
    near(row.efficacy, 201.0 / 545.0);
    let celery = dump("celery-exporter.prom");
    let row = only(&[halved(&celery), celery.clone()]);
    near(row.amplification, 9_760.0 / 9_120.0);
    assert_eq!(row.efficacy, None, "Celery does not tell which retries succeed");
}

#[test]
fn linkerds_two_generations_are_told_apart() {
    let signals = watched(&[dump("linkerd-proxy.prom"), dump("linkerd-proxy.prom")]);
    let row = |name: &str| {
        signals[1].operations.iter().find(|row| row.operation.as_str() == name).expect(name).clone()
    };
    assert!(row("payments.charge").retry_rate.is_some());
    let profile = row("payments.prod.svc.cluster.local:80 POST /charge");
    assert_eq!((profile.retry_rate, profile.attempt_rate), (None, Some(0.0)));
}

#[test]
fn oban_tells_first_runs_by_the_bucket_of_one_attempt() {
    let text = |all: u32, first: u32, failed: u32| {
        format!(
            "# TYPE shop_prom_ex_oban_job_complete_attempts histogram\n\
             shop_prom_ex_oban_job_complete_attempts_bucket{{worker=\"Mail\",state=\"success\",le=\"1\"}} {first}\n\
             shop_prom_ex_oban_job_complete_attempts_bucket{{worker=\"Mail\",state=\"success\",le=\"+Inf\"}} {all}\n\
             shop_prom_ex_oban_job_complete_attempts_count{{worker=\"Mail\",state=\"success\"}} {all}\n\
             # TYPE shop_prom_ex_oban_job_exception_attempts histogram\n\
             shop_prom_ex_oban_job_exception_attempts_bucket{{worker=\"Mail\",state=\"failure\",le=\"1\"}} {failed}\n\
             shop_prom_ex_oban_job_exception_attempts_count{{worker=\"Mail\",state=\"failure\"}} {failed}\n"
        )
    };
    let row = only(&[read(&text(0, 0, 0)), read(&text(100, 80, 20))]);
    assert_eq!(row.operation.as_str(), "Mail");
    near(row.amplification, 1.2);
    near(row.efficacy, 1.0);
}

#[test]
fn delayed_retries_that_expire_in_a_queue_are_normal() {
    let text = |n: u64| {
        fixture("rabbitmq.prom").replace(" 40211", &format!(" {}", 40_211 + n * 5_000))
            + &format!(
                "# TYPE rabbitmq_global_messages_delivered_total counter\n\
                 rabbitmq_global_messages_delivered_total{{queue_type=\"rabbit_classic_queue\"}} {}\n",
                n * 6_000
            )
    };
    let scrapes: Vec<_> = (0..20).map(|n| read(&text(n))).collect();
    let last = watched(&scrapes).pop().expect("a scrape");
    assert_eq!(last.verdict.kind, VerdictKind::Calm, "{}", last.verdict.sentence);
}

#[test]
fn a_load_balancer_in_front_of_several_processes_is_told_and_not_counted() {
    let text = |count: u32, started: u32| {
        read(&format!(
            "http_client_requests_total{{operation=\"a\",attempt=\"first\",outcome=\"success\"}} {count}\n\
             http_client_requests_total{{operation=\"a\",attempt=\"retry\",outcome=\"failure\"}} {count}\n\
             process_start_time_seconds {started}\n"
        ))
    };
    let turns: Vec<_> = (0..12).map(|n| text(if n % 2 == 0 { 90_000 + n } else { 500 + n }, 7)).collect();
    let signals = watched(&turns);
    let last = signals.last().expect("a scrape");
    let error = last.targets[0].error.as_ref().map(|error| error.as_str());
    assert_eq!(error, Some("it is a load balancer, not one process: scrape each process behind it"));
    assert_eq!(last.verdict.kind, VerdictKind::Unknown);
    let restarts: Vec<_> = (0..12).map(|n| text(50 + n, 7 + 20 * n)).collect();
    assert!(
        watched(&restarts).last().expect("a scrape").targets[0].error.is_none(),
        "one that restarts is one"
    );
}

#[test]
fn a_preset_that_cannot_be_meant_is_refused_with_its_reason() {
    let refused = |text: &str| toml::from_str::<Preset>(text).expect_err(text).message().to_owned();
    let start = "name = \"x\"\nmark = \"y\"\noperation = \"{a}\"\n";
    assert!(
        refused("name = \"x\"\nmark = \"y\"\noperation = \"{a\"\n").contains("labels are written in braces")
    );
    assert!(refused("name = \"x\"\nmark = \"*y*\"\noperation = \"{a}\"\n").contains("one * is understood"));
    let role = refused(&format!("{start}[[counter]]\nmetric = \"y\"\nrole = \"tries\"\n"));
    assert!(role.contains("\"tries\" is not a role: expected one of first, retries, attempts"), "{role}");
    assert!(refused(&format!("{start}colour = \"red\"\n")).contains("unknown field `colour`"));
}
