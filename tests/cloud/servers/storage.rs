//! Cloud Storage: `fake-gcs-server` behind the repairs of `gcs/main.go`.

use std::process::Command;

use super::{Process, free_port, installed};

/// Holds objects in memory.
pub struct StorageFake {
    port: u16,
    _process: Process,
}

impl StorageFake {
    /// Starts it with one bucket, if it is installed.
    pub fn start(bucket: &str) -> Option<StorageFake> {
        let port = free_port();
        let mut command = Command::new(installed("gcsfake")?);
        command.arg(format!("-addr=127.0.0.1:{port}"));
        command.arg(format!("-bucket={bucket}"));
        Some(StorageFake {
            port,
            _process: Process::start(command, &[port]),
        })
    }

    /// Returns its address, `http://127.0.0.1:port`.
    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}
