//! Nested and other columns in the embedded warehouse: kept whole, passed through, and nothing else.

use pipeline_gcp::bigquery::{BigQuery, LocalWarehouse, Row, TableSchema};
use pollster::block_on;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Stop {
    name: String,
    at: chrono::DateTime<chrono::Utc>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Trip {
    id: i64,
    day: chrono::NaiveDate,
    start: chrono::NaiveDateTime,
    price: String,
    first: Option<Stop>,
    stops: Vec<Stop>,
    tags: Vec<String>,
    extra: serde_json::Value,
}

fn schema() -> TableSchema {
    TableSchema::of::<Trip>()
        .unwrap()
        .column_as("price", pipeline_gcp::bigquery::ColumnType::Numeric)
}

fn trip(id: i64) -> Trip {
    let stop = |name: &str| Stop {
        name: name.to_owned(),
        at: "2024-02-01T10:00:56.123456Z".parse().unwrap(),
    };
    Trip {
        id,
        day: "2024-02-29".parse().unwrap(),
        start: "2024-02-29T23:59:59.5".parse().unwrap(),
        price: "-12.345".into(),
        first: (id > 0).then(|| stop("a")),
        stops: (0..id).map(|_| stop("b")).collect(),
        tags: vec!["x\"y".into(); 2],
        extra: serde_json::json!({"k": [1, null, "ü"]}),
    }
}

#[test]
fn a_struct_comes_back_as_it_went_in() {
    let dir = tempfile::tempdir().unwrap();
    let warehouse = LocalWarehouse::open(dir.path()).unwrap();
    block_on(warehouse.create_table_if_needed("trips", &schema())).unwrap();
    let trips: Vec<Trip> = (0..3).map(trip).collect();
    let rows = trips
        .iter()
        .map(|t| Row::from_serialize(t, &schema()).unwrap());
    let outcome = block_on(warehouse.append_rows("trips", rows.collect())).unwrap();
    assert_eq!((outcome.inserted, outcome.errors), (3, vec![]));
    let sql = "SELECT t.* FROM (SELECT *, id + 1 AS next FROM trips) AS t ORDER BY id";
    let sql = sql.replace("t.*", "* EXCEPT (next)");
    let result = block_on(warehouse.query(&sql)).unwrap();
    assert_eq!(result.rows_as::<Trip>().unwrap(), trips);
    // The definition of the table outlives the process.
    drop(warehouse);
    let warehouse = LocalWarehouse::open(dir.path()).unwrap();
    block_on(warehouse.create_table_if_needed("trips", &schema())).unwrap();
    let other = schema().column_as("day", pipeline_gcp::bigquery::ColumnType::String);
    let error = block_on(warehouse.create_table_if_needed("trips", &other)).unwrap_err();
    assert!(error.to_string().contains("`day` DATE REQUIRED"), "{error}");
}

#[test]
fn what_only_passes_through_is_refused_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let warehouse = LocalWarehouse::open(dir.path()).unwrap();
    block_on(warehouse.create_table_if_needed("trips", &schema())).unwrap();
    for sql in [
        "SELECT id FROM trips WHERE price = price",
        "SELECT id FROM trips ORDER BY price",
        "SELECT price FROM trips ORDER BY 1",
        "SELECT price FROM trips ORDER BY price",
        "SELECT price FROM trips UNION ALL SELECT price FROM trips ORDER BY price",
        "SELECT DISTINCT stops FROM trips",
        "SELECT stops FROM trips UNION DISTINCT SELECT stops FROM trips",
        "SELECT extra, COUNT(*) FROM trips GROUP BY extra",
        "SELECT extra, COUNT(*) FROM trips GROUP BY 1",
        "SELECT MAX(price) FROM trips",
        "SELECT price + 1 FROM trips",
        "SELECT COALESCE(day, day) FROM trips",
        "SELECT CAST(day AS STRING) FROM trips",
        "SELECT (price) FROM trips",
        "SELECT a.id FROM trips AS a JOIN trips AS b USING (price)",
        "SELECT ROW_NUMBER() OVER (PARTITION BY price ORDER BY id) FROM trips",
    ] {
        let error = block_on(warehouse.query(sql)).expect_err(sql).to_string();
        assert!(error.contains("only passes through"), "{sql}: {error}");
    }
    for sql in [
        "SELECT t.price AS p, stops FROM trips AS t WHERE id > 1",
        "SELECT price FROM trips UNION ALL SELECT price FROM trips",
    ] {
        block_on(warehouse.query(sql)).unwrap();
    }
}
