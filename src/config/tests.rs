//! The rules of the settings, each by what a user would see.

use super::*;

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

/// Returns the mistakes of a file, of which there must be some.
fn mistakes(file: &str) -> Vec<String> {
    load(file, &[], &[]).unwrap_err().mistakes().to_vec()
}

#[test]
fn every_default_is_valid_and_none_is_missing() {
    let config = Config::load(&Sources::default()).unwrap().config;
    assert_eq!(config.listen, ["127.0.0.1:8080".parse().unwrap()]);
    assert!(matches!(config.secrets, Secrets::Kept));
    assert_eq!(format!("{:?}", config.database), "Sqlite(./data/grpcchatter.db)");
    assert_eq!(config.rooms.hub_memory, Some(64 << 20));
    assert_eq!(config.rooms.retention, None);
    assert_eq!(config.tokens.session, Duration::from_secs(30 * 24 * 60 * 60));
}

#[test]
fn every_setting_of_the_table_is_read() {
    let free_text = ["DATA_DIR", "METRICS_TOKEN", "TLS_CERT", "TLS_KEY"];
    for setting in SETTINGS.iter().filter(|setting| !free_text.contains(&setting.name)) {
        let told = mistakes(&format!("{}='?\t?'", setting.name));
        assert!(told.iter().any(|told| told.contains(setting.name)), "{}: {told:?}", setting.name);
    }
}

#[test]
fn flags_beat_the_environment_which_beats_the_file_which_beats_the_defaults() {
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
fn every_mistake_is_told_at_once_with_its_name_place_and_remedy() {
    let file = "TOKEN_DURATION=10\nSHORT_CODE_LENGTH=3\nNO_SUCH=1\nSERVER_PORT=1\nSERVER_PORT=2\nhm\nMAX_MESSAGE_SIZE=1MB";
    let error = load(file, &[("LOG_FORMAT", "xml")], &[("SERVER_ADDRESS", "here")]).unwrap_err();
    let expected = [
        "NO_SUCH is no setting",
        "SERVER_PORT in",
        "line 6 of",
        "SERVER_ADDRESS in the flags: `here` is no IP address; write one",
        "TOKEN_DURATION in",
        "SHORT_CODE_LENGTH in",
        "MAX_MESSAGE_SIZE in",
        "LOG_FORMAT in the environment: `xml` is no format; write text or json",
    ];
    assert_eq!(error.mistakes().len(), expected.len(), "{error}");
    for (told, expected) in error.mistakes().iter().zip(expected) {
        assert!(told.contains(expected), "{told}\ndoes not say\n{expected}");
    }
}

#[test]
fn unknown_names_of_the_environment_belong_to_others() {
    load("", &[("PATH", "/bin"), ("SERVER_NAME", "x")], &[]).unwrap();
}

#[test]
fn names_that_were_meant_to_be_settings_are_told() {
    let notes = |environment: &[(&str, &str)]| load("", environment, &[]).unwrap().notes;
    let [told] = &notes(&[("SERVER_PROT", "1"), ("SERVER_NAME", "x")])[..] else { panic!("one is told") };
    assert_eq!(told, "SERVER_PROT in the environment is no setting and does not count; SERVER_PORT is one");
    assert!(mistakes("SERVER_PROT=1")[0].contains("SERVER_PROT is no setting; SERVER_PORT is one"));
}

#[test]
fn a_lone_word_that_is_no_level_is_refused() {
    for good in
        ["info", "OFF", "debug,h2=warn", "info,grpcchatter::hub=debug", "warn, grpcchatter=trace", "3"]
    {
        load(&format!("LOG_LEVEL='{good}'"), &[], &[]).unwrap();
    }
    for (wrong, word) in [("verbose", "verbose"), ("info,verbose", "verbose"), ("warning", "warning")] {
        let told = mistakes(&format!("LOG_LEVEL={wrong}"));
        assert!(told[0].contains(&format!("`{word}` is no level; write error, warn")), "{told:?}");
    }
    assert_eq!(mistakes("LOG_LEVEL=info=verbose").len(), 1);
}

#[test]
fn a_port_that_a_container_platform_has_set_is_told_as_that() {
    for name in ["SERVER_PORT", "REST_SERVER_PORT", "GRPC_SERVER_PORT"] {
        let told = load("", &[(name, "tcp://10.0.0.1:8080")], &[]).unwrap_err().to_string();
        assert!(
            told.contains(&format!("{name} in the environment")) && told.contains("Kubernetes"),
            "{told}"
        );
    }
}

#[test]
fn a_named_file_must_be_there_and_the_default_one_need_not() {
    let absent = PathBuf::from("/nonexistent/settings.env");
    let named = Sources { file: Some(absent.clone()), ..Sources::default() };
    assert!(Config::load(&named).unwrap_err().to_string().contains("/nonexistent/settings.env"));
    let default = Sources { default_file: Some(absent), ..Sources::default() };
    assert_eq!(Config::load(&default).unwrap().file, None);
}

#[test]
fn a_certificate_needs_its_key_and_files_that_can_be_used() {
    assert!(mistakes("TLS_CERT=a.pem")[0].contains("one is set without the other"));
    let told = mistakes("TLS_CERT=/nonexistent/a.pem\nTLS_KEY=/nonexistent/b.pem\nSERVER_PORT=x");
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told.iter().any(|told| told.contains("/nonexistent/a.pem cannot be read")), "{told:?}");
    let sources = Sources { tls_self_signed: true, ..Sources::default() };
    assert_eq!(Config::load(&sources).unwrap().config.tls, Some(TlsConfig::SelfSigned));
}

#[test]
fn what_is_not_served_yet_is_refused_by_name() {
    let error = load("", &[("NATS_URL", "1")], &[]).unwrap_err().to_string();
    assert!(error.contains("NATS_URL in the environment: is not served"), "{error}");
    assert!(mistakes("NATS_URL=nats://localhost")[0].contains("several instances come later"));
}

#[test]
fn the_originals_two_servers_are_two_addresses_of_this_one() {
    let original = "REST_SERVER_ADDRESS=0.0.0.0\nREST_SERVER_PORT=8080\nGRPC_SERVER_ADDRESS=0.0.0.0\nGRPC_SERVER_PORT=5050\n";
    assert_eq!(listen(original, &[], &[]), ["0.0.0.0:8080", "0.0.0.0:5050"]);
    assert_eq!(listen(original, &[("GRPC_SERVER_PORT", "8080")], &[]), ["0.0.0.0:8080"]);
    assert_eq!(listen("REST_SERVER_PORT=1\n", &[], &[]), ["127.0.0.1:1"]);
}

#[test]
fn server_address_and_port_beat_the_originals_names_in_their_layer_and_below() {
    let file = "SERVER_PORT=1\nREST_SERVER_PORT=2\nGRPC_SERVER_PORT=3\n";
    assert_eq!(listen(file, &[], &[]), ["127.0.0.1:1"]);
    assert_eq!(load(file, &[], &[]).unwrap().notes.len(), 2);
    assert_eq!(listen("REST_SERVER_PORT=2", &[("SERVER_ADDRESS", "::1")], &[]), ["[::1]:8080"]);
}

#[test]
fn the_originals_names_beat_server_address_and_port_of_weaker_layers() {
    let file = "SERVER_ADDRESS=0.0.0.0\nSERVER_PORT=1\nGRPC_SERVER_PORT=3\n";
    assert_eq!(listen(file, &[("REST_SERVER_PORT", "2")], &[]), ["0.0.0.0:2"]);
    assert_eq!(
        listen(file, &[("GRPC_SERVER_PORT", "4")], &[("REST_SERVER_PORT", "2")]),
        ["0.0.0.0:2", "0.0.0.0:4"]
    );
}

#[test]
fn zero_is_no_limit_where_there_can_be_none() {
    let file = "MAX_CONNECTIONS=0\nHUB_MEMORY=0\nCONNECTION_AGE=0\nMESSAGES_PER_SECOND=0\nDRAIN_DELAY=0\n";
    let config = load(file, &[], &[]).unwrap().config;
    assert_eq!((config.connections.max, config.connections.age), (None, None));
    assert_eq!(config.rooms.hub_memory, None);
    assert_eq!((config.guard.messages_per_second, config.drain_delay), (0, Duration::ZERO));
    for endless in
        ["TOKEN_DURATION=0", "SESSION_DURATION=0", "MAX_MESSAGE_SIZE=0", "MAX_MESSAGE_QUEUE_SIZE=0"]
    {
        assert_eq!(mistakes(endless).len(), 1, "{endless}");
    }
}

#[test]
fn durations_and_sizes_are_written_as_people_write_them() {
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
        assert_eq!(mistakes(wrong).len(), 1, "{wrong}");
    }
}

#[test]
fn databases_are_told_apart_by_their_scheme() {
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
fn postgresql_needs_a_secret_and_sqlite_makes_its_own() {
    let postgres = "DATABASE_URL=postgres://u:p@h/d\n";
    assert!(mistakes(postgres)[0].contains("openssl rand"));
    let given = load(&format!("{postgres}SECRET={SECRET}"), &[], &[]).unwrap().config;
    assert!(matches!(given.secrets, Secrets::Given(_)));
}

#[test]
fn the_originals_settings_are_refused_for_their_secret_alone() {
    let original = "DATABASE_URL=postgres://postgres:postgres@database:5432/postgres?sslmode=disable\n\
        REST_SERVER_ADDRESS=0.0.0.0\nREST_SERVER_PORT=8080\nGRPC_SERVER_ADDRESS=0.0.0.0\nGRPC_SERVER_PORT=5050\n\
        TOKEN_DURATION=10m\nSECRET=12345678901234567890123456789012\nSHORT_CODE_LENGTH=6\nMAX_MESSAGE_QUEUE_SIZE=255\n";
    let told = mistakes(original);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("known to everybody") && told[0].contains("openssl rand"), "{told:?}");
}

#[test]
fn a_secret_comes_from_the_settings_or_from_a_file_and_not_from_both() {
    let path = std::env::temp_dir().join(format!("grpcchatter-secret-file-{}", std::process::id()));
    std::fs::write(&path, format!("{SECRET}\n")).unwrap();
    let file = format!("SECRET_FILE={}\n", path.display());
    let config = load(&file, &[], &[]).unwrap().config;
    assert!(matches!(config.secrets, Secrets::Given(_)));
    assert!(mistakes(&format!("{file}SECRET={SECRET}"))[0].contains("unset one"));
    for (text, tells) in [
        (format!("\u{feff}{SECRET}"), "byte order mark"),
        (format!("\"{SECRET}\"\n"), "in quotes"),
        (format!("{SECRET}\nanother line"), "more than one line"),
        (format!("{SECRET}, \"{SECRET}\"\n"), "in quotes"),
        (format!("SECRET={SECRET}"), "a file of settings"),
    ] {
        std::fs::write(&path, text).unwrap();
        let told = mistakes(&file);
        assert!(told[0].contains(tells) && told[0].contains("SECRET_FILE"), "{told:?}");
        assert!(!told[0].contains(SECRET), "{told:?}");
    }
    std::fs::write(&path, b"\xff\xfek\0e\0y\0").unwrap();
    assert!(mistakes(&file)[0].contains("not in UTF-8"));
    std::fs::remove_file(&path).unwrap();
    assert!(mistakes(&file)[0].contains("cannot be read"));
}

#[test]
fn a_token_that_no_header_carries_is_refused_and_not_repeated() {
    for wrong in ["cAnary\u{1}", "cAnary\ttoken", "cAn\u{e4}ry"] {
        let told = load("", &[("METRICS_TOKEN", wrong)], &[]).unwrap_err().to_string();
        assert!(told.contains("METRICS_TOKEN") && told.contains("openssl rand"), "{told}");
        assert!(!told.contains("cAn"), "{told}");
    }
    assert!(load("METRICS_TOKEN='aZ09-._~ +/='", &[], &[]).unwrap().config.metrics.token.is_some());
}

#[test]
fn the_figures_own_address_is_no_address_of_everything() {
    for wrong in [
        "METRICS_ADDRESS=127.0.0.1:8080",
        "SERVER_ADDRESS=0.0.0.0\nMETRICS_ADDRESS=127.0.0.1:8080",
        "SERVER_ADDRESS=::\nMETRICS_ADDRESS=127.0.0.1:8080",
        "METRICS_ADDRESS=0.0.0.0:8080",
        "REST_SERVER_PORT=1\nGRPC_SERVER_PORT=2\nMETRICS_ADDRESS=127.0.0.1:2",
    ] {
        let told = mistakes(wrong);
        assert!(told.len() == 1 && told[0].contains("METRICS_ADDRESS"), "{wrong}: {told:?}");
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
    let told = load(&file, &[], &[]).unwrap_err();
    assert!(!format!("{told} {told:?}").contains(canary), "{told}");
    let good = format!("SECRET={SECRET}\nDATABASE_URL=postgres://u:{canary}@h/d\n");
    let shown = format!("{:?}", load(&good, &[], &[]).unwrap());
    assert!(!shown.contains(canary) && !shown.contains(SECRET), "{shown}");
}

#[test]
fn settings_given_one_by_one_are_checked_by_name_too() {
    let config = Config::from_settings([("SERVER_PORT", "0"), ("MESSAGES_PER_SECOND", "0")]).unwrap();
    assert_eq!((config.listen[0].port(), config.guard.messages_per_second), (0, 0));
    assert!(Config::from_settings([("SERVR_PORT", "0")]).is_err());
}
