//! The harness of the acceptance tests: a server, databases, callers, and the wire format of every dialect.
//!
//! Only the two lines in [`app`] that start the server know it from inside; a test sees what a client sees. Nothing here sleeps:
//! a test awaits an event, and [`within`] bounds the wait.

use std::time::Duration;

mod app;
mod bystander;
mod caller;
mod database;
mod dialect;
pub(crate) mod flood;
mod framing;
mod http;
mod http2;
mod http_proxy;
mod latencies;
mod log;
mod methods;
mod process;
mod refusal;
mod report;
mod rpc;
mod streams;
mod tls;
mod unread;

pub(crate) use grpcchatter_testbed::Token;

pub(crate) use self::{
    app::{SECRET, TestApp},
    bystander::Bystander,
    caller::{Caller, Member, PASSWORD, Room, User, new_name},
    database::{Database, lock_is_waited_for},
    dialect::Dialect,
    framing::{Frame, Frames, frame},
    http::{Answer, Connection, Version, request},
    http_proxy::{HttpProxy, HttpProxyKind},
    http2::{h2, h2_post},
    latencies::Latencies,
    methods::{Kind, METHODS, token_refusal},
    process::Process,
    refusal::Refused,
    report::report,
    rpc::{Rpc, SUBSCRIBE},
    streams::{Chat, Subscription},
    tls::{Certificate, connect},
    unread::{Unread, fill, length},
};

/// The bound of every wait, generous for busy machines. After it the test fails and says which event did not come.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// Added to each time that the server promises, for a machine whose cores are all taken by other programs.
const BUSY: Duration = Duration::from_secs(15);

/// The bound of a whole test, so that a loop without an end fails by name, and not as a run that never ends.
const TEST_DEADLINE: Duration = Duration::from_secs(600);

/// Runs a test to its end.
///
/// # Panics
/// If it has not ended by [`TEST_DEADLINE`].
pub(crate) async fn run_test(test: impl Future<Output = ()>) {
    let ended = tokio::time::timeout(TEST_DEADLINE, Box::pin(test)).await;
    assert!(ended.is_ok(), "the test has not ended within {TEST_DEADLINE:?}");
}

/// Awaits an event.
///
/// # Panics
/// If it has not come by [`DEADLINE`].
pub(crate) async fn within<F: Future>(what: &str, event: F) -> F::Output {
    match tokio::time::timeout(DEADLINE, event).await {
        Ok(output) => output,
        Err(_) => panic!("{what} did not come within {DEADLINE:?}"),
    }
}

/// Awaits an event that the server promises within `time`. Use it where the event would come much later, or never, if the promise
/// were broken: the margin for busy machines is 15 s.
///
/// # Panics
/// If it has not come by then.
pub(crate) async fn promised<F: Future>(what: &str, time: Duration, event: F) -> F::Output {
    match tokio::time::timeout(time + BUSY, event).await {
        Ok(output) => output,
        Err(_) => panic!("{what} did not come within {time:?} as promised, nor in the {BUSY:?} after"),
    }
}

/// Runs each of the named functions, `async fn(Database)`, once on each database, as the tests `name::sqlite` and
/// `name::postgres`. At the head of a file it is the table of contents: the compiler reports a function that it does not name as
/// dead code.
///
/// It is a macro because the test runner has no parameters.
macro_rules! on_each_database {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            #[tokio::test]
            async fn sqlite() {
                crate::harness::run_test(super::$name(crate::harness::Database::sqlite())).await;
            }

            #[tokio::test]
            async fn postgres() {
                crate::harness::run_test(async {
                    if let Some(database) = crate::harness::Database::postgres().await {
                        super::$name(database).await;
                    }
                })
                .await;
            }
        }
    )+};
}

pub(crate) use on_each_database;

/// Runs each of the named functions on PostgreSQL only, as the test `name::postgres`, for features that SQLite does not have.
macro_rules! on_postgres {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            #[tokio::test]
            async fn postgres() {
                crate::harness::run_test(async {
                    if let Some(database) = crate::harness::Database::postgres().await {
                        super::$name(database).await;
                    }
                })
                .await;
            }
        }
    )+};
}

pub(crate) use on_postgres;
