//! Conversations between couriers and customers, from a topic to a table.
//!
//! `cargo run --example courier_chat` runs it on its sample data; `-- --help` lists its flags.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use pipeline_examples::courier_chat::options::Options;
use pipeline_examples::courier_chat::program::{Ending, run};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(Ending::Finished) => ExitCode::SUCCESS,
        Ok(Ending::Stopped(signal)) => ExitCode::from(signal.exit_code()),
        Err(message) => {
            // If nobody can be told, the exit code tells.
            let _ = writeln!(std::io::stderr(), "error: {message}");
            ExitCode::FAILURE
        }
    }
}
