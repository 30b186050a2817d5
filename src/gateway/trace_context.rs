//! W3C Trace Context, level 1: the trace that a call belongs to, as `traceparent` and `tracestate` tell it.
//!
//! What breaks the grammar is passed over, as the recommendation asks: the call then belongs to no trace. The answer names
//! the server's own part in it as `traceresponse`, which browsers and proxies may read.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue, header::GetAll};

/// Names a trace, and the caller's part in it.
pub(super) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// What the tracing systems on the way add for themselves.
pub(super) const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Names a trace, and this server's part in it.
pub(super) const TRACERESPONSE: HeaderName = HeaderName::from_static("traceresponse");

/// The length of a `traceparent` of version 00.
const LENGTH: usize = 55;

/// A list of more members, or longer than this, is passed over (3.3.1.5: at least 512 characters are to be carried on).
const MOST_MEMBERS: usize = 32;
const LONGEST_STATE: usize = 8_192;

/// The trace that a call belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TraceContext {
    /// The trace; not zero.
    pub(super) trace_id: TraceId,
    /// The caller's part in it; not zero.
    pub(super) parent_id: u64,
    /// Whether the caller records it; other flags of level 1 are unknown and not carried on.
    pub(super) is_sampled: bool,
    /// What tracing systems added, where it keeps to the grammar.
    pub(super) state: Option<String>,
}

/// A trace's id, which is told in hexadecimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TraceId(pub(super) u128);

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl TraceContext {
    /// Reads what a caller sends, if there is one such header and it keeps to the grammar.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(TRACEPARENT).iter();
        let (value, None) = (values.next()?, values.next()) else { return None };
        let (trace_id, parent_id, flags) = parse(value.as_bytes())?;
        let state = combined(&headers.get_all(TRACESTATE));
        Some(Self { trace_id: TraceId(trace_id), parent_id, is_sampled: flags & 1 == 1, state })
    }
}

/// Names this server's part, `own`, in an answer.
pub(super) fn response(trace_id: TraceId, own: u64, is_sampled: bool) -> Option<HeaderValue> {
    let flags = u8::from(is_sampled);
    HeaderValue::try_from(format!("00-{trace_id}-{own:016x}-{flags:02x}")).ok()
}

/// Reads the trace's id, the caller's and the flags. A later version may say more after them, behind a dash.
fn parse(value: &[u8]) -> Option<(u128, u64, u8)> {
    let is_dashed = [2, 35, 52].iter().all(|at| value.get(*at) == Some(&b'-'));
    if value.len() < LENGTH || !is_dashed {
        return None;
    }
    let version = hexadecimal(&value[..2])?;
    let (trace_id, parent_id) = (hexadecimal(&value[3..35])?, hexadecimal(&value[36..52])?);
    let flags = hexadecimal(&value[53..LENGTH])?;
    let ends_well = match version {
        0 => value.len() == LENGTH,
        0xff => false,
        _ => value.get(LENGTH).is_none_or(|next| *next == b'-'),
    };
    if !ends_well || trace_id == 0 || parent_id == 0 {
        return None;
    }
    Some((trace_id, u64::try_from(parent_id).ok()?, u8::try_from(flags).ok()?))
}

/// Reads digits, of which letters are small.
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

/// Joins the headers of one list; none where a member breaks the grammar, or where the list is too long. It stops at the first
/// member over the limit: every caller may send a list, and each member is compared with those before it.
fn combined(values: &GetAll<'_, HeaderValue>) -> Option<String> {
    let (mut keys, mut state) = (Vec::new(), String::new());
    for value in values {
        let members = value.to_str().ok()?.split(',').map(|member| member.trim_matches([' ', '\t']));
        for member in members.filter(|member| !member.is_empty()) {
            let (key, value) = member.split_once('=')?;
            let fits = keys.len() < MOST_MEMBERS && state.len() + 1 + member.len() <= LONGEST_STATE;
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

/// `key` of 3.3.1.3.1: a name, or a tenant's at a system's.
fn is_key(key: &str) -> bool {
    let is_small = |c: &u8| c.is_ascii_lowercase();
    let is_begin = |c: &u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_rest = |c: &u8| is_begin(c) || b"_-*/".contains(c);
    let is_name = |name: &str, first: &dyn Fn(&u8) -> bool, most: usize| {
        let name = name.as_bytes();
        name.first().is_some_and(first) && name.len() <= most && name.iter().all(is_rest)
    };
    match key.split_once('@') {
        Some((tenant, system)) => is_name(tenant, &is_begin, 241) && is_name(system, &is_small, 14),
        None => is_name(key, &is_small, 256),
    }
}

/// `value` of 3.3.1.3.2: printable ASCII but commas and equals signs, and no blank at its end.
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
    fn a_trace_is_read_and_answered() {
        let read = read(&[(TRACEPARENT, PARENT)]).unwrap();
        assert_eq!(read.trace_id.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!((read.parent_id, read.is_sampled), (0x00f0_67aa_0ba9_02b7, true));
        assert_eq!(
            response(read.trace_id, 7, true).unwrap(),
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000007-01"
        );
    }

    #[test]
    fn what_breaks_the_grammar_is_no_trace() {
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
        assert_eq!(read(&[(TRACEPARENT, PARENT), (TRACEPARENT, PARENT)]), None, "which of them?");
    }

    #[test]
    fn a_later_version_may_say_more() {
        for later in
            [PARENT.replacen("00-", "cc-", 1), PARENT.replacen("00-", "01-", 1) + "-what the future holds"]
        {
            assert!(read(&[(TRACEPARENT, &later)]).is_some(), "{later}");
        }
        let flags = read(&[(TRACEPARENT, &PARENT.replace("-01", "-fe"))]).unwrap();
        assert!(!flags.is_sampled);
    }

    #[test]
    fn the_lists_of_tracing_systems_are_one_or_none() {
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
