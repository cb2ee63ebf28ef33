//! What snapshots cost the streaming chat itself: `courier_chat`'s publisher, topic, pipeline and
//! warehouse, its ids remembered, offered so many lines a second.
//!
//! Each row is a process of its own. Lines that the pipeline does not keep up with wait in the
//! topic's backlog of 64 MiB, and then the publisher waits: what is kept is the lines over the time
//! until the last was taken in.

use std::error::Error;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use pipeline_core::prelude::*;
use pipeline_core::runners::direct::Snapshots;
use pipeline_examples::courier_chat::Generator;
use pipeline_examples::courier_chat::feed::{Feed, Input as Published, Publisher, SUBSCRIPTION};
use pipeline_examples::courier_chat::file_source::OpenInput;
use pipeline_examples::courier_chat::pipeline::{Input, Settings, build};
use pipeline_examples::courier_chat::position::{Position, SavedPosition, Saver};
use pipeline_examples::courier_chat::{state, tables};
use pipeline_gcp::bigquery::{BigQuery, LocalWarehouse};
use pipeline_gcp::pubsub::PubSub;

use crate::measure::{peak_kib, timed};

type Failed = Box<dyn Error>;

/// How long each row publishes, in seconds.
const SECONDS: u64 = 60;

/// The intervals of the rows, in milliseconds; 0: no snapshots.
const EVERY: [u64; 4] = [0, 10_000, 1_000, 250];

fn path(folder: &Path) -> PathBuf {
    folder.join("courier.ndjson")
}

/// Writes the lines, unless so many are there.
fn prepare(folder: &Path, lines: u64) -> Result<(), Failed> {
    let (path, marker) = (path(folder), folder.join(format!("courier.{lines}")));
    if marker.exists() {
        return Ok(());
    }
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    // A conversation has three lines at least.
    let conversations = u32::try_from(lines)? / 3 + 1;
    for line in Generator::new(7, conversations).take(lines as usize) {
        writeln!(out, "{line}")?;
    }
    out.into_inner().map_err(|e| e.into_error())?;
    File::create(marker)?;
    Ok(())
}

/// Runs one row in this process; returns its line of the table.
pub fn row(folder: &Path, lines: u64, per_second: u64, every: u64) -> Result<String, Failed> {
    let place = tempfile::tempdir()?;
    let place = place.path();
    let position = Arc::new(Position::at(SavedPosition::default()));
    let mut runner = DirectRunner::new();
    let stop = runner.stop_handle();
    if every > 0 {
        let saver = Saver {
            flags: Vec::new(),
            position: Arc::clone(&position),
            stop,
        };
        let snapshots = Snapshots::open(place.join("state"))?;
        let snapshots = snapshots
            .interval(Duration::from_millis(every))
            .beside(state::INPUT, Arc::new(saver));
        runner = runner.snapshots(&snapshots);
    }
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build()?;
    let warehouse: Arc<dyn BigQuery> = Arc::new(LocalWarehouse::open(place.join("warehouse"))?);
    runtime.block_on(tables::prepare(&*warehouse, false))?;
    let feed = runtime.block_on(Feed::create(position))?;
    let input = Input::Subscription {
        service: Arc::clone(&feed) as Arc<dyn PubSub>,
        name: SUBSCRIPTION.into(),
    };
    let dead_letters = TextSink::dead_letters(place.join("dead_letters.ndjson"));
    let pipeline = build(input, &warehouse, dead_letters, &Settings::default())?;
    let file = path(folder);
    let open: OpenInput = Arc::new(move || Ok(Box::new(File::open(&file)?)));
    let began = Instant::now();
    let taken_in = Arc::new(Mutex::new(None));
    let told = Arc::clone(&taken_in);
    runner = runner.report(Duration::from_millis(50), move |counts| {
        if counts.get("ReadSubscription", "out") >= lines {
            told.lock().unwrap().get_or_insert(began.elapsed());
        }
    });
    let (result, cost) = timed(|| {
        let interval = Duration::from_secs(1) / u32::try_from(per_second)?;
        let publisher = Publisher::start(
            Arc::clone(&feed),
            Published::Whole(open, Arc::default()),
            interval,
        )?;
        let result = runner.run(&pipeline)?;
        publisher.outcome()?;
        Ok::<_, Failed>(result)
    })?;
    let counted = result.metrics().get("ReadSubscription", "out");
    if counted != lines {
        return Err(format!("{counted} lines were taken in, not {lines}").into());
    }
    let taken_in = taken_in.lock().unwrap().unwrap_or(cost.wall);
    let snapshots = result.snapshots().unwrap_or_default();
    let taken = snapshots.taken.max(1) as u32;
    let interval = match every {
        0 => "none".to_owned(),
        every => format!("every {:?}", Duration::from_millis(every)),
    };
    Ok(format!(
        "{interval:<16} {per_second:>10} {:>10.0} {:>8.1} {:>8.1} {:>8} {:>10.1} {:>10.1} {:>10.2} {:>8}",
        lines as f64 / taken_in.as_secs_f64(),
        cost.wall.as_secs_f64(),
        cost.cpu.as_secs_f64(),
        snapshots.taken,
        (snapshots.paused / taken).as_secs_f64() * 1e3,
        snapshots.longest_pause.as_secs_f64() * 1e3,
        snapshots.last_bytes as f64 / 1e6,
        peak_kib()? >> 10,
    ))
}

/// Prints a table.
pub fn run(folder: &Path, per_second: u64, small: bool) -> Result<(), Failed> {
    let lines = per_second * if small { 1 } else { SECONDS };
    prepare(folder, lines)?;
    println!("courier_chat, {lines} lines published into the warehouse");
    println!(
        "{:<16} {:>10} {:>10} {:>8} {:>8} {:>8} {:>10} {:>10} {:>10} {:>8}",
        "snapshots",
        "offered/s",
        "kept/s",
        "wall s",
        "CPU s",
        "taken",
        "mean ms",
        "longest ms",
        "last MB",
        "peak MiB"
    );
    for every in EVERY {
        let row = format!("courier {lines} {per_second} {every}");
        let mut command = Command::new(std::env::current_exe()?);
        let output = command
            .args(["--row", &row, "--input"])
            .arg(folder)
            .output()?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(format!("{row}: {}: {said}", output.status).into());
        }
        print!("{}", String::from_utf8_lossy(&output.stdout));
    }
    Ok(())
}
