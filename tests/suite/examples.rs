//! The examples run, and prove what they say.

use std::process::{Command, Stdio};

use crate::support::example::built;

/// Runs the built example to its end: what it printed.
fn run(name: &str) -> String {
    let output = Command::new(built(name)).stdin(Stdio::null()).output().expect("the example starts");
    let text = |bytes| String::from_utf8(bytes).expect("examples print UTF-8");
    assert!(output.status.success(), "{name}: {}", text(output.stderr));
    text(output.stdout)
}

#[test]
fn a_consumer_has_each_effect_once_through_redeliveries_and_crashes() {
    assert_eq!(
        run("consumer"),
        "payment-1: processed, the account has 100\n\
         payment-2: processed, the account has 120\n\
         payment-2: a duplicate, nothing was done\n\
         payment-3: crashed before the commit: rolled back, effect and record together\n\
         payment-4: crashed after the commit, before the acknowledgement\n\
         payment-3: processed, the account has 4123\n\
         payment-4: a duplicate, nothing was done\n\
         proven: 7 deliveries of 4 messages, 4 effects, the account has 4123\n"
    );
}

#[test]
fn a_use_case_places_an_order_once_and_charges_once() {
    assert_eq!(
        run("use_case"),
        "An order, in our own transaction:\n  \
           two lamps      ran: 201 order 1 is placed\n  \
           two lamps      replayed: 201 order 1 is placed\n  \
           nine lamps     refused: this idempotency key was used for another request: send a new key\n  \
           nine lamps     ran: 409 not so many in stock\n  \
           nine lamps     replayed: 409 not so many in stock\n\
         A card, at another service:\n  \
           a good   card  ran: 503 the provider is busy\n  \
           a good   card  ran: 200 charged\n  \
           a good   card  replayed: 200 charged\n  \
           a stolen card  ran: 402 the card is declined\n  \
           a stolen card  replayed: 402 the card is declined\n  \
           the order      now paid\n\
         The warehouse, one process at a time:\n  \
           shop-a         has it\n  \
           shop-b         has to wait\n\
         proven: 6 requests made 1 order and left 1 lamp; of 5 charges the provider saw 2 and 1\n"
    );
}

#[test]
fn an_order_saga_completes_is_undone_and_is_finished_by_its_next_version() {
    assert_eq!(
        run("order_saga"),
        "A lamp is ordered:\n  \
           lamp     not now: 503\n  \
           lamp     reserved\n  \
           lamp     charged, but the answer is lost\n  \
           lamp     charged already\n  \
           lamp     shipped\n  \
           lamp     confirmed\n  \
           lamp     completed after 6 attempts\n\
         A piano is ordered:\n  \
           piano    reserved\n  \
           piano    charged\n  \
           piano    never: 422\n  \
           piano    failed after 3 attempts, its letter says: piano cannot be shipped: 422\n\
         An operator rolls it back, last-in first-out:\n  \
           piano    parcel.cancel: never was shipped\n  \
           piano    card.refund: no longer charged\n  \
           piano    stock.release: no longer reserved\n  \
           piano    rolled_back after 4 attempts\n\
         A vase is ordered, while the post is on strike:\n  \
           vase     reserved\n  \
           vase     charged\n  \
           vase     not now: 503\n  \
           vase     not now: 503\n  \
           vase     not now: 503\n  \
           vase     failed after 5 attempts, its letter says: vase cannot be shipped now: 503\n\
         Version 2 is deployed in the place of version 1, and the vase is resumed:\n  \
           vase     shipped\n  \
           vase     confirmed\n  \
           vase     rewarded\n  \
           vase     completed after 8 attempts\n\
         proven: ordered twice the lamp is one row: true; 17 calls left 2 orders charged; a parcel with a vase earned 25 points\n"
    );
}
