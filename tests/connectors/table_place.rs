//! Where tables are, and lives of a sink that writes them.

use std::sync::Arc;

use pipeline_core::Result;
use pipeline_core::prelude::*;
use pipeline_core::sink::Recovery;
use pipeline_gcp::bigquery::{
    BigQuery, Column, ColumnType, Row, TableSchema, TableSink, Value, WriteMethod,
};
use serde_json::Value as Json;

/// Where tables are.
pub struct Place {
    pub service: Arc<dyn BigQuery>,
    /// GoogleSQL is understood, not only `SELECT * FROM table`.
    pub knows_sql: bool,
    /// A table that is there can get new columns.
    pub adds_columns: bool,
    /// How rows with a STRUCT are written.
    pub nested: WriteMethod,
    /// Names of tables begin like that, where several tests share a server.
    pub prefix: String,
    runtime: tokio::runtime::Runtime,
}

impl Place {
    pub fn new(service: Arc<dyn BigQuery>, knows_sql: bool, prefix: &str) -> Place {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build();
        Place {
            service,
            knows_sql,
            adds_columns: true,
            nested: WriteMethod::StorageWrite,
            prefix: prefix.to_owned(),
            runtime: runtime.expect("a runtime"),
        }
    }

    pub fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    pub fn named(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Returns the rows of a table as objects, in the order of `n` where there is one.
    pub fn rows(&self, table: &str) -> Vec<Json> {
        let sql = format!("SELECT * FROM {}", self.named(table));
        let result = self.run(self.service.query(&sql)).expect("a query");
        let mut rows: Vec<Json> = result.rows_as().expect("rows");
        rows.sort_by_key(|row| row["n"].as_i64());
        rows
    }

    pub fn numbers(&self, table: &str) -> Vec<i64> {
        let rows = self.rows(table);
        rows.iter()
            .map(|row| row["n"].as_i64().expect("n"))
            .collect()
    }
}

pub fn numbers_schema() -> TableSchema {
    TableSchema::new([Column::required("n", ColumnType::Int64)])
}

/// A sink of numbers, of which `None` is a row that no table takes.
pub fn numbers_sink(place: &Place, table: &str) -> TableSink<Option<i64>> {
    let row = |n: &Option<i64>| Row::new(vec![n.map_or(Value::Null, Value::from)]);
    let service = Arc::clone(&place.service);
    TableSink::append(service, place.named(table), numbers_schema(), row)
}

pub fn some(numbers: &[i64]) -> Vec<Option<i64>> {
    numbers.iter().copied().map(Some).collect()
}

/// A life of a sink in a run with snapshots: each call is the test's.
pub struct Life<'a, S: Sink> {
    place: &'a Place,
    pub sink: S,
    writers: Vec<(S::Writer, u64)>,
}

impl<'a, S: Sink> Life<'a, S> {
    pub fn new(place: &'a Place, sink: S, workers: usize) -> Self {
        Self::begin(place, sink, workers, None).expect("it begins")
    }

    pub fn resume(
        place: &'a Place,
        sink: S,
        workers: usize,
        epoch: u64,
        prepared: &[Vec<u8>],
    ) -> Result<Self> {
        let last = Recovery {
            epoch,
            prepared: prepared.to_vec(),
            drained: false,
        };
        Self::begin(place, sink, workers, Some(last))
    }

    fn begin(place: &'a Place, sink: S, workers: usize, last: Option<Recovery>) -> Result<Self> {
        place.run(sink.recover(last))?;
        let open = |worker| Ok((sink.open_in_epochs(worker)?, 0));
        let writers = (0..workers).map(open).collect::<Result<_>>()?;
        Ok(Life {
            place,
            sink,
            writers,
        })
    }

    /// Writes a batch; returns the places of the records that were refused, with the reasons.
    pub fn write(&mut self, worker: usize, records: &[S::Item]) -> Result<Vec<(usize, String)>> {
        let (writer, sequence) = &mut self.writers[worker];
        let batch = WriteBatch::new(records, *sequence);
        *sequence += 1;
        let rejected = self.place.run(writer.write(&batch))?;
        let reason = |r: Rejected| (r.index, format!("{:?}", r.failure));
        Ok(rejected.into_iter().map(reason).collect())
    }

    pub fn prepare(&mut self, epoch: u64) -> Vec<Vec<u8>> {
        let place = self.place;
        let writers = self.writers.iter_mut();
        let prepared = writers.map(|(writer, _)| place.run(writer.prepare(epoch)));
        prepared.collect::<Result<_>>().expect("it prepares")
    }

    pub fn commit(&self, epoch: u64, prepared: &[Vec<u8>]) -> Result<()> {
        self.place.run(self.sink.commit(epoch, prepared.to_vec()))
    }

    pub fn close(mut self) -> S {
        for (writer, _) in &mut self.writers {
            self.place.run(writer.close()).expect("it closes");
        }
        self.sink
    }
}
