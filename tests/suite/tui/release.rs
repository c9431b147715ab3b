//! `L`: a stale key is let go by one key, one whose holder may be at work takes a reason, what nobody holds stays.

use redrive::{
    domain::key::KeyLife,
    engine::{
        Access,
        command::{Command, LeftOut, LifeSign},
    },
    tui::{
        dialog::Focus,
        msg::{Effect, Msg, Wish},
    },
};

use super::{
    plans,
    stories::{preview, storm, submitted},
    story::Story,
    worlds,
};

const WIDE: (u16, u16) = (120, 36);
const HOOK: &str = "github.create_hook/on-0000:hook";

pub(super) fn live() -> Option<LeftOut> {
    let until = worlds::noon() + chrono::TimeDelta::seconds(22);
    Some(LeftOut::NeedsReason { holder: Some("worker-a".into()), sign: LifeSign::Lease { until } })
}

fn free() -> Option<LeftOut> {
    let last = redrive::engine::command::LastAction {
        kind: redrive::domain::action::ActionKind::Release,
        ..plans::by_ben()
    };
    Some(LeftOut::NotHeld { life: KeyLife::Freed, last: Some(last) })
}

#[test]
fn a_stale_key_is_released_by_one_key_and_is_pending_until_it_is_seen_free() {
    let mut story = storm();
    story.press("3 L");
    let asked = story.asked();
    let [Effect::Preview(ticket, Wish::Release(keys))] = asked.as_slice() else { panic!("{asked:?}") };
    assert_eq!((keys.len(), keys[0].id.as_str(), keys[0].seen), (1, HOOK, Some(2)));
    story.tell(Msg::Preview { ticket: *ticket, result: Ok(plans::release(vec![(HOOK, None)])) });
    story.see("Release?").see(HOOK).see("will be released").see("runs the work again").press("y");
    let (ticket, submission) = submitted(&mut story);
    assert_eq!(submission.reason, None);
    assert!(matches!(&submission.command, Command::Release { keys } if keys[0].id.as_str() == HOOK));
    story.see("pending release");
    let receipt = plans::receipt(&plans::release(vec![(HOOK, None)]), 0);
    story.tell(Msg::Done { ticket, result: Ok(receipt) }).see("1 key released");
}

#[test]
fn a_live_key_is_released_only_with_a_reason() {
    let mut story = storm();
    story.press("3 j j L");
    preview(&mut story, plans::release(vec![("github.create_hook/on-0002:hook", live())]));
    story
        .see("worker-a holds it, with a lease until 14:02:53 UTC: give a reason to release it all the same")
        .see("reason, needed here:")
        .not_see("nothing would run");
    story.press("y").see("not yet: a reason has to be typed first");
    assert_eq!(story.asked(), [], "not without a reason");
    assert_eq!(story.model.dialog.as_ref().map(|dialog| dialog.focus), Some(Focus::Reason));
    story.press("Space Space Enter Tab Enter").see("not yet: a reason has to be typed first");
    assert_eq!(story.asked(), [], "blanks are no reason");
    story.press("'its_host_is_gone' Enter Tab Enter");
    let (_, submission) = submitted(&mut story);
    assert_eq!(submission.reason.as_deref(), Some("its host is gone"));
    story.see("pending release");
}

#[test]
fn what_nobody_holds_is_refused_with_the_word_for_it() {
    let mut story = storm();
    story.press("3 j j j L");
    preview(&mut story, plans::release(vec![("github.create_hook/on-0003:hook", free())]));
    story
        .see("left out: not held: free, the next request runs, released by ben at 14:02:11 UTC")
        .see("nothing would run")
        .press("y Tab Enter");
    assert_eq!(story.asked(), []);
    assert!(story.model.dialog.is_none(), "Cancel was all there was");
}

#[test]
fn a_read_only_dashboard_has_no_such_key() {
    let mut story = Story::with(worlds::storm(), WIDE, Access::ReadOnly);
    story.press("3").not_see("L release").press("L").see("this dashboard is read-only");
    story.press("Esc Enter").not_see("L releases it").press("L").see("this dashboard is read-only");
    assert_eq!(story.asked(), []);
    assert!(story.model.dialog.is_none());
    storm().press("3").see("L release");
}

#[test]
fn marked_keys_go_together_and_the_count_to_type_has_those_that_need_a_reason() {
    let mut story = storm();
    story.press("3 Space Space Space L").see("3 marked idempotency keys");
    let asked = story.asked();
    let [Effect::Preview(ticket, Wish::Release(keys))] = asked.as_slice() else { panic!("{asked:?}") };
    assert_eq!(keys.iter().filter(|key| key.seen == Some(2)).count(), 3);
    let ids: Vec<String> = (0..25).map(|n| format!("pay/{n:02}")).collect();
    let lines = ids.iter().enumerate().map(|(n, id)| match n {
        0..4 => (id.as_str(), live()),
        4 => (id.as_str(), free()),
        _ => (id.as_str(), None),
    });
    let previewed = plans::release(lines.collect());
    story.tell(Msg::Preview { ticket: *ticket, result: Ok(previewed.clone()) });
    story
        .see("25 selected: 20 will be released, 4 only with a reason")
        .see("4 worker-a holds it, with a lease until 14:02:53 UTC: give a reason")
        .see("1 left out: not held: free")
        .see("type 24 to confirm:")
        .see("pay/00 (with a reason)")
        .not_see("pay/04 ");
    story.press("Tab Tab '24' Enter Enter Enter").see("a reason has to be typed first");
    assert_eq!(story.asked(), []);
    story.press("'the_pod_was_killed' Enter Enter");
    let (ticket, _) = submitted(&mut story);
    story.tell(Msg::Done { ticket, result: Ok(plans::receipt(&plans::reasoned(previewed), 1)) });
    story.see("23 keys released").see("1 left out: changed since you looked: replayed by ben");
}

#[test]
fn a_marked_key_that_changed_is_struck_through() {
    let mut story = storm();
    story.press("3 Space").see("1 marked");
    story.world_with(|world| world.keys[0].version += 1).see("1 of them changed since");
}

#[test]
fn a_keys_page_says_what_a_release_takes_and_opens_what_stands_behind_it() {
    let mut story = storm();
    story.press("3 Enter").see("worker-a, shows no heartbeat here").see("L releases it").press("L");
    let asked = story.asked();
    assert!(
        matches!(asked.as_slice(), [Effect::Preview(_, Wish::Release(keys))] if keys[0].id.as_str() == HOOK)
    );
    let mut story = storm();
    story.press("3 j j Enter").see("worker-a, shows a heartbeat").see("L releases it, with a reason");
    story.see("41 %, of 1,204 asked in the last 5 min").see("content-type, location");
    story.press("Enter").see("onboarding on-0002");
    storm().press("3 j j j j Enter").see("not held").not_see("L releases it");
}

#[test]
fn elsewhere_the_key_says_where_keys_are() {
    let mut story = storm();
    for place in ["1", "2", "4", "5", "6"] {
        story.press(place).press("L").see("no key to release here: 3 Keys has them");
    }
    assert_eq!(story.asked(), []);
    story.press("3 : 'rel' Enter");
    assert!(matches!(story.asked().as_slice(), [Effect::Preview(_, Wish::Release(_))]));
}

#[test]
fn what_was_asked_of_keys_stands_below_them_and_is_never_a_zero_nobody_told() {
    storm()
        .press("3")
        .see("7 unprotected")
        .see("1 answer not stored")
        .see("4 of 5 operations")
        .see("payments.charge 90 20 % 31 1 4 3 7");
    let mut story = Story::of(worlds::empty(), WIDE);
    story.press("3").see("hit ratio n/a: no target tells of keys");
    let mut story = Story::of(worlds::calm(), WIDE);
    story.press("3").see("intake 412 8 % 0 0 0 0 0").not_see("· 0 unprotected");
}
