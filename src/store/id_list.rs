//! Lists of ids in statements. PostgreSQL takes them as one array, so the statement has the same text for any number of
//! ids and is prepared once.

use sea_orm::{DbBackend, Value};

/// Returns the condition that a column has one of these ids, and adds the ids to the statement's values.
pub(super) fn is_in<T>(column: &str, backend: DbBackend, ids: Vec<T>, values: &mut Vec<Value>) -> String
where
    T: Into<Value>,
    Vec<T>: Into<Value>,
{
    match backend {
        DbBackend::Postgres => format!("{column} = ANY({})", array(ids, values)),
        _ => format!("{column} IN ({})", placeholders(ids, values).join(", ")),
    }
}

/// Returns a query whose only column has these ids, and adds the ids to the statement's values.
pub(super) fn rows<T>(backend: DbBackend, ids: Vec<T>, values: &mut Vec<Value>) -> String
where
    T: Into<Value>,
    Vec<T>: Into<Value>,
{
    match backend {
        DbBackend::Postgres => format!("SELECT * FROM unnest({})", array(ids, values)),
        _ => format!("VALUES ({})", placeholders(ids, values).join("), (")),
    }
}

fn array<T>(ids: Vec<T>, values: &mut Vec<Value>) -> String
where
    Vec<T>: Into<Value>,
{
    values.push(ids.into());
    format!("${}", values.len())
}

fn placeholders<T: Into<Value>>(ids: Vec<T>, values: &mut Vec<Value>) -> Vec<String> {
    let first = values.len() + 1;
    values.extend(ids.into_iter().map(Into::into));
    (first..=values.len()).map(|nth| format!("${nth}")).collect()
}
