//! The parameters of a statement that is written as text.
//!
//! PostgreSQL takes a list of ids as one array, so the statement has the same text for any number of ids and is prepared once.
//! SQLite takes each id as a parameter without a name: sqlx finds a named one by walking the list of all names.

use sea_orm::{DbBackend, Statement, Value};

/// The parameters, in the order in which they are in the text.
#[derive(Debug)]
pub(super) struct Parameters {
    backend: DbBackend,
    values: Vec<Value>,
}

impl Parameters {
    pub(super) const fn new(backend: DbBackend) -> Self {
        Self { backend, values: Vec::new() }
    }

    /// Adds a parameter, and returns its placeholder.
    pub(super) fn add(&mut self, value: impl Into<Value>) -> String {
        self.values.push(value.into());
        match self.backend {
            DbBackend::Postgres => format!("${}", self.values.len()),
            _ => "?".to_owned(),
        }
    }

    /// Adds ids, and returns the condition that a column has one of them.
    pub(super) fn is_in<T>(&mut self, column: &str, ids: Vec<T>) -> String
    where
        T: Into<Value>,
        Vec<T>: Into<Value>,
    {
        match self.backend {
            DbBackend::Postgres => format!("{column} = ANY({})", self.add(ids)),
            _ => format!("{column} IN ({})", self.each(ids).join(", ")),
        }
    }

    /// Adds ids, and returns a query whose only column has them.
    pub(super) fn rows<T>(&mut self, ids: Vec<T>) -> String
    where
        T: Into<Value>,
        Vec<T>: Into<Value>,
    {
        match self.backend {
            DbBackend::Postgres => format!("SELECT * FROM unnest({})", self.add(ids)),
            _ => format!("VALUES ({})", self.each(ids).join("), (")),
        }
    }

    /// Makes the statement.
    pub(super) fn statement(self, sql: String) -> Statement {
        Statement::from_sql_and_values(self.backend, sql, self.values)
    }

    fn each<T: Into<Value>>(&mut self, ids: Vec<T>) -> Vec<String> {
        ids.into_iter().map(|id| self.add(id)).collect()
    }
}
