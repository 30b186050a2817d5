//! `serve`: starts the log, builds the server, prints its addresses, and runs it until a signal.

use std::{
    io::{self, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use grpcchatter::{
    app::{App, StartError},
    config::{Loaded, LogFormat},
    shutdown::Signals,
    systemd::{self, State},
    telemetry,
};

use super::{Failed, settings::ServeArgs};

pub(super) fn serve(args: ServeArgs) -> Result<(), Failed> {
    let Loaded { config, file, notes } = args.load()?;
    let _exporting = telemetry::init_exporting(&config.log);
    match file {
        Some(file) => tracing::info!(file = %file.display(), "settings read"),
        None => tracing::info!("no settings file read: using defaults, environment and flags"),
    }
    for note in notes {
        tracing::warn!("{note}");
    }
    let failed = |error: StartError| {
        let code = error.exit_code();
        Failed::new(error, code)
    };
    raise_file_limit(config.connections.max);
    let format = config.log.format;
    let sockets = systemd::sockets().map_err(|error| Failed::new(error, 75))?;
    let app = App::build_on(config, sockets).map_err(failed)?;
    let (addresses, tls) = (app.local_addrs().to_vec(), app.tls().cloned());
    let shutdown = async move {
        let signals = match Signals::listen() {
            Ok(signals) => signals,
            Err(error) => return tracing::error!(%error, "signals cannot be handled: ending"),
        };
        // After the signals: a reader of the address may send one at once.
        announce(&addresses, if tls.is_some() { "https" } else { "http" }, format);
        systemd::notify(State::Ready);
        let reload = || match &tls {
            Some(tls) => {
                let tls = tls.clone();
                // It reads files, and logs its outcome itself.
                drop(tokio::task::spawn_blocking(move || tls.reload()));
            }
            None => tracing::info!("SIGHUP received: there is no certificate to read again"),
        };
        signals.requested(reload).await;
        systemd::notify(State::Stopping);
    };
    app.run(shutdown).map_err(failed)
}

/// File descriptors for everything but connections: the database's files and connections, the log, the threads' event
/// queues.
#[cfg(target_os = "linux")]
const OTHER_FILES: u64 = 64;

/// Raises the limit of open files as far as the system allows: each connection needs a descriptor, and many shells start
/// programs with a limit of about a thousand. Logs a warning if it is below the limit of connections.
fn raise_file_limit(max_connections: Option<u32>) {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        let limit = match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
            Ok(()) => maximum,
            Err(error) => {
                tracing::warn!(%error, "the limit of open files could not be raised");
                current
            }
        };
        let needed = max_connections.map_or(0, |max| u64::from(max) + OTHER_FILES);
        if let Some(limit) = limit
            && limit < needed
        {
            tracing::warn!(
                "{limit} files may be open, and MAX_CONNECTIONS needs {needed}: raise the limit (ulimit -Hn, LimitNOFILE) \
                 or lower the setting"
            );
        }
    }
    #[cfg(not(target_os = "linux"))]
    drop(max_connections);
}

/// Prints the addresses to standard output, for people and for scripts that let the system choose a port. Prints JSON
/// if the log is JSON, since both are often collected together.
fn announce(addresses: &[SocketAddr], scheme: &str, format: LogFormat) {
    let mut out = io::stdout().lock();
    for address in addresses {
        let line = format!("open {scheme}://{}/", reachable(*address));
        let line = match format {
            LogFormat::Text => line,
            LogFormat::Json => serde_json::json!({ "level": "INFO", "message": line }).to_string(),
        };
        // A closed standard output does not stop the server.
        drop(writeln!(out, "{line}"));
    }
    drop(out.flush());
}

/// Replaces the wildcard address, which cannot be connected to, with loopback.
pub(super) fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}
