//! BigQuery: the emulator `bqemulator`.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Process, free_port, installed};

/// Holds datasets in memory, or in a folder, so that they outlive a restart.
pub struct BigQueryEmulator {
    rest: u16,
    grpc: u16,
    folder: Option<PathBuf>,
    process: Process,
}

impl BigQueryEmulator {
    /// The project of requests that name none.
    pub const PROJECT: &'static str = "test-project";

    /// Starts it, if it is installed; with a folder, what it holds is kept there.
    pub fn start(folder: Option<&Path>) -> Option<BigQueryEmulator> {
        let (rest, grpc) = (free_port(), free_port());
        let process = Self::run(rest, grpc, folder)?;
        Some(BigQueryEmulator {
            rest,
            grpc,
            folder: folder.map(Path::to_owned),
            process,
        })
    }

    /// Returns the address of tables, queries and `insertAll`.
    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.rest)
    }

    /// Returns the address of the Storage Write API.
    pub fn storage_address(&self) -> String {
        format!("127.0.0.1:{}", self.grpc)
    }

    /// Kills it and starts another at the same addresses.
    pub fn restart(&mut self) {
        self.process.kill();
        if let Some(process) = Self::run(self.rest, self.grpc, self.folder.as_deref()) {
            self.process = process;
        }
    }

    fn run(rest: u16, grpc: u16, folder: Option<&Path>) -> Option<Process> {
        let python = installed("venv/bin/python")?;
        let launch = Path::new(env!("CARGO_MANIFEST_DIR")).join("cloud/servers/bigquery/launch.py");
        let mut command = Command::new(python);
        command
            .arg(launch)
            .args(["start", "--project", Self::PROJECT]);
        command.args(["--rest-port", &rest.to_string()]);
        command.args(["--grpc-port", &grpc.to_string()]);
        if let Some(folder) = folder {
            command.arg("--persistent").arg("--data-dir").arg(folder);
        }
        Some(Process::start(command, &[rest, grpc]))
    }
}
