//! Finds what commits in what a client sends to PostgreSQL.

/// PostgreSQL's message for the statement COMMIT: `Q`, a length that counts itself, the text and a zero.
const COMMIT: &[u8] = b"Q\0\0\0\x0bCOMMIT\0";

/// Length of a message's kind and length.
const HEADER: usize = 5;

/// A part of the statement that appends to the log and is committed by itself.
const APPEND: &[u8] = b"INSERT INTO messages";

/// What commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Commit {
    Statement,
    /// A statement that appends to the log.
    Append,
}

/// Finds what commits among the messages of a client.
#[derive(Default)]
pub(crate) struct Commits {
    /// Whether the connection has prepared the statement that appends, and so runs nothing else.
    is_of_log: bool,
    /// How many bytes of the last message are to come.
    rest: usize,
    /// The part of a message's header that has come.
    header: Vec<u8>,
}

impl Commits {
    /// Returns what commits and begins in this piece.
    pub(crate) fn find(&mut self, piece: &[u8]) -> Option<Commit> {
        let contains = |text: &[u8]| piece.windows(text.len()).any(|part| part == text);
        if contains(COMMIT) {
            return Some(Commit::Statement);
        }
        if !self.is_of_log {
            // A lane's own transactions insert too, but into a quoted table. What comes before is not followed: the first
            // message of a connection has another form.
            self.is_of_log = contains(APPEND);
            return None;
        }
        self.follow(piece).then_some(Commit::Append)
    }

    /// Follows the messages: a byte for the kind, and a length that counts itself. Says whether one of them is a Bind.
    fn follow(&mut self, mut piece: &[u8]) -> bool {
        let mut binds = false;
        loop {
            let skipped = self.rest.min(piece.len());
            (self.rest, piece) = (self.rest - skipped, &piece[skipped..]);
            let more = (HEADER - self.header.len()).min(piece.len());
            self.header.extend_from_slice(&piece[..more]);
            piece = &piece[more..];
            let Ok([kind, length @ ..]) = <[u8; HEADER]>::try_from(&*self.header) else { return binds };
            binds |= kind == b'B';
            self.rest = (u32::from_be_bytes(length) as usize).saturating_sub(length.len());
            self.header.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a message of PostgreSQL's protocol.
    fn message(kind: u8, content: &[u8]) -> Vec<u8> {
        let length = u32::try_from(4 + content.len()).expect("short");
        [&[kind], &length.to_be_bytes()[..], content].concat()
    }

    #[test]
    fn an_append_is_found_in_whatever_pieces_it_comes() {
        let parse = message(b'P', b"WITH stored AS (INSERT INTO messages (room_id)) SELECT 1");
        let (bind, sync) = (message(b'B', &[b'B'; 100_000]), message(b'S', b""));
        for size in [1, 3, 4, 5, 6, 64 * 1024, usize::MAX] {
            let mut commits = Commits::default();
            // The statement is found in one piece, as a client sends it.
            assert_eq!(commits.find(&[&*parse, &sync].concat()), None, "it is prepared");
            for _ in 0..2 {
                let sent = [&*bind, &sync].concat();
                let found = sent.chunks(size).filter_map(|piece| commits.find(piece)).collect::<Vec<_>>();
                assert_eq!(found, [Commit::Append], "pieces of {size}");
            }
        }
    }

    #[test]
    fn other_statements_commit_nothing_by_themselves() {
        let mut commits = Commits::default();
        assert_eq!(commits.find(&message(b'P', b"INSERT INTO \"messages\" VALUES ($1)")), None);
        assert_eq!(commits.find(&message(b'B', b"")), None);
        assert_eq!(commits.find(COMMIT), Some(Commit::Statement));
    }
}
