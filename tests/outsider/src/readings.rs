//! A source: the readings of sensors.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use pipeline_core::prelude::*;

/// One reading: the sensor, when, and what.
pub type Reading = (String, i64, i64);

/// Gives readings, unbounded, in the order of their times; counts those that are acknowledged.
#[derive(Clone)]
pub struct Readings {
    /// The readings.
    pub readings: Vec<Reading>,
    /// How many were acknowledged.
    pub acknowledged: Arc<AtomicUsize>,
}

impl Source for Readings {
    type Item = Reading;
    type Split = Vec<Reading>;
    type Ack = usize;
    type Reader = ReadingsReader;

    fn is_bounded(&self) -> bool {
        false
    }

    fn split(&self, _: usize) -> Result<Vec<Vec<Reading>>, Error> {
        Ok(vec![self.readings.clone()])
    }

    fn open(&self, split: Vec<Reading>, context: &ReadContext) -> Result<ReadingsReader, Error> {
        if split.is_empty() {
            return Err(Error::connector(format!(
                "{} has nothing to read",
                context.path()
            )));
        }
        Ok(ReadingsReader {
            readings: split.into_iter(),
            watermark: Timestamp::MIN,
        })
    }

    async fn acknowledge(&self, acks: Vec<usize>) -> Result<(), Error> {
        self.acknowledged
            .fetch_add(acks.into_iter().sum(), Ordering::SeqCst);
        Ok(())
    }
}

/// Reads them.
pub struct ReadingsReader {
    readings: std::vec::IntoIter<Reading>,
    watermark: Timestamp,
}

impl Reader<Reading, usize> for ReadingsReader {
    async fn read(&mut self, batch: &mut ReadBatch<Reading, usize>) -> Result<ReadStatus, Error> {
        let mut taken = 0;
        for reading in self.readings.by_ref().take(batch.room().min(3)) {
            let time = Timestamp::from_millis(reading.1);
            self.watermark = time;
            batch.push(reading, time);
            taken += 1;
        }
        batch.acknowledge_with(taken);
        Ok(if self.readings.len() == 0 {
            ReadStatus::Ended
        } else {
            ReadStatus::More
        })
    }

    fn watermark(&self) -> Timestamp {
        self.watermark
    }
}
