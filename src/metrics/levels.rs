/// What stands at this moment.
#[derive(Clone, Debug, Default)]
pub struct Levels {
    /// Open connections.
    pub connections: usize,
    /// Rooms in memory.
    pub rooms: usize,
    /// Open subscriptions.
    pub subscriptions: usize,
    /// Open chats.
    pub chats: usize,
    /// Streams of either sort that are set aside and still open.
    pub parked: usize,
    /// Bytes of messages in memory.
    pub hub_bytes: usize,
    /// Bytes of answers that are not read yet.
    pub answer_bytes: usize,
    /// Messages that wait to be written.
    pub queued: usize,
    /// Connections to the database.
    pub pools: Vec<Pool>,
    /// Calls that wait for their turn to read from the database.
    pub reads_waiting: usize,
    /// Calls that wait for their turn to write to it.
    pub writes_waiting: usize,
    /// Accounts and rooms in the database; none until they were counted.
    pub stored: Option<(u64, u64)>,
    /// When the certificate ends, in Unix time; none without TLS.
    pub certificate_until: Option<i64>,
    /// Whether the server drains.
    pub draining: bool,
}

/// Connections to the database that are used for the same.
#[derive(Clone, Copy, Debug)]
pub struct Pool {
    /// What for.
    pub name: &'static str,
    /// How many are in use.
    pub busy: usize,
    /// How many are open and free.
    pub idle: usize,
}
