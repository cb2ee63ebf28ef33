//! Names of tables: `table`, `dataset.table`, `project.dataset.table`.

use std::fmt;

use crate::bigquery::error::{BigQueryError, BigQueryErrorKind};

/// Names a table in full.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct TableName {
    pub project: String,
    pub dataset: String,
    pub table: String,
}

impl TableName {
    /// Reads a name; what it leaves out is taken from the client.
    pub fn parse(
        name: &str,
        project: &str,
        dataset: Option<&str>,
    ) -> Result<TableName, BigQueryError> {
        let refuse = |reason: &str| {
            let reason = format!("table name `{name}`: {reason}");
            BigQueryError::from(BigQueryErrorKind::InvalidSchema { reason })
        };
        // A project may have a domain with dots: `example.com:project`.
        let (name_left, project_left) = match name.rsplitn(3, '.').collect::<Vec<_>>()[..] {
            [table, dataset, project] => ((dataset, table), project),
            [table, dataset] => ((dataset, table), project),
            [table] => {
                let dataset = dataset.ok_or_else(|| {
                    refuse("it names no dataset; write dataset.table, or give the client a dataset")
                })?;
                ((dataset, table), project)
            }
            _ => return Err(refuse("it is empty")),
        };
        let (dataset, table) = name_left;
        let plain = |part: &str, more: &str| {
            let is = |c: char| c.is_alphanumeric() || c == '_' || more.contains(c);
            !part.is_empty() && part.len() <= 1024 && part.chars().all(is)
        };
        if !plain(table, "-$ ") || !plain(dataset, "") || !plain(project_left, "-:.") {
            return Err(refuse(
                "a table has letters, digits, `_` and `-`, a dataset letters, digits and `_`",
            ));
        }
        Ok(TableName {
            project: project_left.to_owned(),
            dataset: dataset.to_owned(),
            table: table.to_owned(),
        })
    }

    /// Returns the name for the Storage Write API.
    pub fn resource(&self) -> String {
        let TableName {
            project,
            dataset,
            table,
        } = self;
        format!("projects/{project}/datasets/{dataset}/tables/{table}")
    }
}

/// Shows `project.dataset.table`.
impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.project, self.dataset, self.table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_completed_from_the_client() {
        let parse = |name| TableName::parse(name, "p", Some("d")).map(|name| name.to_string());
        assert_eq!(parse("t").unwrap(), "p.d.t");
        assert_eq!(parse("e.t").unwrap(), "p.e.t");
        assert_eq!(parse("q-1.e.t").unwrap(), "q-1.e.t");
        assert_eq!(parse("example.com:q.e.t").unwrap(), "example.com:q.e.t");
        for wrong in ["", "a/b", "d.", "d-e.t", "t`"] {
            let error = parse(wrong).unwrap_err().to_string();
            assert!(error.contains("table name"), "{error}");
        }
        let error = TableName::parse("t", "p", None).unwrap_err().to_string();
        assert!(error.contains("names no dataset"), "{error}");
    }
}
