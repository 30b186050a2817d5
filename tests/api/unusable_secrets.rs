//! A secret that cannot be used is refused with the name of its setting, and no part of it is printed.

use tempfile::TempDir;

use crate::harness::{Database, Process};

/// The settings with a secret, and invalid values for them. All parts of the values count as secret.
const UNUSABLE: &[(&str, &[&str])] = &[
    ("SECRET", &["cAnary", "cAnary,cAnary-that-is-long-enough-0123456789abcdef"]),
    ("SECRET_FILE", &["cAnary", "cAnary\ncAnary", "\"cAnary\""]),
    // No header can contain them.
    ("METRICS_TOKEN", &["cAnary\tx", "cAnary\u{e9}"]),
    (
        "DATABASE_URL",
        &[
            "postgres://odd:p@ssW:w/o?r#dAnary@127.0.0.1/odd",
            "postgres://odd:cAnary#d@127.0.0.1/odd",
            "postgres://odd:4711/cAnary@127.0.0.1/odd",
            "postgres://odd:4711?cAnary@127.0.0.1/odd",
            "postgres://odd:cAnary@127.0.0.1:port/odd",
            "postgres://odd@127.0.0.1/odd?passwrod=cAnary",
            "postgres://odd@127.0.0.1/odd?sslmode=cAnary",
            "cAnary://odd@127.0.0.1/odd",
            "mysql://odd:cAnary@127.0.0.1/odd",
        ],
    ),
];

/// What must not be printed.
const SECRET_PARTS: &[&str] = &["cAnary", "dAnary", "ssW", "4711", "passwrod"];

#[tokio::test]
async fn no_command_prints_any_part_of_an_unusable_secret() {
    for (name, values) in UNUSABLE {
        for value in *values {
            let folder = TempDir::new().unwrap();
            let mut given = (*value).to_owned();
            if *name == "SECRET_FILE" {
                std::fs::write(folder.path().join("file"), value).unwrap();
                given = "file".to_owned();
            }
            // SECRET and SECRET_FILE together would be another mistake.
            let settings =
                [(*name, given.as_str()), if *name == "SECRET_FILE" { ("SECRET", "") } else { ("", "") }];
            let settings = &settings[..if *name == "SECRET_FILE" { 2 } else { 1 }];
            for command in ["serve", "check-config", "migrate"] {
                let (code, out, err) =
                    Process::command_with(&Database::sqlite(), &folder, &[command], "", settings).await;
                let output = format!("{out}{err}");
                let leaks = SECRET_PARTS.iter().any(|part| output.contains(part));
                assert_eq!(
                    (code, output.contains(name), leaks),
                    (64, true, false),
                    "{command} {name}={value}: {output}"
                );
            }
            // The same from a settings file, whose lines may be malformed.
            let file = folder.path().join("settings.env");
            for line in [format!("{name}='{given}'"), given.replace('\n', " ")] {
                std::fs::write(&file, &line).unwrap();
                let arguments = ["check-config", "--config", "settings.env"];
                let (_, out, err) =
                    Process::command_with(&Database::sqlite(), &folder, &arguments, "", &[]).await;
                let output = format!("{out}{err}");
                assert!(!SECRET_PARTS.iter().any(|part| output.contains(part)), "{line}: {output}");
            }
        }
    }
}
