//! Decides about a refresh token that a client presents.

use std::time::Duration;

use super::Timestamp;

/// How long the previous refresh token still answers: a client may have lost the answer to its refresh.
const REPEAT_WINDOW: Duration = Duration::from_secs(30);

/// A session as it is stored.
#[derive(Clone, Debug)]
pub struct StoredSession {
    /// Number of refreshes so far.
    pub generation: i64,
    /// Hash of the current refresh token.
    pub refresh_hash: Vec<u8>,
    /// Hash of the refresh token before it.
    pub previous_hash: Option<Vec<u8>>,
    /// Time of the last refresh, or of the log-in.
    pub refreshed_at: Timestamp,
    /// When the session ends unless it is refreshed.
    pub expires_at: Timestamp,
}

/// The decision about a presented refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefreshDecision {
    /// It is the current token: the session gets a new one.
    Rotate,
    /// It is the previous token, replaced at most 30 seconds ago: it gets the current one again.
    Repeat,
    /// The session has expired, and ends.
    Expired,
    /// The token was used before, so somebody else may have it: the session ends.
    Reused,
}

impl StoredSession {
    /// Decides about the token of a generation, by its hash.
    pub fn decide_refresh(&self, generation: i64, presented: &[u8], now: Timestamp) -> RefreshDecision {
        if now >= self.expires_at {
            return RefreshDecision::Expired;
        }
        if generation == self.generation && *presented == *self.refresh_hash {
            return RefreshDecision::Rotate;
        }
        let is_previous =
            generation + 1 == self.generation && self.previous_hash.as_deref() == Some(presented);
        if is_previous && now.since(self.refreshed_at) <= REPEAT_WINDOW {
            return RefreshDecision::Repeat;
        }
        RefreshDecision::Reused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFRESHED_AT: Timestamp = Timestamp::from_seconds(1_800_000_000);
    const CURRENT: [u8; 2] = [3, 3];
    const PREVIOUS: [u8; 2] = [2, 2];

    /// A session of an hour that was refreshed three times.
    fn session() -> StoredSession {
        StoredSession {
            generation: 3,
            refresh_hash: CURRENT.to_vec(),
            previous_hash: Some(PREVIOUS.to_vec()),
            refreshed_at: REFRESHED_AT,
            expires_at: REFRESHED_AT + Duration::from_secs(3_600),
        }
    }

    fn decide(generation: i64, presented: &[u8], after: Duration) -> RefreshDecision {
        session().decide_refresh(generation, presented, REFRESHED_AT + after)
    }

    #[test]
    fn the_current_token_rotates_until_the_session_expires() {
        let (hour, microsecond) = (Duration::from_secs(3_600), Duration::from_micros(1));
        assert_eq!(decide(3, &CURRENT, Duration::ZERO), RefreshDecision::Rotate);
        assert_eq!(decide(3, &CURRENT, hour - microsecond), RefreshDecision::Rotate);
        assert_eq!(decide(3, &CURRENT, hour), RefreshDecision::Expired);
    }

    #[test]
    fn the_previous_token_repeats_the_answer_for_30_seconds_and_is_reuse_after_that() {
        let (window, microsecond) = (Duration::from_secs(30), Duration::from_micros(1));
        assert_eq!(decide(2, &PREVIOUS, window), RefreshDecision::Repeat);
        assert_eq!(decide(2, &PREVIOUS, window + microsecond), RefreshDecision::Reused);
    }

    #[test]
    fn any_other_token_is_reuse() {
        for (generation, presented) in
            [(1, &[1, 1][..]), (2, &CURRENT), (3, &PREVIOUS), (4, &CURRENT), (2, &[9, 9]), (3, &[9, 9])]
        {
            assert_eq!(
                decide(generation, presented, Duration::ZERO),
                RefreshDecision::Reused,
                "{generation}"
            );
        }
        let first = StoredSession { generation: 0, previous_hash: None, ..session() };
        assert_eq!(first.decide_refresh(-1, &PREVIOUS, REFRESHED_AT), RefreshDecision::Reused);
    }

    #[test]
    fn an_expired_session_ends_as_expired_whatever_token_is_presented() {
        assert_eq!(decide(9, &[9, 9], Duration::from_secs(3_600)), RefreshDecision::Expired);
    }
}
