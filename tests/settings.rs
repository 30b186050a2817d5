//! Checks that the documents and configuration files agree with the table of settings.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Command;

use grpcchatter::config::{Config, SETTINGS, Setting, Sources};

mod tree;

use self::tree::{read, root};

fn load(path: &str) -> Config {
    let sources = Sources { file: Some(root(path)), ..Sources::default() };
    let loaded = Config::load(&sources).unwrap();
    assert!(loaded.notes.is_empty(), "{:?}", loaded.notes);
    loaded.config
}

/// The lines for a setting in `configs/default_config.env`. A secret is commented out, since a file with a secret is no default.
fn file_lines(setting: &Setting) -> String {
    let comment = if setting.secret { "#" } else { "" };
    format!("# {}\n{comment}{}={}\n", setting.meaning, setting.name, setting.default)
}

fn table_row(setting: &Setting) -> String {
    let default =
        if setting.default.is_empty() { "–".to_owned() } else { format!("`{}`", setting.default) };
    format!("| `{}` | {default} | {} |\n", setting.name, setting.meaning)
}

#[test]
fn the_default_file_lists_every_setting_in_order_with_its_default_and_its_meaning() {
    let expected: String = SETTINGS.iter().map(file_lines).collect();
    let text = read("configs/default_config.env");
    assert!(text.ends_with(&expected), "configs/default_config.env should end with\n{expected}");
}

#[test]
fn the_default_file_has_the_built_in_defaults() {
    let built_in = Config::load(&Sources::default()).unwrap().config;
    assert_eq!(format!("{:?}", load("configs/default_config.env")), format!("{built_in:?}"));
}

#[test]
fn the_settings_page_lists_every_setting_in_order_with_its_default_and_its_meaning() {
    let expected: String = SETTINGS.iter().map(table_row).collect();
    assert!(read("docs/settings.md").contains(&expected), "docs/settings.md should contain\n{expected}");
}

#[test]
fn the_production_file_has_only_known_settings_and_lacks_at_most_its_secret() {
    let sources = Sources { file: Some(root("configs/production.env")), ..Sources::default() };
    if let Err(error) = Config::load(&sources) {
        assert!(error.problems().iter().all(|problem| problem.starts_with("SECRET_FILE in ")), "{error}");
    }
}

#[test]
fn compose_passes_every_setting() {
    let compose = read("docker-compose.yml");
    let gateway = compose.split("\n  gateway:\n").nth(1).unwrap();
    let gateway = gateway.split("\nvolumes:\n").next().unwrap();
    // SECRET is passed in its place, since both together are refused.
    for setting in SETTINGS.iter().filter(|setting| setting.name != "SECRET_FILE") {
        let (name, default) = (
            setting.name,
            match setting.name {
                "SERVER_ADDRESS" => "0.0.0.0",
                "SERVER_PORT" => "8080",
                "DATA_DIR" => "/var/lib/grpcchatter",
                // An empty value falls through to the file, and then to the built-in default.
                _ => "",
            },
        );
        let line = format!("      {name}: \"${{{name}:-{default}}}\"\n");
        assert!(gateway.contains(&line), "docker-compose.yml should pass {line}");
    }
    assert!(
        gateway.contains(":${SERVER_PORT:-8080}\""),
        "the published port is the one that the server listens on"
    );
    let example = read(".env.example");
    let names = example.lines().filter_map(|line| line.trim_start_matches('#').split_once('='));
    for (name, _) in names.filter(|(name, _)| !name.contains(' ')) {
        assert!(
            compose.contains(&format!("${{{name}:-")),
            "docker-compose.yml does not use {name} of .env.example"
        );
    }
}

/// The value of a key in the systemd unit.
fn unit_value(key: &str) -> String {
    let unit = read("configs/systemd/grpcchatter.service");
    let value = unit.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    value.unwrap().to_owned()
}

#[test]
fn the_units_command_line_is_accepted() {
    let start = unit_value("ExecStart");
    let flags = start.strip_prefix("/usr/local/bin/grpcchatter ").unwrap();
    let settings = root("configs/default_config.env");
    let flags = flags.replace("/etc/grpcchatter/grpcchatter.env", settings.to_str().unwrap());
    let mut program = Command::new(env!("CARGO_BIN_EXE_grpcchatter"));
    let checked = program.arg("check-config").args(flags.split(' ')).env_clear().output().unwrap();
    assert!(checked.status.success(), "{checked:?}");
}

#[test]
fn the_unit_restarts_only_after_errors_that_may_pass() {
    // docs/operate.md: wrong settings, and a folder that cannot be written.
    assert_eq!(unit_value("RestartPreventExitStatus"), "64 73");
    assert_eq!((unit_value("Restart").as_str(), unit_value("RestartSec").as_str()), ("on-failure", "2s"));
    // By default systemd gives up for good after five starts in 10 s.
    assert_eq!(unit_value("StartLimitIntervalSec"), "0");
}

#[test]
fn the_unit_allows_a_file_for_each_connection() {
    let connections: u64 = Setting::find("MAX_CONNECTIONS").unwrap().default.parse().unwrap();
    let files: u64 = unit_value("LimitNOFILE").parse().unwrap();
    assert!(files > connections + 64, "{files}");
}

#[test]
fn the_unit_allows_the_time_of_a_drain() {
    let production = read("configs/production.env");
    let delay = production.lines().find_map(|line| line.strip_prefix("DRAIN_DELAY=")).unwrap();
    let delay: u64 = delay.trim_end_matches('s').parse().unwrap();
    let given: u64 = unit_value("TimeoutStopSec").parse().unwrap();
    // docs/operate.md promises that a drain takes at most 10 s.
    assert!(given > delay + 10, "{given}");
}
