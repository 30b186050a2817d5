//! The database of one test.

use std::{net::SocketAddr, path::Path};

use sea_orm::DatabaseConnection;

use super::{Proxy, postgres::Cluster};

/// A database that no other test uses.
#[derive(Clone, Debug)]
pub(crate) struct Database(Option<String>);

impl Database {
    /// Returns SQLite: a file in the server's folder.
    pub(crate) const fn sqlite() -> Self {
        Self(None)
    }

    /// Makes a database in the tests' own PostgreSQL, or returns nothing where its programs are missing, which
    /// `tests/coverage.rs` reports.
    pub(crate) async fn postgres() -> Option<Self> {
        Some(Self(Some(Cluster::shared()?.create_database().await)))
    }

    /// Returns a database in another PostgreSQL, or as somebody else, by its address.
    pub(crate) const fn reached_by(url: String) -> Self {
        Self(Some(url))
    }

    /// Makes another of the same kind.
    pub(crate) async fn another(&self) -> Self {
        match self.0 {
            None => Self::sqlite(),
            Some(_) => Self::postgres().await.expect("it was there before"),
        }
    }

    /// Returns the same database, reached through a proxy in front of it.
    pub(crate) fn through(&self, proxy: &Proxy) -> Self {
        let url = self.url().expect("only PostgreSQL is reached over a network");
        let (before, rest) = url.split_once('@').unwrap();
        let (_, name) = rest.split_once('/').unwrap();
        Self(Some(format!("{before}@{}/{name}", proxy.address())))
    }

    /// Connects to it as an operator does, beside the server or before its first start: to SQLite's file in this folder.
    pub(crate) async fn operator(&self, folder: &Path) -> DatabaseConnection {
        let file = format!("sqlite://{}/grpcchatter.db?mode=rwc", folder.display());
        sea_orm::Database::connect(self.url().unwrap_or(&file)).await.unwrap()
    }

    /// Connects to PostgreSQL as an operator does, beside the server.
    pub(crate) async fn connect(&self) -> DatabaseConnection {
        sea_orm::Database::connect(self.url().expect("only PostgreSQL has an address")).await.unwrap()
    }

    /// Returns where PostgreSQL listens.
    pub(crate) fn address(&self) -> SocketAddr {
        let url = self.url().expect("PostgreSQL");
        let (_, rest) = url.split_once('@').expect("a user");
        rest.split('/').next().and_then(|address| address.parse().ok()).expect("an address")
    }

    /// The same database, reached at another address.
    pub(crate) fn at(&self, address: SocketAddr) -> Self {
        Self(self.url().map(|url| url.replacen(&self.address().to_string(), &address.to_string(), 1)))
    }

    /// Returns the setting that selects it, where there is one.
    pub(crate) fn url(&self) -> Option<&str> {
        self.0.as_deref()
    }
}
