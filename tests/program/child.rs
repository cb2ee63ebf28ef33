//! Runs the program in a folder of its own, and never longer than a limit.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use pipeline_core::runners::direct::Snapshots;
use pipeline_gcp::bigquery::{BigQuery, LocalWarehouse, Row, Value};
use tempfile::TempDir;

/// The sample data, and its final table.
pub const SAMPLE: &str = include_str!("../../examples/courier_chat/data/conversations.json");
pub const EXPECTED: &str = include_str!("../data/expected_conversations.csv");

/// No run of these tests takes as long, even on a busy machine.
const LIMIT: Duration = Duration::from_secs(90);

/// A folder for the warehouse and the results of runs.
pub struct Place {
    folder: TempDir,
    /// The dead letters are compressed.
    gzip: bool,
}

/// How a run ended.
pub struct Ended {
    /// `None` if a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    /// The greatest resident memory that was seen, in KiB.
    pub peak: u64,
}

/// A run that is under way; it is killed with the test.
pub struct Running {
    child: Child,
    started: Instant,
    outputs: [Option<JoinHandle<Vec<u8>>>; 2],
    peak: u64,
}

impl Place {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Place {
            folder,
            gzip: false,
        }
    }

    /// Has the dead letters compressed.
    pub fn with_gzip(mut self) -> Self {
        self.gzip = true;
        self
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn warehouse(&self) -> PathBuf {
        self.path().join("warehouse")
    }

    /// Where snapshots are by default.
    pub fn state(&self) -> PathBuf {
        self.warehouse().join("state")
    }

    /// The snapshot that the next start goes on from, and the messages that are in it; nobody may have the folder.
    pub fn unfinished(&self) -> Option<(u64, u64)> {
        let snapshots = Snapshots::open(self.state()).unwrap();
        let resumed = snapshots.resumed()?;
        Some((resumed.epoch, resumed.messages))
    }

    pub fn output(&self) -> PathBuf {
        self.path().join("final.csv")
    }

    pub fn dead_letter_output(&self) -> PathBuf {
        let end = if self.gzip { ".gz" } else { "" };
        self.path().join(format!("dead.ndjson{end}"))
    }

    /// Writes a file into the folder, and returns its path as text.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.path().join(name);
        fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// The program with the folders' flags before those given.
    pub fn command(&self, flags: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_courier_chat"));
        command
            .current_dir(self.path())
            .arg("--warehouse")
            .arg(self.warehouse())
            .arg("--output")
            .arg(self.output())
            .arg("--dead_letter_output")
            .arg(self.dead_letter_output())
            .args(flags);
        command
    }

    pub fn start(&self, flags: &[&str]) -> Running {
        Running::of(&mut self.command(flags))
    }

    pub fn run(&self, flags: &[&str]) -> Ended {
        self.start(flags).end()
    }

    /// Runs to a good end.
    #[track_caller]
    pub fn finish(&self, flags: &[&str]) -> Ended {
        let ended = self.run(flags);
        assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
        ended
    }

    pub fn csv(&self) -> String {
        fs::read_to_string(self.output()).unwrap()
    }

    /// The dead letters, in the order of their text: workers write them in any order.
    pub fn letters(&self) -> Vec<serde_json::Value> {
        let file = fs::File::open(self.dead_letter_output()).unwrap();
        let mut text = String::new();
        if self.gzip {
            let mut unpacked = flate2::read::MultiGzDecoder::new(file);
            unpacked.read_to_string(&mut text).unwrap();
        } else {
            let mut file = file;
            file.read_to_string(&mut text).unwrap();
        }
        assert!(text.is_empty() || text.ends_with('\n'));
        let letters = text.lines().map(|line| serde_json::from_str(line).unwrap());
        let mut letters: Vec<serde_json::Value> = letters.collect();
        letters.sort_by_key(|letter| letter["original"].to_string());
        letters
    }

    /// Asks the warehouse; `None` while it cannot answer, because tables are not there yet.
    pub fn try_query(&self, sql: &str) -> Option<Vec<Vec<Value>>> {
        let warehouse = LocalWarehouse::open_read_only(self.warehouse()).ok()?;
        Some(pollster::block_on(warehouse.query(sql)).ok()?.rows)
    }

    pub fn query(&self, sql: &str) -> Vec<Vec<Value>> {
        self.try_query(sql).unwrap()
    }

    /// The number of rows of a table; 0 while it is not there.
    pub fn rows(&self, table: &str) -> i64 {
        let count = self.try_query(&format!("SELECT COUNT(*) FROM {table}"));
        match count.as_deref() {
            Some([row]) => match row[..] {
                [Value::Int64(count)] => count,
                _ => panic!("{table}: {row:?}"),
            },
            _ => 0,
        }
    }

    pub fn base_rows(&self) -> i64 {
        self.rows("conversations") + self.rows("orders")
    }

    /// Everything in the three tables.
    pub fn tables(&self) -> [Vec<Vec<Value>>; 3] {
        [
            "SELECT * FROM conversations ORDER BY message_id",
            "SELECT * FROM orders ORDER BY message_id",
            "SELECT * FROM customer_courier_conversations ORDER BY order_id",
        ]
        .map(|sql| self.query(sql))
    }

    /// The numbers of the lines that are in the base tables.
    pub fn lines(&self) -> Vec<usize> {
        let union = "SELECT message_id FROM conversations UNION ALL SELECT message_id FROM orders";
        let rows = self.query(&format!(
            "SELECT message_id FROM ({union}) ORDER BY message_id"
        ));
        let line = |row: Vec<Value>| match &row[0] {
            Value::String(id) => id[..12].parse().unwrap(),
            other => panic!("{other:?}"),
        };
        rows.into_iter().map(line).collect()
    }

    /// No temporary file is left beside the results.
    #[track_caller]
    pub fn assert_no_parts(&self) {
        let names = fs::read_dir(self.path()).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let is_left = |name: &String| name.contains(".part") || name.ends_with(".kept");
        let left: Vec<String> = names.filter(is_left).collect();
        assert!(left.is_empty(), "{left:?}");
    }

    /// Neither result file is there, nor a piece of one.
    #[track_caller]
    pub fn assert_no_results(&self) {
        let names = fs::read_dir(self.path()).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let left: Vec<String> = names
            .filter(|name| {
                name.contains(".part") || name.contains("final") || name.contains("dead")
            })
            .collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

impl Running {
    pub fn of(command: &mut Command) -> Self {
        let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        Running {
            child,
            started: Instant::now(),
            outputs: [collect(stdout), collect(stderr)].map(Some),
            peak: 0,
        }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn is_running(&mut self) -> bool {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let peak = status.unwrap_or_default().lines().find_map(|line| {
            let number = line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?;
            number.parse().ok()
        });
        self.peak = self.peak.max(peak.unwrap_or(0));
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for something to happen while the program runs.
    #[track_caller]
    pub fn wait_for(&mut self, what: &str, mut happened: impl FnMut() -> bool) {
        while !happened() {
            if !self.is_running() || self.started.elapsed() > LIMIT {
                let ended = self.finish_up();
                panic!("{what}: never\n{}{}", ended.stdout, ended.stderr);
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Presses Ctrl-C.
    pub fn interrupt(&self) {
        self.signal("-INT");
    }

    /// Sends a signal, as `kill` takes it.
    pub fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args([signal, &pid]).status().unwrap();
        assert!(status.success());
    }

    /// Kills it as `kill -9` does, unless it has ended; what it had said by then may be half a line.
    pub fn kill(mut self) -> Ended {
        self.finish_up()
    }

    /// Waits for the end.
    #[track_caller]
    pub fn end(self) -> Ended {
        self.end_within(LIMIT)
    }

    #[track_caller]
    pub fn end_within(mut self, limit: Duration) -> Ended {
        let begun = Instant::now();
        while self.is_running() {
            if begun.elapsed() > limit {
                let ended = self.finish_up();
                panic!("no end in {limit:?}\n{}{}", ended.stdout, ended.stderr);
            }
            thread::sleep(Duration::from_millis(5));
        }
        self.finish_up()
    }

    fn finish_up(&mut self) -> Ended {
        // It has ended, or is to.
        let _ = self.child.kill();
        let status = self.child.wait().unwrap();
        let [stdout, stderr] = [0, 1].map(|n| {
            let bytes = self.outputs[n].take().unwrap().join().unwrap();
            String::from_utf8(bytes).unwrap()
        });
        Ended {
            code: status.code(),
            stdout,
            stderr,
            peak: self.peak,
        }
    }
}

/// A run that reads what the test writes.
pub fn fed(place: &Place, flags: &[&str]) -> (Running, ChildStdin) {
    fed_as("-", place, flags)
}

/// The same, with another name for standard input.
pub fn fed_as(input: &str, place: &Place, flags: &[&str]) -> (Running, ChildStdin) {
    let mut command = place.command(flags);
    command.args(["--input", input]).stdin(Stdio::piped());
    let mut running = Running::of(&mut command);
    let stdin = running.child.stdin.take().unwrap();
    (running, stdin)
}

impl Drop for Running {
    fn drop(&mut self) {
        // Of a run that has ended, nothing is left to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn collect(mut output: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        output.read_to_end(&mut bytes).unwrap();
        bytes
    })
}

impl Ended {
    /// A number of the summary's table.
    #[track_caller]
    pub fn count(&self, name: &str) -> u64 {
        let line = self.stdout.lines().find(|line| {
            let cells = line.strip_prefix('│').unwrap_or_default();
            cells.trim_start().starts_with(&format!("{name} "))
        });
        let line = line.unwrap_or_else(|| panic!("no {name:?} in\n{}", self.stdout));
        let number = line.trim_end_matches('│').rsplit('┆').next().unwrap();
        number.trim().parse().unwrap()
    }

    /// The snapshot that the run went on from, if it did.
    pub fn resumed(&self) -> Option<u64> {
        let says = |line: &str| {
            let rest = line.strip_prefix("resumed from snapshot ")?;
            let (epoch, rest) = rest.split_once(": ")?;
            let (keys, rest) = rest.split_once(" keys, ")?;
            let messages = rest.strip_suffix(" messages already taken in")?;
            keys.parse::<u64>().ok()?;
            messages.parse::<u64>().ok()?;
            epoch.parse().ok()
        };
        self.stdout.lines().find_map(says)
    }

    #[track_caller]
    pub fn assert_agrees(&self, rows: usize) {
        let agrees = format!("The SQL view over the base tables gives the same {rows} rows.\n");
        assert!(self.stdout.contains(&agrees), "{}", self.stdout);
    }

    /// It was refused or failed, and says all of this; on standard output at most where it went on.
    #[track_caller]
    pub fn assert_failed(&self, code: i32, says: &[&str]) {
        assert_eq!(self.code, Some(code), "{}{}", self.stdout, self.stderr);
        let lines = usize::from(self.resumed().is_some());
        assert_eq!(self.stdout.lines().count(), lines, "{}", self.stdout);
        for part in says {
            assert!(
                self.stderr.contains(part),
                "no {part:?} in\n{}",
                self.stderr
            );
        }
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
    }
}

/// A row of one text, for a foreign table.
pub fn one_text(text: &str) -> Row {
    Row::new(vec![text.into()]).with_id(text)
}
