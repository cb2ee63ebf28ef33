//! A server's process.

use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a server may take to start on a loaded machine.
const START: Duration = Duration::from_secs(60);

/// Returns a port that was free a moment ago.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("its address").port()
}

/// A server that is killed when it is dropped.
pub struct Process {
    child: Child,
    said: Arc<Mutex<String>>,
}

impl Process {
    /// Starts a server and waits until it takes connections on all `ports`.
    ///
    /// # Panics
    /// When it ends before, or does not listen in time; with what it said.
    pub fn start(mut command: Command, ports: &[u16]) -> Process {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("the server starts");
        let said = Arc::new(Mutex::new(String::new()));
        keep(child.stdout.take(), &said);
        keep(child.stderr.take(), &said);
        let mut process = Process { child, said };
        let until = Instant::now() + START;
        while !ports.iter().all(|port| listens(*port)) {
            let ended = process.child.try_wait().expect("the server's state");
            assert!(
                ended.is_none() && Instant::now() < until,
                "{command:?} does not listen ({ended:?}):\n{}",
                process.said()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        process
    }

    /// Returns what the server has printed.
    pub fn said(&self) -> String {
        self.said
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Kills the server, as a crash would.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn listens(port: u16) -> bool {
    let address = ([127, 0, 0, 1], port).into();
    TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_ok()
}

/// Reads what a server prints, so that it never waits for a full pipe.
fn keep(pipe: Option<impl Read + Send + 'static>, said: &Arc<Mutex<String>>) {
    let Some(pipe) = pipe else { return };
    let said = Arc::clone(said);
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
            said.push_str(&line);
            said.push('\n');
        }
    });
}
