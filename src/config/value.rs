//! How the text of a setting becomes a value. Each refusal says what to write instead.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use ipnet::IpNet;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;

use super::LogFormat;
use crate::store::{DatabaseUrl, PostgresUrl};

/// A value, or what is wrong with the text.
pub(super) type Parsed<T> = Result<T, String>;

/// The longest duration that is taken: a typing error in a unit should not overflow arithmetic on times.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

pub(super) fn address(text: &str) -> Parsed<IpAddr> {
    if text.eq_ignore_ascii_case("localhost") {
        return Ok(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse().map_err(|_| format!("`{text}` is no IP address; write one, as 127.0.0.1, 0.0.0.0 or ::1"))
}

pub(super) fn port(text: &str) -> Parsed<u16> {
    text.parse().map_err(|_| {
        // Kubernetes gives every container such a variable for each service: SERVER_PORT for one that is named `server`.
        if text.contains("://") {
            format!(
                "`{text}` is no port but what Kubernetes sets for a service of this name; set `enableServiceLinks: \
                 false` in the pod, or name the service otherwise"
            )
        } else {
            format!("`{text}` is no port; write a number from 0 to 65535")
        }
    })
}

pub(super) fn socket_address(text: &str) -> Parsed<SocketAddr> {
    text.parse().map_err(|_| format!("`{text}` is no address with a port; write it as 127.0.0.1:9090"))
}

/// A token that a client sends in `Authorization`: what no header can carry nobody could ever show. Never repeats the text.
pub(super) fn bearer(text: &str) -> Parsed<String> {
    // Blanks at its ends are no part of a header.
    if text.trim() == text && text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
        Ok(text.to_owned())
    } else {
        Err("holds a control character, what is not ASCII or a blank at an end, which no client could show in `Authorization`; make \
             one with `openssl rand -hex 32`"
            .to_owned())
    }
}

pub(super) fn path(text: &str) -> Parsed<PathBuf> {
    Ok(PathBuf::from(text))
}

/// A number from `least` to `most`.
pub(super) fn number(least: usize, most: usize) -> impl Fn(&str) -> Parsed<usize> {
    move |text| match text.parse() {
        Ok(number) if (least..=most).contains(&number) => Ok(number),
        _ => Err(format!("`{text}` is not taken; write a number from {least} to {most}")),
    }
}

/// A number where 0 is "no limit".
pub(super) fn limit(text: &str) -> Parsed<Option<u32>> {
    match text.parse() {
        Ok(0) => Ok(None),
        Ok(number) => Ok(Some(number)),
        Err(_) => Err(format!("`{text}` is not taken; write a number from 0 (no limit) to {}", u32::MAX)),
    }
}

/// A size in bytes.
pub(super) fn size(text: &str) -> Parsed<usize> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit = match unit.trim_start() {
        "" | "B" => Some(1),
        "KiB" => Some(1 << 10),
        "MiB" => Some(1 << 20),
        "GiB" => Some(1 << 30),
        _ => None,
    };
    let bytes = number.parse::<usize>().ok().zip(unit).and_then(|(number, unit)| number.checked_mul(unit));
    bytes.ok_or_else(|| format!("`{text}` is no size; write it as 4096, 16KiB, 64MiB or 1GiB"))
}

/// A size in bytes from `least` to `most`, which are told as they are written in `range`.
pub(super) fn size_within(least: usize, most: usize, range: &'static str) -> impl Fn(&str) -> Parsed<usize> {
    move |text| match size(text)? {
        bytes if (least..=most).contains(&bytes) => Ok(bytes),
        _ => Err(format!("`{text}` is not taken; write a size {range}")),
    }
}

/// A size where 0 is "no limit".
pub(super) fn size_limit(text: &str) -> Parsed<Option<usize>> {
    Ok(Some(size(text)?).filter(|&bytes| bytes > 0))
}

/// A duration; 0 needs no unit.
pub(super) fn duration(text: &str) -> Parsed<Duration> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    match humantime::parse_duration(text) {
        Ok(duration) if duration <= LONGEST => Ok(duration),
        Ok(_) => Err(format!("`{text}` is longer than a hundred years")),
        Err(_) => Err(format!("`{text}` is no duration; write it with its unit, as 30s, 10m, 1h30m or 30d")),
    }
}

/// A duration of a second or more, for what must end some day.
pub(super) fn lifetime(text: &str) -> Parsed<Duration> {
    match duration(text)? {
        duration if duration >= Duration::from_secs(1) => Ok(duration),
        _ => Err(format!(
            "`{text}` is too short; write a second or more, as 10m or 24h: nothing here lives for ever"
        )),
    }
}

/// A duration where 0 is "no limit".
pub(super) fn duration_limit(text: &str) -> Parsed<Option<Duration>> {
    Ok(Some(duration(text)?).filter(|duration| !duration.is_zero()))
}

/// Networks in CIDR notation; a bare address is a network of one.
pub(super) fn networks(text: &str) -> Parsed<Vec<IpNet>> {
    let network = |text: &str| {
        let network = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
        network.map(|network| network.trunc()).ok_or_else(|| {
            format!("`{text}` is no network; write it as 10.0.0.0/8 or fd00::/8, comma-separated")
        })
    };
    items(text).map(network).collect()
}

/// Origins as a browser sends them: scheme and host, and the port where it is not the scheme's own.
pub(super) fn origins(text: &str) -> Parsed<Vec<String>> {
    let origin = |text: &str| {
        let lower = text.to_ascii_lowercase();
        let host = lower.strip_prefix("https://").or_else(|| lower.strip_prefix("http://"));
        let valid = host.is_some_and(|host| {
            !host.is_empty()
                && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte))
        });
        if valid {
            Ok(lower)
        } else {
            Err(format!(
                "`{text}` is no origin; write scheme, host and port alone, as https://chat.example.org"
            ))
        }
    };
    items(text).map(origin).collect()
}

/// Where the database is. Never repeats the text, which may hold a password.
pub(super) fn database(text: &str) -> Parsed<DatabaseUrl> {
    let (scheme, rest) = text.split_once(':').unwrap_or(("", text));
    match scheme.to_ascii_lowercase().as_str() {
        "sqlite" => {
            let file = rest.strip_prefix("//").unwrap_or(rest);
            if file.is_empty() || file.starts_with(':') || file.contains('?') {
                return Err(
                    "names no file; write it as sqlite://data/chat.db or sqlite:///var/lib/chat.db, \
                            without parameters"
                        .to_owned(),
                );
            }
            Ok(DatabaseUrl::Sqlite(PathBuf::from(file)))
        }
        "postgres" | "postgresql" if rest.len() > 2 && rest.starts_with("//") => {
            PostgresUrl::parse(text).map(DatabaseUrl::Postgres).map_err(str::to_owned)
        }
        _ => Err("is no database of a known kind; write it as sqlite://FILE or \
                  postgres://USER:PASSWORD@HOST:PORT/NAME"
            .to_owned()),
    }
}

/// Directives for `tracing`, checked and kept as text: the filter itself cannot be cloned.
pub(super) fn log_filter(text: &str) -> Parsed<String> {
    // A lone word that is no level is a target to `tracing`, and turns everything else off.
    let stray = items(text).find(|item| item.bytes().all(is_of_word) && item.parse::<LevelFilter>().is_err());
    // It takes no blanks around a directive.
    let directives = items(text).collect::<Vec<_>>().join(",");
    match (stray, EnvFilter::builder().parse(&directives)) {
        (None, Ok(_)) => Ok(directives),
        (Some(word), _) => Err(no_level(word)),
        (None, Err(_)) => Err(no_level(text)),
    }
}

fn no_level(text: &str) -> String {
    format!(
        "`{text}` is no level; write error, warn, info, debug or trace, or directives as info,grpcchatter::hub=debug"
    )
}

const fn is_of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

pub(super) fn log_format(text: &str) -> Parsed<LogFormat> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err(format!("`{text}` is no format; write text or json")),
    }
}

/// The parts of a comma-separated list; blanks around them do not count, nor do empty parts.
pub(super) fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
}
