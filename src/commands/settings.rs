//! Flags for the settings, generated from their table.

use std::path::PathBuf;

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};
use grpcchatter::config::{
    Config, ConfigError, DEFAULT_FILE, DatabaseLocation, HealthcheckTarget, Loaded, SETTINGS, Setting,
    Sources,
};

use super::Failed;

/// The flags of `serve`.
#[derive(Args)]
pub(super) struct ServeArgs {
    /// Use TLS with a certificate for localhost that is created at start, for development: no client trusts it by itself
    #[arg(long)]
    tls_self_signed: bool,
    /// Serve the page from a folder instead of the built-in one, for its development
    #[arg(long, value_name = "DIRECTORY")]
    web_dir: Option<PathBuf>,
    #[command(flatten)]
    settings: SettingArgs,
}

/// The flags of `healthcheck`: those that lead to the server apply, and all others are accepted.
#[derive(Args)]
pub(super) struct HealthcheckArgs {
    /// Use TLS, for a server that was started with --tls-self-signed
    #[arg(long)]
    tls_self_signed: bool,
    #[command(flatten)]
    settings: SettingArgs,
}

/// The flags of `check-config`.
#[derive(Args)]
pub(super) struct CheckArgs {
    /// Also check the database, as the server does when it starts, without changing it
    #[arg(long)]
    pub(super) connect: bool,
    #[command(flatten)]
    pub(super) settings: SettingArgs,
}

/// The settings file and the flags of settings.
#[derive(Args)]
pub(super) struct SettingArgs {
    /// Read settings from FILE; by default configs/default_config.env is read if it exists
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    flags: SettingFlags,
}

/// The flags of commands that only need the database. The environment is read as for `serve`.
#[derive(Args)]
pub(super) struct DatabaseArgs {
    /// Read settings from FILE; by default configs/default_config.env is read if it exists
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Folder of the SQLite database, unless DATABASE_URL is set in the file or in the environment
    #[arg(id = "DATA_DIR", long = "data-dir", value_name = "DIRECTORY")]
    data_dir: Option<String>,
}

/// A flag for every setting that is not secret.
struct SettingFlags(Vec<(&'static str, String)>);

/// Returns the flag of a setting, without its dashes.
pub(super) fn flag(setting: &Setting) -> String {
    setting.name.to_ascii_lowercase().replace('_', "-")
}

fn visible() -> impl Iterator<Item = &'static Setting> {
    SETTINGS.iter().filter(|setting| !setting.secret)
}

impl Args for SettingFlags {
    fn augment_args(command: Command) -> Command {
        let command =
            command.next_help_heading("Settings, which can also be set in the environment and in the file");
        command.args(visible().map(|setting| {
            let mut help = setting.meaning.to_owned();
            if !setting.default.is_empty() {
                help.push_str(&format!(" [default: {}]", setting.default));
            }
            Arg::new(setting.name)
                .long(flag(setting))
                .value_name(setting.value)
                .help(help)
                .allow_hyphen_values(true)
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

impl ServeArgs {
    /// Reads the settings.
    pub(super) fn load(self) -> Result<Loaded, Failed> {
        let sources = self.settings.sources();
        load(&Sources { tls_self_signed: self.tls_self_signed, web_dir: self.web_dir, ..sources })
    }
}

impl HealthcheckArgs {
    /// Reads only the settings that lead to the server.
    pub(super) fn load(self) -> Result<HealthcheckTarget, Failed> {
        let sources = self.settings.sources();
        HealthcheckTarget::load(&Sources { tls_self_signed: self.tls_self_signed, ..sources }).map_err(failed)
    }
}

impl SettingArgs {
    /// Reads the settings.
    pub(super) fn load(self) -> Result<Loaded, Failed> {
        load(&self.sources())
    }

    fn sources(self) -> Sources {
        sources(self.config, self.flags.0)
    }
}

impl DatabaseArgs {
    /// Reads only where the database is.
    pub(super) fn load(self) -> Result<DatabaseLocation, Failed> {
        let flags = self.data_dir.map(|folder| ("DATA_DIR", folder)).into_iter().collect();
        DatabaseLocation::load(&sources(self.config, flags)).map_err(failed)
    }
}

fn sources(file: Option<PathBuf>, flags: Vec<(&'static str, String)>) -> Sources {
    let (default_file, environment) = (Some(DEFAULT_FILE.into()), std::env::vars_os().collect());
    Sources { file, default_file, environment, flags, ..Sources::default() }
}

fn load(sources: &Sources) -> Result<Loaded, Failed> {
    Config::load(sources).map_err(failed)
}

fn failed(error: ConfigError) -> Failed {
    let code = error.exit_code();
    Failed::new(error, code)
}
