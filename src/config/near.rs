//! Names that were meant to be settings.

use super::setting::{SETTINGS, Setting};

/// From this length on two letters may be wrong; before, one. Names of others are as close as that, too.
const LONG: usize = 15;

/// Returns the setting that a name was probably meant to be: one but for its case, its dashes or the program's name before
/// it, or for a letter that is wrong, missing, too many or in its neighbour's place. None for what is a setting.
pub(super) fn meant_by(name: &str) -> Option<&'static Setting> {
    if Setting::find(name).is_some() {
        return None;
    }
    let name = name.to_ascii_uppercase().replace('-', "_");
    let bare = name.strip_prefix("GRPCCHATTER_").unwrap_or(&name);
    let distance = |setting: &Setting| strsim::osa_distance(bare, setting.name);
    let closest = SETTINGS.iter().min_by_key(|setting| distance(setting))?;
    let most = match (bare.len() == name.len(), closest.name.len() < LONG) {
        // A container platform makes names of its own for a service called as the program.
        (false, _) => 0,
        (true, true) => 1,
        (true, false) => 2,
    };
    (distance(closest) <= most).then_some(closest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_taken_for_a_setting_where_it_is_close_to_one() {
        for (name, meant) in [
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
            assert_eq!(meant_by(name).map(|setting| setting.name), Some(meant), "{name}");
        }
    }

    /// What shells, container platforms and other programs set.
    #[test]
    fn names_of_others_are_left_alone() {
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
            assert_eq!(meant_by(name).map(|setting| setting.name), None, "{name}");
        }
        for setting in SETTINGS {
            assert!(meant_by(setting.name).is_none(), "{}", setting.name);
        }
    }
}
