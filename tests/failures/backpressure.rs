//! A source that could give five million records at once, and a sink of 1,000 rows a second: the
//! engine reads no more than fits between them. Bounds: see the docs of `runners::direct`.
//!
//! Each case runs in a process of its own, whose peak memory is the kernel's `VmHWM`. It watches
//! for some seconds; `BACKPRESSURE_SECONDS=60` for a minute.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use pipeline_core::prelude::*;

use super::support::{Flood, Slow};

const RECORDS: u64 = 5_000_000;
const WORKERS: u64 = 2;

/// The sink's batch, the read's and the message's least and greatest elements, the sink queue and
/// the mailbox: the constants of the engine.
const BATCH: u64 = 1_000;
const READ: u64 = 1_024;
const MESSAGE: u64 = 1_024 + READ;
const QUEUE: u64 = 4;
const MAILBOX: u64 = 16;

/// Returns how many records of `WORKERS` workers can be read and not written: in each sink a
/// queue that was not full, a batch that gathers, one that is being written, and what one step
/// then brought; with an exchange also a buffer and a message for each destination, and a mailbox.
fn bound(case: &str) -> u64 {
    let exchanged = case == "exchanged" || case == "skewed";
    let step = if exchanged { MESSAGE } else { READ };
    let sink = (QUEUE - 1) * BATCH + (BATCH - 1) + BATCH + step;
    let exchange = if exchanged {
        WORKERS * MESSAGE + MAILBOX * MESSAGE
    } else {
        0
    };
    WORKERS * (sink + exchange)
}

fn watch_in_a_process_of_its_own(case: &str) {
    let seconds = std::env::var("BACKPRESSURE_SECONDS").unwrap_or_else(|_| "4".to_owned());
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "backpressure::child", "--ignored", "--nocapture"])
        .env("BACKPRESSURE_CASE", case)
        .env("BACKPRESSURE_SECONDS", seconds)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let report = said.lines().find(|line| line.starts_with("read "));
    println!("{case}: {}", report.unwrap_or(&said));
    assert!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(report.is_some(), "the child has not run");
}

#[test]
fn streaming() {
    watch_in_a_process_of_its_own("streaming");
}

#[test]
fn bounded() {
    watch_in_a_process_of_its_own("bounded");
}

#[test]
fn exchanged() {
    watch_in_a_process_of_its_own("exchanged");
}

/// One of two workers is slow, and the other's messages wait for it.
#[test]
fn skewed() {
    watch_in_a_process_of_its_own("skewed");
}

#[test]
#[ignore = "is started by the other tests, in a process of its own"]
fn child() {
    let Ok(case) = std::env::var("BACKPRESSURE_CASE") else {
        return;
    };
    let seconds = std::env::var("BACKPRESSURE_SECONDS").unwrap();
    let seconds = Duration::from_secs(seconds.parse().unwrap());
    let source = Flood::new(RECORDS, case == "bounded");
    // Each worker has a writer; together they write 1,000 rows a second.
    let mut sink = Slow::new(Duration::from_millis(WORKERS));
    sink.slow_worker = (case == "skewed").then_some(0);
    let pipeline = Pipeline::build(|p| {
        let records = p
            .read("Read", source.clone())
            .map("Record", |n| format!("{n:0100}"));
        let records = if case == "exchanged" || case == "skewed" {
            records.reshuffle("Spread")
        } else {
            records
        };
        records.write("Write", sink.clone());
    })
    .unwrap();
    let runner = DirectRunner::new().workers(WORKERS as usize);
    let running = {
        let runner = runner.clone();
        std::thread::spawn(move || runner.run(&pipeline))
    };
    let (started, mut most) = (Instant::now(), 0);
    while started.elapsed() < seconds {
        // In this order, so that what is written between the two cannot hide anything.
        let written = sink.written.load(Ordering::SeqCst);
        most = most.max(source.given() - written);
        std::thread::sleep(Duration::from_millis(2));
    }
    let (read, written) = (source.given(), sink.written.load(Ordering::SeqCst));
    let peak = peak_memory();
    let bound = bound(&case);
    println!();
    println!(
        "read {read}, written {written}, at most {most} between (bound {bound}), peak {} MB",
        peak / 1_000_000
    );
    let pace = 1_000 * (seconds.as_secs() + 2);
    assert!(
        case == "skewed" || (written > 0 && written <= pace),
        "the sink keeps its pace"
    );
    assert!(
        most <= bound,
        "{most} records were on the way, the bound is {bound}"
    );
    assert!(most >= BATCH, "the source was not held back at all");
    assert!(peak <= 300_000_000, "{peak} bytes");
    runner.stop_handle().stop();
    sink.hurry.store(true, Ordering::SeqCst);
    let result = running.join().unwrap().unwrap();
    assert_eq!(
        result.end(),
        End::Stopped {
            abandoned_groups: 0
        }
    );
    let rows = sink.written.load(Ordering::SeqCst);
    assert_eq!(rows, source.given(), "what was read is written");
}

/// Returns this process's peak resident memory in bytes.
pub fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmHWM:")).unwrap();
    let kib = line.split_whitespace().nth(1).unwrap();
    kib.parse::<u64>().unwrap() * 1024
}
