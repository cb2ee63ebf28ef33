//! Parses a million lines of courier chat and summarises the messages of each order.

mod by_hand;
mod ours;

use std::error::Error;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use pipeline_examples::courier_chat::{Conversation, Generator};

use crate::measure::Row;

pub const ROWS: [Row; 3] = [
    Row {
        name: "chat by hand, 1 thread",
        run: by_hand::run,
    },
    Row {
        name: "chat ours, 1 worker",
        run: |task| ours::run(task, 1),
    },
    Row {
        name: "chat ours, 2 workers",
        run: |task| ours::run(task, 2),
    },
];

const LINES: u64 = 1_000_000;

fn path(folder: &Path) -> PathBuf {
    folder.join("chat.ndjson")
}

/// Writes the lines, unless they are there.
pub fn prepare(folder: &Path, divisor: u64) -> Result<(), Box<dyn Error>> {
    let path = path(folder);
    if path.exists() {
        return Ok(());
    }
    let unfinished = path.with_extension("unfinished");
    let mut out = BufWriter::with_capacity(1 << 20, File::create(&unfinished)?);
    let lines = LINES / divisor;
    // A conversation has three lines at least.
    let conversations = u32::try_from(lines)? / 3 + 1;
    for line in Generator::new(7, conversations).take(lines as usize) {
        writeln!(out, "{line}")?;
    }
    out.into_inner().map_err(|e| e.into_error())?;
    Ok(std::fs::rename(unfinished, path)?)
}

/// No two messages of the input have the same time, so that none needs an id to come first.
const NO_ID: &str = "";

/// Shows a summary, for the digest.
fn shown(order: i64, summary: &Conversation) -> String {
    format!("{:?}", summary.row(order, "", 0))
}
