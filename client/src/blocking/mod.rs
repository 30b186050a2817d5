//! The same calls for programs without an async runtime.
//!
//! A [`Client`] of this module owns a runtime with one thread, which keeps the connection alive between calls. Do
//! not use it inside an async runtime, which its calls would block. Every method does what its async counterpart of
//! the same name does, and has the same errors.
//!
//! ```no_run
//! use grpcchatter_client::{Event, blocking::Client};
//!
//! # fn run() -> Result<(), grpcchatter_client::Error> {
//! let client = Client::new_at("http://localhost:8080")?;
//! client.login("walker1", "Secret-1!")?;
//! let room = client.join("aB3xYz", "edelweiss")?;
//! room.send("good morning")?;
//! for event in room.events() {
//!     if let Event::Message(message) = event {
//!         println!("{}: {}", message.user_name, message.body);
//!     }
//! }
//! # Ok(())
//! # }
//! ```

use std::{fmt, sync::Arc};

use tokio::runtime::{Builder, Runtime};

use crate::{Error, Event};

mod client;
mod original;
mod room;

/// The runtime thread of a client.
struct Thread {
    runtime: Option<Runtime>,
}

impl Thread {
    fn start() -> Result<Arc<Self>, Error> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("grpcchatter-client")
            .enable_all()
            .build()
            .map_err(Error::unreachable)?;
        Ok(Arc::new(Self { runtime: Some(runtime) }))
    }

    fn wait<T>(&self, call: impl Future<Output = T>) -> T {
        self.runtime.as_ref().expect("it is taken by drop alone").block_on(call)
    }
}

impl Drop for Thread {
    /// Does not wait: only a connection that nobody uses is left.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// The blocking [`crate::Client`].
///
/// ```no_run
/// use grpcchatter_client::blocking::Client;
///
/// # fn run() -> Result<(), grpcchatter_client::Error> {
/// let client = Client::new_at("http://localhost:8080")?;
/// client.login("walker1", "Secret-1!")?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Client {
    thread: Arc<Thread>,
    client: crate::Client,
}

/// The blocking [`crate::Room`].
///
/// ```no_run
/// # fn run(client: grpcchatter_client::blocking::Client) -> Result<(), grpcchatter_client::Error> {
/// let room = client.join("aB3xYz", "edelweiss")?;
/// room.send("good morning")?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Room {
    thread: Arc<Thread>,
    room: crate::Room,
}

/// The blocking [`crate::Events`]: an iterator that waits for the next event, and ends after [`Event::Closed`].
///
/// ```no_run
/// # fn run(room: grpcchatter_client::blocking::Room) {
/// for event in room.events() {
///     println!("{event:?}");
/// }
/// # }
/// ```
#[must_use = "a stream does nothing until it is read"]
pub struct Events {
    thread: Arc<Thread>,
    events: crate::Events,
}

// These show the wrapped value, without the thread.
impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.client.fmt(f)
    }
}

impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.room.fmt(f)
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.events.fmt(f)
    }
}

impl Iterator for Events {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        self.thread.wait(self.events.recv())
    }
}
