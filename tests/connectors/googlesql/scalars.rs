//! Operators, functions, casts.

use super::fixture::check;

#[test]
fn arithmetic() {
    check(&[
        (
            "SELECT 7 / 2, DIV(7, 2), DIV(-7, 2), MOD(-7, 2), MOD(7, -2)",
            "3.5|3|-3|-1|1",
        ),
        ("SELECT n / 2 FROM trips WHERE id = 1", "3.5"),
        (
            "SELECT 0.1 + 0.2, 1 = 1.0, 2 * 1.5, 5 - 7",
            "0.30000000000000004|true|3|-2",
        ),
        (
            "SELECT ABS(-7), ROUND(2.5), ROUND(-2.5), ROUND(1.2345, 2), ROUND(0.125, 2)",
            "7|3|-3|1.23|0.13",
        ),
        (
            "SELECT GREATEST(1, 2.5, NULL), GREATEST(1, 3), LEAST('b', 'B'), LEAST(4)",
            "NULL|3|B|4",
        ),
        (
            "SELECT SAFE_DIVIDE(1, 0), SAFE_DIVIDE(1, 4), -(-7), +n FROM trips WHERE id = 2",
            "NULL|0.25|7|-7",
        ),
        (
            "SELECT -9223372036854775808, 1 + NULL, MOD(-9223372036854775808, -1)",
            "-9223372036854775808|NULL|0",
        ),
        (
            "SELECT 1 + 2 * 3 - 4, (1 + 2) * 3, 10 - 4 - 3, 2 / 4 / 2",
            "3|9|3|0.25",
        ),
    ]);
}

#[test]
fn text() {
    check(&[
        ("SELECT id FROM trips WHERE city LIKE 'I%' ORDER BY id", "1"),
        (
            "SELECT id FROM trips WHERE city NOT LIKE '%T' ORDER BY id",
            "2 / 4 / 5",
        ),
        (
            r"SELECT 'a_b' LIKE 'a\\_b', 'axb' LIKE 'a\\_b', NULL LIKE 'a'",
            "true|false|NULL",
        ),
        (
            "SELECT CONCAT('a', NULL) IS NULL, 'a' || 'b', CONCAT('x', 'y', 'z')",
            "true|ab|xyz",
        ),
        (
            "SELECT LENGTH('grüße'), LOWER('ÄB'), UPPER('éb'), LENGTH('')",
            "5|äb|ÉB|0",
        ),
        (
            "SELECT SUBSTR('apple', 2), SUBSTR('apple', 2, 2), SUBSTR('apple', -2), SUBSTR('apple', 0)",
            "pple|pp|le|apple",
        ),
        (
            "SELECT SUBSTR('apple', -9, 3), SUBSTR('apple', 123), SUBSTR('größe', 3, 2)",
            "app||öß",
        ),
        (
            "SELECT STARTS_WITH('Courier', 'Cour'), STARTS_WITH('Courier', 'cour'), ENDS_WITH('ab', 'b')",
            "true|false|true",
        ),
        (
            r#"SELECT 'it\'s', "a\x41\u00e9\101", "it's", 'say "x"'"#,
            "it's|aAéA|it's|say \"x\"",
        ),
        (
            "SELECT 'a' < 'b', 'a' < 'B', 'Z' < 'a', 'é' > 'z'",
            "true|false|true|true",
        ),
    ]);
}

#[test]
fn conditionals_and_casts() {
    check(&[
        (
            "SELECT IFNULL(n, 0) + 1, NULLIF(n, 2), COALESCE(NULL, km, 9), IF(done, 'y', 'n') FROM trips ORDER BY id",
            "8|7|1.5|y / -6|-7|2|n / 1|NULL|9|n / 3|NULL|2.5|y / 3|NULL|-2.5|n",
        ),
        (
            "SELECT id, CASE WHEN n > 5 THEN 'big' WHEN n > 0 THEN 'small' END FROM trips ORDER BY id",
            "1|big / 2|NULL / 3|NULL / 4|small / 5|small",
        ),
        (
            "SELECT CASE city WHEN 'LON' THEN 1 ELSE 0.5 END FROM trips WHERE id IN (3, 4) ORDER BY id",
            "0.5 / 1",
        ),
        (
            "SELECT IF(FALSE, 1 / 0, 2), CASE WHEN TRUE THEN 1 ELSE DIV(1, 0) END",
            "2|1",
        ),
        (
            "SELECT CAST('42' AS INT64), CAST('-7' AS INT64), CAST(2.5 AS INT64), CAST(-2.5 AS INT64)",
            "42|-7|3|-3",
        ),
        (
            "SELECT CAST(TRUE AS STRING), CAST('TRUE' AS BOOL), CAST(2 AS BOOL), CAST(TRUE AS INT64)",
            "true|true|true|1",
        ),
        (
            "SELECT CAST(0.1 AS STRING), CAST(1e20 AS STRING), CAST(3.0 AS STRING), CAST(1e-7 AS STRING)",
            "0.1|1e+20|3|1e-07",
        ),
        (
            "SELECT CAST(at AS STRING) FROM trips WHERE id = 1",
            "2024-02-01 10:00:00.250+00",
        ),
        (
            "SELECT CAST('2024-02-01 10:00:00+02' AS TIMESTAMP), CAST('1.5e2' AS FLOAT64), CAST(7 AS FLOAT64) / 2",
            "2024-02-01T08:00:00Z|150|3.5",
        ),
        (
            "SELECT SAFE_CAST('x' AS INT64), SAFE_CAST('2024-13-01' AS TIMESTAMP), SAFE_CAST('9' AS INT64)",
            "NULL|NULL|9",
        ),
        (
            "SELECT SAFE_CAST(1e19 AS INT64), SAFE_CAST('yes' AS BOOL), CAST(NULL AS BOOL)",
            "NULL|NULL|NULL",
        ),
    ]);
}

#[test]
fn timestamps() {
    let pair = "FROM trips AS a INNER JOIN trips AS b ON a.id = 2 AND b.id = 1";
    let diff = |unit: &str| {
        format!(
            "SELECT TIMESTAMP_DIFF(a.at, b.at, {unit}), TIMESTAMP_DIFF(b.at, a.at, {unit}) {pair}"
        )
    };
    check(&[
        (&diff("SECOND"), "59|-59"),
        (&diff("MILLISECOND"), "59500|-59500"),
        (&diff("MICROSECOND"), "59500000|-59500000"),
        (&diff("MINUTE"), "0|0"),
        (
            "SELECT TIMESTAMP_DIFF('2024-03-01', '2024-02-01 00:00:01', DAY), TIMESTAMP_DIFF('2024-03-01', '2024-02-28', HOUR)",
            "28|48",
        ),
        (
            "SELECT TIMESTAMP_TRUNC(at, SECOND), TIMESTAMP_TRUNC(at, MINUTE), TIMESTAMP_TRUNC(at, DAY) FROM trips WHERE id = 5",
            "1969-12-31T23:59:59Z|1969-12-31T23:59:00Z|1969-12-31T00:00:00Z",
        ),
        (
            "SELECT TIMESTAMP_TRUNC(at, MILLISECOND), TIMESTAMP_TRUNC(at, MONTH), TIMESTAMP_TRUNC(at, QUARTER), TIMESTAMP_TRUNC(at, YEAR) FROM trips WHERE id = 4",
            "2024-03-31T23:59:59.999Z|2024-03-01T00:00:00Z|2024-01-01T00:00:00Z|2024-01-01T00:00:00Z",
        ),
        (
            "SELECT EXTRACT(YEAR FROM at), EXTRACT(MONTH FROM at), EXTRACT(DAY FROM at), EXTRACT(HOUR FROM at), EXTRACT(MINUTE FROM at), EXTRACT(SECOND FROM at) FROM trips WHERE id = 4",
            "2024|3|31|23|59|59",
        ),
        // 31 March 2024 was Easter Sunday, day 31 + 29 + 31 of a leap year.
        (
            "SELECT EXTRACT(MICROSECOND FROM at), EXTRACT(MILLISECOND FROM at), EXTRACT(DAYOFWEEK FROM at), EXTRACT(DAYOFYEAR FROM at), EXTRACT(QUARTER FROM at) FROM trips WHERE id = 4",
            "999999|999|1|91|1",
        ),
        (
            "SELECT EXTRACT(MILLISECOND FROM at), EXTRACT(YEAR FROM at) FROM trips WHERE id = 5",
            "500|1969",
        ),
        (
            "SELECT TIMESTAMP_ADD(TIMESTAMP '2024-02-28 23:59:59 UTC', INTERVAL 1 SECOND), TIMESTAMP_SUB('2024-03-01', INTERVAL 1 DAY)",
            "2024-02-29T00:00:00Z|2024-02-29T00:00:00Z",
        ),
        (
            "SELECT TIMESTAMP_ADD(at, INTERVAL n MILLISECOND) FROM trips WHERE id = 1",
            "2024-02-01T10:00:00.257Z",
        ),
        (
            "SELECT id FROM trips WHERE at > TIMESTAMP '2024-02-01 10:00:00.249999' AND at < '2024-02-01T10:01:00Z' ORDER BY at",
            "1 / 2",
        ),
        (
            "SELECT id FROM trips WHERE at = TIMESTAMP '2024-02-01 12:00:00.250+02:00'",
            "1",
        ),
    ]);
}
