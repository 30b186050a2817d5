//! The reasons why a connection to PostgreSQL cannot be used.

/// The reason why a connection cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnusableConnection {
    /// It leads to a standby, or the database or role is read-only.
    #[error(
        "it takes no writes: it is a standby, or default_transaction_read_only is on; DATABASE_URL must lead to the \
         primary"
    )]
    ReadOnly,
    /// A pooler shares it among clients.
    #[error(
        "a pooler gives its connections to other clients between transactions; set its pool_mode to session \
         (PgBouncer), or let DATABASE_URL lead to PostgreSQL itself"
    )]
    Pooled,
    /// The named setting is off, so commits are lost when the machine fails.
    #[error(
        "{0} is off there: what it acknowledged would be lost when its machine fails; set {0} = on in postgresql.conf, and \
         reload it"
    )]
    NotDurable(&'static str),
    /// It leads to the database of another deployment.
    #[error(
        "it leads to another deployment's database, to an empty one or to another schema than when the server was started; \
         DATABASE_URL must lead to the same one"
    )]
    OtherDeployment,
}
