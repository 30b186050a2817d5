//! Checks the status of a refused call.

use std::fmt::Debug;

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// The domain of every reason, from chat.proto.
const DOMAIN: &str = "grpcchatter";

/// The outcome of a call that must be refused.
pub(crate) trait Refused {
    /// Checks the code and the reason, and returns the status for more.
    ///
    /// # Panics
    /// If the call was not refused, or with another code or reason.
    fn refused(self, code: Code, reason: &str) -> Status;
}

impl<T: Debug> Refused for Result<T, Status> {
    #[track_caller]
    fn refused(self, code: Code, reason: &str) -> Status {
        self.expect_err("the call was not refused").refused(code, reason)
    }
}

impl Refused for Status {
    #[track_caller]
    fn refused(self, code: Code, reason: &str) -> Status {
        let info = self.get_details_error_info();
        let (domain, found) = info.map_or_else(Default::default, |info| (info.domain, info.reason));
        assert_eq!((self.code(), found.as_str()), (code, reason), "{self:?}");
        assert_eq!(domain, DOMAIN, "{self:?}");
        assert!(!format!("{self:?}").contains("cAnary"), "a refusal repeats a secret: {self:?}");
        self
    }
}
