//! The kit's source and sink.

use std::fs::File;
use std::io::Write as _;
use std::sync::Arc;

use pipeline_core::prelude::*;

use super::{Kit, Spot};

/// The records of a part.
const RECORDS: u64 = 40;
/// The records of a read: several bundles come out of a part.
const BATCH: u64 = 10;

/// Returns the event time of a record, from its number.
pub(super) fn time_of(record: &str) -> Timestamp {
    let number = record.rsplit('-').next().and_then(|n| n.parse().ok());
    Timestamp::from_millis(1_000 * number.unwrap_or(0))
}

/// Gives records `record-PART-NUMBER`.
pub struct Parts {
    pub kit: Arc<Kit>,
    pub bounded: bool,
    /// An unbounded one that does not end waits for ever after its last record.
    pub ends: bool,
}

impl Source for Parts {
    type Item = String;
    type Split = usize;
    type Ack = u64;
    type Reader = PartReader;

    fn is_bounded(&self) -> bool {
        self.bounded
    }

    fn split(&self, desired: usize) -> Result<Vec<usize>, Error> {
        self.kit.visit_connector(Spot::Split)?;
        Ok((0..desired).collect())
    }

    fn open(&self, part: usize, _: &ReadContext) -> Result<PartReader, Error> {
        self.kit.visit_connector(Spot::Open)?;
        Ok(PartReader {
            kit: Arc::clone(&self.kit),
            part,
            next: 0,
            ends: self.bounded || self.ends,
            bounded: self.bounded,
        })
    }

    async fn acknowledge(&self, _: Vec<u64>) -> Result<(), Error> {
        self.kit.visit_connector(Spot::Acknowledge)
    }
}

pub struct PartReader {
    kit: Arc<Kit>,
    part: usize,
    next: u64,
    ends: bool,
    bounded: bool,
}

impl Reader<String, u64> for PartReader {
    async fn read(&mut self, batch: &mut ReadBatch<String, u64>) -> Result<ReadStatus, Error> {
        if self.next == RECORDS && !self.ends {
            // One more read tells the watermark behind the last record.
            self.next += 1;
            return Ok(ReadStatus::More);
        }
        if self.next > RECORDS {
            std::future::pending::<()>().await;
        }
        if self.next > 0 {
            self.kit.visit_connector(Spot::Read)?;
        }
        for number in self.next..self.next + BATCH {
            let record = format!("record-{}-{number}", self.part);
            let time = if self.bounded {
                Timestamp::MIN
            } else {
                time_of(&record)
            };
            batch.push(record, time);
        }
        self.next += BATCH;
        batch.acknowledge_with(self.next);
        Ok(if self.next == RECORDS && self.ends {
            ReadStatus::Ended
        } else {
            ReadStatus::More
        })
    }

    fn watermark(&self) -> Timestamp {
        match self.next {
            _ if self.bounded => Timestamp::MIN,
            next if next > RECORDS => Timestamp::from_millis(86_400_000),
            next => Timestamp::from_millis(1_000 * next.cast_signed()),
        }
    }
}

/// Writes lines into a file with a temporary name, which gets its own at the end.
pub struct Numbered(pub Arc<Kit>);

impl Sink for Numbered {
    type Item = String;
    type Writer = NumberedWriter;

    fn open(&self, worker: usize) -> Result<NumberedWriter, Error> {
        self.0.visit_connector(Spot::SinkOpen)?;
        let path = self.0.dir.join(format!("part-{worker}.temporary"));
        let file = File::create(&path).map_err(|e| Error::io("creating a part", e))?;
        Ok(NumberedWriter(Arc::clone(&self.0), file))
    }

    async fn finish(&self, succeeded: bool) -> Result<(), Error> {
        self.0.finishes.lock().unwrap().push(succeeded);
        if succeeded {
            self.0.visit_connector(Spot::Finish)?;
        }
        for entry in std::fs::read_dir(&self.0.dir).expect("the folder is there") {
            let path = entry.expect("it can be listed").path();
            if succeeded {
                std::fs::rename(&path, path.with_extension("txt")).expect("it can be renamed");
            } else {
                std::fs::remove_file(&path).expect("it can be removed");
            }
        }
        Ok(())
    }
}

pub struct NumberedWriter(Arc<Kit>, File);

impl Writer<String> for NumberedWriter {
    async fn write(&mut self, batch: &WriteBatch<'_, String>) -> Result<Vec<Rejected>, Error> {
        self.0.visit_connector(Spot::Write)?;
        for record in batch.records {
            writeln!(self.1, "{record}").map_err(|e| Error::io("writing a part", e))?;
        }
        Ok(Vec::new())
    }

    async fn close(&mut self) -> Result<(), Error> {
        self.0.visit_connector(Spot::Close)
    }
}
