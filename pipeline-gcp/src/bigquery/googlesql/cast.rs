//! CAST and SAFE_CAST among the five types (conversion rules document).

use sqlparser::ast::DataType;

use super::error::{Position, SqlError};
use super::typed::Typed;
use crate::bigquery::schema::ColumnType::{self, Bool, Float64, Int64, String, Timestamp};

/// Translates a cast; one that GoogleSQL does not have is refused.
pub(super) fn cast(
    value: Typed,
    data_type: &DataType,
    safe: bool,
    at: Position,
) -> Result<Typed, SqlError> {
    let target = match data_type.to_string().as_str() {
        "STRING" => String,
        "INT64" => Int64,
        "FLOAT64" => Float64,
        "BOOL" => Bool,
        "TIMESTAMP" => Timestamp,
        other => {
            let types = "STRING, INT64, FLOAT64, BOOL, TIMESTAMP";
            return Err(at.error(format!(
                "CAST to {other} is not supported; supported: {types}"
            )));
        }
    };
    let Some(source) = value.ty else {
        return Ok(Typed {
            ty: Some(target),
            literal: None,
            ..value
        });
    };
    let allowed = source == target
        || matches!(
            (source, target),
            (String, _)
                | (_, String)
                | (Int64 | Bool, Int64 | Bool)
                | (Int64, Float64)
                | (Float64, Int64)
        );
    if !allowed {
        return Err(at.error(format!("GoogleSQL has no CAST from {source} to {target}")));
    }
    let sql = if source == target {
        value.sql.clone()
    } else {
        format!("{}({})", function_name(source, target, safe), value.sql)
    };
    Ok(Typed::from_parts(sql, Some(target), at, [&value]))
}

/// Names the registered function of a cast.
pub(super) fn function_name(
    source: ColumnType,
    target: ColumnType,
    safe: bool,
) -> std::string::String {
    let safe = if safe { "safe_" } else { "" };
    format!("gs_{safe}cast_{source}_{target}").to_ascii_lowercase()
}
