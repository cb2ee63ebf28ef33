//! How runs with snapshots end without a crash, and how they begin again.

use std::time::Duration;

use pipeline_core::prelude::*;
use pipeline_core::runners::direct::Snapshots;

use crate::job::{build, wrong};
use crate::world::{Random, World};

fn world(count: u64) -> World {
    let world = World::default();
    world.publish(count, &mut Random(7));
    world.lock().fuse = u64::MAX;
    world.lock().permits = usize::MAX;
    world
}

fn rows(world: &World, table: &str) -> usize {
    world.lock().tables.get(table).map_or(0, |t| t.rows.len())
}

/// Stops a run when it has committed a few rows.
fn stop_in_the_middle(world: &World, runner: DirectRunner) -> RunResult {
    let (handle, watched) = (runner.stop_handle(), world.clone());
    let stopper = std::thread::spawn(move || {
        while rows(&watched, "raw") == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        handle.stop();
    });
    let result = runner.run(&build(world).unwrap()).unwrap();
    stopper.join().unwrap();
    result
}

#[test]
fn a_stopped_run_goes_on_with_any_number_of_workers() {
    let folder = tempfile::tempdir().unwrap();
    let world = world(30_000);
    let interval = Duration::from_millis(2);
    let snapshots = Snapshots::open(folder.path()).unwrap().interval(interval);
    assert!(snapshots.resumed().is_none());
    let runner = DirectRunner::new().workers(2).snapshots(&snapshots);
    let result = stop_in_the_middle(&world, runner);
    drop(snapshots);
    let End::Suspended { epoch, open_groups } = result.end() else {
        panic!("{:?}", result.end());
    };
    assert!(open_groups > 0, "nothing was open");
    let taken_in = result.metrics().get("Read", "out");
    assert!(
        taken_in < 30_000,
        "it was stopped too late to show anything"
    );
    world.redeliver();
    let snapshots = Snapshots::open(folder.path()).unwrap();
    let resumed = snapshots.resumed().unwrap();
    assert_eq!((resumed.epoch, resumed.messages), (epoch, taken_in));
    assert!(resumed.keys > 0);
    let runner = DirectRunner::new().workers(3).snapshots(&snapshots);
    let result = runner.run(&build(&world).unwrap()).unwrap();
    assert_eq!(result.end(), End::Finished);
    // Counts go on over the lives of a job.
    assert_eq!(result.metrics().get("Read", "out"), 30_000);
    assert_eq!(wrong(&world), Vec::<String>::new());
    drop((snapshots, runner));
    let anew = Snapshots::open(folder.path()).unwrap();
    assert!(anew.resumed().is_none(), "the job had finished");
}

#[test]
fn a_drained_run_fires_what_is_open_and_begins_anew() {
    let folder = tempfile::tempdir().unwrap();
    let world = world(30_000);
    let snapshots = Snapshots::open(folder.path()).unwrap();
    let snapshots = snapshots.interval(Duration::from_millis(2));
    let runner = DirectRunner::new().workers(2).snapshots(&snapshots);
    let (handle, watched) = (runner.stop_handle(), world.clone());
    let drainer = std::thread::spawn(move || {
        while rows(&watched, "raw") == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        handle.drain();
    });
    let result = runner.run(&build(&world).unwrap()).unwrap();
    drainer.join().unwrap();
    assert_eq!(result.end(), End::Finished);
    let taken_in = result.metrics().get("Read", "out") as usize;
    assert!(
        taken_in < 30_000,
        "it was drained too late to show anything"
    );
    assert_eq!(rows(&world, "raw"), taken_in);
    // Every element is in a group that has fired.
    let state = world.lock();
    let counted = |row: &String| row.rsplit(' ').next().unwrap().parse::<usize>().unwrap();
    let counts = state.tables["counts"].rows.iter().map(counted);
    assert_eq!(counts.sum::<usize>(), taken_in);
    assert_eq!(state.acknowledged.len(), taken_in);
    drop((snapshots, runner));
    assert!(Snapshots::open(folder.path()).unwrap().resumed().is_none());
}

#[test]
fn a_source_that_cannot_go_on_is_refused() {
    struct Once;
    struct OnceReader;
    impl Source for Once {
        type Item = u64;
        type Split = ();
        type Ack = ();
        type Reader = OnceReader;
        fn is_bounded(&self) -> bool {
            true
        }
        fn split(&self, _: usize) -> Result<Vec<()>, Error> {
            Ok(vec![()])
        }
        fn open(&self, (): (), _: &ReadContext) -> Result<OnceReader, Error> {
            Ok(OnceReader)
        }
    }
    impl Reader<u64, ()> for OnceReader {
        async fn read(&mut self, _: &mut ReadBatch<u64, ()>) -> Result<ReadStatus, Error> {
            Ok(ReadStatus::Ended)
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let snapshots = Snapshots::open(folder.path()).unwrap();
    let pipeline = Pipeline::build(|p| {
        p.read("Once", Once)
            .check("Nothing", |all| assert!(all.is_empty()));
    })
    .unwrap();
    let error = DirectRunner::new().snapshots(&snapshots).run(&pipeline);
    let error = error.err().unwrap().to_string();
    assert!(
        error.contains("'Once'") && error.contains("Reader::position"),
        "{error}"
    );
    // Without snapshots it runs.
    DirectRunner::new().run(&pipeline).unwrap();
}

#[test]
fn snapshots_that_were_used_must_be_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let world = world(10);
    let snapshots = Snapshots::open(folder.path()).unwrap();
    let runner = DirectRunner::new().snapshots(&snapshots);
    runner.run(&build(&world).unwrap()).unwrap();
    let error = runner
        .run(&build(&world).unwrap())
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("open"), "{error}");
}
