//! Charging, waiting and delayed refusals.

use futures_util::FutureExt as _;
use tokio::time::Instant;

use super::{
    delayed_refusals::{MAX, MAX_OF_ONE},
    *,
};
use crate::model::{Timestamp, UserId};

const NOON: Timestamp = Timestamp::from_seconds(1_800_000_000);
const SOMEBODY: Payer = Payer::User(UserId(1));

fn budget(config: BudgetConfig) -> (Budget, Clock) {
    let clock = Clock::manual(NOON);
    (Budget::new(config, clock.clone()), clock)
}

/// Makes a call that ends at once, and returns its outcome.
fn call(budget: &Budget, payer: Payer, cost: Cost) -> Result<()> {
    budget.enter(payer, cost).now_or_never().expect("nothing is in flight").map(drop)
}

fn passed(budget: &Budget, payer: Payer, cost: Cost, calls: usize) -> usize {
    (0..calls).filter(|_| call(budget, payer, cost).is_ok()).count()
}

#[test]
fn reads_and_writes_have_buckets_of_their_own() {
    let (budget, clock) = budget(BudgetConfig::default());
    assert_eq!(passed(&budget, SOMEBODY, Cost::Write, 1_000), 80);
    assert_eq!(passed(&budget, SOMEBODY, Cost::Read, 1_000), 400);
    assert_eq!(passed(&budget, Payer::User(UserId(2)), Cost::Write, 1_000), 80, "somebody else's are theirs");
    let refused = call(&budget, SOMEBODY, Cost::Write).unwrap_err();
    assert_eq!(refused.retry_after(), Some(Duration::from_millis(50)));
    clock.set(NOON + Duration::from_secs(1));
    assert_eq!(passed(&budget, SOMEBODY, Cost::Write, 1_000), 20);
    assert_eq!(passed(&budget, SOMEBODY, Cost::Read, 1_000), 100);
}

#[test]
fn messages_are_counted_when_they_are_sent() {
    let (budget, _) = budget(BudgetConfig::default());
    assert_eq!(passed(&budget, SOMEBODY, Cost::Message, 10_000), 10_000);
}

#[test]
fn calls_without_a_token_are_charged_to_the_network_and_health_checks_apart() {
    let (budget, clock) = budget(BudgetConfig::default());
    let here = Payer::at("2001:db8::1".parse().unwrap());
    assert_eq!(passed(&budget, here, Cost::Write, 10_000), 2_000);
    assert_eq!(passed(&budget, here, Cost::Read, 10_000), 0, "it has one bucket for both");
    assert_eq!(passed(&budget, Payer::at("2001:db8::2".parse().unwrap()), Cost::Read, 1), 0, "the same /64");
    assert_eq!(passed(&budget, Payer::at("2001:db8:0:1::1".parse().unwrap()), Cost::Read, 1), 1);
    assert_eq!(passed(&budget, here, Cost::Probe, 10_000), 2_000, "health checks have another");
    assert_eq!(passed(&budget, here, Cost::Connection, 10_000), 2_000, "connections have another");
    clock.set(NOON + Duration::from_secs(1));
    assert_eq!(passed(&budget, here, Cost::Read, 10_000), 200);
}

#[tokio::test(start_paused = true)]
async fn calls_beyond_the_limit_in_flight_wait_in_bounded_number() {
    let config = BudgetConfig { reads_per_second: 0, ..BudgetConfig::default() };
    let (budget, _) = budget(config);
    let mut in_flight = Vec::new();
    for _ in 0..16 {
        in_flight.push(budget.enter(SOMEBODY, Cost::Read).await.unwrap());
    }
    let mut waiting: Vec<_> = (0..512).map(|_| Box::pin(budget.enter(SOMEBODY, Cost::Read))).collect();
    assert!(waiting.iter_mut().all(|call| call.now_or_never().is_none()));
    let refused = budget.enter(SOMEBODY, Cost::Read).await.err().unwrap();
    assert_eq!(refused.retry_after(), Some(RETRY_SOON));
    assert!(budget.enter(Payer::User(UserId(2)), Cost::Read).await.is_ok(), "somebody else does not wait");
    in_flight.pop();
    let first = waiting[0].as_mut().await.unwrap();
    // A call that waits too long is refused.
    let begun = Instant::now();
    assert!(waiting[1].as_mut().await.is_err());
    assert_eq!(begun.elapsed(), ADMISSION_TIMEOUT);
    drop(first);
}

#[tokio::test]
async fn waiting_calls_are_bounded_in_the_process_and_a_few_payers_cannot_fill_it() {
    let config = BudgetConfig { reads_per_second: 0, ..BudgetConfig::default() };
    let (budget, _) = budget(config);
    let mut in_flight = Vec::new();
    let mut wait = |user: i64| {
        let payer = Payer::User(UserId(user));
        while let Some(entered) = budget.enter(payer, Cost::Read).now_or_never() {
            let Ok(entered) = entered else { return Vec::new() };
            in_flight.push(entered);
        }
        let mut waiting: Vec<_> = (0..600).map(|_| Box::pin(budget.enter(payer, Cost::Read))).collect();
        waiting.retain_mut(|call| call.now_or_never().is_none());
        waiting
    };
    let greedy = [wait(1), wait(2)];
    assert!(greedy.iter().all(|waiting| waiting.len() == USER_WAITING));
    let many: Vec<_> = (3..3 + 64).map(&mut wait).collect();
    assert!(many.iter().all(|waiting| waiting.len() == WAITING_WHEN_TIGHT));
    assert_eq!(wait(100).len(), 0, "the total is bounded too");
    drop(greedy);
    drop(many);
    assert_eq!(wait(101).len(), USER_WAITING);
}

#[tokio::test]
async fn four_writes_of_one_user_are_in_flight_at_a_time() {
    let (budget, _) = budget(BudgetConfig::default());
    let mut in_flight = Vec::new();
    for _ in 0..4 {
        in_flight.push(budget.enter(SOMEBODY, Cost::Write).await.unwrap());
    }
    assert!(budget.enter(SOMEBODY, Cost::Write).now_or_never().is_none());
    in_flight.pop();
    assert!(budget.enter(SOMEBODY, Cost::Write).now_or_never().is_some());
}

#[tokio::test]
async fn messages_do_not_wait_for_other_calls_of_their_user() {
    let (budget, _) = budget(BudgetConfig::default());
    let mut in_flight = Vec::new();
    for _ in 0..16 {
        in_flight.push(budget.enter(SOMEBODY, Cost::Read).await.unwrap());
    }
    let mut waiting = Box::pin(budget.enter(SOMEBODY, Cost::Write));
    assert!((&mut waiting).now_or_never().is_none());
    for _ in 0..16 {
        let message = budget.enter(SOMEBODY, Cost::Message).now_or_never().expect("it does not wait");
        in_flight.push(message.unwrap());
    }
    assert!(budget.enter(SOMEBODY, Cost::Message).now_or_never().is_none(), "but for each other");
}

#[tokio::test]
async fn forms_that_never_arrive_do_not_block_reads_of_their_network() {
    let (budget, _) = budget(BudgetConfig::default());
    let here = Payer::at("192.0.2.1".parse().unwrap());
    let mut in_flight = Vec::new();
    for _ in 0..64 {
        in_flight.push(budget.enter(here, Cost::Write).await.unwrap());
    }
    assert!(budget.enter(here, Cost::Write).now_or_never().is_none());
    assert!(budget.enter(here, Cost::Read).now_or_never().is_some());
}

#[tokio::test]
async fn a_limit_below_the_weight_of_a_write_lets_one_through_at_a_time() {
    let (budget, _) = budget(BudgetConfig { calls_per_user: 1, ..BudgetConfig::default() });
    let first = budget.enter(SOMEBODY, Cost::Write).await.unwrap();
    assert!(budget.enter(SOMEBODY, Cost::Write).now_or_never().is_none());
    drop(first);
    assert!(budget.enter(SOMEBODY, Cost::Write).now_or_never().is_some());
}

#[tokio::test]
async fn a_payer_without_calls_takes_no_memory() {
    let (budget, _) = budget(BudgetConfig::default());
    for user in 0..1_000 {
        drop(budget.enter(Payer::User(UserId(user)), Cost::Read).await.unwrap());
    }
    assert_eq!(budget.0.in_flight.lock().len(), 0);
    let first = budget.enter(SOMEBODY, Cost::Read).await.unwrap();
    let second = budget.enter(SOMEBODY, Cost::Read).await.unwrap();
    drop(first);
    assert_eq!(budget.0.in_flight.lock().len(), 1);
    drop(second);
    assert_eq!(budget.0.in_flight.lock().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn repeated_refusals_are_delayed() {
    let (budget, _) = budget(BudgetConfig::default());
    let begun = Instant::now();
    for _ in 0..20 {
        budget.hold_back(SOMEBODY).await;
    }
    assert_eq!(begun.elapsed(), Duration::ZERO);
    budget.hold_back(SOMEBODY).await;
    let held = begun.elapsed();
    assert!(held >= REFUSAL_DELAY / 2, "{held:?}");
    budget.hold_back(Payer::User(UserId(2))).await;
    assert_eq!(begun.elapsed(), held);
}

#[tokio::test(start_paused = true)]
async fn refusals_at_the_same_time_are_answered_at_different_times() {
    let (budget, _) = budget(BudgetConfig::default());
    for _ in 0..20 {
        budget.hold_back(SOMEBODY).await;
    }
    let begun = Instant::now();
    let held = futures_util::future::join_all((0..1_000).map(|_| async {
        budget.hold_back(SOMEBODY).await;
        begun.elapsed()
    }));
    let mut held = held.await;
    held.sort_unstable();
    let longest = REFUSAL_DELAY * 3 / 2 + GROUP_INTERVAL;
    assert!(held[0] >= REFUSAL_DELAY / 2 && held[999] <= longest, "{:?} to {:?}", held[0], held[999]);
    // Each group holds about a twentieth.
    let groups: Vec<usize> = held.chunk_by(|one, next| one == next).map(<[_]>::len).collect();
    assert!(groups.len() >= 20 && groups.iter().all(|group| *group < 80), "{groups:?}");
}

/// Returns those of a payer's refusals that are delayed, in addition to those that are delayed already.
fn held<'a>(budget: &'a Budget, payer: Payer, refusals: usize) -> Vec<impl Future<Output = ()> + use<'a>> {
    let mut refusals: Vec<_> = (0..refusals).map(|_| Box::pin(budget.hold_back(payer))).collect();
    refusals.retain_mut(|refusal| refusal.now_or_never().is_none());
    refusals
}

#[tokio::test(start_paused = true)]
async fn one_payer_cannot_use_up_the_bound_on_delayed_refusals() {
    let (budget, _) = budget(BudgetConfig::default());
    let (all, of_one) = (MAX as usize, MAX_OF_ONE as usize);
    let first = held(&budget, SOMEBODY, 2 * all);
    assert_eq!(first.len(), of_one);
    let second = held(&budget, Payer::User(UserId(2)), 2 * all);
    assert_eq!(second.len(), all - of_one);
    assert_eq!(held(&budget, Payer::User(UserId(3)), 100).len(), 0, "the total is bounded too");
    drop(first);
    let third = held(&budget, Payer::User(UserId(3)), 2 * all);
    assert_eq!(third.len(), of_one);
    drop(third);
    futures_util::future::join_all(second).await;
    assert_eq!(budget.0.delayed_refusals.payers(), 0);
}

/// A bot sends 50 messages and reads 50 pages a second for a minute.
#[test]
fn honest_use_never_meets_the_limits() {
    let (budget, clock) = budget(BudgetConfig::default());
    for tick in 0..3_000_u32 {
        clock.set(NOON + Duration::from_millis(20) * tick);
        assert_eq!(passed(&budget, SOMEBODY, Cost::Message, 1), 1);
        assert_eq!(passed(&budget, SOMEBODY, Cost::Read, 1), 1);
    }
    // A person in 500 rooms opens the page on six devices: pages of 50 rooms, then a room each.
    let person = Payer::User(UserId(2));
    assert_eq!(passed(&budget, person, Cost::List, 6 * 500 / 50), 60);
    assert_eq!(passed(&budget, person, Cost::Read, 6 * 4), 24);
    assert_eq!(passed(&budget, person, Cost::Write, 6 * 2), 12);
}

#[test]
fn zero_is_no_limit() {
    let (budget, _) = budget(BudgetConfig::NONE);
    for cost in
        [Cost::Read, Cost::List, Cost::Write, Cost::Stream, Cost::Message, Cost::Probe, Cost::Connection]
    {
        assert_eq!(passed(&budget, SOMEBODY, cost, 10_000), 10_000);
        assert_eq!(passed(&budget, Payer::at("192.0.2.1".parse().unwrap()), cost, 10_000), 10_000);
    }
}
