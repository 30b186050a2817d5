//! How the client of a server is made: with this person's session, trust and patience.

use std::{fs, time::Duration};

use grpcchatter_client::{Client, Error as ClientError};

use crate::{args::Args, exit::Error, memory::Memory, settings::Folders};

/// What every client of this program is made with.
#[derive(Debug)]
pub(crate) struct Servers {
    pub(crate) folders: Folders,
    pub(crate) timeout: Duration,
    authority: Option<Vec<u8>>,
}

impl Servers {
    pub(crate) fn new(args: &Args) -> Result<Self, Error> {
        let authority = match &args.ca_cert {
            Some(path) => {
                Some(fs::read(path).map_err(|source| Error::Settings { path: path.clone(), source })?)
            }
            None => None,
        };
        Ok(Self { folders: Folders::find()?, timeout: args.timeout, authority })
    }

    pub(crate) fn client(&self, url: &str) -> Result<Client, ClientError> {
        // However it was typed, a server has one session.
        let url = Client::new_at(url)?.url().to_owned();
        let mut builder =
            Client::builder(&url).session_file(self.folders.session(&url)).send_timeout(self.timeout);
        if let Some(pem) = &self.authority {
            builder = builder.ca_certificate(pem.clone());
        }
        builder.build()
    }

    /// What is remembered of the rooms of whoever is logged in.
    pub(crate) async fn memory(&self, client: &Client) -> Result<Memory, ClientError> {
        Ok(Memory::load(self.folders.memory(client.url()), &client.user_name().await?))
    }
}
