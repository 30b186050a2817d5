//! Hashes with argon2id, in memory that is reused, and verifies the bcrypt hashes of the original.

use argon2::{
    Algorithm, Argon2, Block, Params, Version,
    password_hash::phc::{Output, ParamsString, PasswordHash, Salt},
};

use crate::model::GivenPassword;

/// OWASP's second choice for argon2id (Password Storage Cheat Sheet): 19 MiB, two passes, one lane.
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// Maximum memory of a stored hash, in blocks of 1 KiB: 256 MiB, four times what RFC 9106 recommends if memory is scarce.
const MAX_BLOCKS: usize = 256 * 1024;

/// A hash with the current parameters and no known password, so that an unknown account costs the same time as a known one.
const DUMMY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$R1JQQ0NoYXR0ZXItbm9ib2R5$dGhlIHBhc3N3b3JkIG9mIG5vYm9keSBhdCBhbGwhISE";

/// The end of a bcrypt hash with no known password, after its cost: a salt, and a hash of zeros.
const BCRYPT_DUMMY: &str = "R1JQQ0NoYXR0ZXItbm9ibe...............................";

/// The result of comparing a password with a stored hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The password matches.
    Right,
    /// The password matches, but the hash has other parameters or is of another form of the password, and should be
    /// replaced.
    RightNeedsRehash,
    /// The password does not match, or there is no hash.
    Wrong,
}

/// Hashes one password at a time, in the same memory.
#[derive(Default)]
pub(super) struct Hasher {
    /// Empty until it is needed, and after [`Self::release_memory`].
    memory: Vec<Block>,
    /// Number of comparisons, so that tests can measure the cost without a clock.
    #[cfg(test)]
    compared: usize,
}

impl Hasher {
    /// Says whether it holds its memory.
    pub(super) const fn holds_memory(&self) -> bool {
        !self.memory.is_empty()
    }

    /// Releases the memory. The next password allocates it again.
    pub(super) fn release_memory(&mut self) {
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
            // The original refused longer passwords, which bcrypt would have truncated.
            return match bcrypt::verify(password, stored) {
                Ok(true) if password.len() <= 72 => Verdict::RightNeedsRehash,
                _ => Verdict::Wrong,
            };
        }
        self.verify_argon2(password, stored).unwrap_or(Verdict::Wrong)
    }

    /// Returns `None` if `stored` is no usable argon2 hash.
    fn verify_argon2(&mut self, password: &str, stored: &str) -> Option<Verdict> {
        let stored = PasswordHash::new(stored).ok()?;
        let algorithm = Algorithm::try_from(stored.algorithm.as_str()).ok()?;
        let version = stored.version.map_or(Ok(Version::default()), Version::try_from).ok()?;
        let params = Params::try_from(&stored).ok()?;
        let (salt, expected) = (stored.salt?, stored.hash?);
        let is_current = (params.m_cost(), params.t_cost(), params.p_cost()) == (MEMORY_KIB, PASSES, LANES);
        let mut output = [0; Output::MAX_LENGTH];
        let output = output.get_mut(..expected.len())?;
        if let Err(error) = self.fill(&Argon2::new(algorithm, version, params), password, &salt, output) {
            tracing::error!(%error, params = %stored.params, "a stored hash cannot be compared with a password");
            return None;
        }
        // `Output` compares in constant time.
        Some(match (Output::new(output).ok()? == expected, is_current) {
            (true, true) => Verdict::Right,
            (true, false) => Verdict::RightNeedsRehash,
            (false, _) => Verdict::Wrong,
        })
    }

    /// Computes a hash of the length of `output`. Parameters that need more memory than is kept get memory of their own.
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
            if blocks > MAX_BLOCKS || memory.try_reserve_exact(blocks.max(kept)).is_err() {
                return Err(argon2::Error::OutOfMemory);
            }
            memory.resize(blocks.max(kept), Block::new());
        }
        argon2.hash_password_into_with_memory(password.as_bytes(), salt, output, memory.as_mut_slice())
    }
}

/// The stored hash that a password is compared with, or a dummy.
pub(super) struct Comparison {
    stored: String,
    is_known: bool,
    /// A dummy of the other algorithm, compared too if the password does not match.
    dummy: Option<String>,
}

impl Comparison {
    /// Prepares a comparison with a stored hash; `None` for an account or room that does not exist. `bcrypt_cost` is 0
    /// unless some accounts have bcrypt hashes. Then every mismatch costs the work of both algorithms, for each form of
    /// the password.
    pub(super) fn new(stored: Option<String>, bcrypt_cost: u32) -> Self {
        let is_known = stored.is_some();
        let stored = stored.unwrap_or_else(|| DUMMY.to_owned());
        let dummy = if is_bcrypt(&stored) {
            Some(DUMMY.to_owned())
        } else {
            (bcrypt_cost > 0).then(|| format!("$2b${bcrypt_cost:02}${BCRYPT_DUMMY}"))
        };
        Self { stored, is_known, dummy }
    }

    /// Compares. The number of forms depends only on the password as typed, so comparing a second form reveals nothing
    /// about the stored hash.
    pub(super) fn run(self, password: &GivenPassword, hasher: &mut Hasher) -> Verdict {
        for (form, is_older) in [(Some(password.expose()), false), (password.as_typed(), true)] {
            let Some(form) = form else { continue };
            match hasher.verify(form, &self.stored) {
                Verdict::Wrong => {}
                Verdict::Right if self.is_known && !is_older => return Verdict::Right,
                _ if self.is_known => return Verdict::RightNeedsRehash,
                _ => {}
            }
            if let Some(dummy) = &self.dummy {
                hasher.verify(form, dummy);
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

    /// Hashes with other parameters.
    fn hash_with(kib: u32, passes: u32, lanes: u32) -> String {
        let params = Params::new(kib, passes, lanes, None).unwrap();
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        argon2.hash_password_with_salt(b"Passw0rd!", &[7; 16]).unwrap().to_string()
    }

    fn verdict(password: &str, stored: &str) -> Verdict {
        Comparison::new(Some(stored.to_owned()), 0).run(&GivenPassword::new(password), &mut Hasher::default())
    }

    #[test]
    fn leftovers_in_the_memory_change_no_hash() {
        let mut hasher = Hasher::default();
        let theirs = argon2id().hash_password_with_salt(b"Passw0rd!", &[7; 16]).unwrap().to_string();
        for _ in 0..2 {
            assert_eq!(hasher.hash("Passw0rd!", &[7; 16]), theirs);
            assert_eq!(hasher.verify("another", &hash_with(64, 1, 1)), Verdict::Wrong);
        }
        assert!(hasher.holds_memory());
        hasher.release_memory();
        assert!(!hasher.holds_memory());
        assert_eq!(hasher.verify("Passw0rd!", &theirs), Verdict::Right);
    }

    #[test]
    fn the_dummy_costs_the_work_of_a_real_hash() {
        let hash = PasswordHash::new(DUMMY).unwrap();
        let params = Params::try_from(&hash).unwrap();
        assert_eq!((params.m_cost(), params.t_cost(), params.p_cost()), (MEMORY_KIB, PASSES, LANES));
        assert_eq!(hash.hash.unwrap().as_bytes().len(), Params::DEFAULT_OUTPUT_LEN);
        let mut hasher = Hasher::default();
        assert_eq!(
            Comparison::new(None, 0).run(&GivenPassword::new("Passw0rd!"), &mut hasher),
            Verdict::Wrong
        );
        assert!(hasher.holds_memory());
    }

    #[test]
    fn hashes_of_the_original_match_and_need_a_rehash() {
        let hash = bcrypt::hash("Passw0rd!", 4).unwrap();
        assert_eq!(verdict("Passw0rd!", &hash), Verdict::RightNeedsRehash);
        assert_eq!(verdict("passw0rd!", &hash), Verdict::Wrong);
        let cut_off = bcrypt::hash("x".repeat(72), 4).unwrap();
        assert_eq!(verdict(&"x".repeat(73), &cut_off), Verdict::Wrong);
    }

    #[test]
    fn every_mismatch_costs_the_same_work_while_there_are_bcrypt_hashes() {
        let theirs = bcrypt::hash("Passw0rd!", 4).unwrap();
        let kind = |hash: &str| hash.split('$').take(4).map(str::to_owned).collect::<Vec<_>>();
        let work = |stored: Option<&str>| {
            let comparison = Comparison::new(stored.map(str::to_owned), 4);
            let mut kinds =
                [Some(comparison.stored), comparison.dummy].map(|hash| hash.map(|hash| kind(&hash)));
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
        assert_eq!(Comparison::new(None, 0).dummy, None, "without bcrypt hashes there is no extra work");
        let dummy = Comparison::new(None, 4).dummy.unwrap();
        assert_eq!(bcrypt::verify("Passw0rd!", &dummy).ok(), Some(false), "it is real work");
    }

    #[test]
    fn a_hash_of_the_password_as_typed_matches_and_needs_a_rehash() {
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
                "the form as typed cannot be derived from it"
            );
        }
    }

    #[test]
    fn a_second_form_costs_the_same_for_every_account() {
        let (argon2, bcrypt) =
            (Hasher::default().hash("Passw0rd!", &[7; 16]), bcrypt::hash("Passw0rd!", 4).unwrap());
        let cost = |stored: Option<&String>, password: &str, bcrypt_cost: u32| {
            let mut hasher = Hasher::default();
            let comparison = Comparison::new(stored.cloned(), bcrypt_cost);
            assert_eq!(comparison.run(&GivenPassword::new(password), &mut hasher), Verdict::Wrong);
            hasher.compared
        };
        for (password, forms) in [("wrong", 1), ("wro\u{a0}ng", 2)] {
            assert_eq!((cost(None, password, 0), cost(Some(&argon2), password, 0)), (forms, forms));
            for stored in [None, Some(&argon2), Some(&bcrypt)] {
                assert_eq!(cost(stored, password, 4), 2 * forms, "both algorithms");
            }
        }
    }

    #[test]
    fn hashes_with_other_parameters_match_and_need_a_rehash() {
        for (kib, passes, lanes) in [(64, 1, 1), (2 * MEMORY_KIB, 1, 1), (4_096, 1, 4)] {
            let hash = hash_with(kib, passes, lanes);
            assert_eq!(verdict("Passw0rd!", &hash), Verdict::RightNeedsRehash, "{hash}");
            assert_eq!(verdict("passw0rd!", &hash), Verdict::Wrong, "{hash}");
        }
        assert_eq!(verdict("Passw0rd!", "nonsense"), Verdict::Wrong);
    }

    #[test]
    fn a_hash_with_excessive_memory_is_refused() {
        let hash = hash_with(64, 1, 1).replace("m=64", "m=4194304");
        assert_eq!(verdict("Passw0rd!", &hash), Verdict::Wrong);
    }
}
