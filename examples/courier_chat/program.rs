//! The program: topic, publisher, pipeline, results.

use std::fs::File;
use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use pipeline_core::files::{AtomicFile, Compression};
use pipeline_core::prelude::*;
use pipeline_core::runners::direct::StopHandle;
use pipeline_gcp::bigquery::{BigQuery, LocalWarehouse};
use pipeline_gcp::pubsub::{LocalPubSub, PubSub};

use super::csv;
use super::file_source::{OpenInput, lines};
use super::generated::Generated;
use super::input::LineCounts;
use super::options::Options;
use super::pipeline::{Input, Settings, build};
use super::progress::Progress;
use super::publisher::publish_lines;
use super::report::Report;
use super::tables;

/// The topic, and the subscription that the pipeline reads.
const TOPIC: &str = "topic-conversations-3";
const SUBSCRIPTION: &str = "topic-conversations-3-sub";

/// How the program ended, if not by an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Everything was processed.
    Finished,
    /// It was stopped.
    Stopped,
}

/// A message for the person who runs the program.
pub type Message = String;

/// Runs the program.
///
/// # Errors
/// What went wrong, and what to do about it.
pub fn run(options: &Options) -> Result<Ending, Message> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| format!("the tokio runtime cannot start: {error}"))?;
    let open = open_input(options)?;
    let warehouse = LocalWarehouse::open(&options.warehouse).map_err(|e| e.to_string())?;
    let warehouse: Arc<dyn BigQuery> = Arc::new(warehouse);
    let counts: Arc<Mutex<LineCounts>> = Arc::default();
    let service = Arc::new(LocalPubSub::new());
    let input = if options.streaming {
        Input::Subscription {
            service: Arc::clone(&service) as Arc<dyn PubSub>,
            name: SUBSCRIPTION.into(),
        }
    } else {
        Input::File {
            open: Arc::clone(&open),
            counts: Arc::clone(&counts),
            may_wait: options.input == "-",
        }
    };
    let settings = Settings {
        max_disorder: options.max_disorder,
        allowed_lateness: options.allowed_lateness,
        ..Settings::default()
    };
    let dead_letters = TextSink::dead_letters(options.dead_letter_output());
    let pipeline = build(input, &warehouse, dead_letters, &settings).map_err(|e| e.to_string())?;
    if options.draw {
        print!("{}", pipeline.to_mermaid());
        return Ok(Ending::Finished);
    }
    runtime.block_on(prepare(&*warehouse))?;

    let mut runner = DirectRunner::new();
    if let Some(workers) = options.direct_num_workers {
        runner = runner.workers(usize::from(workers));
    }
    let progress = Progress::start();
    let shown = progress.clone();
    runner = runner.report(Duration::from_millis(200), move |counts| shown.show(counts));
    stop_on_ctrl_c(&runtime, runner.stop_handle());
    let publisher = if options.streaming {
        runtime
            .block_on(subscribe(&*service))
            .map_err(|error| error.to_string())?;
        Some(Publisher::start(
            options,
            open,
            service,
            &counts,
            runner.stop_handle(),
        )?)
    } else {
        None
    };
    let ran = runner.run(&pipeline);
    progress.end();
    if let Some(publisher) = publisher {
        publisher.outcome()?;
    }
    let result = ran.map_err(|error| {
        format!(
            "{error}\nWhat was written before stays in {}. Start again with the same input once the cause is gone: \
             what is there already is not written twice.",
            options.warehouse.display()
        )
    })?;

    let rows = runtime.block_on(tables::final_rows(&*warehouse))?;
    let mut file = Vec::new();
    csv::write_rows(&mut file, rows.iter().cloned()).map_err(|error| error.to_string())?;
    write_whole(&options.output(), &file)?;
    let counts = *counts.lock().unwrap_or_else(PoisonError::into_inner);
    let report = Report {
        options,
        result: &result,
        rows: &rows,
        counts,
        agreement: runtime.block_on(super::report::agreement(&*warehouse))?,
    };
    print!("{report}");
    Ok(match result.end() {
        End::Finished => Ending::Finished,
        End::Stopped { .. } => Ending::Stopped,
    })
}

/// Returns what opens the input, having tried it.
fn open_input(options: &Options) -> Result<OpenInput, Message> {
    if let Some((seed, conversations)) = options.generated() {
        return Ok(Arc::new(move || {
            Ok(Box::new(Generated::new(seed, conversations)) as Box<dyn Read + Send>)
        }));
    }
    let path = options.input.clone();
    if path == "-" {
        return Ok(Arc::new(|| Ok(Box::new(std::io::stdin()))));
    }
    let refused =
        |error| format!("--input {path}: {error}; name an NDJSON file, or - for standard input");
    let opened = File::open(&path).map_err(refused)?;
    if opened.metadata().map_err(refused)?.is_dir() {
        return Err(format!("--input {path}: is a folder; name an NDJSON file"));
    }
    Ok(Arc::new(move || Ok(Box::new(File::open(&path)?))))
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

async fn subscribe(service: &dyn PubSub) -> Result<(), pipeline_gcp::pubsub::PubSubError> {
    service.create_topic(TOPIC).await?;
    service.create_subscription(SUBSCRIPTION, TOPIC).await
}

/// Stops the run at the first Ctrl-C, and the program at the second.
fn stop_on_ctrl_c(runtime: &tokio::runtime::Runtime, stop: StopHandle) {
    runtime.spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            eprintln!("stopping; press Ctrl-C again to quit at once");
            stop.stop();
        }
        if tokio::signal::ctrl_c().await.is_ok() {
            std::process::exit(130);
        }
    });
}

/// Publishes the input on a thread of its own, since reading it may wait.
struct Publisher {
    thread: JoinHandle<Result<(), Message>>,
    ended: Arc<AtomicBool>,
}

impl Publisher {
    fn start(
        options: &Options,
        open: OpenInput,
        service: Arc<LocalPubSub>,
        counts: &Arc<Mutex<LineCounts>>,
        stop: StopHandle,
    ) -> Result<Self, Message> {
        let interval = options.publish_interval;
        let counts = Arc::clone(counts);
        let ended = Arc::new(AtomicBool::new(false));
        let done = Arc::clone(&ended);
        let publish = move || {
            let published = publish(&open, &service, interval, &counts);
            done.store(true, Ordering::SeqCst);
            if published.is_err() {
                // The topic stays open, so that what was published does not pass for the whole input.
                stop.stop();
            }
            published
        };
        let thread = std::thread::Builder::new().name("publisher".into());
        let thread = thread.spawn(publish);
        let thread = thread.map_err(|error| format!("the publisher cannot start: {error}"))?;
        Ok(Publisher { thread, ended })
    }

    /// Returns what became of publishing; of a publisher that still waits for its input, nothing.
    fn outcome(self) -> Result<(), Message> {
        if !self.ended.load(Ordering::SeqCst) {
            return Ok(());
        }
        let ended = self.thread.join();
        ended.unwrap_or_else(|_| Err("the publisher panicked".to_owned()))
    }
}

fn publish(
    open: &OpenInput,
    service: &LocalPubSub,
    interval: Duration,
    counts: &Mutex<LineCounts>,
) -> Result<(), Message> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| format!("the publisher cannot start: {error}"))?;
    let input = open().map_err(|error| format!("the input cannot be opened: {error}"))?;
    let published = runtime.block_on(publish_lines(lines(input), service, TOPIC, interval));
    let published = published.map_err(|error| error.to_string())?;
    *counts.lock().unwrap_or_else(PoisonError::into_inner) = published;
    service.close(TOPIC).map_err(|error| error.to_string())
}

/// Writes a file that is there whole or not at all.
fn write_whole(path: &std::path::Path, content: &[u8]) -> Result<(), Message> {
    let write = || {
        let mut file = AtomicFile::create(path, Compression::Uncompressed)?;
        file.write(content)?;
        file.commit()
    };
    write().map_err(|error| error.to_string())
}
