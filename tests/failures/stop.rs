//! A run that is stopped in good order.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use pipeline_core::BuiltPipeline;
use pipeline_core::prelude::*;

use super::support::{Flood, Slow, wait_until};

const HOUR: Duration = Duration::from_secs(3600);

/// Keeps a state and a timer a key, and emits when the timer fires.
#[derive(Clone)]
struct Wait {
    seen: ValueCell<u64>,
    timer: EventTimer,
}

impl StatefulDoFn for Wait {
    type Key = u64;
    type Value = u64;
    type Outputs = Out<u64>;

    fn process(
        &mut self,
        _: &u64,
        n: u64,
        state: &mut StateContext<'_>,
        _: &mut Out<u64>,
    ) -> Result<(), BoxError> {
        self.seen.write(state, n);
        let later = state.timestamp() + HOUR;
        self.timer.set(state, later);
        Ok(())
    }

    fn on_timer(
        &mut self,
        key: &u64,
        _: EventTimer,
        _: &mut StateContext<'_>,
        out: &mut Out<u64>,
    ) -> Result<(), BoxError> {
        out.emit(*key);
        Ok(())
    }
}

struct Sinks {
    direct: Slow<u64>,
    groups: Slow<(u64, u64)>,
    timers: Slow<u64>,
}

impl Sinks {
    fn new(per_row: Duration) -> Self {
        Sinks {
            direct: Slow::new(per_row),
            groups: Slow::new(Duration::ZERO),
            timers: Slow::new(Duration::ZERO),
        }
    }

    fn finishes(&self) -> [Vec<bool>; 3] {
        let get = |f: &std::sync::Mutex<Vec<bool>>| f.lock().unwrap().clone();
        [
            get(&self.direct.finishes),
            get(&self.groups.finishes),
            get(&self.timers.finishes),
        ]
    }
}

/// The numbers into a sink; by ten keys into windows of an hour; by seven keys into timers.
fn pipeline(source: &Flood, sinks: &Sinks) -> BuiltPipeline {
    Pipeline::build(|p| {
        let numbers = p.read("Read", source.clone());
        numbers.write("Direct", sinks.direct.clone());
        numbers
            .window_into("Hours", FixedWindows::of(HOUR))
            .key_by("Ten", |n| n % 10)
            .count_per_key("Count")
            .write("Groups", sinks.groups.clone());
        numbers
            .key_by("Seven", |n| n % 7)
            .par_do_stateful("Wait", |cells| Wait {
                seen: cells.value("seen"),
                timer: cells.event_timer("timer"),
            })
            .write("Timers", sinks.timers.clone());
    })
    .unwrap()
}

fn assert_stopped(result: &RunResult, source: &Flood, sinks: &Sinks, abandoned: u64) {
    let given = source.given();
    let rows = |sink: &std::sync::atomic::AtomicU64| sink.load(Ordering::SeqCst);
    assert_eq!(
        rows(&sinks.direct.written),
        given,
        "what was read is written"
    );
    assert_eq!(rows(&sinks.groups.written), 0, "open windows do not fire");
    assert_eq!(rows(&sinks.timers.written), 0, "timers do not fire");
    let expected = End::Stopped {
        abandoned_groups: abandoned,
    };
    assert_eq!(result.end(), expected);
    assert_eq!(sinks.finishes(), [[true], [true], [true]].map(Vec::from));
    let acked = source.acked.lock().unwrap();
    let distinct: BTreeSet<u64> = acked.iter().copied().collect();
    assert_eq!(acked.len() as u64, given, "each is acknowledged, once");
    assert_eq!(distinct.len(), acked.len());
}

/// Runs it, stops it when `when` holds, and returns the result and how long the end took.
fn stopped(
    runner: &DirectRunner,
    pipeline: BuiltPipeline,
    when: impl Fn() -> bool,
) -> (RunResult, Duration) {
    let pipeline = Arc::new(pipeline);
    let running = {
        let (runner, pipeline) = (runner.clone(), Arc::clone(&pipeline));
        std::thread::spawn(move || runner.run(&pipeline))
    };
    wait_until("the moment to stop", when);
    let asked = Instant::now();
    runner.stop_handle().stop();
    let result = running.join().expect("run does not panic");
    (result.expect("a stopped run succeeds"), asked.elapsed())
}

fn runners() -> Vec<DirectRunner> {
    vec![
        DirectRunner::new().workers(1),
        DirectRunner::new().workers(4),
        DirectRunner::new().workers(3).seed(11),
    ]
}

#[test]
fn while_it_is_idle() {
    for runner in runners() {
        let (source, sinks) = (Flood::new(1_000, false), Sinks::new(Duration::ZERO));
        let pipeline = pipeline(&source, &sinks);
        let all_acked = || source.acked.lock().unwrap().len() == 1_000;
        let (result, took) = stopped(&runner, pipeline, all_acked);
        assert_stopped(&result, &source, &sinks, 10 + 7);
        assert!(took < Duration::from_secs(2), "{took:?}");
    }
}

#[test]
fn before_anything_was_read() {
    for runner in runners() {
        runner.stop_handle().stop();
        let (source, sinks) = (Flood::new(1_000, false), Sinks::new(Duration::ZERO));
        let result = runner.run(&pipeline(&source, &sinks)).unwrap();
        assert_stopped(&result, &source, &sinks, 0);
        assert_eq!(source.given(), 0);
    }
}

#[test]
fn while_a_sink_blocks_it() {
    for runner in runners() {
        let source = Flood::new(1_000_000, false);
        let sinks = Sinks::new(Duration::from_micros(50));
        let pipeline = pipeline(&source, &sinks);
        let written = Arc::clone(&sinks.direct.written);
        let busy = || written.load(Ordering::SeqCst) > 2_000;
        let (result, _) = stopped(&runner, pipeline, busy);
        assert_stopped(&result, &source, &sinks, 10 + 7);
        assert!(source.given() < 100_000, "{} were read", source.given());
    }
}

#[test]
fn in_a_bounded_run() {
    for runner in runners() {
        let source = Flood::new(100_000_000, true);
        let sinks = Sinks::new(Duration::from_micros(20));
        let pipeline = pipeline(&source, &sinks);
        let (result, _) = stopped(&runner, pipeline, || source.given() > 20_000);
        assert_stopped(&result, &source, &sinks, 10 + 7);
        assert!(source.given() < 100_000_000);
    }
}
