//! Where settings come from: built-in defaults < file < environment < flags.

use std::{
    collections::HashMap,
    ffi::OsString,
    path::{Path, PathBuf},
};

use super::{
    file,
    mistake::{ConfigError, Origin},
    near::meant_by,
    setting::{NOT_YET, SETTINGS, Setting},
    text_file,
};

/// The settings file that is read where none is named and this one is there.
pub const DEFAULT_FILE: &str = "configs/default_config.env";

/// What the settings are read from. A test gives each part itself and touches no process environment. There are secrets
/// among them, and so it has no `Debug`.
#[derive(Default)]
pub struct Sources {
    /// The file named by `--config`; it must be there.
    pub file: Option<PathBuf>,
    /// The file that is read where none is named; it need not be there.
    pub default_file: Option<PathBuf>,
    /// The environment. Names that are no settings are passed over: others own them.
    pub environment: Vec<(OsString, OsString)>,
    /// Settings by flag, under the settings' names.
    pub flags: Vec<(&'static str, String)>,
    /// Whether to make a certificate for development; a flag alone, so that it is in nobody's file by mistake.
    pub tls_self_signed: bool,
    /// A folder that holds the page, for whoever works on it; a flag alone for the same reason.
    pub web_dir: Option<PathBuf>,
}

/// One source's values, by the settings' names. None is empty: empty is unset.
pub(super) struct Layer {
    pub(super) origin: Origin,
    values: HashMap<String, String>,
}

impl Layer {
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    fn new(origin: Origin, values: impl IntoIterator<Item = (String, String)>) -> Self {
        let values = values.into_iter().map(|(name, value)| (name, value.trim().to_owned()));
        Self { origin, values: values.filter(|(_, value)| !value.is_empty()).collect() }
    }
}

/// The layers, the strongest first, the built-in defaults last.
pub(super) struct Layers {
    layers: Vec<Layer>,
    /// The settings file that was read.
    pub(super) file: Option<PathBuf>,
    /// Names in the environment that were probably meant to be settings, a sentence each.
    pub(super) notes: Vec<String>,
}

impl Layers {
    /// Reads every source.
    pub(super) fn read(sources: &Sources, errors: &mut ConfigError) -> Self {
        let flags = sources.flags.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
        let mut layers = vec![Layer::new(Origin::Flags, flags), environment(&sources.environment, errors)];
        let file =
            sources.file.clone().or_else(|| sources.default_file.clone().filter(|path| path.is_file()));
        if let Some(path) = &file {
            layers.push(read_file(path, errors));
        }
        let defaults = SETTINGS.iter().map(|setting| (setting.name.to_owned(), setting.default.to_owned()));
        layers.push(Layer::new(Origin::Defaults, defaults));
        Self { layers, file, notes: misspelled(&sources.environment) }
    }

    /// Returns the layers, the strongest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Layer> {
        self.layers.iter()
    }

    /// Returns the value that counts, and where it stands.
    pub(super) fn get(&self, name: &str) -> Option<(&Origin, &str)> {
        self.layers.iter().find_map(|layer| layer.get(name).map(|value| (&layer.origin, value)))
    }
}

fn is_known(name: &str) -> bool {
    Setting::find(name).is_some() || NOT_YET.iter().any(|(known, _)| *known == name)
}

/// Tells of names that are close to a setting's. Most of an environment is others' business, and stays unsaid.
fn misspelled(variables: &[(OsString, OsString)]) -> Vec<String> {
    let mut notes: Vec<String> = variables
        .iter()
        .filter_map(|(name, _)| name.to_str())
        .filter(|name| !is_known(name))
        .filter_map(|name| meant_by(name).map(|meant| (name, meant.name)))
        .map(|(name, meant)| {
            format!("{name} in the environment is no setting and does not count; {meant} is one")
        })
        .collect();
    notes.sort();
    notes
}

fn environment(variables: &[(OsString, OsString)], errors: &mut ConfigError) -> Layer {
    let mut values = Vec::new();
    for (name, value) in variables {
        let Some(name) = name.to_str().filter(|name| is_known(name)) else { continue };
        match value.to_str() {
            Some(value) => values.push((name.to_owned(), value.to_owned())),
            None => errors.add(name, &Origin::Environment, "is not UTF-8; write it anew"),
        }
    }
    Layer::new(Origin::Environment, values)
}

fn read_file(path: &Path, errors: &mut ConfigError) -> Layer {
    let origin = Origin::file(path);
    let text = text_file::read(path).unwrap_or_else(|error| {
        errors.add_sentence(format!(
            "the settings file {origin} cannot be read: {error}; name another by --config"
        ));
        String::new()
    });
    let mut values: HashMap<String, String> = HashMap::new();
    for line in file::parse(&text) {
        match line {
            Err(bad) => errors.add_sentence(format!("line {} of {origin}: {}", bad.line, bad.problem)),
            Ok(entry) if !is_known(&entry.name) => {
                let meant = meant_by(&entry.name).map(|meant| format!(" {} is one, and", meant.name));
                errors.add_sentence(format!(
                    "line {} of {origin}: {} is no setting;{} the names stand in {DEFAULT_FILE} and in --help",
                    entry.line,
                    entry.name,
                    meant.unwrap_or_default()
                ));
            }
            Ok(entry) => {
                if values.contains_key(&entry.name) {
                    errors.add(
                        &entry.name,
                        &origin,
                        format!("stands twice; remove line {} or the other", entry.line),
                    );
                }
                values.insert(entry.name, entry.value);
            }
        }
    }
    Layer::new(origin, values)
}
