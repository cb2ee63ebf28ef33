//! Pub/Sub: Google's emulator, and the server that Google's Go client is tested with.

use std::process::Command;

use super::{Process, free_port, installed};

/// Google's emulator: keeps no state when it ends, ignores filters.
pub struct PubSubEmulator {
    port: u16,
    process: Process,
}

impl PubSubEmulator {
    /// Starts it, if it is installed.
    pub fn start() -> Option<PubSubEmulator> {
        let port = free_port();
        let process = Self::run(port)?;
        Some(PubSubEmulator { port, process })
    }

    /// Returns its address, `127.0.0.1:port`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Kills it and starts another at the same address; what it held is gone.
    pub fn restart(&mut self) {
        self.process.kill();
        if let Some(process) = Self::run(self.port) {
            self.process = process;
        }
    }

    fn run(port: u16) -> Option<Process> {
        let jar = installed("pubsub-emulator.jar")?;
        let mut command = Command::new("java");
        command.arg("-Xmx256m").arg("-jar").arg(jar);
        command.args(["--host=127.0.0.1", &format!("--port={port}")]);
        Some(Process::start(command, &[port]))
    }
}

/// `pstest`: gRPC only; filters work.
pub struct PubSubFake {
    port: u16,
    _process: Process,
}

impl PubSubFake {
    /// Starts it, if it is installed.
    pub fn start() -> Option<PubSubFake> {
        let port = free_port();
        let mut command = Command::new(installed("pubsubfake")?);
        command.arg(format!("-port={port}"));
        Some(PubSubFake {
            port,
            _process: Process::start(command, &[port]),
        })
    }

    /// Returns its address, `127.0.0.1:port`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}
