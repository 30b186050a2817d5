//! Searches the logs of every server that the tests start, in this process or another, at TRACE. They may contain no secret.

use std::{
    collections::HashSet,
    io::{self, Write},
    process,
    sync::{
        LazyLock, Mutex, Once, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use grpcchatter::{
    config::{LogConfig, LogFormat},
    telemetry,
};

use super::report::report_of;

/// What no log may contain: the canary that is in every secret of the tests, and the beginning of every JWT, `{"typ":"JWT"`.
const SECRET: [&str; 2] = ["cAnary", "eyJ0eXAi"];

/// The length of a refresh token: 56 bytes in base64.
const REFRESH_TOKEN: usize = 75;

/// The refresh tokens that were issued. They have no common word to search for.
static REFRESH_TOKENS: LazyLock<RwLock<HashSet<String>>> = LazyLock::new(RwLock::default);

static LINES: AtomicU64 = AtomicU64::new(0);

/// Searches every line that this process logs from now on.
pub(crate) fn watch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let config = LogConfig { filter: "trace".to_owned(), format: LogFormat::Text };
        let lines = telemetry::subscriber(&config, false, || Watched);
        tracing::subscriber::set_global_default(lines).unwrap();
    });
}

/// Adds a refresh token to the secrets that no log may contain.
pub(crate) fn hide_refresh_token(token: &str) {
    assert_eq!(token.len(), REFRESH_TOKEN, "a refresh token of another length would not be found");
    REFRESH_TOKENS.write().unwrap().insert(token.to_owned());
}

/// Searches log lines, and aborts the process if they contain a secret.
pub(crate) fn search(lines: &str) {
    if let Some(secret) = secret_in(lines) {
        // A panic in a server's task would fail no test, so the process is aborted. Not by `eprintln`: the runner captures its
        // output until the test ends, which it never does.
        let message = format!("the secret {secret:?} was logged: {lines}\n");
        drop(io::stderr().write_all(message.as_bytes()));
        process::abort();
    }
    LINES.fetch_add(1, Ordering::Relaxed);
}

/// Part of every server. When it is dropped, it reports how many lines were searched so far.
pub(crate) struct Searched;

impl Drop for Searched {
    fn drop(&mut self) {
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let _lock = ONE_AT_A_TIME.lock().unwrap();
        let lines = LINES.load(Ordering::Relaxed);
        report_of("canaries", "all servers at TRACE", &format!("{lines} log lines searched, 0 secrets"));
    }
}

fn secret_in(lines: &str) -> Option<&str> {
    if let Some(secret) = SECRET.into_iter().find(|secret| lines.contains(*secret)) {
        return Some(secret);
    }
    let is_base64 = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let mut runs = lines.split(|c| !is_base64(c)).filter(|run| run.len() >= REFRESH_TOKEN).peekable();
    runs.peek()?;
    let tokens = REFRESH_TOKENS.read().unwrap();
    let windows = runs.flat_map(|run| (0..=run.len() - REFRESH_TOKEN).map(|at| &run[at..at + REFRESH_TOKEN]));
    windows.into_iter().find(|window| tokens.contains(*window))
}

struct Watched;

impl Write for Watched {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        search(&String::from_utf8_lossy(line));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_found_anywhere_in_a_line() {
        let token = format!("AZk-_{}", "x".repeat(70));
        hide_refresh_token(&token);
        for line in
            ["body=cAnary", "Bearer eyJ0eXAi.x", &token, &format!("to {token}, to"), &format!("A{token}B")]
        {
            assert!(secret_in(line).is_some(), "{line}");
        }
        assert_eq!(secret_in(&format!("nothing here {}", &token[1..])), None);
        assert_eq!(secret_in(&"y".repeat(200)), None);
    }
}
