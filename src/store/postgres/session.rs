//! The settings of every connection to PostgreSQL, whatever the role, the database or a pooler has set.
//!
//! A statement sets them, and not the start-up packet: poolers drop or refuse parameters that they do not know, and one of
//! the values depends on the role's own setting. A connection that does not accept them is not used.

use std::fmt::Write as _;

use sea_orm::sqlx::{self, AssertSqlSafe, Row as _, postgres::PgConnection};

use crate::store::unusable_connection::UnusableConnection;

/// The settings of connections of one purpose.
pub(in crate::store) type Settings = &'static [(&'static str, &'static str)];

/// Settings of all connections. PostgreSQL checks no other timeout while it writes an answer, so a client that does not
/// read would keep its row locks. `tcp_user_timeout` ends the connection if the TCP window stays closed.
const ALL: Settings = &[
    ("default_transaction_isolation", "read committed"),
    ("idle_session_timeout", "0"),
    ("tcp_user_timeout", "5s"),
];

/// Settings of connections that serve callers. The timeouts limit the cost of a frozen client or a lock that is held.
pub(in crate::store) const SERVING: Settings = &[
    ("lock_timeout", "1s"),
    ("statement_timeout", "2s"),
    ("idle_in_transaction_session_timeout", "5s"),
    ("plan_cache_mode", "auto"),
];

/// Settings of the log's lanes. Their few statements find rows by indexes, whatever the number: planning them for each
/// batch would take longer than running them.
pub(in crate::store) const APPENDING: Settings = &[
    ("lock_timeout", "1s"),
    ("statement_timeout", "2s"),
    ("idle_in_transaction_session_timeout", "5s"),
    ("plan_cache_mode", "force_generic_plan"),
];

/// Settings of the connection that migrates: a migration takes longer the larger the tables are.
pub(in crate::store) const MIGRATING: Settings = &[("lock_timeout", "10s"), ("statement_timeout", "0")];

/// Settings of the connection that holds the instance lock. TCP keepalives let PostgreSQL notice after about 20 s that the
/// machine is gone, instead of after two hours.
pub(in crate::store) const LOCKING: Settings =
    &[("tcp_keepalives_idle", "5"), ("tcp_keepalives_interval", "5"), ("tcp_keepalives_count", "3")];

/// Settings of the server that no connection can set, and that durability needs.
pub(super) const DURABLE: [&str; 2] = ["fsync", "full_page_writes"];

/// Checks a new connection, and applies its settings.
///
/// # Errors
/// [`UnusableConnection`], as [`sqlx::Error::Configuration`]; failures of the connection.
pub(in crate::store) async fn prepare(
    connection: &mut PgConnection,
    settings: Settings,
) -> Result<(), sqlx::Error> {
    let row = sqlx::raw_sql(AssertSqlSafe(statement(settings))).fetch_one(connection).await?;
    let reason = if row.try_get("read_only")? {
        UnusableConnection::ReadOnly
    } else if row.try_get("pooled")? {
        UnusableConnection::Pooled
    } else if let Some(setting) = setting_named(row.try_get("not_durable")?) {
        UnusableConnection::NotDurable(setting)
    } else {
        return Ok(());
    };
    Err(sqlx::Error::Configuration(Box::new(reason)))
}

fn setting_named(name: Option<&str>) -> Option<&'static str> {
    DURABLE.into_iter().find(|setting| name == Some(setting))
}

/// Returns the statement that checks and sets. The inner query checks, before anything is set.
///
/// - `synchronous_commit` becomes `on`, so that a commit is durable when it returns. `remote_apply` is stricter, and stays.
/// - `grpcchatter.session` marks the connection. A new connection that is marked already comes from a pooler, which gives
///   one connection to several clients.
fn statement(settings: Settings) -> String {
    let mut sql = "SELECT read_only, pooled, not_durable, set_config('grpcchatter.session', 'open', false), \
         set_config('synchronous_commit', CASE commit WHEN 'remote_apply' THEN commit ELSE 'on' END, false)"
        .to_owned();
    for (name, value) in ALL.iter().chain(settings) {
        write!(sql, ", set_config('{name}', '{value}', false)").expect("writing to a string cannot fail");
    }
    sql.push_str(" FROM (SELECT CASE");
    for setting in DURABLE {
        write!(sql, " WHEN current_setting('{setting}') <> 'on' THEN '{setting}'")
            .expect("writing to a string cannot fail");
    }
    sql.push_str(
        " END AS not_durable, pg_is_in_recovery() OR current_setting('transaction_read_only')::bool AS read_only, \
         coalesce(current_setting('grpcchatter.session', true), '') <> '' AS pooled, \
         current_setting('synchronous_commit') AS commit OFFSET 0) AS found",
    );
    sql
}
