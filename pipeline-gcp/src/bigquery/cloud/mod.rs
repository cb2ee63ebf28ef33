//! BigQuery itself (feature `gcp`).
//!
//! | what | through | why |
//! |---|---|---|
//! | tables, views, queries | google-cloud-bigquery-v2 | Google's own client of the interface |
//! | rows by stream | google-cloud-bigquery | the Storage Write API, with Arrow |
//! | `insertAll`, uploads of load jobs | reqwest, with the same credentials | that client does not have them; another one would bring a second stack of authentication |
//!
//! Google's clients try nothing again here: attempts, pauses and deadlines are counted in one place (`client.rs`), the
//! same for all, and an error names the call, what the service said, and how long it was tried.

mod append;
mod arrow;
mod cell;
mod client;
mod failure;
mod insert_all;
mod load;
mod name;
mod query;
mod service;
mod streams;
mod tables;

pub use client::CloudBigQuery;
