//! BigQuery's JSON description of a table's columns: what `bq show --schema` prints.

use serde_json::{Map, Value, json};

use super::{Column, ColumnType, Mode, TableSchema, joined};

impl TableSchema {
    /// Reads BigQuery's JSON schema: a list of fields, or an object with `fields`.
    ///
    /// ```
    /// # use pipeline_gcp::bigquery::{Mode, TableSchema};
    /// let schema = TableSchema::from_json(r#"[
    ///     {"name": "id", "type": "INTEGER", "mode": "REQUIRED"},
    ///     {"name": "tags", "type": "RECORD", "mode": "REPEATED", "fields": [{"name": "key", "type": "STRING"}]}
    /// ]"#)?;
    /// assert_eq!(schema.columns[1].fields[0].mode, Mode::Nullable);
    /// # Ok::<(), String>(())
    /// ```
    ///
    /// # Errors
    /// Names the column that is not understood, or breaks a rule.
    pub fn from_json(text: &str) -> Result<TableSchema, String> {
        let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let schema = TableSchema::new(columns_of(&value)?);
        schema.validate()?;
        Ok(schema)
    }

    /// Writes BigQuery's JSON schema: a list of fields.
    pub fn to_json(&self) -> String {
        fields(&self.columns).to_string()
    }
}

/// Reads a list of fields, or an object with `fields`.
pub(crate) fn columns_of(value: &Value) -> Result<Vec<Column>, String> {
    let list = value.as_array();
    let list = list.or_else(|| value.get("fields")?.as_array());
    let list = list.ok_or("a schema is a list of fields, or an object with \"fields\"")?;
    list.iter().map(|field| column("", field)).collect()
}

/// Writes a list of fields.
pub(crate) fn fields(columns: &[Column]) -> Value {
    columns.iter().map(field).collect()
}

fn column(within: &str, value: &Value) -> Result<Column, String> {
    let text = |key: &str| value.get(key).and_then(Value::as_str);
    let name = text("name").ok_or_else(|| format!("a field of `{within}` has no \"name\""))?;
    let path = joined(within, name);
    let wrong = |reason: String| format!("column `{path}`: {reason}");
    let type_name = text("type").ok_or_else(|| wrong("\"type\" is missing".to_owned()))?;
    let mode = match text("mode").unwrap_or("NULLABLE").to_ascii_uppercase() {
        mode if mode.is_empty() || mode == "NULLABLE" => Mode::Nullable,
        mode if mode == "REQUIRED" => Mode::Required,
        mode if mode == "REPEATED" => Mode::Repeated,
        other => return Err(wrong(format!("there is no mode {other}"))),
    };
    let nested = value.get("fields").and_then(Value::as_array);
    let nested = nested.into_iter().flatten();
    Ok(Column {
        name: name.to_owned(),
        column_type: ColumnType::parse(type_name).map_err(wrong)?,
        mode,
        description: text("description")
            .filter(|words| !words.is_empty())
            .map(str::to_owned),
        fields: nested
            .map(|field| column(&path, field))
            .collect::<Result<_, _>>()?,
    })
}

fn field(column: &Column) -> Value {
    // The names that every version of the interface knows.
    let type_name = match column.column_type {
        ColumnType::Int64 => "INTEGER".to_owned(),
        ColumnType::Float64 => "FLOAT".to_owned(),
        ColumnType::Bool => "BOOLEAN".to_owned(),
        ColumnType::Struct => "RECORD".to_owned(),
        other => other.to_string(),
    };
    let mut object = Map::new();
    object.insert("name".into(), json!(column.name));
    object.insert("type".into(), json!(type_name));
    object.insert("mode".into(), json!(column.mode.to_string()));
    if let Some(words) = &column.description {
        object.insert("description".into(), json!(words));
    }
    if !column.fields.is_empty() {
        object.insert("fields".into(), fields(&column.fields));
    }
    Value::Object(object)
}
