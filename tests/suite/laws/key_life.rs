//! Any sequence of what callers and time can do to a key, on every store, against `domain::key`'s table step by step.

use std::time::Duration;

use proptest::{prelude::*, test_runner::TestRunner};
use redrive::{
    clock,
    domain::{
        id::LeaseId,
        key::{KeyAsked, KeyEvent, KeyLease, KeyLife, KeyPhase, KeyRun},
    },
    engine::key::{Answer, Hold, KeyBegun, KeyEnd, KeyIntent},
};

use crate::support::keys::TestKeys;

memory_laws!(every_answer_follows_from_the_table; databases:);

const CASES: u32 = 40;
const LEASE: Duration = Duration::from_secs(30);
/// Shorter than a lease, and longer.
const RETENTIONS: [Duration; 2] = [Duration::from_secs(10), Duration::from_secs(90)];
const HOLDERS: usize = 3;

#[derive(Debug, Clone)]
enum Deed {
    /// With a lease of its own making, or again with its last one.
    Begin {
        holder: usize,
        again: bool,
        request: usize,
        retention: usize,
    },
    Keep {
        holder: usize,
    },
    End {
        holder: usize,
        end: KeyEnd,
    },
    /// In seconds: less than a lease, the rest of one, past a retention.
    Pass {
        seconds: u64,
    },
    Sweep,
}

fn deed() -> impl Strategy<Value = Deed> {
    let holder = 0..HOLDERS;
    let answer = prop::collection::vec(any::<u8>(), 0..6).prop_map(|body| Answer::new(200, body));
    let end = prop_oneof![
        answer.clone().prop_map(KeyEnd::Completed),
        answer.prop_map(KeyEnd::Failed),
        Just(KeyEnd::Freed),
        Just(KeyEnd::FailedStorage),
    ];
    prop_oneof![
        6 => (holder.clone(), prop::bool::weighted(0.3), prop::sample::select(vec![0, 0, 0, 1]), 0..RETENTIONS.len())
            .prop_map(|(holder, again, request, retention)| Deed::Begin { holder, again, request, retention }),
        2 => holder.clone().prop_map(|holder| Deed::Keep { holder }),
        4 => (holder, end).prop_map(|(holder, end)| Deed::End { holder, end }),
        4 => prop::sample::select(vec![1, 9, 10, 20, 30, 31, 89, 90, 200]).prop_map(|seconds| Deed::Pass { seconds }),
        1 => Just(Deed::Sweep),
    ]
}

/// What a store remembers of a key.
#[derive(Debug, Clone)]
struct Row {
    phase: KeyPhase,
    request: usize,
    lease: LeaseId,
    run: KeyRun,
    lease_until: Duration,
    expires_at: Duration,
    answer: Option<Answer>,
    attempts: u32,
}

/// The table, with the instants it needs.
struct Model {
    now: Duration,
    row: Option<Row>,
    forgets_by_itself: bool,
}

impl Model {
    fn life(&self, row: &Row) -> KeyLife {
        let lease = match row.phase {
            KeyPhase::Started if row.lease_until > self.now => KeyLease::Live,
            KeyPhase::Started => KeyLease::Over,
            _ => KeyLease::Absent,
        };
        let (answered, expired) = (row.answer.is_some(), row.expires_at <= self.now);
        KeyLife::of(Some(row.phase.status()), Some(row.phase), lease, answered, expired)
    }

    fn forget(&mut self) {
        self.row = self.row.take().filter(|row| self.life(row) != KeyLife::Fresh);
    }

    fn pass(&mut self, by: Duration) {
        self.now += by;
        if self.forgets_by_itself {
            self.forget();
        }
    }

    fn begin(&mut self, hold: &Hold, request: usize) -> KeyBegun {
        let (lease_until, expires_at) = (self.now + hold.lasts, self.now + hold.retention);
        let (run, attempts) = match self.row.clone() {
            None => (KeyRun::New, 1),
            Some(row) if row.phase == KeyPhase::Started && row.lease == hold.lease => {
                self.row = Some(Row { lease_until, ..row.clone() });
                return KeyBegun::Run(row.run);
            }
            Some(row) => {
                let life = self.life(&row);
                if life != KeyLife::Fresh && row.request != request {
                    return KeyBegun::Mismatch;
                }
                match life.asked() {
                    KeyAsked::Run(KeyRun::New) => (KeyRun::Reused, 1),
                    KeyAsked::Run(run) => (run, row.attempts + 1),
                    KeyAsked::Replay => return KeyBegun::Replay(row.answer.expect("it is stored")),
                    KeyAsked::Wait => {
                        return KeyBegun::InFlight { retry_after: Some(row.lease_until - self.now) };
                    }
                }
            }
        };
        let (phase, lease) = (KeyPhase::Started, hold.lease.clone());
        self.row = Some(Row { phase, request, lease, run, lease_until, expires_at, answer: None, attempts });
        KeyBegun::Run(run)
    }

    fn keep(&mut self, hold: &Hold) -> bool {
        let lease_until = self.now + hold.lasts;
        let ours = self.row.as_mut().filter(|row| row.phase == KeyPhase::Started && row.lease == hold.lease);
        ours.map(|row| row.lease_until = lease_until).is_some()
    }

    fn end(&mut self, hold: &Hold, end: &KeyEnd) -> bool {
        let (now, expires_at) = (self.now, self.now + hold.retention);
        let Some(row) = self.row.as_mut().filter(|row| row.lease == hold.lease) else { return false };
        if row.phase == KeyPhase::Started {
            // The retention matters to those who ask: to its holder the key is its own until it is forgotten.
            let life = if row.lease_until > now { KeyLife::InFlight } else { KeyLife::LeaseOver };
            assert!(life.next(KeyEvent::Ended(end.phase())).is_some());
            (row.phase, row.answer, row.expires_at) = (end.phase(), end.answer().cloned(), expires_at);
        }
        true
    }
}

async fn every_answer_follows_from_the_table(store: TestKeys) {
    let runtime = tokio::runtime::Handle::current();
    let config = ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() };
    let running = tokio::task::spawn_blocking(move || {
        TestRunner::new(config)
            .run(&prop::collection::vec(deed(), 1..40), |deeds| runtime.block_on(play(&store, &deeds)))
    });
    if let Err(error) = running.await.expect("it runs to its end") {
        panic!("{error}");
    }
}

/// Does all this to a key of its own.
async fn play(store: &TestKeys, deeds: &[Deed]) -> Result<(), TestCaseError> {
    let name = clock::new_id();
    let intent = |request: usize| {
        KeyIntent::new("payments.charge", &name, ["ab", "cd"][request].repeat(32)).expect("a key")
    };
    let mut model = Model { now: Duration::ZERO, row: None, forgets_by_itself: store.forgets_by_itself() };
    let mut holds: Vec<_> =
        (0..HOLDERS).map(|n| Hold::new(format!("holder {n}"), LEASE, RETENTIONS[0])).collect();
    let (keys, key) = (&store.keys, intent(0).key);
    for (step, deed) in deeds.iter().enumerate() {
        let said = format!("step {step}, {deed:?}, with {:?} at {:?}", model.row, model.now);
        match deed {
            Deed::Begin { holder, again, request, retention } => {
                if !again {
                    holds[*holder] = Hold::new(format!("holder {holder}"), LEASE, RETENTIONS[*retention]);
                }
                let answer = keys.begin(&intent(*request), &holds[*holder]).await;
                prop_assert_eq!(answer, Ok(model.begin(&holds[*holder], *request)), "{}", said);
            }
            Deed::Keep { holder } => {
                let answer = keys.keep(&key, &holds[*holder]).await;
                prop_assert_eq!(answer, Ok(model.keep(&holds[*holder])), "{}", said);
            }
            Deed::End { holder, end } => {
                let answer = keys.end(&key, &holds[*holder], end).await;
                prop_assert_eq!(answer, Ok(model.end(&holds[*holder], end)), "{}", said);
            }
            Deed::Pass { seconds } => {
                store.time.advance(Duration::from_secs(*seconds));
                model.pass(Duration::from_secs(*seconds));
            }
            Deed::Sweep => {
                prop_assert!(keys.sweep(10_000).await.is_ok());
                model.forget();
            }
        }
    }
    if let Some(row) = &model.row {
        let attempts = store.written(key.as_str(), "attempts").await;
        prop_assert_eq!(attempts, row.attempts.to_string(), "after {:?}", deeds);
    }
    Ok(())
}
