//! The pipeline as a flow chart, made without anything that it would read or write.

use std::sync::Arc;

use async_trait::async_trait;
use pipeline_core::prelude::*;
use pipeline_gcp::bigquery::{
    AppendOutcome, BigQuery, BigQueryError, BigQueryErrorKind, QueryResult, Row, TableSchema,
    UpsertOutcome,
};
use pipeline_gcp::pubsub::LocalPubSub;

use super::feed::SUBSCRIPTION;
use super::file_source::{FileSource, OpenInput};
use super::options::Options;
use super::pipeline::{Input, build};
use super::program::Message;

/// Draws the pipeline that the flags ask for, in Mermaid.
///
/// # Errors
/// The pipeline is not well formed: a defect of this program.
pub fn draw(options: &Options) -> Result<String, Message> {
    let input = if options.streaming {
        Input::Subscription {
            service: Arc::new(LocalPubSub::new()),
            name: SUBSCRIPTION.into(),
        }
    } else {
        let open: OpenInput = Arc::new(|| Ok(Box::new(std::io::empty())));
        Input::File(FileSource::new(open, Arc::default(), false))
    };
    let warehouse: Arc<dyn BigQuery> = Arc::new(NoWarehouse);
    let dead_letters = TextSink::dead_letters(options.dead_letter_output());
    let pipeline = build(input, &warehouse, dead_letters, &options.settings());
    let pipeline = pipeline.map_err(|error| error.to_string())?;
    Ok(pipeline.to_mermaid())
}

/// Stands where a warehouse would: to draw a pipeline must not create one. Nothing calls it.
struct NoWarehouse;

fn refused<T>() -> Result<T, BigQueryError> {
    let dir = std::path::PathBuf::new();
    let reason = "the pipeline is only drawn".to_owned();
    Err(BigQueryErrorKind::NotAWarehouse { dir, reason }.into())
}

#[async_trait]
impl BigQuery for NoWarehouse {
    async fn create_table_if_needed(&self, _: &str, _: &TableSchema) -> Result<(), BigQueryError> {
        refused()
    }

    async fn append_rows(&self, _: &str, _: Vec<Row>) -> Result<AppendOutcome, BigQueryError> {
        refused()
    }

    async fn upsert_rows(&self, _: &str, _: Vec<Row>) -> Result<UpsertOutcome, BigQueryError> {
        refused()
    }

    async fn create_view(&self, _: &str) -> Result<(), BigQueryError> {
        refused()
    }

    async fn query(&self, _: &str) -> Result<QueryResult, BigQueryError> {
        refused()
    }
}
