//! What has to be true of one onboarding once everything is over, whatever happened on the way.

use std::collections::BTreeMap;

use redrive::{
    demo::upstreams::ledger::{Applied, Effect, Entry},
    domain::id::OnboardingId,
};

use super::world::World;

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Completed,
    RolledBack,
}

/// Everything that is not as it has to be.
pub(super) async fn complaints(world: &World, id: &OnboardingId, end: End) -> Vec<String> {
    let mut found = Vec::new();
    let mut expect = |what: &str, is: String, should: &str| {
        if is != should {
            found.push(format!("{what}: {is}, not {should}"));
        }
    };
    let store = &world.store;
    let of = |query: &str| query.replace('?', &format!("'{id}'"));
    let status = store.cell(&of("SELECT status FROM onboarding_history WHERE id = ?")).await;
    let (word, made, standing) = match end {
        End::Completed => ("completed", "1", "1"),
        End::RolledBack => ("failed_cleaned_up", "0", "0"),
    };
    expect("status", status, word);
    for (what, query) in [
        ("work left", "SELECT count(*) FROM redrive_work WHERE subject_id = ?"),
        (
            "open attempts",
            "SELECT count(*) FROM redrive_attempts WHERE onboarding_id = ? AND outcome IS NULL",
        ),
        (
            "keys left in flight",
            "SELECT count(*) FROM idempotency_keys WHERE onboarding_id = ? AND status = 'STARTED'",
        ),
        ("letters", "SELECT count(*) FROM redrive_dead_letters WHERE onboarding_id = ? AND status = 'open'"),
        (
            "compensations undecided",
            match end {
                End::Completed => {
                    "SELECT count(*) FROM redrive_compensations WHERE onboarding_id = ? AND ended_at IS NOT NULL"
                }
                End::RolledBack => {
                    "SELECT count(*) FROM redrive_compensations WHERE onboarding_id = ? AND status NOT IN ('undone', 'nothing_to_undo')"
                }
            },
        ),
    ] {
        expect(what, store.cell(&of(query)).await, "0");
    }
    // Every subtask of REGISTERING is an entity, once; undone, none is left and nobody owns one.
    let subtasks = store
        .cell(&of(
            "SELECT count(*) FROM onboarding_progress WHERE onboarding_id = ? AND state = 'REGISTERING'",
        ))
        .await;
    let owned = store.cell(&of("SELECT count(*) FROM redrive_entity_owners WHERE onboarding_id = ?")).await;
    let entities = store.cell("SELECT count(*) FROM entities").await;
    match end {
        End::Completed => {
            expect("entities owned", owned, &subtasks);
            expect("entities", entities.clone(), &subtasks);
            expect("entities are some", (entities != "0").to_string(), "true");
        }
        End::RolledBack => {
            expect("entities owned", owned, "0");
            expect("entities", entities, "0");
            expect("relationships", store.cell("SELECT count(*) FROM entity_relationships").await, "0");
        }
    }
    // Other systems: each effect at most once by its key, and what stands is what should.
    let entries: Vec<Entry> =
        world.upstreams.ledger.entries().into_iter().filter(|e| e.applied == Applied::Applied).collect();
    let mut by_key: BTreeMap<(String, String), usize> = BTreeMap::new();
    for entry in &entries {
        let key = entry.idempotency_key.clone().or_else(|| entry.id.clone()).unwrap_or_default();
        *by_key.entry((format!("{:?}", entry.effect), key)).or_default() += 1;
    }
    for ((effect, key), times) in by_key {
        expect(&format!("{effect} under {key}"), times.to_string(), "1");
    }
    let count = |effect: Effect| entries.iter().filter(|entry| entry.effect == effect).count();
    let counts = world.upstreams.ledger.counts();
    expect("hooks standing", counts.hooks.to_string(), standing);
    expect("notifications standing", counts.notifications.to_string(), standing);
    expect("hooks never undone", (count(Effect::HookCreated) - count(Effect::HookDeleted)).to_string(), made);
    expect(
        "notifications never undone",
        (count(Effect::NotificationCreated) - count(Effect::NotificationDeleted)).to_string(),
        made,
    );
    if end == End::Completed {
        expect("announcements", count(Effect::Announced).to_string(), "1");
    }
    // Last in, first out: the order of undoing is the order of doing reversed.
    let subject = |effects: [Effect; 2]| -> Vec<Effect> {
        entries.iter().map(|entry| entry.effect).filter(|effect| effects.contains(effect)).collect()
    };
    let created = subject([Effect::NotificationCreated, Effect::HookCreated]);
    let mut deleted = subject([Effect::NotificationDeleted, Effect::HookDeleted]);
    deleted.reverse();
    let undone: Vec<Effect> = created
        .iter()
        .map(
            |made| {
                if *made == Effect::HookCreated { Effect::HookDeleted } else { Effect::NotificationDeleted }
            },
        )
        .collect();
    if end == End::RolledBack {
        expect("undone in reverse", format!("{deleted:?}"), &format!("{undone:?}"));
    }
    let ended = of(
        "SELECT seq FROM redrive_compensations WHERE onboarding_id = ? AND ended_at IS NOT NULL ORDER BY ended_at, seq DESC",
    );
    let seqs = store.column(&ended).await;
    let mut reversed = seqs.clone();
    reversed.sort_by_key(|seq| std::cmp::Reverse(seq.parse::<i64>().unwrap_or_default()));
    expect("compensations ended in reverse", seqs.join(" "), &reversed.join(" "));
    // The audit: what the operator asked for and nothing else.
    let actions = store.column("SELECT kind FROM redrive_operator_actions ORDER BY at, id").await;
    expect(
        "actions in the audit",
        actions.join(" "),
        match end {
            End::Completed => "trigger",
            End::RolledBack => "trigger roll_back",
        },
    );
    found
}
