//! The rules of accounts, tokens, rooms and chat, with the log's writers and the publisher.

mod accounts;
pub mod rooms;
pub mod chat;
mod short_code;
mod tokens;
mod name_cache;
mod history;
mod log;
mod publisher;
mod log_continuity;
mod rate_limits;
mod budget;
mod token_bucket;
mod two_generation_map;
mod tasks;
#[cfg(test)]
pub(crate) mod tests;

pub use accounts::{Accounts, IssuedTokens};
pub use budget::{Budget, BudgetConfig, Cost, Permit};
pub use chat::Chat;
pub use log::Log;
pub use name_cache::NameCache;
pub use publisher::Publisher;
pub use rate_limits::{Attempt, GuessTarget, RateLimitConfig, RateLimits};
pub use rooms::Rooms;
pub use tasks::Tasks;
pub use tokens::{TokenConfig, Tokens};

/// What the gateway uses of the modules below. It imports them from here and knows the domain alone.
pub use crate::{
    hub::{Change, Connection, Event, Framing, Person, StreamKind},
    store::{Direction, Page, Receipt, RoomPage, charged_to, payer},
};
