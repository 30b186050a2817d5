//! Where settings come from. Flags override the environment, which overrides the file, which overrides the defaults.

use std::{
    collections::HashMap,
    ffi::OsString,
    path::{Path, PathBuf},
};

use super::{
    error::{ConfigError, Origin},
    file,
    setting::{SETTINGS, Setting, UNSUPPORTED},
    suggestion::suggest,
    text_file,
};

/// The settings file that is read if none is named and this one exists.
pub const DEFAULT_FILE: &str = "configs/default_config.env";

/// What the settings are read from. A test provides every part and does not touch the process environment. Has no `Debug`,
/// since it holds secrets.
#[derive(Default)]
pub struct Sources {
    /// The file named by `--config`. It must exist.
    pub file: Option<PathBuf>,
    /// The file that is read if none is named. It need not exist.
    pub default_file: Option<PathBuf>,
    /// The environment. Other programs' names are ignored.
    pub environment: Vec<(OsString, OsString)>,
    /// Settings given as flags, by the settings' names.
    pub flags: Vec<(&'static str, String)>,
    /// Whether to create a certificate for development. Only a flag, so that no settings file holds it by mistake.
    pub tls_self_signed: bool,
    /// A folder to serve the page from, for its development. Only a flag, for the same reason.
    pub web_dir: Option<PathBuf>,
}

/// The values of one source, by the settings' names. Empty values are left out, since they count as unset.
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

/// The layers, from the flags to the defaults.
pub(super) struct Layers {
    layers: Vec<Layer>,
    /// The settings file that was read.
    pub(super) file: Option<PathBuf>,
    /// Variables of the environment that are probably misspelled settings, a sentence each.
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

    /// Returns the layers, the one with the highest precedence first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Layer> {
        self.layers.iter()
    }

    /// Returns the value with the highest precedence, and where it is set.
    pub(super) fn get(&self, name: &str) -> Option<(&Origin, &str)> {
        self.layers.iter().find_map(|layer| layer.get(name).map(|value| (&layer.origin, value)))
    }
}

fn is_known(name: &str) -> bool {
    Setting::find(name).is_some() || UNSUPPORTED.iter().any(|(known, _)| *known == name)
}

/// Returns a sentence for each name that is close to a setting's. The environment's other names belong to other programs.
fn misspelled(variables: &[(OsString, OsString)]) -> Vec<String> {
    let mut notes: Vec<String> = variables
        .iter()
        .filter_map(|(name, _)| name.to_str())
        .filter(|name| !is_known(name))
        .filter_map(|name| suggest(name).map(|setting| (name, setting.name)))
        .map(|(name, setting)| {
            format!("{name} in the environment is not a setting and is ignored; did you mean {setting}?")
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
            None => errors.add(name, &Origin::Environment, "is not UTF-8; set it again in UTF-8"),
        }
    }
    Layer::new(Origin::Environment, values)
}

fn read_file(path: &Path, errors: &mut ConfigError) -> Layer {
    let origin = Origin::file(path);
    let text = text_file::read(path).unwrap_or_else(|error| {
        errors.add_sentence(format!(
            "the settings file {origin} cannot be read: {error}; name another one with --config"
        ));
        String::new()
    });
    let mut values: HashMap<String, String> = HashMap::new();
    for line in file::parse(&text) {
        match line {
            Err(bad) => errors.add_sentence(format!("line {} of {origin}: {}", bad.line, bad.problem)),
            Ok(entry) if !is_known(&entry.name) => {
                let suggested =
                    suggest(&entry.name).map(|setting| format!("did you mean {}? ", setting.name));
                errors.add_sentence(format!(
                    "line {} of {origin}: {} is not a setting; {}the settings are listed in {DEFAULT_FILE} and by --help",
                    entry.line,
                    entry.name,
                    suggested.unwrap_or_default()
                ));
            }
            Ok(entry) => {
                if values.contains_key(&entry.name) {
                    errors.add(
                        &entry.name,
                        &origin,
                        format!("is set twice; remove line {} or the other", entry.line),
                    );
                }
                values.insert(entry.name, entry.value);
            }
        }
    }
    Layer::new(origin, values)
}
