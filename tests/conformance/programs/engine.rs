//! A program built with the library and run.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use pipeline_core::prelude::*;
use pipeline_core::testing::{TestStream, Timed};
use pipeline_core::window::PaneTiming;

use super::{Grouping, Input, Mode, Program, Shape, Step};
use crate::oracle::{OutputTime, Pane, Timing, Windowing, Windows};

type Pairs = PCollection<(u32, i64)>;
type Groups = PCollection<(u32, Vec<(u8, i64)>)>;

/// Runs the program; returns its panes and the number of elements dropped late.
pub fn run(program: &Program) -> Result<(Vec<Pane>, u64), Error> {
    let panes = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&panes);
    let pipeline = Pipeline::build(|p| {
        let (left, right) = inputs(p, program);
        shape(program, left, right).check_timed("Keep", move |all| {
            *kept.lock().unwrap() = all.into_iter().map(pane).collect();
        });
    })?;
    let runner = DirectRunner::new().workers(program.workers);
    let seeded = runner.clone().seed(program.scheduler_seed);
    let runner = match program.mode {
        Mode::Plain => seeded,
        Mode::EncodeEdges => seeded.encode_edges(true),
        Mode::OneElementBundles => seeded.max_bundle(1),
        Mode::Threads => runner,
    };
    // A firing in parts must be the same as one at once, and groups that are all on disk the same
    // as those in memory.
    let runner = match program.scheduler_seed % 8 {
        few @ 0..3 => runner.fire_at_once(few as usize),
        3 => runner.memory_limit(1),
        few @ 4..6 => runner.memory_limit(1).fire_at_once(few as usize - 4),
        _ => runner,
    };
    let result = runner.run(&pipeline)?;
    let panes = std::mem::take(&mut *panes.lock().unwrap());
    let dropped = result.metrics().total(pipeline_core::DROPPED_LATE);
    Ok((panes, dropped))
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn millis(millis: i64) -> Duration {
    Duration::from_millis(millis.try_into().unwrap())
}

/// The windowed input, and its right side where there are two.
fn inputs(p: &Pipeline, program: &Program) -> (Pairs, Option<Pairs>) {
    let two_sides = matches!(program.shape, Shape::CoGroup | Shape::Flatten(_));
    let window = |pairs: Pairs, name: &str, lateness| {
        let windowing = Windowing {
            lateness,
            ..program.windowing
        };
        window_into(pairs, name, windowing)
    };
    let lateness = program.windowing.lateness;
    let (left, right) = match &program.input {
        Input::Two(left, right) => {
            let left = p.read("LeftStream", stream(left, program.mode));
            let right = p.read("RightStream", stream(right, program.mode));
            (left, right)
        }
        Input::One(_) | Input::Bounded(_) => {
            let all = match &program.input {
                Input::Bounded(steps) => p.create_timestamped("Bounded", flat(steps)),
                Input::One(steps) | Input::Two(steps, _) => {
                    p.read("Stream", stream(steps, program.mode))
                }
            };
            if !two_sides {
                return (window(all, "Windows", lateness), None);
            }
            let even = all.filter("Even", |(_, value)| value % 2 == 0);
            let odd = all.filter("Odd", |(_, value)| value % 2 != 0);
            (even, odd)
        }
    };
    let right = window(right, "RightWindows", program.right_lateness);
    (window(left, "LeftWindows", lateness), Some(right))
}

fn stream(steps: &[Step], mode: Mode) -> TestStream<(u32, i64)> {
    let mut stream = TestStream::new();
    for step in steps {
        stream = match step {
            Step::Watermark(to) => stream.watermark(at(*to)),
            // A step comes as one batch: elements that are bundles must be steps.
            Step::Elements(elements) if mode == Mode::OneElementBundles => elements
                .iter()
                .fold(stream, |stream, &(k, v, t)| stream.element((k, v), at(t))),
            Step::Elements(elements) => {
                stream.elements(elements.iter().map(|&(k, v, t)| ((k, v), at(t))))
            }
        };
    }
    stream
}

fn flat(steps: &[Step]) -> Vec<((u32, i64), Timestamp)> {
    let elements = steps.iter().flat_map(|step| match step {
        Step::Elements(elements) => elements.as_slice(),
        Step::Watermark(_) => &[],
    });
    elements.map(|&(k, v, t)| ((k, v), at(t))).collect()
}

fn window_into(pairs: Pairs, name: &str, windowing: Windowing) -> Pairs {
    let into = match windowing.windows {
        Windows::AsTheyAre => return pairs,
        Windows::Global => WindowInto::new(GlobalWindows),
        Windows::Fixed { size, offset } => {
            WindowInto::new(FixedWindows::of(millis(size)).offset(millis(offset)))
        }
        Windows::Sliding {
            size,
            period,
            offset,
        } => WindowInto::new(
            SlidingWindows::of(millis(size))
                .every(millis(period))
                .offset(millis(offset)),
        ),
        Windows::Sessions { gap } => WindowInto::new(Sessions::with_gap(millis(gap))),
    };
    let into = into
        .allowed_lateness(millis(windowing.lateness))
        .timestamp_combiner(match windowing.output_time {
            OutputTime::EndOfWindow => TimestampCombiner::EndOfWindow,
            OutputTime::Earliest => TimestampCombiner::Earliest,
            OutputTime::Latest => TimestampCombiner::Latest,
        })
        .accumulation(match windowing.accumulating {
            true => AccumulationMode::Accumulating,
            false => AccumulationMode::Discarding,
        });
    pairs.window_into(name, into)
}

fn shape(program: &Program, left: Pairs, right: Option<Pairs>) -> Groups {
    let one = |value: i64| vec![(0, value)];
    match (program.shape, right) {
        (Shape::Group(grouping), _) => group(&left, "Group", grouping),
        (Shape::CountPerElement, _) => left
            .map("Key", |(key, _)| key)
            .count_per_element("Count")
            .map("Result", move |(key, n)| (key, one(n as i64))),
        (Shape::CountPerKey, _) => left
            .count_per_key("Count")
            .map("Result", move |(key, n)| (key, one(n as i64))),
        (Shape::Sum, _) => left
            .sum_per_key("Sum")
            .map("Result", move |(key, sum)| (key, one(sum))),
        (Shape::CoGroup, Some(right)) => {
            left.co_group_by_key("CoGroup", &right)
                .map("Result", |(key, both)| {
                    let left = both.left.into_iter().map(|value| (0, value));
                    let right = both.right.into_iter().map(|value| (1, value));
                    (key, left.chain(right).collect())
                })
        }
        (Shape::Flatten(grouping), Some(right)) => {
            group(&left.flatten("Both", &[right]), "Group", grouping)
        }
        (
            Shape::Twice {
                first,
                second,
                windowing,
                rekey,
            },
            _,
        ) => {
            let onward = group(&left, "First", first).map("Onward", move |(key, values)| {
                let sum: i64 = values.iter().map(|(_, value)| *value).sum();
                let key = if rekey { key % 2 } else { key };
                (key, sum + 1_000_000 * values.len() as i64)
            });
            let onward = match windowing {
                Some(windowing) => window_into(onward, "Again", windowing),
                None => onward,
            };
            group(&onward, "Second", second)
        }
        (Shape::CoGroup | Shape::Flatten(_), None) => unreachable!("they have two sides"),
    }
}

fn group(pairs: &Pairs, name: &str, grouping: Grouping) -> Groups {
    let groups = match grouping {
        Grouping::ByKey => pairs.group_by_key(name),
        Grouping::Combine => pairs.combine_per_key(name, All),
    };
    let result = format!("{name}Result");
    groups.map(&result, |(key, values)| {
        (key, values.into_iter().map(|value| (0, value)).collect())
    })
}

/// Keeps every value, so that nothing that a combine does is hidden by its result.
#[derive(Clone)]
pub struct All;

impl CombineFn for All {
    type Input = i64;
    type Accumulator = Vec<i64>;
    type Output = Vec<i64>;

    fn create_accumulator(&self) -> Vec<i64> {
        Vec::new()
    }

    fn add_input(&self, all: &mut Vec<i64>, value: i64) {
        all.push(value);
    }

    fn merge_accumulators(&self, all: &mut Vec<i64>, other: Vec<i64>) {
        all.extend(other);
    }

    fn extract_output(&self, all: Vec<i64>) -> Vec<i64> {
        all
    }
}

fn pane(timed: Timed<(u32, Vec<(u8, i64)>)>) -> Pane {
    let (key, mut values) = timed.value;
    values.sort_unstable();
    Pane {
        key,
        window: (timed.window.start().millis(), timed.window.end().millis()),
        index: timed.pane.index(),
        timing: match timed.pane.timing() {
            PaneTiming::OnTime => Timing::OnTime,
            PaneTiming::Late => Timing::Late,
            PaneTiming::Early | PaneTiming::Unknown => Timing::Unknown,
        },
        is_first: timed.pane.is_first(),
        is_last: timed.pane.is_last(),
        on_time_index: timed.pane.on_time_index(),
        timestamp: timed.timestamp.millis(),
        values,
    }
}
