//! Where targets come from: the addresses of a name, and lists in files.

use std::{fs, io, path::Path};

use redrive::metrics::{
    admission::Admission,
    discovery::{Discovered, MAX_TARGETS, Origin, Resolver},
};

fn resolver(answer: &'static [&'static str]) -> Resolver {
    Resolver::new(move |_, port| {
        Box::pin(async move {
            Ok(answer.iter().map(|ip| (ip.parse::<std::net::IpAddr>().unwrap(), port).into()).collect())
        })
    })
}

async fn named(origin: &str, answer: &'static [&'static str]) -> Vec<(String, String)> {
    shown(&Origin::parse(origin).unwrap().look(&resolver(answer)).await.unwrap())
}

fn shown(found: &Discovered) -> Vec<(String, String)> {
    found.targets.iter().map(|target| (target.name().to_owned(), target.shown())).collect()
}

fn pair(name: &str, url: &str) -> (String, String) {
    (name.to_owned(), url.to_owned())
}

async fn listed(name: &str, text: &str) -> Result<Discovered, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, text).unwrap();
    Origin::File(path, Admission::default()).look(&Resolver::system()).await
}

#[tokio::test]
async fn every_address_of_a_name_is_a_target() {
    let two = &["10.0.0.2", "10.0.0.1", "10.0.0.2", "fd00::1"];
    assert_eq!(
        named("workers=dns+http://workers.test:9102/m?a=b", two).await,
        [
            pair("workers/10.0.0.1:9102", "http://10.0.0.1:9102/m?…"),
            pair("workers/10.0.0.2:9102", "http://10.0.0.2:9102/m?…"),
            pair("workers/[fd00::1]:9102", "http://[fd00::1]:9102/m?…"),
        ]
    );
    assert_eq!(
        named("dns+http://workers.test:9102", &["10.0.0.1"]).await,
        [pair("10.0.0.1:9102", "http://10.0.0.1:9102/metrics")]
    );
}

#[tokio::test]
async fn the_systems_resolver_knows_localhost() {
    let found = Origin::parse("dns+http://localhost:9102").unwrap().look(&Resolver::system()).await.unwrap();
    assert!(shown(&found).contains(&pair("127.0.0.1:9102", "http://127.0.0.1:9102/metrics")), "{found:?}");
}

#[tokio::test]
async fn a_name_that_is_not_known_says_so() {
    let resolver = Resolver::new(|_, _| Box::pin(async { Err(io::Error::other("no such name")) }));
    let origin = Origin::parse("dns+http://ana:hunter2@nowhere.test:9102").unwrap();
    let fault = origin.look(&resolver).await.unwrap_err();
    assert_eq!(fault, "its host name cannot be resolved (no such name)");
    assert!(!format!("{:?} {origin:?}", origin.shown()).contains("hunter2"));
}

#[tokio::test]
async fn a_list_in_json_or_yaml_is_read_with_its_labels() {
    let json = r#"[
        {"targets": ["10.0.0.1:9100", "10.0.0.2:9100"],
         "labels": {"job": "worker", "env": "prod", "__metrics_path__": "/m", "__scheme__": "https", "__param_x": "a b"}},
        {"targets": ["10.0.0.3:9100"], "labels": {"zone": "b", "job": "crm", "instance": "crm-1"}},
        {"targets": ["10.0.0.4:9100"]}
    ]"#;
    let yaml = "- targets: ['10.0.0.1:9100', '10.0.0.2:9100']\n  labels:\n    job: worker\n    env: prod\n    __metrics_path__: m\n    \
                __scheme__: https\n    __param_x: a b\n- targets: ['10.0.0.3:9100']\n  labels: {zone: b, job: crm, instance: crm-1}\n\
                - targets: ['10.0.0.4:9100']\n";
    for (name, text) in [("targets.json", json), ("targets.yml", yaml), ("targets.yaml", json)] {
        let found = listed(name, text).await.unwrap();
        assert_eq!(found.fault, None);
        assert_eq!(
            shown(&found),
            [
                pair("worker/prod/10.0.0.1:9100", "https://10.0.0.1:9100/m?…"),
                pair("worker/prod/10.0.0.2:9100", "https://10.0.0.2:9100/m?…"),
                pair("crm/b/crm-1", "http://10.0.0.3:9100/metrics"),
                pair("10.0.0.4:9100", "http://10.0.0.4:9100/metrics"),
            ],
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_bad_target_of_a_list_is_left_out_and_said() {
    let found = listed("t.json", r#"[{"targets": ["http://evil/", "ok:1", "ana:hunter2@h:1", "h:port"]}]"#)
        .await
        .unwrap();
    assert_eq!(shown(&found), [pair("ok:1", "http://ok:1/metrics")]);
    let fault = found.fault.unwrap();
    assert!(fault.contains("left out") && !fault.contains("hunter2"), "{fault}");
}

#[tokio::test]
async fn a_list_that_cannot_be_read_says_why() {
    for (name, text, word) in [
        ("t.json", "[{\"targets\":", "line 1"),
        ("t.json", "{}", "targets and labels"),
        ("t.yml", "- targets: {a: 1}\n", "targets and labels"),
        ("t.txt", "[]", ".json"),
    ] {
        let fault = listed(name, text).await.unwrap_err();
        assert!(fault.contains(word), "{fault}");
    }
    let missing = Origin::File(Path::new("/nowhere/t.json").to_owned(), Admission::default());
    assert!(missing.look(&Resolver::system()).await.unwrap_err().contains("cannot be read"));
}

#[tokio::test]
async fn only_so_many_targets_are_taken() {
    let many: Vec<String> = (0..MAX_TARGETS + 5).map(|n| format!("\"h{n}:1\"")).collect();
    let found = listed("t.json", &format!("[{{\"targets\": [{}]}}]", many.join(","))).await.unwrap();
    assert_eq!(found.targets.len(), MAX_TARGETS);
    assert!(found.fault.unwrap().contains("1005 targets"));
}
