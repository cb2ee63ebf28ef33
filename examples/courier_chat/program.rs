//! The program: topic, publisher, pipeline, results.

use std::fmt::Display;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pipeline_core::prelude::*;
use pipeline_gcp::bigquery::{BigQuery, BigQueryError, BigQueryErrorKind, LocalWarehouse};
use pipeline_gcp::pubsub::PubSub;

use super::feed::{Feed, Publisher, SUBSCRIPTION};
use super::input::LineCounts;
use super::options::Options;
use super::pipeline::{Input, build};
use super::places::{may_wait, open_input, try_outputs, write_whole};
use super::progress::Progress;
use super::report::{Report, agreement};
use super::stop::{Signal, stop_on_signal};
use super::{csv, draw, tables};

/// How the program ended, if not by an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Everything was processed.
    Finished,
    /// It was stopped, by that signal.
    Stopped(Signal),
}

/// A message for the person who runs the program.
pub type Message = String;

/// Runs the program.
///
/// # Errors
/// What went wrong, and what to do about it.
pub fn run(options: &Options) -> Result<Ending, Message> {
    if options.draw {
        print(draw::draw(options)?)?;
        return Ok(Ending::Finished);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| format!("the tokio runtime cannot start: {error}"))?;
    let open = open_input(options)?;
    try_outputs(options)?;
    let warehouse = LocalWarehouse::open(&options.warehouse).map_err(not_opened)?;
    let warehouse: Arc<dyn BigQuery> = Arc::new(warehouse);
    let in_warehouse = |error| format!("{error} (warehouse {})", options.warehouse.display());
    let prepared = runtime.block_on(prepare(&*warehouse));
    prepared.map_err(in_warehouse)?;

    let counts: Arc<Mutex<LineCounts>> = Arc::default();
    let feed = runtime.block_on(Feed::create());
    let feed = feed.map_err(|error| error.to_string())?;
    let input = if options.streaming {
        Input::Subscription {
            service: Arc::clone(&feed) as Arc<dyn PubSub>,
            name: SUBSCRIPTION.into(),
        }
    } else {
        Input::File {
            open: Arc::clone(&open),
            counts: Arc::clone(&counts),
            may_wait: may_wait(options),
        }
    };
    let dead_letters = TextSink::dead_letters(options.dead_letter_output());
    let pipeline = build(input, &warehouse, dead_letters, &options.settings());
    let pipeline = pipeline.map_err(|error| error.to_string())?;

    let mut runner = DirectRunner::new();
    // None is as many as there are cores, as in Beam.
    if options.direct_num_workers > 0 {
        runner = runner.workers(usize::from(options.direct_num_workers));
    }
    let progress = Progress::start();
    let stopped_by = stop_on_signal(&runtime, runner.stop_handle(), progress.clone());
    let stopped_by = stopped_by.map_err(|error| format!("signals cannot be heard: {error}"))?;
    let shown = progress.clone();
    runner = runner.report(Duration::from_millis(200), move |counts| shown.show(counts));
    let publisher = if options.streaming {
        let counts = Arc::clone(&counts);
        Some(Publisher::start(
            feed,
            open,
            options.publish_interval,
            counts,
        )?)
    } else {
        None
    };
    let ran = runner.run(&pipeline);
    progress.conclude();
    // If publishing failed, the run did for that reason.
    let published = publisher.map_or(Ok(()), Publisher::outcome);
    let ran = published.and_then(|()| ran.map_err(|error| error.to_string()));
    let result = ran.map_err(|error| {
        format!(
            "{error}\nWhat was written before stays in {}. Start again with the same input once the cause is gone: \
             what is there already is not written twice.",
            options.warehouse.display()
        )
    })?;

    let rows = runtime.block_on(tables::final_rows(&*warehouse));
    let rows = rows.map_err(in_warehouse)?;
    let mut file = Vec::new();
    csv::write_rows(&mut file, rows.iter().cloned()).map_err(|error| error.to_string())?;
    write_whole(&options.output(), &file)?;
    let ending = match result.end() {
        End::Finished => Ending::Finished,
        End::Stopped { .. } | End::Suspended { .. } => {
            Ending::Stopped(stopped_by.signal().unwrap_or(Signal::CtrlC))
        }
    };
    // With visits open the two cannot agree, and whoever stops a run does not want to wait.
    let agreement = if ending == Ending::Finished {
        let agreement = runtime.block_on(agreement(&*warehouse));
        Some(agreement.map_err(in_warehouse)?)
    } else {
        None
    };
    progress.end();
    let counts = *counts.lock().unwrap_or_else(PoisonError::into_inner);
    print(Report {
        options,
        result: &result,
        rows: &rows,
        counts,
        agreement,
    })?;
    Ok(ending)
}

/// Says why the warehouse was not opened, with what helps a person who has flags and no program.
fn not_opened(error: BigQueryError) -> Message {
    match error.kind() {
        BigQueryErrorKind::AlreadyOpen { dir, holder } => format!(
            "--warehouse {}: is being written by another process{holder}; wait for its end, stop it, or name another \
             folder",
            dir.display()
        ),
        _ => error.to_string(),
    }
}

/// Prints to standard output. A reader that has gone (`| head`) has seen enough: no reason to fail.
fn print(text: impl Display) -> Result<(), Message> {
    let mut out = std::io::stdout().lock();
    match write!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(format!("standard output: {error}"))
        }
        _ => Ok(()),
    }
}

/// Creates what is not there: a table of another schema is found out before anything is read.
async fn prepare(warehouse: &dyn BigQuery) -> Result<(), Message> {
    let tables = [
        (tables::CONVERSATIONS, tables::conversations_schema()),
        (tables::ORDERS, tables::orders_schema()),
        (tables::FINAL, tables::final_schema()),
    ];
    for (table, schema) in tables {
        let created = warehouse.create_table_if_needed(table, &schema).await;
        created.map_err(|error| error.to_string())?;
    }
    let created = warehouse.create_view(tables::VIEW_SQL).await;
    created.map_err(|error| error.to_string())
}
