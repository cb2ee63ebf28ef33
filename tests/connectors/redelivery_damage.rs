//! A subscription that has acknowledged what its newest snapshot held, and that snapshot damaged or gone.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pipeline_core::prelude::*;
use pipeline_core::runners::direct::Snapshots;
use pipeline_gcp::bigquery::{
    BigQuery, Column, ColumnType, LocalWarehouse, Row, TableSchema, TableSink,
};
use pipeline_gcp::pubsub::{LocalPubSub, Message, NewMessage, PubSub, PubSubSource};
use pollster::block_on;

/// A topic that outlives the runs, and the folder of their snapshots and files.
struct Job {
    service: Arc<LocalPubSub>,
    warehouse: Arc<LocalWarehouse>,
    dir: tempfile::TempDir,
    published: u64,
}

/// What a life writes to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum To {
    File,
    Table,
}

impl Job {
    fn new() -> Self {
        let service = Arc::new(LocalPubSub::new());
        block_on(service.create_topic("topic")).unwrap();
        block_on(service.create_subscription("sub", "topic")).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let warehouse = LocalWarehouse::open(dir.path().join("warehouse")).unwrap();
        Job {
            service,
            warehouse: Arc::new(warehouse),
            dir,
            published: 0,
        }
    }

    fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    fn output(&self) -> PathBuf {
        self.dir.path().join("lines")
    }

    /// Publishes fifty messages more.
    fn publish(&mut self) {
        let messages = (self.published..self.published + 50)
            .map(|number| NewMessage::new(number.to_string()))
            .collect();
        block_on(self.service.publish("topic", messages)).unwrap();
        self.published += 50;
    }

    /// Runs until all messages are taken in, and then to a snapshot, the only one of this life; all are acknowledged.
    fn life(&self, to: To, drains: bool, accepts_loss: bool) -> Result<(), Error> {
        let source = PubSubSource::new(Arc::clone(&self.service) as Arc<dyn PubSub>, "sub");
        let warehouse = Arc::clone(&self.warehouse) as Arc<dyn BigQuery>;
        let pipeline = Pipeline::build(|p| {
            let texts = p.read("ReadTopic", source).map("Text", |m: Message| {
                String::from_utf8_lossy(m.data()).into_owned()
            });
            match to {
                To::File => {
                    let sink = TextSink::lines(self.output()).without_sharding();
                    texts.write("WriteLines", sink);
                }
                To::Table => {
                    let schema = TableSchema::new([Column::required("n", ColumnType::String)]);
                    let row = |n: &String| Row::new(vec![n.as_str().into()]).with_id(n.as_str());
                    let sink = TableSink::append(warehouse, "lines", schema, row);
                    texts.write("WriteLines", sink);
                }
            }
        })?;
        let mut snapshots = Snapshots::open(self.state())?.interval(Duration::from_secs(3600));
        if accepts_loss {
            snapshots = snapshots.accept_loss();
        }
        let runner = DirectRunner::new().workers(2).snapshots(&snapshots);
        let (handle, service) = (runner.stop_handle(), Arc::clone(&self.service));
        let over = Arc::new(AtomicBool::new(false));
        let watched = Arc::clone(&over);
        let stopper = std::thread::spawn(move || {
            let left = || service.counters("sub").unwrap().undelivered;
            while left() > 0 && !watched.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(1));
            }
            match drains {
                true => handle.drain(),
                false => handle.stop(),
            }
        });
        let ran = runner.run(&pipeline);
        over.store(true, Ordering::Relaxed);
        stopper.join().unwrap();
        ran?;
        let counters = self.service.counters("sub").unwrap();
        assert_eq!(counters.acknowledged, self.published);
        Ok(())
    }

    fn newest(&self) -> PathBuf {
        let entries = fs::read_dir(self.state()).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        let snapshots = paths.filter(|p| p.file_name().unwrap() != "lock");
        snapshots.max().unwrap()
    }

    /// Everything in the folder but the locks, by name.
    fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut files = Vec::new();
        for folder in [self.dir.path(), &self.state()] {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_file() && !path.ends_with("lock") {
                    files.push((path.clone(), fs::read(&path).unwrap()));
                }
            }
        }
        files.sort();
        files
    }

    fn lines(&self) -> Vec<u64> {
        let text = fs::read_to_string(self.output()).unwrap();
        let mut lines: Vec<u64> = text.lines().map(|line| line.parse().unwrap()).collect();
        lines.sort_unstable();
        lines
    }
}

fn flip(path: &Path) -> Vec<u8> {
    let whole = fs::read(path).unwrap();
    let mut bytes = whole.clone();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
    whole
}

#[test]
fn behind_a_damaged_snapshot_the_run_is_refused_and_nothing_is_touched() {
    let mut job = Job::new();
    for _ in 0..2 {
        job.publish();
        job.life(To::File, false, false).unwrap();
    }
    job.publish();
    let newest = job.newest();
    let whole = flip(&newest);
    let before = job.files();
    for _ in 0..2 {
        let error = job.life(To::File, true, false).unwrap_err().to_string();
        for part in ["'ReadTopic'", "put back", "accept_loss"] {
            assert!(error.contains(part), "{error}");
        }
        assert!(job.files() == before, "files were changed");
    }
    // As it says.
    fs::write(&newest, whole).unwrap();
    job.life(To::File, true, false).unwrap();
    assert_eq!(job.lines(), (0..150).collect::<Vec<_>>());
}

#[test]
fn the_loss_can_be_accepted() {
    let mut job = Job::new();
    for _ in 0..2 {
        job.publish();
        job.life(To::File, false, false).unwrap();
    }
    flip(&job.newest());
    job.publish();
    job.life(To::File, true, true).unwrap();
    // What came before the damaged one, and what came now.
    let lines: Vec<u64> = (0..50).chain(100..150).collect();
    assert_eq!(job.lines(), lines);
}

#[test]
fn behind_a_snapshot_that_is_gone_the_mark_of_the_table_tells() {
    let mut job = Job::new();
    for _ in 0..2 {
        job.publish();
        job.life(To::Table, false, false).unwrap();
    }
    job.publish();
    let newest = job.newest();
    let whole = fs::read(&newest).unwrap();
    fs::remove_file(&newest).unwrap();
    let error = job.life(To::Table, true, false).unwrap_err().to_string();
    assert!(
        error.contains("'ReadTopic'") && error.contains("gone"),
        "{error}"
    );
    fs::write(&newest, whole).unwrap();
    job.life(To::Table, true, false).unwrap();
    let rows = block_on(job.warehouse.query("SELECT n FROM lines")).unwrap();
    assert_eq!(rows.rows.len(), 150);
}
