//! A secret that cannot be used is refused with the name of its setting, and no part of it.

use tempfile::TempDir;

use crate::harness::{Database, Process};

/// The settings that hold a secret, and values that they cannot take. All parts of them count as secret.
const UNUSABLE: &[(&str, &[&str])] = &[
    ("SECRET", &["cAnary", "cAnary,cAnary-that-is-long-enough-0123456789abcdef"]),
    ("SECRET_FILE", &["cAnary", "cAnary\ncAnary", "\"cAnary\""]),
    // No header carries them.
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

/// What must not be told.
const PARTS: &[&str] = &["cAnary", "dAnary", "ssW", "4711", "passwrod"];

#[tokio::test]
async fn no_part_of_it_is_told_by_any_command() {
    for (name, values) in UNUSABLE {
        for value in *values {
            let folder = TempDir::new().unwrap();
            let mut given = (*value).to_owned();
            if *name == "SECRET_FILE" {
                std::fs::write(folder.path().join("file"), value).unwrap();
                given = "file".to_owned();
            }
            // Two secrets for one thing are another mistake.
            let settings =
                [(*name, given.as_str()), if *name == "SECRET_FILE" { ("SECRET", "") } else { ("", "") }];
            let settings = &settings[..if *name == "SECRET_FILE" { 2 } else { 1 }];
            for command in ["serve", "check-config", "migrate"] {
                let (code, out, err) =
                    Process::command_with(&Database::sqlite(), &folder, &[command], "", settings).await;
                let said = format!("{out}{err}");
                let told = PARTS.iter().any(|part| said.contains(part));
                assert_eq!(
                    (code, said.contains(name), told),
                    (64, true, false),
                    "{command} {name}={value}: {said}"
                );
            }
            // And out of a file, whose lines may be spoiled.
            let file = folder.path().join("settings.env");
            for line in [format!("{name}='{given}'"), given.replace('\n', " ")] {
                std::fs::write(&file, &line).unwrap();
                let arguments = ["check-config", "--config", "settings.env"];
                let (_, out, err) =
                    Process::command_with(&Database::sqlite(), &folder, &arguments, "", &[]).await;
                let said = format!("{out}{err}");
                assert!(!PARTS.iter().any(|part| said.contains(part)), "{line}: {said}");
            }
        }
    }
}
