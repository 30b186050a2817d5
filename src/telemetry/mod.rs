//! The log: to standard error, as text or JSON, without secrets. Each event is one line, whatever text it contains.

use std::io::{self, IsTerminal as _, Write};

use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::{
    EnvFilter, Layer,
    filter::FilterFn,
    fmt::{self, MakeWriter},
    layer::SubscriberExt as _,
};

use crate::{
    audit,
    config::{LogConfig, LogFormat},
    model::printable,
};

mod export;

use export::Export;
pub use export::Exporting;

/// Enables the spans of calls, whatever the log level.
const EXPORTED: &str = "otlp=info";

/// The prefix of targets of this program's crates.
const OWN_PREFIX: &str = "grpcchatter";

/// This program's other targets.
const OWN_TARGETS: [&str; 2] = [audit::TARGET, "access"];

/// Starts the log. Must be called at most once in a process.
///
/// # Panics
/// Where `config.filter` is invalid, or the log has been started already.
pub fn init(config: &LogConfig) {
    set(config, None);
}

/// Starts the log, and the export of spans if the environment names a collector. The export ends when the returned
/// value is dropped.
///
/// # Panics
/// As [`init`].
pub fn init_exporting(config: &LogConfig) -> Option<Exporting> {
    match export::start() {
        Ok(Some((layer, exporting))) => {
            set(config, Some(layer));
            tracing::info!("spans of calls are exported");
            Some(exporting)
        }
        Ok(None) => {
            set(config, None);
            None
        }
        Err(error) => {
            set(config, None);
            tracing::warn!(error, "no spans are exported");
            None
        }
    }
}

fn set(config: &LogConfig, export: Option<Export>) {
    let terminal = std::io::stderr().is_terminal();
    tracing::subscriber::set_global_default(with_export(config, terminal, std::io::stderr, export))
        .expect("the log is started once");
}

/// Returns a subscriber that logs to `writer`. Colours are for terminals.
///
/// # Panics
/// Where `config.filter` is invalid.
pub fn subscriber<W>(config: &LogConfig, colours: bool, writer: W) -> impl Subscriber + Send + Sync + use<W>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    with_export(config, colours, writer, None)
}

fn with_export<W>(
    config: &LogConfig,
    colours: bool,
    writer: W,
    export: Option<Export>,
) -> impl Subscriber + Send + Sync + use<W>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let mut filter =
        EnvFilter::builder().parse(&config.filter).expect("the configuration has checked the directives");
    let exports = export.is_some();
    if exports {
        filter = filter.add_directive(EXPORTED.parse().expect("a directive"));
    }
    let colours = colours && matches!(config.format, LogFormat::Text);
    let lines = fmt::layer().with_ansi(colours).with_writer(OneLine { writer, colours });
    let lines = match config.format {
        LogFormat::Text => lines.boxed(),
        // Fields of spans are printed once.
        LogFormat::Json => lines.json().flatten_event(true).with_span_list(false).boxed(),
    };
    let may_be_logged = move |metadata: &Metadata<'_>| {
        if metadata.target() == export::TARGET { exports } else { may_be_logged(metadata) }
    };
    tracing_subscriber::registry().with(export).with(lines).with(FilterFn::new(may_be_logged)).with(filter)
}

/// Returns whether a line may be logged, whatever the directives say.
///
/// Below INFO other crates log what they process: h2 and hyper log headers, which contain tokens, and sqlx logs values.
/// Crates that talk to clients are limited to ERROR, since a client could cause any number of their warnings.
fn may_be_logged(metadata: &Metadata<'_>) -> bool {
    let max_level = match metadata.target().split("::").next() {
        Some(name) if name.starts_with(OWN_PREFIX) || OWN_TARGETS.contains(&name) => Level::TRACE,
        // The pool logs every failed attempt; the store logs one, with its cause.
        Some("sqlx_core") if metadata.target().starts_with("sqlx_core::pool") => return false,
        Some("h2" | "hyper" | "hyper_util" | "rustls" | "tokio_rustls") => Level::ERROR,
        _ => Level::INFO,
    };
    *metadata.level() <= max_level
}

/// Writes each event on one line: characters that would start another line or control a terminal are replaced by their
/// code points. Each write must be a whole event.
struct OneLine<W> {
    writer: W,
    colours: bool,
}

impl<'a, W: MakeWriter<'a>> MakeWriter<'a> for OneLine<W> {
    type Writer = Escaping<W::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        Escaping { writer: self.writer.make_writer(), colours: self.colours }
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Self::Writer {
        Escaping { writer: self.writer.make_writer_for(metadata), colours: self.colours }
    }
}

/// The formatter's escape sequences after ESC: reset, bold, faint, italic, and the colours of the levels.
const COLOURS: [&str; 9] = ["[0m", "[1m", "[2m", "[3m", "[31m", "[32m", "[33m", "[34m", "[35m"];

struct Escaping<W> {
    writer: W,
    colours: bool,
}

impl<W: Write> Write for Escaping<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let line = text.strip_suffix('\n').unwrap_or(&text);
        let mut pieces = line.split('\u{1b}');
        let mut escaped = printable(pieces.next().unwrap_or_default()).into_owned();
        for piece in pieces {
            // The formatter's own colours. They do no harm in a user's text either.
            let is_colour = self.colours && COLOURS.iter().any(|colour| piece.starts_with(colour));
            escaped.push_str(if is_colour { "\u{1b}" } else { "<U+001B>" });
            escaped.push_str(&printable(piece));
        }
        escaped.push('\n');
        self.writer.write_all(escaped.as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
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
    fn other_crates_are_limited_even_if_directives_name_them() {
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

    #[test]
    fn logged_text_starts_no_other_line_and_controls_no_terminal() {
        let forged = "x\n2026-11-28T00:00:00.000000Z  INFO audit: peer=192.0.2.9\r\u{1b}[2J\u{202e}\u{2028}";
        for (format, colours) in [(LogFormat::Text, false), (LogFormat::Text, true), (LogFormat::Json, false)]
        {
            let buffer = Buffer::default();
            let writer = buffer.clone();
            let config = LogConfig { filter: "info".to_owned(), format };
            let lines = subscriber(&config, colours, move || writer.clone());
            tracing::subscriber::with_default(lines, || {
                let _span = tracing::info_span!("request", id = forged, path = %forged).entered();
                tracing::info!(user = forged, error = %forged, debug = ?forged, "{forged}");
            });
            let text = String::from_utf8(buffer.0.lock().unwrap().clone()).unwrap();
            assert_eq!(text.trim_end().chars().filter(|c| "\n\r\u{2028}".contains(*c)).count(), 0, "{text}");
            assert!(!text.contains("\u{1b}[2J"), "{text}");
        }
    }
}
