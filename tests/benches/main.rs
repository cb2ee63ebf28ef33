//! Compares the embedded engine with a loop written by hand and with renoir, on the same input.
//!
//! `cargo bench -p pipeline-tests --bench compare` prints a table: the median of CPU seconds (user and system), of
//! wall seconds and of peak memory over several rounds, and the ratio to the loop by hand.
//! Each measurement is a process of its own, and the rounds go through all rows in turn, so that
//! a slow minute of the machine falls on all of them. All use the same allocator. Every row of a
//! group must give the same result: the digest of the sorted output. Only a difference there
//! fails the run; time is never asserted.
//!
//! - `--rounds N`: so many rounds (7); `--only TEXT`: only the rows whose name has that text;
//!   `--small`: a hundredth of the input, to see that all still runs.
//! - `--snapshots`: what snapshots cost, in tables of their own, the streaming chat at `--rate N`
//!   (100,000) lines a second; `--spill`: what groups beyond the memory cost.
//! - `--row NAME --input FOLDER`: one measurement in this process, for a profiler.

#![allow(missing_docs)]

mod chat;
mod courier;
mod digest;
mod keep;
mod lines;
mod measure;
mod snapshots;
mod spill;
mod table;
mod windowed;
mod word_count;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use measure::Row;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The rows, in groups that give the same result; the first of a group is a loop by hand.
const GROUPS: [(&str, &[Row]); 4] = [
    ("word count", &word_count::ROWS),
    ("chat lines, parsed and grouped", &chat::ROWS),
    ("fixed windows", &windowed::FIXED),
    ("sessions", &windowed::SESSIONS),
];

fn main() -> ExitCode {
    let done = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => run(options),
        Err(error) => Err(error),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

struct Options {
    rounds: usize,
    only: String,
    small: bool,
    snapshots: bool,
    rate: u64,
    spill: bool,
    row: Option<String>,
    input: Option<PathBuf>,
}

impl Options {
    fn parse(mut args: impl Iterator<Item = String>) -> Result<Self, Box<dyn Error>> {
        let mut options = Options {
            rounds: 7,
            only: String::new(),
            small: false,
            snapshots: false,
            rate: 100_000,
            spill: false,
            row: None,
            input: None,
        };
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or(format!("{arg} needs a value"));
            match arg.as_str() {
                "--rounds" => options.rounds = value()?.parse()?,
                "--only" => options.only = value()?,
                "--small" => options.small = true,
                "--snapshots" => options.snapshots = true,
                "--rate" => options.rate = value()?.parse()?,
                "--spill" => options.spill = true,
                "--row" => options.row = Some(value()?),
                "--input" => options.input = Some(value()?.into()),
                // What cargo passes to every benchmark.
                "--bench" => {}
                other => return Err(format!("unknown option {other}: see benches/main.rs").into()),
            }
        }
        if options.rate == 0 {
            return Err("--rate must be at least 1".into());
        }
        if options.rounds == 0 {
            return Err("--rounds must be at least 1".into());
        }
        Ok(options)
    }
}

fn run(options: Options) -> Result<(), Box<dyn Error>> {
    let folder = match &options.input {
        Some(folder) => folder.clone(),
        None => measure::input_folder(options.small)?,
    };
    let divisor = if options.small { 100 } else { 1 };
    if options.spill {
        return spill::run(&folder, options.small);
    }
    let spilling = |name: &String| spill::ROWS.into_iter().find(|row| row.name == name);
    if let Some(row) = options.row.as_ref().and_then(spilling) {
        println!("{}", measure::here(&row, &folder, divisor)?);
        return Ok(());
    }
    if let Some(row) = options
        .row
        .as_ref()
        .and_then(|row| row.strip_prefix("courier "))
    {
        let numbers: Result<Vec<u64>, _> = row.split(' ').map(str::parse).collect();
        let [lines, per_second, every] = numbers?[..] else {
            return Err("a row of courier is LINES LINES_A_SECOND MILLISECONDS".into());
        };
        println!("{}", courier::row(&folder, lines, per_second, every)?);
        return Ok(());
    }
    if options.snapshots {
        courier::run(&folder, options.rate, options.small)?;
        return snapshots::run(options.small);
    }
    word_count::prepare(&folder, divisor)?;
    chat::prepare(&folder, divisor)?;
    let rows = || GROUPS.iter().flat_map(|(_, rows)| rows.iter());
    if let Some(name) = &options.row {
        let row = rows().find(|row| row.name == name);
        let row = row.ok_or_else(|| format!("no row is called {name}"))?;
        println!("{}", measure::here(row, &folder, divisor)?);
        return Ok(());
    }
    let rows: Vec<&Row> = rows().filter(|r| r.name.contains(&options.only)).collect();
    let mut samples: Vec<Vec<measure::Sample>> = vec![Vec::new(); rows.len()];
    for _ in 0..options.rounds {
        for (row, samples) in rows.iter().zip(&mut samples) {
            samples.push(measure::in_child(row, &folder, options.small)?);
        }
    }
    let mut measured = rows.into_iter().zip(samples).peekable();
    let mut differences = Vec::new();
    for (title, group) in GROUPS {
        let mut lines = Vec::new();
        while let Some((row, samples)) =
            measured.next_if(|(row, _)| group.iter().any(|r| r.name == row.name))
        {
            lines.push((row, samples));
        }
        print!("{}", table::render(title, &lines));
        differences.extend(table::differences(&lines));
    }
    if differences.is_empty() {
        return Ok(());
    }
    Err(differences.join("\n").into())
}
