//! The places in every order in which two threads can meet.
#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "the mounted files serve more than these tests"
)]

#[path = "places.rs"]
mod places;
#[path = "../sync_loom.rs"]
mod sync;

use loom::{sync::Arc, thread};

use places::Bulkhead;

#[test]
fn two_threads_never_share_the_last_place() {
    loom::model(|| {
        let bulkhead = Arc::new(Bulkhead::new(1));
        let shared = bulkhead.clone();
        let second = thread::spawn(move || {
            let place = shared.enter();
            let taken = shared.taken();
            assert!(place.is_none() || taken == 1, "{taken} of 1");
        });
        let place = bulkhead.enter();
        assert!(place.is_none() || bulkhead.taken() == 1);
        drop(place);
        second.join().expect("the second thread ends");
        assert_eq!(bulkhead.taken(), 0, "what was taken is free again");
    });
}
