//! Lives of a sink in a run with snapshots, without the run: each call is the test's.

use pipeline_core::Result;
use pipeline_core::prelude::*;
use pipeline_core::sink::Recovery;
use pollster::block_on;

/// A life: from its recovery until it is dropped, as by a crash, or ended.
pub struct Life<S: Sink> {
    pub sink: S,
    writers: Vec<S::Writer>,
    sequences: Vec<u64>,
    /// The last epoch that was committed when it began, as the sink says.
    pub committed: u64,
}

impl<S: Sink> Life<S> {
    /// Begins with nothing.
    pub fn new(sink: S, workers: usize) -> Self {
        Life::begin(sink, workers, None).unwrap()
    }

    /// Goes on at a snapshot.
    pub fn resume(sink: S, workers: usize, epoch: u64, prepared: &[Vec<u8>]) -> Result<Self> {
        Life::begin(sink, workers, Some(recovery(epoch, prepared, false)))
    }

    /// Goes on at a snapshot behind the end of all input, to the end.
    pub fn end_again(sink: S, workers: usize, epoch: u64, prepared: &[Vec<u8>]) {
        let life = Life::begin(sink, workers, Some(recovery(epoch, prepared, true))).unwrap();
        block_on(life.close().finish(true)).unwrap();
    }

    fn begin(sink: S, workers: usize, last: Option<Recovery>) -> Result<Self> {
        let committed = block_on(sink.recover(last))?;
        let writers = (0..workers).map(|worker| sink.open_in_epochs(worker));
        let writers = writers.collect::<Result<Vec<_>>>()?;
        Ok(Life {
            sink,
            writers,
            sequences: vec![0; workers],
            committed,
        })
    }

    /// Writes a batch; returns the places of the records that were refused.
    pub fn write(&mut self, worker: usize, records: &[S::Item]) -> Result<Vec<usize>> {
        let sequence = self.sequences[worker];
        self.sequences[worker] += 1;
        let batch = WriteBatch::new(records, sequence);
        let rejected = block_on(self.writers[worker].write(&batch))?;
        Ok(rejected.into_iter().map(|r| r.index).collect())
    }

    pub fn prepare(&mut self, epoch: u64) -> Vec<Vec<u8>> {
        let prepared = self.writers.iter_mut().map(|w| block_on(w.prepare(epoch)));
        prepared.collect::<Result<Vec<_>>>().unwrap()
    }

    pub fn commit(&self, epoch: u64, prepared: &[Vec<u8>]) {
        block_on(self.sink.commit(epoch, prepared.to_vec())).unwrap();
    }

    /// Takes a whole epoch; returns what a snapshot would hold of it.
    pub fn epoch(&mut self, epoch: u64) -> Vec<Vec<u8>> {
        let prepared = self.prepare(epoch);
        self.commit(epoch, &prepared);
        prepared
    }

    /// Closes the writers, and gives the sink.
    pub fn close(mut self) -> S {
        for writer in &mut self.writers {
            block_on(writer.close()).unwrap();
        }
        self.sink
    }
}

pub fn recovery(epoch: u64, prepared: &[Vec<u8>], drained: bool) -> Recovery {
    Recovery {
        epoch,
        prepared: prepared.to_vec(),
        drained,
    }
}
