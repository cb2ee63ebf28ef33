//! BigQuery: one contract on the embedded warehouse, the emulator and the server that fails by script.

mod contract;
mod courier_chat;
mod emulator;
mod failures;
mod resume;
#[path = "../../connectors/table_contract.rs"]
mod table_contract;
#[path = "../../connectors/table_place.rs"]
mod table_place;
mod throughput;
