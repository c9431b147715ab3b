//! `v` and `M`: a payload is looked into, folded and searched; revealed only after a preview and with a reason, until its
//! page is left.

use redrive::{
    domain::{action::ActionKind, text::SafeText},
    engine::{
        Access,
        command::{Command, LeftOut},
        plan::{Plan, PlanLine},
        reader::Detail,
        reveal::Revealed,
    },
    tui::{
        model::Place,
        msg::{Effect, Msg, Previewed, Wish},
    },
};

use super::{
    plans,
    stories::{preview, storm, submitted},
    story::Story,
    worlds,
};

const WIDE: (u16, u16) = (120, 36);

fn asks(of: Detail, id: &str) -> Previewed {
    Previewed {
        action: "ac-new".into(),
        command: Command::Reveal { of },
        plan: Plan {
            kind: ActionKind::Reveal,
            lines: vec![PlanLine {
                id: id.to_owned(),
                label: SafeText::new("acme/payments"),
                left_out: Some(LeftOut::Unexplained),
            }],
            undo: Vec::new(),
            warnings: vec![SafeText::new("it is shown in the clear, secrets too, until the page is left")],
            irreversible: None,
        },
    }
}

/// The onboarding's context in the clear.
fn revealed(payload: &[u8]) -> Story {
    let mut story = storm();
    story.press("2 Enter M");
    let of = Detail::Onboarding("on-0000".into());
    preview(&mut story, asks(of.clone(), "on-0000"));
    story.press("y 'the_tenant_asks' Enter Tab Enter");
    let (ticket, submission) = submitted(&mut story);
    assert_eq!(submission.command, Command::Reveal { of: of.clone() });
    assert_eq!(submission.reason.as_deref(), Some("the tenant asks"));
    let mut receipt = plans::receipt(&plans::reasoned(asks(of, "on-0000")), 0);
    receipt.revealed = Some(Revealed::of(payload));
    story.tell(Msg::Done { ticket, result: Ok(receipt) }).press("Left");
    story
}

#[test]
fn a_context_is_looked_into_and_folded() {
    let mut story = storm();
    story.press("2 Enter v");
    assert_eq!(story.model.place(), Place::Payload);
    story
        .see("context, masked · o folds · / searches · M reveals it")
        .see("branch: \"main\"")
        .see("▾ commit 2 fields")
        .see("author: ‹text, 15 characters›")
        .see("token: ‹secret›");
    story.press("j j o").see("▸ commit 2 fields").not_see("author");
    story.press("Enter").see("▾ commit 2 fields").see("author");
    story.press("j Enter").see("▸ commit 2 fields");
    let cursor = story.cursor();
    assert!(story.screen().lines().nth(usize::from(cursor.0)).is_some_and(|line| line.contains("commit")));
    story.press("Esc").see("states");
    assert_eq!(story.model.place(), Place::OnboardingPage);
}

#[test]
fn a_payload_is_searched_also_where_it_is_folded() {
    let mut story = storm();
    story.press("2 Enter v n").see("nothing was looked for: / searches");
    story.press("g j j o").not_see("author").press("/ 'Author' Enter").see("author").see("place 1 of 1");
    story.press("/ 'text,' Enter n").see("of 3");
    let first = story.cursor();
    story.press("N n");
    assert_eq!(story.cursor(), first);
    story.press("/ 'nowhere' Enter").see("not found in what is shown");
    assert_eq!(story.model.query().filter, redrive::engine::filter::Filter::default(), "it filters nothing");
}

#[test]
fn a_key_and_a_letter_have_theirs() {
    let mut story = storm();
    story
        .press("3 Enter v")
        .see("stored response, masked")
        .see("url: \"https://bob:***@api.github.com/hooks/4711\"");
    story.press("Esc Esc 4 z Enter v").see("original request, masked").see("note: ‹text, 6 characters›");
}

#[test]
fn a_reveal_takes_a_reason_and_lasts_until_the_page_is_left() {
    let mut story = revealed(br#"{"note":"hunter2","deep":{"mail":"ana@example.com"}}"#);
    story
        .see("context IN THE CLEAR until the page is left · 52 bytes")
        .see("note: \"hunter2\"")
        .see("mail: \"ana@example.com\"");
    // A newer picture changes nothing about that, and holds nothing of it.
    story.world_with(|_| {}).see("hunter2");
    assert!(!format!("{:?}", story.snapshot()).contains("hunter2"));
    assert!(!format!("{:?}", story.model).contains("hunter2"), "what is revealed cannot be logged");
    story.press("Esc").not_see("hunter2");
    story.press("v").see("hunter2");
    story.press("Esc Esc Enter v").not_see("hunter2").see("context, masked");
}

#[test]
fn leaving_by_any_way_forgets_it() {
    for way in ["Esc Esc", "1", "Tab", "4", "Esc / 'x' Enter"] {
        let mut story = revealed(br#"{"note":"hunter2"}"#);
        story.see("hunter2").press(way).not_see("hunter2");
        assert_eq!(story.model.revealed, None, "{way}");
    }
}

#[test]
fn a_reply_that_comes_after_the_page_was_left_shows_nothing() {
    let mut story = storm();
    story.press("2 Enter M");
    let of = Detail::Onboarding("on-0000".into());
    preview(&mut story, asks(of.clone(), "on-0000"));
    story.press("y 'why' Enter Tab Enter");
    let (ticket, _) = submitted(&mut story);
    story.press("Left Esc j Enter");
    let mut receipt = plans::receipt(&plans::reasoned(asks(of, "on-0000")), 0);
    receipt.revealed = Some(Revealed::of(br#"{"note":"hunter2"}"#));
    story.tell(Msg::Done { ticket, result: Ok(receipt) }).not_see("hunter2");
    assert_eq!(story.model.revealed, None);
}

#[test]
fn ten_megabytes_show_their_beginning_and_bytes_show_as_hexadecimal() {
    let mut story = revealed("x".repeat(10 * 1024 * 1024).as_bytes());
    story.see("IN THE CLEAR until the page is left · 10,485,760 bytes, its first 4 KiB").see("xxxxxxxx");
    story.press("G g");
    let mut story = revealed(&[0x1b, b']', 0xff, 0]);
    story.see("00000000 1b 5d ff 00").see("|.]..|");
}

#[test]
fn hostile_payloads_are_shown_safely() {
    let mut story = revealed("{\"\\u001b]0;owned\\u0007\":\"\\u202egpj.exe\\n\"}".as_bytes());
    story.see("␛]0;owned␇").see("<U+202E>");
}

#[test]
fn a_read_only_dashboard_looks_into_payloads_and_reveals_none() {
    let mut story = Story::with(worlds::storm(), WIDE, Access::ReadOnly);
    story.press("2 Enter v").see("context, masked · o folds · / searches ").not_see("M reveals");
    story.press("M").see("reveal is not possible: this dashboard is read-only");
    assert_eq!(story.asked(), []);
    let mut list = storm();
    list.press("2 M").see("no payload here: open an onboarding, a key or a letter");
}

#[test]
fn the_wish_names_the_page_it_was_made_on() {
    for (keys, wish) in [
        ("2 Enter M", Wish::Reveal(Detail::Onboarding("on-0000".into()))),
        ("3 Enter M", Wish::Reveal(Detail::Key("github.create_hook/on-0000:hook".into()))),
        ("4 z Enter v M", Wish::Reveal(Detail::Letter("lt-0000".into()))),
    ] {
        let mut story = storm();
        story.press(keys);
        assert!(matches!(story.asked().as_slice(), [Effect::Preview(_, asked)] if *asked == wish), "{keys}");
    }
}

#[test]
fn an_error_is_told_against_the_one_before() {
    let page = |error: &'static str| {
        let mut world = worlds::storm();
        let mut attempt = worlds::failed_attempt(10);
        attempt.error = Some(error.to_owned());
        world.more_attempts = vec![attempt];
        let mut story = Story::of(world, (120, 60));
        story.press("2 Enter");
        story
    };
    page("503 from api.github.com: Service Unavailable")
        .see("the same as before, 2 times in a row")
        .see("errors by kind")
        .see("3 times: 503 from api.github.com: Service Unavailable,");
    page("502 from api.github.com: Service Unavailable").see("as before, but “502” was “503”");
    page("no route to host").see("before it was “");
}

#[test]
fn attempts_and_delays_are_drawn_to_scale() {
    let mut story = Story::of(worlds::storm(), WIDE);
    story.press("2 Enter");
    let screen = story.screen();
    let bar = screen.lines().find(|line| line.contains('█')).expect("a bar");
    let cells: String = bar.chars().filter(|c| matches!(c, '█' | '─')).collect();
    let runs: Vec<usize> = cells.split('─').map(|run| run.chars().count()).filter(|n| *n > 0).collect();
    let waits: Vec<usize> = cells.split('█').map(|run| run.chars().count()).filter(|n| *n > 0).collect();
    // Three attempts of a second each, with 2 and 4 s between their ends and the next.
    assert_eq!((runs.len(), waits.len()), (3, 2), "{bar}");
    assert!(waits[1] > waits[0] * 17 / 10 && waits[1] < waits[0] * 23 / 10, "{bar}");
    story.see("next in 1.7 s: transient, attempt 1 of 3").see("not retried: attempt 3 of 3 was the last");
}

#[test]
fn ages_tick_and_one_key_says_every_moment_the_other_way() {
    let mut story = Story::of(worlds::storm(), (200, 50));
    story.press("2").see("ana, 40 s ago");
    story.wait(5).see("ana, 45 s ago");
    story.press("u").see("ana, 14:01:51 UTC").press("u").see("ana, 45 s ago");
    let mut story = storm();
    story.press("6").see("14:01:51 ana").press("u u").see("40 s ago ana").press("u").see("14:01:51 ana");
    let mut page = storm();
    page.press("2 Enter u u").see("1. 66 s ago failed").press("u").see("1. 14:01:25 failed");
}
