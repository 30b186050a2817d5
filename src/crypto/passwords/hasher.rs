//! argon2id in memory that is kept from one password to the next, and bcrypt for what the original has stored.

use argon2::{
    Algorithm, Argon2, Block, Params, Version,
    password_hash::phc::{Output, ParamsString, PasswordHash, Salt},
};

use crate::model::GivenPassword;

/// OWASP's second choice for argon2id (Password Storage Cheat Sheet): 19 MiB, two passes, one lane.
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// The most that a stored hash may ask for: 256 MiB, four times what RFC 9106 recommends where memory is scarce.
const MOST_BLOCKS: usize = 256 * 1024;

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
    /// It is the one, but the hash is of another time, or of another form of it, and should be made anew.
    RightNeedsRehash,
    /// It is another, or there is no hash.
    Wrong,
}

/// Hashes one password at a time, all in the same memory.
#[derive(Default)]
pub(super) struct Hasher {
    /// Empty until it is needed.
    memory: Vec<Block>,
    /// How often a password was compared, so that tests see what it costs without a clock.
    #[cfg(test)]
    compared: usize,
}

impl Hasher {
    /// Says whether it holds memory.
    pub(super) const fn is_warm(&self) -> bool {
        !self.memory.is_empty()
    }

    /// Gives the memory back. The next password takes it anew.
    pub(super) fn cool(&mut self) {
        self.memory = Vec::new();
    }

    /// Hashes a password into a PHC string.
    pub(super) fn hash(&mut self, password: &str, salt: &[u8; 16]) -> String {
        let mut output = [0; Params::DEFAULT_OUTPUT_LEN];
        self.fill(&argon2id(), password, salt, &mut output)
            .expect("any password and 16 bytes of salt can be hashed");
        let hash = PasswordHash {
            algorithm: Algorithm::Argon2id.ident(),
            version: Some(Version::V0x13.into()),
            params: ParamsString::try_from(argon2id().params()).expect("three numbers fit"),
            salt: Some(Salt::new(salt).expect("16 bytes are a salt")),
            hash: Some(Output::new(&output).expect("32 bytes are a hash")),
        };
        hash.to_string()
    }

    fn verify(&mut self, password: &str, stored: &str) -> Verdict {
        #[cfg(test)]
        {
            self.compared += 1;
        }
        if is_bcrypt(stored) {
            // The original hashed with bcrypt, and refused what bcrypt would have cut off.
            return match bcrypt::verify(password, stored) {
                Ok(true) if password.len() <= 72 => Verdict::RightNeedsRehash,
                _ => Verdict::Wrong,
            };
        }
        self.verify_argon2(password, stored).unwrap_or(Verdict::Wrong)
    }

    /// Returns none for what is no hash of argon2.
    fn verify_argon2(&mut self, password: &str, stored: &str) -> Option<Verdict> {
        let stored = PasswordHash::new(stored).ok()?;
        let algorithm = Algorithm::try_from(stored.algorithm.as_str()).ok()?;
        let version = stored.version.map_or(Ok(Version::default()), Version::try_from).ok()?;
        let params = Params::try_from(&stored).ok()?;
        let (salt, expected) = (stored.salt?, stored.hash?);
        let is_of_today = (params.m_cost(), params.t_cost(), params.p_cost()) == (MEMORY_KIB, PASSES, LANES);
        let mut output = [0; Output::MAX_LENGTH];
        let output = output.get_mut(..expected.len())?;
        if let Err(error) = self.fill(&Argon2::new(algorithm, version, params), password, &salt, output) {
            tracing::error!(%error, params = %stored.params, "a stored hash cannot be compared with a password");
            return None;
        }
        // `Output` compares in constant time.
        Some(match (Output::new(output).ok()? == expected, is_of_today) {
            (true, true) => Verdict::Right,
            (true, false) => Verdict::RightNeedsRehash,
            (false, _) => Verdict::Wrong,
        })
    }

    /// Computes a hash of the length of `output`. What needs more memory than is kept has memory of its own.
    fn fill(
        &mut self,
        argon2: &Argon2<'_>,
        password: &str,
        salt: &[u8],
        output: &mut [u8],
    ) -> argon2::Result<()> {
        let (blocks, kept) = (argon2.params().block_count(), argon2id().params().block_count());
        let mut more = Vec::new();
        let memory = if blocks <= kept { &mut self.memory } else { &mut more };
        if memory.len() < blocks {
            if blocks > MOST_BLOCKS || memory.try_reserve_exact(blocks.max(kept)).is_err() {
                return Err(argon2::Error::OutOfMemory);
            }
            memory.resize(blocks.max(kept), Block::new());
        }
        argon2.hash_password_into_with_memory(password.as_bytes(), salt, output, memory.as_mut_slice())
    }
}

/// What is compared with a password.
pub(super) struct Work {
    stored: String,
    is_known: bool,
    /// A hash of the other kind, for whoever is wrong.
    other: Option<String>,
}

impl Work {
    /// Compares with a stored hash, and with none for who is not there. Where there are accounts with hashes of bcrypt
    /// their cost is not 0, and whatever is wrong costs the work of both kinds, for each form of the password.
    pub(super) fn of(stored: Option<String>, bcrypt_cost: u32) -> Self {
        let is_known = stored.is_some();
        let stored = stored.unwrap_or_else(|| DUMMY.to_owned());
        let other = if is_bcrypt(&stored) {
            Some(DUMMY.to_owned())
        } else {
            (bcrypt_cost > 0).then(|| format!("$2b${bcrypt_cost:02}${BCRYPT_DUMMY}"))
        };
        Self { stored, is_known, other }
    }

    /// Compares. How many forms the password has is known to whoever typed it, so that a second one tells nothing of what
    /// is stored.
    pub(super) fn done_with(self, password: &GivenPassword, hasher: &mut Hasher) -> Verdict {
        for (form, is_older) in [(Some(password.expose()), false), (password.as_typed(), true)] {
            let Some(form) = form else { continue };
            match hasher.verify(form, &self.stored) {
                Verdict::Wrong => {}
                Verdict::Right if self.is_known && !is_older => return Verdict::Right,
                _ if self.is_known => return Verdict::RightNeedsRehash,
                _ => {}
            }
            if let Some(other) = &self.other {
                hasher.verify(form, other);
            }
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

#[cfg(test)]
mod tests {
    use argon2::PasswordHasher as _;

    use super::*;

    /// A hash with other parameters.
    fn other(kib: u32, passes: u32, lanes: u32) -> String {
        let params = Params::new(kib, passes, lanes, None).unwrap();
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        argon2.hash_password_with_salt(b"Passw0rd!", &[7; 16]).unwrap().to_string()
    }

    fn verdict(password: &str, stored: &str) -> Verdict {
        Work::of(Some(stored.to_owned()), 0).done_with(&GivenPassword::new(password), &mut Hasher::default())
    }

    #[test]
    fn what_lies_in_the_memory_changes_no_hash() {
        let mut hasher = Hasher::default();
        let theirs = argon2id().hash_password_with_salt(b"Passw0rd!", &[7; 16]).unwrap().to_string();
        for _ in 0..2 {
            assert_eq!(hasher.hash("Passw0rd!", &[7; 16]), theirs);
            assert_eq!(hasher.verify("another", &other(64, 1, 1)), Verdict::Wrong);
        }
        assert!(hasher.is_warm());
        hasher.cool();
        assert!(!hasher.is_warm());
        assert_eq!(hasher.verify("Passw0rd!", &theirs), Verdict::Right);
    }

    #[test]
    fn nobody_has_a_password_but_checking_it_is_real_work() {
        let hash = PasswordHash::new(DUMMY).unwrap();
        let params = Params::try_from(&hash).unwrap();
        assert_eq!((params.m_cost(), params.t_cost(), params.p_cost()), (MEMORY_KIB, PASSES, LANES));
        assert_eq!(hash.hash.unwrap().as_bytes().len(), Params::DEFAULT_OUTPUT_LEN);
        let mut hasher = Hasher::default();
        assert_eq!(
            Work::of(None, 0).done_with(&GivenPassword::new("Passw0rd!"), &mut hasher),
            Verdict::Wrong
        );
        assert!(hasher.is_warm());
    }

    #[test]
    fn the_originals_hashes_verify_and_are_to_be_replaced() {
        let hash = bcrypt::hash("Passw0rd!", 4).unwrap();
        assert_eq!(verdict("Passw0rd!", &hash), Verdict::RightNeedsRehash);
        assert_eq!(verdict("passw0rd!", &hash), Verdict::Wrong);
        let cut_off = bcrypt::hash("x".repeat(72), 4).unwrap();
        assert_eq!(verdict(&"x".repeat(73), &cut_off), Verdict::Wrong);
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

    #[test]
    fn a_hash_of_what_was_typed_opens_and_is_to_be_replaced() {
        const TYPED: &str = "Pa\u{301}ssw0rd!";
        let prepared = GivenPassword::new(TYPED);
        let mut hasher = Hasher::default();
        let hash = hasher.hash(prepared.expose(), &[7; 16]);
        assert_eq!(
            (verdict(TYPED, &hash), verdict(prepared.expose(), &hash)),
            (Verdict::Right, Verdict::Right)
        );
        for older in [hasher.hash(TYPED, &[7; 16]), bcrypt::hash(TYPED, 4).unwrap()] {
            assert_eq!(verdict(TYPED, &older), Verdict::RightNeedsRehash);
            assert_eq!(
                verdict(prepared.expose(), &older),
                Verdict::Wrong,
                "it is not known how else it was typed"
            );
        }
    }

    #[test]
    fn a_second_form_costs_the_same_whoever_is_there() {
        let (argon2, bcrypt) =
            (Hasher::default().hash("Passw0rd!", &[7; 16]), bcrypt::hash("Passw0rd!", 4).unwrap());
        let cost = |stored: Option<&String>, password: &str, bcrypt_cost: u32| {
            let mut hasher = Hasher::default();
            let work = Work::of(stored.cloned(), bcrypt_cost);
            assert_eq!(work.done_with(&GivenPassword::new(password), &mut hasher), Verdict::Wrong);
            hasher.compared
        };
        for (password, forms) in [("wrong", 1), ("wro\u{a0}ng", 2)] {
            assert_eq!((cost(None, password, 0), cost(Some(&argon2), password, 0)), (forms, forms));
            for stored in [None, Some(&argon2), Some(&bcrypt)] {
                assert_eq!(cost(stored, password, 4), 2 * forms, "both kinds of hashes");
            }
        }
    }

    #[test]
    fn other_parameters_verify_and_are_to_be_replaced() {
        for (kib, passes, lanes) in [(64, 1, 1), (2 * MEMORY_KIB, 1, 1), (4_096, 1, 4)] {
            let hash = other(kib, passes, lanes);
            assert_eq!(verdict("Passw0rd!", &hash), Verdict::RightNeedsRehash, "{hash}");
            assert_eq!(verdict("passw0rd!", &hash), Verdict::Wrong, "{hash}");
        }
        assert_eq!(verdict("Passw0rd!", "nonsense"), Verdict::Wrong);
    }

    #[test]
    fn a_hash_that_asks_for_more_memory_than_there_may_be_is_not_followed() {
        let hash = other(64, 1, 1).replace("m=64", "m=4194304");
        assert_eq!(verdict("Passw0rd!", &hash), Verdict::Wrong);
    }
}
