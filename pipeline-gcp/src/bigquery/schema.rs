//! Table schemas: named, typed columns, and the key of a table that is written by upserts.

mod column;
mod ddl;
mod derive;
#[cfg(feature = "gcp")]
mod fit;
mod json;
#[cfg(feature = "gcp")]
mod merge;
mod partitioning;

use serde::{Deserialize, Serialize};

pub use column::{Column, ColumnType, Mode};
#[cfg(feature = "gcp")]
pub(crate) use json::{columns_of, fields};
pub use partitioning::{Granularity, Partitioning};

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
    /// How the table is divided by time; `None` for one that is not. The embedded warehouse only notes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partitioning: Option<Partitioning>,
    /// The columns by which it is sorted, four at most. The embedded warehouse only notes them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clustering: Vec<String>,
}

impl TableSchema {
    /// Creates the schema of an append-only table.
    pub fn new(columns: impl IntoIterator<Item = Column>) -> Self {
        Self {
            columns: columns.into_iter().collect(),
            upsert_key: None,
            partitioning: None,
            clustering: Vec::new(),
        }
    }

    /// Divides the table by time.
    #[must_use]
    pub fn partitioned_by(mut self, partitioning: Partitioning) -> Self {
        self.partitioning = Some(partitioning);
        self
    }

    /// Sorts the table by columns, four at most.
    #[must_use]
    pub fn clustered_by(mut self, columns: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.clustering = columns.into_iter().map(Into::into).collect();
        self
    }

    /// Gives a column another type, where the one that was derived is not what the table has; a column that is not
    /// there changes nothing, which [`validate`](Self::validate) cannot see.
    #[must_use]
    pub fn column_as(mut self, name: &str, column_type: ColumnType) -> Self {
        if let Some(at) = self.position(name) {
            let column = &mut self.columns[at];
            column.column_type = column_type;
            column.fields.clear();
        }
        self
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
        check_columns("", &self.columns, 1)?;
        self.check_layout()?;
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
        let key_type = find("key", key)?;
        if matches!(
            key_type,
            ColumnType::Float64 | ColumnType::Json | ColumnType::Struct
        ) {
            return Err(format!("the key column `{key}` cannot be {key_type}"));
        }
        if find("version", version)? != ColumnType::Int64 {
            return Err(format!("the version column `{version}` has to be INT64"));
        }
        if key.eq_ignore_ascii_case(version) {
            return Err(format!("`{key}` cannot be both key and version"));
        }
        Ok(())
    }

    fn check_layout(&self) -> Result<(), String> {
        let find = |name: &str| {
            let at = self.position(name);
            at.map(|at| &self.columns[at])
                .ok_or_else(|| format!("`{name}` is not among the columns"))
        };
        if let Some(name) = self.partitioning.as_ref().and_then(|p| p.column.as_ref()) {
            let column = find(name).map_err(|reason| format!("PARTITION BY: {reason}"))?;
            let timed = matches!(
                column.column_type,
                ColumnType::Date | ColumnType::Datetime | ColumnType::Timestamp
            );
            if !timed || column.mode == Mode::Repeated {
                return Err(format!(
                    "PARTITION BY: `{name}` has to be DATE, DATETIME or TIMESTAMP"
                ));
            }
        }
        if self.clustering.len() > 4 {
            return Err("CLUSTER BY takes four columns at most".into());
        }
        for name in &self.clustering {
            let column = find(name).map_err(|reason| format!("CLUSTER BY: {reason}"))?;
            let nested = matches!(column.column_type, ColumnType::Struct | ColumnType::Json);
            if nested || column.mode == Mode::Repeated || column.column_type == ColumnType::Float64
            {
                return Err(format!(
                    "CLUSTER BY: `{name}` is {}, which no table is sorted by",
                    column.signature()
                ));
            }
        }
        Ok(())
    }

    /// Describes the first difference that matters between the schema of a table and another; `None` if there is none.
    pub fn difference(&self, other: &TableSchema) -> Option<String> {
        let columns = difference("", &self.columns, &other.columns);
        if columns.is_some() {
            return columns;
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

/// The depth to which BigQuery nests STRUCTs.
pub(crate) const MAX_NESTING: usize = 15;

fn check_columns(within: &str, columns: &[Column], depth: usize) -> Result<(), String> {
    if columns.is_empty() {
        return Err(match within {
            "" => "a table needs at least one column".into(),
            path => format!("column `{path}`: a STRUCT needs at least one field"),
        });
    }
    if depth > MAX_NESTING {
        return Err(format!(
            "column `{within}` is nested deeper than {MAX_NESTING} levels"
        ));
    }
    for (position, column) in columns.iter().enumerate() {
        check_name("column", &column.name, 300)?;
        let path = joined(within, &column.name);
        let same = |other: &Column| other.name.eq_ignore_ascii_case(&column.name);
        if columns.iter().position(same) != Some(position) {
            return Err(format!(
                "column `{path}` stands twice (case does not distinguish)"
            ));
        }
        if column.column_type == ColumnType::Struct {
            check_columns(&path, &column.fields, depth + 1)?;
        } else if !column.fields.is_empty() {
            let found = column.column_type;
            return Err(format!("column `{path}` is {found} and cannot have fields"));
        }
    }
    Ok(())
}

/// Describes the first difference between the columns of a table and others.
fn difference(within: &str, here: &[Column], there: &[Column]) -> Option<String> {
    let signature =
        |column: Option<&Column>| column.map_or("missing".to_owned(), Column::signature);
    for position in 0..here.len().max(there.len()) {
        let (a, b) = (here.get(position), there.get(position));
        if signature(a) != signature(b) {
            let of = match within {
                "" => String::new(),
                path => format!(" of `{path}`"),
            };
            return Some(format!(
                "column {}{of} is {} in the table and {} in the schema asked for",
                position + 1,
                signature(a),
                signature(b)
            ));
        }
        let nested = a.zip(b).and_then(|(a, b)| {
            let path = joined(within, &a.name);
            difference(&path, &a.fields, &b.fields)
        });
        if nested.is_some() {
            return nested;
        }
    }
    None
}

/// Writes the path of a field: `a.b`.
pub(crate) fn joined(within: &str, name: &str) -> String {
    match within {
        "" => name.to_owned(),
        path => format!("{path}.{name}"),
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
