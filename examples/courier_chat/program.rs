//! The program: warehouse, snapshots, topic, publisher, pipeline, results.

use std::fmt::Display;
use std::io::{ErrorKind, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pipeline_core::prelude::*;
use pipeline_core::runners::direct::Resumed;
use pipeline_gcp::bigquery::{BigQueryError, BigQueryErrorKind, LocalWarehouse};
use pipeline_gcp::pubsub::PubSub;

use super::feed::{self, Feed, Publisher, SUBSCRIPTION};
use super::file_source::{Behind, FileSource, OpenInput, lines};
use super::input::LineCounts;
use super::options::Options;
use super::pipeline::{Input, build};
use super::places::{may_wait, open_input, try_outputs, write_whole};
use super::position::{Position, SavedPosition, Saver};
use super::progress::Progress;
use super::report::{Report, agreement};
use super::stop::{Signal, stop_on_signal};
use super::{csv, draw, google, state, tables};

/// How the program ended, if not by an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Everything was processed, or what there was when the run was drained.
    Finished,
    /// It was stopped, by that signal, and can go on.
    Stopped(Signal),
}

/// A message for the person who runs the program.
pub type Message = String;

/// Runs the program.
///
/// # Errors
/// What went wrong, and what to do about it.
pub fn run(options: &Options) -> Result<Ending, Message> {
    options.check()?;
    if options.draw {
        print(draw::draw(options)?)?;
        return Ok(Ending::Finished);
    }
    if options.google.publish {
        print(google::publish(options)?)?;
        return Ok(Ending::Finished);
    }
    if options.drain {
        if let Some(drained) = state::drain_running(options)? {
            print(drained)?;
            return Ok(Ending::Finished);
        }
        if !options.state_dir().exists() {
            return nothing_to_drain(options);
        }
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| format!("the tokio runtime cannot start: {error}"))?;
    let services = google::connect(options)?;
    let open = if options.drain || services.subscription.is_some() {
        let nothing: OpenInput = Arc::new(|| Ok(Box::new(std::io::empty())));
        nothing
    } else {
        open_input(options)?
    };
    if services.tables.is_some() {
        // Else the warehouse makes it.
        let made = std::fs::create_dir_all(&options.warehouse);
        made.map_err(|error| format!("--warehouse {}: {error}", options.warehouse.display()))?;
    }
    try_outputs(options)?;

    let mut runner = DirectRunner::new();
    // None is as many as there are cores, as in Beam.
    if options.direct_num_workers > 0 {
        runner = runner.workers(usize::from(options.direct_num_workers));
    }
    if let Some(limit) = options.memory_limit {
        runner = runner
            .memory_limit(limit)
            .spill_folder(options.spill_folder());
    }
    let stop = runner.stop_handle();
    let progress = Progress::start();
    // Whoever has the lock of the snapshots is told to drain by a signal, so signals are listened to before.
    let stopped_by = stop_on_signal(&runtime, stop.clone(), progress.clone());
    let stopped_by = stopped_by.map_err(|error| format!("signals cannot be heard: {error}"))?;

    if !options.warehouse.exists() && options.takes_snapshots() {
        // A run that is refused for its snapshots makes no warehouse.
        state::check_elsewhere(options)?;
    }
    let warehouse = match services.tables {
        Some(tables) => tables,
        None => Arc::new(LocalWarehouse::open(&options.warehouse).map_err(not_opened)?),
    };
    let in_warehouse = |error| match &options.google.bq_dataset {
        Some(dataset) => format!("{error} (--bq_dataset {dataset})"),
        None => format!("{error} (warehouse {})", options.warehouse.display()),
    };
    let settings = options.settings();
    let prepared = runtime.block_on(tables::prepare(&*warehouse, settings.keeps_versions));
    prepared.map_err(in_warehouse)?;

    let snapshots = if options.takes_snapshots() {
        let opened = Snapshots::open(options.state_dir());
        let opened = opened.map_err(|error| format!("--state_dir: {error}"))?;
        Some(opened)
    } else {
        state::none_unfinished(options)?;
        None
    };
    forget_spilled(options)?;
    let resumed = snapshots.as_ref().and_then(Snapshots::resumed);
    if options.drain && resumed.is_none() {
        return nothing_to_drain(options);
    }
    let counts = Arc::default();
    let unfinished = resumed
        .as_ref()
        .map(|resumed| state::unfinished(resumed, options));
    let (behind, drains) = match unfinished.transpose()? {
        Some((behind, drains)) => (Some(behind), drains),
        None => (None, false),
    };
    if drains {
        stop.drain();
    }
    let taking = match services.subscription {
        Some((service, name)) => Taking::subscribed(service, name),
        None => Taking::begin(options, behind, drains, open, &counts)?,
    };
    if let Some(snapshots) = snapshots {
        let saver = Saver {
            flags: state::flags(options),
            position: Arc::clone(&taking.position),
            stop: stop.clone(),
        };
        let snapshots = snapshots
            .interval(options.snapshot_interval())
            .bytes(options.snapshot_bytes())
            .beside(state::INPUT, Arc::new(saver));
        runner = runner.snapshots(&snapshots);
    }

    let publishes = matches!(taking.from, From::Topic(_));
    let feed = runtime.block_on(Feed::create(Arc::clone(&taking.position)));
    let feed = feed.map_err(|error| error.to_string())?;
    let (input, publish) = match taking.from {
        From::Topic(publish) => {
            let service = Arc::clone(&feed) as Arc<dyn PubSub>;
            let name = SUBSCRIPTION.into();
            (Input::Subscription { service, name }, Some(publish))
        }
        From::Subscription(service, name) => (Input::Subscription { service, name }, None),
        From::File(source) => (Input::File(source), None),
    };
    let dead_letters = TextSink::dead_letters(options.dead_letter_output());
    let pipeline = build(input, &warehouse, dead_letters, &settings);
    let pipeline = pipeline.map_err(|error| error.to_string())?;
    // A run that is refused has not gone on.
    let refused = runner.check(&pipeline);
    refused.map_err(|error| error.to_string())?;
    if let Some(Resumed {
        epoch,
        keys,
        messages,
        ..
    }) = &resumed
    {
        print(format_args!(
            "resumed from snapshot {epoch}: {keys} keys, {messages} messages already taken in\n"
        ))?;
    }

    let shown = progress.clone();
    runner = runner.report(Duration::from_millis(200), move |counts| shown.show(counts));
    let publisher = match publish {
        Some(Some(input)) => {
            let interval = options.publish_interval;
            Some(Publisher::start(Arc::clone(&feed), input, interval)?)
        }
        Some(None) => {
            feed.close()?;
            None
        }
        None => None,
    };
    let ran = runner.run(&pipeline);
    progress.conclude();
    let published = publisher.map_or(Ok(()), Publisher::outcome);
    let ran = match ran {
        // What a run that is drained does not read may be as it likes.
        Ok(result) if stop.is_draining() => Ok(result),
        // If publishing failed, the run did for that reason.
        ran => published.and_then(|()| ran.map_err(|error| error.to_string())),
    };
    let result = ran.map_err(|error| format!("{error}\n{}", how_to_go_on(options)))?;

    let rows = if options.reads_tables() {
        let rows = runtime.block_on(tables::final_rows(&*warehouse, settings.keeps_versions));
        let rows = rows.map_err(in_warehouse)?;
        let mut file = Vec::new();
        csv::write_rows(&mut file, rows.iter().cloned()).map_err(|error| error.to_string())?;
        write_whole(&options.output(), &file)?;
        rows
    } else {
        Vec::new()
    };
    let ending = match result.end() {
        End::Finished => Ending::Finished,
        End::Stopped { .. } | End::Suspended { .. } => {
            Ending::Stopped(stopped_by.signal().unwrap_or(Signal::CtrlC))
        }
    };
    // With visits open the two cannot agree, and whoever stops a run does not want to wait.
    let agreement = if ending == Ending::Finished && options.reads_tables() {
        let agreement = agreement(&*warehouse, settings.keeps_versions);
        let agreement = runtime.block_on(agreement);
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
        topic: publishes.then(|| feed.counters()).transpose()?,
        drained: stop.is_draining(),
        agreement,
    })?;
    Ok(ending)
}

/// What a run takes in.
struct Taking {
    position: Arc<Position>,
    from: From,
}

enum From {
    /// What is published, if anything is.
    Topic(Option<feed::Input>),
    /// A subscription that others publish to.
    Subscription(Arc<dyn PubSub>, String),
    File(FileSource),
}

impl Taking {
    /// Takes what a subscription delivers: it knows itself what has been acknowledged.
    fn subscribed(service: Arc<dyn PubSub>, name: String) -> Self {
        Taking {
            position: Arc::new(Position::at(SavedPosition::default())),
            from: From::Subscription(service, name),
        }
    }

    /// Begins at the beginning of the input, or behind what is in the snapshot.
    fn begin(
        options: &Options,
        behind: Option<Behind>,
        drains: bool,
        open: OpenInput,
        counts: &Arc<Mutex<LineCounts>>,
    ) -> Result<Self, Message> {
        let begun = behind.as_ref().map(|behind| behind.position.clone());
        let begun = begun.unwrap_or_default();
        *counts.lock().unwrap_or_else(PoisonError::into_inner) = begun.counts;
        // Nothing more is to be read, or nothing was left, and it cannot be read again.
        let is_over = drains || begun.ended && may_wait(options);
        let position = Arc::new(Position::at(begun));
        let counts = Arc::clone(counts);
        let from = if !options.streaming {
            let source = FileSource::new(open, counts, may_wait(options));
            From::File(source.following(Arc::clone(&position), behind))
        } else if is_over {
            From::Topic(None)
        } else if let Some(behind) = behind {
            let input = open().map_err(|error| format!("--input {}: {error}", behind.input))?;
            let mut lines = lines(input).telling(counts);
            (behind.position).skip(&mut lines, &behind.input, behind.epoch)?;
            From::Topic(Some(feed::Input::Rest(lines)))
        } else {
            From::Topic(Some(feed::Input::Whole(open, counts)))
        };
        Ok(Taking { position, from })
    }
}

/// Says what to do about a run that has failed.
fn how_to_go_on(options: &Options) -> Message {
    let warehouse = options.warehouse.display();
    let (state, input) = (options.state_dir(), options.input_name());
    let state = state.display();
    if options.takes_snapshots() && may_wait(options) {
        format!(
            "Start again with --drain once the cause is gone, to end with what is in the last snapshot in {state}, if \
             there is one: {input} cannot be read again. What is in {warehouse} already is not written twice."
        )
    } else if options.takes_snapshots() {
        format!(
            "Start again with the same flags once the cause is gone: the run goes on from its last snapshot in {state}, \
             if there is one, and what is in {warehouse} already is not written twice."
        )
    } else {
        format!(
            "What was written before stays in {warehouse}. Start again with the same input once the cause is gone: what \
             is there already is not written twice."
        )
    }
}

/// Removes what a job that was killed had beyond its limit of memory: it is in the snapshot, if there is one.
fn forget_spilled(options: &Options) -> Result<(), Message> {
    let folder = options.spill_folder();
    match std::fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(format!(
            "{}: what an earlier run has left there cannot be removed: {error}",
            folder.display()
        )),
        _ => Ok(()),
    }
}

fn nothing_to_drain(options: &Options) -> Result<Ending, Message> {
    print(format_args!(
        "nothing to drain: no job has {}, and none has been left there unfinished\n",
        options.state_dir().display()
    ))?;
    Ok(Ending::Finished)
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
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(format!("standard output: {error}"))
        }
        _ => Ok(()),
    }
}
