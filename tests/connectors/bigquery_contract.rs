//! The contract of tables, on the embedded warehouse.

use std::sync::Arc;

use pipeline_gcp::bigquery::LocalWarehouse;

use super::table_contract::all;
use super::table_place::Place;

#[test]
fn the_embedded_warehouse_keeps_the_contract() {
    let dir = tempfile::tempdir().unwrap();
    let warehouse = LocalWarehouse::open(dir.path()).unwrap();
    all(&Place::new(Arc::new(warehouse), true, ""));
}
