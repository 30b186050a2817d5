//! What the tests stand on: a server to talk to, databases, callers, and the wire in every dialect.
//!
//! Nothing here knows the server from inside, but for the two lines in [`app`] that start it: a test sees what
//! a client sees. Nothing here sleeps: what is awaited is an event, and [`within`] bounds the wait.

use std::time::Duration;

mod app;
mod cable;
mod caller;
mod database;
mod dialect;
pub(crate) mod flood;
mod forge;
mod framing;
mod http;
mod http2;
mod http_proxy;
mod latencies;
mod log;
mod methods;
mod own_postgres;
mod port;
mod postgres;
mod process;
pub(crate) mod programs;
mod proxy;
mod refusal;
mod report;
mod rpc;
mod streams;
mod tls;
mod unread;
mod victim;

pub(crate) use self::{
    app::{SECRET, TestApp},
    cable::{Cable, Line},
    caller::{Caller, Member, PASSWORD, Room, User, new_name},
    database::Database,
    dialect::Dialect,
    forge::Token,
    framing::{Frame, Frames, frame},
    http::{Answer, Connection, Version, request},
    http_proxy::{HttpProxy, HttpProxyKind},
    http2::{h2, h2_post},
    latencies::Latencies,
    methods::{Kind, METHODS, blamed_on_the_token},
    own_postgres::{End, OwnPostgres, until},
    port::KeptPort,
    process::Process,
    proxy::{Fault, Proxy},
    refusal::Refused,
    report::report,
    rpc::{Rpc, SUBSCRIBE},
    streams::{Chat, Subscription},
    tls::{Certificate, connect},
    unread::{Unread, fill, length},
    victim::Victim,
};

/// The longest that anything may take on a busy machine, before a test says what did not come.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// What a machine may add to a time that the server promises, where other programs take every core of it.
const BUSY: Duration = Duration::from_secs(15);

/// Awaits an event.
///
/// # Panics
/// Where it has not come by [`DEADLINE`].
pub(crate) async fn within<F: Future>(what: &str, event: F) -> F::Output {
    match tokio::time::timeout(DEADLINE, event).await {
        Ok(output) => output,
        Err(_) => panic!("{what}: nothing came within {DEADLINE:?}"),
    }
}

/// Awaits an event that the server promises by a time. What would come much later without the promise is told from it
/// on a busy machine too.
///
/// # Panics
/// Where it has not come by then.
pub(crate) async fn promised<F: Future>(what: &str, time: Duration, event: F) -> F::Output {
    match tokio::time::timeout(time + BUSY, event).await {
        Ok(output) => output,
        Err(_) => panic!("{what}: promised within {time:?}, and did not come {BUSY:?} later either"),
    }
}

/// Runs each of the named functions, `async fn(Database)`, once on each database, as `name::sqlite` and
/// `name::postgres`. It stands at the head of a file, where it is the table of contents as well: a function
/// that it does not name is dead code, which the compiler reports.
///
/// A macro, since the test runner knows no parameters.
macro_rules! on_each_database {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            #[tokio::test]
            async fn sqlite() {
                Box::pin(super::$name(crate::harness::Database::sqlite())).await;
            }

            #[tokio::test]
            async fn postgres() {
                if let Some(database) = crate::harness::Database::postgres().await {
                    Box::pin(super::$name(database)).await;
                }
            }
        }
    )+};
}

pub(crate) use on_each_database;

/// Runs each of the named functions on PostgreSQL alone, as `name::postgres`: for what SQLite does not have.
macro_rules! on_postgres {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            #[tokio::test]
            async fn postgres() {
                if let Some(database) = crate::harness::Database::postgres().await {
                    Box::pin(super::$name(database)).await;
                }
            }
        }
    )+};
}

pub(crate) use on_postgres;
