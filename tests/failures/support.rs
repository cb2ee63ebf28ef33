//! A source that gives numbers as fast as it is asked, and a sink that takes its time.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use pipeline_core::prelude::*;

/// Gives the numbers below a limit, in two parts; an unbounded one waits for ever behind them.
#[derive(Clone)]
pub struct Flood {
    pub limit: u64,
    pub bounded: bool,
    /// The numbers given so far.
    pub given: Arc<AtomicU64>,
    /// The numbers whose acknowledgement came.
    pub acked: Arc<Mutex<Vec<u64>>>,
}

impl Flood {
    pub fn new(limit: u64, bounded: bool) -> Self {
        Flood {
            limit,
            bounded,
            given: Arc::default(),
            acked: Arc::default(),
        }
    }

    pub fn given(&self) -> u64 {
        self.given.load(Ordering::SeqCst)
    }
}

impl Source for Flood {
    type Item = u64;
    type Split = (u64, u64);
    type Ack = Vec<u64>;
    type Reader = FloodReader;

    fn is_bounded(&self) -> bool {
        self.bounded
    }

    fn split(&self, _: usize) -> Result<Vec<(u64, u64)>, Error> {
        let half = self.limit / 2;
        Ok(vec![(0, half), (half, self.limit)])
    }

    fn open(&self, (next, end): (u64, u64), _: &ReadContext) -> Result<FloodReader, Error> {
        Ok(FloodReader {
            flood: self.clone(),
            next,
            end,
        })
    }

    async fn acknowledge(&self, acks: Vec<Vec<u64>>) -> Result<(), Error> {
        self.acked
            .lock()
            .unwrap()
            .extend(acks.into_iter().flatten());
        Ok(())
    }
}

pub struct FloodReader {
    flood: Flood,
    next: u64,
    end: u64,
}

impl Reader<u64, Vec<u64>> for FloodReader {
    async fn read(&mut self, batch: &mut ReadBatch<u64, Vec<u64>>) -> Result<ReadStatus, Error> {
        if self.next == self.end && !self.flood.bounded {
            std::future::pending::<()>().await;
        }
        let end = self.end.min(self.next + batch.room() as u64);
        let numbers: Vec<u64> = (self.next..end).collect();
        for number in &numbers {
            batch.push(*number, Timestamp::from_millis(0));
        }
        self.next = end;
        self.flood
            .given
            .fetch_add(numbers.len() as u64, Ordering::SeqCst);
        batch.acknowledge_with(numbers);
        Ok(if self.next == self.end && self.flood.bounded {
            ReadStatus::Ended
        } else {
            ReadStatus::More
        })
    }

    fn watermark(&self) -> Timestamp {
        if self.flood.bounded {
            Timestamp::MIN
        } else {
            Timestamp::from_millis(0)
        }
    }
}

/// Counts rows, each of which takes its time until it is told to hurry.
pub struct Slow<T> {
    pub per_row: Duration,
    /// If there is one, only this worker's writer takes its time.
    pub slow_worker: Option<usize>,
    pub written: Arc<AtomicU64>,
    pub hurry: Arc<AtomicBool>,
    pub finishes: Arc<Mutex<Vec<bool>>>,
    item: PhantomData<fn(T)>,
}

impl<T> Slow<T> {
    pub fn new(per_row: Duration) -> Self {
        Slow {
            per_row,
            slow_worker: None,
            written: Arc::default(),
            hurry: Arc::default(),
            finishes: Arc::default(),
            item: PhantomData,
        }
    }
}

impl<T> Clone for Slow<T> {
    fn clone(&self) -> Self {
        Slow {
            per_row: self.per_row,
            slow_worker: self.slow_worker,
            written: Arc::clone(&self.written),
            hurry: Arc::clone(&self.hurry),
            finishes: Arc::clone(&self.finishes),
            item: PhantomData,
        }
    }
}

impl<T: Element> Sink for Slow<T> {
    type Item = T;
    type Writer = Slow<T>;

    fn open(&self, worker: usize) -> Result<Slow<T>, Error> {
        let mut writer = self.clone();
        if self.slow_worker.is_some_and(|slow| slow != worker) {
            writer.per_row = Duration::ZERO;
        }
        Ok(writer)
    }

    async fn finish(&self, succeeded: bool) -> Result<(), Error> {
        self.finishes.lock().unwrap().push(succeeded);
        Ok(())
    }
}

impl<T: Element> Writer<T> for Slow<T> {
    async fn write(&mut self, batch: &WriteBatch<'_, T>) -> Result<Vec<Rejected>, Error> {
        let rows = batch.records.len();
        let until = Instant::now() + self.per_row * rows as u32;
        while Instant::now() < until && !self.hurry.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.written.fetch_add(rows as u64, Ordering::SeqCst);
        Ok(Vec::new())
    }
}

/// Waits until something holds; panics when it does not for long.
pub fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < until, "waited too long: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
