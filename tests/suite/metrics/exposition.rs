//! Reading expositions: everything `prometheus-parse` gets wrong, case by case, and that nothing is lost unsaid.

use proptest::prelude::*;
use redrive::metrics::exposition::{Exposition, Kind, NotAnExposition, Sample, Warning, parse};

use super::fixture;

fn one(text: &str) -> Sample {
    let read = parse(text).unwrap_or_else(|fault| panic!("{text}: {fault}"));
    assert_eq!(read.warnings, [], "{text}");
    assert_eq!(read.samples.len(), 1, "{text}");
    read.samples.into_iter().next().expect("one")
}

fn label(text: &str, name: &str) -> String {
    one(text).labels.get(name).unwrap_or_else(|| panic!("{text} lost its label {name}")).to_owned()
}

fn kind_of(read: &Exposition, name: &str) -> Kind {
    read.samples.iter().find(|sample| sample.name == name).unwrap_or_else(|| panic!("no {name}")).kind
}

#[test]
fn empty_braces_are_no_labels() {
    let sample = one("envoy_server_live{} 1");
    assert_eq!((sample.name.as_str(), sample.value), ("envoy_server_live", 1.0));
    assert_eq!(sample.labels.iter().count(), 0);
}

#[test]
fn braces_within_a_label_value_belong_to_it() {
    assert_eq!(label(r#"requests{path="/users/{id}"} 3"#, "path"), "/users/{id}");
}

#[test]
fn a_comma_within_a_label_value_does_not_cut_it() {
    assert_eq!(label(r#"requests{q="a,b",z="c"} 3"#, "q"), "a,b");
}

#[test]
fn an_equals_sign_within_a_label_value_keeps_two_series_apart() {
    let read = parse("requests{q=\"a=1\"} 3\nrequests{q=\"a=2\"} 4").unwrap();
    let values: Vec<_> = read.samples.iter().map(|sample| sample.labels.get("q")).collect();
    assert_eq!(values, [Some("a=1"), Some("a=2")]);
}

#[test]
fn escapes_are_undone() {
    let text = r#"requests{m="say \"hi\", a\\b\nend",z="\q"} 3"#;
    assert_eq!(label(text, "m"), "say \"hi\", a\\b\nend");
    assert_eq!(label(text, "z"), "\\q", "what is no escape is left as it is");
}

#[test]
fn a_colon_belongs_to_a_name() {
    assert_eq!(one("job:requests:rate5m 0.5").name, "job:requests:rate5m");
}

#[test]
fn a_quoted_name_is_a_name() {
    let sample = one(r#"{"http.requests",code="200"} 7"#);
    assert_eq!((sample.name.as_str(), sample.labels.get("code")), ("http.requests", Some("200")));
}

#[test]
fn a_quote_that_never_ends_is_a_warning_with_its_line_and_the_rest_is_kept() {
    let read = parse("a 1\nb{x=\"y} 2\nc 3").unwrap();
    assert_eq!(read.warnings, [Warning { line: 2, reason: "a quote is not closed" }]);
    assert_eq!(read.samples.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(), ["a", "c"]);
}

#[test]
fn every_malformed_line_is_a_warning_with_its_number() {
    let lines = [
        "a 1",
        "b{x=y} 2",
        "c",
        "d one",
        "5xx 1",
        "e{x=\"1\",x=\"2\"} 1",
        "f 1 soon",
        "g 1 2 3",
        "h{a=\"1\"",
        "z 9",
    ];
    let read = parse(&lines.join("\n")).unwrap();
    assert_eq!(read.warnings.iter().map(|w| w.line).collect::<Vec<_>>(), [2, 3, 4, 5, 6, 7, 8, 9]);
    assert_eq!(read.samples.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(), ["a", "z"]);
}

#[test]
fn only_the_first_hundred_warnings_are_kept_but_all_are_counted() {
    let read = parse(&format!("a 1\n{}", "garbage\n".repeat(5_000))).unwrap();
    assert_eq!((read.warnings.len(), read.unreadable), (Exposition::MAX_WARNINGS, 5_000));
}

#[test]
fn an_html_page_is_an_error_that_says_so() {
    for page in ["<!DOCTYPE html><html><body>Sign in</body></html>", "\n  <HTML lang=\"en\">\n<p>up 1"] {
        let fault = parse(page).unwrap_err();
        assert_eq!(fault, NotAnExposition::Html);
        assert!(fault.to_string().contains("login page"), "{fault}");
    }
}

#[test]
fn something_without_a_single_metric_is_an_error_and_nothing_at_all_is_not() {
    let fault = parse("{\"status\": \"ok\"}").unwrap_err();
    assert!(matches!(fault, NotAnExposition::NoMetric { lines: 1, first: 1, .. }), "{fault}");
    assert_eq!(parse("").unwrap(), Exposition::default());
    assert_eq!(parse("# only a comment\n\n").unwrap(), Exposition::default());
}

#[test]
fn numbers_are_read_as_go_writes_them() {
    for (written, read) in [
        ("8312056.2000000001862645149231", 8_312_056.2),
        ("1.4E12", 1.4e12),
        ("+Inf", f64::INFINITY),
        ("-Inf", f64::NEG_INFINITY),
        ("-1", -1.0),
    ] {
        assert_eq!(one(&format!("m {written}")).value, read, "{written}");
    }
    assert!(one("m NaN").value.is_nan());
}

#[test]
fn a_trailing_comma_spaces_and_tabs_do_no_harm() {
    let sample = one("  m { a = \"1\" , b=\"2\", }\t 3 \r");
    assert_eq!((sample.labels.get("a"), sample.labels.get("b"), sample.value), (Some("1"), Some("2"), 3.0));
}

#[test]
fn timestamps_are_milliseconds_and_in_openmetrics_seconds() {
    let millis = |text: &str| one(text).timestamp.map(|at| at.timestamp_millis());
    assert_eq!(millis("m 3 1767225600123"), Some(1_767_225_600_123));
    assert_eq!(millis("m 3 1767225600.5\n# EOF\n"), Some(1_767_225_600_500));
    assert_eq!(millis("m 3 1767225600\n# EOF\n"), Some(1_767_225_600_000));
    assert_eq!(millis("m 3"), None);
}

#[test]
fn an_exemplar_is_left_out() {
    let sample = one("m_total{a=\"#1\"} 3 # {trace_id=\"x\"} 0.5 1767225600.1\n# EOF");
    assert_eq!((sample.labels.get("a"), sample.value, sample.timestamp), (Some("#1"), 3.0, None));
}

#[test]
fn a_counter_is_known_by_its_type_line_even_if_that_lacks_the_total() {
    let read = parse("# TYPE m counter\nm_total 3\nm_created 5\n# EOF").unwrap();
    assert_eq!(kind_of(&read, "m_total"), Kind::Counter);
    assert_eq!(kind_of(&read, "m_created"), Kind::Gauge);
    let linkerd = parse(&fixture("linkerd-proxy.prom")).unwrap();
    assert_eq!(kind_of(&linkerd, "outbound_http_route_retry_requests_total"), Kind::Counter);
}

#[test]
fn a_suffix_alone_makes_no_counter() {
    let asynq = parse(&fixture("asynq.prom")).unwrap();
    assert_eq!(kind_of(&asynq, "asynq_tasks_enqueued_total"), Kind::Gauge);
    assert_eq!(kind_of(&parse("m_total 3").unwrap(), "m_total"), Kind::Untyped);
    assert_eq!(kind_of(&parse("# TYPE m gauge\nm_total 3").unwrap(), "m_total"), Kind::Untyped);
}

#[test]
fn a_counter_needs_no_suffix_and_histograms_and_summaries_type_their_parts() {
    let envoy = parse(&fixture("envoy.t0.prom")).unwrap();
    assert_eq!(kind_of(&envoy, "envoy_cluster_upstream_rq_retry"), Kind::Counter);
    assert_eq!(kind_of(&envoy, "envoy_cluster_upstream_rq_time_bucket"), Kind::Histogram);
    let resilience4j = parse(&fixture("resilience4j.t0.prom")).unwrap();
    assert_eq!(kind_of(&resilience4j, "resilience4j_circuitbreaker_calls_seconds_count"), Kind::Summary);
}

#[test]
fn every_sample_of_every_real_dump_is_read() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/metrics");
    let mut dumps = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "prom") {
            dumps += 1;
            let text = std::fs::read_to_string(&path).unwrap();
            let read = parse(&text).unwrap_or_else(|fault| panic!("{}: {fault}", path.display()));
            assert_eq!(read.warnings, [], "{}", path.display());
            let written = text.lines().filter(|l| !l.trim().is_empty() && !l.starts_with('#')).count();
            assert_eq!(read.samples.len(), written, "{}", path.display());
        }
    }
    assert!(dumps >= 10, "the dumps were found");
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

proptest! {
    #[test]
    fn any_label_value_comes_back_as_it_was(values in prop::collection::vec("(?s).{0,12}|[\"\\\\={},\n#]{0,8}", 1..5)) {
        let labels: Vec<String> =
            values.iter().enumerate().map(|(i, value)| format!("l{i}=\"{}\"", escaped(value))).collect();
        // A line break other than \n is not escaped by the format, and lines end only at \n.
        prop_assume!(!values.iter().any(|value| value.ends_with('\r')));
        let read = parse(&format!("m{{{}}} 4", labels.join(","))).unwrap();
        prop_assert_eq!(&read.warnings, &[]);
        for (i, value) in values.iter().enumerate() {
            prop_assert_eq!(read.samples[0].labels.get(&format!("l{i}")), Some(value.as_str()));
        }
    }

    #[test]
    fn no_text_makes_it_panic_and_no_line_is_lost_unsaid(
        lines in prop::collection::vec("[a-z_:{}\"=,\\\\ 0-9.#+-]{0,40}|.{0,20}", 0..12),
    ) {
        let text = format!("known 1\n{}", lines.join("\n"));
        if let Ok(read) = parse(&text) {
            let said = text.lines().filter(|l| !l.trim().is_empty() && !l.trim().starts_with('#')).count();
            prop_assert_eq!(read.samples.len() + read.unreadable, said);
        }
    }
}
