//! A room in memory: its streams, and the publishing of its messages in order.

mod streams;
mod publish;
mod room_state;
mod continuity;
mod cache_generation;

pub use self::{
    cache_generation::CacheGeneration,
    continuity::{Fork, ids_differ},
    room_state::{Gap, Room, Seed},
    streams::{Attach, SlotKey, Start},
};
pub(super) use self::{cache_generation::CacheGenerations, streams::Opened};
