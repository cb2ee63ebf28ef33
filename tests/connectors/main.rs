//! The connectors and their stand-ins.

mod bigquery_contract;
mod bigquery_nested;
mod bigquery_view;
mod bigquery_warehouse;
mod csv_sink;
mod epoch_numbers;
mod epochs;
mod googlesql;
mod ndjson;
mod pubsub_ids;
mod pubsub_resume;
mod pubsub_source;
mod redelivery_damage;
mod storage;
mod table_contract;
mod table_epochs;
mod table_place;
mod text_epochs;
mod text_files;
mod text_resume;
mod text_sink;
mod text_sink_failures;
mod text_source;
mod text_stdin;
