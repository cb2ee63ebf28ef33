//! Watermarks: where they are a minimum, and what idle sources do to them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use pipeline_core::prelude::*;
use pipeline_core::testing::{TestStream, Timed};
use pipeline_core::window::PaneTiming;
use pipeline_core::{Clock, DROPPED_LATE, ManualClock};

use crate::support::{at, millis, run};

/// What a part of [`Parts`] does next.
#[derive(Clone, Debug)]
enum Act {
    /// Gives an element.
    Give(i64),
    /// Moves its watermark.
    Watermark(i64),
    /// Lets wall time pass.
    Pass(u64),
    /// Has nothing to give until what came before has come round to all workers.
    Rest,
    /// Waits, with nothing to give, until so many acts of all parts are over.
    Wait(usize),
}

/// An unbounded source of several parts, each with a script.
struct Parts {
    scripts: Vec<Vec<Act>>,
    idle_after: Option<Duration>,
    clock: Arc<ManualClock>,
    acts: Arc<AtomicUsize>,
}

struct Part {
    script: std::vec::IntoIter<Act>,
    waiting: Option<usize>,
    watermark: i64,
    clock: Arc<ManualClock>,
    acts: Arc<AtomicUsize>,
}

impl Parts {
    fn new(scripts: Vec<Vec<Act>>) -> Parts {
        Parts {
            scripts,
            idle_after: None,
            clock: Arc::new(ManualClock::at(at(1_000_000))),
            acts: Arc::default(),
        }
    }
}

impl Source for Parts {
    type Item = (u32, i64);
    type Split = Vec<Act>;
    type Ack = ();
    type Reader = Part;

    fn is_bounded(&self) -> bool {
        false
    }

    fn split(&self, _: usize) -> Result<Vec<Vec<Act>>, Error> {
        Ok(self.scripts.clone())
    }

    fn open(&self, script: Vec<Act>, _: &ReadContext) -> Result<Part, Error> {
        Ok(Part {
            script: script.into_iter(),
            waiting: None,
            watermark: Timestamp::MIN.millis(),
            clock: Arc::clone(&self.clock),
            acts: Arc::clone(&self.acts),
        })
    }

    fn idle_after(&self) -> Option<Duration> {
        self.idle_after
    }
}

impl Reader<(u32, i64), ()> for Part {
    async fn read(&mut self, batch: &mut ReadBatch<(u32, i64), ()>) -> Result<ReadStatus, Error> {
        let act = match self.waiting.take() {
            Some(acts) => Some(Act::Wait(acts)),
            None => self.script.next(),
        };
        match act {
            None => return Ok(ReadStatus::Ended),
            Some(Act::Give(time)) => batch.push((1, time), at(time)),
            Some(Act::Watermark(time)) => self.watermark = time,
            Some(Act::Pass(time)) => self.clock.advance(millis(time)),
            Some(Act::Rest) => {
                // Workers that could go on come first, each time.
                let mut left = 30;
                std::future::poll_fn(|context| {
                    context.waker().wake_by_ref();
                    left -= 1;
                    if left == 0 {
                        Poll::Ready(())
                    } else {
                        Poll::Pending
                    }
                })
                .await;
            }
            Some(Act::Wait(acts)) => {
                self.waiting = Some(acts);
                std::future::poll_fn(|_| match self.acts.load(Ordering::SeqCst) >= acts {
                    true => Poll::Ready(()),
                    // The engine looks again from time to time.
                    false => Poll::Pending,
                })
                .await;
                self.waiting = None;
                return Ok(ReadStatus::More);
            }
        }
        self.acts.fetch_add(1, Ordering::SeqCst);
        Ok(ReadStatus::More)
    }

    fn watermark(&self) -> Timestamp {
        at(self.watermark)
    }
}

/// Tells the input watermark that came with each element.
#[derive(Clone)]
struct TellWatermark;

impl StatefulDoFn for TellWatermark {
    type Key = u32;
    type Value = i64;
    type Outputs = Out<(i64, i64)>;

    fn process(
        &mut self,
        _: &u32,
        value: i64,
        state: &mut StateContext<'_>,
        out: &mut Self::Outputs,
    ) -> Result<(), BoxError> {
        out.emit((value, state.input_watermark().millis()));
        Ok(())
    }
}

fn sorted(all: Vec<Timed<(i64, i64)>>) -> Vec<(i64, i64)> {
    let mut values: Vec<_> = all.into_iter().map(|timed| timed.value).collect();
    values.sort_unstable();
    values
}

/// Runs the scripts; returns (element, input watermark of the stage at it).
fn watermarks(parts: Parts, workers: usize, seed: u64) -> Vec<(i64, i64)> {
    let clock: Arc<dyn Clock> = Arc::clone(&parts.clock) as _;
    let runner = DirectRunner::new().workers(workers).seed(seed).clock(clock);
    let (all, _) = run(&runner, |p| {
        p.read("Parts", parts)
            .par_do_stateful("Tell", |_| TellWatermark)
    })
    .unwrap();
    sorted(all)
}

const NEVER: i64 = Timestamp::MIN.millis();

#[test]
fn an_exchange_waits_for_the_slowest_sender() {
    // Four parts on one to three workers, each in order by itself, at very different paces: with
    // the minimum no element is late, with anything more some are, under some interleaving.
    for workers in [1, 2, 3] {
        for seed in 0..20 {
            let scripts = (1..=4).map(|pace: i64| {
                let times = (0..20).map(move |n| n * pace * 7);
                let acts = times.flat_map(|t| [Act::Give(t), Act::Watermark(t + 1)]);
                acts.collect()
            });
            let parts = Parts::new(scripts.collect());
            let runner = DirectRunner::new().workers(workers).seed(seed);
            let (all, result) = run(&runner, |p| {
                p.read("Parts", parts)
                    .window_into("Windows", FixedWindows::of(millis(20)))
                    .sum_per_key("Sum")
            })
            .unwrap();
            assert_eq!(result.metrics().total(DROPPED_LATE), 0, "seed {seed}");
            let on_time = |t: &Timed<_>| t.pane.timing() == PaneTiming::OnTime;
            assert!(all.iter().all(on_time));
            let sum: i64 = all.iter().map(|timed| timed.value.1).sum();
            assert_eq!(sum, (0..20).sum::<i64>() * 7 * (1 + 2 + 3 + 4));
        }
    }
}

#[test]
fn a_flatten_waits_for_the_slowest_input() {
    // The engine reads one stream to its end, then the other: had the first one's end moved the
    // watermark, all of the second would be late.
    for workers in [1, 2] {
        let stream = || {
            TestStream::new()
                .element((1_u32, 5_i64), at(5))
                .watermark(at(20))
                .element((1, 25), at(25))
        };
        let runner = DirectRunner::new().workers(workers).seed(9);
        let (all, result) = run(&runner, |p| {
            let a = p.read("A", stream());
            let b = p.read("B", stream());
            // A grouped branch is as far as the group, not as its input.
            let counted = a
                .window_into("Own", FixedWindows::of(millis(10)))
                .sum_per_key("Own/Sum")
                .window_into("Together", FixedWindows::of(millis(10)));
            let raw = b.window_into("B10", FixedWindows::of(millis(10)));
            counted.flatten("Both", &[raw]).group_by_key("Group")
        })
        .unwrap();
        assert_eq!(result.metrics().total(DROPPED_LATE), 0);
        let mut groups: Vec<_> = all
            .into_iter()
            .map(|t| (t.timestamp.millis(), t.value.1))
            .collect();
        groups.sort();
        assert_eq!(groups, [(9, vec![5, 5]), (29, vec![25, 25])]);
    }
}

#[test]
fn a_source_stands_still_unless_it_says_when_it_is_idle() {
    let scripts = vec![
        vec![
            Act::Give(0),
            Act::Watermark(100),
            Act::Pass(60_000),
            Act::Rest,
            Act::Give(200),
            Act::Rest,
        ],
        vec![Act::Give(1), Act::Watermark(2), Act::Wait(8)],
    ];
    for workers in [1, 2, 3] {
        for seed in 0..5 {
            let told = watermarks(Parts::new(scripts.clone()), workers, seed);
            let at_200 = told.iter().find(|(value, _)| *value == 200).unwrap().1;
            assert!(at_200 <= 2, "seed {seed}: {told:?}");
        }
    }
}

#[test]
fn a_watermark_is_told_when_nothing_follows_it() {
    // On threads, with the machine's clock: a group fires while its source waits.
    let scripts = vec![vec![
        Act::Give(0),
        Act::Watermark(100),
        Act::Wait(usize::MAX),
    ]];
    let runner = DirectRunner::new().workers(2);
    let stop = runner.stop_handle();
    let (all, _) = run(&runner, |p| {
        p.read("Parts", Parts::new(scripts))
            .window_into("Windows", FixedWindows::of(millis(10)))
            .sum_per_key("Sum")
            .map("Stop", move |sum| {
                stop.stop();
                sum
            })
    })
    .unwrap();
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].timestamp, at(9));
}

#[test]
fn an_idle_source_goes_on_from_its_last_value_by_what_has_elapsed() {
    // Wall time is far from event time: 1,000,000 and more.
    for (pass, expected) in [(9_999, 100), (10_000, 10_100), (25_000, 25_100)] {
        let scripts = vec![vec![
            Act::Give(0),
            Act::Watermark(100),
            Act::Pass(pass),
            Act::Rest,
            Act::Give(50_000),
            Act::Rest,
            // It does not go back to the source's own.
            Act::Watermark(200),
            Act::Rest,
            Act::Give(60_000),
        ]];
        let mut parts = Parts::new(scripts);
        parts.idle_after = Some(millis(10_000));
        let told = watermarks(parts, 1, 0);
        let after = expected.max(200);
        assert_eq!(told, [(0, NEVER), (50_000, expected), (60_000, after)]);
    }
}

#[test]
fn a_watermark_that_moves_shows_that_a_part_is_not_idle() {
    // The part gives no element for 16 s, but is heard of after 8.
    let scripts = vec![vec![
        Act::Give(0),
        Act::Pass(8_000),
        Act::Watermark(500),
        Act::Pass(8_000),
        Act::Rest,
        Act::Give(50_000),
        Act::Pass(8_000),
        Act::Watermark(60_000),
        Act::Pass(12_000),
        Act::Rest,
        Act::Give(80_000),
    ]];
    let mut parts = Parts::new(scripts);
    parts.idle_after = Some(millis(10_000));
    let told = watermarks(parts, 1, 0);
    assert_eq!(told, [(0, NEVER), (50_000, 500), (80_000, 72_000)]);
}

#[test]
fn an_idle_part_does_not_hold_the_others_back_on_any_worker() {
    // Part 1 is heard of once, at 1, then never again; part 0 goes on.
    let scripts = vec![
        vec![
            Act::Wait(2),
            Act::Give(0),
            Act::Watermark(100),
            Act::Pass(9_999),
            Act::Watermark(200),
            Act::Rest,
            Act::Give(300),
            Act::Pass(1),
            Act::Rest,
            Act::Give(400),
            Act::Watermark(401),
            Act::Rest,
            Act::Give(500),
        ],
        vec![Act::Give(1), Act::Watermark(2), Act::Wait(14)],
    ];
    for workers in [1, 2, 3] {
        for seed in 0..10 {
            let mut parts = Parts::new(scripts.clone());
            parts.idle_after = Some(millis(10_000));
            let told = watermarks(parts, workers, seed);
            let told = told.iter().filter(|(value, _)| *value >= 300).copied();
            let told: Vec<_> = told.collect();
            assert_eq!(told, [(300, 2), (400, 200), (500, 401)], "{workers} {seed}");
        }
    }
}

#[test]
fn a_part_that_never_gave_anything_does_not_hold_the_others_back() {
    let scripts = vec![
        vec![
            Act::Give(0),
            Act::Watermark(100),
            Act::Rest,
            Act::Give(150),
            Act::Pass(10_000),
            Act::Watermark(200),
            Act::Rest,
            Act::Give(300),
        ],
        vec![Act::Wait(8)],
    ];
    for workers in [1, 2] {
        let mut parts = Parts::new(scripts.clone());
        parts.idle_after = Some(millis(10_000));
        let told = watermarks(parts, workers, 4);
        assert_eq!(told, [(0, NEVER), (150, NEVER), (300, 200)], "{workers}");
    }
}
