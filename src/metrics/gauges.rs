//! Gauges: values that are read when they are scraped.

/// The values at this moment.
#[derive(Clone, Debug, Default)]
pub struct Gauges {
    /// Open connections.
    pub connections: usize,
    /// Rooms in memory.
    pub rooms: usize,
    /// Open subscriptions.
    pub subscriptions: usize,
    /// Open chats.
    pub chats: usize,
    /// Streams of both kinds that are parked.
    pub parked: usize,
    /// Bytes of framed messages in the hub.
    pub hub_bytes: usize,
    /// Bytes reserved for responses that are not read yet.
    pub answer_bytes: usize,
    /// Messages that wait to be written.
    pub queued: usize,
    /// The pools of database connections.
    pub pools: Vec<Pool>,
    /// Calls that wait to read from the database.
    pub reads_waiting: usize,
    /// Calls that wait to write to it.
    pub writes_waiting: usize,
    /// Accounts and rooms in the database. None until they have been counted.
    pub stored: Option<(u64, u64)>,
    /// When the certificate expires, in Unix time. None without TLS.
    pub certificate_until: Option<i64>,
    /// Whether the server is draining.
    pub draining: bool,
}

/// A pool of database connections.
#[derive(Clone, Copy, Debug)]
pub struct Pool {
    /// Its name: what it is for.
    pub name: &'static str,
    /// Connections in use.
    pub busy: usize,
    /// Connections open and free.
    pub idle: usize,
}
