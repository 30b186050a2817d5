//! The database of one test.

use std::{net::SocketAddr, path::Path};

use grpcchatter_testbed::Postgres;
use sea_orm::{ConnectionTrait as _, DatabaseConnection, Statement};

use super::within;

/// A database that no other test uses.
#[derive(Clone, Debug)]
pub(crate) struct Database(Option<String>);

impl Database {
    /// Returns SQLite: a file in the server's folder.
    pub(crate) const fn sqlite() -> Self {
        Self(None)
    }

    /// Creates a database in the tests' own PostgreSQL. Returns `None` if its programs are missing, which `tests/coverage.rs`
    /// reports.
    pub(crate) async fn postgres() -> Option<Self> {
        Some(Self(Some(Postgres::shared().await?.new_database().await.unwrap())))
    }

    /// Returns the database with this URL: in another PostgreSQL, or as another user.
    pub(crate) const fn reached_by(url: String) -> Self {
        Self(Some(url))
    }

    /// Creates another database of the same kind.
    pub(crate) async fn another(&self) -> Self {
        match self.0 {
            None => Self::sqlite(),
            Some(_) => Self::postgres().await.expect("it was there before"),
        }
    }

    /// Connects to it as an operator does, while the server runs or before its first start. SQLite's file is in `folder`.
    pub(crate) async fn operator(&self, folder: &Path) -> DatabaseConnection {
        let file = format!("sqlite://{}/grpcchatter.db?mode=rwc", folder.display());
        sea_orm::Database::connect(self.url().unwrap_or(&file)).await.unwrap()
    }

    /// Connects to PostgreSQL as an operator does, while the server runs.
    pub(crate) async fn connect(&self) -> DatabaseConnection {
        sea_orm::Database::connect(self.url().expect("only PostgreSQL has an address")).await.unwrap()
    }

    /// Returns the address PostgreSQL listens on.
    pub(crate) fn address(&self) -> SocketAddr {
        let url = self.url().expect("PostgreSQL");
        let (_, rest) = url.split_once('@').expect("a user");
        rest.split('/').next().and_then(|address| address.parse().ok()).expect("an address")
    }

    /// The same database, reached at another address.
    pub(crate) fn at(&self, address: SocketAddr) -> Self {
        Self(self.url().map(|url| url.replacen(&self.address().to_string(), &address.to_string(), 1)))
    }

    /// Returns its `DATABASE_URL`; `None` for SQLite.
    pub(crate) fn url(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

/// Waits until a session of PostgreSQL waits for a lock of this kind, such as `advisory`; without a kind, for any lock.
pub(crate) async fn lock_is_waited_for(operator: &DatabaseConnection, kind: Option<&str>) {
    let kind = kind.map_or(String::new(), |kind| format!(" AND locktype = '{kind}'"));
    let find = format!("SELECT count(*) AS waiting FROM pg_locks WHERE NOT granted{kind}");
    let waits = async {
        loop {
            let statement = Statement::from_string(operator.get_database_backend(), find.as_str());
            let row = operator.query_one_raw(statement).await.unwrap().unwrap();
            if row.try_get::<i64>("", "waiting").unwrap() > 0 {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    within("a session that waits for a lock", waits).await;
}
