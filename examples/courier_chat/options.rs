//! The program's flags, named as Beam names them.

mod google;

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

pub use self::google::Google;
use super::pipeline::Settings;

/// The default of `--input`: the sample data that comes with the example.
const SAMPLE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/courier_chat/data/conversations.json"
);

/// Turns chat messages between couriers and customers, and order events, into one row per order.
///
/// A publisher puts the lines of --input onto a topic; the pipeline reads the topic's subscription, keeps messages and
/// order events in base tables, gathers each order's visits, joins them with the order's city, and keeps a final table
/// up to date. Everything runs in this process: topic and warehouse are stand-ins for Pub/Sub and BigQuery, which
/// --input_subscription and --bq_dataset name instead.
///
/// Snapshots in --state_dir hold how far it has come. However a run ends before its input does (Ctrl-C, SIGTERM,
/// kill -9, an error), the same command goes on from the last one, says so, and nothing is lost or there twice. After a
/// run that has ended, the next begins anew over the same tables. --drain ends a run early, in good order.
#[derive(Clone, Debug, Parser)]
#[command(name = "courier_chat", version)]
pub struct Options {
    /// NDJSON file to publish, which may be gzip; `-` is standard input
    #[arg(long, value_name = "FILE", default_value = SAMPLE, hide_default_value = true,
          conflicts_with_all = ["seed", "conversations"])]
    pub input: String,

    /// Pause between two lines, such as 5ms or 1s
    #[arg(long = "publish_interval", alias = "publish-interval", value_name = "DURATION",
          default_value = "0ms", value_parser = duration)]
    pub publish_interval: Duration,

    /// Folder of the embedded warehouse
    #[arg(long, value_name = "DIR", default_value = "target/courier_chat")]
    pub warehouse: PathBuf,

    /// CSV file of the final table [default: customer_courier_conversations.csv in the warehouse]
    #[arg(long, value_name = "FILE.csv")]
    pub output: Option<PathBuf>,

    /// NDJSON file of the dead letters [default: dead_letters.ndjson in the warehouse]
    #[arg(
        long = "dead_letter_output",
        alias = "dead-letter-output",
        value_name = "FILE.ndjson"
    )]
    pub dead_letter_output: Option<PathBuf>,

    /// How far behind the latest message another may be, in event time; a run that goes on from a snapshot may be given
    /// another, which holds for what it takes in
    #[arg(long = "max_disorder", alias = "max-disorder", value_name = "DURATION",
          default_value = "60s", value_parser = duration)]
    pub max_disorder: Duration,

    /// How long a visit takes late messages, in event time
    #[arg(long = "allowed_lateness", alias = "allowed-lateness", value_name = "DURATION",
          default_value = "24h", value_parser = duration)]
    pub allowed_lateness: Duration,

    /// Whether to go through the topic; false reads --input itself, once and whole
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    pub streaming: bool,

    /// Folder of the snapshots, which one job at a time has [default: state in the warehouse; with --streaming false,
    /// no snapshots are taken unless this is given]
    #[arg(long = "state_dir", alias = "state-dir", value_name = "DIR")]
    pub state_dir: Option<PathBuf>,

    /// Time from one snapshot to the next, if anything has happened; rows become visible with them [default: 250ms]
    #[arg(long = "snapshot_interval", alias = "snapshot-interval", value_name = "DURATION",
          value_parser = interval)]
    pub snapshot_interval: Option<Duration>,

    /// Input taken in and not yet in a snapshot, at which one is taken at once, such as 64KiB or 16MiB [default: 16MiB]
    #[arg(long = "snapshot_bytes", alias = "snapshot-bytes", value_name = "SIZE", value_parser = size)]
    pub snapshot_bytes: Option<u64>,

    /// Memory that the process keeps to: groups and state beyond it wait on disk, slower, in the folder spill beside
    /// the snapshots (without them, in the warehouse), which is removed at the start and at the end [default: no
    /// limit; the job ends with an error before the machine's memory does]
    #[arg(long = "memory_limit", alias = "memory-limit", value_name = "SIZE", value_parser = size)]
    pub memory_limit: Option<u64>,

    /// End the job that has --state_dir as if its input had ended, by SIGUSR1, and wait until it has; if none runs, go
    /// on from the last snapshot and end so here. No further input is read, open visits are written
    #[arg(long)]
    pub drain: bool,

    /// How long --drain waits for the job, which goes on to drain if that is over
    #[arg(long = "drain_timeout", alias = "drain-timeout", value_name = "DURATION",
          default_value = "10m", value_parser = duration)]
    pub drain_timeout: Duration,

    /// What executes the pipeline
    #[arg(long, default_value = "direct", value_parser = ["direct"])]
    pub runner: String,

    /// Number of worker threads, 256 at most; 0 is one a core
    #[arg(long = "direct_num_workers", alias = "direct-num-workers", value_name = "N",
          default_value = "0", value_parser = workers)]
    pub direct_num_workers: u16,

    /// Print the pipeline as a Mermaid flow chart, and end
    #[arg(long)]
    pub draw: bool,

    /// Generate the input from this seed instead of reading a file [default with --conversations: 0]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,

    /// How many conversations to generate [default with --seed: 400]
    #[arg(long, value_name = "N")]
    pub conversations: Option<u32>,

    /// What is used on Google Cloud.
    #[command(flatten)]
    pub google: Google,
}

/// With more threads than this, elements are handed from one to another for longer than they are worked on.
const MOST_WORKERS: u16 = 256;

fn workers(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(workers) if workers <= MOST_WORKERS => Ok(workers),
        _ => Err(format!(
            "write a whole number from 1 to {MOST_WORKERS}, or 0 for one worker a core"
        )),
    }
}

/// Longer than anybody waits; clocks and timestamps still have room for it.
const LONGEST: Duration = Duration::from_secs(100 * 366 * 24 * 3600);

fn duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).map_err(|error| {
        format!("{error}; write a number with its unit, such as 500ms, 60s or 24h")
    })?;
    if duration > LONGEST {
        return Err("it is longer than 100 years; write a shorter one".to_owned());
    }
    Ok(duration)
}

/// As a duration, and not zero.
fn interval(text: &str) -> Result<Duration, String> {
    let interval = duration(text)?;
    if interval < Duration::from_millis(1) {
        return Err("it is shorter than 1ms; write a longer one".to_owned());
    }
    Ok(interval)
}

/// The units of a size, in bytes.
const UNITS: [(&str, u64); 7] = [
    ("B", 1),
    ("KB", 1_000),
    ("KIB", 1 << 10),
    ("MB", 1_000_000),
    ("MIB", 1 << 20),
    ("GB", 1_000_000_000),
    ("GIB", 1 << 30),
];

fn size(text: &str) -> Result<u64, String> {
    let refused = || "write a number with its unit, such as 64KiB or 16MiB".to_owned();
    let end = text.find(|c: char| !c.is_ascii_digit());
    let (number, unit) = text.split_at(end.unwrap_or(text.len()));
    let unit = unit.trim().to_ascii_uppercase();
    let unit = UNITS.iter().find(|(name, _)| *name == unit);
    let (_, unit) = unit.ok_or_else(refused)?;
    let number: u64 = number.parse().map_err(|_| refused())?;
    let size = number.checked_mul(*unit).ok_or_else(refused)?;
    if size == 0 { Err(refused()) } else { Ok(size) }
}

impl Options {
    /// Returns the folder of the snapshots.
    pub fn state_dir(&self) -> PathBuf {
        let default = || self.warehouse.join("state");
        self.state_dir.clone().unwrap_or_else(default)
    }

    /// Returns the folder of what is beyond the limit of memory: one that this job alone has, with room on disk. Where
    /// the system keeps temporary files there may be little, or they may be in memory themselves.
    pub fn spill_folder(&self) -> PathBuf {
        match self.takes_snapshots() {
            true => self.state_dir().join("spill"),
            false => self.warehouse.join("spill"),
        }
    }

    /// Says why a flag has no meaning beside the others.
    ///
    /// # Errors
    /// There is such a flag.
    pub fn check(&self) -> Result<(), String> {
        let flags = [
            ("--snapshot_interval", self.snapshot_interval.is_some()),
            ("--snapshot_bytes", self.snapshot_bytes.is_some()),
        ];
        for (flag, is_given) in flags {
            if is_given && !self.takes_snapshots() {
                return Err(format!(
                    "{flag}: with --streaming false snapshots are taken only where --state_dir names a folder for them; \
                     give that as well, or leave {flag} out"
                ));
            }
        }
        Ok(())
    }

    /// Returns the time from one snapshot to the next.
    pub fn snapshot_interval(&self) -> Duration {
        self.snapshot_interval.unwrap_or(Duration::from_millis(250))
    }

    /// Returns the input at which a snapshot is taken at once, in bytes.
    pub fn snapshot_bytes(&self) -> u64 {
        self.snapshot_bytes.unwrap_or(16 << 20)
    }

    /// Tells whether snapshots are taken.
    pub fn takes_snapshots(&self) -> bool {
        self.streaming || self.state_dir.is_some()
    }

    /// Returns the seed and the number of conversations to generate, if the input is to be generated.
    pub fn generated(&self) -> Option<(u64, u32)> {
        match (self.seed, self.conversations) {
            (None, None) => None,
            (seed, conversations) => Some((seed.unwrap_or(0), conversations.unwrap_or(400))),
        }
    }

    /// Returns how the pipeline is to be built.
    pub fn settings(&self) -> Settings {
        Settings {
            max_disorder: self.max_disorder,
            allowed_lateness: self.allowed_lateness,
            stop_when_idle: self.google.stop_when_idle,
            keeps_versions: self.google.bq_dataset.is_some(),
            ..Settings::default()
        }
    }

    /// Names the input, for messages.
    pub fn input_name(&self) -> String {
        if let Some(subscription) = &self.google.input_subscription {
            return format!("subscription {subscription}");
        }
        match (self.generated(), self.input.as_str()) {
            (Some((seed, conversations)), _) => {
                format!("{conversations} conversations generated from seed {seed}")
            }
            (None, "-") => "standard input".to_owned(),
            (None, file) => file.to_owned(),
        }
    }

    /// Tells whether the tables are read when the run has ended: a dataset's may be of any size, so only on request.
    pub fn reads_tables(&self) -> bool {
        self.google.bq_dataset.is_none() || self.output.is_some()
    }

    /// Returns where the final table goes.
    pub fn output(&self) -> PathBuf {
        let default = || self.warehouse.join("customer_courier_conversations.csv");
        self.output.clone().unwrap_or_else(default)
    }

    /// Returns where dead letters go.
    pub fn dead_letter_output(&self) -> PathBuf {
        let default = || self.warehouse.join("dead_letters.ndjson");
        self.dead_letter_output.clone().unwrap_or_else(default)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(flags: &[&str]) -> Result<Options, String> {
        let arguments = std::iter::once("courier_chat").chain(flags.iter().copied());
        Options::try_parse_from(arguments).map_err(|error| error.to_string())
    }

    #[test]
    fn both_spellings_are_taken() {
        for flag in ["--publish_interval", "--publish-interval"] {
            let options = parse(&[flag, "1s"]).unwrap();
            assert_eq!(options.publish_interval, Duration::from_secs(1));
        }
    }

    #[test]
    fn sizes_have_units() {
        for (text, bytes) in [
            ("1B", 1),
            ("64KiB", 65_536),
            ("16mib", 16 << 20),
            ("2 GB", 2_000_000_000),
        ] {
            let options = parse(&["--snapshot_bytes", text]).unwrap();
            assert_eq!(options.snapshot_bytes, Some(bytes));
            let options = parse(&["--memory-limit", text]).unwrap();
            assert_eq!(options.memory_limit, Some(bytes));
        }
    }

    #[test]
    fn wrong_values_are_refused_with_a_remedy() {
        let refusals: [(&[&str], &str); 9] = [
            (&["--snapshot_interval", "0ms"], "shorter than 1ms"),
            (&["--snapshot_bytes", "16"], "such as 64KiB"),
            (&["--snapshot_bytes", "0MiB"], "such as 64KiB"),
            (&["--snapshot_bytes", "999999999999GiB"], "such as 64KiB"),
            (&["--publish_interval", "5"], "such as 500ms"),
            (&["--runner", "flink"], "possible values: direct"),
            (&["--direct_num_workers", "257"], "from 1 to 256"),
            (&["--input", "x", "--seed", "1"], "cannot be used with"),
            (&["--no_such_flag"], "unexpected argument"),
        ];
        for (flags, part) in refusals {
            let error = parse(flags).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }
}
