//! The contract, place by place.

use std::sync::Arc;

use pipeline_gcp::bigquery::LocalWarehouse;

use super::emulator;
use super::table_contract::all;
use super::table_place::Place;
use crate::faults::bigquery::BigQueryServer;

#[test]
fn the_embedded_warehouse_keeps_the_contract() {
    let dir = tempfile::tempdir().unwrap();
    let warehouse = LocalWarehouse::open(dir.path()).unwrap();
    all(&Place::new(Arc::new(warehouse), true, ""));
}

#[test]
fn the_emulator_keeps_the_contract() {
    let Some(emulator) = emulator::shared() else {
        return;
    };
    all(&emulator.place("contract_"));
}

#[test]
fn the_server_by_script_keeps_the_contract() {
    let server = BigQueryServer::start();
    all(&Place::new(Arc::new(server.client()), false, ""));
}
