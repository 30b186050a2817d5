use super::{guesses::SOON, *};
use crate::model::{Error, Timestamp};

const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
/// Another network.
fn there(nth: u8) -> IpAddr {
    IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, nth))
}

const NOON: Timestamp = Timestamp::from_seconds(1_800_000_000);

fn guard(config: GuardConfig) -> (Guard, Clock) {
    let clock = Clock::manual(NOON);
    (Guard::new(config, clock.clone()), clock)
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
    let (guard, clock) = guard(GuardConfig::default());
    let mut taken = Vec::new();
    for minute in 0..600 {
        let now = NOON + Duration::from_secs(60 * minute);
        clock.set(now);
        while guard.register(HERE).is_ok() {
            taken.push(now);
        }
        assert!(taken.iter().filter(|then| now.since(**then) < Duration::from_secs(3600)).count() <= 10);
    }
    assert!(taken.len() >= 90, "{}", taken.len());
}

#[test]
fn a_refused_registration_is_told_when_it_helps_to_come_back() {
    let (guard, clock) = guard(GuardConfig::default());
    for _ in 0..10 {
        guard.register(HERE).unwrap();
    }
    let wait = retry_after(guard.register(HERE));
    assert!(wait >= Duration::from_secs(3600), "{wait:?}");
    clock.set(NOON + wait);
    guard.register(HERE).unwrap();
}

#[test]
fn addresses_of_one_network_count_together() {
    let (guard, _) = guard(GuardConfig { registrations_per_hour: 1, ..GuardConfig::default() });
    for (address, allowed) in [
        ("2001:db8:1:2::1", true),
        ("2001:db8:1:2:ffff::9", false),
        ("2001:db8:1:3::1", true),
        ("192.0.2.7", true),
        ("::ffff:192.0.2.7", false),
        ("192.0.2.8", true),
    ] {
        assert_eq!(guard.register(address.parse().unwrap()).is_ok(), allowed, "{address}");
    }
}

#[tokio::test]
async fn only_wrong_passwords_count_for_an_address() {
    let (guard, _) = guard(GuardConfig { guesses_per_hour: 3, ..GuardConfig::default() });
    for number in 0..100 {
        guard.guess(HERE, Guess::Account(&format!("right{number}"))).await.unwrap().succeeded();
        drop(guard.guess(HERE, Guess::Account(&format!("dropped{number}"))).await.unwrap());
    }
    for number in 0..3 {
        guard.guess(HERE, Guess::Room(RoomId(number), UserId(1))).await.unwrap().failed();
    }
    retry_after(guard.guess(HERE, Guess::Account("anybody1")).await);
}

#[tokio::test(start_paused = true)]
async fn no_more_are_tried_at_once_than_could_be_wrong() {
    let (guard, _) = guard(GuardConfig { guesses_per_hour: 3, ..GuardConfig::default() });
    let mut attempts = Vec::new();
    for room in 0..3 {
        attempts.push(guard.guess(HERE, Guess::Room(RoomId(room), UserId(1))).await.unwrap());
    }
    // They are never answered: whoever comes on top may come again soon.
    assert_eq!(
        retry_after(guard.guess(HERE, Guess::Room(RoomId(9), UserId(1))).await),
        Duration::from_secs(1)
    );
    guard.guess(there(2), Guess::Room(RoomId(9), UserId(2))).await.unwrap().succeeded();
    let waits = tokio::spawn({
        let guard = guard.clone();
        async move { guard.guess(HERE, Guess::Room(RoomId(9), UserId(1))).await.map(Attempt::succeeded) }
    });
    tokio::task::yield_now().await;
    attempts.pop().unwrap().succeeded();
    waits.await.unwrap().unwrap();
    for attempt in attempts {
        attempt.failed();
    }
    guard.guess(HERE, Guess::Room(RoomId(9), UserId(1))).await.unwrap().failed();
    let wait = retry_after(guard.guess(HERE, Guess::Room(RoomId(9), UserId(1))).await);
    assert!(wait >= Duration::from_secs(3600), "{wait:?}");
}

/// Starts `count` guesses at once, each at another account, and awaits what becomes of them.
async fn at_once(guard: &Guard, count: usize, right: bool) -> Vec<Result<()>> {
    let mut trying = tokio::task::JoinSet::new();
    for number in 0..count {
        let guard = guard.clone();
        trying.spawn(async move {
            let attempt = guard.guess(HERE, Guess::Account(&format!("walker{number}"))).await?;
            // A password takes its time, during which others come.
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
async fn sixty_who_know_their_passwords_come_in_at_once() {
    let (guard, _) = guard(GuardConfig::default());
    for outcome in at_once(&guard, 60, true).await {
        outcome.unwrap();
    }
    guard.guess(HERE, Guess::Account("walker1")).await.unwrap().succeeded();
}

#[tokio::test(start_paused = true)]
async fn wrong_passwords_at_once_are_as_few_as_in_a_row() {
    let (guard, _) = guard(GuardConfig::default());
    let outcomes = at_once(&guard, 60, false).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 30);
    for refused in outcomes.into_iter().filter(Result::is_err) {
        let wait = retry_after(refused);
        assert!(wait >= Duration::from_secs(3600), "{wait:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn only_so_many_wait_for_their_turn() {
    let (guard, _) = guard(GuardConfig { guesses_per_hour: 1, ..GuardConfig::default() });
    let held = guard.guess(HERE, Guess::Account("walker1")).await.unwrap();
    let outcomes = at_once(&guard, 200, true).await;
    assert!(outcomes.into_iter().all(|outcome| retry_after(outcome) == SOON));
    held.succeeded();
    guard.guess(HERE, Guess::Account("walker1")).await.unwrap().succeeded();
}

#[tokio::test]
async fn delays_grow_from_one_second_to_sixty_and_end_with_a_success() {
    let (guard, clock) = guard(GuardConfig { guesses_per_hour: 1000, ..GuardConfig::default() });
    let mut now = NOON;
    for _ in 0..5 {
        guard.guess(HERE, Guess::Account("walker1")).await.unwrap().failed();
    }
    for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
        let wait = retry_after(guard.guess(HERE, Guess::Account("walker1")).await);
        assert_eq!(wait, Duration::from_secs(seconds));
        guard.guess(HERE, Guess::Account("another1")).await.unwrap().succeeded();
        now = now + wait;
        clock.set(now);
        guard.guess(HERE, Guess::Account("walker1")).await.unwrap().failed();
    }
    clock.set(now + Duration::from_secs(60));
    let attempt = guard.guess(HERE, Guess::Account("walker1")).await.unwrap();
    retry_after(guard.guess(HERE, Guess::Account("walker1")).await);
    attempt.succeeded();
    assert!(guard.guess(HERE, Guess::Account("walker1")).await.is_ok());
}

#[test]
fn messages_flow_at_the_rate_after_a_burst() {
    let (guard, clock) = guard(GuardConfig::default());
    let user = UserId(1);
    for _ in 0..200 {
        guard.message(user).unwrap();
    }
    assert_eq!(retry_after(guard.message(user)), Duration::from_millis(20));
    guard.message(UserId(2)).unwrap();
    clock.set(NOON + Duration::from_secs(1));
    assert_eq!((0..100).filter(|_| guard.message(user).is_ok()).count(), 50);
}

#[tokio::test]
async fn zero_is_no_limit() {
    let (guard, _) =
        guard(GuardConfig { registrations_per_hour: 0, guesses_per_hour: 0, messages_per_second: 0 });
    for _ in 0..1000 {
        guard.register(HERE).unwrap();
        guard.message(UserId(1)).unwrap();
        guard.guess(HERE, Guess::Account("walker1")).await.unwrap().failed();
    }
}

#[tokio::test]
async fn looking_for_rooms_counts_as_guessing() {
    let (guard, _) = guard(GuardConfig { guesses_per_hour: 3, ..GuardConfig::default() });
    for user in 0..3 {
        guard.guess(HERE, Guess::ShortCode(UserId(user))).await.unwrap().failed();
    }
    retry_after(guard.guess(HERE, Guess::ShortCode(UserId(9))).await);
    retry_after(guard.guess(HERE, Guess::Account("walker1")).await);
}

#[tokio::test]
async fn whoever_changes_addresses_goes_on_counting() {
    let (guard, _) = guard(GuardConfig { guesses_per_hour: 3, ..GuardConfig::default() });
    let seeker = UserId(1);
    guard.guess(there(1), Guess::ShortCode(seeker)).await.unwrap().failed();
    guard.guess(there(2), Guess::ShortCode(seeker)).await.unwrap().failed();
    guard.guess(there(3), Guess::Room(RoomId(1), seeker)).await.unwrap().failed();
    retry_after(guard.guess(there(4), Guess::ShortCode(seeker)).await);
    retry_after(guard.guess(there(4), Guess::Room(RoomId(2), seeker)).await);
    guard.guess(there(4), Guess::ShortCode(UserId(2))).await.unwrap().failed();
}

/// Guesses wrong as often as one network may within the hour.
async fn use_up(guard: &Guard, clock: &Clock, from: IpAddr, guess: Guess<'_>) -> u32 {
    for wrong in 0.. {
        match guard.guess(from, guess).await {
            Ok(attempt) => attempt.failed(),
            Err(Error::RateLimited { retry_after }) if retry_after <= Duration::from_secs(60) => {
                clock.set(clock.now() + retry_after);
                guard.guess(from, guess).await.unwrap().failed();
            }
            Err(_) => return wrong,
        }
    }
    unreachable!()
}

#[tokio::test]
async fn guesses_elsewhere_delay_nobody_here() {
    let (guard, clock) = guard(GuardConfig::default());
    let owner = Guess::Account("walker1");
    for nth in 2..=4 {
        assert_eq!(use_up(&guard, &clock, there(nth), owner).await, 30);
        guard.guess(HERE, owner).await.unwrap().succeeded();
        guard.guess(there(9), Guess::Room(RoomId(1), UserId(1))).await.unwrap().succeeded();
    }
    for room in [Guess::Room(RoomId(1), UserId(7)), Guess::Room(RoomId(1), UserId(8))] {
        use_up(&guard, &clock, there(7), room).await;
    }
    guard.guess(HERE, Guess::Room(RoomId(1), UserId(1))).await.unwrap().succeeded();
}

#[tokio::test]
async fn a_network_that_is_known_to_an_account_has_an_hour_of_its_own_for_it() {
    let (guard, clock) = guard(GuardConfig { guesses_per_hour: 3, ..GuardConfig::default() });
    guard.guess(HERE, Guess::Account("walker1")).await.unwrap().succeeded();
    for nth in 0..3 {
        guard.guess(HERE, Guess::Account(&format!("another{nth}"))).await.unwrap().failed();
    }
    retry_after(guard.guess(HERE, Guess::Account("another9")).await);
    // It is no more than an hour: the right password is no better known here than anywhere.
    for _ in 0..3 {
        guard.guess(HERE, Guess::Account("walker1")).await.unwrap().failed();
    }
    retry_after(guard.guess(HERE, Guess::Account("walker1")).await);
    clock.set(clock.now() + Duration::from_secs(31 * 24 * 60 * 60));
    guard.guess(HERE, Guess::Account("walker1")).await.unwrap().failed();
    for nth in 0..2 {
        guard.guess(HERE, Guess::Account(&format!("another{nth}"))).await.unwrap().failed();
    }
    retry_after(guard.guess(HERE, Guess::Account("walker1")).await);
}

#[tokio::test]
async fn wrong_passwords_at_home_count_for_the_network_too() {
    let (guard, _) = guard(GuardConfig { guesses_per_hour: 3, ..GuardConfig::default() });
    guard.guess(HERE, Guess::Account("walker1")).await.unwrap().succeeded();
    for _ in 0..3 {
        guard.guess(HERE, Guess::Account("walker1")).await.unwrap().failed();
    }
    retry_after(guard.guess(HERE, Guess::Account("another1")).await);
}

#[tokio::test]
async fn whoever_is_logged_in_is_kept_from_their_own_password_by_nobody() {
    let (guard, clock) = guard(GuardConfig::default());
    let (mine, stolen) = (SessionId(uuid::Uuid::from_u128(1)), SessionId(uuid::Uuid::from_u128(2)));
    use_up(&guard, &clock, HERE, Guess::Account("walker1")).await;
    guard.guess(HERE, Guess::Own(mine)).await.unwrap().succeeded();
    // A session that was carried off tries no more than an hour's, more and more slowly.
    for _ in 0..5 {
        guard.guess(HERE, Guess::Own(stolen)).await.unwrap().failed();
    }
    assert_eq!(retry_after(guard.guess(there(2), Guess::Own(stolen)).await), Duration::from_secs(1));
    assert_eq!(use_up(&guard, &clock, there(2), Guess::Own(stolen)).await, 25);
    guard.guess(HERE, Guess::Own(mine)).await.unwrap().succeeded();
}

#[tokio::test]
async fn a_target_of_many_networks_answers_each_more_slowly_and_a_right_password_at_once() {
    let (guard, clock) = guard(GuardConfig::default());
    let owner = Guess::Account("walker1");
    guard.guess(HERE, owner).await.unwrap().succeeded();
    for nth in 0..20 {
        for _ in 0..5 {
            guard.guess(there(100 + nth), owner).await.unwrap().failed();
        }
    }
    // Each of the next has one for nothing.
    for nth in 0..50 {
        guard.guess(there(10 + nth), owner).await.unwrap().failed();
        let wait = retry_after(guard.guess(there(10 + nth), owner).await);
        assert_eq!(wait, Duration::from_secs(15 * 60));
    }
    guard.guess(there(9), owner).await.unwrap().succeeded();
    // Where the owner has been before, nothing has changed.
    for _ in 0..5 {
        guard.guess(HERE, owner).await.unwrap().failed();
    }
    assert_eq!(retry_after(guard.guess(HERE, owner).await), Duration::from_secs(1));
    clock.set(clock.now() + Duration::from_secs(1));
    guard.guess(HERE, owner).await.unwrap().succeeded();
    // What was guessed an hour ago is forgotten.
    clock.set(clock.now() + Duration::from_secs(2 * 60 * 60));
    for _ in 0..5 {
        guard.guess(there(10), owner).await.unwrap().failed();
    }
}

#[tokio::test]
async fn a_target_of_many_networks_takes_a_48_for_one() {
    let (guard, _) = guard(GuardConfig::default());
    let network = |nth: u16| IpAddr::V6(std::net::Ipv6Addr::new(0x2001, 0xdb8, 1, nth, 0, 0, 0, 1));
    let mut wrong = 0;
    for nth in 0..1_000 {
        if let Ok(attempt) = guard.guess(network(nth), Guess::Account("walker1")).await {
            attempt.failed();
            wrong += 1;
        }
    }
    assert_eq!(wrong, 101);
    guard.guess(there(1), Guess::Account("walker1")).await.unwrap().succeeded();
}

#[tokio::test(start_paused = true)]
async fn no_more_are_tried_at_once_at_one_target_than_cost_no_delay() {
    let (guard, _) = guard(GuardConfig { guesses_per_hour: 1000, ..GuardConfig::default() });
    let mut trying = tokio::task::JoinSet::new();
    for _ in 0..40 {
        let guard = guard.clone();
        trying.spawn(async move {
            let attempt = guard.guess(HERE, Guess::Account("walker1")).await?;
            tokio::time::sleep(Duration::from_millis(50)).await;
            attempt.failed();
            Ok(())
        });
    }
    let outcomes: Vec<Result<()>> = trying.join_all().await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 5);
    // Elsewhere nobody noticed, and one that is not answered takes nobody's place.
    drop(guard.guess(there(2), Guess::Account("walker1")).await.unwrap());
    guard.guess(there(2), Guess::Account("walker1")).await.unwrap().succeeded();
}
