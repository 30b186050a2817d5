//! When a silent stream is due for a heartbeat.

/// Times a stream's heartbeats. Seconds are those of its shard.
#[derive(Debug)]
pub(super) struct Heartbeat {
    /// Seconds of silence after which one is due. None: never.
    interval: Option<u32>,
    last_sent: u32,
    is_due: bool,
}

impl Heartbeat {
    /// Begins a silence at this second.
    pub(super) fn new(interval: Option<u32>, second: u32) -> Self {
        Self { interval, last_sent: second, is_due: false }
    }

    /// Says whether a heartbeat has become due.
    pub(super) fn tick(&mut self, second: u32) -> bool {
        let has_passed = self.interval.is_some_and(|interval| second - self.last_sent >= interval);
        self.is_due |= has_passed;
        has_passed
    }

    /// Notes that direct frames were sent. A heartbeat that was due stays due: it carries the newest seq, and they do not.
    pub(super) fn sent_direct(&mut self, second: u32) {
        self.last_sent = second;
    }

    /// Notes that messages or events of the room were sent.
    pub(super) fn sent(&mut self, second: u32) {
        (self.last_sent, self.is_due) = (second, false);
    }

    /// Takes the heartbeat that is due, if one is, to be sent now.
    pub(super) fn take(&mut self, second: u32) -> bool {
        let is_due = std::mem::take(&mut self.is_due);
        if is_due {
            self.last_sent = second;
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heartbeat_is_due_after_a_silence_until_messages_are_sent() {
        let mut heartbeat = Heartbeat::new(Some(15), 0);
        assert!(!heartbeat.tick(14) && !heartbeat.take(14));
        assert!(heartbeat.tick(15) && heartbeat.take(15) && !heartbeat.take(15));
        assert!(!heartbeat.tick(29) && heartbeat.tick(30));
        heartbeat.sent(30);
        assert!(!heartbeat.take(30));
    }

    #[test]
    fn direct_frames_delay_a_heartbeat_but_do_not_replace_one_that_is_due() {
        let mut heartbeat = Heartbeat::new(Some(15), 0);
        heartbeat.sent_direct(10);
        assert!(!heartbeat.tick(24) && heartbeat.tick(25));
        heartbeat.sent_direct(25);
        assert!(heartbeat.take(25));
    }
}
