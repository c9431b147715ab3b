//! What `Y` copies is a command line that there is, and shows the same.

use std::process::Command;

use redrive::{cli, engine::filter::Filter, tui::msg::Effect};

use super::{story::Story, worlds};

const WIDE: (u16, u16) = (120, 36);

/// The words a shell makes of `line`.
fn words(line: &str) -> Vec<String> {
    let script = format!("set -- {line}\nprintf '%s\\0' \"$@\"");
    let output = Command::new("sh").arg("-c").arg(script).output().expect("there is a shell");
    assert!(output.status.success(), "{line:?}: {output:?}");
    let text = String::from_utf8(output.stdout).expect("words are text");
    text.split_terminator('\0').map(str::to_owned).collect()
}

#[test]
fn every_copied_command_is_one_and_filters_the_same() {
    for world in [worlds::storm(), worlds::hostile()] {
        for keys in [
            "1",
            "2",
            "2 / 'status:failed_tenant:acme' Enter",
            "2 / 'error:\"it's\"_!state:NOTIFYING' Enter",
            "2 / '-x_--json' Enter",
            "2 Enter",
            "3",
            "3 / 'status:STARTED' Enter",
            "3 Enter",
            "4",
            "4 / 'terraform' Enter",
            "4 Enter",
            "4 Enter / 'status:open' Enter",
            "4 z",
            "4 z Enter",
            "5",
            "5 Enter",
        ] {
            let mut story = Story::of(world.clone(), WIDE);
            story.press(keys).press("Y");
            let asked = story.asked();
            let [Effect::Copy(line)] = asked.as_slice() else { panic!("{keys}: {asked:?}") };
            let words = words(line);
            assert_eq!(cli::check(words.clone()), Ok(()), "{keys}: {line}");
            if let [_, _, verb, rest @ ..] = words.as_slice()
                && verb == "list"
            {
                let filter = rest.iter().filter(|word| *word != "--" && !word.starts_with("--group="));
                let filter: Vec<_> = filter.map(String::as_str).collect();
                assert_eq!(Filter::parse(&filter.join(" ")), Ok(story.model.list().filter.clone()), "{line}");
            }
        }
    }
}

#[test]
fn where_there_is_no_such_command_none_is_copied() {
    let mut story = Story::of(worlds::storm(), WIDE);
    story.press("6 Y").see("no command shows the audit yet");
    assert_eq!(story.asked(), []);
    assert!(cli::check(["redrive", "audit", "list"].map(str::to_owned)).is_err());
}

#[test]
fn a_copied_command_leads_to_the_same_database() {
    let mut story = Story::of(worlds::storm(), WIDE);
    story.model.setting.database = Some("sqlite:/tmp/a place/demo.db".to_owned());
    story.press("2 Enter Y");
    let asked = story.asked();
    let [Effect::Copy(line)] = asked.as_slice() else { panic!("{asked:?}") };
    assert_eq!(line, "redrive '--database-url=sqlite:/tmp/a place/demo.db' onboardings show on-0000");
    assert_eq!(cli::check(words(line)), Ok(()));
}
