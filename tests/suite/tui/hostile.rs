//! Everything from outside is hostile: what reaches the terminal is text and the program's own sequences, nothing else.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use ratatui::{Terminal, TerminalOptions, Viewport, backend::CrosstermBackend, layout::Rect};
use redrive::{
    domain::{
        action::ActionKind,
        fault::Fault,
        id::{
            ActionId, KeyId, LeaseId, LetterId, OnboardingId, OperationName, ReplayId, StateName, WorkerId,
        },
        key::KeyLife,
        letter::LetterStatus,
        onboarding::Request,
        text::is_hostile,
    },
    engine::{
        command::{Elsewhere, LastAction, LeftOut, LifeSign, Refusal, TargetOutcome},
        store::StoreError,
    },
    poll::record::{Encoder, Replica},
    tui::{
        msg::{Effect, Msg, Previewed},
        view,
    },
};
use serde_json::Value;

use super::{
    plans,
    stories::preview,
    story::Story,
    worlds::{self, EVIL, PLACES},
};

/// What a terminal is sent to show `story`.
fn sent(story: &Story) -> Vec<u8> {
    let mut bytes = Vec::new();
    {
        let (columns, rows) = story.model.size;
        let viewport = Viewport::Fixed(Rect::new(0, 0, columns, rows));
        let backend = CrosstermBackend::new(&mut bytes);
        let mut terminal = Terminal::with_options(backend, TerminalOptions { viewport }).expect("a terminal");
        terminal.draw(|frame| view::draw(&story.model, frame)).expect("it draws");
    }
    bytes
}

/// Everything in `bytes` is text that stays in its cell, or moves the cursor, colours, or shows or hides the cursor.
#[track_caller]
fn is_tame(bytes: &[u8], on: &str) {
    let text = std::str::from_utf8(bytes).expect("UTF-8");
    let mut chars = text.chars();
    let mut kinds: BTreeMap<char, usize> = BTreeMap::new();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' {
            assert_eq!(chars.next(), Some('['), "on {on}: no OSC, no DCS, no single escape");
            let last = chars.by_ref().find(|c| ('@'..='~').contains(c)).expect("it ends");
            *kinds.entry(last).or_default() += 1;
        } else {
            assert!(!is_hostile(c), "on {on}: {c:?} is sent");
        }
    }
    for kind in kinds.keys() {
        assert!("mHhl".contains(*kind), "on {on}: a sequence ends with {kind:?}");
    }
}

#[test]
fn a_terminal_gets_no_sequence_that_is_not_the_programs_own() {
    for size in [(80, 24), (120, 36), (200, 50)] {
        for keys in PLACES {
            let mut story = Story::of(worlds::hostile(), size);
            story.press(keys);
            is_tame(&sent(&story), keys);
        }
    }
}

#[test]
fn neither_do_dialogs_messages_and_what_was_typed_bring_any() {
    let evil = worlds::EVIL;
    let mut story = Story::of(worlds::hostile(), (120, 36));
    story.press("2 U");
    preview(&mut story, plans::resume(evil, redrive::engine::command::Elsewhere::Leave, None));
    story.press("Tab Tab").tell(Msg::Paste(evil.to_owned()));
    is_tame(&sent(&story), "a dialog");
    story.press("Esc y");
    is_tame(&sent(&story), "a message");
    for entry in ["/", ":"] {
        story.press(entry).tell(Msg::Paste(evil.to_owned()));
        is_tame(&sent(&story), entry);
        story.press("Enter");
        is_tame(&sent(&story), entry);
        story.press("Esc Esc");
    }
}

/// Every reason why a target is left out that says something of it.
fn reasons() -> Vec<LeftOut> {
    let last =
        || Some(LastAction { operator: EVIL.to_owned(), kind: ActionKind::Replay, at: worlds::noon() });
    let sign = || LifeSign::Heartbeat;
    vec![
        LeftOut::Changed { last: last() },
        LeftOut::InProgress { owner: Some(EVIL.into()) },
        LeftOut::RollBackAsked { last: last() },
        LeftOut::Superseded { by: EVIL.into() },
        LeftOut::UnknownState { state: EVIL.into() },
        LeftOut::Letter { status: LetterStatus::Closed, outcome: None, last: last() },
        LeftOut::NotHeld { life: KeyLife::Freed, last: last() },
        LeftOut::NeedsReason { holder: Some(EVIL.into()), sign: sign() },
        LeftOut::ReplayEnded { stopped: Some(EVIL.to_owned()) },
    ]
}

/// Every refusal that says something of what it met.
fn refusals() -> Vec<Refusal> {
    let (evil, doing) = (|| EVIL.to_owned(), "acting");
    let outcome = |left_out| TargetOutcome { id: evil(), left_out: Some(left_out) };
    let mut refusals: Vec<Refusal> =
        reasons().into_iter().map(|why| Refusal::Nothing(vec![outcome(why)])).collect();
    refusals.push(Refusal::Nothing(reasons().into_iter().map(outcome).collect()));
    let url = |repo_url| Request { tenant_id: evil(), repo_url, workspace_id: Some(evil()) };
    for request in [url(evil()), url("https://github.com/acme/payments".to_owned())] {
        refusals.extend(request.validate().err().map(Refusal::Invalid));
        refusals.extend(
            Request { tenant_id: "acme".to_owned(), ..request }.validate().err().map(Refusal::Invalid),
        );
    }
    refusals.extend(
        [
            StoreError::Unreachable { database: evil(), why: evil() },
            StoreError::NotMigrated { database: evil() },
            StoreError::Denied { doing, why: evil() },
            StoreError::Busy { doing, why: evil() },
            StoreError::Full { doing, why: evil() },
            StoreError::Failed { doing, why: evil() },
        ]
        .map(Refusal::Store),
    );
    refusals
}

#[test]
fn no_refusal_and_no_id_brings_any() {
    let ids: [(&str, String); 9] = [
        ("onboarding", OnboardingId::from(EVIL).to_string()),
        ("letter", LetterId::from(EVIL).to_string()),
        ("replay", ReplayId::from(EVIL).to_string()),
        ("worker", WorkerId::from(EVIL).to_string()),
        ("action", ActionId::from(EVIL).to_string()),
        ("lease", LeaseId::from(EVIL).to_string()),
        ("key", KeyId::from(EVIL).to_string()),
        ("operation", OperationName::from(EVIL).to_string()),
        ("state", StateName::from(EVIL).to_string()),
    ];
    let reasons = reasons().into_iter().map(|why| why.to_string());
    let refusals = refusals().into_iter().map(|refusal| refusal.to_string());
    let fault = Fault::permanent(EVIL).to_string();
    for said in ids.into_iter().map(|(_, said)| said).chain(reasons).chain(refusals).chain([fault]) {
        assert!(!said.contains(is_hostile), "{said:?}");
    }
}

#[test]
fn no_dialog_shows_any_of_what_it_acts_on() {
    let mut dialogs: Vec<(&str, Previewed)> = vec![
        ("2 U", plans::resume(EVIL, Elsewhere::Leave, None)),
        ("2 U", plans::resume(EVIL, Elsewhere::TakeOver, Some(LeftOut::UnknownState { state: EVIL.into() }))),
        ("2 B", plans::roll_back(EVIL)),
        ("3 L", plans::release(vec![(EVIL, None), (EVIL, reasons().pop())])),
    ];
    dialogs
        .extend(reasons().into_iter().map(|why| ("2 U", plans::resume(EVIL, Elsewhere::Leave, Some(why)))));
    for (_, previewed) in &mut dialogs {
        for undo in &mut previewed.plan.undo {
            let of = &mut undo.compensation;
            (of.operation, of.state, of.relied_on_by) = (EVIL.to_owned(), EVIL.into(), Some(EVIL.into()));
        }
    }
    for (keys, previewed) in dialogs {
        let mut story = Story::of(worlds::hostile(), (120, 36));
        story.press(keys);
        preview(&mut story, previewed);
        is_tame(&sent(&story), keys);
    }
    for refusal in refusals() {
        let mut story = Story::of(worlds::hostile(), (120, 36));
        story.press("2 U");
        let asked = story.asked();
        let [Effect::Preview(ticket, _)] = asked.as_slice() else { panic!("{asked:?}") };
        let (ticket, on) = (*ticket, refusal.to_string());
        story.tell(Msg::Preview { ticket, result: Err(refusal) });
        is_tame(&sent(&story), &on);
    }
}

/// Every text in `value`, by where it stands; one name for all rows of a list.
fn places(value: &Value, at: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::String(_) => drop(found.insert(at.to_owned())),
        Value::Array(values) => values.iter().for_each(|value| places(value, &format!("{at}/*"), found)),
        Value::Object(fields) => {
            fields.iter().for_each(|(name, value)| places(value, &format!("{at}/{name}"), found))
        }
        Value::Number(_) | Value::Bool(_) | Value::Null => {}
    }
}

/// The same with something hostile wherever one of `of` stands.
fn poisoned(value: &Value, at: &str, of: &dyn Fn(&str) -> bool) -> Value {
    match value {
        Value::String(text) => Value::String(if of(at) { EVIL.to_owned() } else { text.clone() }),
        Value::Array(values) => values.iter().map(|value| poisoned(value, &format!("{at}/*"), of)).collect(),
        Value::Object(fields) => {
            let field = |(name, value): (&String, &Value)| {
                (name.clone(), poisoned(value, &format!("{at}/{name}"), of))
            };
            fields.iter().map(field).collect()
        }
        other => other.clone(),
    }
}

#[test]
fn a_recording_brings_none_wherever_it_holds_a_text() {
    let read = |line: &Value| Replica::default().picture(line.to_string().as_bytes());
    for keys in PLACES {
        let mut story = Story::of(worlds::storm(), (120, 36));
        story.press(keys);
        let picture = story.world.picture(&story.model.query());
        let mut line: Value = serde_json::from_str(&Encoder::default().line(&picture).unwrap()).unwrap();
        // Ours hold no pages; somebody else's file may.
        let page = picture.board.as_ref().and_then(|board| board.page.as_ref());
        line["board"]["new"]["page"] = serde_json::to_value(page).unwrap();
        line["query"] = serde_json::to_value(&picture.query).unwrap();
        let mut names = BTreeSet::new();
        places(&line, "", &mut names);
        let mut texts = BTreeSet::new();
        for name in names {
            match read(&poisoned(&line, "", &|at| at == name)) {
                Ok(_) => drop(texts.insert(name)),
                Err(error) => assert!(!error.to_string().contains(is_hostile), "on {keys}, {name}: {error}"),
            }
        }
        assert!(texts.len() > 20, "{texts:?}");
        let evil = read(&poisoned(&line, "", &|at| texts.contains(at) && !at.starts_with("/query"))).unwrap();
        story.tell(Msg::Snapshot(evil.into()));
        is_tame(&sent(&story), keys);
    }
}

#[test]
fn rows_that_differ_look_different() {
    let mut world = worlds::storm();
    // Each differs from `acme` by what many programs would not show.
    let twins = [
        "acme",
        "acme\u{200b}",
        "acme\u{202e}",
        "acme\t",
        "acme\n",
        "acme\r",
        "acme\u{7f}",
        "acme\u{ad}",
        "\u{feff}acme",
        "acme\u{e0061}",
        "acme\u{2028}",
        "ac\u{301}me",
        "acme\u{fe0f}",
        "acme\u{1b}",
        "acme\0",
        "acme\u{9b}",
    ];
    world.onboardings.truncate(twins.len());
    for (row, twin) in world.onboardings.iter_mut().zip(twins) {
        *row = redrive::engine::reader::OnboardingRow {
            id: "on-0001".into(),
            tenant_id: redrive::domain::text::SafeText::new(twin),
            ..worlds::onboarding(0, None, redrive::domain::onboarding::State::Received)
        };
    }
    let mut story = Story::of(world, (160, 40));
    story.press("2");
    let screen = story.screen();
    let rows: Vec<&str> = screen.lines().filter(|line| line.contains("payments")).collect();
    assert_eq!(rows.len(), twins.len(), "{screen}");
    // The cursor's sign is no difference.
    let looks: HashSet<String> = rows.iter().map(|row| row.replace('▌', " ")).collect();
    assert_eq!(looks.len(), twins.len(), "{screen}");
}

#[test]
fn a_key_of_ten_thousand_characters_is_cut_in_the_list_and_copied_whole() {
    let mut world = worlds::hostile();
    let long = format!("github.create_hook/{}", "k".repeat(10_000));
    world.keys[0].key = long.as_str().into();
    let mut story = Story::of(world, (120, 36));
    story.press("3 y");
    let copied = story.asked().into_iter().find_map(|effect| match effect {
        redrive::tui::msg::Effect::Copy(text) => Some(text),
        _ => None,
    });
    assert_eq!(copied, Some(long), "an action means the whole");
    story.press("Esc").see("…");
    story.press("Enter");
    is_tame(&sent(&story), "its page");
}

#[test]
fn long_keys_that_differ_only_in_the_middle_look_different() {
    for (size, length) in [((80, 24), 100), ((120, 36), 100), ((120, 36), 10_000)] {
        let mut world = worlds::storm();
        world.keys.truncate(3);
        for (n, row) in world.keys.iter_mut().enumerate() {
            row.key = format!("{}{n}{}", "k".repeat(length / 2), "y".repeat(length / 2)).into();
        }
        let mut story = Story::of(world, size);
        story.press("3");
        let screen = story.screen();
        let looks: HashSet<&str> = screen
            .lines()
            .filter_map(|line| line.split_whitespace().find(|word| word.starts_with("kk")))
            .collect();
        assert_eq!(looks.len(), 3, "{screen}");
    }
}
