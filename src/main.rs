//! The program: reads the command line and the settings, starts the log, and runs the server.

use std::{
    error::Error,
    io::{self, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches, Parser, Subcommand};
use grpcchatter::{
    app::App,
    config::{Config, ConfigError, DEFAULT_FILE, Loaded, SETTINGS, Setting, Sources},
    shutdown::Signals,
    telemetry,
};

/// Real-time chat behind one port: gRPC, gRPC-web and REST, with a durable log.
#[derive(Parser)]
#[command(name = "grpcchatter", version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Task>,
    #[command(flatten)]
    serve: SettingArgs,
}

#[derive(Subcommand)]
enum Task {
    /// Serves until SIGTERM or SIGINT; what happens without a subcommand
    Serve(SettingArgs),
}

/// Where the settings come from.
#[derive(Args)]
struct SettingArgs {
    /// Reads settings from FILE; without it configs/default_config.env is read if it is there
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Speaks TLS with a certificate made at the start for localhost, for development: no client trusts it by itself
    #[arg(long)]
    tls_self_signed: bool,
    #[command(flatten)]
    flags: SettingFlags,
}

/// A flag for every setting that may be seen, made from the table of settings.
struct SettingFlags(Vec<(&'static str, String)>);

fn visible() -> impl Iterator<Item = &'static Setting> {
    SETTINGS.iter().filter(|setting| !setting.secret)
}

impl Args for SettingFlags {
    fn augment_args(command: Command) -> Command {
        let command = command.next_help_heading("Settings, also in the environment and in the file");
        command.args(visible().map(|setting| {
            let mut help = setting.meaning.to_owned();
            if !setting.default.is_empty() {
                help.push_str(&format!(" [default: {}]", setting.default));
            }
            let flag = setting.name.to_ascii_lowercase().replace('_', "-");
            Arg::new(setting.name).long(flag).value_name(setting.value).help(help).allow_hyphen_values(true)
        }))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for SettingFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = visible().filter_map(|setting| {
            matches.get_one::<String>(setting.name).map(|value| (setting.name, value.clone()))
        });
        Ok(Self(given.collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come as errors, too: they go to standard output and are a success. Where the
            // reader has gone there is nobody left to tell.
            drop(error.print());
            return if error.use_stderr() { ConfigError::EXIT_CODE.into() } else { ExitCode::SUCCESS };
        }
    };
    let Task::Serve(args) = cli.command.unwrap_or(Task::Serve(cli.serve));
    serve(args)
}

fn serve(args: SettingArgs) -> ExitCode {
    let sources = Sources {
        file: args.config,
        default_file: Some(DEFAULT_FILE.into()),
        environment: std::env::vars_os().collect(),
        flags: args.flags.0,
        tls_self_signed: args.tls_self_signed,
    };
    let Loaded { config, file, notes } = match Config::load(&sources) {
        Ok(loaded) => loaded,
        Err(error) => return fail(&error, ConfigError::EXIT_CODE),
    };
    telemetry::init(&config.log);
    match file {
        Some(file) => tracing::info!(file = %file.display(), "settings read"),
        None => tracing::info!("no settings file read: defaults, environment and flags count"),
    }
    for note in notes {
        tracing::warn!("{note}");
    }
    let app = match App::build(config) {
        Ok(app) => app,
        Err(error) => return fail(&error, error.exit_code()),
    };
    let (addresses, tls) = (app.local_addrs().to_vec(), app.tls().cloned());
    let shutdown = async move {
        let signals = match Signals::listen() {
            Ok(signals) => signals,
            Err(error) => return tracing::error!(%error, "signals cannot be heard: ending"),
        };
        // Not sooner: who reads the address may send a signal at once.
        announce(&addresses, if tls.is_some() { "https" } else { "http" });
        let reload = || match &tls {
            Some(tls) => tls.reload(),
            None => tracing::info!("SIGHUP received: there is no certificate to read again"),
        };
        signals.requested(reload).await;
    };
    match app.run(shutdown) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error, error.exit_code()),
    }
}

/// Says on standard output where to go: a line for people, and for scripts that let the system choose a port.
fn announce(addresses: &[SocketAddr], scheme: &str) {
    let mut out = io::stdout().lock();
    for address in addresses {
        // A closed standard output is no reason not to serve.
        drop(writeln!(out, "open {scheme}://{}/", reachable(*address)));
    }
    drop(out.flush());
}

/// Turns "every interface", which is no place to go to, into this machine.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

/// Says on standard error what is wrong: the log may be off, or in JSON, or not there yet.
fn fail(error: &dyn Error, code: u8) -> ExitCode {
    let mut sentence = format!("grpcchatter: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        sentence.push_str(&format!(": {error}"));
        cause = error.source();
    }
    // Where standard error is closed the exit code still says it.
    drop(writeln!(io::stderr(), "{sentence}"));
    code.into()
}
