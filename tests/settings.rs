//! Holds the documents to the table of settings: what they say is what the program does.

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

/// The lines that `configs/default_config.env` has for a setting. A secret is commented out: where it stands
/// in a file, that file is no default any more.
fn file_lines(setting: &Setting) -> String {
    let comment = if setting.secret { "#" } else { "" };
    format!("# {}\n{comment}{}={}\n", setting.meaning, setting.name, setting.default)
}

fn readme_row(setting: &Setting) -> String {
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
fn the_default_file_changes_nothing() {
    let built_in = Config::load(&Sources::default()).unwrap().config;
    assert_eq!(format!("{:?}", load("configs/default_config.env")), format!("{built_in:?}"));
}

#[test]
fn the_settings_page_lists_every_setting_in_order_with_its_default_and_its_meaning() {
    let expected: String = SETTINGS.iter().map(readme_row).collect();
    assert!(read("docs/settings.md").contains(&expected), "docs/settings.md should contain\n{expected}");
}

#[test]
fn the_production_file_names_known_settings_and_lacks_at_most_its_secret() {
    let sources = Sources { file: Some(root("configs/production.env")), ..Sources::default() };
    if let Err(error) = Config::load(&sources) {
        assert!(error.mistakes().iter().all(|told| told.starts_with("SECRET_FILE in ")), "{error}");
    }
}

#[test]
fn compose_passes_every_setting_on() {
    let compose = read("docker-compose.yml");
    let gateway = compose.split("\n  gateway:\n").nth(1).unwrap();
    let gateway = gateway.split("\nvolumes:\n").next().unwrap();
    // In its place SECRET is passed: both at once are refused.
    for setting in SETTINGS.iter().filter(|setting| setting.name != "SECRET_FILE") {
        let (name, default) = (
            setting.name,
            match setting.name {
                "SERVER_ADDRESS" => "0.0.0.0",
                "SERVER_PORT" => "8080",
                "DATA_DIR" => "/var/lib/grpcchatter",
                // What is empty falls through to the file, and to the built-in default.
                _ => "",
            },
        );
        let line = format!("      {name}: \"${{{name}:-{default}}}\"\n");
        assert!(gateway.contains(&line), "docker-compose.yml should pass{line}");
    }
    assert!(gateway.contains(":${SERVER_PORT:-8080}\""), "what is published is what is listened on");
    let example = read(".env.example");
    let names = example.lines().filter_map(|line| line.trim_start_matches('#').split_once('='));
    for (name, _) in names.filter(|(name, _)| !name.contains(' ')) {
        assert!(compose.contains(&format!("${{{name}:-")), "{name} of .env.example goes nowhere");
    }
}

/// The value of a key in the service's unit.
fn of_unit(key: &str) -> String {
    let unit = read("configs/systemd/grpcchatter.service");
    let value = unit.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    value.unwrap().to_owned()
}

#[test]
fn the_services_command_line_is_one_that_the_program_takes() {
    let start = of_unit("ExecStart");
    let flags = start.strip_prefix("/usr/local/bin/grpcchatter ").unwrap();
    let settings = root("configs/default_config.env");
    let flags = flags.replace("/etc/grpcchatter/grpcchatter.env", settings.to_str().unwrap());
    let mut program = Command::new(env!("CARGO_BIN_EXE_grpcchatter"));
    let checked = program.arg("check-config").args(flags.split(' ')).env_clear().output().unwrap();
    assert!(checked.status.success(), "{checked:?}");
}

#[test]
fn the_service_waits_for_what_passes_and_for_nothing_else() {
    // By docs/operate.md: mistakes in the settings, and a folder that cannot be written.
    assert_eq!(of_unit("RestartPreventExitStatus"), "64 73");
    assert_eq!((of_unit("Restart").as_str(), of_unit("RestartSec").as_str()), ("on-failure", "2s"));
    // systemd gives up for good after five starts in ten seconds unless it is told not to.
    assert_eq!(of_unit("StartLimitIntervalSec"), "0");
}

#[test]
fn the_service_may_open_a_file_for_each_connection() {
    let connections: u64 = Setting::find("MAX_CONNECTIONS").unwrap().default.parse().unwrap();
    let files: u64 = of_unit("LimitNOFILE").parse().unwrap();
    assert!(files > connections + 64, "{files}");
}

#[test]
fn the_service_is_given_the_time_of_a_drain() {
    let production = read("configs/production.env");
    let delay = production.lines().find_map(|line| line.strip_prefix("DRAIN_DELAY=")).unwrap();
    let delay: u64 = delay.trim_end_matches('s').parse().unwrap();
    let given: u64 = of_unit("TimeoutStopSec").parse().unwrap();
    // Ten seconds is what docs/operate.md promises of a drain at most.
    assert!(given > delay + 10, "{given}");
}
