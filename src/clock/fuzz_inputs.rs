//! Inputs for unit tests of the fuzz targets in `fuzz/`: their seeds, and mutations of them. They are the same in every
//! run.

use std::{fs, path::Path};

/// Number of mutated seeds.
const MUTATIONS: usize = 4_000;

/// Returns the inputs of a fuzz target.
pub(crate) fn fuzz_inputs(target: &str) -> impl Iterator<Item = Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let seeds: Vec<Vec<u8>> = files.iter().map(|file| fs::read(file).unwrap()).collect();
    let mut random = Xorshift64(0x9e37_79b9_7f4a_7c15);
    let originals = seeds.clone();
    seeds.into_iter().chain((0..MUTATIONS).map(move |_| {
        let mut input = originals[random.below(originals.len())].clone();
        for _ in 0..=random.below(6) {
            mutate(&mut input, &mut random);
        }
        input
    }))
}

/// Overwrites, inserts, removes or repeats bytes.
fn mutate(input: &mut Vec<u8>, random: &mut Xorshift64) {
    let at = random.below(input.len() + 1);
    let end = (at + random.below(16)).min(input.len());
    let byte = random.below(256).to_le_bytes()[0];
    match random.below(4) {
        0 if at < input.len() => input[at] = byte,
        1 => drop(input.drain(at..end)),
        2 => input.extend_from_within(at..end),
        _ => input.insert(at, byte),
    }
}

/// Marsaglia's xorshift64 with a fixed seed, so that a failure repeats.
struct Xorshift64(u64);

impl Xorshift64 {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 1).unwrap() % bound
    }
}
