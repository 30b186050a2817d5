//! Content negotiation: the headers `Accept` and `Accept-Encoding`, which list values with weights (RFC 9110, 12.4.2).

use http::{HeaderMap, HeaderName, header::ACCEPT};

/// The largest weight, of a value that is listed without one.
const MAX_WEIGHT: u16 = 1_000;

/// The values that a client accepts, in lower case, each with its weight in thousandths. Other parameters are ignored.
#[derive(Debug)]
pub(super) struct Preferences(Vec<(String, u16)>);

impl Preferences {
    /// Parses a header; none where it is missing or empty.
    pub(super) fn of(headers: &HeaderMap, name: HeaderName) -> Option<Self> {
        let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        let items = values.flat_map(|value| value.split(',')).map(str::trim).filter(|item| !item.is_empty());
        let weighted: Vec<_> = items.map(parse_item).collect();
        (!weighted.is_empty()).then_some(Self(weighted))
    }

    /// Returns the weight of the first of these names that is listed. The most specific name comes first.
    pub(super) fn weight(&self, names: &[&str]) -> Option<u16> {
        names.iter().find_map(|name| {
            let weights = self.0.iter().filter(|(listed, _)| listed == name).map(|(_, weight)| *weight);
            weights.max()
        })
    }

    /// Returns the weight of a media type; zero: not accepted.
    pub(super) fn media_type(&self, name: &str) -> u16 {
        let range = name.split_once('/').map(|(kind, _)| format!("{kind}/*")).unwrap_or_default();
        self.weight(&[name, &range, "*/*"]).unwrap_or(0)
    }
}

/// Returns whether a client that sends gRPC-web as text prefers a binary response. Without a preference it gets text.
pub(super) fn prefers_bytes(headers: &HeaderMap) -> bool {
    let Some(accept) = Preferences::of(headers, ACCEPT) else { return false };
    let weight = |name: &str| accept.media_type(name).max(accept.media_type(&format!("{name}+proto")));
    weight("application/grpc-web") > weight("application/grpc-web-text")
}

/// Parses `name;q=0.5`. A value with an invalid weight is not accepted.
fn parse_item(item: &str) -> (String, u16) {
    let mut parts = item.split(';').map(str::trim);
    let name = parts.next().unwrap_or_default().to_ascii_lowercase();
    let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
    (name, weight.map_or(MAX_WEIGHT, |weight| parse_weight(weight).unwrap_or(0)))
}

/// Parses a weight between 0 and 1 with three decimals at most. Returns thousandths.
fn parse_weight(weight: &str) -> Option<u16> {
    let (whole, decimals) = weight.split_once('.').unwrap_or((weight, ""));
    if decimals.len() > 3 || !decimals.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let decimals: u16 = format!("{decimals:0<3}").parse().ok()?;
    match whole {
        "0" => Some(decimals),
        "1" if decimals == 0 => Some(MAX_WEIGHT),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn preferences(value: &'static str) -> Option<Preferences> {
        Preferences::of(&HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(value))]), ACCEPT)
    }

    #[test]
    fn the_most_specific_range_decides_the_weight_of_a_media_type() {
        for (value, weight) in [
            ("text/plain", 1_000),
            ("TEXT/PLAIN; charset=utf-8; q=0.25", 250),
            ("text/html, text/*;q=0.5", 500),
            ("*/*;q=0.1, text/plain;q=0", 0),
            ("*/*", 1_000),
            ("text/html", 0),
            ("text/plain;q=2", 0),
            ("text/plain;q=0.1234", 0),
            ("text/plain;q=1.000", 1_000),
        ] {
            assert_eq!(preferences(value).expect("listed").media_type("text/plain"), weight, "{value}");
        }
    }

    #[test]
    fn an_empty_list_is_none() {
        for value in ["", " ", ",", " , "] {
            assert!(preferences(value).is_none(), "{value}");
        }
        assert!(Preferences::of(&HeaderMap::new(), ACCEPT).is_none());
    }
}
