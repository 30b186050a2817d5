//! Password hashing that costs the caller time, and everybody else nothing.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use argon2::{
    Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version,
    password_hash::phc::PasswordHash,
};
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use crate::{
    clock::Clock,
    metrics::PASSWORD_QUEUE_SECONDS,
    model::{Error, Result},
};

/// OWASP's second choice for argon2id (Password Storage Cheat Sheet): 19 MiB, two passes, one lane.
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// How many may wait for each that is hashed. More would wait for longer than a person does.
const WAITING_PER_WORKER: usize = 32;

/// A hash that no password is known for, with today's parameters: an unknown account costs what a known one
/// does.
const DUMMY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$R1JQQ0NoYXR0ZXItbm9ib2R5$dGhlIHBhc3N3b3JkIG9mIG5vYm9keSBhdCBhbGwhISE";

/// What follows the cost in a hash of bcrypt that no password is known for: a salt, and a hash of zeros.
const BCRYPT_DUMMY: &str = "R1JQQ0NoYXR0ZXItbm9ibe...............................";

/// What a password is to a stored hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is the one.
    Right,
    /// It is the one, but the hash is of another time and should be made anew.
    RightNeedsRehash,
    /// It is another, or there is no hash.
    Wrong,
}

/// Hashes and verifies on threads of its own, as many at once as it was given; a bounded number waits, the
/// excess is refused at once. Clones share the bound.
#[derive(Clone)]
pub struct Passwords(Arc<Inner>);

struct Inner {
    core: Handle,
    clock: Clock,
    /// One permit for each that is hashed or waits: who gets none is refused.
    admitted: Arc<Semaphore>,
    /// One permit for each that is hashed: who gets none waits.
    workers: Arc<Semaphore>,
    /// The cost of the accounts' hashes that are still bcrypt's; 0 where there are none.
    bcrypt_cost: AtomicU32,
}

impl Passwords {
    /// Makes a pool of `workers` that runs on the blocking threads of `core`.
    pub fn new(core: Handle, clock: Clock, workers: usize) -> Self {
        let workers = workers.max(1);
        Self(Arc::new(Inner {
            core,
            clock,
            admitted: Arc::new(Semaphore::new(workers * (1 + WAITING_PER_WORKER))),
            workers: Arc::new(Semaphore::new(workers)),
            bcrypt_cost: AtomicU32::new(0),
        }))
    }

    /// Says that some accounts' hashes are bcrypt's, such as this one. From now on whatever is wrong costs the work of
    /// both kinds: else the time would tell which accounts are the original's, and so that they are there.
    pub fn expect_bcrypt(&self, hash: &str) {
        let cost = hash.split('$').nth(2).and_then(|cost| cost.parse().ok());
        self.0.bcrypt_cost.store(cost.unwrap_or(bcrypt::DEFAULT_COST), Ordering::Relaxed);
    }

    /// Takes a place in the queue. Whoever has to read the database first takes it before that, so that a flood
    /// is refused before it costs anything.
    ///
    /// # Errors
    /// [`Error::Overloaded`] where too many wait.
    pub fn admit(&self) -> Result<Place> {
        let admitted = Arc::clone(&self.0.admitted).try_acquire_owned().map_err(|_| Error::Overloaded)?;
        Ok(Place { pool: Arc::clone(&self.0), admitted })
    }

    /// Hashes a password into a PHC string.
    ///
    /// # Errors
    /// [`Error::Overloaded`] where too many wait.
    pub async fn hash(&self, password: &str) -> Result<String> {
        self.admit()?.hash(password).await
    }
}

/// A place in the queue, good for one password.
#[must_use = "it is held for nothing"]
pub struct Place {
    pool: Arc<Inner>,
    admitted: OwnedSemaphorePermit,
}

impl Place {
    /// Hashes a password into a PHC string.
    ///
    /// # Errors
    /// [`Error::Internal`] where hashing panicked.
    pub async fn hash(self, password: &str) -> Result<String> {
        let salt = self.pool.clock.random::<16>();
        let password = password.to_owned();
        self.run(move || {
            let hash = argon2id()
                .hash_password_with_salt(password.as_bytes(), &salt)
                .expect("any password and 16 bytes of salt can be hashed");
            hash.to_string()
        })
        .await
    }

    /// Compares a password with a stored hash. None, for an account or room that is not there, costs the same
    /// time and is always wrong.
    ///
    /// # Errors
    /// [`Error::Internal`] where hashing panicked.
    pub async fn verify(self, password: &str, stored: Option<String>) -> Result<Verdict> {
        let password = password.to_owned();
        let work = Work::of(stored, self.pool.bcrypt_cost.load(Ordering::Relaxed));
        self.run(move || work.done_with(&password)).await
    }

    /// Runs `work` on a blocking thread. The permits move into it: a caller that is dropped frees its place only
    /// when the thread is free.
    async fn run<T: Send + 'static>(self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let workers = Arc::clone(&self.pool.workers);
        let since = Instant::now();
        let worker = workers.acquire_owned().await.expect("the semaphore is never closed");
        PASSWORD_QUEUE_SECONDS.observe_duration(since.elapsed());
        let admitted = self.admitted;
        let task = self.pool.core.spawn_blocking(move || {
            let done = work();
            drop((worker, admitted));
            done
        });
        task.await.map_err(|error| {
            tracing::error!(%error, "hashing a password panicked");
            Error::Internal
        })
    }
}

/// What is compared with a password.
struct Work {
    stored: String,
    is_known: bool,
    /// A hash of the other kind, for whoever is wrong.
    other: Option<String>,
}

impl Work {
    fn of(stored: Option<String>, bcrypt_cost: u32) -> Self {
        let is_known = stored.is_some();
        let stored = stored.unwrap_or_else(|| DUMMY.to_owned());
        let other = if is_bcrypt(&stored) {
            Some(DUMMY.to_owned())
        } else {
            (bcrypt_cost > 0).then(|| format!("$2b${bcrypt_cost:02}${BCRYPT_DUMMY}"))
        };
        Self { stored, is_known, other }
    }

    fn done_with(self, password: &str) -> Verdict {
        let verdict = verify(password, &self.stored);
        if self.is_known && verdict != Verdict::Wrong {
            return verdict;
        }
        if let Some(other) = &self.other {
            verify(password, other);
        }
        Verdict::Wrong
    }
}

fn is_bcrypt(hash: &str) -> bool {
    hash.starts_with("$2")
}

fn argon2id() -> Argon2<'static> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).expect("OWASP's parameters are valid");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

fn verify(password: &str, stored: &str) -> Verdict {
    if is_bcrypt(stored) {
        // The original hashed with bcrypt, and refused what bcrypt would have cut off.
        return match bcrypt::verify(password, stored) {
            Ok(true) if password.len() <= 72 => Verdict::RightNeedsRehash,
            _ => Verdict::Wrong,
        };
    }
    let Ok(hash) = PasswordHash::new(stored) else { return Verdict::Wrong };
    if argon2id().verify_password(password.as_bytes(), &hash).is_err() {
        return Verdict::Wrong;
    }
    let today = Params::try_from(&hash).is_ok_and(|params| {
        (params.m_cost(), params.t_cost(), params.p_cost()) == (MEMORY_KIB, PASSES, LANES)
    });
    if today { Verdict::Right } else { Verdict::RightNeedsRehash }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passwords() -> Passwords {
        Passwords::new(Handle::current(), Clock::system(), 1)
    }

    #[tokio::test]
    async fn a_hash_is_a_phc_string_with_owasps_parameters_and_its_own_salt() {
        let passwords = passwords();
        let hash = passwords.hash("Passw0rd!").await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert_ne!(hash, passwords.hash("Passw0rd!").await.unwrap());
        assert_eq!(
            passwords.admit().unwrap().verify("Passw0rd!", Some(hash.clone())).await.unwrap(),
            Verdict::Right
        );
        assert_eq!(passwords.admit().unwrap().verify("passw0rd!", Some(hash)).await.unwrap(), Verdict::Wrong);
    }

    #[tokio::test]
    async fn nobody_has_a_password_but_checking_it_is_real_work() {
        let hash = PasswordHash::new(DUMMY).unwrap();
        let params = Params::try_from(&hash).unwrap();
        assert_eq!((params.m_cost(), params.t_cost(), params.p_cost()), (MEMORY_KIB, PASSES, LANES));
        assert_eq!(hash.hash.unwrap().as_bytes().len(), Params::DEFAULT_OUTPUT_LEN);
        assert_eq!(passwords().admit().unwrap().verify("Passw0rd!", None).await.unwrap(), Verdict::Wrong);
    }

    #[tokio::test]
    async fn the_originals_hashes_verify_and_are_to_be_replaced() {
        let passwords = passwords();
        let hash = bcrypt::hash("Passw0rd!", 4).unwrap();
        let verdict = passwords.admit().unwrap().verify("Passw0rd!", Some(hash.clone())).await.unwrap();
        assert_eq!(verdict, Verdict::RightNeedsRehash);
        assert_eq!(passwords.admit().unwrap().verify("passw0rd!", Some(hash)).await.unwrap(), Verdict::Wrong);
        let cut_off = bcrypt::hash("x".repeat(72), 4).unwrap();
        assert_eq!(
            passwords.admit().unwrap().verify(&"x".repeat(73), Some(cut_off)).await.unwrap(),
            Verdict::Wrong
        );
    }

    #[test]
    fn whatever_is_wrong_costs_the_same_work_while_hashes_of_bcrypt_are_there() {
        let theirs = bcrypt::hash("Passw0rd!", 4).unwrap();
        let kind = |hash: &str| hash.split('$').take(4).map(str::to_owned).collect::<Vec<_>>();
        let work = |stored: Option<&str>| {
            let work = Work::of(stored.map(str::to_owned), 4);
            let mut kinds = [Some(work.stored), work.other].map(|hash| hash.map(|hash| kind(&hash)));
            // bcrypt's salt is not part of its kind.
            for kind in kinds.iter_mut().flatten().filter(|kind| kind[1].starts_with('2')) {
                kind.truncate(3);
            }
            kinds.sort();
            kinds
        };
        let known = DUMMY.replace("bm9ib2R5", "c29tZWJv");
        assert_eq!(work(None), work(Some(&known)));
        assert_eq!(work(None), work(Some(&theirs)));
        assert!(work(None).iter().all(Option::is_some));
        assert_eq!(Work::of(None, 0).other, None, "without such accounts nobody pays for them");
        let other = Work::of(None, 4).other.unwrap();
        assert_eq!(bcrypt::verify("Passw0rd!", &other).ok(), Some(false), "it is real work");
    }

    #[tokio::test]
    async fn a_right_password_is_right_and_a_wrong_one_wrong_beside_hashes_of_bcrypt() {
        let (passwords, theirs) = (passwords(), bcrypt::hash("Passw0rd!", 4).unwrap());
        passwords.expect_bcrypt(&theirs);
        let ours = passwords.hash("Passw0rd!").await.unwrap();
        for (password, stored, verdict) in [
            ("Passw0rd!", Some(&ours), Verdict::Right),
            ("Passw0rd!", Some(&theirs), Verdict::RightNeedsRehash),
            ("passw0rd!", Some(&ours), Verdict::Wrong),
            ("passw0rd!", Some(&theirs), Verdict::Wrong),
            ("Passw0rd!", None, Verdict::Wrong),
        ] {
            let seen = passwords.admit().unwrap().verify(password, stored.cloned()).await.unwrap();
            assert_eq!(seen, verdict, "{password} {stored:?}");
        }
    }

    #[tokio::test]
    async fn weaker_parameters_are_to_be_replaced() {
        let weak = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(64, 1, 1, None).unwrap());
        let hash = weak.hash_password_with_salt(b"Passw0rd!", &[7; 16]).unwrap().to_string();
        assert_eq!(
            passwords().admit().unwrap().verify("Passw0rd!", Some(hash)).await.unwrap(),
            Verdict::RightNeedsRehash
        );
        assert_eq!(
            passwords().admit().unwrap().verify("Passw0rd!", Some("nonsense".into())).await.unwrap(),
            Verdict::Wrong
        );
    }

    #[tokio::test]
    async fn the_excess_is_refused_at_once() {
        let passwords = passwords();
        let places = 1 + WAITING_PER_WORKER;
        let taken: Vec<_> = (0..places).map(|_| passwords.admit().unwrap()).collect();
        assert!(matches!(passwords.hash("Passw0rd!").await, Err(Error::Overloaded)));
        drop(taken);
        assert!(passwords.hash("Passw0rd!").await.is_ok());
    }
}
