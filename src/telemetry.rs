//! The log: to standard error, for people or for programs, with nothing secret in it.

use std::io::IsTerminal as _;

use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::{
    EnvFilter, Layer as _,
    filter::FilterFn,
    fmt::{self, MakeWriter},
    layer::SubscriberExt as _,
};

use crate::config::{LogConfig, LogFormat};

/// The crates of this program, by the start of their targets.
const OWN: &str = "grpcchatter";

/// Starts logging. To be called once in a process.
///
/// # Panics
/// Where `config.filter` was not checked before, or where the process logs already.
pub fn init(config: &LogConfig) {
    let terminal = std::io::stderr().is_terminal();
    tracing::subscriber::set_global_default(subscriber(config, terminal, std::io::stderr))
        .expect("the log is started once");
}

/// Returns what logs to `writer`; colours are for people at a terminal.
///
/// # Panics
/// Where `config.filter` was not checked before.
pub fn subscriber<W>(config: &LogConfig, colours: bool, writer: W) -> impl Subscriber + Send + Sync + use<W>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter =
        EnvFilter::builder().parse(&config.filter).expect("the configuration has checked the directives");
    let lines = fmt::layer().with_writer(writer);
    let lines = match config.format {
        LogFormat::Text => lines.with_ansi(colours).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry().with(lines).with(FilterFn::new(may_be_logged)).with(filter)
}

/// Says whether a line of this kind may be seen, whatever the directives ask for.
///
/// Below INFO other crates print what they carry: h2 and hyper headers, with the tokens in them, sqlx values.
/// What speaks with strangers is held to ERROR, since it warns of what any of them sends, as often as they like.
fn may_be_logged(metadata: &Metadata<'_>) -> bool {
    let most = match metadata.target().split("::").next() {
        Some(name) if name.starts_with(OWN) => Level::TRACE,
        // A pool says of every try that it failed; the store says it once, with its cause.
        Some("sqlx_core") if metadata.target().starts_with("sqlx_core::pool") => return false,
        Some("h2" | "hyper" | "hyper_util" | "rustls" | "tokio_rustls") => Level::ERROR,
        _ => Level::INFO,
    };
    *metadata.level() <= most
}

#[cfg(test)]
mod tests {
    use std::{
        io::Write,
        sync::{Arc, Mutex},
    };

    use super::*;

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn other_crates_are_held_back_even_where_directives_name_them() {
        let buffer = Buffer::default();
        let writer = buffer.clone();
        let config = LogConfig { filter: "trace,h2=trace".to_owned(), format: LogFormat::Json };
        tracing::subscriber::with_default(subscriber(&config, false, move || writer.clone()), || {
            tracing::trace!(target: "h2::codec", "headers");
            tracing::debug!(target: "sqlx::query", "headers");
            tracing::warn!(target: "h2::proto", "a stranger's frame");
            tracing::info!(target: "sea_orm_migration", "theirs");
            tracing::trace!(target: "grpcchatter::hub", room = 7, "ours");
        });
        let text = String::from_utf8(buffer.0.lock().unwrap().clone()).unwrap();
        assert!(
            !text.contains("headers") && text.contains("theirs") && text.contains("\"room\":7"),
            "{text}"
        );
        assert_eq!(text.lines().count(), 2);
    }
}
