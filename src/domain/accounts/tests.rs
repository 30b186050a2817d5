//! Accounts and sessions, over a temporary database.

use std::{
    task::{Context, Waker},
    time::Duration,
};

use super::*;
use crate::{
    domain::{
        RateLimitConfig,
        tests::temporary::{HERE, PASSWORD, TemporaryDomain},
    },
    store::temporary::{TemporaryDatabase, on_each_database},
};

on_each_database! {
    a_name_can_be_taken_once_whatever_its_case,
    wrong_passwords_and_unknown_names_get_the_same_answer,
    a_token_dies_with_its_session,
    the_last_refresh_token_answers_the_same_for_thirty_seconds_then_ends_the_session,
    refreshes_at_the_same_time_get_the_same_answer,
    an_old_refresh_token_ends_the_session_at_once,
    a_session_slides_with_each_refresh_and_expires_without,
    a_new_password_ends_the_other_sessions,
    a_deleted_account_is_gone_and_its_name_is_free_again,
    guessing_is_slowed_down_for_known_and_unknown_names_alike,
    an_attempt_that_waits_takes_no_place_in_the_password_queue,
}

const NEW_PASSWORD: &str = "N3w-passw0rd!";

async fn log_in(domain: &TemporaryDomain, password: &str) -> Result<IssuedTokens> {
    domain.accounts.log_in("walker1", password, HERE).await
}

async fn a_name_can_be_taken_once_whatever_its_case(database: TemporaryDatabase) {
    let domain = TemporaryDomain::open(database).await;
    domain.register("walker1").await;
    for taken in ["walker1", "Walker1"] {
        let (name, password) = (UserName::parse(taken).unwrap(), Password::parse(PASSWORD).unwrap());
        let again = domain.accounts.register(name, password, HERE).await;
        assert!(matches!(again, Err(Error::UserNameTaken)), "{taken}");
    }
}

async fn wrong_passwords_and_unknown_names_get_the_same_answer(database: TemporaryDatabase) {
    let domain = TemporaryDomain::open(database).await;
    domain.register("walker1").await;
    for (name, password) in
        [("walker1", "wrong"), ("WALKER1", PASSWORD), ("", ""), ("nul\0", PASSWORD), (&"x".repeat(300), "")]
    {
        let answer = domain.accounts.log_in(name, password, HERE).await;
        assert!(matches!(answer, Err(Error::InvalidCredentials)), "{name:?}");
    }
}

async fn a_token_dies_with_its_session(database: TemporaryDatabase) {
    let domain = TemporaryDomain::open(database).await;
    let here = domain.register("walker1").await;
    let there = log_in(&domain, PASSWORD).await.unwrap();
    let caller = domain.tokens.authenticate_user(&here.token).await.unwrap();
    domain.accounts.log_out(&caller, HERE).await.unwrap();
    assert!(matches!(domain.tokens.authenticate_user(&here.token).await, Err(Error::TokenRevoked)));
    assert!(matches!(domain.accounts.refresh(&here.refresh_token, HERE).await, Err(Error::TokenRevoked)));
    assert!(domain.tokens.authenticate_user(&there.token).await.is_ok());
    assert!(domain.accounts.refresh(&there.refresh_token, HERE).await.is_ok());
}

async fn the_last_refresh_token_answers_the_same_for_thirty_seconds_then_ends_the_session(
    database: TemporaryDatabase,
) {
    let domain = TemporaryDomain::open(database).await;
    let first = domain.register("walker1").await;
    domain.advance(Duration::from_secs(100));
    let second = domain.accounts.refresh(&first.refresh_token, HERE).await.unwrap();
    assert_ne!(second.refresh_token, first.refresh_token);
    assert_ne!(second.token, first.token);
    domain.advance(Duration::from_secs(30));
    let again = domain.accounts.refresh(&first.refresh_token, HERE).await.unwrap();
    assert_eq!(
        (again.token, again.expires_at, again.refresh_token),
        (second.token.clone(), second.expires_at, second.refresh_token.clone())
    );
    assert!(domain.tokens.authenticate_user(&second.token).await.is_ok());
    domain.advance(Duration::from_millis(1));
    assert!(matches!(domain.accounts.refresh(&first.refresh_token, HERE).await, Err(Error::TokenRevoked)));
    assert!(matches!(domain.accounts.refresh(&second.refresh_token, HERE).await, Err(Error::TokenRevoked)));
    assert!(matches!(domain.tokens.authenticate_user(&second.token).await, Err(Error::TokenRevoked)));
}

async fn refreshes_at_the_same_time_get_the_same_answer(database: TemporaryDatabase) {
    let domain = TemporaryDomain::open(database).await;
    let first = domain.register("walker1").await;
    let refreshes = (0..8).map(|_| domain.accounts.refresh(&first.refresh_token, HERE));
    let answers = futures_util::future::try_join_all(refreshes).await.unwrap();
    assert!(answers.iter().all(|answer| answer.refresh_token == answers[0].refresh_token));
    assert!(domain.accounts.refresh(&answers[0].refresh_token, HERE).await.is_ok());
}

async fn an_old_refresh_token_ends_the_session_at_once(database: TemporaryDatabase) {
    let domain = TemporaryDomain::open(database).await;
    let first = domain.register("walker1").await;
    let second = domain.accounts.refresh(&first.refresh_token, HERE).await.unwrap();
    let third = domain.accounts.refresh(&second.refresh_token, HERE).await.unwrap();
    assert!(matches!(domain.accounts.refresh(&first.refresh_token, HERE).await, Err(Error::TokenRevoked)));
    assert!(matches!(domain.accounts.refresh(&third.refresh_token, HERE).await, Err(Error::TokenRevoked)));
}

async fn a_session_slides_with_each_refresh_and_expires_without(database: TemporaryDatabase) {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    let domain = TemporaryDomain::open(database).await;
    let mut session = domain.register("walker1").await;
    for _ in 0..3 {
        domain.advance(29 * DAY);
        session = domain.accounts.refresh(&session.refresh_token, HERE).await.unwrap();
    }
    domain.advance(30 * DAY);
    assert!(matches!(domain.accounts.refresh(&session.refresh_token, HERE).await, Err(Error::TokenExpired)));
    assert!(matches!(domain.accounts.refresh(&session.refresh_token, HERE).await, Err(Error::TokenRevoked)));
}

async fn a_new_password_ends_the_other_sessions(database: TemporaryDatabase) {
    let domain = TemporaryDomain::open(database).await;
    let here = domain.register("walker1").await;
    let there = log_in(&domain, PASSWORD).await.unwrap();
    let caller = domain.tokens.authenticate_user(&here.token).await.unwrap();
    let new = || Password::parse(NEW_PASSWORD).unwrap();
    let wrong = domain.accounts.change_password(&caller, NEW_PASSWORD, new(), HERE).await;
    assert!(matches!(wrong, Err(Error::InvalidCredentials)));
    domain.accounts.change_password(&caller, PASSWORD, new(), HERE).await.unwrap();
    assert!(domain.tokens.authenticate_user(&here.token).await.is_ok());
    assert!(matches!(domain.tokens.authenticate_user(&there.token).await, Err(Error::TokenRevoked)));
    assert!(matches!(log_in(&domain, PASSWORD).await, Err(Error::InvalidCredentials)));
    assert!(log_in(&domain, NEW_PASSWORD).await.is_ok());
}

async fn a_deleted_account_is_gone_and_its_name_is_free_again(database: TemporaryDatabase) {
    let domain = TemporaryDomain::open(database).await;
    let here = domain.register("walker1").await;
    let caller = domain.tokens.authenticate_user(&here.token).await.unwrap();
    assert_eq!(domain.accounts.account(&caller).await.unwrap().user_name.as_str(), "walker1");
    assert!(matches!(domain.accounts.delete(&caller, "wrong", HERE).await, Err(Error::InvalidCredentials)));
    domain.accounts.delete(&caller, PASSWORD, HERE).await.unwrap();
    assert!(matches!(domain.tokens.authenticate_user(&here.token).await, Err(Error::TokenRevoked)));
    assert!(matches!(domain.accounts.account(&caller).await, Err(Error::TokenRevoked)));
    assert!(matches!(log_in(&domain, PASSWORD).await, Err(Error::InvalidCredentials)));
    let again = domain.accounts.register(caller.user_name, Password::parse(PASSWORD).unwrap(), HERE);
    assert_ne!(
        again.await.unwrap().id,
        caller.user,
        "the name is free, and the old account's data stays with the old id"
    );
}

async fn guessing_is_slowed_down_for_known_and_unknown_names_alike(database: TemporaryDatabase) {
    let limits = RateLimitConfig { guesses_per_hour: 100, ..RateLimitConfig::default() };
    let domain = TemporaryDomain::with_limits(database, limits).await;
    domain.register("walker1").await;
    for name in ["walker1", "nobody1"] {
        for _ in 0..5 {
            let answer = domain.accounts.log_in(name, "wrong", HERE).await;
            assert!(matches!(answer, Err(Error::InvalidCredentials)));
        }
        let answer = domain.accounts.log_in(name, "wrong", HERE).await;
        assert!(matches!(answer, Err(Error::RateLimited { retry_after }) if retry_after.as_secs() == 1));
    }
    domain.advance(Duration::from_secs(1));
    assert!(log_in(&domain, PASSWORD).await.is_ok());
    assert!(log_in(&domain, PASSWORD).await.is_ok());
}

/// All attempts come from one network, which may try one password at a time.
async fn an_attempt_that_waits_takes_no_place_in_the_password_queue(database: TemporaryDatabase) {
    let limits = RateLimitConfig { registrations_per_hour: 0, guesses_per_hour: 1, messages_per_second: 0 };
    let domain = TemporaryDomain::with_limits(database, limits).await;
    domain.register("walker1").await;
    // One more than may wait to be hashed, and fewer than may wait for a guess.
    let mut waiting: Vec<_> = (0..61).map(|_| Box::pin(log_in(&domain, PASSWORD))).collect();
    let mut context = Context::from_waker(Waker::noop());
    for log_in in &mut waiting {
        assert!(log_in.as_mut().poll(&mut context).is_pending());
    }
    let (name, password) = (UserName::parse("walker2").unwrap(), Password::parse(PASSWORD).unwrap());
    domain.accounts.register(name, password, HERE).await.unwrap();
}
