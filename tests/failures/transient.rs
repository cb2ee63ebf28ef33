//! Errors of a sink that may pass: five attempts with the same batch, each pause twice as long.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use pipeline_core::prelude::*;

/// When an attempt came, its number, the batch's, and its records.
type Attempt = (Instant, u32, u64, Vec<u64>);

/// Fails so many times, then takes the batch.
#[derive(Clone)]
struct Moody {
    failures: u32,
    attempts: Arc<Mutex<Vec<Attempt>>>,
    kept: Arc<Mutex<Vec<u64>>>,
}

impl Moody {
    fn new(failures: u32) -> Self {
        Moody {
            failures,
            attempts: Arc::default(),
            kept: Arc::default(),
        }
    }

    /// Checks that the attempts were numbered, with one batch, and returns the pauses.
    fn pauses(&self) -> Vec<Duration> {
        let attempts = self.attempts.lock().unwrap();
        for (number, (_, attempt, sequence, records)) in attempts.iter().enumerate() {
            assert_eq!((*attempt as usize, *sequence), (number, 0));
            assert_eq!(*records, [1, 2]);
        }
        attempts.windows(2).map(|w| w[1].0 - w[0].0).collect()
    }
}

impl Sink for Moody {
    type Item = u64;
    type Writer = Moody;

    fn open(&self, _: usize) -> Result<Moody, Error> {
        Ok(self.clone())
    }
}

impl Writer<u64> for Moody {
    async fn write(&mut self, batch: &WriteBatch<'_, u64>) -> Result<Vec<Rejected>, Error> {
        let records = batch.records.to_vec();
        let attempt = (Instant::now(), batch.attempt, batch.sequence, records);
        self.attempts.lock().unwrap().push(attempt);
        if batch.attempt < self.failures {
            return Err(Error::transient("the quota is used up"));
        }
        self.kept.lock().unwrap().extend_from_slice(batch.records);
        Ok(Vec::new())
    }
}

fn run(sink: &Moody) -> Result<RunResult, Error> {
    let sink = sink.clone();
    let pipeline = Pipeline::build(|p| {
        p.create("Create", vec![vec![1, 2]])
            .flat_map("All", |all| all)
            .write("Write", sink);
    })?;
    DirectRunner::new().workers(1).run(&pipeline)
}

#[test]
fn the_fifth_attempt_counts() {
    let sink = Moody::new(4);
    run(&sink).expect("the last attempt succeeds");
    assert_eq!(*sink.kept.lock().unwrap(), [1, 2], "written once");
    let least = [100, 200, 400, 800].map(Duration::from_millis);
    let pauses = sink.pauses();
    assert_eq!(pauses.len(), least.len());
    for (pause, least) in pauses.into_iter().zip(least) {
        assert!(
            pause >= least && pause < least * 3,
            "{pause:?}, not {least:?}"
        );
    }
}

#[test]
fn after_five_attempts_the_job_ends() {
    let sink = Moody::new(5);
    let error = run(&sink).unwrap_err().to_string();
    let expected = "write failed in transform 'Write': the quota is used up (after 5 attempts)";
    assert_eq!(error, expected);
    assert_eq!(sink.pauses().len(), 4);
    assert!(sink.kept.lock().unwrap().is_empty());
}
