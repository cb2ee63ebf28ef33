//! New columns for a table that is there.

use super::{Column, Mode, TableSchema};

impl TableSchema {
    /// Adds the columns of another schema that are missing, at any depth; as NULLABLE, since the rows that are there
    /// have no value for them.
    pub(crate) fn with_columns_of(mut self, other: &TableSchema) -> TableSchema {
        merge(&mut self.columns, &other.columns);
        self
    }
}

fn merge(table: &mut Vec<Column>, columns: &[Column]) {
    for column in columns {
        let same = |there: &&mut Column| there.name.eq_ignore_ascii_case(&column.name);
        match table.iter_mut().find(same) {
            Some(there) => merge(&mut there.fields, &column.fields),
            None => table.push(Column {
                mode: match column.mode {
                    Mode::Required => Mode::Nullable,
                    mode => mode,
                },
                ..column.clone()
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_comes_behind_what_is_there() {
        let ddl = |columns: &str| {
            let ddl = format!("CREATE TABLE t ({columns})");
            TableSchema::from_ddl(&ddl).unwrap().1
        };
        let table = ddl("a INT64 NOT NULL, s STRUCT<x INT64 NOT NULL>");
        let wanted =
            ddl("b INT64 NOT NULL, s STRUCT<y ARRAY<STRING>, x INT64 NOT NULL>, A INT64 NOT NULL");
        let missing: Vec<_> = wanted
            .fit(&table)
            .missing
            .into_iter()
            .map(|m| m.0)
            .collect();
        assert_eq!(missing, ["b", "s.y"]);
        let merged = table.with_columns_of(&wanted);
        let expected =
            ddl("a INT64 NOT NULL, s STRUCT<x INT64 NOT NULL, y ARRAY<STRING>>, b INT64");
        assert_eq!(merged, expected);
        let nullable = Column::nullable("b", super::super::ColumnType::Int64);
        assert_eq!(merged.columns[2], nullable);
        let fit = wanted.fit(&merged);
        assert!(
            fit.missing.is_empty() && fit.difference.is_none(),
            "{fit:?}"
        );
    }

    #[test]
    fn what_does_not_fit_is_named_by_its_path() {
        let ddl = |columns: &str| {
            let ddl = format!("CREATE TABLE t ({columns})");
            TableSchema::from_ddl(&ddl).unwrap().1
        };
        let table = ddl("a INT64 NOT NULL, s STRUCT<x INT64>, d DATE");
        for (wanted, words) in [
            (
                "a STRING NOT NULL",
                "`a` is INT64 REQUIRED in the table and STRING",
            ),
            (
                "a INT64",
                "`a` is INT64 REQUIRED in the table and INT64 NULLABLE",
            ),
            (
                "s STRUCT<x INT64>",
                "`a` is REQUIRED in the table and missing",
            ),
            ("a INT64 NOT NULL, s STRUCT<x STRING>", "`s.x` is INT64"),
            (
                "a INT64 NOT NULL, s ARRAY<STRUCT<x INT64>>",
                "`s` is STRUCT NULLABLE",
            ),
            (
                "a INT64 NOT NULL, d DATE) PARTITION BY (d",
                "not partitioned",
            ),
        ] {
            let wanted = match wanted.split_once(") PARTITION BY (") {
                Some((columns, by)) => {
                    let by = super::super::Partitioning::by(by, super::super::Granularity::Day);
                    ddl(columns).partitioned_by(by)
                }
                None => ddl(wanted),
            };
            let reason = wanted.fit(&table).reason().expect(words);
            assert!(reason.contains(words), "{reason}");
        }
        let less = ddl("d DATE, A INT64 NOT NULL");
        assert_eq!(less.fit(&table).reason(), None);
    }
}
