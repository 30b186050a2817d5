//! The permit and the memory of a response, which are released when its last byte was sent.

use std::sync::Arc;

use bytes::Bytes;
use http::Response;

use super::response_memory::Reservation;
use crate::domain::Permit;

/// The guards of a response, in its extensions until its body holds them. Clones share them.
#[derive(Clone, Default)]
pub(super) struct ResponseGuards {
    permit: Option<Arc<Permit>>,
    memory: Option<Arc<Reservation>>,
}

impl ResponseGuards {
    /// Returns the guards of a response.
    pub(super) fn of<B>(response: &mut Response<B>) -> &mut Self {
        response.extensions_mut().get_or_insert_default()
    }

    /// Makes guards of a memory reservation.
    pub(super) fn memory(reservation: Reservation) -> Self {
        Self { permit: None, memory: Some(Arc::new(reservation)) }
    }

    /// Adds the permit of a call.
    pub(super) fn add_permit(&mut self, permit: Permit) {
        self.permit = Some(Arc::new(permit));
    }

    /// Attaches the guards to bytes, which may outlive the body in a buffer of hyper or h2.
    pub(super) fn attach(&self, bytes: Bytes) -> Bytes {
        if bytes.is_empty() || (self.permit.is_none() && self.memory.is_none()) {
            return bytes;
        }
        Bytes::from_owner(GuardedBytes { bytes, _guards: self.clone() })
    }
}

/// Bytes of a response, with its guards.
struct GuardedBytes {
    bytes: Bytes,
    _guards: ResponseGuards,
}

impl AsRef<[u8]> for GuardedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}
