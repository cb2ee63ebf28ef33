//! BigQuery: one contract on the embedded warehouse, the emulator and the server that fails by script.

mod contract;
mod emulator;
mod failures;
#[path = "../../connectors/table_contract.rs"]
mod table_contract;
