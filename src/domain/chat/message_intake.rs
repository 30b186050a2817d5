//! Checks a message by the same rules whichever call brings it, and hands it to the log.

use std::sync::Arc;

use crate::{
    domain::{
        log::{Log, Reply},
        rate_limits::RateLimits,
    },
    hub::Hub,
    model::{ChatIdentity, ClientMessageId, MessageBody, Result},
    store::Draft,
};

/// Checks messages and hands them to the log. Clones share everything.
#[derive(Clone)]
pub(super) struct MessageIntake {
    hub: Hub,
    log: Log,
    rate_limits: RateLimits,
    max_message_size: usize,
}

impl MessageIntake {
    pub(super) fn new(hub: Hub, log: Log, rate_limits: RateLimits, max_message_size: usize) -> Self {
        Self { hub, log, rate_limits, max_message_size }
    }

    /// Returns the rooms in memory.
    pub(super) fn hub(&self) -> &Hub {
        &self.hub
    }

    /// Checks a message and gives it an id.
    ///
    /// # Errors
    /// The flaw of an invalid message; [`Error::RateLimited`](crate::model::Error::RateLimited).
    pub(super) fn draft(
        &self,
        identity: &Arc<ChatIdentity>,
        body: String,
        client_message_id: &str,
    ) -> Result<Draft> {
        let client_message_id = ClientMessageId::parse(client_message_id)?;
        let body = MessageBody::parse(body, self.max_message_size, client_message_id.as_ref())?;
        self.rate_limits.message(identity.user)?;
        let message_id = self.hub.message_id();
        Ok(Draft { identity: Arc::clone(identity), body, client_message_id, message_id })
    }

    /// Submits a draft to the log, which calls `reply` with the outcome.
    ///
    /// # Errors
    /// As [`Log::submit`].
    pub(super) fn submit(&self, draft: Draft, reply: Reply) -> Result<()> {
        self.log.submit(draft, reply)
    }
}
