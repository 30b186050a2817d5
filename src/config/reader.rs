//! Takes typed values out of the layers, and keeps the mistakes for the end.

use std::path::{Path, PathBuf};

use super::{
    Secrets, Setting,
    layers::Layers,
    mistake::{ConfigError, Origin},
    secret,
    setting::NOT_YET,
    text_file,
    value::{self, Parsed},
};
use crate::{
    clock::Clock,
    gateway::{Certificate, TlsConfig, TlsFiles},
    store::DatabaseUrl,
};

/// Takes values out of the layers, and keeps what is wrong with them.
pub(super) struct Reader<'a> {
    pub(super) layers: &'a Layers,
    errors: ConfigError,
}

impl<'a> Reader<'a> {
    /// Reads from `layers`; `errors` holds what was found before.
    pub(super) fn new(layers: &'a Layers, errors: ConfigError) -> Self {
        Self { layers, errors }
    }

    /// Returns everything that was wrong.
    pub(super) fn finish(self) -> ConfigError {
        self.errors
    }

    /// Returns the value that counts. After a mistake it is none, and the mistake is kept.
    pub(super) fn optional<T>(&mut self, name: &str, parse: impl Fn(&str) -> Parsed<T>) -> Option<T> {
        let (origin, text) = self.layers.get(name)?;
        parse(text).map_err(|problem| self.errors.add(name, origin, problem)).ok()
    }

    /// Returns the value of a setting that has a default. After a mistake it is the default, and the mistake is
    /// kept: reading goes on, to find the others.
    pub(super) fn required<T>(&mut self, name: &str, parse: impl Fn(&str) -> Parsed<T>) -> T {
        self.optional(name, &parse).unwrap_or_else(|| {
            let setting = Setting::find(name).expect("a setting that is read stands in the table");
            parse(setting.default).expect("a setting that must have a value has a valid default")
        })
    }

    /// Refuses what the table holds and this version does not serve.
    pub(super) fn refuse_not_yet(&mut self) {
        for (name, remedy) in NOT_YET {
            if let Some((origin, _)) = self.layers.get(name) {
                self.errors.add(name, origin, format!("is not served by this version: {remedy}"));
            }
        }
    }

    /// Returns where the certificate comes from. Its files must be usable: what is wrong with them is told together
    /// with everything else.
    pub(super) fn tls(&mut self, self_signed: bool) -> Option<TlsConfig> {
        match (self.optional("TLS_CERT", value::path), self.optional("TLS_KEY", value::path)) {
            (Some(_), _) | (_, Some(_)) if self_signed => {
                self.errors.add_sentence(
                    "TLS_CERT and --tls-self-signed: both are there; a certificate is given or made"
                        .to_owned(),
                );
                None
            }
            (Some(cert), Some(key)) => {
                let files = TlsFiles { cert, key };
                if let Err(error) = Certificate::read(&files, Clock::system().now()) {
                    let sentence = format!("TLS_CERT and TLS_KEY: {error}");
                    if error.passes() {
                        self.errors.add_passing(sentence);
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

    /// Returns the folder that holds the page, which must be there.
    pub(super) fn web_dir(&mut self, folder: Option<&Path>) -> Option<PathBuf> {
        let folder = folder?;
        if !folder.join("index.html").is_file() {
            self.errors.add_sentence(format!("--web-dir: {} holds no index.html", folder.display()));
        }
        Some(folder.to_owned())
    }

    /// Returns what signs tokens. PostgreSQL outlives a data folder, so its secret must be given.
    pub(super) fn secrets(&mut self, database: &DatabaseUrl) -> Secrets {
        let file = self.layers.get("SECRET_FILE");
        if self.layers.get("SECRET").is_some() && file.is_some() {
            self.errors.add_sentence("SECRET and SECRET_FILE: both are set; unset one".to_owned());
        }
        let mistakes = self.errors.mistakes().len();
        let from_file = self.optional("SECRET_FILE", |path| {
            let text = text_file::read_value(Path::new(path))
                .map_err(|error| format!("{path} cannot be read as a secret: {error}"))?;
            secret::secrets(&text)
        });
        if let Some(secrets) = from_file.or_else(|| self.optional("SECRET", secret::secrets)) {
            return Secrets::Given(secrets);
        }
        // One mistake is enough: a secret that was refused is not missing as well.
        if matches!(database, DatabaseUrl::Postgres(_)) && self.errors.mistakes().len() == mistakes {
            self.errors.add(
                "SECRET",
                &Origin::Defaults,
                "is not set, and PostgreSQL needs one that outlives this machine: make one with `openssl rand -hex 32`",
            );
        }
        Secrets::Kept
    }
}
