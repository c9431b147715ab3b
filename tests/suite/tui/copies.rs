//! What `Y` copies is a command line that there is, and shows the same.

use std::process::Command;

use redrive::{
    cli,
    domain::circuit::Forced,
    engine::{
        command::{Elsewhere, LeftOut},
        filter::Filter,
    },
    tui::msg::{Effect, Msg},
};

use super::{plans, story::Story, worlds};

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
            "2 s 4",
            "6",
            "6 / 'operator:ana_age:<1h' Enter",
        ] {
            let mut story = Story::of(world.clone(), WIDE);
            story.press(keys).press("Y");
            let asked = story.asked();
            // An id that would act on the terminal it is pasted into goes on no clipboard.
            if world.name == "hostile" && asked.is_empty() {
                story.see("not copied: it holds control characters");
                continue;
            }
            let [Effect::Copy(line)] = asked.as_slice() else { panic!("{keys}: {asked:?}") };
            assert!(!line.contains(char::is_control), "{keys}: {line:?}");
            let words = words(line);
            assert_eq!(cli::check(words.clone()), Ok(()), "{keys}: {line}");
            assert_eq!(line.contains("--sort=tenant"), keys == "2 s 4", "{line}");
            if let [_, _, verb, rest @ ..] = words.as_slice()
                && verb == "list"
            {
                let filter = rest.iter().filter(|word| {
                    *word != "--" && !word.starts_with("--group=") && !word.starts_with("--sort=")
                });
                let filter: Vec<_> = filter.map(String::as_str).collect();
                assert_eq!(Filter::parse(&filter.join(" ")), Ok(story.model.list().filter.clone()), "{line}");
            }
        }
    }
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

#[test]
fn every_dialog_copies_the_command_that_does_what_it_asks_about() {
    let leave = Elsewhere::Leave;
    let take_over = plans::resume("on-0004", Elsewhere::TakeOver, None);
    let key = "github.create_hook/on-0000:hook";
    let force = plans::force("github.create_hook", Some(Forced::Open), Some(LeftOut::Unreasoned));
    let pause = plans::pause("onboarding", Some(LeftOut::Unreasoned));
    for (keys, previewed, line) in [
        ("2 U", plans::resume("on-0000", leave, None), "onboardings resume on-0000"),
        ("2 U", take_over, "onboardings resume --take-over on-0004"),
        ("2 B", plans::roll_back("on-0000"), "onboardings rollback on-0000"),
        ("3 L", plans::release(vec![(key, None)]), "keys release github.create_hook/on-0000:hook"),
        ("4 R", plans::replay(2, 0), "letters replay --per-second=5 lt-0000 lt-0001"),
        ("5 O", force, "circuits force --for=10m --reason=WHY github.create_hook open"),
        ("1 P", pause, "circuits pause --for=10m --reason=WHY onboarding"),
    ] {
        let mut story = Story::of(worlds::storm(), WIDE);
        story.press(keys);
        let ticket = story.asked().into_iter().find_map(|effect| match effect {
            Effect::Preview(ticket, _) => Some(ticket),
            _ => None,
        });
        let ticket = ticket.expect("a dialog opened");
        story.tell(Msg::Preview { ticket, result: Ok(previewed) }).press("Y");
        let asked = story.asked();
        let [Effect::Copy(copied)] = asked.as_slice() else { panic!("{keys}: {asked:?}") };
        assert_eq!(copied, &format!("redrive {line}"));
        assert_eq!(cli::check(words(copied)), Ok(()), "{copied}");
        story.see("sent to the terminal's clipboard: redrive ");
        assert!(story.model.dialog.is_some(), "it stays open");
    }
}

#[test]
fn a_whole_group_is_copied_as_a_list_that_is_piped() {
    let mut story = Story::of(worlds::storm(), WIDE);
    story.model.setting.database = Some("sqlite:demo.db".to_owned());
    story.press("4 R");
    let asked = story.asked();
    let [Effect::Preview(ticket, _)] = asked.as_slice() else { panic!("{asked:?}") };
    story.tell(Msg::Preview { ticket: *ticket, result: Ok(plans::replay(412, 41)) }).press("Y");
    let asked = story.asked();
    let [Effect::Copy(copied)] = asked.as_slice() else { panic!("{asked:?}") };
    assert_eq!(
        copied,
        "redrive --database-url=sqlite:demo.db letters list --limit=10000 --group=a0 status:open | \
         redrive --database-url=sqlite:demo.db letters replay --per-second=5 --yes -"
    );
    for command in copied.split(" | ") {
        assert_eq!(cli::check(words(command)), Ok(()), "{command}");
    }
}
