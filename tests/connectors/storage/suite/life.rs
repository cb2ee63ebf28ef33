//! Lives of a sink of files in runs with snapshots, without the run: each call is the test's.

use pipeline_core::Result;
use pipeline_core::prelude::*;
use pipeline_core::sink::{Recovery, Stamp, Stamps};
use pipeline_core::window::{PaneInfo, Window};
use pipeline_gcp::storage::{FileSink, FileWriter};
use pollster::block_on;

/// The minute that a record is in.
pub fn stamp(minute: i64) -> Stamp {
    let start = Timestamp::from_millis(1_706_781_600_000 + minute * 60_000);
    Stamp {
        timestamp: start,
        window: Window::interval(start, start.plus_millis(60_000)),
        pane: PaneInfo::NO_FIRING,
    }
}

/// The time at which so many minutes are over.
pub fn minutes(minutes: i64) -> Timestamp {
    stamp(minutes).timestamp
}

/// A life: from its recovery until it is dropped, as by a crash, or ended. A runtime must be entered.
pub struct Life {
    pub sink: FileSink<String>,
    writers: Vec<FileWriter<String>>,
    sequence: u64,
}

impl Life {
    pub fn begin(
        sink: FileSink<String>,
        workers: usize,
        last: Option<(u64, Vec<Vec<u8>>)>,
    ) -> Result<Self> {
        let last = last.map(|(epoch, prepared)| Recovery {
            epoch,
            prepared,
            drained: false,
        });
        block_on(sink.recover(last))?;
        let writers = (0..workers).map(|worker| sink.open_in_epochs(worker));
        let writers = writers.collect::<Result<Vec<_>>>()?;
        Ok(Life {
            sink,
            writers,
            sequence: 0,
        })
    }

    /// Writes records of a minute; returns the places of those that were refused.
    pub fn write(
        &mut self,
        worker: usize,
        shard: u32,
        minute: i64,
        records: &[String],
    ) -> Result<Vec<usize>> {
        let records: Vec<(u32, String)> = records.iter().map(|r| (shard, r.clone())).collect();
        let stamps = Stamps::Same(stamp(minute));
        let batch = WriteBatch {
            stamps: &stamps,
            ..WriteBatch::new(&records, self.sequence)
        };
        self.sequence += 1;
        let rejected = block_on(self.writers[worker].write(&batch))?;
        Ok(rejected.into_iter().map(|r| r.index).collect())
    }

    /// Tells all workers that so many minutes are over.
    pub fn advance(&mut self, to: Timestamp) -> Result<()> {
        self.writers
            .iter_mut()
            .try_for_each(|w| block_on(w.advance(to)))
    }

    pub fn prepare(&mut self, epoch: u64) -> Result<Vec<Vec<u8>>> {
        let prepared = self.writers.iter_mut().map(|w| block_on(w.prepare(epoch)));
        prepared.collect()
    }

    pub fn commit(&self, epoch: u64, prepared: &[Vec<u8>]) -> Result<()> {
        block_on(self.sink.commit(epoch, prepared.to_vec()))
    }

    pub fn end(mut self) -> Result<()> {
        self.writers
            .iter_mut()
            .try_for_each(|w| block_on(w.close()))?;
        block_on(self.sink.finish(true))
    }
}
