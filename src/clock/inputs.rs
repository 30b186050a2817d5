//! Inputs for the properties that `fuzz/` looks for with libFuzzer: its seeds, and what becomes of them by small
//! changes. They are the same in every run.

use std::{fs, path::Path};

/// How many changed seeds there are.
const CHANGED: usize = 4_000;

/// Returns the inputs of a fuzz target.
pub(crate) fn inputs(target: &str) -> impl Iterator<Item = Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let seeds: Vec<Vec<u8>> = files.iter().map(|file| fs::read(file).unwrap()).collect();
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
    let changed = seeds.clone();
    seeds.into_iter().chain((0..CHANGED).map(move |_| {
        let mut input = changed[chance.below(changed.len())].clone();
        for _ in 0..=chance.below(6) {
            change(&mut input, &mut chance);
        }
        input
    }))
}

/// Overwrites, inserts, removes or repeats something.
fn change(input: &mut Vec<u8>, chance: &mut Chance) {
    let at = chance.below(input.len() + 1);
    let end = (at + chance.below(16)).min(input.len());
    let byte = chance.below(256).to_le_bytes()[0];
    match chance.below(4) {
        0 if at < input.len() => input[at] = byte,
        1 => drop(input.drain(at..end)),
        2 => input.extend_from_within(at..end),
        _ => input.insert(at, byte),
    }
}

/// Marsaglia's xorshift64: a test that fails must fail again.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 1).unwrap() % bound
    }
}
