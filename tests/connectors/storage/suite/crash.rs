//! Crashes: at each call of the storage, and at each moment of a snapshot.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use pipeline_core::prelude::*;
use pipeline_core::runners::direct::Moment;
use pipeline_gcp::storage::{FileSink, ObjectSource, Place, Storage, Watch, WriteFiles};

use super::Bench;
use super::flaky::Dying;
use super::life::{Life, minutes};
use super::sink::{at, minutes as windows};

/// What a run does, step by step.
enum Step {
    Write(usize, u32, i64),
    Advance(i64),
    Epoch,
}

/// Minutes 0 to 3 in two shards, some late, with epochs between.
fn script() -> Vec<Step> {
    use Step::{Advance, Epoch, Write};
    vec![
        Write(0, 0, 0),
        Write(1, 1, 0),
        Epoch,
        Write(0, 0, 1),
        Advance(1),
        Write(1, 1, 1),
        Epoch,
        Write(0, 0, 0),
        Advance(2),
        Write(1, 1, 2),
        Epoch,
        Write(1, 1, 0),
        Write(0, 0, 2),
        Advance(3),
        Epoch,
        Advance(i64::MAX),
        Epoch,
    ]
}

fn records(step: usize) -> Vec<String> {
    (0..20)
        .map(|n| format!("record-{step:02}-{n:02}"))
        .collect()
}

fn expected() -> Vec<String> {
    let steps = script().into_iter().enumerate();
    let writes = steps.filter(|(_, step)| matches!(step, Step::Write(..)));
    writes.flat_map(|(n, _)| records(n)).collect()
}

/// Where a run goes on: the step, and what its snapshot has.
#[derive(Clone, Default)]
struct Snapshot {
    step: usize,
    last: Option<(u64, Vec<Vec<u8>>)>,
}

fn sink(bench: &Bench, storage: Arc<dyn Storage>) -> FileSink<String> {
    let name = bench.name("out");
    let place = Place { storage, name };
    FileSink::lines(place, "job")
        .shards(2)
        .spool(bench.folder.path().join("spool"))
}

/// Runs from a snapshot on; after a failure it returns where to go on from.
fn run(
    bench: &Bench,
    storage: Arc<dyn Storage>,
    workers: usize,
    from: &mut Snapshot,
) -> Result<(), Error> {
    let mut life = Life::begin(sink(bench, storage), workers, from.last.clone())?;
    let mut epoch = from.last.as_ref().map_or(0, |(epoch, _)| *epoch);
    for (number, step) in script().into_iter().enumerate().skip(from.step) {
        match step {
            Step::Write(worker, shard, minute) => {
                let refused = life.write(worker % workers, shard, minute, &records(number))?;
                assert!(refused.is_empty());
            }
            Step::Advance(i64::MAX) => life.advance(Timestamp::MAX)?,
            Step::Advance(to) => life.advance(minutes(to))?,
            Step::Epoch => {
                epoch += 1;
                let prepared = life.prepare(epoch)?;
                *from = Snapshot {
                    step: number + 1,
                    last: Some((epoch, prepared.clone())),
                };
                life.commit(epoch, &prepared)?;
            }
        }
    }
    life.end()
}

fn assert_all_there_once(bench: &Bench, what: &str) {
    assert_eq!(bench.all_lines(), expected(), "{what}");
    let names = bench.names("");
    assert!(
        names.iter().all(|name| !name.contains(".pipeline")),
        "{what}: {names:?}"
    );
    let folders = std::fs::read_dir(bench.folder.path().join("spool")).unwrap();
    let spooled = folders.flat_map(|folder| std::fs::read_dir(folder.unwrap().path()).unwrap());
    let spooled: Vec<_> = spooled.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(spooled, [".lock"], "{what}");
}

pub fn every_record_is_there_once_wherever_it_crashes(bench: &Bench) {
    let _entered = bench.runtime.enter();
    let mut crashes = 0;
    for takes_effect in [false, true] {
        for calls in (1..).step_by(bench.steps) {
            let bench = bench.fresh();
            let _entered = bench.runtime.enter();
            let dying = Dying::after(&bench.storage, calls, takes_effect);
            let mut at = Snapshot::default();
            let what = format!("dead at call {calls}, takes effect: {takes_effect}");
            let first = run(&bench, dying.clone(), 2, &mut at);
            if first.is_err() {
                assert!(dying.is_dead(), "{what}: {first:?}");
                crashes += 1;
                // The next life dies soon after, the one behind it comes to the end with another number of workers.
                let again = Dying::after(&bench.storage, calls % 5 + 1, !takes_effect);
                let workers = 1 + calls as usize % 3;
                if run(&bench, again, workers, &mut at).is_err() {
                    run(&bench, Arc::clone(&bench.storage), 4 - workers, &mut at).expect(&what);
                }
            }
            assert_all_there_once(&bench, &what);
            if first.is_ok() && !dying.is_dead() {
                break;
            }
        }
    }
    assert!(crashes > 60 / bench.steps, "{crashes}");
}

pub fn a_commit_can_be_repeated_at_any_time(bench: &Bench) {
    let _entered = bench.runtime.enter();
    for repeated in 0..4 {
        let bench = bench.fresh();
        let _entered = bench.runtime.enter();
        let mut life = Life::begin(sink(&bench, bench.storage.clone()), 1, None).unwrap();
        life.write(0, 0, 0, &records(0)).unwrap();
        life.write(0, 0, 5, &records(1)).unwrap();
        life.advance(minutes(1)).unwrap();
        let prepared = life.prepare(1).unwrap();
        assert!(
            bench.lines().is_empty(),
            "it is not there before the commit"
        );
        for _ in 0..repeated {
            life.commit(1, &prepared).unwrap();
            assert_eq!(bench.all_lines(), records(0));
        }
        drop(life);
        let life = Life::begin(
            sink(&bench, bench.storage.clone()),
            2,
            Some((1, prepared.clone())),
        )
        .unwrap();
        assert_eq!(bench.all_lines(), records(0));
        drop(life);
        let mut life =
            Life::begin(sink(&bench, bench.storage.clone()), 1, Some((1, prepared))).unwrap();
        life.advance(Timestamp::MAX).unwrap();
        let prepared = life.prepare(2).unwrap();
        life.commit(2, &prepared).unwrap();
        life.end().unwrap();
        assert_eq!(bench.all_lines(), [records(0), records(1)].concat());
    }
}

pub fn what_somebody_else_wrote_meanwhile_stays(bench: &Bench) {
    let _entered = bench.runtime.enter();
    let mut life = Life::begin(sink(bench, bench.storage.clone()), 1, None).unwrap();
    life.write(0, 0, 0, &records(0)).unwrap();
    life.advance(minutes(1)).unwrap();
    let prepared = life.prepare(1).unwrap();
    let name = "out/20240201T100000Z-20240201T100100Z-00000-of-00002.txt";
    bench.put(name, "somebody else's\n");
    let error = life.commit(1, &prepared).unwrap_err().to_string();
    assert!(
        error.contains("was written by somebody else meanwhile"),
        "{error}"
    );
    assert!(
        error.contains(&bench.storage.full_name(&bench.name(name))),
        "{error}"
    );
    assert_eq!(bench.all_lines(), ["somebody else's"]);
    drop(life);
    let again = || {
        Life::begin(
            sink(bench, bench.storage.clone()),
            1,
            Some((1, prepared.clone())),
        )
    };
    assert!(again().is_err());
    // Where it is taken away, the run goes on, though the temporary object is gone as well.
    bench.run(bench.storage.delete(&bench.name(name))).unwrap();
    for object in bench.names("out/.pipeline/") {
        bench
            .run(bench.storage.delete(&bench.name(&object)))
            .unwrap();
    }
    let life = again().unwrap();
    assert_eq!(bench.all_lines(), records(0));
    drop(life);
}

pub fn what_dead_runs_left_is_cleared_away(bench: &Bench) {
    let _entered = bench.runtime.enter();
    let other = "out/.pipeline/another/x";
    bench.put(other, "of another job");
    for _ in 0..2 {
        let mut life = Life::begin(sink(bench, bench.storage.clone()), 1, None).unwrap();
        life.write(0, 0, 0, &records(0)).unwrap();
        life.advance(minutes(1)).unwrap();
        life.prepare(1).unwrap();
        let left = bench.names("out/.pipeline/job/");
        assert_eq!(left.len(), 1, "{left:?}");
        // It dies before its snapshot is durable.
    }
    let life = Life::begin(sink(bench, bench.storage.clone()), 1, None).unwrap();
    assert_eq!(bench.names("out/.pipeline/"), [other]);
    // Nobody else may use its spool folder meanwhile.
    let error = Life::begin(sink(bench, bench.storage.clone()), 1, None)
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("is in use"), "{error}");
    drop(life);
    // Without a folder for them, files cannot outlive their process.
    let without = FileSink::lines(bench.place("out"), "job");
    let error = Life::begin(without, 1, None).err().unwrap().to_string();
    assert!(error.contains("FileSink::spool"), "{error}");
}

/// Lines with their seconds, in several objects; some are late.
fn feed(bench: &Bench) -> Vec<String> {
    let mut all = Vec::new();
    for object in 0..12_i64 {
        let lines = (0..40).map(|n| {
            let late = if n % 13 == 5 { 200 } else { 0 };
            format!("{:05} {object}-{n}", (object * 40 + n - late).max(0))
        });
        let lines: Vec<String> = lines.collect();
        bench.put(&format!("in/{object:02}.txt"), lines.join("\n") + "\n");
        all.extend(lines);
    }
    all.sort();
    all
}

pub fn pipelines_resume_at_every_moment(bench: &Bench) {
    for (round, moment) in [
        Moment::Prepared,
        Moment::Written,
        Moment::Durable,
        Moment::Committed,
    ]
    .into_iter()
    .enumerate()
    {
        let bench = bench.fresh();
        let expected = feed(&bench);
        let snapshots = bench.folder.path().join("snapshots");
        let mut ended = false;
        let mut crashes = 0;
        for life in 0..200 {
            let pipeline = Pipeline::build(|p| {
                let watch = Watch::every(Duration::from_millis(20))
                    .stop_when_idle(Duration::from_millis(300));
                let source = ObjectSource::new(bench.place("in/*.txt"))
                    .watch(watch)
                    .max_disorder(Duration::from_secs(30))
                    .timestamp_with(|line| {
                        let second = std::str::from_utf8(line.bytes.get(..5)?).ok()?;
                        Some(at(second.parse().ok()?))
                    });
                let sink = FileSink::lines(bench.place("out"), "job")
                    .shards(2)
                    .spool(bench.folder.path().join("spool"));
                p.read_lines("Read", source)
                    .drop_dead_letters("no line is that long")
                    .window_into("Minutes", windows())
                    .write_files("Write", sink);
            });
            let moments = Arc::new(AtomicU32::new(0));
            let runner = DirectRunner::new()
                .workers(1 + (life + round) % 3)
                .max_bundle(25)
                .snapshots(
                    &Snapshots::open(&snapshots)
                        .unwrap()
                        .interval(Duration::from_millis(1)),
                )
                .at_moments(move |now| {
                    let at = life as u32 % 2;
                    let is_crash = now == moment && moments.fetch_add(1, Ordering::SeqCst) == at;
                    match is_crash && life < 15 {
                        true => Err(Error::connector("crash")),
                        false => Ok(()),
                    }
                });
            match runner.run(&pipeline.unwrap()) {
                Ok(_) => {
                    ended = true;
                    break;
                }
                Err(error) => assert!(error.to_string().contains("crash"), "{error}"),
            }
            crashes += 1;
        }
        assert!(ended && crashes >= 3, "{moment:?}: {crashes}");
        let mut lines: Vec<String> = Vec::new();
        for (name, of) in bench.lines() {
            if name.starts_with("out/") {
                lines.extend(of);
            }
        }
        lines.sort();
        assert_eq!(lines, expected, "{moment:?}");
        // What a life still had under way when it crashed may have come later; the next one clears it away.
        let _entered = bench.runtime.enter();
        drop(Life::begin(sink(&bench, bench.storage.clone()), 1, None).unwrap());
        let temporary = bench.names("out/.pipeline/");
        assert!(temporary.is_empty(), "{moment:?}: {temporary:?}");
    }
}
