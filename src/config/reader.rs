//! Reads typed values from the layers and collects the errors.

use std::path::{Path, PathBuf};

use super::{
    SecretSource, Setting,
    error::{ConfigError, Origin},
    secret_source,
    setting::UNSUPPORTED,
    sources::Layers,
    text_file,
    value::{self, Parsed},
};
use crate::{
    clock::Clock,
    gateway::{Certificate, TlsConfig, TlsFiles},
    store::DatabaseUrl,
};

/// Reads values from the layers and collects the errors.
pub(super) struct Reader<'a> {
    pub(super) layers: &'a Layers,
    errors: ConfigError,
}

impl<'a> Reader<'a> {
    /// Reads from `layers`. `errors` holds the errors so far.
    pub(super) fn new(layers: &'a Layers, errors: ConfigError) -> Self {
        Self { layers, errors }
    }

    /// Returns all errors.
    pub(super) fn finish(self) -> ConfigError {
        self.errors
    }

    /// Returns the value of a setting; `None` if it is unset or wrong.
    pub(super) fn optional<T>(&mut self, name: &str, parse: impl Fn(&str) -> Parsed<T>) -> Option<T> {
        let (origin, text) = self.layers.get(name)?;
        parse(text).map_err(|problem| self.errors.add(name, origin, problem)).ok()
    }

    /// Returns the value of a setting with a default. A wrong value counts as the default, so that reading goes on and
    /// finds further errors.
    pub(super) fn required<T>(&mut self, name: &str, parse: impl Fn(&str) -> Parsed<T>) -> T {
        self.optional(name, &parse).unwrap_or_else(|| {
            let setting = Setting::find(name).expect("every setting that is read is in the table");
            parse(setting.default).expect("every required setting has a valid default")
        })
    }

    /// Refuses the settings that this version does not support.
    pub(super) fn refuse_unsupported(&mut self) {
        for (name, remedy) in UNSUPPORTED {
            if let Some((origin, _)) = self.layers.get(name) {
                self.errors.add(name, origin, format!("is not supported by this version: {remedy}"));
            }
        }
    }

    /// Returns where the certificate comes from. Its files are read here, so that their errors are reported with all
    /// others.
    pub(super) fn tls(&mut self, self_signed: bool) -> Option<TlsConfig> {
        match (self.optional("TLS_CERT", value::path), self.optional("TLS_KEY", value::path)) {
            (Some(_), _) | (_, Some(_)) if self_signed => {
                self.errors.add_sentence(
                    "TLS_CERT or TLS_KEY, and --tls-self-signed: both are given; remove one".to_owned(),
                );
                None
            }
            (Some(cert), Some(key)) => {
                let files = TlsFiles { cert, key };
                if let Err(error) = Certificate::read(&files, Clock::system().now()) {
                    let sentence = format!("TLS_CERT and TLS_KEY: {error}");
                    if error.passes() {
                        self.errors.add_temporary(sentence);
                    } else {
                        self.errors.add_sentence(sentence);
                    }
                }
                Some(TlsConfig::Files(files))
            }
            (None, None) => self_signed.then_some(TlsConfig::SelfSigned),
            _ => {
                self.errors.add_sentence(
                    "TLS_CERT and TLS_KEY: one is set without the other; set both or none".to_owned(),
                );
                None
            }
        }
    }

    /// Returns the folder to serve the page from, which must exist.
    pub(super) fn web_dir(&mut self, folder: Option<&Path>) -> Option<PathBuf> {
        let folder = folder?;
        if !folder.join("index.html").is_file() {
            self.errors.add_sentence(format!("--web-dir: {} holds no index.html", folder.display()));
        }
        Some(folder.to_owned())
    }

    /// Returns where the secrets come from. With PostgreSQL they must be set, since the database outlives a data folder.
    pub(super) fn secrets(&mut self, database: &DatabaseUrl) -> SecretSource {
        let file = self.layers.get("SECRET_FILE");
        if self.layers.get("SECRET").is_some() && file.is_some() {
            self.errors.add_sentence("SECRET and SECRET_FILE: both are set; unset one".to_owned());
        }
        let errors = self.errors.problems().len();
        let from_file = self.optional("SECRET_FILE", |path| {
            let text = text_file::read_value(Path::new(path))
                .map_err(|error| format!("{path} cannot be read as a secret: {error}"))?;
            secret_source::secrets(&text)
        });
        if let Some(secrets) = from_file.or_else(|| self.optional("SECRET", secret_source::secrets)) {
            return SecretSource::Settings(secrets);
        }
        // A secret with an error is not reported as missing as well.
        if matches!(database, DatabaseUrl::Postgres(_)) && self.errors.problems().len() == errors {
            self.errors.add(
                "SECRET",
                &Origin::Defaults,
                "is not set, and PostgreSQL needs one that outlives this machine; create one with `openssl rand -hex 32`",
            );
        }
        SecretSource::DataDir
    }
}
