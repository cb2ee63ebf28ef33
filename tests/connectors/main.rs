//! The connectors and their stand-ins.

mod bigquery_view;
mod bigquery_warehouse;
mod googlesql;
