//! Suggests a setting for a misspelled name.

use super::setting::{SETTINGS, Setting};

/// Names of at least this length may differ in two characters, shorter ones in one: names of other programs come that
/// close.
const LONG: usize = 15;

/// Returns the setting that a name was probably meant to be. They may differ in case, in dashes, in the program's name
/// as a prefix, or by a substituted, missing, additional or transposed character. `None` for the name of a setting.
pub(super) fn suggest(name: &str) -> Option<&'static Setting> {
    if Setting::find(name).is_some() {
        return None;
    }
    let name = name.to_ascii_uppercase().replace('-', "_");
    let bare = name.strip_prefix("GRPCCHATTER_").unwrap_or(&name);
    let distance = |setting: &Setting| strsim::osa_distance(bare, setting.name);
    let closest = SETTINGS.iter().min_by_key(|setting| distance(setting))?;
    let max_distance = match (bare.len() == name.len(), closest.name.len() < LONG) {
        // A container platform sets variables with this prefix for a service of the program's name.
        (false, _) => 0,
        (true, true) => 1,
        (true, false) => 2,
    };
    (distance(closest) <= max_distance).then_some(closest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_suggested_for_a_name_that_is_close_to_it() {
        for (name, expected) in [
            ("SERVER_PROT", "SERVER_PORT"),
            ("SERVER_ADRESS", "SERVER_ADDRESS"),
            ("DATABASE_URI", "DATABASE_URL"),
            ("LOGLEVEL", "LOG_LEVEL"),
            ("SECRETS", "SECRET"),
            ("server_port", "SERVER_PORT"),
            ("SERVER-PORT", "SERVER_PORT"),
            ("GRPCCHATTER_SECRET_FILE", "SECRET_FILE"),
            ("REGISTRATION_PER_HOURS", "REGISTRATIONS_PER_HOUR"),
        ] {
            assert_eq!(suggest(name).map(|setting| setting.name), Some(expected), "{name}");
        }
    }

    /// Names that shells, container platforms and other programs set.
    #[test]
    fn no_setting_is_suggested_for_names_of_other_programs() {
        for name in [
            "PATH",
            "HOME",
            "LANG",
            "PORT",
            "HOST",
            "SHELL",
            "TERM",
            "USER",
            "XDG_DATA_DIRS",
            "XDG_DATA_HOME",
            "SERVER_NAME",
            "SERVER_HOST",
            "SERVER_SERVICE_HOST",
            "SERVER_SERVICE_PORT",
            "SERVER_PORT_8080_TCP",
            "GRPCCHATTER_PORT",
            "GRPCCHATTER_URL",
            "GRPCCHATTER_SERVICE_PORT",
            "RUST_LOG",
            "SSL_CERT_FILE",
            "SSL_CERT_DIR",
            "DATABASE_HOST",
            "METRICS_PORT",
            "LOG_DIR",
            "LOG_FILE",
            "SECRET_KEY",
            "TLS_CA",
        ] {
            assert_eq!(suggest(name).map(|setting| setting.name), None, "{name}");
        }
        for setting in SETTINGS {
            assert!(suggest(setting.name).is_none(), "{}", setting.name);
        }
    }
}
