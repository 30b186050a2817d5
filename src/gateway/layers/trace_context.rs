//! W3C Trace Context, level 1: the trace of a call, from `traceparent` and `tracestate`.
//!
//! Headers that break the grammar are ignored, as the recommendation requires: the call then belongs to no trace. The
//! response names the server's own span in `traceresponse`, which browsers and proxies may read.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue, header::GetAll};

/// The header that names the trace and the caller's span.
pub(super) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The header with the data of the tracing systems on the way.
pub(super) const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The header that names the trace and this server's span.
pub(super) const TRACERESPONSE: HeaderName = HeaderName::from_static("traceresponse");

/// The length of a `traceparent` of version 00.
const TRACEPARENT_LENGTH: usize = 55;

/// Maximum number of members in `tracestate`.
const MAX_MEMBERS: usize = 32;

/// Maximum length of `tracestate`. At least 512 characters have to be propagated (3.3.1.5).
const MAX_STATE_LENGTH: usize = 8_192;

/// The trace of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TraceContext {
    /// The id of the trace; not zero.
    pub(super) trace_id: TraceId,
    /// The id of the caller's span; not zero.
    pub(super) parent_id: u64,
    /// Whether the caller records the trace. Level 1 has no other flag.
    pub(super) is_sampled: bool,
    /// The data of tracing systems, where it follows the grammar.
    pub(super) state: Option<String>,
}

/// The id of a trace, displayed in hexadecimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TraceId(pub(super) u128);

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl TraceContext {
    /// Parses the headers of a request; none unless there is exactly one valid `traceparent`.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(TRACEPARENT).iter();
        let (value, None) = (values.next()?, values.next()) else { return None };
        let (trace_id, parent_id, flags) = parse(value.as_bytes())?;
        let state = parse_state(&headers.get_all(TRACESTATE));
        Some(Self { trace_id: TraceId(trace_id), parent_id, is_sampled: flags & 1 == 1, state })
    }
}

/// Makes the header that names this server's span.
pub(super) fn traceresponse(trace_id: TraceId, span_id: u64, is_sampled: bool) -> Option<HeaderValue> {
    let flags = u8::from(is_sampled);
    HeaderValue::try_from(format!("00-{trace_id}-{span_id:016x}-{flags:02x}")).ok()
}

/// Parses the trace id, the span id and the flags. A later version may add more after a dash.
fn parse(value: &[u8]) -> Option<(u128, u64, u8)> {
    let is_dashed = [2, 35, 52].iter().all(|at| value.get(*at) == Some(&b'-'));
    if value.len() < TRACEPARENT_LENGTH || !is_dashed {
        return None;
    }
    let version = hexadecimal(&value[..2])?;
    let (trace_id, parent_id) = (hexadecimal(&value[3..35])?, hexadecimal(&value[36..52])?);
    let flags = hexadecimal(&value[53..TRACEPARENT_LENGTH])?;
    let ends_well = match version {
        0 => value.len() == TRACEPARENT_LENGTH,
        0xff => false,
        _ => value.get(TRACEPARENT_LENGTH).is_none_or(|next| *next == b'-'),
    };
    if !ends_well || trace_id == 0 || parent_id == 0 {
        return None;
    }
    Some((trace_id, u64::try_from(parent_id).ok()?, u8::try_from(flags).ok()?))
}

/// Parses lower-case hexadecimal digits.
fn hexadecimal(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |number, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(digit))
    })
}

/// Parses `tracestate`, which may stand in several headers; none where a member breaks the grammar or the list is too long.
/// Stops at the first member over the limit, since each member is compared with those before it.
fn parse_state(values: &GetAll<'_, HeaderValue>) -> Option<String> {
    let (mut keys, mut state) = (Vec::new(), String::new());
    for value in values {
        let members = value.to_str().ok()?.split(',').map(|member| member.trim_matches([' ', '\t']));
        for member in members.filter(|member| !member.is_empty()) {
            let (key, value) = member.split_once('=')?;
            let fits = keys.len() < MAX_MEMBERS && state.len() + 1 + member.len() <= MAX_STATE_LENGTH;
            if !fits || !is_key(key) || !is_value(value) || keys.contains(&key) {
                return None;
            }
            keys.push(key);
            if !state.is_empty() {
                state.push(',');
            }
            state.push_str(member);
        }
    }
    (!state.is_empty()).then_some(state)
}

/// `key` of 3.3.1.3.1: a name, or `tenant@system`.
fn is_key(key: &str) -> bool {
    let is_letter = |c: &u8| c.is_ascii_lowercase();
    let is_letter_or_digit = |c: &u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_any = |c: &u8| is_letter_or_digit(c) || b"_-*/".contains(c);
    let is_name = |name: &str, first: &dyn Fn(&u8) -> bool, max: usize| {
        let name = name.as_bytes();
        name.first().is_some_and(first) && name.len() <= max && name.iter().all(is_any)
    };
    match key.split_once('@') {
        Some((tenant, system)) => {
            is_name(tenant, &is_letter_or_digit, 241) && is_name(system, &is_letter, 14)
        }
        None => is_name(key, &is_letter, 256),
    }
}

/// `value` of 3.3.1.3.2: printable ASCII without commas and equals signs, and without a space at the end.
fn is_value(value: &str) -> bool {
    let is_printable = |c: u8| matches!(c, 0x20..=0x7e) && c != b',' && c != b'=';
    !value.is_empty() && value.len() <= 256 && !value.ends_with(' ') && value.bytes().all(is_printable)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn read(headers: &[(HeaderName, &str)]) -> Option<TraceContext> {
        let headers =
            headers.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap()));
        TraceContext::of(&headers.fold(HeaderMap::new(), |mut all, (name, value)| {
            all.append(name, value);
            all
        }))
    }

    #[test]
    fn a_trace_is_parsed_and_named_in_the_response() {
        let read = read(&[(TRACEPARENT, PARENT)]).unwrap();
        assert_eq!(read.trace_id.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!((read.parent_id, read.is_sampled), (0x00f0_67aa_0ba9_02b7, true));
        assert_eq!(
            traceresponse(read.trace_id, 7, true).unwrap(),
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000007-01"
        );
    }

    #[test]
    fn an_invalid_traceparent_is_ignored() {
        for wrong in [
            "",
            "00",
            &PARENT.to_uppercase(),
            &PARENT[..54],
            &format!("{PARENT}-00"),
            &format!(" {PARENT}"),
            &PARENT.replacen("00-", "ff-", 1),
            &PARENT.replacen("00-", "0x-", 1),
            &PARENT.replace('-', "_"),
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01x",
        ] {
            assert_eq!(read(&[(TRACEPARENT, wrong)]), None, "{wrong}");
        }
        assert_eq!(read(&[(TRACEPARENT, PARENT), (TRACEPARENT, PARENT)]), None, "two headers");
    }

    #[test]
    fn a_later_version_may_add_more() {
        for later in
            [PARENT.replacen("00-", "cc-", 1), PARENT.replacen("00-", "01-", 1) + "-what the future holds"]
        {
            assert!(read(&[(TRACEPARENT, &later)]).is_some(), "{later}");
        }
        let flags = read(&[(TRACEPARENT, &PARENT.replace("-01", "-fe"))]).unwrap();
        assert!(!flags.is_sampled);
    }

    #[test]
    fn several_tracestate_headers_are_joined_and_an_invalid_one_drops_all() {
        let state = |lists: &[&str]| {
            let lists = lists.iter().map(|list| (TRACESTATE, *list));
            read(&[(TRACEPARENT, PARENT)].into_iter().chain(lists).collect::<Vec<_>>()).unwrap().state
        };
        assert_eq!(state(&["a=1, b=2 ,,", "t@sys=x y"]).as_deref(), Some("a=1,b=2,t@sys=x y"));
        let many: Vec<String> = (0..33).map(|key| format!("k{key}=v")).collect();
        for wrong in ["", "a", "a=", "A=1", "a=1,a=2", "a=b=c", "1a=1", "a@=1", "a=\u{e9}", &many.join(",")] {
            assert_eq!(state(&[wrong]), None, "{wrong}");
        }
        assert!(state(&[&many[1..].join(",")]).is_some());
    }
}
