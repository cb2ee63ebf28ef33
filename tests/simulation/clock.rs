//! What a life knows of the time: it goes on from what the one before saw, and a part that had been
//! quiet has been for as long.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use pipeline_core::ManualClock;
use pipeline_core::prelude::*;
use pipeline_core::runners::direct::{Snapshots, StopHandle};
use pipeline_core::source::{Position, Resume};

const MINUTE: Duration = Duration::from_secs(60);

/// A year, in milliseconds.
const YEAR: i64 = 365 * 24 * 3_600_000;

/// Two parts, of which the second gives one element and no more. The first gives the elements of
/// each life; then it stops the run, or ends.
#[derive(Clone)]
struct Two {
    clock: Arc<ManualClock>,
    /// The event times of this life, in minutes.
    minutes: &'static [i64],
    stop: Option<StopHandle>,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    /// What the clock of each life showed when a part was opened.
    opened_at: Vec<i64>,
    /// The ends of the windows that fired before the second part ended.
    fired: Vec<i64>,
    /// The second part has given what it has.
    second: bool,
    /// Reads that waited.
    waits: u32,
    over: bool,
}

struct TwoReader {
    two: Two,
    part: usize,
    latest: Timestamp,
    given: usize,
}

impl Source for Two {
    type Item = i64;
    type Split = usize;
    type Ack = ();
    type Reader = TwoReader;

    fn is_bounded(&self) -> bool {
        false
    }

    fn split(&self, _: usize) -> Result<Vec<usize>, Error> {
        Ok(vec![0, 1])
    }

    fn open(&self, part: usize, context: &ReadContext) -> Result<TwoReader, Error> {
        self.seen
            .lock()
            .unwrap()
            .opened_at
            .push(context.now().millis());
        let latest: Option<Timestamp> = context.position()?;
        // The second part has given all it has before.
        let given = if part == 1 && latest.is_some() { 1 } else { 0 };
        Ok(TwoReader {
            two: self.clone(),
            part,
            latest: latest.unwrap_or(Timestamp::MIN),
            given,
        })
    }

    fn resume(&self) -> Resume {
        Resume::Position
    }

    fn idle_after(&self) -> Option<Duration> {
        Some(10 * MINUTE)
    }
}

impl Reader<i64, ()> for TwoReader {
    async fn read(&mut self, batch: &mut ReadBatch<i64, ()>) -> Result<ReadStatus, Error> {
        let minutes = if self.part == 0 {
            self.two.minutes
        } else {
            &[1]
        };
        // The second part goes first, so that it is known when it was heard.
        let waits = self.part == 0 && !self.two.seen.lock().unwrap().second;
        if let Some(minute) = minutes.get(self.given).filter(|_| !waits) {
            self.given += 1;
            self.latest = Timestamp::from_millis(minute * 60_000);
            batch.push(*minute, self.latest);
            match self.part {
                0 => self.two.clock.advance(MINUTE),
                _ => self.two.seen.lock().unwrap().second = true,
            }
            return Ok(ReadStatus::More);
        }
        if self.ends(waits) {
            return Ok(ReadStatus::Ended);
        }
        tokio::task::yield_now().await;
        Ok(ReadStatus::More)
    }

    fn watermark(&self) -> Timestamp {
        self.latest
    }

    fn position(&mut self) -> Result<Position, Error> {
        Position::of(&self.latest)
    }
}

impl TwoReader {
    /// Tells whether all that can happen has.
    fn ends(&self, waits: bool) -> bool {
        let mut seen = self.two.seen.lock().unwrap();
        if self.part == 0 && !waits && !seen.over {
            seen.waits += 1;
            if seen.waits > 50 {
                match &self.two.stop {
                    Some(stop) => stop.stop(),
                    None => seen.over = true,
                }
            }
        }
        seen.over
    }
}

/// One life: returns when the run has stopped, or ended.
fn live(folder: &std::path::Path, two: &Two, runner: &DirectRunner) {
    let snapshots = Snapshots::open(folder).unwrap().interval(60 * MINUTE);
    let runner = runner.clone().seed(3).workers(2).snapshots(&snapshots);
    let seen = Arc::clone(&two.seen);
    let pipeline = Pipeline::build(|p| {
        p.read("Read", two.clone())
            .key_by("All", |_| 0_u8)
            .window_into("Minutes", FixedWindows::of(MINUTE))
            .count_per_key("Count")
            .par_do("Fired", Fired(seen))
            .check("Counts", |_| {});
    })
    .unwrap();
    runner.run(&pipeline).unwrap();
}

#[derive(Clone)]
struct Fired(Arc<Mutex<Seen>>);

impl DoFn for Fired {
    type Input = (u8, u64);
    type Outputs = Out<u64>;

    fn process(
        &mut self,
        _: (u8, u64),
        context: &ElementContext,
        _: &mut Out<u64>,
    ) -> Result<(), BoxError> {
        let mut seen = self.0.lock().unwrap();
        if !seen.over {
            seen.fired.push(context.window().end().millis() / 60_000);
        }
        Ok(())
    }
}

#[test]
fn a_quiet_part_stays_quiet_and_time_does_not_go_back() {
    let folder = tempfile::tempdir().unwrap();
    let seen: Arc<Mutex<Seen>> = Arc::default();
    let start = 50 * YEAR;
    let clock = Arc::new(ManualClock::at(Timestamp::from_millis(start)));
    let runner = DirectRunner::new().clock(Arc::clone(&clock) as Arc<dyn pipeline_core::Clock>);
    // The first part goes on for eight minutes: the second is not idle yet, and holds it back.
    let first = Two {
        clock,
        minutes: &[2, 3, 4, 5, 6, 7, 8, 9],
        stop: Some(runner.stop_handle()),
        seen: Arc::clone(&seen),
    };
    live(folder.path(), &first, &runner);
    assert!(seen.lock().unwrap().fired.is_empty());
    // The machine is a year behind now. Three more minutes, and the second part is idle.
    seen.lock().unwrap().waits = 0;
    let clock = Arc::new(ManualClock::at(Timestamp::from_millis(start - YEAR)));
    let runner = DirectRunner::new().clock(Arc::clone(&clock) as Arc<dyn pipeline_core::Clock>);
    let second = Two {
        clock,
        minutes: &[10, 11, 12],
        stop: None,
        seen: Arc::clone(&seen),
    };
    live(folder.path(), &second, &runner);
    let seen = seen.lock().unwrap();
    let saved = start + 8 * 60_000;
    assert_eq!(seen.opened_at, [start, start, saved, saved]);
    // The ends of the windows up to where the first part was.
    assert_eq!(seen.fired, [2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
}
