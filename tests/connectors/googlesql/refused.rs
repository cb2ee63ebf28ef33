//! GoogleSQL that the embedded warehouse refuses: each with line, column and the words that help.

use pipeline_gcp::bigquery::{
    BigQuery, BigQueryError, BigQueryErrorKind, Column, ColumnType, LocalWarehouse, TableSchema,
    googlesql::SqlError,
};
use pollster::block_on;

fn warehouse(dir: &std::path::Path) -> LocalWarehouse {
    let warehouse = LocalWarehouse::open(dir).unwrap();
    let trips = TableSchema::new([
        Column::required("id", ColumnType::Int64),
        Column::nullable("city", ColumnType::String),
        Column::nullable("n", ColumnType::Int64),
        Column::nullable("at", ColumnType::Timestamp),
    ]);
    let cities = TableSchema::new([Column::required("city", ColumnType::String)]);
    block_on(warehouse.create_table_if_needed("trips", &trips)).unwrap();
    block_on(warehouse.create_table_if_needed("cities", &cities)).unwrap();
    warehouse
}

fn sql_error(error: BigQueryError) -> SqlError {
    match error.kind() {
        BigQueryErrorKind::Sql(error) => error.clone(),
        _ => panic!("{error}"),
    }
}

/// Text, line, column, words of the message.
const REFUSED: &[(&str, u64, u64, &str)] = &[
    // Not there, or not in the subset.
    (
        "SELECT nope FROM trips",
        1,
        8,
        "no column `nope`; columns here: id, city, n, at",
    ),
    (
        "SELECT id FROM nope",
        1,
        16,
        "no table or view `nope`; there are: cities, trips",
    ),
    ("SELECT id FROM Trips", 1, 16, "no table or view `Trips`"),
    ("SELECT t.nope FROM trips AS t", 1, 8, "no column `t.nope`"),
    (
        "SELECT REGEXP_CONTAINS(city, 'a') FROM trips",
        1,
        8,
        "function REGEXP_CONTAINS is not supported; supported: ABS",
    ),
    (
        "SELECT id,\n  CURRENT_TIMESTAMP() FROM trips",
        2,
        3,
        "CURRENT_TIMESTAMP",
    ),
    ("SELECT DATE(at) FROM trips", 1, 8, "DATE"),
    ("SELECT SAFE.SUBSTR('a', 1)", 1, 19, "Expected"),
    (
        "SELECT n % 2 FROM trips",
        1,
        10,
        "operator % is not supported",
    ),
    (
        "SELECT n & 2 FROM trips",
        1,
        10,
        "operator & is not supported",
    ),
    ("SELECT id == 1 FROM trips", 1, 11, "write `=`"),
    (
        "SELECT CAST(n AS NUMERIC) FROM trips",
        1,
        13,
        "CAST to NUMERIC",
    ),
    (
        "SELECT CAST(n AS STRING(3)) FROM trips",
        1,
        13,
        "CAST to STRING(3)",
    ),
    (
        "SELECT CAST(n AS TIMESTAMP) FROM trips",
        1,
        13,
        "no CAST from INT64 to TIMESTAMP",
    ),
    ("SELECT STRUCT(1 AS a)", 1, 8, "not supported"),
    ("SELECT [1, 2]", 1, 9, "not supported"),
    ("SELECT @id", 1, 8, "@id"),
    (
        "SELECT COUNT(*) FROM trips GROUP BY ROLLUP(city)",
        1,
        44,
        "not supported",
    ),
    (
        "SELECT id FROM trips WHERE id IN (SELECT 1)",
        1,
        28,
        "subquery",
    ),
    ("SELECT (SELECT 1)", 1, 9, "subquery"),
    (
        "SELECT id FROM trips WHERE EXISTS (SELECT 1)",
        1,
        36,
        "subquery",
    ),
    ("SELECT * REPLACE (1 AS n) FROM trips", 1, 8, "EXCEPT"),
    (
        "SELECT * EXCEPT (nope) FROM trips",
        1,
        18,
        "no column `nope`",
    ),
    // Tables, joins, set operations, clauses.
    ("SELECT * FROM trips, cities", 1, 22, "INNER JOIN"),
    (
        "SELECT id\nFROM trips\nFULL OUTER JOIN cities USING (city)",
        3,
        17,
        "kind of join",
    ),
    (
        "SELECT id FROM trips CROSS JOIN cities",
        1,
        33,
        "kind of join",
    ),
    ("SELECT id FROM trips JOIN cities", 1, 27, "ON or USING"),
    (
        "SELECT id FROM trips JOIN cities USING (n)",
        1,
        41,
        "both sides need one column `n`",
    ),
    (
        "SELECT t.id FROM trips AS t JOIN trips AS t ON TRUE",
        1,
        34,
        "alias `t` stands twice",
    ),
    (
        "SELECT city FROM trips JOIN cities ON trips.city = cities.city",
        1,
        8,
        "ambiguous",
    ),
    (
        "SELECT id FROM trips TABLESAMPLE SYSTEM (10 PERCENT)",
        1,
        16,
        "without options",
    ),
    (
        "SELECT id FROM trips FOR SYSTEM_TIME AS OF TIMESTAMP '2024-01-01'",
        1,
        16,
        "without options",
    ),
    ("SELECT x FROM UNNEST([1]) AS x", 1, 23, "FROM takes"),
    ("SELECT id FROM trips UNION SELECT 1", 1, 22, "UNION ALL"),
    (
        "SELECT id FROM trips EXCEPT DISTINCT SELECT 1",
        1,
        22,
        "UNION ALL",
    ),
    (
        "SELECT id FROM trips UNION ALL SELECT 1, 2",
        1,
        32,
        "1 columns with 2",
    ),
    (
        "SELECT id FROM trips UNION ALL SELECT city FROM trips",
        1,
        39,
        "column 1 of UNION",
    ),
    ("FROM trips |> WHERE id = 1", 1, 1, "not supported"),
    (
        "WITH RECURSIVE a AS (SELECT 1 AS x) SELECT x FROM a",
        1,
        1,
        "RECURSIVE",
    ),
    (
        "SELECT id FROM trips WINDOW w AS (ORDER BY id)",
        1,
        22,
        "WINDOW",
    ),
    ("SELECT id FROM trips LIMIT n", 1, 28, "whole number"),
    ("SELECT id FROM trips ORDER BY 7", 1, 31, "between 1 and 1"),
    ("SELECT AS STRUCT 1 AS a", 1, 8, "not supported"),
    // Types.
    ("SELECT 1 + 'a'", 1, 12, "takes INT64 or FLOAT64"),
    (
        "SELECT city = 1 FROM trips",
        1,
        15,
        "has to be STRING and is INT64",
    ),
    (
        "SELECT id FROM trips WHERE n",
        1,
        28,
        "WHERE has to be BOOL",
    ),
    ("SELECT id FROM trips WHERE city LIKE 1", 1, 38, "LIKE"),
    ("SELECT at - at FROM trips", 1, 11, "TIMESTAMP_DIFF"),
    ("SELECT IF(n, 1, 2) FROM trips", 1, 11, "condition of IF"),
    ("SELECT COALESCE(n, city) FROM trips", 1, 20, "COALESCE"),
    ("SELECT SUM(city) FROM trips", 1, 12, "SUM takes"),
    ("SELECT LENGTH(n) FROM trips", 1, 15, "has to be STRING"),
    (
        "SELECT id FROM trips WHERE at > city",
        1,
        33,
        "has to be TIMESTAMP",
    ),
    (
        "SELECT id FROM trips WHERE at > '2024-02-30'",
        1,
        33,
        "no such date",
    ),
    ("SELECT ABS(1, 2)", 1, 8, "cannot take 2 arguments"),
    ("SELECT 1 < 2 < 3", 1, 8, "do not chain"),
    ("SELECT n = 1 IS NULL FROM trips", 1, 8, "do not chain"),
    // Timestamps.
    (
        "SELECT TIMESTAMP_DIFF(at, at, WEEK) FROM trips",
        1,
        31,
        "unit WEEK",
    ),
    (
        "SELECT TIMESTAMP_TRUNC(at, DAY, 'Europe/Berlin') FROM trips",
        1,
        8,
        "time zones",
    ),
    (
        "SELECT TIMESTAMP_ADD(at, INTERVAL 1 MONTH) FROM trips",
        1,
        8,
        "unit MONTH",
    ),
    (
        "SELECT EXTRACT(WEEK FROM at) FROM trips",
        1,
        26,
        "EXTRACT(WEEK)",
    ),
    ("SELECT DATE '2024-01-01'", 1, 13, "type DATE"),
    // Grouping, aggregates, windows.
    (
        "SELECT city, COUNT(*) FROM trips",
        1,
        8,
        "`city` is neither grouped nor aggregated",
    ),
    (
        "SELECT city, n FROM trips GROUP BY city",
        1,
        14,
        "`n` is neither",
    ),
    (
        "SELECT city FROM trips GROUP BY city ORDER BY n",
        1,
        47,
        "`n` is neither",
    ),
    ("SELECT * FROM trips GROUP BY city", 1, 8, "neither grouped"),
    (
        "SELECT UPPER(city) AS city FROM trips GROUP BY city",
        1,
        48,
        "both a column and an alias",
    ),
    (
        "SELECT id FROM trips WHERE COUNT(*) > 1",
        1,
        28,
        "WHERE cannot contain an aggregate",
    ),
    (
        "SELECT SUM(COUNT(*)) FROM trips",
        1,
        12,
        "argument of SUM cannot contain",
    ),
    (
        "SELECT id FROM trips HAVING id > 1",
        1,
        29,
        "HAVING needs GROUP BY",
    ),
    (
        "SELECT id FROM trips QUALIFY id > 1",
        1,
        30,
        "QUALIFY needs a window function",
    ),
    (
        "SELECT SUM(n) OVER (PARTITION BY city) FROM trips",
        1,
        8,
        "SUM with OVER",
    ),
    ("SELECT ROW_NUMBER() FROM trips", 1, 8, "needs OVER"),
    (
        "SELECT ROW_NUMBER() OVER (ORDER BY id ROWS UNBOUNDED PRECEDING) FROM trips",
        1,
        8,
        "frame",
    ),
    (
        "SELECT ARRAY_AGG(n) FROM trips",
        1,
        8,
        "arrays are not supported",
    ),
    (
        "SELECT ARRAY_AGG(n)[OFFSET(0)] FROM trips",
        1,
        8,
        "needs ORDER BY",
    ),
    (
        "SELECT ARRAY_AGG(n ORDER BY id)[0] FROM trips",
        1,
        8,
        "OFFSET(k)",
    ),
    (
        "SELECT COUNT(n) FILTER (WHERE n > 1) FROM trips",
        1,
        24,
        "Expected",
    ),
    (
        "SELECT DISTINCT city FROM trips ORDER BY id",
        1,
        42,
        "DISTINCT",
    ),
    // Literals and the text as a whole.
    ("SELECT 'it''s'", 1, 8, "\\'"),
    ("SELECT 'a\\qb'", 1, 8, "`\\q`"),
    ("SELECT r'\\d'", 1, 8, "not supported"),
    ("SELECT b'x'", 1, 8, "not supported"),
    ("SELECT 99999999999999999999", 1, 8, "outside INT64"),
    ("SELECT 1e999", 1, 8, "FLOAT64"),
    ("SELECT 0xFF", 1, 8, "not supported"),
    ("SELECT 'a' 'b'", 1, 8, "string cannot be an alias"),
    (
        "SELECT id FROM trips AS 't'",
        1,
        16,
        "string cannot be an alias",
    ),
    (
        "SELECT id AS a, id AS A FROM trips",
        1,
        17,
        "two result columns",
    ),
    ("SELECT id FROM trips; SELECT 2", 1, 21, "one statement"),
    ("DELETE FROM trips WHERE TRUE", 1, 1, "supported: a query"),
    ("SELECT id FROM trips WHERE (id = 1", 1, 35, "Expected"),
    ("SELECT 'open", 1, 9, "Unterminated"),
    ("  ", 1, 1, "empty"),
];

#[test]
fn refused_texts_have_a_position_and_a_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let warehouse = warehouse(dir.path());
    let mut wrong = Vec::new();
    for (sql, line, column, words) in REFUSED {
        match block_on(warehouse.query(sql)) {
            Ok(result) => wrong.push(format!("{sql}\n    was answered: {:?}", result.rows)),
            Err(error) => {
                let error = sql_error(error);
                if (error.line, error.column) != (*line, *column) || !error.message.contains(words)
                {
                    wrong.push(format!(
                        "{sql}\n    expected {line}:{column} {words}\n    got {error}"
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn deep_and_long_texts_end_in_an_error_or_an_answer_never_in_a_crash() {
    let dir = tempfile::tempdir().unwrap();
    let warehouse = warehouse(dir.path());
    let chain = |terms: usize| format!("SELECT {}1", "1 + ".repeat(terms));
    assert_eq!(
        block_on(warehouse.query(&chain(300))).unwrap().rows,
        [[301.into()]]
    );
    assert!(block_on(warehouse.query(&chain(2_400))).is_err());
    assert!(
        sql_error(block_on(warehouse.query(&chain(50_000))).unwrap_err())
            .message
            .contains("5000 tokens")
    );
    let nested = |levels: usize| format!("SELECT {}1{}", "(".repeat(levels), ")".repeat(levels));
    assert_eq!(
        block_on(warehouse.query(&nested(20))).unwrap().rows,
        [[1.into()]]
    );
    assert!(block_on(warehouse.query(&nested(2_000))).is_err());
    let queries = |levels: usize| {
        format!(
            "{}SELECT 1 AS x{}",
            "SELECT x FROM (".repeat(levels),
            ")".repeat(levels)
        )
    };
    assert_eq!(
        block_on(warehouse.query(&queries(10))).unwrap().rows,
        [[1.into()]]
    );
    assert!(block_on(warehouse.query(&queries(1_000))).is_err());
}

#[test]
fn views_are_checked_replaced_and_never_circular() {
    let dir = tempfile::tempdir().unwrap();
    let warehouse = warehouse(dir.path());
    let create = |sql: &str| block_on(warehouse.create_view(sql));
    create("CREATE VIEW `project.set.a` AS SELECT id, n FROM trips").unwrap();
    create("CREATE OR REPLACE VIEW b AS SELECT id FROM a WHERE n > 1").unwrap();
    assert_eq!(
        block_on(warehouse.query("SELECT COUNT(*) FROM b"))
            .unwrap()
            .rows,
        [[0.into()]]
    );
    let circle = sql_error(create("CREATE OR REPLACE VIEW a AS\nSELECT id FROM b").unwrap_err());
    assert!(
        circle
            .to_string()
            .contains("view `a` would be made of itself"),
        "{circle}"
    );
    // The text of `b` no longer fits its base: the position is in the view's own text.
    create("CREATE OR REPLACE VIEW a AS SELECT id FROM trips").unwrap();
    let stale = sql_error(block_on(warehouse.query("SELECT id FROM b")).unwrap_err());
    assert_eq!(
        (stale.view.as_deref(), stale.line, stale.column),
        (Some("b"), 1, 52),
        "{stale}"
    );
    for (sql, words) in [
        ("CREATE VIEW a AS SELECT id FROM trips", "CREATE OR REPLACE"),
        (
            "CREATE OR REPLACE VIEW trips AS SELECT 1 AS x",
            "there is a table `trips`",
        ),
        (
            "CREATE OR REPLACE VIEW c AS SELECT id + 1 FROM trips",
            "needs a name",
        ),
        (
            "CREATE MATERIALIZED VIEW c AS SELECT id FROM trips",
            "only CREATE [OR REPLACE] VIEW",
        ),
        (
            "CREATE VIEW c AS SELECT nope FROM trips",
            "no column `nope`",
        ),
        ("SELECT 1", "CREATE [OR REPLACE] VIEW is expected"),
    ] {
        let error = create(sql).expect_err(sql).to_string();
        assert!(error.contains(words), "{sql}: {error}");
    }
    assert!(block_on(warehouse.query("CREATE VIEW d AS SELECT 1 AS x")).is_err());
}
