//! Just enough of gRPC's and protobuf's framing to count messages and to read single fields.

/// The compression flag and the length before every gRPC message.
pub(super) const PREFIX: usize = 5;

/// Returns the length of the message that a prefix announces.
pub(super) fn length(prefix: &[u8]) -> Option<usize> {
    let &[_, a, b, c, d] = prefix.first_chunk::<PREFIX>()?;
    Some(u32::from_be_bytes([a, b, c, d]) as usize)
}

/// Splits a byte stream that arrives in arbitrary pieces into gRPC messages.
#[derive(Debug, Default)]
pub(super) struct Messages {
    /// An incomplete message; nearly always empty.
    partial: Vec<u8>,
}

impl Messages {
    /// Calls `each` with every message that `data` completes or contains, without its prefix.
    pub(super) fn feed(&mut self, mut data: &[u8], mut each: impl FnMut(&[u8])) {
        while !self.partial.is_empty() && !data.is_empty() {
            let whole = length(&self.partial).map_or(PREFIX, |length| PREFIX + length);
            let missing = (whole - self.partial.len()).min(data.len());
            self.partial.extend_from_slice(&data[..missing]);
            data = &data[missing..];
            if length(&self.partial).is_some_and(|length| PREFIX + length == self.partial.len()) {
                each(&self.partial[PREFIX..]);
                self.partial.clear();
            }
        }
        while let Some(message) = length(data).and_then(|length| data.get(PREFIX..PREFIX + length)) {
            each(message);
            data = &data[PREFIX + message.len()..];
        }
        self.partial.extend_from_slice(data);
    }
}

/// Returns the first field with this number; its value must be a string, bytes or a message.
pub(super) fn field(mut message: &[u8], wanted: u64) -> Option<&[u8]> {
    while !message.is_empty() {
        let (key, rest) = varint(message)?;
        let (value, rest) = match key & 7 {
            0 => (None, varint(rest)?.1),
            1 => (None, rest.get(8..)?),
            2 => {
                let (length, rest) = varint(rest)?;
                let (value, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
                (Some(value), rest)
            }
            5 => (None, rest.get(4..)?),
            _ => return None,
        };
        if key >> 3 == wanted {
            return value;
        }
        message = rest;
    }
    None
}

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0;
    for (index, &byte) in bytes.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            return Some((value, &bytes[index + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use grpcchatter_proto::v1::{ChatResponse, Rejection};
    use prost::Message as _;

    use super::*;

    #[test]
    fn messages_are_found_however_the_stream_is_split() {
        let bodies: [&[u8]; 4] = [b"one", b"", b"three three three", b"four"];
        let stream: Vec<u8> = bodies
            .iter()
            .flat_map(|body| [&[0, 0, 0, 0, u8::try_from(body.len()).unwrap()], *body].concat())
            .collect();
        for size in 1..=stream.len() {
            let mut messages = Messages::default();
            let mut found = Vec::new();
            stream.chunks(size).for_each(|piece| messages.feed(piece, |body| found.push(body.to_vec())));
            assert_eq!(found, bodies, "in pieces of {size}");
        }
    }

    #[test]
    fn a_field_is_found_after_fields_of_every_type() {
        let response = ChatResponse {
            user_name: "somebody1".into(),
            seq: 300,
            client_message_id: "the id".into(),
            rejected: Some(Rejection { code: 8, reason: "RATE_LIMITED".into(), message: String::new() }),
            ..Default::default()
        };
        let bytes = response.encode_to_vec();
        assert_eq!(field(&bytes, 6), Some("the id".as_bytes()));
        assert_eq!(field(field(&bytes, 7).unwrap(), 2), Some("RATE_LIMITED".as_bytes()));
        assert_eq!(field(&bytes, 2), None);
    }
}
