//! Makes clients with the user's session file, certificate authority and timeout.

use std::{fs, time::Duration};

use grpcchatter_client::{Client, Error as ClientError};

use crate::{args::Args, exit::Error, room_cache::RoomCache, settings::Folders};

/// Makes every client of this program.
#[derive(Debug)]
pub(crate) struct ClientFactory {
    pub(crate) folders: Folders,
    pub(crate) timeout: Duration,
    ca_certificate: Option<Vec<u8>>,
}

impl ClientFactory {
    pub(crate) fn new(args: &Args) -> Result<Self, Error> {
        let ca_certificate = match &args.ca_cert {
            Some(path) => {
                Some(fs::read(path).map_err(|source| Error::Settings { path: path.clone(), source })?)
            }
            None => None,
        };
        Ok(Self { folders: Folders::find()?, timeout: args.timeout, ca_certificate })
    }

    pub(crate) fn client(&self, url: &str) -> Result<Client, ClientError> {
        // One server has one session file, however its URL was typed.
        let url = Client::new_at(url)?.url().to_owned();
        let mut builder =
            Client::builder(&url).session_file(self.folders.session(&url)).send_timeout(self.timeout);
        if let Some(pem) = &self.ca_certificate {
            builder = builder.ca_certificate(pem.clone());
        }
        builder.build()
    }

    /// The cached rooms of the user who is logged in.
    pub(crate) async fn room_cache(&self, client: &Client) -> Result<RoomCache, ClientError> {
        Ok(RoomCache::load(self.folders.room_cache(client.url()), &client.user_name().await?))
    }
}
