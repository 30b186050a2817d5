//! Properties of every settings file: each line is parsed or reported with its number, and no secret is repeated.

use super::{Config, SETTINGS, file};

const CANARY: &str = "cAnary9f2";

/// Reads the bytes as a settings file, and then as the values of settings.
pub fn settings(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let count = text.lines().count();
    let mut last = 0;
    let mut entries = Vec::new();
    for read in file::parse(&text) {
        let line = match &read {
            Ok(entry) => entry.line,
            Err(bad) => bad.line,
        };
        assert!(last < line && line <= count, "line {line} after line {last} of {count}");
        last = line;
        // Without SECRET_FILE, since the file that it names would be read.
        entries.extend(read.ok().filter(|entry| entry.name != "SECRET_FILE"));
    }
    let pairs = entries.iter().map(|entry| (entry.name.as_str(), entry.value.as_str()));
    // They are accepted or refused, without a panic.
    drop(Config::from_settings(pairs));

    let secret = format!("{CANARY}{text}");
    for setting in SETTINGS.iter().filter(|setting| setting.secret) {
        if let Err(error) = Config::from_settings([(setting.name, secret.as_str())]) {
            assert!(!error.to_string().contains(CANARY), "{} is repeated", setting.name);
        }
    }
}

#[cfg(test)]
#[test]
fn every_line_is_parsed_or_reported_and_no_secret_is_repeated() {
    crate::clock::fuzz_inputs("settings").for_each(|data| settings(&data));
}
