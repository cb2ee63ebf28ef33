//! How long the work stands still for a snapshot, how large it is, and how long a restart takes, by
//! the number of keys.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use pipeline_core::prelude::*;
use pipeline_core::runners::direct::Snapshots;
use pipeline_core::source::{Position, Resume};

type Failed = Box<dyn Error>;

/// Gives the numbers from 0, so many a second at most; it never ends.
#[derive(Clone)]
struct Numbers {
    total: u64,
    per_second: u64,
    given: Arc<AtomicU64>,
    /// When the first read of this life came, in microseconds behind `began`.
    first_read: Arc<AtomicU64>,
    began: Instant,
}

impl Numbers {
    fn new(total: u64, per_second: u64) -> Numbers {
        Numbers {
            total,
            per_second,
            given: Arc::default(),
            first_read: Arc::default(),
            began: Instant::now(),
        }
    }

    /// Stops a run when all numbers were given, or at the first read.
    fn stop_at(&self, handle: pipeline_core::runners::direct::StopHandle, given: u64) {
        let numbers = self.clone();
        std::thread::spawn(move || {
            let is_there = || match given {
                0 => numbers.first_read.load(Ordering::SeqCst) > 0,
                _ => numbers.given.load(Ordering::SeqCst) >= given,
            };
            while !is_there() {
                std::thread::sleep(Duration::from_millis(1));
            }
            // What was given has been pushed when the next read comes.
            std::thread::sleep(Duration::from_millis(50));
            handle.stop();
        });
    }
}

impl Source for Numbers {
    type Item = u64;
    type Split = ();
    type Ack = ();
    type Reader = NumbersReader;

    fn is_bounded(&self) -> bool {
        false
    }

    fn split(&self, _: usize) -> Result<Vec<()>, pipeline_core::Error> {
        Ok(vec![()])
    }

    fn open(&self, (): (), context: &ReadContext) -> Result<NumbersReader, pipeline_core::Error> {
        Ok(NumbersReader {
            numbers: self.clone(),
            next: context.position()?.unwrap_or(0),
        })
    }

    fn resume(&self) -> Resume {
        Resume::Position
    }
}

struct NumbersReader {
    numbers: Numbers,
    next: u64,
}

impl Reader<u64, ()> for NumbersReader {
    async fn read(
        &mut self,
        batch: &mut ReadBatch<u64, ()>,
    ) -> Result<ReadStatus, pipeline_core::Error> {
        let numbers = &self.numbers;
        let micros = numbers.began.elapsed().as_micros() as u64;
        let first = &numbers.first_read;
        let _ = first.compare_exchange(0, micros.max(1), Ordering::SeqCst, Ordering::SeqCst);
        loop {
            let due = numbers.began.elapsed().as_secs_f64() * numbers.per_second as f64;
            let end = numbers
                .total
                .min(due as u64)
                .min(self.next + batch.room() as u64);
            if self.next < end {
                for number in self.next..end {
                    // A hundred a millisecond.
                    batch.push(number, Timestamp::from_millis((number / 100) as i64));
                }
                self.next = end;
                numbers.given.store(end, Ordering::SeqCst);
                return Ok(ReadStatus::More);
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn watermark(&self) -> Timestamp {
        Timestamp::from_millis((self.next / 100) as i64)
    }

    fn position(&mut self) -> Result<Position, pipeline_core::Error> {
        Position::of(&self.next)
    }
}

/// Keeps how often a key came, and a text of 32 bytes.
#[derive(Clone)]
struct Hold(ValueCell<(u64, String)>);

impl StatefulDoFn for Hold {
    type Key = u64;
    type Value = u64;
    type Outputs = Out<u64>;

    fn process(
        &mut self,
        key: &u64,
        _: u64,
        state: &mut StateContext<'_>,
        _: &mut Out<u64>,
    ) -> Result<(), BoxError> {
        let (count, text) = self.0.take(state).unwrap_or((0, format!("{key:032}")));
        self.0.write(state, (count + 1, text));
        Ok(())
    }
}

fn held(numbers: Numbers, runner: &DirectRunner) -> Result<RunResult, Failed> {
    let pipeline = Pipeline::build(|p| {
        p.read("Read", numbers)
            .key_by("ByNumber", |number| *number)
            .par_do_stateful("Hold", |cells| Hold(cells.value("held")))
            .check("Nothing", |all| assert_eq!(all.len(), 0));
    })?;
    Ok(runner.run(&pipeline)?)
}

/// Measures a snapshot of so many keys, and a restart from it; returns a line of the table.
fn pause(keys: u64) -> Result<String, Failed> {
    let folder = tempfile::tempdir()?;
    let open = |folder: &Path| Snapshots::open(folder);
    let never = Duration::from_secs(100_000);
    let snapshots = open(folder.path())?.interval(never).bytes(u64::MAX);
    let runner = DirectRunner::new().snapshots(&snapshots);
    let numbers = Numbers::new(keys, u64::MAX);
    numbers.stop_at(runner.stop_handle(), keys);
    let taken = held(numbers, &runner)?.snapshots().unwrap_or_default();
    drop((runner, snapshots));
    let began = Instant::now();
    let snapshots = open(folder.path())?.interval(never);
    let opened = began.elapsed();
    let resumed = snapshots.resumed().map_or(0, |resumed| resumed.keys);
    if resumed != keys {
        return Err(format!("{resumed} keys are in the snapshot, not {keys}").into());
    }
    let runner = DirectRunner::new().snapshots(&snapshots);
    let numbers = Numbers::new(keys, u64::MAX);
    numbers.stop_at(runner.stop_handle(), 0);
    let began = numbers.began;
    let first_read = Arc::clone(&numbers.first_read);
    held(numbers, &runner)?;
    let restarted = Duration::from_micros(first_read.load(Ordering::SeqCst));
    debug_assert!(began.elapsed() >= restarted);
    Ok(format!(
        "{keys:>10} {:>12.1} {:>12.1} {:>12.1} {:>12.1}",
        taken.last_bytes as f64 / 1e6,
        taken.longest_pause.as_secs_f64() * 1e3,
        opened.as_secs_f64() * 1e3,
        restarted.as_secs_f64() * 1e3,
    ))
}

/// Prints a table.
pub fn run(small: bool) -> Result<(), Failed> {
    println!("\na snapshot of a table of keys, and a restart from it");
    println!(
        "{:>10} {:>12} {:>12} {:>12} {:>12}",
        "keys", "MB", "pause ms", "open ms", "load ms"
    );
    let most = if small { 4 } else { 7 };
    for power in 4..=most {
        println!("{}", pause(10_u64.pow(power))?);
    }
    Ok(())
}
