//! The logs of every server that the tests start, in their process or beside it, at the finest level: nothing secret may
//! be in them.

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

/// What must not be seen: the word that is in every secret of the tests, and what each token begins with, `{"typ":"JWT"`.
const SECRET: [&str; 2] = ["cAnary", "eyJ0eXAi"];

/// How long a refresh token is: 56 bytes in base64.
const REFRESH_TOKEN: usize = 75;

/// The refresh tokens that were given out. They have no word in common.
static REFRESH_TOKENS: LazyLock<RwLock<HashSet<String>>> = LazyLock::new(RwLock::default);

static LINES: AtomicU64 = AtomicU64::new(0);

/// Looks at every line from now on that is logged in this process.
pub(crate) fn watch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let config = LogConfig { filter: "trace".to_owned(), format: LogFormat::Text };
        let lines = telemetry::subscriber(&config, false, || Watched);
        tracing::subscriber::set_global_default(lines).unwrap();
    });
}

/// Looks out for a refresh token too.
pub(crate) fn hide_refresh_token(token: &str) {
    assert_eq!(token.len(), REFRESH_TOKEN, "another kind of refresh token: it would not be found");
    REFRESH_TOKENS.write().unwrap().insert(token.to_owned());
}

/// Looks at what was logged.
pub(crate) fn search(lines: &str) {
    if let Some(secret) = secret_in(lines) {
        // Not by `eprintln`, which the runner keeps to itself until the test has ended, and it never does: whichever test
        // it was, a panic in a server's task would be nobody's failure.
        let told = format!("something secret was logged, {secret:?}: {lines}\n");
        drop(io::stderr().write_all(told.as_bytes()));
        process::abort();
    }
    LINES.fetch_add(1, Ordering::Relaxed);
}

/// Part of every server: at its end it keeps how many lines were looked at so far, for the end of the run.
pub(crate) struct Searched;

impl Drop for Searched {
    fn drop(&mut self) {
        static IN_TURN: Mutex<()> = Mutex::new(());
        let _turn = IN_TURN.lock().unwrap();
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
    fn secrets_are_found_wherever_they_stand() {
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
