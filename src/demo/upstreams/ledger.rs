//! What was done to the stand-ins: every effect with its key, what stands now, and who asked how often.
//!
//! The proof of the demo: a retry storm, a crash or a replay must not leave two hooks here.

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    sync::{Mutex, PoisonError},
};

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::{clock, domain::word::words};

/// Entries kept; older ones are forgotten, counts stay.
const MAX_ENTRIES: usize = 20_000;

/// Keys remembered to recognise a repetition.
const MAX_KEYS: usize = 200_000;

/// Callers counted apart; more are counted as `other`.
const MAX_CALLERS: usize = 100;

words!(
    /// What was done.
    Effect, "effect", {
        /// A webhook was created on a repository.
        HookCreated = "hook_created",
        /// A webhook was deleted.
        HookDeleted = "hook_deleted",
        /// A notification configuration was created on a workspace.
        NotificationCreated = "notification_created",
        /// A notification configuration was deleted.
        NotificationDeleted = "notification_deleted",
        /// An announcement arrived.
        Announced = "announced",
    }
);

words!(
    /// Whether asking changed anything.
    Applied, "application", {
        /// It changed something.
        Applied = "applied",
        /// The same had been done already: it changed nothing.
        Repeated = "repeated",
    }
);

/// One request for an effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// When.
    pub at: DateTime<Utc>,
    /// What.
    pub effect: Effect,
    /// The repository `OWNER/NAME`, the workspace `ws-…`, or the announced repository.
    pub subject: String,
    /// The hook's or notification's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The `Idempotency-Key` it came with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// Who asked.
    pub caller: String,
    /// Whether it changed anything.
    pub applied: Applied,
}

/// Who asks for what, and under which key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asker {
    pub(super) caller: String,
    pub(super) key: Option<String>,
}

/// A hook as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StandingHook {
    /// Its number.
    pub id: u64,
    /// `OWNER/NAME`.
    pub repository: String,
    /// Where it calls.
    pub url: String,
    /// What it calls for.
    pub events: Vec<String>,
    /// Since when.
    pub created_at: DateTime<Utc>,
}

/// A notification configuration as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StandingNotification {
    /// `nc-…`.
    pub id: String,
    /// `ws-…`.
    pub workspace: String,
    /// Its name.
    pub name: String,
    /// Where it calls.
    pub url: String,
    /// What it calls for.
    pub triggers: Vec<String>,
    /// Since when.
    pub created_at: DateTime<Utc>,
}

/// How much stands now, and how much was ever asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Hooks that stand.
    pub hooks: usize,
    /// Notification configurations that stand.
    pub notifications: usize,
    /// Announcements that arrived, repetitions left out.
    pub announcements: u64,
    /// Requests for an effect that changed nothing.
    pub repeated: u64,
}

/// How often one caller asked for one operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CallerCount {
    /// `x-caller`, else the product in `User-Agent`.
    pub caller: String,
    /// `github.create_hook`.
    pub operation: String,
    /// Requests.
    pub requests: u64,
    /// Those that were not answered with a 2xx or 3xx, or not at all.
    pub failed: u64,
}

/// The book; shared and safe to read while the stand-ins write.
#[derive(Debug, Default)]
pub struct Ledger(Mutex<Book>);

#[derive(Debug, Default)]
struct Book {
    entries: VecDeque<Entry>,
    hooks: BTreeMap<u64, StandingHook>,
    notifications: BTreeMap<String, StandingNotification>,
    keys: HashSet<(Effect, String)>,
    callers: BTreeMap<(String, String), (u64, u64)>,
    names: HashSet<String>,
    counts: Counts,
    last_id: u64,
}

impl Ledger {
    /// Every entry kept, oldest first.
    pub fn entries(&self) -> Vec<Entry> {
        self.locked(|book| book.entries.iter().cloned().collect())
    }

    /// The hooks that stand, by id.
    pub fn hooks(&self) -> Vec<StandingHook> {
        self.locked(|book| book.hooks.values().cloned().collect())
    }

    /// The notification configurations that stand, by id.
    pub fn notifications(&self) -> Vec<StandingNotification> {
        self.locked(|book| book.notifications.values().cloned().collect())
    }

    /// How much stands now, and how much was ever asked for.
    pub fn counts(&self) -> Counts {
        self.locked(|book| Counts {
            hooks: book.hooks.len(),
            notifications: book.notifications.len(),
            ..book.counts
        })
    }

    /// Requests by caller and operation.
    pub fn callers(&self) -> Vec<CallerCount> {
        self.locked(|book| {
            let count =
                |((caller, operation), (requests, failed)): (&(String, String), &(u64, u64))| CallerCount {
                    caller: caller.clone(),
                    operation: operation.clone(),
                    requests: *requests,
                    failed: *failed,
                };
            book.callers.iter().map(count).collect()
        })
    }

    /// Creates a hook; `None` where one of the repository calls the same URL.
    pub(super) fn create_hook(
        &self,
        repository: &str,
        url: &str,
        events: Vec<String>,
        asker: &Asker,
    ) -> Option<StandingHook> {
        self.locked(|book| {
            let same = book.hooks.values().find(|hook| hook.repository == repository && hook.url == url);
            if let Some(id) = same.map(|hook| hook.id.to_string()) {
                book.enter(Effect::HookCreated, repository, Some(id), asker, Applied::Repeated);
                return None;
            }
            book.last_id += 1;
            let hook = StandingHook {
                // Well above the hooks some repositories have from the beginning.
                id: 10_000 + book.last_id,
                repository: repository.to_owned(),
                url: url.to_owned(),
                events,
                created_at: clock::now(),
            };
            book.hooks.insert(hook.id, hook.clone());
            book.enter(Effect::HookCreated, repository, Some(hook.id.to_string()), asker, Applied::Applied);
            Some(hook)
        })
    }

    /// Deletes a hook; `false` where it does not stand.
    pub(super) fn delete_hook(&self, repository: &str, id: u64, asker: &Asker) -> bool {
        self.locked(|book| {
            let there = book.hooks.get(&id).is_some_and(|hook| hook.repository == repository);
            if there {
                book.hooks.remove(&id);
            }
            let applied = if there { Applied::Applied } else { Applied::Repeated };
            book.enter(Effect::HookDeleted, repository, Some(id.to_string()), asker, applied);
            there
        })
    }

    /// Creates a notification configuration: Terraform Cloud allows any number of the same.
    pub(super) fn create_notification(
        &self,
        workspace: &str,
        name: &str,
        url: &str,
        triggers: Vec<String>,
        asker: &Asker,
    ) -> StandingNotification {
        self.locked(|book| {
            book.last_id += 1;
            let notification = StandingNotification {
                id: format!("nc-{:016}", book.last_id),
                workspace: workspace.to_owned(),
                name: name.to_owned(),
                url: url.to_owned(),
                triggers,
                created_at: clock::now(),
            };
            book.notifications.insert(notification.id.clone(), notification.clone());
            let id = Some(notification.id.clone());
            book.enter(Effect::NotificationCreated, workspace, id, asker, Applied::Applied);
            notification
        })
    }

    /// Deletes a notification configuration; `false` where it does not stand.
    pub(super) fn delete_notification(&self, id: &str, asker: &Asker) -> bool {
        self.locked(|book| {
            let gone = book.notifications.remove(id);
            let workspace = gone.as_ref().map_or("unknown", |notification| notification.workspace.as_str());
            let applied = if gone.is_some() { Applied::Applied } else { Applied::Repeated };
            book.enter(Effect::NotificationDeleted, workspace, Some(id.to_owned()), asker, applied);
            gone.is_some()
        })
    }

    /// Takes an announcement about `subject`; the same key again changes nothing.
    pub(super) fn announce(&self, subject: &str, asker: &Asker) -> Applied {
        self.locked(|book| {
            let seen =
                asker.key.as_ref().is_some_and(|key| book.keys.contains(&(Effect::Announced, key.clone())));
            let applied = if seen { Applied::Repeated } else { Applied::Applied };
            book.counts.announcements += u64::from(!seen);
            book.enter(Effect::Announced, subject, None, asker, applied);
            applied
        })
    }

    /// Counts one request.
    pub(super) fn count(&self, caller: &str, operation: &str, failed: bool) {
        self.locked(|book| {
            let known = book.names.contains(caller);
            let caller = match known || book.names.len() < MAX_CALLERS {
                true => caller,
                false => "other",
            };
            if !known {
                book.names.insert(caller.to_owned());
            }
            let counts = book.callers.entry((caller.to_owned(), operation.to_owned())).or_default();
            counts.0 += 1;
            counts.1 += u64::from(failed);
        });
    }

    fn locked<T>(&self, act: impl FnOnce(&mut Book) -> T) -> T {
        // A panic under this lock leaves at most one effect without its entry.
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Book {
    fn enter(&mut self, effect: Effect, subject: &str, id: Option<String>, asker: &Asker, applied: Applied) {
        if let Some(key) = &asker.key {
            if self.keys.len() >= MAX_KEYS {
                self.keys.clear();
            }
            self.keys.insert((effect, key.clone()));
        }
        self.counts.repeated += u64::from(applied == Applied::Repeated);
        if self.entries.len() == MAX_ENTRIES {
            self.entries.pop_front();
        }
        self.entries.push_back(Entry {
            at: clock::now(),
            effect,
            subject: subject.to_owned(),
            id,
            idempotency_key: asker.key.clone(),
            caller: asker.caller.clone(),
            applied,
        });
    }
}
