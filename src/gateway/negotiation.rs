//! Headers that list what a caller takes, with weights (RFC 9110, 12.4.2): `Accept` and `Accept-Encoding`.

use http::{HeaderMap, HeaderName, header::ACCEPT};

/// The weight of what is taken best.
const MOST: u16 = 1_000;

/// What a caller takes, in lower case, each with its weight in thousandths. Parameters but the weight are passed over.
#[derive(Debug)]
pub(super) struct Accepted(Vec<(String, u16)>);

impl Accepted {
    /// Reads a header; none where it is missing or empty.
    pub(super) fn of(headers: &HeaderMap, name: HeaderName) -> Option<Self> {
        let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        let items = values.flat_map(|value| value.split(',')).map(str::trim).filter(|item| !item.is_empty());
        let accepted: Vec<_> = items.map(weighted).collect();
        (!accepted.is_empty()).then_some(Self(accepted))
    }

    /// Returns the weight of the first of these names that is listed: where one is refused, so are those that are less
    /// specific.
    pub(super) fn weight(&self, names: &[&str]) -> Option<u16> {
        names.iter().find_map(|name| {
            let weights = self.0.iter().filter(|(listed, _)| listed == name).map(|(_, weight)| *weight);
            weights.max()
        })
    }

    /// Returns the weight of a media type; zero is not taken.
    pub(super) fn media_type(&self, name: &str) -> u16 {
        let range = name.split_once('/').map(|(kind, _)| format!("{kind}/*")).unwrap_or_default();
        self.weight(&[name, &range, "*/*"]).unwrap_or(0)
    }
}

/// Says whether a caller who sends gRPC-web in text would rather be answered in bytes. Where it takes either, or neither, it
/// is answered as it asks.
pub(super) fn prefers_bytes(headers: &HeaderMap) -> bool {
    let Some(accepted) = Accepted::of(headers, ACCEPT) else { return false };
    let weight = |name: &str| accepted.media_type(name).max(accepted.media_type(&format!("{name}+proto")));
    weight("application/grpc-web") > weight("application/grpc-web-text")
}

/// Reads `name;q=0.5`. A weight that cannot be read is none at all: what is not understood is not taken.
fn weighted(item: &str) -> (String, u16) {
    let mut parts = item.split(';').map(str::trim);
    let name = parts.next().unwrap_or_default().to_ascii_lowercase();
    let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
    (name, weight.map_or(MOST, |weight| thousandths(weight).unwrap_or(0)))
}

/// Reads a weight: from 0 to 1 with three decimals at most.
fn thousandths(weight: &str) -> Option<u16> {
    let (whole, decimals) = weight.split_once('.').unwrap_or((weight, ""));
    if decimals.len() > 3 || !decimals.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let decimals: u16 = format!("{decimals:0<3}").parse().ok()?;
    match whole {
        "0" => Some(decimals),
        "1" if decimals == 0 => Some(MOST),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn accepted(value: &'static str) -> Option<Accepted> {
        Accepted::of(&HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(value))]), ACCEPT)
    }

    #[test]
    fn the_most_specific_range_gives_a_media_types_weight() {
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
            assert_eq!(accepted(value).expect("listed").media_type("text/plain"), weight, "{value}");
        }
    }

    #[test]
    fn an_empty_list_is_none() {
        for value in ["", " ", ",", " , "] {
            assert!(accepted(value).is_none(), "{value}");
        }
        assert!(Accepted::of(&HeaderMap::new(), ACCEPT).is_none());
    }
}
