//! What every connection to PostgreSQL is held to, whatever its role, its database and a pooler between say.
//!
//! The settings are given by a statement and not with the start-up packet: poolers drop or refuse what they do not know
//! there, and one of the values depends on what the role has. A connection that cannot be held to them is not used.

use std::fmt::Write as _;

use sea_orm::sqlx::{self, AssertSqlSafe, Row as _, postgres::PgConnection};

/// Settings that differ between what connections are for.
pub(in crate::store) type Settings = &'static [(&'static str, &'static str)];

/// Of all connections. An answer to a frozen client would keep its row locks for as long as that stands still, since
/// PostgreSQL serves no other timeout while it writes: a window that stays shut ends it (`tcp_user_timeout`).
const ALL: Settings = &[
    ("default_transaction_isolation", "read committed"),
    ("idle_session_timeout", "0"),
    ("tcp_user_timeout", "5s"),
];

/// Of those that serve callers: the timeouts bound what a frozen peer or a held lock can cost.
pub(in crate::store) const SERVING: Settings = &[
    ("lock_timeout", "1s"),
    ("statement_timeout", "2s"),
    ("idle_in_transaction_session_timeout", "5s"),
    ("plan_cache_mode", "auto"),
];

/// Of the log's lanes. Their few statements find their rows by indexes, however many they are: to plan them anew for each
/// batch would take longer than to run them.
pub(in crate::store) const APPENDING: Settings = &[
    ("lock_timeout", "1s"),
    ("statement_timeout", "2s"),
    ("idle_in_transaction_session_timeout", "5s"),
    ("plan_cache_mode", "force_generic_plan"),
];

/// Of the one that migrates: a step takes as long as the tables are large.
pub(in crate::store) const MIGRATING: Settings = &[("lock_timeout", "10s"), ("statement_timeout", "0")];

/// Of the one that holds the database: the server lets go of a machine that is gone after some twenty seconds, not after
/// two hours.
pub(in crate::store) const HOLDING: Settings =
    &[("tcp_keepalives_idle", "5"), ("tcp_keepalives_interval", "5"), ("tcp_keepalives_count", "3")];

/// Why a connection cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// It leads to a standby, or to a database or as a role that is to be read only.
    #[error(
        "it takes no writes: it is a standby, or default_transaction_read_only is on; DATABASE_URL must lead to the \
         primary"
    )]
    ReadOnly,
    /// It is not this client's alone.
    #[error(
        "a pooler gives its connections to other clients between transactions; set its pool_mode to session \
         (PgBouncer), or let DATABASE_URL lead to PostgreSQL itself"
    )]
    Shared,
    /// What it acknowledges is lost when its machine fails: the setting that is off.
    #[error(
        "{0} is off there: what it acknowledged would be lost when its machine fails; set {0} = on in postgresql.conf, and \
         reload it"
    )]
    Losing(&'static str),
    /// It leads to another database than the one that is served.
    #[error(
        "it leads to another deployment's database, to an empty one or to another schema than when the server was started; \
         DATABASE_URL must lead to the same one"
    )]
    Foreign,
}

/// The settings of a server that no connection can set, and without which nothing is durable.
pub(super) const DURABLE: [&str; 2] = ["fsync", "full_page_writes"];

/// Holds a new connection to its settings.
///
/// # Errors
/// [`Unfit`], as [`sqlx::Error::Configuration`]; failures of the connection.
pub(in crate::store) async fn prepare(
    connection: &mut PgConnection,
    settings: Settings,
) -> Result<(), sqlx::Error> {
    let row = sqlx::raw_sql(AssertSqlSafe(statement(settings))).fetch_one(connection).await?;
    let unfit = if row.try_get("read_only")? {
        Unfit::ReadOnly
    } else if row.try_get("shared")? {
        Unfit::Shared
    } else if let Some(setting) = off_among(row.try_get("losing")?) {
        Unfit::Losing(setting)
    } else {
        return Ok(());
    };
    Err(sqlx::Error::Configuration(Box::new(unfit)))
}

fn off_among(losing: Option<&str>) -> Option<&'static str> {
    DURABLE.into_iter().find(|setting| losing == Some(setting))
}

/// The statement that looks and sets. What is looked at comes out of the inner query, before anything is set.
///
/// - A commit is durable when it is answered: `synchronous_commit` becomes `on`, but `remote_apply`, which is stricter,
///   stays.
/// - A connection to a server that another of this program's connections has marked is one that a pooler shares out.
fn statement(settings: Settings) -> String {
    let mut sql = "SELECT read_only, shared, losing, set_config('grpcchatter.session', 'open', false), \
         set_config('synchronous_commit', CASE commit WHEN 'remote_apply' THEN commit ELSE 'on' END, false)"
        .to_owned();
    for (name, value) in ALL.iter().chain(settings) {
        write!(sql, ", set_config('{name}', '{value}', false)").expect("a string takes it all");
    }
    sql.push_str(" FROM (SELECT CASE");
    for setting in DURABLE {
        write!(sql, " WHEN current_setting('{setting}') <> 'on' THEN '{setting}'")
            .expect("a string takes it all");
    }
    sql.push_str(
        " END AS losing, pg_is_in_recovery() OR current_setting('transaction_read_only')::bool AS read_only, \
         coalesce(current_setting('grpcchatter.session', true), '') <> '' AS shared, \
         current_setting('synchronous_commit') AS commit OFFSET 0) AS found",
    );
    sql
}
