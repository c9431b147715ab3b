//! Ten things operators come to do, as scripts of keys from the first frame on: each in at most six keys and what has to
//! be typed. `cargo test --test suite -- tui::tasks --nocapture` prints the table.

use redrive::{
    domain::circuit::Forced,
    engine::{
        command::{Command, LeftOut},
        filter::Filter,
        reader::List,
    },
    tui::msg::{Effect, Msg, Previewed},
};

use super::{
    plans, release, replays,
    stories::storm,
    story::Story,
    worlds::{self, World},
};

/// The most keys a task takes; what is typed into a field is not counted.
const MOST: usize = 6;

struct Task {
    what: &'static str,
    keys: &'static str,
    world: World,
    previewed: Option<Previewed>,
    done: fn(&mut Story),
}

fn task(what: &'static str, keys: &'static str, previewed: Option<Previewed>, done: fn(&mut Story)) -> Task {
    Task { what, keys, world: worlds::storm(), previewed, done }
}

/// Presses the keys; whatever preview is asked for is answered at once. Answers how many keys it took.
fn play(task: &Task) -> (Story, usize) {
    let mut story = Story::of(task.world.clone(), (120, 36));
    let mut count = 0;
    for key in task.keys.split_whitespace() {
        story.press(key);
        count += usize::from(!key.starts_with('\''));
        let ticket = story.effects.iter().find_map(|effect| match effect {
            Effect::Preview(ticket, _) => Some(*ticket),
            _ => None,
        });
        if let (Some(ticket), Some(previewed)) = (ticket, &task.previewed) {
            story.effects.clear();
            story.tell(Msg::Preview { ticket, result: Ok(previewed.clone()) });
        }
    }
    (story, count)
}

#[track_caller]
fn command(story: &mut Story) -> Command {
    super::stories::submitted(story).1.command
}

fn tasks() -> Vec<Task> {
    let live = vec![("github.create_hook/on-0002:hook", release::live())];
    let force = plans::force("github.create_hook", Some(Forced::Open), Some(LeftOut::Unreasoned));
    let leave = redrive::engine::command::Elsewhere::Leave;
    let mut running = worlds::storm();
    replays::running(&mut running);
    vec![
        task(
            "find the one of a tenant that failed in CONFIGURING_SYNC",
            "/ 'tenant:acme_status:failed_state:config' Enter Enter",
            None,
            |story| {
                let asked = Filter::parse_for(&List::Onboardings, "tenant:acme status:failed state:config");
                assert_eq!(asked.as_ref(), Ok(&story.model.list().filter));
                story.see("acme · acme/payments").see("failed · CONFIGURING_SYNC");
            },
        ),
        task("resume it", "2 U y", Some(plans::resume("on-0000", leave, None)), |story| {
            assert!(matches!(command(story), Command::Resume { .. }));
        }),
        task("roll one back", "2 B y", Some(plans::roll_back("on-0000")), |story| {
            assert!(matches!(command(story), Command::RollBack { .. }));
        }),
        task(
            "replay a whole error group at 5/s",
            "4 R y '371' Enter Enter Enter",
            Some(plans::replay(412, 41)),
            |story| {
                let Command::Replay { letters, pace } = command(story) else { panic!("a replay") };
                assert_eq!((letters.len(), pace.per_second), (412, 5.0));
            },
        ),
        Task {
            world: running,
            ..task("stop it", "K y", Some(plans::stop("rp-1")), |story| {
                assert!(matches!(command(story), Command::Stop { .. }));
            })
        },
        task("find why a key will not retry", "3 Enter", None, |story| {
            story.see("Will be retried when somebody asks again");
        }),
        task(
            "release it",
            "3 j j L y 'its_host_is_gone' Enter Tab Enter",
            Some(plans::release(live)),
            |story| {
                assert!(matches!(command(story), Command::Release { .. }));
            },
        ),
        task(
            "force a circuit open for 10 min",
            "5 O y 'GitHub_asked' Enter Tab Enter",
            Some(force),
            |story| {
                let command = command(story);
                assert!(matches!(command, Command::Force { to: Some(Forced::Open), seconds: Some(600), .. }));
            },
        ),
        task("see who did what in the last hour", "6 u u", None, |story| {
            story.see("40 s ago ana").see("2 min ago ben");
        }),
        task(
            "copy a command that reproduces it",
            "2 U Y",
            Some(plans::resume("on-0000", leave, None)),
            |story| {
                let copied = story.asked().into_iter().find_map(|effect| match effect {
                    Effect::Copy(text) => Some(text),
                    _ => None,
                });
                assert_eq!(copied.as_deref(), Some("redrive onboardings resume on-0000"));
            },
        ),
    ]
}

#[test]
fn ten_tasks_take_six_keys_each_at_most() {
    let mut table = String::new();
    for task in tasks() {
        let (mut story, count) = play(&task);
        (task.done)(&mut story);
        table.push_str(&format!("{count:>2}  {:<58}  {}\n", task.what, task.keys));
        // To release a key further down takes the way to it.
        let way = task.keys.split_whitespace().filter(|key| *key == "j").count();
        assert!(count - way <= MOST, "{}: {count} keys\n{table}", task.what);
    }
    println!("{table}");
}

#[test]
fn the_first_frame_is_pulse() {
    storm().see("STORM");
}
