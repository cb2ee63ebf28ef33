//! A source is closed once in each run, behind everything else, however the run ends.

use std::sync::{Arc, Mutex};

use pipeline_core::prelude::*;

/// Ten numbers, and a diary of what it is called for.
struct Diary {
    said: Arc<Mutex<Vec<&'static str>>>,
    close_fails: bool,
}

struct Ten(bool);

impl Reader<u64, ()> for Ten {
    async fn read(&mut self, batch: &mut ReadBatch<u64, ()>) -> Result<ReadStatus, Error> {
        if self.0 {
            return Ok(ReadStatus::Ended);
        }
        self.0 = true;
        (0..10).for_each(|number| batch.push(number, Timestamp::MIN));
        batch.acknowledge_with(());
        Ok(ReadStatus::More)
    }
}

impl Source for Diary {
    type Item = u64;
    type Split = ();
    type Ack = ();
    type Reader = Ten;

    fn is_bounded(&self) -> bool {
        false
    }
    fn split(&self, _: usize) -> Result<Vec<()>, Error> {
        Ok(vec![()])
    }
    fn open(&self, (): (), _: &ReadContext) -> Result<Ten, Error> {
        Ok(Ten(false))
    }
    async fn acknowledge(&self, _: Vec<()>) -> Result<(), Error> {
        self.said.lock().unwrap().push("acknowledge");
        Ok(())
    }
    async fn close(&self) -> Result<(), Error> {
        // It is in the run's runtime.
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        self.said.lock().unwrap().push("close");
        match self.close_fails {
            true => Err(Error::connector("the line is dead")),
            false => Ok(()),
        }
    }
}

/// Runs it; returns what the source was called for, and the error.
fn run(close_fails: bool, element_fails: bool) -> (Vec<&'static str>, Option<String>) {
    let said = Arc::<Mutex<Vec<_>>>::default();
    let source = Diary {
        said: Arc::clone(&said),
        close_fails,
    };
    let pipeline = Pipeline::build(|p| {
        p.read("Read", source)
            .map("Map", move |number| {
                assert!(!element_fails || number < 5, "boom");
                number
            })
            .check("Ten", |numbers| assert_eq!(numbers.len(), 10));
    })
    .unwrap();
    super::kit::silence_booms();
    let ended = DirectRunner::new().workers(2).run(&pipeline);
    let said = std::mem::take(&mut *said.lock().unwrap());
    (said, ended.err().map(|error| error.to_string()))
}

#[test]
fn a_source_is_closed_behind_the_last_acknowledgement() {
    assert_eq!(run(false, false), (vec!["acknowledge", "close"], None));
}

#[test]
fn a_source_is_closed_when_the_run_fails_and_says_nothing_over_its_error() {
    for close_fails in [false, true] {
        let (said, error) = run(close_fails, true);
        assert_eq!(said, ["close"]);
        assert!(error.unwrap().contains("boom"));
    }
}

#[test]
fn an_error_of_the_end_is_the_runs() {
    let (said, error) = run(true, false);
    assert_eq!(said, ["acknowledge", "close"]);
    let error = error.unwrap();
    assert_eq!(error, "close failed in transform 'Read': the line is dead");
}
