//! The settings: read from defaults, file, environment and flags into one [`Config`].
//!
//! All errors are reported together, each with the setting, where it is set, and what to do. Nothing is written back to
//! the environment, and secret values are never repeated.

mod load;
mod database_location;
mod listen;
mod settings;
mod reader;
mod data_dir;
mod secret_source;
mod value;
mod sources;
mod file;
mod error;
mod suggestion;
mod setting;
mod text_file;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
#[cfg(test)]
mod tests;

pub use self::{
    data_dir::{DataDir, DataDirError},
    database_location::{DatabaseLocation, HealthcheckTarget},
    error::ConfigError,
    load::Loaded,
    secret_source::SecretSource,
    setting::{SETTINGS, Setting},
    settings::{Config, ConnectionConfig, LogConfig, MetricsConfig, RoomConfig},
    sources::{DEFAULT_FILE, Sources},
    value::LogFormat,
};
