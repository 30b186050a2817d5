//! What the tests, the nemesis and the benchmarks run beside themselves.
//!
//! - [`Server`]: the program under test, or another that prints where it listens, as a child process.
//! - [`Postgres`]: a private PostgreSQL, which can be crashed, started again and followed by a standby.
//! - [`Proxy`]: a TCP proxy that cuts, stalls or refuses connections, at once or at a COMMIT.
//! - [`ReverseProxy`]: nginx, Caddy, HAProxy and Envoy.
//! - [`ReservedPort`]: a port for a server that starts later, or again.
//! - [`Token`]: a token that the server has not issued.
//!
//! Nothing here knows the server's crate, so that the server's own unit tests can use it too.

mod log;
mod port;
mod postgres;
mod programs;
mod proxy;
mod commits;
mod reverse_proxy;
mod server;
mod token;

pub use self::{
    log::LineFilter,
    port::ReservedPort,
    postgres::{DataDirectory, Postgres},
    programs::{built_program, find_program, raise_file_limit},
    proxy::{CommitFault, Link, Proxy},
    reverse_proxy::ReverseProxy,
    server::{Server, UNLIMITED, command_under},
    token::Token,
};
