//! The settings, as a user sees them.

use std::{path::PathBuf, time::Duration};

use super::*;
use crate::gateway::TlsConfig;

const SECRET: &str = "kP7xJ2mQ9wR4tY6uI1oA3sD5fG8hL0zX";

/// Loads settings from a file's text, the environment and flags.
fn load(
    file: &str,
    environment: &[(&str, &str)],
    flags: &[(&'static str, &str)],
) -> Result<Loaded, ConfigError> {
    static NEXT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("grpcchatter-settings-{}-{number}.env", std::process::id()));
    std::fs::write(&path, file).unwrap();
    let sources = Sources {
        file: Some(path.clone()),
        default_file: None,
        environment: environment.iter().map(|(name, value)| (name.into(), value.into())).collect(),
        flags: flags.iter().map(|(name, value)| (*name, (*value).to_owned())).collect(),
        tls_self_signed: false,
        web_dir: None,
    };
    let loaded = Config::load(&sources);
    std::fs::remove_file(&path).unwrap();
    loaded
}

fn listen(file: &str, environment: &[(&str, &str)], flags: &[(&'static str, &str)]) -> Vec<String> {
    let loaded = load(file, environment, flags).unwrap();
    loaded.config.listen.iter().map(ToString::to_string).collect()
}

/// Returns the errors in a file that has some.
fn errors(file: &str) -> Vec<String> {
    load(file, &[], &[]).unwrap_err().problems().to_vec()
}

#[test]
fn every_default_is_valid_and_none_is_missing() {
    let config = Config::load(&Sources::default()).unwrap().config;
    assert_eq!(config.listen, ["127.0.0.1:8080".parse().unwrap()]);
    assert!(matches!(config.secrets, SecretSource::DataDir));
    assert_eq!(format!("{:?}", config.database), "Sqlite(./data/grpcchatter.db)");
    assert_eq!(config.rooms.hub_memory, Some(64 << 20));
    assert_eq!(config.rooms.retention, None);
    assert_eq!(config.tokens.session, Duration::from_secs(30 * 24 * 60 * 60));
}

#[test]
fn every_setting_of_the_table_is_read() {
    let free_text = ["DATA_DIR", "METRICS_TOKEN", "TLS_CERT", "TLS_KEY"];
    for setting in SETTINGS.iter().filter(|setting| !free_text.contains(&setting.name)) {
        let error = errors(&format!("{}='?\t?'", setting.name));
        assert!(error.iter().any(|error| error.contains(setting.name)), "{}: {error:?}", setting.name);
    }
}

#[test]
fn flags_override_the_environment_which_overrides_the_file_which_overrides_the_defaults() {
    let file = "TOKEN_DURATION=1m\nCHAT_TOKEN_DURATION=1m\nSESSION_DURATION=1m\n";
    let environment = [("CHAT_TOKEN_DURATION", "2m"), ("SESSION_DURATION", "2m")];
    let tokens = load(file, &environment, &[("SESSION_DURATION", "3m")]).unwrap().config.tokens;
    let minutes = [tokens.user, tokens.chat, tokens.session].map(|duration| duration.as_secs() / 60);
    assert_eq!(minutes, [1, 2, 3]);
}

#[test]
fn empty_is_unset_in_every_layer() {
    let loaded = load("TOKEN_DURATION=1m", &[("TOKEN_DURATION", " ")], &[("TOKEN_DURATION", "")]).unwrap();
    assert_eq!(loaded.config.tokens.user, Duration::from_secs(60));
}

#[test]
fn all_errors_are_reported_together_with_setting_place_and_remedy() {
    let file = "TOKEN_DURATION=10\nSHORT_CODE_LENGTH=3\nNO_SUCH=1\nSERVER_PORT=1\nSERVER_PORT=2\nhm\nMAX_MESSAGE_SIZE=1MB";
    let error = load(file, &[("LOG_FORMAT", "xml")], &[("SERVER_ADDRESS", "here")]).unwrap_err();
    let expected = [
        "NO_SUCH is not a setting",
        "SERVER_PORT in",
        "line 6 of",
        "SERVER_ADDRESS in the flags: `here` is not an IP address; write one",
        "TOKEN_DURATION in",
        "SHORT_CODE_LENGTH in",
        "MAX_MESSAGE_SIZE in",
        "LOG_FORMAT in the environment: `xml` is not a format; write text or json",
    ];
    assert_eq!(error.problems().len(), expected.len(), "{error}");
    for (error, expected) in error.problems().iter().zip(expected) {
        assert!(error.contains(expected), "{error}\ndoes not say\n{expected}");
    }
}

#[test]
fn unknown_names_in_the_environment_are_ignored() {
    load("", &[("PATH", "/bin"), ("SERVER_NAME", "x")], &[]).unwrap();
}

#[test]
fn misspelled_settings_are_reported_with_a_suggestion() {
    let notes = |environment: &[(&str, &str)]| load("", environment, &[]).unwrap().notes;
    let [note] = &notes(&[("SERVER_PROT", "1"), ("SERVER_NAME", "x")])[..] else { panic!("one note") };
    assert_eq!(
        note,
        "SERVER_PROT in the environment is not a setting and is ignored; did you mean SERVER_PORT?"
    );
    assert!(errors("SERVER_PROT=1")[0].contains("SERVER_PROT is not a setting; did you mean SERVER_PORT?"));
}

#[test]
fn a_lone_word_that_is_not_a_level_is_refused() {
    for good in
        ["info", "OFF", "debug,h2=warn", "info,grpcchatter::hub=debug", "warn, grpcchatter=trace", "3"]
    {
        load(&format!("LOG_LEVEL='{good}'"), &[], &[]).unwrap();
    }
    for (wrong, word) in [("verbose", "verbose"), ("info,verbose", "verbose"), ("warning", "warning")] {
        let error = errors(&format!("LOG_LEVEL={wrong}"));
        assert!(error[0].contains(&format!("`{word}` is not a level; write error, warn")), "{error:?}");
    }
    assert_eq!(errors("LOG_LEVEL=info=verbose").len(), 1);
}

#[test]
fn a_port_variable_set_by_kubernetes_is_reported_as_such() {
    for name in ["SERVER_PORT", "REST_SERVER_PORT", "GRPC_SERVER_PORT"] {
        let error = load("", &[(name, "tcp://10.0.0.1:8080")], &[]).unwrap_err().to_string();
        assert!(
            error.contains(&format!("{name} in the environment")) && error.contains("Kubernetes"),
            "{error}"
        );
    }
}

#[test]
fn a_named_file_must_exist_and_the_default_one_need_not() {
    let absent = PathBuf::from("/nonexistent/settings.env");
    let named = Sources { file: Some(absent.clone()), ..Sources::default() };
    assert!(Config::load(&named).unwrap_err().to_string().contains("/nonexistent/settings.env"));
    let default = Sources { default_file: Some(absent), ..Sources::default() };
    assert_eq!(Config::load(&default).unwrap().file, None);
}

#[test]
fn a_certificate_needs_its_key_and_files_that_can_be_used() {
    assert!(errors("TLS_CERT=a.pem")[0].contains("one is set without the other"));
    let error = errors("TLS_CERT=/nonexistent/a.pem\nTLS_KEY=/nonexistent/b.pem\nSERVER_PORT=x");
    assert_eq!(error.len(), 2, "{error:?}");
    assert!(error.iter().any(|error| error.contains("/nonexistent/a.pem cannot be read")), "{error:?}");
    let sources = Sources { tls_self_signed: true, ..Sources::default() };
    assert_eq!(Config::load(&sources).unwrap().config.tls, Some(TlsConfig::SelfSigned));
}

#[test]
fn settings_of_later_versions_are_refused_by_name() {
    let error = load("", &[("NATS_URL", "1")], &[]).unwrap_err().to_string();
    assert!(error.contains("NATS_URL in the environment: is not supported"), "{error}");
    assert!(errors("NATS_URL=nats://localhost")[0].contains("run a single instance"));
}

#[test]
fn the_originals_two_servers_become_two_addresses() {
    let original = "REST_SERVER_ADDRESS=0.0.0.0\nREST_SERVER_PORT=8080\nGRPC_SERVER_ADDRESS=0.0.0.0\nGRPC_SERVER_PORT=5050\n";
    assert_eq!(listen(original, &[], &[]), ["0.0.0.0:8080", "0.0.0.0:5050"]);
    assert_eq!(listen(original, &[("GRPC_SERVER_PORT", "8080")], &[]), ["0.0.0.0:8080"]);
    assert_eq!(listen("REST_SERVER_PORT=1\n", &[], &[]), ["127.0.0.1:1"]);
}

#[test]
fn server_address_and_port_override_the_originals_names_in_their_layer_and_below() {
    let file = "SERVER_PORT=1\nREST_SERVER_PORT=2\nGRPC_SERVER_PORT=3\n";
    assert_eq!(listen(file, &[], &[]), ["127.0.0.1:1"]);
    assert_eq!(load(file, &[], &[]).unwrap().notes.len(), 2);
    assert_eq!(listen("REST_SERVER_PORT=2", &[("SERVER_ADDRESS", "::1")], &[]), ["[::1]:8080"]);
}

#[test]
fn the_originals_names_override_server_address_and_port_of_lower_layers() {
    let file = "SERVER_ADDRESS=0.0.0.0\nSERVER_PORT=1\nGRPC_SERVER_PORT=3\n";
    assert_eq!(listen(file, &[("REST_SERVER_PORT", "2")], &[]), ["0.0.0.0:2"]);
    assert_eq!(
        listen(file, &[("GRPC_SERVER_PORT", "4")], &[("REST_SERVER_PORT", "2")]),
        ["0.0.0.0:2", "0.0.0.0:4"]
    );
}

#[test]
fn zero_is_no_limit_where_unlimited_is_allowed() {
    let file = "MAX_CONNECTIONS=0\nHUB_MEMORY=0\nCONNECTION_AGE=0\nMESSAGES_PER_SECOND=0\nDRAIN_DELAY=0\n";
    let config = load(file, &[], &[]).unwrap().config;
    assert_eq!((config.connections.max, config.connections.age), (None, None));
    assert_eq!(config.rooms.hub_memory, None);
    assert_eq!((config.rate_limits.messages_per_second, config.drain_delay), (0, Duration::ZERO));
    for endless in
        ["TOKEN_DURATION=0", "SESSION_DURATION=0", "MAX_MESSAGE_SIZE=0", "MAX_MESSAGE_QUEUE_SIZE=0"]
    {
        assert_eq!(errors(endless).len(), 1, "{endless}");
    }
}

#[test]
fn durations_and_sizes_are_parsed_with_their_units() {
    let seconds = |text: &str| value::duration(text).map(|duration| duration.as_secs()).ok();
    assert_eq!(
        ["10m", "1h30m", "30d", "90s", "1h 30m", "0"].map(seconds),
        [600, 5400, 2_592_000, 90, 5400, 0].map(Some)
    );
    assert_eq!(["10", "-1s", "ten", "m", "99999999999y", "1000y"].map(seconds), [None; 6]);
    let size = |text: &str| value::size(text).ok();
    assert_eq!(
        ["4096", "64MiB", "1 KiB", "2GiB", "7B"].map(size),
        [4096, 64 << 20, 1024, 2 << 30, 7].map(Some)
    );
    assert_eq!(["", "MiB", "1MB", "1.5MiB", "-1", "99999999999GiB"].map(size), [None; 6]);
}

#[test]
fn networks_and_origins_are_lists() {
    let config = load(
        "TRUSTED_PROXIES='10.1.2.3/8, ::1'\nCORS_ORIGINS=https://A.example,http://localhost:5173",
        &[],
        &[],
    )
    .unwrap()
    .config;
    assert_eq!(
        config.trusted_proxies.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["10.0.0.0/8", "::1/128"]
    );
    assert_eq!(config.cors_origins, ["https://a.example", "http://localhost:5173"]);
    for wrong in [
        "CORS_ORIGINS=*",
        "CORS_ORIGINS=https://a.example/",
        "CORS_ORIGINS=a.example",
        "TRUSTED_PROXIES=10.0.0.0/33",
    ] {
        assert_eq!(errors(wrong).len(), 1, "{wrong}");
    }
}

#[test]
fn the_scheme_of_the_url_selects_the_database() {
    let database = |url: &str| value::database(url).map(|database| format!("{database:?}"));
    assert_eq!(database("sqlite://data/a.db"), Ok("Sqlite(data/a.db)".to_owned()));
    assert_eq!(database("sqlite:///a.db"), Ok("Sqlite(/a.db)".to_owned()));
    assert_eq!(database("postgres://u:p@h/d?sslmode=disable"), Ok("Postgres(h:5432)".to_owned()));
    for wrong in [
        "sqlite://",
        "sqlite::memory:",
        "sqlite://a.db?mode=ro",
        "mysql://u:hunter2@h/d",
        "postgres://",
        "hunter2",
    ] {
        let problem = database(wrong).unwrap_err();
        assert!(!problem.contains("hunter2"), "{problem}");
    }
}

#[test]
fn postgresql_needs_a_secret_and_sqlite_creates_its_own() {
    let postgres = "DATABASE_URL=postgres://u:p@h/d\n";
    assert!(errors(postgres)[0].contains("openssl rand"));
    let given = load(&format!("{postgres}SECRET={SECRET}"), &[], &[]).unwrap().config;
    assert!(matches!(given.secrets, SecretSource::Settings(_)));
}

#[test]
fn the_originals_settings_are_refused_only_for_their_secret() {
    let original = "DATABASE_URL=postgres://postgres:postgres@database:5432/postgres?sslmode=disable\n\
        REST_SERVER_ADDRESS=0.0.0.0\nREST_SERVER_PORT=8080\nGRPC_SERVER_ADDRESS=0.0.0.0\nGRPC_SERVER_PORT=5050\n\
        TOKEN_DURATION=10m\nSECRET=12345678901234567890123456789012\nSHORT_CODE_LENGTH=6\nMAX_MESSAGE_QUEUE_SIZE=255\n";
    let error = errors(original);
    assert_eq!(error.len(), 1, "{error:?}");
    assert!(error[0].contains("known to everybody") && error[0].contains("openssl rand"), "{error:?}");
}

#[test]
fn a_secret_comes_from_the_settings_or_from_a_file_and_not_from_both() {
    let path = std::env::temp_dir().join(format!("grpcchatter-secret-file-{}", std::process::id()));
    std::fs::write(&path, format!("{SECRET}\n")).unwrap();
    let file = format!("SECRET_FILE={}\n", path.display());
    let config = load(&file, &[], &[]).unwrap().config;
    assert!(matches!(config.secrets, SecretSource::Settings(_)));
    assert!(errors(&format!("{file}SECRET={SECRET}"))[0].contains("unset one"));
    for (text, expected) in [
        (format!("\u{feff}{SECRET}"), "byte order mark"),
        (format!("\"{SECRET}\"\n"), "in quotes"),
        (format!("{SECRET}\nanother line"), "more than one line"),
        (format!("{SECRET}, \"{SECRET}\"\n"), "in quotes"),
        (format!("SECRET={SECRET}"), "a file of settings"),
    ] {
        std::fs::write(&path, text).unwrap();
        let error = errors(&file);
        assert!(error[0].contains(expected) && error[0].contains("SECRET_FILE"), "{error:?}");
        assert!(!error[0].contains(SECRET), "{error:?}");
    }
    std::fs::write(&path, b"\xff\xfek\0e\0y\0").unwrap();
    assert!(errors(&file)[0].contains("not in UTF-8"));
    std::fs::remove_file(&path).unwrap();
    assert!(errors(&file)[0].contains("cannot be read"));
}

#[test]
fn a_token_that_no_header_can_carry_is_refused_and_not_repeated() {
    for wrong in ["cAnary\u{1}", "cAnary\ttoken", "cAn\u{e4}ry"] {
        let error = load("", &[("METRICS_TOKEN", wrong)], &[]).unwrap_err().to_string();
        assert!(error.contains("METRICS_TOKEN") && error.contains("openssl rand"), "{error}");
        assert!(!error.contains("cAn"), "{error}");
    }
    assert!(load("METRICS_TOKEN='aZ09-._~ +/='", &[], &[]).unwrap().config.metrics.token.is_some());
}

#[test]
fn the_metrics_address_must_not_overlap_with_the_others() {
    for wrong in [
        "METRICS_ADDRESS=127.0.0.1:8080",
        "SERVER_ADDRESS=0.0.0.0\nMETRICS_ADDRESS=127.0.0.1:8080",
        "SERVER_ADDRESS=::\nMETRICS_ADDRESS=127.0.0.1:8080",
        "METRICS_ADDRESS=0.0.0.0:8080",
        "REST_SERVER_PORT=1\nGRPC_SERVER_PORT=2\nMETRICS_ADDRESS=127.0.0.1:2",
    ] {
        let error = errors(wrong);
        assert!(error.len() == 1 && error[0].contains("METRICS_ADDRESS"), "{wrong}: {error:?}");
    }
    for good in [
        "METRICS_ADDRESS=127.0.0.1:9090",
        "METRICS_ADDRESS=127.0.0.2:8080",
        "SERVER_PORT=0\nMETRICS_ADDRESS=127.0.0.1:0",
        "SERVER_ADDRESS=0.0.0.0\nMETRICS_ADDRESS=[::1]:8080",
    ] {
        assert!(load(good, &[], &[]).is_ok(), "{good}");
    }
}

#[test]
fn nothing_secret_is_repeated() {
    let canary = "canary-9f2";
    let file = format!(
        "SECRET={canary}\nDATABASE_URL=mysql://u:{canary}@h\nMETRICS_TOKEN={canary}\n{canary}\nTLS_KEY=k\nA='{canary}\nB=${canary}\n"
    );
    let error = load(&file, &[], &[]).unwrap_err();
    assert!(!format!("{error} {error:?}").contains(canary), "{error}");
    let good = format!("SECRET={SECRET}\nDATABASE_URL=postgres://u:{canary}@h/d\n");
    let shown = format!("{:?}", load(&good, &[], &[]).unwrap());
    assert!(!shown.contains(canary) && !shown.contains(SECRET), "{shown}");
}

#[test]
fn names_of_single_settings_are_checked_too() {
    let config = Config::from_settings([("SERVER_PORT", "0"), ("MESSAGES_PER_SECOND", "0")]).unwrap();
    assert_eq!((config.listen[0].port(), config.rate_limits.messages_per_second), (0, 0));
    assert!(Config::from_settings([("SERVR_PORT", "0")]).is_err());
}
