//! The log of every server that runs in the tests' process, at its finest level: nothing secret may be in it.

use std::{
    io::{self, Write},
    sync::Once,
};

use grpcchatter::{
    config::{LogConfig, LogFormat},
    telemetry,
};

/// What must not be seen: the word that is in every secret of the tests, and what each token begins with, `{"typ":"JWT"`.
const SECRET: [&str; 2] = ["cAnary", "eyJ0eXAi"];

/// Looks at every line from now on.
pub(crate) fn watch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let config = LogConfig { filter: "trace".to_owned(), format: LogFormat::Text };
        let lines = telemetry::subscriber(&config, false, || Watched);
        tracing::subscriber::set_global_default(lines).unwrap();
    });
}

struct Watched;

impl Write for Watched {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let line_text = String::from_utf8_lossy(line);
        if SECRET.iter().any(|secret| line_text.contains(secret)) {
            // Whichever test it was: a panic in a server's task would be nobody's failure.
            println!("something secret was logged: {line_text}");
            std::process::abort();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
