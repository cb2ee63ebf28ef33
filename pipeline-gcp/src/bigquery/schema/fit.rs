//! Whether rows of one schema can be written into a table of another.

use super::{Column, Mode, TableSchema, joined};

/// Says how a schema fits a table that is there.
#[derive(Debug, Default)]
pub(crate) struct Fit {
    /// Columns of the schema that the table does not have, by path; the ones inside a STRUCT with its path.
    pub missing: Vec<(String, Column)>,
    /// The first thing that no new column mends.
    pub difference: Option<String>,
}

impl Fit {
    /// Returns the first reason not to write.
    pub fn reason(&self) -> Option<String> {
        let missing = self.missing.first().map(|(path, column)| {
            let signature = column.signature();
            format!("column `{path}` ({signature} in the schema) is not in the table")
        });
        self.difference.clone().or(missing)
    }
}

impl TableSchema {
    /// Compares with the table that is there: by names, without regard to the order; a column of the table that the
    /// schema does not have is well unless it is REQUIRED.
    pub(crate) fn fit(&self, table: &TableSchema) -> Fit {
        let mut fit = Fit::default();
        compare("", &self.columns, &table.columns, &mut fit);
        if fit.difference.is_none()
            && let Some(wanted) = &self.partitioning
        {
            let same = |there: &super::Partitioning| {
                let columns = (there.column.as_deref(), wanted.column.as_deref());
                let same_column = match columns {
                    (Some(a), Some(b)) => a.eq_ignore_ascii_case(b),
                    (a, b) => a.is_none() && b.is_none(),
                };
                there.granularity == wanted.granularity && same_column
            };
            if !table.partitioning.as_ref().is_some_and(same) {
                let there = table.partitioning.as_ref();
                let there = there.map_or("not partitioned".to_owned(), |p| p.described());
                let wanted = wanted.described();
                fit.difference = Some(format!(
                    "its partitions are: {there}; asked for: {wanted}; they cannot be changed"
                ));
            }
        }
        fit
    }
}

fn compare(within: &str, columns: &[Column], table: &[Column], fit: &mut Fit) {
    let named = |list: &'_ [Column], name: &str| {
        list.iter().position(|c| c.name.eq_ignore_ascii_case(name))
    };
    for column in columns {
        let path = joined(within, &column.name);
        let Some(at) = named(table, &column.name) else {
            fit.missing.push((path, column.clone()));
            continue;
        };
        let there = &table[at];
        let repeated = |mode| mode == Mode::Repeated;
        let stricter = there.mode == Mode::Required && column.mode == Mode::Nullable;
        let other_type = there.column_type != column.column_type;
        if other_type || repeated(there.mode) != repeated(column.mode) || stricter {
            fit.difference.get_or_insert_with(|| {
                let (a, b) = (there, column);
                format!(
                    "column `{path}` is {} {} in the table and {} {} in the schema",
                    a.column_type, a.mode, b.column_type, b.mode
                )
            });
        }
        compare(&path, &column.fields, &there.fields, fit);
    }
    for there in table {
        if there.mode == Mode::Required && named(columns, &there.name).is_none() {
            let path = joined(within, &there.name);
            fit.difference.get_or_insert_with(|| {
                format!("column `{path}` is REQUIRED in the table and missing in the schema")
            });
        }
    }
}
