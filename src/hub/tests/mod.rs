//! Tests of the hub as a whole, and what they are made with.

#[cfg(test)]
mod delivery;
#[cfg(test)]
pub(super) mod explore;
#[cfg_attr(not(test), expect(dead_code, reason = "the fuzz target uses only a part of it"))]
pub(super) mod fixture;
#[cfg(test)]
mod interleavings;
#[cfg(test)]
mod log_fork;
#[cfg(test)]
mod properties;
