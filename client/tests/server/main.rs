//! The library against the server's own program: everything that it can be asked, and what is left when it
//! is killed.
//!
//! The program is taken from beside the tests, where a build of the workspace puts it. Without it there is
//! nothing to test, which fails where REQUIRE_SERVER is set.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod calls;
mod examples;
mod kills;
mod process;
mod proxy;
mod reasons;
#[cfg(feature = "tls")]
mod tls;
