//! Queries that are right and fail on the data.

use pipeline_gcp::bigquery::{BigQuery, BigQueryErrorKind};
use pollster::block_on;

use super::fixture::Fixture;

#[test]
fn failures_on_the_data_are_errors_and_never_a_wrong_answer() {
    let fixture = Fixture::new();
    for (sql, words) in [
        ("SELECT 1 / 0", "division by zero"),
        (
            "SELECT n / (n - n) FROM trips WHERE id = 1",
            "division by zero",
        ),
        ("SELECT DIV(1, 0)", "division by zero"),
        ("SELECT MOD(1, 0)", "division by zero"),
        ("SELECT 9223372036854775807 + 1", "INT64 overflow"),
        (
            "SELECT 9223372036854775807 * n FROM trips WHERE id = 1",
            "INT64 overflow",
        ),
        ("SELECT -9223372036854775808 - 1", "INT64 overflow"),
        ("SELECT ABS(-9223372036854775808)", "INT64 overflow"),
        ("SELECT -(-9223372036854775808)", "INT64 overflow"),
        ("SELECT DIV(-9223372036854775808, -1)", "INT64 overflow"),
        (
            "SELECT SUM(x) FROM (SELECT 9223372036854775807 AS x UNION ALL SELECT 1)",
            "INT64 overflow",
        ),
        ("SELECT 1e308 * 10", "FLOAT64 overflow"),
        (
            "SELECT SUM(x) FROM (SELECT 1e308 AS x UNION ALL SELECT 1e308)",
            "FLOAT64 overflow",
        ),
        (
            "SELECT CAST(city AS INT64) FROM trips WHERE id = 1",
            "`IST` is not an INT64",
        ),
        ("SELECT CAST(1e19 AS INT64)", "outside INT64"),
        ("SELECT SAFE_CAST(' 1' AS INT64)", "white space"),
        ("SELECT SAFE_CAST('inf' AS FLOAT64)", "finite"),
        ("SELECT CAST(0.1 + 0.2 AS STRING)", "15 digits"),
        ("SELECT ROUND(2.675, 2)", "too close to a tie"),
        ("SELECT UPPER('straße')", "not one letter"),
        ("SELECT SUBSTR('apple', 1, -1)", "negative"),
        ("SELECT 'a' LIKE 'a\\\\'", "backslash"),
        (
            "SELECT ARRAY_AGG(n ORDER BY id)[OFFSET(5)] FROM trips",
            "outside an array of 5",
        ),
        (
            "SELECT ARRAY_AGG(n IGNORE NULLS ORDER BY id)[OFFSET(0)] FROM trips WHERE id = 3",
            "SAFE_OFFSET",
        ),
        (
            "SELECT TIMESTAMP_ADD('9999-12-31', INTERVAL 1 DAY)",
            "TIMESTAMP overflow",
        ),
    ] {
        let error = block_on(fixture.warehouse.query(sql)).expect_err(sql);
        let evaluation = matches!(error.kind(), BigQueryErrorKind::Evaluation { .. });
        assert!(
            evaluation && error.to_string().contains(words),
            "{sql}: {error}"
        );
    }
}
