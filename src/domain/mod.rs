//! The rules: accounts, tokens, rooms, chat; the log's writer and publisher.

mod accounts;
mod bucket;
mod budget;
pub mod chat;
mod fading;
mod guard;
mod history;
mod log;
mod publisher;
pub mod rooms;
mod seam;
mod short_code;
#[cfg(test)]
pub(crate) mod temporary;
mod tokens;

pub use accounts::{AccountDeleted, Accounts, LogIn, SessionsEnded};
pub use budget::{Budget, BudgetConfig, Cost, Permit};
pub use chat::Chat;
pub use guard::{Attempt, Guard, GuardConfig, Guess};
pub use log::Log;
pub use publisher::Publisher;
pub use rooms::Rooms;
pub use tokens::{TokenConfig, Tokens};

/// What the gateway sees of the modules below, so that it names only the domain.
pub use crate::{
    hub::{Change, Connection, Event, Feed, Framing, Person},
    store::{Direction, Page, Receipt, RoomPage, charged_to, payer},
};
