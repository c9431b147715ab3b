//! `D` and `K`: letters are set aside and opened again, and a running replay is watched and stopped.

use redrive::{
    domain::letter::LetterStatus,
    engine::{command::Command, filter::Filter, reader::ReplayRow},
    tui::msg::{Effect, Msg, Wish},
};

use super::{
    plans,
    stories::{storm, submitted},
    story::Story,
    worlds::{self, World},
};

pub(super) fn running(world: &mut World) {
    world.board.as_mut().expect("the storm has a board").replays.push(ReplayRow {
        id: "rp-1".into(),
        operator: "ana".into(),
        created_at: worlds::noon(),
        per_second: 5.0,
        total: 371,
        succeeded: 12,
        failed_again: 3,
        new_errors: 0,
        skipped: 0,
        open_again: 0,
        dispatched: 20,
        waiting: 356,
        refail_limit: 0.2,
        held_by: None,
        stopped: None,
        reason: None,
        ended_at: None,
        version: 15,
    });
}

#[test]
fn a_running_replay_says_what_its_letters_came_to() {
    let mut story = storm();
    story.press("4").world_with(running);
    story.see("ana of 371: 12 succeeded, 3 failed again, 356 waiting 5.0/s: K stops it");
    let told = |story: &mut Story, change: fn(&mut ReplayRow), said: &str| {
        story.world_with(|world| change(&mut world.board.as_mut().unwrap().replays[0])).see(said);
    };
    told(&mut story, |row| (row.dispatched, row.succeeded, row.failed_again) = (0, 0, 0), "one goes first");
    told(&mut story, |row| row.dispatched = 1, "the first is on its way");
    story.world_with(|world| {
        let row = &mut world.board.as_mut().unwrap().replays[0];
        (row.succeeded, row.failed_again) = (12, 3);
    });
    told(&mut story, |row| (row.dispatched, row.skipped) = (11, 2), "2 left out, 356 waiting ten go next");
    let held = "waits for github.create_hook";
    told(&mut story, |row| row.held_by = Some("github.create_hook".into()), held);
    told(&mut story, |row| row.stopped = Some("by ben".into()), "stopped: by ben");
    told(&mut story, |row| row.open_again = 351, "2 left out, 351 open again, 356 waiting stopped: by ben");
    told(&mut story, |row| row.new_errors = 2, "3 failed again, 2 of them with a new error");
}

#[test]
fn a_running_replay_is_stopped_from_the_letters_and_from_pulse() {
    for view in ["4", "1"] {
        let mut story = storm();
        story.world_with(running).press(view).press("K");
        let asked = story.asked();
        let [Effect::Preview(ticket, Wish::Stop(target))] = asked.as_slice() else { panic!("{asked:?}") };
        assert_eq!((target.id.as_str(), target.seen), ("rp-1", Some(15)));
        story.tell(Msg::Preview { ticket: *ticket, result: Ok(plans::stop("rp-1")) });
        story.see("what it has begun goes on").press("y");
        let (ticket, submission) = submitted(&mut story);
        assert!(matches!(submission.command, Command::Stop { .. }), "{submission:?}");
        story.tell(Msg::Done { ticket, result: Ok(plans::receipt(&plans::stop("rp-1"), 0)) });
        story.see("replay stopped: what it has begun goes on");
    }
}

#[test]
fn there_is_nothing_to_stop_when_no_replay_runs() {
    let mut story = storm();
    story.press("4 K").see("no replay is running");
    assert_eq!(story.asked(), []);
    story.world_with(running).world_with(|world| {
        world.board.as_mut().unwrap().replays[0].stopped = Some("by ben".into());
    });
    story.press("K").see("no replay is running");
    assert_eq!(story.asked(), []);
}

#[test]
fn a_groups_letters_are_discarded_together() {
    let mut story = storm();
    story.press("4 D");
    let asked = story.asked();
    let [Effect::Preview(ticket, Wish::DiscardGroups(groups))] = asked.as_slice() else {
        panic!("{asked:?}")
    };
    assert_eq!(groups.len(), 1);
    let plan = plans::discard(&["lt-0000", "lt-0001"]);
    story.tell(Msg::Preview { ticket: *ticket, result: Ok(plan.clone()) }).see("Discard?").press("y");
    let (ticket, submission) = submitted(&mut story);
    assert!(
        matches!(&submission.command, Command::Discard { letters } if letters.len() == 2),
        "{submission:?}"
    );
    story.tell(Msg::Done { ticket, result: Ok(plans::receipt(&plan, 0)) }).see("2 dead letters discarded");
}

#[test]
fn the_same_key_opens_again_what_was_set_aside() {
    let mut story = storm();
    story.press("4 z").world_with(|world| world.letters[0].status = LetterStatus::Quarantined);
    story.see("quarantined").press("D");
    let asked = story.asked();
    let [.., Effect::Preview(_, Wish::Restore(letters))] = asked.as_slice() else { panic!("{asked:?}") };
    assert_eq!(letters.len(), 1);
    story.press("Esc j D");
    let asked = story.asked();
    let [.., Effect::Preview(_, Wish::Discard(letters))] = asked.as_slice() else { panic!("{asked:?}") };
    assert_eq!(letters.len(), 1);
}

#[test]
fn a_filter_that_groups_cannot_tell_shows_the_letters_one_by_one_and_leads_back() {
    for filter in ["/ 'status:discarded' Enter", ": 'filter_status:discarded' Enter"] {
        let mut story = storm();
        story.press("4").world_with(|world| {
            world.letters.truncate(2);
            world.letters.iter_mut().for_each(|letter| letter.status = LetterStatus::Discarded);
        });
        story.press(filter).see("filter status:discarded").not_see("dead letters by error");
        assert_eq!(story.snapshot().query.filter, Filter::parse("status:discarded").unwrap());
        story.press("D");
        let asked = story.asked();
        let [.., Effect::Preview(_, Wish::Restore(letters))] = asked.as_slice() else { panic!("{asked:?}") };
        assert_eq!(letters.len(), 1);
        story.press("Esc Esc").see("dead letters by error").not_see("filter status:discarded");
    }
    storm().press("4 / 'error:503' Enter").see("dead letters by error").see("filter error:503");
}
