//! Keys and messages in callers' own transactions: `once_in` and `consume`, which are typed by dialect. So the laws
//! are mounted once for each, as the body they hold is.
//!
//! Time is the database's here: what has to be over is backdated.
#![allow(clippy::duplicate_mod, reason = "the laws are mounted once for each dialect")]

use std::{sync::Mutex, time::Duration};

use redrive::engine::{
    idempotency::{Operation, Worked},
    key::Answer,
    observer::{KeyOutcome, Observer},
};

mod postgres;
mod sqlite;

/// Longer than any test waits on purpose.
const PATIENCE: Duration = Duration::from_secs(20);

fn operation() -> Operation {
    Operation::new("orders.place").waiting_for(PATIENCE)
}

/// An answer that text alone could not carry.
fn answer() -> Answer {
    let headers = vec![("location".to_owned(), "/orders/7".to_owned())];
    Answer { code: 201, headers, body: b"\xff\0 {\"id\": 7}\n".to_vec() }
}

fn completed() -> Worked {
    Worked::Completed(answer())
}

/// Remembers what was counted.
#[derive(Default)]
struct Counts(Mutex<Vec<KeyOutcome>>);

impl Observer for Counts {
    fn key_asked(&self, operation: &str, outcome: KeyOutcome) {
        assert_eq!(operation, "orders.place");
        self.0.lock().expect("no panic before").push(outcome);
    }
}
