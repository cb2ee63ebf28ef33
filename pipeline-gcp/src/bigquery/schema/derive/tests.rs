use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
#[allow(dead_code)]
enum Stage {
    Placed,
    Delivered,
}

#[derive(Deserialize)]
#[allow(dead_code)]
struct Place {
    latitude: f64,
    names: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code)]
struct Order {
    order_id: u64,
    stage: Stage,
    at: DateTime<Utc>,
    day: Option<NaiveDate>,
    local: NaiveDateTime,
    place: Option<Place>,
    route: Vec<Place>,
    payload: bytes::Bytes,
    attributes: BTreeMap<String, String>,
    rest: serde_json::Value,
    paid: bool,
    currency: char,
}

#[test]
fn every_kind_of_field_has_its_column() {
    let schema = TableSchema::of::<Order>().unwrap();
    let signatures: Vec<_> = schema.columns.iter().map(Column::signature).collect();
    let expected = [
        "`orderId` INT64 REQUIRED",
        "`stage` STRING REQUIRED",
        "`at` TIMESTAMP REQUIRED",
        "`day` DATE NULLABLE",
        "`local` DATETIME REQUIRED",
        "`place` STRUCT NULLABLE",
        "`route` STRUCT REPEATED",
        "`payload` BYTES REQUIRED",
        "`attributes` JSON NULLABLE",
        "`rest` JSON NULLABLE",
        "`paid` BOOL REQUIRED",
        "`currency` STRING REQUIRED",
    ];
    assert_eq!(signatures, expected);
    assert_eq!(schema.columns[6].fields[1].mode, Mode::Repeated);
}

#[test]
fn what_no_column_holds_is_refused_by_its_path() {
    #[derive(Deserialize)]
    #[allow(dead_code)]
    struct Outer<T> {
        inner: T,
    }
    #[derive(Deserialize)]
    #[allow(dead_code)]
    struct Tree {
        children: Vec<Tree>,
    }
    #[derive(Deserialize)]
    #[allow(dead_code)]
    enum Data {
        Point { x: i64 },
    }
    let of = |result: Result<TableSchema, String>| result.unwrap_err();
    let list = of(TableSchema::of::<Outer<Outer<Vec<Vec<i64>>>>>());
    assert!(
        list.contains("`inner.inner`") && list.contains("lists"),
        "{list}"
    );
    let options = of(TableSchema::of::<Outer<Vec<Option<i64>>>>());
    assert!(options.contains("list of options"), "{options}");
    let tuple = of(TableSchema::of::<Outer<(i64, i64)>>());
    assert!(tuple.contains("tuple"), "{tuple}");
    let tree = of(TableSchema::of::<Tree>());
    assert!(tree.contains("contains itself"), "{tree}");
    let data = of(TableSchema::of::<Outer<Data>>());
    assert!(data.contains("variant Point has data"), "{data}");
    let bare = of(TableSchema::of::<i64>());
    assert!(bare.contains("named fields"), "{bare}");
}
