//! Rate limits: how often strangers may register and guess, and how fast a user may send messages.
//!
//! Nobody is ever locked out, and nobody waits because of what others guess. A wrong guess counts in the one-hour window
//! of the network that it comes from, and of the account if one is logged in. A backoff belongs to a pair of target and
//! guesser. So guessing at an account slows down the guesser alone:
//!
//! - A network from which somebody has logged in to an account before has its own window for that account.
//! - A user who is logged in tries their own password under their session alone.
//! - A target at which many networks guess answers each of them more slowly after its first wrong password. A network
//!   that has not guessed wrong is let in at once by the right password.
//!
//! Known and unknown names are answered alike. Memory is bounded: the entries that were not used for longest are dropped
//! first.

mod attempt;
mod limits;
mod guess_counts;
mod known_networks;
mod backoff;
mod guess_window;
mod guess_target;
mod sliding_window;
#[cfg(test)]
mod tests;

pub use self::{
    attempt::Attempt,
    guess_target::GuessTarget,
    limits::{RateLimitConfig, RateLimits},
};
