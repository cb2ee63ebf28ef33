//! Clauses: order, grouping, joins, windows, subqueries; names and types of results.

use pipeline_gcp::bigquery::Value;

use super::fixture::{Fixture, check};

#[test]
fn order_and_nulls() {
    check(&[
        (
            "SELECT id FROM trips ORDER BY city, id",
            "3 / 1 / 4 / 5 / 2",
        ),
        (
            "SELECT id FROM trips ORDER BY city DESC, id",
            "2 / 4 / 5 / 1 / 3",
        ),
        (
            "SELECT id FROM trips ORDER BY n NULLS LAST, id",
            "2 / 4 / 5 / 1 / 3",
        ),
        (
            "SELECT id FROM trips ORDER BY n DESC NULLS FIRST, id DESC",
            "3 / 1 / 5 / 4 / 2",
        ),
        ("SELECT id AS n FROM trips ORDER BY n DESC LIMIT 2", "5 / 4"),
        (
            "SELECT id FROM trips ORDER BY ABS(n), id LIMIT 3 OFFSET 1",
            "4 / 5 / 1",
        ),
        (
            "SELECT DISTINCT n FROM trips ORDER BY n DESC LIMIT 2 OFFSET 1",
            "2 / -7",
        ),
        ("SELECT id FROM trips WHERE NOT done", "2"),
        (
            "SELECT id FROM trips WHERE done IS NOT TRUE ORDER BY id",
            "2 / 3 / 5",
        ),
        (
            "SELECT id FROM trips WHERE done IS FALSE OR n IS NULL ORDER BY 1",
            "2 / 3",
        ),
        ("SELECT id FROM trips WHERE n NOT IN (2, NULL)", ""),
        (
            "SELECT id FROM trips WHERE n IN (2, 7) ORDER BY id",
            "1 / 4 / 5",
        ),
        (
            "SELECT id FROM trips WHERE n BETWEEN -7 AND 2 AND km NOT BETWEEN 0 AND 2.25 ORDER BY id",
            "4 / 5",
        ),
        (
            "SELECT id FROM trips WHERE n IS DISTINCT FROM 2 ORDER BY id",
            "1 / 2 / 3",
        ),
        (
            "SELECT NULL = NULL, NULL AND FALSE, NULL OR TRUE, NOT NULL, NULL IS NOT DISTINCT FROM NULL",
            "NULL|false|true|NULL|true",
        ),
    ]);
}

#[test]
fn aggregates() {
    check(&[
        (
            "SELECT COUNT(*), COUNT(n), COUNT(DISTINCT n), COUNTIF(done), SUM(n), AVG(n), MIN(city), MAX(city) FROM trips",
            "5|4|3|2|4|1|IST|ist",
        ),
        (
            "SELECT COUNT(*), SUM(n), MAX(at), LOGICAL_OR(done), ARRAY_AGG(n ORDER BY id LIMIT 1)[OFFSET(0)] FROM trips WHERE id > 9",
            "0|NULL|NULL|NULL|NULL",
        ),
        (
            "SELECT city, LOGICAL_OR(done), LOGICAL_AND(done) FROM trips GROUP BY city ORDER BY city",
            "NULL|NULL|NULL / IST|true|true / LON|true|true / ist|false|false",
        ),
        (
            "SELECT ARRAY_AGG(n IGNORE NULLS ORDER BY n DESC, id)[OFFSET(3)], ARRAY_AGG(n ORDER BY n)[OFFSET(0)] FROM trips",
            "-7|NULL",
        ),
        (
            "SELECT ARRAY_AGG(id ORDER BY n NULLS LAST, id)[ORDINAL(1)], ARRAY_AGG(id ORDER BY id LIMIT 2)[SAFE_OFFSET(2)] FROM trips",
            "2|NULL",
        ),
        (
            "SELECT ARRAY_AGG(city IGNORE NULLS ORDER BY id LIMIT 1)[SAFE_OFFSET(0)] FROM trips WHERE id = 3",
            "NULL",
        ),
        (
            "SELECT city, SUM(km) AS total FROM trips GROUP BY city HAVING total > 1 ORDER BY total",
            "IST|1.5 / ist|2",
        ),
        (
            "SELECT n > 0, COUNT(*) FROM trips GROUP BY 1 ORDER BY 1",
            "NULL|1 / false|1 / true|3",
        ),
        (
            "SELECT LOWER(city) AS c, COUNT(*) FROM trips GROUP BY c ORDER BY c",
            "NULL|1 / ist|2 / lon|2",
        ),
        (
            "SELECT city FROM trips GROUP BY city HAVING COUNT(*) = 2",
            "LON",
        ),
        (
            "SELECT SUM(DISTINCT n), AVG(km), MIN(done), MAX(at) FROM trips WHERE id >= 4",
            "2|0|true|2024-03-31T23:59:59.999999Z",
        ),
        (
            "SELECT ANY_VALUE(country) FROM cities WHERE city = 'PAR'",
            "FR",
        ),
        (
            "SELECT city || '!', MAX(n) + 1 FROM trips WHERE city IS NOT NULL GROUP BY city || '!' ORDER BY 1",
            "IST!|8 / LON!|3 / ist!|-6",
        ),
    ]);
}

#[test]
fn windows_joins_and_subqueries() {
    check(&[
        (
            "SELECT id FROM trips QUALIFY ROW_NUMBER() OVER (PARTITION BY city ORDER BY at DESC) = 1 ORDER BY id",
            "1 / 2 / 3 / 4",
        ),
        (
            "SELECT id, RANK() OVER (ORDER BY n DESC) AS r, DENSE_RANK() OVER (ORDER BY n DESC) FROM trips WHERE n IS NOT NULL ORDER BY r, id",
            "1|1|1 / 4|2|2 / 5|2|2 / 2|4|3",
        ),
        (
            "SELECT city, COUNT(*) AS m, ROW_NUMBER() OVER (ORDER BY COUNT(*) DESC, city) AS place FROM trips GROUP BY city QUALIFY place <= 2 ORDER BY place",
            "LON|2|1 / NULL|1|2",
        ),
        (
            "SELECT t.id, c.country FROM trips t JOIN cities AS c ON t.city = c.city ORDER BY 1",
            "1|TR / 4|GB / 5|GB",
        ),
        (
            "SELECT * FROM cities LEFT JOIN (SELECT COUNT(*) AS m, city FROM trips GROUP BY city) USING (city) ORDER BY city",
            "IST|TR|1 / LON|GB|2 / PAR|FR|NULL",
        ),
        (
            "SELECT c.*, t.id FROM cities AS c LEFT OUTER JOIN trips AS t ON c.city = t.city AND t.km < 0 ORDER BY country",
            "PAR|FR|NULL / LON|GB|5 / IST|TR|NULL",
        ),
        (
            "SELECT * EXCEPT (km, n, at) FROM trips WHERE id = 4",
            "4|LON|true",
        ),
        ("SELECT COUNT(*) FROM `my-project.chat.trips`", "5"),
        (
            "SELECT COUNT(*) FROM chat.trips AS trips WHERE trips.ID > 1",
            "4",
        ),
        (
            "SELECT 1 AS x UNION ALL SELECT 2.5 UNION ALL SELECT NULL ORDER BY x DESC",
            "2.5 / 1 / NULL",
        ),
        (
            "SELECT city FROM cities UNION DISTINCT SELECT city FROM trips ORDER BY 1",
            "NULL / IST / LON / PAR / ist",
        ),
        (
            "WITH a AS (SELECT city, n FROM trips), b AS (SELECT city, SUM(n) AS s FROM a GROUP BY 1) SELECT b.city, a.n, b.s FROM a INNER JOIN b USING (city) WHERE s = 4 ORDER BY a.n",
            "LON|2|4 / LON|2|4",
        ),
        (
            "WITH trips AS (SELECT 1 AS one) SELECT one FROM (WITH trips AS (SELECT 2 AS one) SELECT one FROM trips) UNION ALL SELECT one FROM trips",
            "2 / 1",
        ),
        (
            "(SELECT id FROM trips ORDER BY id DESC LIMIT 1) UNION ALL SELECT 0 ORDER BY id",
            "0 / 5",
        ),
        (
            "SELECT x FROM (SELECT id, n * 2 AS x FROM trips) WHERE x > 5 # a comment",
            "14",
        ),
    ]);
}

#[test]
fn results_carry_names_and_types() {
    let fixture = Fixture::new();
    let columns = |sql: &str| {
        let columns = fixture.query(sql).columns;
        columns
            .iter()
            .map(|column| format!("{} {}", column.name, column.column_type))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let all = "id INT64, city STRING, km FLOAT64, n INT64, done BOOL, at TIMESTAMP";
    assert_eq!(columns("SELECT * FROM trips"), all);
    assert_eq!(
        columns("SELECT n / 2, city AS c, n > 1, NULL FROM trips"),
        "f0_ FLOAT64, c STRING, f1_ BOOL, f2_ INT64"
    );
    assert_eq!(columns("SELECT 1 AS x UNION ALL SELECT 2.5"), "x FLOAT64");
    assert_eq!(
        columns("SELECT AVG(n), SUM(n), SUM(km), MAX(done), COUNT(*) FROM trips"),
        "f0_ FLOAT64, f1_ INT64, f2_ FLOAT64, f3_ BOOL, f4_ INT64"
    );
    assert_eq!(
        columns("SELECT MIN(at) AS a, IF(done, NULL, at) AS b FROM trips GROUP BY done, at"),
        "a TIMESTAMP, b TIMESTAMP"
    );
    // A whole FLOAT64 stays a FLOAT64.
    assert_eq!(
        fixture.query("SELECT km FROM trips WHERE id = 2").rows,
        [[Value::Float64(2.0)]]
    );
    assert_eq!(
        fixture
            .query("SELECT SUM(km) * 2 FROM trips WHERE id = 2")
            .rows,
        [[Value::Float64(4.0)]]
    );
    assert_eq!(
        fixture.query("SELECT COALESCE(NULL, 1, 2.5)").rows,
        [[Value::Float64(1.0)]]
    );
}
