//! Flags for the settings, made from their table.

use std::path::PathBuf;

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};
use grpcchatter::config::{
    Config, ConfigError, DEFAULT_FILE, Loaded, Place, Reach, SETTINGS, Setting, Sources,
};

use super::Failed;

/// What `serve` takes.
#[derive(Args)]
pub(super) struct ServeArgs {
    /// Speaks TLS with a certificate made at the start for localhost, for development: no client trusts it by itself
    #[arg(long)]
    tls_self_signed: bool,
    /// Serves the page from a folder in place of the one in the program, for whoever works on it
    #[arg(long, value_name = "DIRECTORY")]
    web_dir: Option<PathBuf>,
    #[command(flatten)]
    settings: SettingArgs,
}

/// What `healthcheck` takes: what says where the server is called counts, and the rest may be there.
#[derive(Args)]
pub(super) struct ReachArgs {
    /// Speaks TLS, as to a server that was started with --tls-self-signed
    #[arg(long)]
    tls_self_signed: bool,
    #[command(flatten)]
    settings: SettingArgs,
}

/// Where the settings come from.
#[derive(Args)]
pub(super) struct SettingArgs {
    /// Reads settings from FILE; without it configs/default_config.env is read if it is there
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    flags: SettingFlags,
}

/// Where the database is, for commands that need nothing else. The environment counts as for `serve`.
#[derive(Args)]
pub(super) struct PlaceArgs {
    /// Reads settings from FILE; without it configs/default_config.env is read if it is there
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Folder of the SQLite database; DATABASE_URL, in the file or in the environment, names another one
    #[arg(id = "DATA_DIR", long = "data-dir", value_name = "DIRECTORY")]
    data_dir: Option<String>,
}

/// A flag for every setting that may be seen, made from the table of settings.
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
        let command = command.next_help_heading("Settings, also in the environment and in the file");
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

impl ReachArgs {
    /// Reads where the server is called, and nothing else.
    pub(super) fn load(self) -> Result<Reach, Failed> {
        let sources = self.settings.sources();
        Reach::load(&Sources { tls_self_signed: self.tls_self_signed, ..sources }).map_err(failed)
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

impl PlaceArgs {
    /// Reads where the database is, and nothing else.
    pub(super) fn load(self) -> Result<Place, Failed> {
        let flags = self.data_dir.map(|folder| ("DATA_DIR", folder)).into_iter().collect();
        Place::load(&sources(self.config, flags)).map_err(failed)
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
