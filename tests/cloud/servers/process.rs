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

/// Runs a server, and kills it when its own input ends: so it is gone with the test, even with one that is killed.
const GUARD: &str = r#""$@" </dev/null & server=$!; cat >/dev/null; kill -9 $server; wait $server"#;

/// A server that is killed when it is dropped.
pub struct Process {
    /// The shell that has it.
    child: Child,
    said: Arc<Mutex<String>>,
}

impl Process {
    /// Starts a server and waits until it takes connections on all `ports`.
    ///
    /// # Panics
    /// When it does not listen in time; with what it said.
    pub fn start(server: Command, ports: &[u16]) -> Process {
        let mut command = Command::new("sh");
        command.args(["-c", GUARD, "sh"]).arg(server.get_program());
        command.args(server.get_args());
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("the server starts");
        let said = Arc::new(Mutex::new(String::new()));
        keep(child.stdout.take(), &said);
        keep(child.stderr.take(), &said);
        let process = Process { child, said };
        let until = Instant::now() + START;
        while !ports.iter().all(|port| listens(*port)) {
            assert!(
                Instant::now() < until,
                "{server:?} does not listen:\n{}",
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
        drop(self.child.stdin.take());
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
