//! What happens when keys are pressed, told without a terminal.

use chrono::TimeDelta;
use redrive::{
    domain::{
        action::ActionKind,
        attempt::AttemptOutcome,
        onboarding::{Phase, State, Status},
    },
    engine::{
        Access,
        command::{Asker, Command, Elsewhere, LeftOut, Refusal, Submission},
        filter::{Field, Filter},
        reader::{AttemptRow, Detail, List, Query, Rows},
        store::StoreError,
    },
    tui::{
        Exit,
        model::{LettersBy, View},
        msg::{Effect, Key, Msg, Previewed, Ticket, Wish},
    },
};

use super::{plans, story::Story, worlds};

const WIDE: (u16, u16) = (120, 36);
const NARROW: (u16, u16) = (80, 24);

pub(super) fn storm() -> Story {
    Story::of(worlds::storm(), WIDE)
}

/// Answers the preview that was asked for.
pub(super) fn preview(story: &mut Story, previewed: Previewed) {
    let (ticket, _) = asked_preview(story);
    story.tell(Msg::Preview { ticket, result: Ok(previewed) });
}

#[track_caller]
fn asked_preview(story: &mut Story) -> (Ticket, Wish) {
    match story.asked().as_slice() {
        [Effect::Preview(ticket, wish)] => (*ticket, wish.clone()),
        other => panic!("a preview was expected, not {other:?}\n{}", story.screen()),
    }
}

#[track_caller]
fn asked_match(story: &mut Story) -> (Ticket, Query) {
    match story.asked().as_slice() {
        [Effect::Match(ticket, query)] => (*ticket, query.clone()),
        other => panic!("a question for every match was expected, not {other:?}"),
    }
}

#[track_caller]
pub(super) fn submitted(story: &mut Story) -> (Ticket, Submission) {
    match story.asked().as_slice() {
        [Effect::Submit(ticket, submission)] => (*ticket, submission.clone()),
        other => panic!("a submission was expected, not {other:?}\n{}", story.screen()),
    }
}

#[test]
fn the_cursor_follows_the_id_when_rows_come_above_it() {
    let mut story = storm();
    story.press("2 j j");
    assert_eq!(story.model.list().cursor.as_deref(), Some("on-0002"));
    story.world_with(|world| {
        world.onboardings.insert(0, worlds::onboarding(99, Some(Phase::Queued), State::Received))
    });
    assert_eq!(story.model.list().cursor.as_deref(), Some("on-0002"));
    story.world_with(|world| world.onboardings.retain(|row| row.id.as_str() != "on-0002"));
    assert_eq!(story.model.list().cursor.as_deref(), Some("on-0003"), "the next one takes its place");
}

#[test]
fn moving_scrolls_only_when_the_cursor_leaves_the_screen() {
    let mut story = Story::of(worlds::storm(), NARROW);
    story.press("2 G");
    assert_eq!(story.model.list().index, 39);
    let top = story.model.list().top;
    story.press("k k k");
    assert_eq!(story.model.list().top, top);
    story.press("g");
    assert_eq!((story.model.list().index, story.model.list().top), (0, 0));
    story.press("PgDn Ctrl+d Ctrl+u PgUp");
    assert_eq!(story.model.list().index, 0);
}

#[test]
fn a_list_that_was_cut_is_read_on_when_the_cursor_comes_near_its_end() {
    let mut world = worlds::storm();
    world.onboardings =
        (0..200).map(|n| worlds::onboarding(n, Some(Phase::Parked), State::ConfiguringSync)).collect();
    let mut story = Story::of(world, WIDE);
    story.press("2");
    assert_eq!(story.model.query().limit, 0);
    story.press("G");
    assert_eq!(story.model.query().limit, 400);
}

#[test]
fn screens_are_reached_by_number_tab_and_word() {
    let mut story = storm();
    for (keys, view) in [
        ("2", View::Onboardings),
        ("Tab", View::Keys),
        ("BackTab BackTab BackTab", View::Audit),
        ("Tab", View::Pulse),
        (": 'circ' Enter", View::Circuits),
    ] {
        story.press(keys);
        assert_eq!(story.model.view, view, "after {keys}");
    }
}

#[test]
fn enter_drills_down_and_escape_comes_back() {
    let mut story = storm();
    story.press("3 Enter").see("Will be retried when somebody asks again");
    story.press("Enter").see("compensations, in the order they would run");
    assert_eq!(story.snapshot().query.detail, Some(Detail::Onboarding("on-0000".into())));
    story.press("Esc").see("stored response");
    story.press("Esc").see("keys · 4.1k");
    assert_eq!(story.snapshot().query, Query { list: List::Keys, ..Query::default() });
}

#[test]
fn a_page_whose_row_is_gone_says_so() {
    let mut story = storm();
    story.press("2 Enter");
    story.world_with(|world| world.onboardings.clear()).see("there is no such row any more");
}

#[test]
fn letters_are_grouped_at_home_and_z_shows_them_one_by_one() {
    let mut story = storm();
    story.press("4").see("dead letters by error · 3").see("29").see("new");
    story.press("j Enter").see("422 from app.terraform.io: invalid workspace");
    assert_eq!(story.model.letters_by, LettersBy::Group("b0".to_owned()));
    story.press("Esc").see("dead letters by error · 3");
    story.press("z").see("dead letters · 5");
    story.press("z").see("dead letters by error · 3");
}

#[test]
fn a_filter_is_read_when_entered_and_told_when_wrong() {
    let mut story = storm();
    story.press("2 / 'status:failed_!tenant:acme' Enter");
    let expected = Filter::parse("status:failed !tenant:acme").unwrap();
    assert_eq!(story.snapshot().query.filter, expected);
    story.see("filter status:failed !tenant:acme");
    story.press("/ Ctrl+u 'x:y' Enter").see("no field");
    story.press("Esc").see("filter status:failed !tenant:acme");
    story.press("Esc").not_see("filter status");
    assert!(story.snapshot().query.filter.is_empty());
}

#[test]
fn groups_are_filtered_on_the_screen() {
    let mut story = storm();
    story.press("4 / 'terraform' Enter").see("dead letters by error · 3 groups · 1 shown");
    story.press("Esc / '!terraform' Enter").see("dead letters by error · 3 groups · 2 shown");
}

#[test]
fn a_circuit_opens_what_it_holds_back() {
    let mut story = storm();
    story.press("5 Enter").see("filter status:parked operation:github.create_hook");
    let fields: Vec<_> = story.model.query().filter.terms.iter().map(|term| term.field).collect();
    assert_eq!(fields, [Some(Field::Status), Some(Field::Operation)]);
    story.press("Enter Esc Esc").see("circuits · 4");
    assert!(story.press("2").model.list().filter.is_empty());
}

#[test]
fn marks_keep_the_version_they_saw_and_a_changed_row_is_left_out() {
    let mut story = storm();
    story.press("2 Space Space").see("2 marked");
    story.world_with(|world| world.onboardings[0].version = 4).see("1 of them changed since").see("✗");
    story.press("U");
    let (_, wish) = asked_preview(&mut story);
    let Wish::Resume(targets, Elsewhere::Leave) = wish else { panic!("{wish:?}") };
    let seen: Vec<_> = targets.iter().map(|t| (t.id.as_str(), t.seen)).collect();
    assert_eq!(
        seen,
        [("on-0000", Some(3)), ("on-0001", Some(3))],
        "the engine is told what was seen and leaves it out"
    );
}

#[test]
fn a_range_marks_what_lies_between() {
    let mut story = storm();
    story.press("2 V j j j Space").see("4 marked");
    story.press("Esc").not_see("marked");
}

#[test]
fn a_star_marks_everything_that_matches_and_says_how_many() {
    let mut story = storm();
    story.press("2 *");
    let (ticket, query) = asked_match(&mut story);
    assert_eq!((query.limit, query.detail), (10_000, None));
    let rows = (0..412).map(|n| worlds::onboarding(n, Some(Phase::Failed), State::Notifying)).collect();
    story.tell(Msg::Matched { ticket, result: Ok(Rows::Onboardings(rows)) });
    story.see("412 marked, all that match");
    story.press("Esc *");
    let (ticket, _) = asked_match(&mut story);
    let rows = (0..10_000).map(|n| worlds::onboarding(n, Some(Phase::Failed), State::Notifying)).collect();
    story.tell(Msg::Matched { ticket, result: Ok(Rows::Onboardings(rows)) });
    story.see("10,000 marked: that is the cap, more may match");
}

#[test]
fn an_answer_to_a_question_of_another_screen_marks_nothing() {
    let mut story = storm();
    story.press("2 *");
    let (ticket, _) = asked_match(&mut story);
    story.press("3").tell(Msg::Matched {
        ticket,
        result: Ok(Rows::Onboardings(vec![worlds::onboarding(0, None, State::Notifying)])),
    });
    assert!(story.model.list().marks.is_empty());
}

#[test]
fn one_resume_is_previewed_confirmed_pending_and_done() {
    let mut story = storm();
    story.press("2 U").see("reading what it would do");
    let previewed = plans::resume("on-0000", Elsewhere::Leave, None);
    preview(&mut story, previewed.clone());
    story
        .see("this onboarding")
        .see("acme/payments")
        .see("on-0000")
        .see("will run")
        .see("[ Cancel ] [ Resume 1 ]");
    story.press("y");
    let (ticket, submission) = submitted(&mut story);
    assert_eq!(submission.action.as_str(), "ac-new");
    assert_eq!(submission.asker, Asker::Operator("ana".to_owned()));
    assert_eq!(submission.reason, None);
    story.see("pending resume");
    story.tell(Msg::Done { ticket, result: Ok(plans::receipt(&previewed, 0)) });
    assert_eq!(story.asked(), [Effect::Nudge]);
    story.see("1 onboarding resumed").see("pending resume");
    story.look().see("pending resume");
    story
        .world_with(|world| world.board.as_mut().unwrap().at += TimeDelta::seconds(2))
        .not_see("pending resume");
}

#[test]
fn the_focus_starts_on_cancel_and_tab_then_enter_confirms_with_a_reason() {
    let mut story = storm();
    story.press("2 U");
    preview(&mut story, plans::resume("on-0000", Elsewhere::Leave, None));
    story.press("Enter");
    assert_eq!(story.asked(), [], "Enter on Cancel cancels");
    story.press("U");
    preview(&mut story, plans::resume("on-0000", Elsewhere::Leave, None));
    story.press("Tab Tab 'GitHub_is_back' BackTab Enter");
    assert_eq!(submitted(&mut story).1.reason.as_deref(), Some("GitHub is back"));
}

#[test]
fn keys_typed_ahead_of_the_preview_confirm_nothing() {
    let mut story = storm();
    story.press("2 U");
    let (ticket, _) = asked_preview(&mut story);
    story.press("y Tab");
    story.tell(Msg::Preview { ticket, result: Ok(plans::resume("on-0000", Elsewhere::Leave, None)) });
    assert_eq!(story.asked(), []);
    assert!(story.model.dialog.is_some());
}

#[test]
fn a_second_enter_submits_nothing_more() {
    let mut story = storm();
    story.press("2 U");
    preview(&mut story, plans::resume("on-0000", Elsewhere::Leave, None));
    story.press("Tab Enter");
    submitted(&mut story);
    story.press("Enter");
    assert!(story.asked().iter().all(|effect| !matches!(effect, Effect::Submit(..))));
}

#[test]
fn more_than_twenty_are_confirmed_by_typing_how_many() {
    let mut story = storm();
    story.press("4 R");
    let (ticket, wish) = asked_preview(&mut story);
    assert_eq!(wish, Wish::ReplayGroups(vec!["a0".to_owned()]));
    story.tell(Msg::Preview { ticket, result: Ok(plans::replay(412, 41)) });
    story
        .see("412 selected: 371 will run")
        .see("14 left out: already completed")
        .see("circuit github.create_hook is OPEN");
    story.press("y").see("not yet: 371 has to be typed");
    assert_eq!(story.asked(), []);
    story.press("'37' Enter Enter Enter").see("not yet: 371 has to be typed");
    assert_eq!(story.asked(), []);
    story.press("'1' Enter Enter Enter");
    let (ticket, _) = submitted(&mut story);
    let previewed = plans::replay(412, 41);
    story.tell(Msg::Done { ticket, result: Ok(plans::receipt(&previewed, 1)) });
    story.see("replay of 370 letters begun").see("changed since you looked: replayed by ben at 14:02:11 UTC");
}

#[test]
fn undoing_what_works_is_confirmed_by_typing_too() {
    // Whatever the screen knows of the row: from a letter or a key it knows nothing.
    for keys in ["2 j j j j j j j B", "2 j j j j j j j Enter B", "3 B", "4 z B", "4 z Enter B"] {
        let mut story = storm();
        story.press(keys);
        preview(&mut story, plans::undo_completed("on-0007"));
        story
            .see("! it completed: this undoes a working onboarding, which cannot be taken back: type 1")
            .press("y");
        assert_eq!(story.asked(), [], "{keys}");
        story.press("'1' Enter Enter Enter");
        assert_eq!(submitted(&mut story).1.command.kind(), ActionKind::RollBack, "{keys}");
    }
}

#[test]
fn a_roll_back_shows_every_compensation_in_its_order() {
    let mut story = storm();
    story.press("2 B");
    preview(&mut story, plans::roll_back("on-0000"));
    story
        .see("3 compensations in this order:")
        .see("1. circuit open: waits for it: github.delete_hook hook on acme/payments")
        .see("2. nothing to undo: tfc.delete_notification")
        .see("3. will run: catalog.remove")
        .see("leased by worker-a until 14:02:53 UTC");
}

#[test]
fn roll_backs_go_one_at_a_time_whatever_is_marked() {
    let mut story = storm();
    story.press("2 Space Space Space B");
    let (_, wish) = asked_preview(&mut story);
    assert!(matches!(wish, Wish::RollBack(target, Elsewhere::Leave) if target.id.as_str() == "on-0003"));
    story.see("this onboarding only: roll-backs go one at a time");
}

#[test]
fn what_others_began_is_taken_over_only_by_typing_the_words() {
    let mut story = storm();
    story.press("2 j j j j U");
    let elsewhere = LeftOut::Elsewhere { status: Status::InProgress };
    preview(&mut story, plans::resume("on-0004", Elsewhere::Leave, Some(elsewhere)));
    let (ticket, wish) = asked_preview(&mut story);
    assert!(matches!(wish, Wish::Resume(_, Elsewhere::TakeOver)));
    story.tell(Msg::Preview { ticket, result: Ok(plans::resume("on-0004", Elsewhere::TakeOver, None)) });
    story.press("y").see("not yet: take over has to be typed");
    assert_eq!(story.asked(), []);
    story.press("'Take_over' Enter Enter Enter");
    let command = submitted(&mut story).1.command;
    assert!(matches!(command, Command::Resume { elsewhere: Elsewhere::TakeOver, .. }));
}

#[test]
fn nothing_to_do_offers_nothing_but_the_way_out() {
    let mut story = storm();
    story.press("2 U");
    preview(&mut story, plans::resume("on-0000", Elsewhere::Leave, Some(LeftOut::AlreadyCompleted)));
    story.see("left out: already completed").see("nothing would run").not_see("[ Resume");
    story.press("y Tab Enter");
    assert_eq!(story.asked(), []);
    assert!(story.model.dialog.is_none());
}

#[test]
fn a_lost_reply_is_asked_again_with_the_same_key() {
    let mut story = storm();
    story.press("2 U");
    preview(&mut story, plans::resume("on-0000", Elsewhere::Leave, None));
    story.press("y");
    let (ticket, first) = submitted(&mut story);
    let lost = Refusal::Store(StoreError::UnknownOutcome { doing: "resume" });
    story.tell(Msg::Done { ticket, result: Err(lost.clone()) });
    story.see("it may or may not have happened").see("[ Ask again ]").see("pending resume");
    story.asked();
    story.press("Tab Enter");
    let (ticket, second) = submitted(&mut story);
    assert_eq!(first, second);
    story
        .tell(Msg::Done { ticket, result: Err(lost) })
        .press("Esc")
        .see("look for ac-new in 6 Audit")
        .not_see("pending");
}

#[test]
fn a_refusal_is_told_and_nothing_stays_pending() {
    let mut story = storm();
    story.press("2 U");
    preview(&mut story, plans::resume("on-0000", Elsewhere::Leave, None));
    story.press("y");
    let (ticket, _) = submitted(&mut story);
    let busy = StoreError::Busy { doing: "resume", why: "locked".to_owned() };
    story.tell(Msg::Done { ticket, result: Err(Refusal::Store(busy)) });
    story.see("resume refused: the database was too busy").not_see("pending");
}

#[test]
fn the_dashboard_goes_on_while_an_action_is_on_its_way() {
    let mut story = storm();
    story.press("2 U");
    preview(&mut story, plans::resume("on-0000", Elsewhere::Leave, None));
    story.press("y");
    let (first, _) = submitted(&mut story);
    story.press("j j j B");
    preview(&mut story, plans::roll_back("on-0003"));
    let lost = Refusal::Store(StoreError::UnknownOutcome { doing: "resume" });
    story.tell(Msg::Done { ticket: first, result: Err(lost) });
    story.see("Roll back?").not_see("Ask again");
    story.press("Esc").see("Ask again");
}

#[test]
fn what_a_key_acts_on_depends_on_where_it_is_pressed() {
    for (keys, expected) in [
        ("1 R", "ReplayAll"),
        ("1 U", "ResumeFailed"),
        ("4 Space Space R", "ReplayGroups([\"a0\", \"b0\"])"),
        ("4 z R", "Replay([Target { id: LetterId(\"lt-0000\"), seen: Some(1) }])"),
        (
            "4 z Space Space R",
            "Replay([Target { id: LetterId(\"lt-0000\"), seen: Some(1) }, Target { id: LetterId(\"lt-0001\")",
        ),
        ("4 z Enter R", "Replay([Target { id: LetterId(\"lt-0000\"), seen: Some(1) }])"),
        ("4 z B", "RollBack(Target { id: OnboardingId(\"on-0000\"), seen: None }"),
        ("2 R", "Replay([Target { id: LetterId(\"lt-0000\"), seen: None }])"),
        ("2 Enter U", "Resume([Target { id: OnboardingId(\"on-0000\"), seen: Some(3) }]"),
        ("3 U", "Resume([Target { id: OnboardingId(\"on-0000\"), seen: None }]"),
    ] {
        let mut story = storm();
        story.press(keys);
        let (_, wish) = asked_preview(&mut story);
        assert!(format!("{wish:?}").starts_with(expected), "{keys}: {wish:?}");
    }
}

#[test]
fn a_write_without_a_target_says_so() {
    let mut story = storm();
    story.press("1 B").see("roll back has nothing to act on here");
    story.press("2 j R").see("no open dead letter behind what is selected");
    assert_eq!(story.asked(), []);
}

#[test]
fn read_only_removes_every_write_and_says_why() {
    let mut story = Story::with(worlds::storm(), WIDE, Access::ReadOnly);
    for keys in ["2 U", "B", "R", "1 R", ": 'resume' Enter"] {
        story.press(keys).see("read-only");
        assert_eq!(story.asked(), [], "{keys}");
    }
}

#[test]
fn no_action_on_a_stale_picture() {
    let mut story = storm();
    story.press("2").wait(11).see("stale for 11 s").press("U").see("not on a stale picture");
    assert_eq!(story.asked(), []);
    let mut story = Story::of(worlds::stale(), WIDE);
    story.see("cannot reach the database").press("2 U").see("not on a stale picture");
    assert_eq!(story.asked(), []);
}

#[test]
fn a_picture_that_goes_stale_under_an_open_dialog_stops_it() {
    let mut story = storm();
    story.press("2 U");
    preview(&mut story, plans::resume("on-0000", Elsewhere::Leave, None));
    story.wait(12).press("y").see("not on a stale picture");
    assert_eq!(story.asked(), []);
}

#[test]
fn a_frozen_picture_stays_until_it_is_let_go() {
    let mut story = storm();
    story.press("f").see("frozen");
    story.world_with(|world| world.board.as_mut().unwrap().counts.failed.0 = 99).not_see("failed 99");
    story.press("f").see("failed 99").see("live");
}

#[test]
fn what_a_frozen_picture_lacks_is_said_to_be_frozen_and_not_to_be_read() {
    let mut story = storm();
    story.press("2 f 3").see("frozen: press f to look at this").not_see("reading");
    for keys in ["U", "Enter", "y", "2 Enter", "U"] {
        story.press(keys).see("frozen: press f to look at this");
        assert_eq!(story.asked(), [], "{keys}");
    }
    story.press("Esc U").see("reading what it would do");
    story.press("Esc 3 f").see("keys · 4.1k").not_see("frozen");
}

#[test]
fn nothing_is_done_where_no_row_is_selected() {
    for (keys, all) in [("2 j j", "Enter U B R y V"), ("3 j", "Enter U B y"), ("4 z j", "Enter U B R y V")] {
        let mut story = storm();
        story.press(keys).world_with(|world| {
            world.onboardings.clear();
            world.keys.clear();
            world.letters.clear();
        });
        for key in all.split(' ') {
            story.press(key);
            assert_eq!(story.asked(), [], "{keys} {key}");
            assert!(story.model.pages.is_empty() && story.model.dialog.is_none(), "{keys} {key}");
            if key != "V" {
                story.see("nothing selected");
            }
        }
    }
}

#[test]
fn an_actions_targets_are_named_or_counted() {
    for size in [NARROW, WIDE] {
        let mut story = Story::of(worlds::storm(), size);
        story.world_with(|world| {
            let row = &mut world.audit[0];
            (row.applied, row.left_out) = (12, 11);
            row.targets = (0..20)
                .map(|n| format!("0198c0de-0000-7000-8000-0000000000{n:02}").as_str().into())
                .collect();
        });
        story.press("6");
        let screen = story.screen();
        let (_, named) = screen.split_once("targets: ").expect("the row is told in full");
        let named = named.matches("0198c0de-").count();
        assert!((1..20).contains(&named), "{screen}");
        story.see(&format!("and {} more", 23 - named));
    }
}

#[test]
fn a_paste_types_but_never_acts() {
    let mut story = storm();
    story.press("2").tell(Msg::Paste("U\nq\ny".to_owned()));
    assert_eq!(story.asked(), []);
    story.press("/").tell(Msg::Paste("tenant:acme\n".to_owned())).press("Enter");
    assert_eq!(story.model.list().typed, "tenant:acme");
    story.press("U");
    preview(&mut story, plans::resume("on-0000", Elsewhere::Leave, None));
    story.tell(Msg::Paste("y\n".to_owned()));
    assert_eq!(story.asked(), []);
}

#[test]
fn ids_and_commands_are_copied_raw_and_quoted() {
    let mut story = storm();
    story.press("2 y");
    assert_eq!(story.asked(), [Effect::Copy("on-0000".to_owned())]);
    story.press("/ 'error:\"it's\"' Enter Y");
    assert_eq!(story.asked(), [Effect::Copy(r#"redrive onboardings list 'error:"it'\''s"'"#.to_owned())]);
    story.press("3 Enter Y");
    assert_eq!(story.asked(), [Effect::Copy("redrive keys show github.create_hook/on-0000:hook".to_owned())]);
}

#[test]
fn the_command_line_completes_what_exists_and_refuses_what_does_not() {
    let mut story = storm();
    story.press(": 'th' Tab").see("theme");
    story.press("'_l' Enter");
    story.press(": 're' Enter").see("which one? refresh, replay, resume, release, reveal, restore");
    story.press("Esc : 'nope' Enter").see("no command");
    story.press("Esc : 'quit' Enter");
    assert_eq!(story.asked(), [Effect::Quit(Exit::Asked)]);
}

#[test]
fn quitting_and_suspending_work_from_everywhere() {
    for keys in ["1", "?", "/", ":", "2 Enter", "2 U"] {
        let mut story = storm();
        story.press(keys).asked();
        story.tell(Msg::Key(Key::Ctrl('z'))).tell(Msg::Key(Key::Ctrl('c')));
        assert_eq!(story.asked(), [Effect::Suspend, Effect::Quit(Exit::Asked)], "{keys}");
    }
}

#[test]
fn a_task_that_panics_is_told_and_the_screen_stays() {
    let mut story = storm();
    let injected = Msg::Panicked("src/engine/injection/mod.rs:1:2".to_owned());
    story.tell(injected).see("a panic was injected, as asked").not_see("please report it");
    story.tell(Msg::Panicked("src/x.rs:1:2".to_owned())).see("a task of this program failed at src/x.rs:1:2");
}

#[test]
fn nothing_is_asked_of_a_screen_that_is_too_small_to_be_read() {
    let mut story = storm();
    story.press("2").tell(Msg::Resize(59, 15)).press("U").see("redrive needs 60 columns and 15 rows");
    assert_eq!(story.asked(), []);
}

#[test]
fn marks_come_off_when_their_action_is_done_wherever_the_operator_went_meanwhile() {
    let mut story = storm();
    story.press("4 Space Space R");
    let previewed = plans::replay(3, 0);
    preview(&mut story, previewed.clone());
    story.press("y");
    let (ticket, _) = submitted(&mut story);
    story.press("2").tell(Msg::Done { ticket, result: Ok(plans::receipt(&previewed, 0)) });
    story.press("4").not_see("marked");
}

#[test]
fn waiting_for_a_circuit_is_told_once_and_counts_no_attempt() {
    let mut story = storm();
    story.press("2 j Enter").see("3 attempts");
    let parked = |seq| AttemptRow {
        seq,
        state: State::ConfiguringSync.name(),
        attempt: 4,
        worker: "worker-a".into(),
        started_at: worlds::noon(),
        ended_at: Some(worlds::noon()),
        outcome: Some(AttemptOutcome::Parked),
        operation: None,
        class: None,
        error: None,
        reason: Some("github.create_hook".to_owned()),
        delay_seconds: Some(12.0),
    };
    story.world_with(|world| world.more_attempts.extend((10..13).map(parked)));
    story
        .see("3 attempts")
        .see("parked 3 times in a row")
        .see("circuit github.create_hook is open: asked again in 12 s");
}

#[test]
fn a_dashboard_opened_lately_charts_what_it_knows_and_not_empty_minutes() {
    let mut story = storm();
    story.see("15 min ago");
    story.world_with(|world| {
        let chart = &mut world.signals.as_mut().unwrap().chart;
        chart.drain(..chart.len() - 10);
    });
    story.see("1 min ago");
}
