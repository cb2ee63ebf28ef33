//! A panic, or an error where the signature returns one, in every place that calls user code:
//! the job ends soon, says where and why, calls nothing of the failed instance but `teardown`,
//! and leaves no file behind.

use std::sync::atomic::Ordering;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use pipeline_core::ErrorKind;
use pipeline_core::prelude::*;

use super::kit::{How, Kit, Spot, pipeline};

/// A job that has failed ends within this time.
const LIMIT: Duration = Duration::from_secs(10);

/// What the error must name.
struct Expected {
    transforms: &'static [&'static str],
    /// The functions that it may name; where a panic strikes outside of one, the phase.
    what: &'static [&'static str],
    /// A part of the element or the key, where there is one.
    element: Option<&'static str>,
    /// The signature returns errors.
    fallible: bool,
}

const fn at(
    transforms: &'static [&'static str],
    what: &'static [&'static str],
    element: Option<&'static str>,
    fallible: bool,
) -> Expected {
    Expected {
        transforms,
        what,
        element,
        fallible,
    }
}

const CASES: &[(Spot, Expected)] = {
    const RECORD: Option<&str> = Some("-17");
    const KEY: Option<&str> = Some("of key key-");
    const COMBINE: &[&str] = &["Combine/Lift", "Combine/Merge"];
    &[
        (Spot::Split, at(&["Read"], &["split"], None, true)),
        (Spot::Open, at(&["Read"], &["open"], None, true)),
        (Spot::Read, at(&["Read"], &["read"], None, true)),
        (
            Spot::Acknowledge,
            at(&["Read"], &["acknowledge"], None, true),
        ),
        (Spot::Map, at(&["Map"], &["map"], RECORD, false)),
        (
            Spot::FlatMap,
            at(&["FlatMap"], &["flat_map"], RECORD, false),
        ),
        (Spot::Filter, at(&["Filter"], &["filter"], RECORD, false)),
        (Spot::TryMap, at(&["TryMap"], &["try_map"], RECORD, false)),
        (
            Spot::WithTimestamps,
            at(&["Timed"], &["with_timestamps"], RECORD, false),
        ),
        (Spot::Setup, at(&["Life"], &["setup"], None, true)),
        (
            Spot::StartBundle,
            at(&["Life"], &["start_bundle"], None, true),
        ),
        (Spot::Process, at(&["Life"], &["process"], RECORD, true)),
        (
            Spot::FinishBundle,
            at(&["Life"], &["finish_bundle"], None, true),
        ),
        (Spot::Teardown, at(&["Life"], &["teardown"], None, true)),
        (Spot::Assign, at(&["Window"], &["assign"], RECORD, false)),
        (Spot::KeyBy, at(&["Key"], &["key_by"], RECORD, false)),
        (
            Spot::CreateAccumulator,
            at(COMBINE, &["create_accumulator"], None, false),
        ),
        (Spot::AddInput, at(COMBINE, &["add_input"], KEY, false)),
        (
            Spot::MergeAccumulators,
            at(COMBINE, &["merge_accumulators"], KEY, false),
        ),
        (
            Spot::ExtractOutput,
            at(COMBINE, &["extract_output"], KEY, false),
        ),
        (Spot::Merge, at(COMBINE, &["merge"], KEY, false)),
        (
            Spot::StatefulProcess,
            at(&["Remind/Process"], &["process"], KEY, true),
        ),
        (
            Spot::OnTimer,
            at(&["Remind/Process"], &["on_timer"], KEY, true),
        ),
        (Spot::SinkOpen, at(&["Write"], &["open"], None, true)),
        (Spot::Write, at(&["Write"], &["write"], None, true)),
        (Spot::Close, at(&["Write"], &["close"], None, true)),
        (Spot::Finish, at(&["Write"], &["finish"], None, true)),
    ]
};

/// Runs one case and returns how long it took.
fn run(
    spot: Spot,
    how: How,
    bounded: bool,
    runner: &DirectRunner,
    expected: &Expected,
) -> Duration {
    let dir = tempfile::tempdir().expect("a folder can be made");
    let kit = Kit::new(spot, how, dir.path());
    // What comes at the end needs one; elsewhere the source waits for ever after its records.
    let ends = matches!(spot, Spot::Close | Spot::Finish | Spot::Teardown);
    let pipeline = pipeline(&kit, bounded, ends);
    let started = Instant::now();
    let case = format!("{how:?} in {spot:?}, bounded: {bounded}");
    let (sender, ended) = channel();
    let runner = runner.clone().max_bundle(16);
    std::thread::spawn(move || sender.send(runner.run(&pipeline)));
    let Ok(result) = ended.recv_timeout(LIMIT) else {
        panic!("{case}: the job has not ended in {LIMIT:?}");
    };
    let took = started.elapsed();
    let Err(error) = result else {
        panic!("{case}: the run succeeded");
    };
    let ErrorKind::User {
        transform,
        what,
        element,
        cause,
    } = error.kind()
    else {
        panic!("{case}: not an error of user code: {error}");
    };
    assert!(
        expected.transforms.contains(&transform.as_str()),
        "{case}: {error}"
    );
    assert!(
        expected.what.is_empty() || expected.what.contains(what),
        "{case}: {error}"
    );
    if let Some(part) = expected.element {
        let shown = element.as_deref().unwrap_or("nothing");
        assert!(shown.contains(part), "{case}: {error}");
        assert!(shown.len() < 300, "{case}: {error}");
    }
    match how {
        How::Panic => assert_eq!(cause, "panic: boom", "{case}"),
        How::Error => assert!(cause.ends_with("boom: the fuse was lit"), "{case}: {error}"),
    }
    let violations = kit.violations.lock().unwrap();
    assert!(violations.is_empty(), "{case}: {violations:?}");
    let (setups, teardowns) = (&kit.setups, &kit.teardowns);
    assert_eq!(
        setups.load(Ordering::SeqCst),
        teardowns.load(Ordering::SeqCst),
        "{case}: each instance that was set up is torn down"
    );
    let succeeded = spot == Spot::Finish;
    assert_eq!(*kit.finishes.lock().unwrap(), [succeeded], "{case}: finish");
    let left = std::fs::read_dir(dir.path())
        .expect("it can be listed")
        .count();
    assert!(left == 0 || succeeded, "{case}: {left} files are left");
    took
}

fn run_all(runner: &DirectRunner) {
    let mut worst = Duration::ZERO;
    let mut cases = 0;
    for (spot, expected) in CASES {
        for bounded in [true, false] {
            for how in [How::Panic, How::Error] {
                if how == How::Panic || expected.fallible {
                    worst = worst.max(run(*spot, how, bounded, runner, expected));
                    cases += 1;
                }
            }
        }
    }
    println!("{cases} cases, the slowest took {worst:?}");
}

#[test]
fn one_worker() {
    run_all(&DirectRunner::new().workers(1));
}

#[test]
fn four_workers() {
    run_all(&DirectRunner::new().workers(4));
}

#[test]
fn seeded_workers() {
    run_all(&DirectRunner::new().workers(3).seed(5));
}

/// The same pipeline without a fault runs to its end: the cases fail for their fault alone.
#[test]
fn without_a_fault() {
    for bounded in [true, false] {
        let dir = tempfile::tempdir().expect("a folder can be made");
        let kit = Kit::new(Spot::Nowhere, How::Panic, dir.path());
        let runner = DirectRunner::new().workers(2);
        let result = runner
            .run(&pipeline(&kit, bounded, true))
            .expect("nothing fails");
        assert_eq!(*kit.finishes.lock().unwrap(), [true]);
        // One session of each of the two keys (records of two lengths), whole.
        let groups = result.metrics().get("Write", "in");
        assert!(groups > 0, "{}", result.metrics());
    }
}
