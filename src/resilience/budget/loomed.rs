//! The shared parts of a budget in every order in which two threads can meet.
#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "the mounted files serve more than these tests"
)]
#![expect(clippy::disallowed_methods, reason = "the tests need some instant to begin from")]

use super::{policy, slices, tally};

#[path = "ledger.rs"]
mod ledger;
#[path = "../stripe.rs"]
mod stripe;
#[path = "../sync_loom.rs"]
mod sync;
#[path = "tokens.rs"]
mod tokens;

use std::time::{Duration, Instant};

use loom::{sync::Arc, thread};

use ledger::Ledger;
use policy::TokenPolicy;
use tally::Tally;
use tokens::Tokens;

#[test]
fn no_first_try_is_lost_while_retries_are_decided() {
    let now = Instant::now();
    loom::model(move || {
        let ledger = Arc::new(Ledger::new(Duration::from_secs(10), now));
        let shared = ledger.clone();
        let later = now + Duration::from_secs(1);
        let second = thread::spawn(move || {
            sync::number_this_thread(1);
            shared.first_try(now);
            shared.first_try(now);
            // The next slice has begun: this one takes the lock.
            shared.first_try(later);
        });
        ledger.first_try(now);
        let granted = ledger.retry(now, |tally| tally.retries < tally.first);
        second.join().expect("the second thread ends");
        assert!(granted, "the thread's own first try is always seen");
        assert_eq!(ledger.total(later), Tally { first: 4, retries: 1 });
    });
}

#[test]
fn two_threads_never_take_what_only_one_can() {
    loom::model(|| {
        let tokens = Arc::new(Tokens::new(TokenPolicy { capacity: 7, ..TokenPolicy::default() }));
        let shared = tokens.clone();
        let second = thread::spawn(move || shared.take(5));
        let first = tokens.take(5);
        assert!(first != second.join().expect("the second thread ends"), "exactly one of them");
        tokens.put(5);
        assert_eq!(tokens.left(), 7);
    });
}
