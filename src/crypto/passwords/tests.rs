//! Tests of hashing and its queue.

use futures_util::FutureExt as _;
use std::{
    net::Ipv4Addr,
    pin::pin,
    sync::mpsc,
    task::{Context, Poll, Waker},
};

use super::*;
use crate::model::{GivenPassword, UserId};

const SOMEBODY: Payer = Payer::User(UserId(1));

fn here() -> Payer {
    Payer::at(Ipv4Addr::LOCALHOST.into())
}

fn there() -> Payer {
    Payer::at(Ipv4Addr::new(127, 0, 0, 2).into())
}

fn passwords() -> Passwords {
    Passwords::start(Clock::system(), 1).unwrap()
}

/// Keeps the only thread busy until the sender is dropped.
fn keep_busy(passwords: &Passwords) -> mpsc::Sender<()> {
    let (busy, until) = mpsc::channel::<()>();
    let (begun, has_begun) = mpsc::channel();
    let slot = passwords.admit(Payer::User(UserId(0))).unwrap();
    let job = move |_: &mut Hasher| {
        begun.send(()).unwrap();
        // It ends with an error, when the sender is dropped.
        let _ = until.recv();
    };
    slot.pool.workers.submit(slot.payer, slot.ticket, Box::new(job));
    has_begun.recv().unwrap();
    busy
}

/// Takes slots until there is none.
fn fill(passwords: &Passwords, payer: Payer) -> Vec<QueueSlot> {
    std::iter::from_fn(|| passwords.admit(payer).ok()).collect()
}

#[tokio::test]
async fn a_hash_is_a_phc_string_with_owasps_parameters_and_its_own_salt() {
    let passwords = passwords();
    let hash = passwords.hash(here(), "Passw0rd!").await.unwrap();
    assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
    assert_ne!(hash, passwords.hash(here(), "Passw0rd!").await.unwrap());
    for (password, verdict) in [("Passw0rd!", Verdict::Right), ("passw0rd!", Verdict::Wrong)] {
        let slot = passwords.admit(here()).unwrap();
        let seen = slot.verify(&GivenPassword::new(password), Some(hash.clone())).await.unwrap();
        assert_eq!(seen, verdict);
    }
}

#[tokio::test]
async fn passwords_are_compared_correctly_while_there_are_bcrypt_hashes() {
    let (passwords, theirs) = (passwords(), bcrypt::hash("Passw0rd!", 4).unwrap());
    passwords.expect_bcrypt(&theirs);
    let ours = passwords.hash(here(), "Passw0rd!").await.unwrap();
    for (password, stored, verdict) in [
        ("Passw0rd!", Some(&ours), Verdict::Right),
        ("Passw0rd!", Some(&theirs), Verdict::RightNeedsRehash),
        ("passw0rd!", Some(&ours), Verdict::Wrong),
        ("passw0rd!", Some(&theirs), Verdict::Wrong),
        ("Passw0rd!", None, Verdict::Wrong),
    ] {
        let seen = passwords
            .admit(here())
            .unwrap()
            .verify(&GivenPassword::new(password), stored.cloned())
            .await
            .unwrap();
        assert_eq!(seen, verdict, "{password} {stored:?}");
    }
}

#[tokio::test]
async fn a_full_queue_refuses_at_once() {
    let passwords = passwords();
    let taken = fill(&passwords, here());
    assert_eq!(taken.len(), WAITING_OF_NETWORK_PER_WORKER);
    assert!(matches!(passwords.hash(here(), "Passw0rd!").await, Err(Error::Overloaded)));
    drop(taken);
    assert!(passwords.hash(here(), "Passw0rd!").await.is_ok());
}

#[tokio::test]
async fn one_network_and_one_account_leave_slots_to_others() {
    let passwords = passwords();
    let (network, account) = (fill(&passwords, here()), fill(&passwords, SOMEBODY));
    assert_eq!(network.len(), WAITING_OF_NETWORK_PER_WORKER);
    assert!(!account.is_empty() && account.len() <= WAITING_OF_ACCOUNT, "{}", account.len());
    assert!(passwords.hash(there(), "Passw0rd!").await.is_ok());
    assert!(passwords.hash(Payer::User(UserId(2)), "Passw0rd!").await.is_ok());
}

#[tokio::test]
async fn waiting_accounts_take_no_slots_from_networks() {
    let passwords = passwords();
    let busy = keep_busy(&passwords);
    // A growing line displaces jobs of longer lines.
    let mut jobs = Vec::new();
    let mut context = Context::from_waker(Waker::noop());
    for user in 1..100 {
        for slot in fill(&passwords, Payer::User(UserId(user))) {
            let mut job = Box::pin(slot.hash("Passw0rd!"));
            assert!(job.as_mut().poll(&mut context).is_pending());
            jobs.push(job);
        }
    }
    assert_eq!(fill(&passwords, here()).len(), WAITING_OF_NETWORK_PER_WORKER);
    // Networks and accounts are served alternately.
    let log_in = passwords.hash(here(), "Passw0rd!");
    drop(busy);
    log_in.await.unwrap();
    let served = jobs.iter_mut().filter_map(|job| job.now_or_never()).filter(Result::is_ok).count();
    assert!(served <= 2, "{served}");
}

#[tokio::test]
async fn a_job_displaced_by_a_shorter_line_is_refused_at_once() {
    let passwords = passwords();
    let busy = keep_busy(&passwords);
    let mut waiting: Vec<_> =
        fill(&passwords, here()).into_iter().map(|slot| Box::pin(slot.hash("Passw0rd!"))).collect();
    let mut context = Context::from_waker(Waker::noop());
    for job in &mut waiting {
        assert!(job.as_mut().poll(&mut context).is_pending());
    }
    let mut others = fill(&passwords, there());
    // Two slots were free. The rest of the new slots displaced the newest jobs.
    assert!(others.len() > 2, "{}", others.len());
    let displaced = waiting.split_off(waiting.len() - (others.len() - 2));
    for job in displaced {
        assert!(matches!(job.await, Err(Error::Overloaded)));
    }
    for job in &mut waiting {
        assert!(job.as_mut().poll(&mut context).is_pending());
    }
    // A slot that is lost before its job is submitted fails in the same way.
    let others_again = fill(&passwords, Payer::at(Ipv4Addr::new(127, 0, 0, 3).into()));
    assert!(others_again.len() > 1, "{}", others_again.len());
    let lost = others.pop().unwrap();
    drop(busy);
    assert!(matches!(lost.hash("Passw0rd!").await, Err(Error::Overloaded)));
}

#[tokio::test]
async fn a_dropped_caller_frees_its_slot_and_costs_no_hash() {
    let passwords = passwords();
    let busy = keep_busy(&passwords);
    let slots = fill(&passwords, SOMEBODY);
    let count = slots.len();
    {
        let mut context = Context::from_waker(Waker::noop());
        for slot in slots {
            let mut job = pin!(slot.run(|_| panic!("the caller is gone")));
            let polled: Poll<Result<()>> = job.as_mut().poll(&mut context);
            assert!(polled.is_pending());
        }
    }
    assert_eq!(fill(&passwords, SOMEBODY).len(), count);
    drop(busy);
    assert!(passwords.hash(SOMEBODY, "Passw0rd!").await.is_ok());
}

#[tokio::test]
async fn a_panic_affects_only_its_caller() {
    let passwords = passwords();
    let broken = passwords.admit(here()).unwrap().run::<()>(|_| panic!("on purpose")).await;
    assert!(matches!(broken, Err(Error::Internal)), "{broken:?}");
    assert!(passwords.hash(here(), "Passw0rd!").await.is_ok());
}

#[tokio::test]
async fn the_threads_end_with_the_last_handle() {
    let passwords = passwords();
    let workers = Arc::downgrade(&passwords.0.workers);
    passwords.clone().hash(here(), "Passw0rd!").await.unwrap();
    assert!(workers.upgrade().is_some());
    drop(passwords);
    // The thread holds its reference until it has ended.
    while workers.upgrade().is_some() {
        tokio::task::yield_now().await;
    }
}
