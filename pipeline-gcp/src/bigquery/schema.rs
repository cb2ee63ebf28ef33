//! Table schemas: named, typed columns, and the key of a table that is written by upserts.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Names the type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ColumnType {
    /// Unicode text.
    String,
    /// Signed 64-bit integer.
    Int64,
    /// 64-bit IEEE number.
    Float64,
    /// Truth value.
    Bool,
    /// Instant with a precision of microseconds, from year 1 to 9999.
    Timestamp,
}

impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::String => "STRING",
            Self::Int64 => "INT64",
            Self::Float64 => "FLOAT64",
            Self::Bool => "BOOL",
            Self::Timestamp => "TIMESTAMP",
        })
    }
}

/// Says whether a column may hold NULL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Mode {
    /// Every row has a value.
    Required,
    /// NULL is allowed.
    Nullable,
}

/// Describes one column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Name: a letter or underscore, then letters, digits and underscores, at most 300; case does not distinguish.
    pub name: String,
    /// Type of the values.
    pub column_type: ColumnType,
    /// Whether NULL is allowed.
    pub mode: Mode,
    /// Words for the reader; not part of the comparison of schemas.
    pub description: Option<String>,
}

impl Column {
    /// Creates a column that has a value in every row.
    pub fn required(name: impl Into<String>, column_type: ColumnType) -> Self {
        Self {
            name: name.into(),
            column_type,
            mode: Mode::Required,
            description: None,
        }
    }

    /// Creates a column that may be NULL.
    pub fn nullable(name: impl Into<String>, column_type: ColumnType) -> Self {
        Self {
            mode: Mode::Nullable,
            ..Self::required(name, column_type)
        }
    }

    /// Adds words for the reader.
    #[must_use]
    pub fn description(mut self, words: impl Into<String>) -> Self {
        self.description = Some(words.into());
        self
    }

    fn signature(&self) -> String {
        let mode = match self.mode {
            Mode::Required => "REQUIRED",
            Mode::Nullable => "NULLABLE",
        };
        format!("`{}` {} {mode}", self.name, self.column_type)
    }
}

/// Names the columns that decide an upsert: which row, and which of two is newer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpsertKey {
    /// REQUIRED column whose value identifies a row; not FLOAT64.
    pub key: String,
    /// REQUIRED INT64 column; a row replaces one of smaller or equal version.
    pub version: String,
}

/// Describes a table: its columns in order, and its key where it is written by upserts.
///
/// ```
/// # use pipeline_gcp::bigquery::{Column, ColumnType, TableSchema};
/// let schema = TableSchema::new([
///     Column::required("order_id", ColumnType::Int64).description("Identity of the order"),
///     Column::nullable("city_code", ColumnType::String),
///     Column::required("version", ColumnType::Int64),
/// ])
/// .keyed_by("order_id", "version");
/// assert!(schema.validate().is_ok());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableSchema {
    /// The columns in order.
    pub columns: Vec<Column>,
    /// The key of a table written by upserts; `None` for an append-only table.
    pub upsert_key: Option<UpsertKey>,
}

impl TableSchema {
    /// Creates the schema of an append-only table.
    pub fn new(columns: impl IntoIterator<Item = Column>) -> Self {
        Self {
            columns: columns.into_iter().collect(),
            upsert_key: None,
        }
    }

    /// Makes it the schema of a table that holds one row a key, the one of the greatest version.
    #[must_use]
    pub fn keyed_by(mut self, key: impl Into<String>, version: impl Into<String>) -> Self {
        self.upsert_key = Some(UpsertKey {
            key: key.into(),
            version: version.into(),
        });
        self
    }

    /// Returns the position of a column; names compare without case.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.columns
            .iter()
            .position(|column| column.name.eq_ignore_ascii_case(name))
    }

    /// Checks the schema by itself.
    ///
    /// # Errors
    /// Names the column that breaks a rule: no columns, a bad or repeated name, a key that is missing, NULLABLE or
    /// FLOAT64, a version that is not REQUIRED INT64.
    pub fn validate(&self) -> Result<(), String> {
        if self.columns.is_empty() {
            return Err("a table needs at least one column".into());
        }
        for (position, column) in self.columns.iter().enumerate() {
            check_name("column", &column.name, 300)?;
            if self.position(&column.name) != Some(position) {
                return Err(format!(
                    "column `{}` stands twice (case does not distinguish)",
                    column.name
                ));
            }
        }
        let Some(UpsertKey { key, version }) = &self.upsert_key else {
            return Ok(());
        };
        let find = |role: &str, name: &str| match self.position(name).map(|at| &self.columns[at]) {
            None => Err(format!(
                "the {role} column `{name}` is not among the columns"
            )),
            Some(column) if column.mode != Mode::Required => {
                Err(format!("the {role} column `{name}` has to be REQUIRED"))
            }
            Some(column) => Ok(column.column_type),
        };
        if find("key", key)? == ColumnType::Float64 {
            return Err(format!("the key column `{key}` cannot be FLOAT64"));
        }
        if find("version", version)? != ColumnType::Int64 {
            return Err(format!("the version column `{version}` has to be INT64"));
        }
        if key.eq_ignore_ascii_case(version) {
            return Err(format!("`{key}` cannot be both key and version"));
        }
        Ok(())
    }

    /// Describes the first difference that matters between the schema of a table and another; `None` if there is none.
    pub fn difference(&self, other: &TableSchema) -> Option<String> {
        let signature =
            |column: Option<&Column>| column.map_or("missing".to_owned(), Column::signature);
        for position in 0..self.columns.len().max(other.columns.len()) {
            let here = signature(self.columns.get(position));
            let there = signature(other.columns.get(position));
            if here != there {
                return Some(format!(
                    "column {} is {here} in the table and {there} in the schema asked for",
                    position + 1
                ));
            }
        }
        let key = |schema: &TableSchema| match &schema.upsert_key {
            None => "append-only".to_owned(),
            Some(UpsertKey { key, version }) => {
                format!("keyed by `{key}` with version `{version}`")
            }
        };
        (self.upsert_key != other.upsert_key).then(|| {
            format!(
                "the table is {} and the schema asked for {}",
                key(self),
                key(other)
            )
        })
    }
}

/// Checks the name of a table, view or column: what BigQuery and the embedded warehouse both take.
pub(crate) fn check_name(what: &str, name: &str, limit: usize) -> Result<(), String> {
    let starts = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if starts && name.len() <= limit && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    {
        return Ok(());
    }
    Err(format!(
        "{what} name `{name}` has to begin with a letter or underscore, go on with letters, digits and underscores, \
         and be at most {limit} characters long"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns() -> [Column; 2] {
        [
            Column::required("id", ColumnType::Int64),
            Column::nullable("v", ColumnType::Int64),
        ]
    }

    #[test]
    fn schemas_that_break_a_rule_are_refused_naming_the_column() {
        let twice = TableSchema::new([
            columns()[0].clone(),
            Column::nullable("ID", ColumnType::Bool),
        ]);
        let cases = [
            (TableSchema::new([]), "at least one"),
            (twice, "`ID` stands twice"),
            (
                TableSchema::new([Column::nullable("a b", ColumnType::Bool)]),
                "`a b`",
            ),
            (
                TableSchema::new(columns()).keyed_by("id", "v"),
                "`v` has to be REQUIRED",
            ),
            (
                TableSchema::new(columns()).keyed_by("x", "v"),
                "`x` is not among",
            ),
            (
                TableSchema::new(columns()).keyed_by("id", "id"),
                "both key and version",
            ),
        ];
        for (schema, words) in cases {
            let reason = schema.validate().expect_err(words);
            assert!(reason.contains(words), "{reason}");
        }
        assert_eq!(TableSchema::new(columns()).validate(), Ok(()));
    }

    #[test]
    fn a_difference_names_the_column_and_ignores_descriptions() {
        let table = TableSchema::new(columns());
        let [id, v] = columns();
        assert_eq!(
            table.difference(&TableSchema::new([
                id.clone().description("words"),
                v.clone()
            ])),
            None
        );
        let other = TableSchema::new([id.clone(), Column::nullable("v", ColumnType::String)]);
        let words = table.difference(&other).expect("differs");
        assert_eq!(
            words,
            "column 2 is `v` INT64 NULLABLE in the table and `v` STRING NULLABLE in the schema asked for"
        );
        assert!(
            table
                .difference(&TableSchema::new([id]))
                .expect("differs")
                .contains("missing")
        );
    }
}
