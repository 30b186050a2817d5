//! Limits on guesses, registrations and messages.

use std::{net::IpAddr, time::Duration};

use super::{guess_window::RETRY_SOON, *};
use crate::{
    clock::Clock,
    model::{Error, Result, RoomId, SessionId, Timestamp, UserId},
};

const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
/// Another network.
fn there(nth: u8) -> IpAddr {
    IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, nth))
}

const NOON: Timestamp = Timestamp::from_seconds(1_800_000_000);

fn rate_limits(config: RateLimitConfig) -> (RateLimits, Clock) {
    let clock = Clock::manual(NOON);
    (RateLimits::new(config, clock.clone()), clock)
}

fn retry_after<T>(result: Result<T>) -> Duration {
    match result {
        Err(Error::RateLimited { retry_after }) => retry_after,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("allowed"),
    }
}

#[test]
fn no_hour_holds_more_registrations_than_the_limit() {
    let (limits, clock) = rate_limits(RateLimitConfig::default());
    let mut taken = Vec::new();
    for minute in 0..600 {
        let now = NOON + Duration::from_secs(60 * minute);
        clock.set(now);
        while limits.register(HERE).is_ok() {
            taken.push(now);
        }
        assert!(taken.iter().filter(|then| now.since(**then) < Duration::from_secs(3600)).count() <= 10);
    }
    assert!(taken.len() >= 90, "{}", taken.len());
}

#[test]
fn a_refused_registration_says_when_to_retry() {
    let (limits, clock) = rate_limits(RateLimitConfig::default());
    for _ in 0..10 {
        limits.register(HERE).unwrap();
    }
    let wait = retry_after(limits.register(HERE));
    assert!(wait >= Duration::from_secs(3600), "{wait:?}");
    clock.set(NOON + wait);
    limits.register(HERE).unwrap();
}

#[test]
fn addresses_of_one_network_count_together() {
    let (limits, _) =
        rate_limits(RateLimitConfig { registrations_per_hour: 1, ..RateLimitConfig::default() });
    for (address, allowed) in [
        ("2001:db8:1:2::1", true),
        ("2001:db8:1:2:ffff::9", false),
        ("2001:db8:1:3::1", true),
        ("192.0.2.7", true),
        ("::ffff:192.0.2.7", false),
        ("192.0.2.8", true),
    ] {
        assert_eq!(limits.register(address.parse().unwrap()).is_ok(), allowed, "{address}");
    }
}

#[tokio::test]
async fn only_wrong_passwords_count_for_an_address() {
    let (limits, _) = rate_limits(RateLimitConfig { guesses_per_hour: 3, ..RateLimitConfig::default() });
    for number in 0..100 {
        limits.guess(HERE, GuessTarget::Account(&format!("right{number}"))).await.unwrap().succeeded();
        drop(limits.guess(HERE, GuessTarget::Account(&format!("dropped{number}"))).await.unwrap());
    }
    for number in 0..3 {
        limits.guess(HERE, GuessTarget::Room(RoomId(number), UserId(1))).await.unwrap().failed();
    }
    retry_after(limits.guess(HERE, GuessTarget::Account("anybody1")).await);
}

#[tokio::test(start_paused = true)]
async fn no_more_attempts_run_at_once_than_may_be_wrong() {
    let (limits, _) = rate_limits(RateLimitConfig { guesses_per_hour: 3, ..RateLimitConfig::default() });
    let mut attempts = Vec::new();
    for room in 0..3 {
        attempts.push(limits.guess(HERE, GuessTarget::Room(RoomId(room), UserId(1))).await.unwrap());
    }
    // None of them is answered: a further attempt may be retried soon.
    assert_eq!(
        retry_after(limits.guess(HERE, GuessTarget::Room(RoomId(9), UserId(1))).await),
        Duration::from_secs(1)
    );
    limits.guess(there(2), GuessTarget::Room(RoomId(9), UserId(2))).await.unwrap().succeeded();
    let waiting = tokio::spawn({
        let limits = limits.clone();
        async move { limits.guess(HERE, GuessTarget::Room(RoomId(9), UserId(1))).await.map(Attempt::succeeded) }
    });
    tokio::task::yield_now().await;
    attempts.pop().unwrap().succeeded();
    waiting.await.unwrap().unwrap();
    for attempt in attempts {
        attempt.failed();
    }
    limits.guess(HERE, GuessTarget::Room(RoomId(9), UserId(1))).await.unwrap().failed();
    let wait = retry_after(limits.guess(HERE, GuessTarget::Room(RoomId(9), UserId(1))).await);
    assert!(wait >= Duration::from_secs(3600), "{wait:?}");
}

/// Starts `count` guesses at once, each at another account, and returns their outcomes.
async fn at_once(limits: &RateLimits, count: usize, right: bool) -> Vec<Result<()>> {
    let mut trying = tokio::task::JoinSet::new();
    for number in 0..count {
        let limits = limits.clone();
        trying.spawn(async move {
            let attempt = limits.guess(HERE, GuessTarget::Account(&format!("walker{number}"))).await?;
            // Checking a password takes time, during which others arrive.
            tokio::time::sleep(Duration::from_millis(50)).await;
            if right {
                attempt.succeeded();
            } else {
                attempt.failed();
            }
            Ok(())
        });
    }
    trying.join_all().await
}

#[tokio::test(start_paused = true)]
async fn sixty_users_of_one_network_with_right_passwords_log_in_at_once() {
    let (limits, _) = rate_limits(RateLimitConfig::default());
    for outcome in at_once(&limits, 60, true).await {
        outcome.unwrap();
    }
    limits.guess(HERE, GuessTarget::Account("walker1")).await.unwrap().succeeded();
}

#[tokio::test(start_paused = true)]
async fn parallel_guesses_allow_no_more_wrong_passwords_than_guesses_in_a_row() {
    let (limits, _) = rate_limits(RateLimitConfig::default());
    let outcomes = at_once(&limits, 60, false).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 30);
    for refused in outcomes.into_iter().filter(Result::is_err) {
        let wait = retry_after(refused);
        assert!(wait >= Duration::from_secs(3600), "{wait:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_number_of_waiting_attempts_is_bounded() {
    let (limits, _) = rate_limits(RateLimitConfig { guesses_per_hour: 1, ..RateLimitConfig::default() });
    let held = limits.guess(HERE, GuessTarget::Account("walker1")).await.unwrap();
    let outcomes = at_once(&limits, 200, true).await;
    assert!(outcomes.into_iter().all(|outcome| retry_after(outcome) == RETRY_SOON));
    held.succeeded();
    limits.guess(HERE, GuessTarget::Account("walker1")).await.unwrap().succeeded();
}

#[tokio::test]
async fn delays_grow_from_one_second_to_sixty_and_end_with_a_success() {
    let (limits, clock) =
        rate_limits(RateLimitConfig { guesses_per_hour: 1000, ..RateLimitConfig::default() });
    let mut now = NOON;
    for _ in 0..5 {
        limits.guess(HERE, GuessTarget::Account("walker1")).await.unwrap().failed();
    }
    for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
        let wait = retry_after(limits.guess(HERE, GuessTarget::Account("walker1")).await);
        assert_eq!(wait, Duration::from_secs(seconds));
        limits.guess(HERE, GuessTarget::Account("another1")).await.unwrap().succeeded();
        now = now + wait;
        clock.set(now);
        limits.guess(HERE, GuessTarget::Account("walker1")).await.unwrap().failed();
    }
    clock.set(now + Duration::from_secs(60));
    let attempt = limits.guess(HERE, GuessTarget::Account("walker1")).await.unwrap();
    retry_after(limits.guess(HERE, GuessTarget::Account("walker1")).await);
    attempt.succeeded();
    assert!(limits.guess(HERE, GuessTarget::Account("walker1")).await.is_ok());
}

#[test]
fn messages_flow_at_the_rate_after_a_burst() {
    let (limits, clock) = rate_limits(RateLimitConfig::default());
    let user = UserId(1);
    for _ in 0..200 {
        limits.message(user).unwrap();
    }
    assert_eq!(retry_after(limits.message(user)), Duration::from_millis(20));
    limits.message(UserId(2)).unwrap();
    clock.set(NOON + Duration::from_secs(1));
    assert_eq!((0..100).filter(|_| limits.message(user).is_ok()).count(), 50);
}

#[tokio::test]
async fn zero_is_no_limit() {
    let (limits, _) = rate_limits(RateLimitConfig {
        registrations_per_hour: 0,
        guesses_per_hour: 0,
        messages_per_second: 0,
    });
    for _ in 0..1000 {
        limits.register(HERE).unwrap();
        limits.message(UserId(1)).unwrap();
        limits.guess(HERE, GuessTarget::Account("walker1")).await.unwrap().failed();
    }
}

#[tokio::test]
async fn trying_short_codes_counts_as_guessing() {
    let (limits, _) = rate_limits(RateLimitConfig { guesses_per_hour: 3, ..RateLimitConfig::default() });
    for user in 0..3 {
        limits.guess(HERE, GuessTarget::ShortCode(UserId(user))).await.unwrap().failed();
    }
    retry_after(limits.guess(HERE, GuessTarget::ShortCode(UserId(9))).await);
    retry_after(limits.guess(HERE, GuessTarget::Account("walker1")).await);
}

#[tokio::test]
async fn a_users_guesses_count_across_addresses() {
    let (limits, _) = rate_limits(RateLimitConfig { guesses_per_hour: 3, ..RateLimitConfig::default() });
    let user = UserId(1);
    limits.guess(there(1), GuessTarget::ShortCode(user)).await.unwrap().failed();
    limits.guess(there(2), GuessTarget::ShortCode(user)).await.unwrap().failed();
    limits.guess(there(3), GuessTarget::Room(RoomId(1), user)).await.unwrap().failed();
    retry_after(limits.guess(there(4), GuessTarget::ShortCode(user)).await);
    retry_after(limits.guess(there(4), GuessTarget::Room(RoomId(2), user)).await);
    limits.guess(there(4), GuessTarget::ShortCode(UserId(2))).await.unwrap().failed();
}

/// Guesses wrong as often as one network may within the hour, and returns how often.
async fn use_up(limits: &RateLimits, clock: &Clock, from: IpAddr, guess: GuessTarget<'_>) -> u32 {
    for wrong in 0.. {
        match limits.guess(from, guess).await {
            Ok(attempt) => attempt.failed(),
            Err(Error::RateLimited { retry_after }) if retry_after <= Duration::from_secs(60) => {
                clock.set(clock.now() + retry_after);
                limits.guess(from, guess).await.unwrap().failed();
            }
            Err(_) => return wrong,
        }
    }
    unreachable!()
}

#[tokio::test]
async fn guesses_from_other_networks_delay_nobody_here() {
    let (limits, clock) = rate_limits(RateLimitConfig::default());
    let owner = GuessTarget::Account("walker1");
    for nth in 2..=4 {
        assert_eq!(use_up(&limits, &clock, there(nth), owner).await, 30);
        limits.guess(HERE, owner).await.unwrap().succeeded();
        limits.guess(there(9), GuessTarget::Room(RoomId(1), UserId(1))).await.unwrap().succeeded();
    }
    for room in [GuessTarget::Room(RoomId(1), UserId(7)), GuessTarget::Room(RoomId(1), UserId(8))] {
        use_up(&limits, &clock, there(7), room).await;
    }
    limits.guess(HERE, GuessTarget::Room(RoomId(1), UserId(1))).await.unwrap().succeeded();
}

#[tokio::test]
async fn a_network_known_to_an_account_has_its_own_window_for_it() {
    let (limits, clock) = rate_limits(RateLimitConfig { guesses_per_hour: 3, ..RateLimitConfig::default() });
    limits.guess(HERE, GuessTarget::Account("walker1")).await.unwrap().succeeded();
    for nth in 0..3 {
        limits.guess(HERE, GuessTarget::Account(&format!("another{nth}"))).await.unwrap().failed();
    }
    retry_after(limits.guess(HERE, GuessTarget::Account("another9")).await);
    // That window has the same limit.
    for _ in 0..3 {
        limits.guess(HERE, GuessTarget::Account("walker1")).await.unwrap().failed();
    }
    retry_after(limits.guess(HERE, GuessTarget::Account("walker1")).await);
    clock.set(clock.now() + Duration::from_secs(31 * 24 * 60 * 60));
    limits.guess(HERE, GuessTarget::Account("walker1")).await.unwrap().failed();
    for nth in 0..2 {
        limits.guess(HERE, GuessTarget::Account(&format!("another{nth}"))).await.unwrap().failed();
    }
    retry_after(limits.guess(HERE, GuessTarget::Account("walker1")).await);
}

#[tokio::test]
async fn wrong_passwords_from_a_known_network_count_for_the_network_too() {
    let (limits, _) = rate_limits(RateLimitConfig { guesses_per_hour: 3, ..RateLimitConfig::default() });
    limits.guess(HERE, GuessTarget::Account("walker1")).await.unwrap().succeeded();
    for _ in 0..3 {
        limits.guess(HERE, GuessTarget::Account("walker1")).await.unwrap().failed();
    }
    retry_after(limits.guess(HERE, GuessTarget::Account("another1")).await);
}

#[tokio::test]
async fn nobody_can_block_a_logged_in_user_from_their_own_password() {
    let (limits, clock) = rate_limits(RateLimitConfig::default());
    let (mine, stolen) = (SessionId(uuid::Uuid::from_u128(1)), SessionId(uuid::Uuid::from_u128(2)));
    use_up(&limits, &clock, HERE, GuessTarget::Account("walker1")).await;
    limits.guess(HERE, GuessTarget::Own(mine)).await.unwrap().succeeded();
    // A stolen session has the limit of one window, with growing delays.
    for _ in 0..5 {
        limits.guess(HERE, GuessTarget::Own(stolen)).await.unwrap().failed();
    }
    assert_eq!(retry_after(limits.guess(there(2), GuessTarget::Own(stolen)).await), Duration::from_secs(1));
    assert_eq!(use_up(&limits, &clock, there(2), GuessTarget::Own(stolen)).await, 25);
    limits.guess(HERE, GuessTarget::Own(mine)).await.unwrap().succeeded();
}

#[tokio::test]
async fn a_target_of_many_networks_delays_each_after_one_wrong_password_and_accepts_the_right_one() {
    let (limits, clock) = rate_limits(RateLimitConfig::default());
    let owner = GuessTarget::Account("walker1");
    limits.guess(HERE, owner).await.unwrap().succeeded();
    for nth in 0..20 {
        for _ in 0..5 {
            limits.guess(there(100 + nth), owner).await.unwrap().failed();
        }
    }
    // Each further network has one free guess.
    for nth in 0..50 {
        limits.guess(there(10 + nth), owner).await.unwrap().failed();
        let wait = retry_after(limits.guess(there(10 + nth), owner).await);
        assert_eq!(wait, Duration::from_secs(15 * 60));
    }
    limits.guess(there(9), owner).await.unwrap().succeeded();
    // For the owner's known network nothing has changed.
    for _ in 0..5 {
        limits.guess(HERE, owner).await.unwrap().failed();
    }
    assert_eq!(retry_after(limits.guess(HERE, owner).await), Duration::from_secs(1));
    clock.set(clock.now() + Duration::from_secs(1));
    limits.guess(HERE, owner).await.unwrap().succeeded();
    // Guesses are forgotten after an hour.
    clock.set(clock.now() + Duration::from_secs(2 * 60 * 60));
    for _ in 0..5 {
        limits.guess(there(10), owner).await.unwrap().failed();
    }
}

#[tokio::test]
async fn a_target_of_many_networks_counts_a_48_as_one_network() {
    let (limits, _) = rate_limits(RateLimitConfig::default());
    let network = |nth: u16| IpAddr::V6(std::net::Ipv6Addr::new(0x2001, 0xdb8, 1, nth, 0, 0, 0, 1));
    let mut wrong = 0;
    for nth in 0..1_000 {
        if let Ok(attempt) = limits.guess(network(nth), GuessTarget::Account("walker1")).await {
            attempt.failed();
            wrong += 1;
        }
    }
    assert_eq!(wrong, 101);
    limits.guess(there(1), GuessTarget::Account("walker1")).await.unwrap().succeeded();
}

#[tokio::test(start_paused = true)]
async fn no_more_attempts_at_one_target_run_at_once_than_are_free() {
    let (limits, _) = rate_limits(RateLimitConfig { guesses_per_hour: 1000, ..RateLimitConfig::default() });
    let mut trying = tokio::task::JoinSet::new();
    for _ in 0..40 {
        let limits = limits.clone();
        trying.spawn(async move {
            let attempt = limits.guess(HERE, GuessTarget::Account("walker1")).await?;
            tokio::time::sleep(Duration::from_millis(50)).await;
            attempt.failed();
            Ok(())
        });
    }
    let outcomes: Vec<Result<()>> = trying.join_all().await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 5);
    // Other networks are not affected, and an attempt that is dropped uses nothing up.
    drop(limits.guess(there(2), GuessTarget::Account("walker1")).await.unwrap());
    limits.guess(there(2), GuessTarget::Account("walker1")).await.unwrap().succeeded();
}
