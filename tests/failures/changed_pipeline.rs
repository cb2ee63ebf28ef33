//! A job crashes, its program is changed, and it is started again over the same folder: it goes on, or says what keeps
//! it from going on, and then the program that it was can.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pipeline_core::BuiltPipeline;
use pipeline_core::prelude::*;
use pipeline_core::runners::direct::{Moment, Snapshots};
use pipeline_core::source::{Position, Resume};
use serde::{Deserialize, Serialize};

/// The numbers that are read, half of them by the life that crashes.
const ALL: u64 = 60;

/// What outlives the lives: how far the source may read, and the rows.
#[derive(Clone, Default)]
struct World(Arc<Mutex<(u64, BTreeSet<String>)>>);

struct Numbers(World);

struct NumbersReader {
    world: World,
    next: u64,
}

impl Source for Numbers {
    type Item = u64;
    type Split = ();
    type Ack = ();
    type Reader = NumbersReader;

    fn is_bounded(&self) -> bool {
        false
    }

    fn split(&self, _: usize) -> Result<Vec<()>, Error> {
        Ok(vec![()])
    }

    fn open(&self, (): (), context: &ReadContext) -> Result<NumbersReader, Error> {
        Ok(NumbersReader {
            world: self.0.clone(),
            next: context.position()?.unwrap_or(0),
        })
    }

    fn resume(&self) -> Resume {
        Resume::Position
    }
}

impl Reader<u64, ()> for NumbersReader {
    async fn read(&mut self, batch: &mut ReadBatch<u64, ()>) -> Result<ReadStatus, Error> {
        if self.next == ALL {
            return Ok(ReadStatus::Ended);
        }
        while self.next >= self.world.0.lock().unwrap().0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        batch.push(self.next, Timestamp::from_millis(self.next as i64));
        self.next += 1;
        Ok(ReadStatus::More)
    }

    fn watermark(&self) -> Timestamp {
        Timestamp::from_millis(0)
    }

    fn position(&mut self) -> Result<Position, Error> {
        Position::of(&self.next)
    }
}

/// Rows, of which none is there twice.
struct Rows(World);

struct RowsWriter(World);

impl Sink for Rows {
    type Item = String;
    type Writer = RowsWriter;

    fn open(&self, _worker: usize) -> Result<RowsWriter, Error> {
        Ok(RowsWriter(self.0.clone()))
    }
}

impl Writer<String> for RowsWriter {
    async fn write(&mut self, batch: &WriteBatch<'_, String>) -> Result<Vec<Rejected>, Error> {
        let rows = batch.records.iter().cloned();
        self.0.0.lock().unwrap().1.extend(rows);
        Ok(Vec::new())
    }
}

/// What is changed about the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Nothing,
    Combiner,
    Key,
    Windowing,
    Grouped,
    Cell,
    NoStateful,
    NewStep,
    RenamedStep,
}

/// What is grouped.
trait Grouped: Element {
    fn of(number: u64) -> Self;
    fn number(&self) -> u64;
}

#[derive(Clone, Serialize, Deserialize)]
struct Plain {
    number: u64,
}

impl Grouped for Plain {
    fn of(number: u64) -> Self {
        Plain { number }
    }
    fn number(&self) -> u64 {
        self.number
    }
}

/// The same with a new field.
#[derive(Clone, Serialize, Deserialize)]
struct Marked {
    #[serde(default)]
    mark: Vec<String>,
    number: u64,
}

impl Grouped for Marked {
    fn of(number: u64) -> Self {
        Marked {
            mark: vec!["new".to_owned()],
            number,
        }
    }
    fn number(&self) -> u64 {
        self.number
    }
}

/// The same with a field that has no default.
#[derive(Clone, Serialize, Deserialize)]
struct Strict {
    mark: Vec<String>,
    number: u64,
}

impl Grouped for Strict {
    fn of(number: u64) -> Self {
        Strict {
            mark: Vec::new(),
            number,
        }
    }
    fn number(&self) -> u64 {
        self.number
    }
}

/// Gathers until the window ends.
#[derive(Clone)]
struct Gather<T> {
    numbers: BagCell<T>,
    end: EventTimer,
}

impl<T: Element + From<u32> + std::fmt::Display> StatefulDoFn for Gather<T> {
    type Key = u64;
    type Value = u64;
    type Outputs = Out<String>;

    fn process(
        &mut self,
        _key: &u64,
        number: u64,
        state: &mut StateContext<'_>,
        _out: &mut Out<String>,
    ) -> Result<(), BoxError> {
        self.numbers.add(state, T::from(number as u32));
        let end = state.window().max_timestamp();
        self.end.set(state, end);
        Ok(())
    }

    fn on_timer(
        &mut self,
        key: &u64,
        _timer: EventTimer,
        state: &mut StateContext<'_>,
        out: &mut Out<String>,
    ) -> Result<(), BoxError> {
        let mut numbers: Vec<String> = self.numbers.take(state).iter().map(T::to_string).collect();
        numbers.sort();
        out.emit(format!("gathered {key}: {}", numbers.join(" ")));
        Ok(())
    }
}

fn build<G: Grouped>(world: &World, change: Change) -> BuiltPipeline {
    let rows = || Rows(world.clone());
    Pipeline::build(|p| {
        let numbers = p.read("Read", Numbers(world.clone()));
        let step = match change {
            Change::RenamedStep => "Renamed",
            _ => "Step",
        };
        let mut numbers = numbers.map(step, |n| n);
        if change == Change::NewStep {
            numbers = numbers.map("New", |n| n);
        }
        let hour = match change {
            Change::Windowing => Duration::from_secs(7200),
            _ => Duration::from_secs(3600),
        };
        let pairs = numbers
            .key_by("ByRest", |n: &u64| n % 4)
            .window_into("Hours", FixedWindows::of(hour));
        let summed = match change {
            Change::Combiner => pairs.count_per_key("Sum"),
            Change::Key => pairs
                .map("Signed", |(key, n)| (key as i64, n))
                .sum_per_key("Sum")
                .map("Unsigned", |(key, n)| (key as u64, n)),
            _ => pairs.sum_per_key("Sum"),
        };
        summed
            .map("Summed", |(key, sum)| format!("sum of {key}: {sum}"))
            .write("WriteSums", rows());
        pairs
            .map("Grouped", |(key, n)| (key, G::of(n)))
            .group_by_key("Group")
            .map("Shown", |(key, mut group): (u64, Vec<G>)| {
                group.sort_by_key(G::number);
                let last = group.last().map(G::number);
                format!("group of {key}: {} to {last:?}", group.len())
            })
            .write("WriteGroups", rows());
        let gathered = match change {
            Change::NoStateful => pairs.map("Instead", |(key, n)| format!("{key} {n}")),
            Change::Cell => pairs.par_do_stateful("Gather", |cells| Gather::<f64> {
                numbers: cells.bag("numbers"),
                end: cells.event_timer("end"),
            }),
            _ => pairs.par_do_stateful("Gather", |cells| Gather::<u64> {
                numbers: cells.bag("numbers"),
                end: cells.event_timer("end"),
            }),
        };
        gathered.write("WriteGathered", rows());
    })
    .unwrap()
}

fn expected() -> BTreeSet<String> {
    let mut rows = BTreeSet::new();
    for key in 0..4 {
        let numbers: Vec<u64> = (0..ALL).filter(|n| n % 4 == key).collect();
        let mut texts: Vec<String> = numbers.iter().map(u64::to_string).collect();
        texts.sort();
        rows.insert(format!("sum of {key}: {}", numbers.iter().sum::<u64>()));
        rows.insert(format!(
            "group of {key}: {} to {:?}",
            numbers.len(),
            numbers.last()
        ));
        rows.insert(format!("gathered {key}: {}", texts.join(" ")));
    }
    rows
}

/// Reads half of the numbers, and crashes when they are in a snapshot.
fn crash(folder: &Path, world: &World) {
    world.0.lock().unwrap().0 = ALL / 2;
    let snapshots = Snapshots::open(folder).unwrap();
    let snapshots = snapshots.interval(Duration::from_millis(50));
    let runner = DirectRunner::new().workers(2).snapshots(&snapshots);
    let begun = std::time::Instant::now();
    let runner = runner.at_moments(move |moment| {
        // By then all have been read that may be.
        if moment == Moment::Committed && begun.elapsed() > Duration::from_millis(200) {
            return Err(Error::connector("crash"));
        }
        Ok(())
    });
    // Something has to happen for a snapshot to be taken.
    let opened = world.clone();
    let later = std::thread::spawn(move || {
        for more in 1..=5 {
            std::thread::sleep(Duration::from_millis(100));
            opened.0.lock().unwrap().0 = ALL / 2 + more;
        }
    });
    let crashed = runner.run(&build::<Plain>(world, Change::Nothing));
    assert!(crashed.err().unwrap().to_string().contains("crash"));
    later.join().unwrap();
    world.0.lock().unwrap().0 = ALL;
}

fn resume(folder: &Path, pipeline: &BuiltPipeline) -> Result<(), String> {
    let snapshots = Snapshots::open(folder).unwrap();
    let resumed = snapshots.resumed().unwrap();
    assert!(resumed.keys > 0 && resumed.messages >= ALL / 2);
    let runner = DirectRunner::new().workers(3).snapshots(&snapshots);
    let ran = runner.run(pipeline);
    ran.map(|_| ()).map_err(|error| error.to_string())
}

/// The changed program is refused, says all of this and what to do; the old one goes on.
#[track_caller]
fn is_refused<G: Grouped>(change: Change, says: &[&str]) {
    let (folder, world) = (tempfile::tempdir().unwrap(), World::default());
    crash(folder.path(), &world);
    let refused = resume(folder.path(), &build::<G>(&world, change)).unwrap_err();
    for part in says.iter().chain(&["--drain", "another folder"]) {
        assert!(
            refused.contains(part),
            "{change:?}: no {part:?} in {refused}"
        );
    }
    assert!(!refused.contains("alloc::"), "{refused}");
    resume(folder.path(), &build::<Plain>(&world, Change::Nothing)).unwrap();
    assert_eq!(world.0.lock().unwrap().1, expected(), "{change:?}");
}

/// The changed program goes on, and nothing is missing.
#[track_caller]
fn goes_on<G: Grouped>(change: Change) {
    let (folder, world) = (tempfile::tempdir().unwrap(), World::default());
    crash(folder.path(), &world);
    resume(folder.path(), &build::<G>(&world, change)).unwrap();
    assert_eq!(world.0.lock().unwrap().1, expected(), "{change:?}");
}

#[test]
fn what_would_give_nonsense_is_refused() {
    let sum = "'Sum/Merge': its CombineFn was 'sum', and is 'count'";
    is_refused::<Plain>(Change::Combiner, &[sum]);
    is_refused::<Plain>(Change::Key, &["'Sum/Merge': its key was u64, and is i64"]);
    let windows = "'Group/Group': windows was FixedWindows of 1h, and is FixedWindows of 2h";
    is_refused::<Plain>(Change::Windowing, &[windows]);
    let gone = "'Gather/Process', a stateful function, is in the snapshot and not in the pipeline";
    is_refused::<Plain>(Change::NoStateful, &[gone, "put it back"]);
    let values = "'Group/Group': its values was Plain, and is Strict";
    is_refused::<Strict>(Change::Grouped, &[values, "mark", "#[serde(default)]"]);
    let cell = "'Gather/Process': its cell 'numbers' was Vec<u64>, and is Vec<f64>";
    is_refused::<Plain>(Change::Cell, &[cell]);
}

#[test]
fn what_does_no_harm_goes_on() {
    goes_on::<Plain>(Change::Nothing);
    goes_on::<Plain>(Change::NewStep);
    goes_on::<Plain>(Change::RenamedStep);
    goes_on::<Marked>(Change::Grouped);
}
