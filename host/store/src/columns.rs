//! Columns that SQLite has no type for: ids, and numbers that are never negative.

use rusqlite::Row;
use rusqlite::types::{FromSqlError, Type};
use sandbar_protocol::Error;

/// An id, by its type's own rules.
pub(crate) fn id<T>(row: &Row<'_>, index: usize, parse: fn(&str) -> Result<T, Error>) -> rusqlite::Result<T> {
    let text: String = row.get(index)?;
    parse(&text).map_err(|error| rusqlite::Error::FromSqlConversionFailure(index, Type::Text, Box::new(error)))
}

pub(crate) fn optional_id<T>(
    row: &Row<'_>,
    index: usize,
    parse: fn(&str) -> Result<T, Error>,
) -> rusqlite::Result<Option<T>> {
    match row.get_ref(index)?.data_type() {
        Type::Null => Ok(None),
        _ => id(row, index, parse).map(Some),
    }
}

pub(crate) fn number(row: &Row<'_>, index: usize) -> rusqlite::Result<u64> {
    let value: i64 = row.get(index)?;
    u64::try_from(value).map_err(|_| {
        let error = FromSqlError::OutOfRange(value);
        rusqlite::Error::FromSqlConversionFailure(index, Type::Integer, Box::new(error))
    })
}

pub(crate) fn optional_number(row: &Row<'_>, index: usize) -> rusqlite::Result<Option<u64>> {
    match row.get_ref(index)?.data_type() {
        Type::Null => Ok(None),
        _ => number(row, index).map(Some),
    }
}
