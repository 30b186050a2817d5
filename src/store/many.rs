//! Statements about any number of rows. PostgreSQL takes their ids as one array: so the statement is the same for any number
//! of them, and is prepared once.

use sea_orm::{DbBackend, Value};

/// Returns a condition on a column: that it holds one of these ids, which are added to the statement's values.
pub(super) fn among<T>(column: &str, backend: DbBackend, ids: Vec<T>, values: &mut Vec<Value>) -> String
where
    T: Into<Value>,
    Vec<T>: Into<Value>,
{
    match backend {
        DbBackend::Postgres => format!("{column} = ANY({})", array(ids, values)),
        _ => format!("{column} IN ({})", one_by_one(ids, values).join(", ")),
    }
}

/// Returns a query whose one column is these ids, which are added to the statement's values.
pub(super) fn rows<T>(backend: DbBackend, ids: Vec<T>, values: &mut Vec<Value>) -> String
where
    T: Into<Value>,
    Vec<T>: Into<Value>,
{
    match backend {
        DbBackend::Postgres => format!("SELECT * FROM unnest({})", array(ids, values)),
        _ => format!("VALUES ({})", one_by_one(ids, values).join("), (")),
    }
}

fn array<T>(ids: Vec<T>, values: &mut Vec<Value>) -> String
where
    Vec<T>: Into<Value>,
{
    values.push(ids.into());
    format!("${}", values.len())
}

fn one_by_one<T: Into<Value>>(ids: Vec<T>, values: &mut Vec<Value>) -> Vec<String> {
    let first = values.len() + 1;
    values.extend(ids.into_iter().map(Into::into));
    (first..=values.len()).map(|nth| format!("${nth}")).collect()
}
