//! Two small tables, and answers as text.

use pipeline_gcp::bigquery::{
    BigQuery, Column, ColumnType, LocalWarehouse, QueryResult, Row, TableSchema, Value, timestamp,
};
use pollster::block_on;

/// id, city, km, n, done, at.
type Trip = (
    i64,
    Option<&'static str>,
    Option<f64>,
    Option<i64>,
    Option<bool>,
    Option<&'static str>,
);
const TRIPS: [Trip; 5] = [
    (
        1,
        Some("IST"),
        Some(1.5),
        Some(7),
        Some(true),
        Some("2024-02-01T10:00:00.25Z"),
    ),
    (
        2,
        Some("ist"),
        Some(2.0),
        Some(-7),
        Some(false),
        Some("2024-02-01T10:00:59.75Z"),
    ),
    (3, None, None, None, None, None),
    (
        4,
        Some("LON"),
        Some(2.5),
        Some(2),
        Some(true),
        Some("2024-03-31T23:59:59.999999Z"),
    ),
    (
        5,
        Some("LON"),
        Some(-2.5),
        Some(2),
        None,
        Some("1969-12-31T23:59:59.5Z"),
    ),
];
const CITIES: [(&str, &str); 3] = [("IST", "TR"), ("LON", "GB"), ("PAR", "FR")];

pub struct Fixture {
    pub warehouse: LocalWarehouse,
    _dir: tempfile::TempDir,
}

impl Fixture {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let warehouse = LocalWarehouse::open(dir.path()).unwrap();
        let trips = TableSchema::new([
            Column::required("id", ColumnType::Int64),
            Column::nullable("city", ColumnType::String),
            Column::nullable("km", ColumnType::Float64),
            Column::nullable("n", ColumnType::Int64),
            Column::nullable("done", ColumnType::Bool),
            Column::nullable("at", ColumnType::Timestamp),
        ]);
        let cities = TableSchema::new([
            Column::required("city", ColumnType::String),
            Column::required("country", ColumnType::String),
        ]);
        let trip = |(id, city, km, n, done, at): Trip| {
            let at = at.map_or(Value::Null, |at| {
                Value::Timestamp(timestamp::parse(at).unwrap())
            });
            Row::new(vec![
                id.into(),
                city.into(),
                km.into(),
                n.into(),
                done.into(),
                at,
            ])
        };
        let city = |(city, country): (&str, &str)| Row::new(vec![city.into(), country.into()]);
        block_on(async {
            warehouse
                .create_table_if_needed("trips", &trips)
                .await
                .unwrap();
            warehouse
                .create_table_if_needed("cities", &cities)
                .await
                .unwrap();
            warehouse
                .append_rows("trips", TRIPS.map(trip).into())
                .await
                .unwrap();
            warehouse
                .append_rows("cities", CITIES.map(city).into())
                .await
                .unwrap();
        });
        Self {
            warehouse,
            _dir: dir,
        }
    }

    pub fn query(&self, sql: &str) -> QueryResult {
        block_on(self.warehouse.query(sql)).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// Writes a result as `a|b / c|d`, with the word NULL.
    pub fn answer(&self, sql: &str) -> String {
        let text = |value: &Value| {
            if *value == Value::Null {
                "NULL".to_owned()
            } else {
                value.to_string()
            }
        };
        let row = |row: &Vec<Value>| row.iter().map(text).collect::<Vec<_>>().join("|");
        self.query(sql)
            .rows
            .iter()
            .map(row)
            .collect::<Vec<_>>()
            .join(" / ")
    }
}

pub fn check(cases: &[(&str, &str)]) {
    let fixture = Fixture::new();
    for (sql, expected) in cases {
        assert_eq!(fixture.answer(sql), *expected, "{sql}");
    }
}
