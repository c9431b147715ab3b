//! What a budget promises, and sequences written from what Finagle and the AWS SDKs publish of theirs.
#![expect(clippy::disallowed_methods, reason = "the tests need some instant to begin from")]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use proptest::prelude::*;

use super::*;

fn ratio(share: f64, floor: f64) -> BudgetPolicy {
    BudgetPolicy::Ratio(RatioPolicy { share, floor, window: Duration::from_secs(10) })
}

fn first_tries(budget: &Budget, count: u32, now: Instant) {
    for _ in 0..count {
        budget.deposit(Deposit::FirstTry, now);
    }
}

/// How many of `asked` retries are granted.
fn granted(budget: &Budget, asked: usize, now: Instant) -> usize {
    (0..asked).filter(|_| budget.withdraw(Cost::Retry, now).is_ok()).count()
}

#[test]
fn finagle_has_its_reserve_without_any_deposit() {
    let now = Instant::now();
    let budget = Budget::new(ratio(0.0, 0.5), now);
    assert_eq!(granted(&budget, 20, now), 5, "half a retry a second over ten seconds");
    assert_eq!(budget.withdraw(Cost::Retry, now), Err(Denied::Ratio));
    assert_eq!(granted(&budget, 20, now + Duration::from_secs(10)), 5, "and has it again in the next window");
}

#[test]
fn finagle_affords_one_retry_for_four_requests_at_a_quarter_and_two_for_one_at_two() {
    let now = Instant::now();
    let budget = Budget::new(ratio(0.25, 0.0), now);
    first_tries(&budget, 3, now);
    assert_eq!(granted(&budget, 5, now), 0);
    first_tries(&budget, 1, now);
    assert_eq!(granted(&budget, 5, now), 1);
    let generous = Budget::new(ratio(2.0, 0.0), now);
    first_tries(&generous, 1, now);
    assert_eq!(granted(&generous, 5, now), 2);
}

#[test]
fn finagle_forgets_deposits_and_withdrawals_when_their_time_is_over() {
    let (now, second) = (Instant::now(), Duration::from_secs(1));
    let budget = Budget::new(ratio(1.0, 0.0), now);
    first_tries(&budget, 1, now);
    first_tries(&budget, 1, now + 5 * second);
    assert_eq!(granted(&budget, 5, now + 5 * second), 2);
    assert_eq!(granted(&budget, 5, now + 10 * second), 0, "one deposit is left, and two withdrawals");
    assert_eq!(granted(&budget, 5, now + 15 * second), 0);
    first_tries(&budget, 1, now + 15 * second);
    assert_eq!(granted(&budget, 5, now + 15 * second), 1);
}

#[test]
fn a_retry_that_was_not_made_was_not_spent() {
    let now = Instant::now();
    let budget = Budget::new(ratio(1.0, 0.0), now);
    first_tries(&budget, 1, now);
    let withdrawal = budget.withdraw(Cost::Retry, now).expect("affordable");
    budget.deposit(Deposit::Unused(withdrawal), now);
    assert_eq!(budget.tally(now), Tally { first: 1, retries: 0 });
    assert_eq!(granted(&budget, 5, now), 1);
}

/// What the AWS SDKs' standard mode has left after each of a call's answers, beginning with `tokens`:
/// `x` fails, `t` times out, `.` succeeds.
fn quota(budget: &Budget, answers: &str, attempts: usize) -> Vec<Result<u32, Denied>> {
    let (now, mut withdrawal, mut left) = (Instant::now(), None, Vec::new());
    let Rule::Tokens(tokens) = &budget.rule else { panic!("a bucket") };
    for (n, answer) in answers.chars().enumerate() {
        let cost = if answer == 't' { Cost::AfterTimeout } else { Cost::Retry };
        if answer == '.' {
            budget.deposit(Deposit::Success(withdrawal.take()), now);
        } else if n + 1 < attempts {
            match budget.withdraw(cost, now) {
                Ok(taken) => withdrawal = Some(taken),
                Err(denied) => {
                    left.push(Err(denied));
                    continue;
                }
            }
        }
        left.push(Ok(tokens.left()));
    }
    left
}

fn bucket(tokens: u32) -> Budget {
    let budget = Budget::new(BudgetPolicy::Tokens(TokenPolicy::default()), Instant::now());
    let Rule::Tokens(held) = &budget.rule else { panic!("a bucket") };
    assert!(held.take(500 - tokens));
    budget
}

#[test]
fn aws_standard_mode_spends_its_quota_as_published() {
    assert_eq!(quota(&bucket(500), "xx.", 3), [Ok(495), Ok(490), Ok(495)], "succeeds in the end");
    assert_eq!(quota(&bucket(500), "xxx", 3), [Ok(495), Ok(490), Ok(490)], "the last failure costs nothing");
    assert_eq!(quota(&bucket(5), "xx", 3), [Ok(0), Err(Denied::Tokens)], "enough for one retry");
    assert_eq!(quota(&bucket(0), "x", 3), [Err(Denied::Tokens)], "enough for none");
    assert_eq!(quota(&bucket(10), "xxx", 5), [Ok(5), Ok(0), Err(Denied::Tokens)]);
    assert_eq!(quota(&bucket(500), "tx.", 3), [Ok(490), Ok(485), Ok(490)], "a timeout costs ten");
}

#[test]
fn aws_standard_mode_recovers_with_successes_up_to_its_capacity() {
    let budget = bucket(15);
    assert_eq!(quota(&budget, "xx.", 3), [Ok(10), Ok(5), Ok(10)]);
    assert_eq!(quota(&budget, "x.", 3), [Ok(5), Ok(10)]);
    assert_eq!(quota(&budget, ".", 3), [Ok(11)], "a first try that succeeds gives back one");
    assert_eq!(quota(&bucket(500), ".", 3), [Ok(500)]);
}

#[test]
fn aws_adaptive_mode_holds_nothing_back_before_it_is_throttled_and_all_calls_after() {
    let now = Instant::now();
    let budget = Budget::new(BudgetPolicy::Adaptive(TokenPolicy::default()), now);
    budget.heard(false, now);
    assert_eq!((budget.pace(now), budget.rate()), (Duration::ZERO, None));
    budget.heard(true, now);
    assert_eq!(budget.rate(), Some(0.5));
    assert_eq!(budget.pace(now), Duration::from_secs(2));
    budget.unpace();
    assert_eq!(budget.pace(now), Duration::from_secs(2));
}

fn roofed(count: usize, kept: f64, now: Instant) -> (Arc<Roof>, Vec<Budget>) {
    let roof = Roof::new(RoofPolicy { share: 0.1, floor: 0.0, window: Duration::from_secs(10), kept });
    let budgets = (0..count).map(|_| Budget::under(&roof, ratio(1.0, 0.0), 1.0, now)).collect();
    (roof, budgets)
}

#[test]
fn a_roof_holds_all_operations_together() {
    let now = Instant::now();
    let (_roof, budgets) = roofed(4, 0.5, now);
    budgets.iter().for_each(|budget| first_tries(budget, 100, now));
    let all: Vec<usize> = budgets.iter().map(|budget| granted(budget, 100, now)).collect();
    assert_eq!(all.iter().sum::<usize>(), 40, "a tenth of 400: {all:?}");
    assert_eq!(budgets[0].withdraw(Cost::Retry, now), Err(Denied::Roof));
    assert_eq!(budgets[0].tally(now).retries, all[0] as u64, "a denial spends nothing");
}

#[test]
fn a_heavy_operation_starves_a_light_one_when_nothing_is_kept_and_does_not_otherwise() {
    let now = Instant::now();
    for (kept, heavy, light) in [(0.0, 101, 0), (0.5, 76, 10)] {
        let (_roof, budgets) = roofed(2, kept, now);
        first_tries(&budgets[0], 1_000, now);
        first_tries(&budgets[1], 10, now);
        assert_eq!(granted(&budgets[0], 1_000, now), heavy, "kept {kept}");
        assert_eq!(granted(&budgets[1], 1_000, now), light, "kept {kept}: its own budget is 10");
    }
}

#[test]
fn a_weight_is_a_larger_part_of_what_is_kept() {
    let now = Instant::now();
    let roof = Roof::new(RoofPolicy { share: 0.1, floor: 0.0, window: Duration::from_secs(10), kept: 1.0 });
    let budgets = [3.0, 1.0].map(|weight| Budget::under(&roof, ratio(1.0, 0.0), weight, now));
    budgets.iter().for_each(|budget| first_tries(budget, 200, now));
    assert_eq!(budgets.each_ref().map(|budget| granted(budget, 100, now)), [30, 10]);
}

#[test]
fn an_operation_that_is_gone_leaves_its_part_to_the_others() {
    let now = Instant::now();
    let (_roof, mut budgets) = roofed(2, 1.0, now);
    first_tries(&budgets[0], 200, now);
    budgets.truncate(1);
    assert_eq!(granted(&budgets[0], 100, now), 20);
}

#[test]
fn what_cannot_be_meant_is_said_exactly() {
    let said = |policy: BudgetPolicy| policy.check().unwrap_err().to_string();
    for (share, word) in [(-0.1, "-0.1"), (f64::NAN, "NaN"), (f64::INFINITY, "inf")] {
        let expected = format!("share is {word}: between 0 and 1000000 is expected");
        assert_eq!(said(ratio(share, 0.0)), expected);
    }
    let poor = TokenPolicy { capacity: 7, ..TokenPolicy::default() };
    assert_eq!(said(BudgetPolicy::Tokens(poor)), "after_timeout is 10: between 1 and 7 is expected");
    let said = |policy: RoofPolicy| policy.check().unwrap_err().to_string();
    assert_eq!(
        said(RoofPolicy { kept: 1.5, ..RoofPolicy::default() }),
        "kept is 1.5: between 0 and 1 is expected"
    );
}

#[test]
fn threads_that_ask_at_once_are_never_granted_more_than_there_is() {
    let now = Instant::now();
    for policy in
        [ratio(0.5, 0.0), BudgetPolicy::Tokens(TokenPolicy { capacity: 1_000, ..TokenPolicy::default() })]
    {
        let budget = Budget::new(policy, now);
        let all: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        first_tries(&budget, 100, now);
                        granted(&budget, 200, now)
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(all + granted(&budget, 500, now), 200);
        assert_eq!(budget.tally(now), Tally { first: 400, retries: 200 });
    }
}

proptest! {
    #[test]
    fn any_share_is_taken_exactly(share in 0.0..2.0_f64, first in 0_u32..200) {
        let now = Instant::now();
        let budget = Budget::new(ratio(share, 0.0), now);
        first_tries(&budget, first, now);
        prop_assert_eq!(granted(&budget, 1_000, now), (share * f64::from(first)).floor() as usize);
        prop_assert!((0.0..=1.0).contains(&budget.remaining(now)));
    }

    #[test]
    fn a_budget_is_never_overdrawn(
        share in 0.0..1.0_f64, floor in 0.0..2.0_f64, tokens: bool, acts in prop::collection::vec(0_u8..5, 0..200),
    ) {
        let mut now = Instant::now();
        let policy = if tokens { BudgetPolicy::Tokens(TokenPolicy { capacity: 40, ..TokenPolicy::default() }) }
            else { ratio(share, floor) };
        let budget = Budget::new(policy, now);
        let mut out = Vec::new();
        for act in acts {
            match act {
                0 => budget.deposit(Deposit::FirstTry, now),
                1 | 2 => {
                    let cost = if act == 1 { Cost::Retry } else { Cost::AfterTimeout };
                    if let Ok(spent) = budget.withdraw(cost, now) {
                        out.push(spent);
                        if let BudgetPolicy::Ratio(ratio) = policy {
                            let tally = budget.tally(now);
                            prop_assert!(tally.retries as f64 <= allowed(&ratio, ratio.window, tally));
                        }
                    }
                }
                3 => out.pop().into_iter().for_each(|spent| budget.deposit(Deposit::Unused(spent), now)),
                _ => now += Duration::from_millis(700),
            }
            if let Rule::Tokens(held) = &budget.rule {
                let spent: u32 = out.iter().map(|spent| spent.tokens).sum();
                prop_assert_eq!(held.left() + spent, 40, "no token is made or lost");
            }
            prop_assert!((0.0..=1.0).contains(&budget.remaining(now)));
        }
        for spent in out {
            budget.deposit(Deposit::Success(Some(spent)), now);
        }
        prop_assert!((0.0..=1.0).contains(&budget.remaining(now)));
    }
}
