//! The numbers of epochs: behind those that any sink has committed, so that none is taken for a repetition.

use std::sync::{Arc, Mutex};

use pipeline_core::prelude::*;
use pipeline_core::runners::direct::Snapshots;
use pipeline_core::sink::{Recovery, Rejected};

/// What a table outside holds: the last epoch, and the rows.
type Table = Arc<Mutex<(u64, Vec<u64>)>>;

/// A sink of somebody who passes over an epoch that is there, and knows no lives.
struct Marked(Table);

struct MarkedWriter(Vec<u64>);

impl Sink for Marked {
    type Item = u64;
    type Writer = MarkedWriter;

    fn open(&self, _worker: usize) -> Result<MarkedWriter, Error> {
        Ok(MarkedWriter(Vec::new()))
    }

    async fn commit(&self, epoch: u64, prepared: Vec<Vec<u8>>) -> Result<(), Error> {
        let mut table = self.0.lock().unwrap();
        if epoch > table.0 {
            table.0 = epoch;
            for rows in prepared {
                table
                    .1
                    .extend(serde_json::from_slice::<Vec<u64>>(&rows).unwrap());
            }
        }
        Ok(())
    }

    async fn recover(&self, last: Option<Recovery>) -> Result<u64, Error> {
        if let Some(last) = last {
            self.commit(last.epoch, last.prepared).await?;
        }
        Ok(self.0.lock().unwrap().0)
    }
}

impl Writer<u64> for MarkedWriter {
    async fn write(&mut self, batch: &WriteBatch<'_, u64>) -> Result<Vec<Rejected>, Error> {
        self.0.extend_from_slice(batch.records);
        Ok(Vec::new())
    }

    async fn prepare(&mut self, _epoch: u64) -> Result<Vec<u8>, Error> {
        Ok(serde_json::to_vec(&std::mem::take(&mut self.0)).unwrap())
    }
}

fn run(folder: &std::path::Path, table: &Table, numbers: Vec<u64>) -> Result<(), Error> {
    let snapshots = Snapshots::open(folder)?;
    let sink = Marked(Arc::clone(table));
    let pipeline = Pipeline::build(|p| {
        p.create("Numbers", numbers).write("Write", sink);
    })?;
    let runner = DirectRunner::new().workers(2).snapshots(&snapshots);
    runner.run(&pipeline).map(|_| ())
}

#[test]
fn a_new_folder_over_an_old_table_begins_behind_its_mark() {
    let table = Table::default();
    for life in 0..3 {
        let folder = tempfile::tempdir().unwrap();
        for run_of_folder in 0..2 {
            let number = 10 * life + run_of_folder;
            run(folder.path(), &table, vec![number]).unwrap();
            let rows = &table.lock().unwrap().1;
            assert_eq!(rows.last(), Some(&number), "{rows:?}");
        }
    }
    assert_eq!(table.lock().unwrap().1, [0, 1, 10, 11, 20, 21]);
}

#[test]
fn a_mark_behind_which_there_is_no_number_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let table: Table = Arc::new(Mutex::new((u64::MAX, Vec::new())));
    let error = run(folder.path(), &table, vec![1]).unwrap_err().to_string();
    assert!(
        error.contains("'Write'") && error.contains("no number"),
        "{error}"
    );
}
