//! Windows and panes, one rule each.

use std::sync::{Arc, Mutex};

use pipeline_core::DROPPED_LATE;
use pipeline_core::prelude::*;
use pipeline_core::testing::{TestStream, Timed};
use pipeline_core::window::{PaneInfo, PaneTiming, Window};

use crate::support::{at, fails, millis, run_seeded};

type Pair = (u32, i64);

fn bounds<T>(timed: &Timed<T>) -> (i64, i64) {
    (timed.window.start().millis(), timed.window.end().millis())
}

fn grouped(all: Vec<Timed<(u32, Vec<i64>)>>) -> Vec<((i64, i64), Vec<i64>)> {
    let mut groups: Vec<_> = all
        .into_iter()
        .map(|timed| {
            let window = bounds(&timed);
            let mut values = timed.value.1;
            values.sort_unstable();
            (window, values)
        })
        .collect();
    groups.sort();
    groups
}

/// Sessions that also merge where one begins as the other ends, and never across a whole second.
#[derive(Clone, Debug, PartialEq)]
struct Touching;

impl WindowFn for Touching {
    fn assign(&self, timestamp: Timestamp, windows: &mut Vec<Window>) {
        windows.push(Window::interval(timestamp, timestamp.plus_millis(10)));
    }

    fn is_merging(&self) -> bool {
        true
    }

    fn merge(&self, windows: &[Window]) -> Vec<Window> {
        let second = |w: Window| w.start().millis().div_euclid(1_000);
        let mut merged: Vec<Window> = Vec::new();
        for &window in windows {
            match merged.last_mut() {
                Some(last) if last.end() >= window.start() && second(*last) == second(window) => {
                    *last = last.span(window);
                }
                _ => merged.push(window),
            }
        }
        merged
    }
}

#[test]
fn a_merging_window_fn_of_the_user_decides_what_merges() {
    let times = [0, 10, 20, 31, 989, 995, 1_000];
    let (all, _) = run_seeded(|p| {
        let pairs = times.map(|t| ((1_u32, t), at(t))).to_vec();
        p.create_timestamped("Pairs", pairs)
            .window_into("Touching", Touching)
            .group_by_key("Group")
    });
    // 1,000 overlaps the window that 995 grew, but lies in another second.
    let expected = [
        ((0, 30), vec![0, 10, 20]),
        ((31, 41), vec![31]),
        ((989, 1_005), vec![989, 995]),
        ((1_000, 1_010), vec![1_000]),
    ];
    assert_eq!(grouped(all), expected);
}

#[test]
fn a_late_element_may_join_two_windows_that_have_fired() {
    for accumulating in [false, true] {
        let (all, result) = run_seeded(|p| {
            let stream = TestStream::new()
                .elements([((1, 0), at(0)), ((1, 20), at(20))])
                .watermark(at(100))
                .element((1, 10), at(10))
                .element((1, 35), at(35));
            let mode = match accumulating {
                true => AccumulationMode::Accumulating,
                false => AccumulationMode::Discarding,
            };
            let windows = WindowInto::new(Touching)
                .allowed_lateness(millis(200))
                .accumulation(mode);
            p.read("Stream", stream)
                .window_into("Touching", windows)
                .group_by_key("Group")
        });
        let joined = match accumulating {
            true => vec![0, 10, 20],
            false => vec![10],
        };
        let expected = [
            ((0, 10), vec![0]),
            ((0, 30), joined),
            ((20, 30), vec![20]),
            ((35, 45), vec![35]),
        ];
        assert!(all.iter().all(|t| t.pane.index() == 0 && t.pane.is_first()));
        assert_eq!(grouped(all), expected);
        assert_eq!(result.metrics().total(DROPPED_LATE), 0);
    }
}

/// Merges all windows but the last as soon as there are three.
#[derive(Clone, Debug, PartialEq)]
struct AllButTheLast;

impl WindowFn for AllButTheLast {
    fn assign(&self, timestamp: Timestamp, windows: &mut Vec<Window>) {
        windows.push(Window::interval(timestamp, timestamp.plus_millis(1)));
    }

    fn is_merging(&self) -> bool {
        true
    }

    fn merge(&self, windows: &[Window]) -> Vec<Window> {
        match windows {
            [first, between @ .., last] if !between.is_empty() => {
                let merged = between.iter().fold(*first, |all, w| all.span(*w));
                vec![merged, *last]
            }
            _ => windows.to_vec(),
        }
    }
}

#[test]
fn a_new_window_may_merge_others_and_stay_alone() {
    let (all, _) = run_seeded(|p| {
        let pairs = [0, 10, 20].map(|t| ((1_u32, t), at(t))).to_vec();
        p.create_timestamped("Pairs", pairs)
            .window_into("AllButTheLast", AllButTheLast)
            .group_by_key("Group")
    });
    assert_eq!(grouped(all), [((0, 11), vec![0, 10]), ((20, 21), vec![20])]);
}

/// Breaks one of the rules of a `WindowFn`.
#[derive(Clone, Debug, PartialEq)]
enum Broken {
    NoWindow,
    LosesAWindow,
    ShrinksAWindow,
    Panics,
}

impl WindowFn for Broken {
    fn assign(&self, timestamp: Timestamp, windows: &mut Vec<Window>) {
        match self {
            Broken::NoWindow => {}
            Broken::LosesAWindow | Broken::ShrinksAWindow => {
                windows.push(Window::interval(timestamp, timestamp.plus_millis(2)));
            }
            Broken::Panics => panic!("no window today"),
        }
    }

    fn is_merging(&self) -> bool {
        matches!(self, Broken::LosesAWindow | Broken::ShrinksAWindow)
    }

    fn merge(&self, windows: &[Window]) -> Vec<Window> {
        if *self == Broken::LosesAWindow {
            return Vec::new();
        }
        let shorter = |w: &Window| Window::interval(w.start(), w.start().plus_millis(1));
        windows.iter().map(shorter).collect()
    }
}

#[test]
fn a_broken_window_fn_ends_the_job_and_is_named() {
    let cases = [
        (Broken::NoWindow, "'Windows'", "no window for"),
        (
            Broken::LosesAWindow,
            "'Group/Group'",
            "no window that holds",
        ),
        (
            Broken::ShrinksAWindow,
            "'Group/Group'",
            "no window that holds",
        ),
        (Broken::Panics, "'Windows'", "no window today"),
    ];
    for (window_fn, transform, cause) in cases {
        let error = fails(|p| {
            let pairs: Vec<Pair> = vec![(1, 1), (1, 2)];
            p.create("Pairs", pairs)
                .window_into("Windows", window_fn.clone())
                .group_by_key("Group")
        });
        assert!(
            error.contains(transform) && error.contains(cause),
            "{error}"
        );
    }
}

#[test]
fn offsets_count_modulo_and_hold_before_the_epoch() {
    // (offset of windows of 10 ms, timestamp, start of its window), by hand.
    let cases = [
        (0, -1, -10),
        (0, -10, -10),
        (0, -11, -20),
        (3, 0, -7),
        (3, 2, -7),
        (3, 3, 3),
        (3, -7, -7),
        (3, -8, -17),
        (13, -8, -17),
    ];
    for (offset, timestamp, start) in cases {
        let fixed = FixedWindows::of(millis(10)).offset(millis(offset));
        let mut windows = Vec::new();
        fixed.assign(at(timestamp), &mut windows);
        let expected = [Window::interval(at(start), at(start + 10))];
        assert_eq!(windows, expected, "{timestamp} with offset {offset}");
    }
    let sliding = SlidingWindows::of(millis(10))
        .every(millis(4))
        .offset(millis(5));
    let mut windows = Vec::new();
    sliding.assign(at(-3), &mut windows);
    let mut starts: Vec<i64> = windows.iter().map(|w| w.start().millis()).collect();
    starts.sort_unstable();
    assert_eq!(starts, [-11, -7, -3]);
}

#[test]
fn windows_end_with_the_global_one() {
    let end = Timestamp::END_OF_GLOBAL_WINDOW;
    let mut windows = Vec::new();
    FixedWindows::of(millis(1_000)).assign(end, &mut windows);
    SlidingWindows::of(millis(1_000)).assign(end, &mut windows);
    Sessions::with_gap(millis(1_000)).assign(end, &mut windows);
    assert!(
        windows.iter().all(|w| w.max_timestamp() == end),
        "{windows:?}"
    );
}

/// Tells the pane as a function sees it.
#[derive(Clone)]
struct SeePane;

impl DoFn for SeePane {
    type Input = (u32, Vec<i64>);
    type Outputs = Out<PaneInfo>;

    fn process(
        &mut self,
        _: (u32, Vec<i64>),
        context: &ElementContext,
        out: &mut Self::Outputs,
    ) -> Result<(), BoxError> {
        out.emit(context.pane());
        Ok(())
    }
}

#[test]
fn functions_read_the_pane() {
    let (all, _) = run_seeded(|p| {
        let stream = TestStream::new()
            .element((1, 0), at(0))
            .watermark(at(10))
            .element((1, 1), at(1))
            .element((1, 2), at(2))
            .watermark(at(14))
            .element((1, 12), at(12));
        let windows = WindowInto::new(FixedWindows::of(millis(10))).allowed_lateness(millis(5));
        p.read("Stream", stream)
            .window_into("Windows", windows)
            .group_by_key("Group")
            .par_do("See", SeePane)
    });
    let seen = |pane: PaneInfo| {
        let (first, last) = (pane.is_first(), pane.is_last());
        (
            pane.timing(),
            pane.index(),
            pane.on_time_index(),
            first,
            last,
        )
    };
    let panes: Vec<_> = all.iter().map(|timed| seen(timed.value)).collect();
    let expected = [
        (PaneTiming::OnTime, 0, 0, true, false),
        (PaneTiming::Late, 1, 1, false, false),
        (PaneTiming::Late, 2, 2, false, false),
        // The watermark went past the expiry of its window at once.
        (PaneTiming::OnTime, 0, 0, true, true),
    ];
    assert_eq!(panes, expected);
    assert!(all.iter().all(|timed| timed.pane == timed.value));
}

#[test]
fn an_element_that_no_group_has_emitted_has_no_firing() {
    let (all, _) = run_seeded(|p| p.create("One", vec![1]));
    assert_eq!(all[0].pane, PaneInfo::NO_FIRING);
    assert!(all[0].window.is_global());
    assert_eq!(all[0].timestamp, Timestamp::MIN);
}

/// Emits at a distance from its input.
#[derive(Clone)]
struct Shift(i64);

impl DoFn for Shift {
    type Input = i64;
    type Outputs = Out<i64>;

    fn process(
        &mut self,
        value: i64,
        context: &ElementContext,
        out: &mut Self::Outputs,
    ) -> Result<(), BoxError> {
        out.emit_at(value, context.timestamp().plus_millis(self.0));
        Ok(())
    }
}

#[test]
fn nothing_is_emitted_before_its_input() {
    let shifted = |by| {
        move |p: &Pipeline| {
            p.create_timestamped("One", vec![(7, at(100))])
                .par_do("Shift", Shift(by))
        }
    };
    let error = fails(shifted(-1));
    assert!(error.contains("before the element in process"), "{error}");
    for by in [0, 50] {
        let (all, _) = run_seeded(shifted(by));
        assert_eq!(all[0].timestamp, at(100 + by));
    }
    let error = fails(|p| {
        p.create_timestamped("One", vec![(7, at(100))])
            .with_timestamps("Earlier", |_| at(99))
    });
    assert!(error.contains("before the element in process"), "{error}");
}

#[test]
fn groups_that_would_never_end_are_refused() {
    type Construct = fn(&PCollection<Pair>);
    let cases: [(&str, Construct); 4] = [
        ("Group", |pairs| drop(pairs.group_by_key("Group"))),
        ("Sum", |pairs| drop(pairs.sum_per_key("Sum"))),
        ("Join", |pairs| drop(pairs.co_group_by_key("Join", pairs))),
        ("Count", |pairs| drop(pairs.count_globally("Count"))),
    ];
    for (name, construct) in cases {
        let built = Pipeline::build(|p| {
            let stream: TestStream<Pair> = TestStream::new();
            construct(&p.read("Stream", stream));
        });
        let Err(error) = built else {
            panic!("{name} was not refused");
        };
        let error = error.to_string();
        assert!(error.contains(&format!("'{name}/")), "{error}");
        assert!(error.contains("window_into"), "{error}");
        // Bounded input ends, and so does a window.
        let bounded = Pipeline::build(|p| construct(&p.create("Pairs", vec![])));
        let windowed = Pipeline::build(|p| {
            let stream: TestStream<Pair> = TestStream::new();
            let windows = FixedWindows::of(millis(1));
            construct(&p.read("Stream", stream).window_into("Windows", windows));
        });
        assert!(bounded.is_ok() && windowed.is_ok(), "{name}");
    }
}

#[test]
fn what_is_mixed_must_be_windowed_alike() {
    let kept: Arc<Mutex<Vec<String>>> = Arc::default();
    for join in [false, true] {
        let built = Pipeline::build(|p| {
            let pairs = p.create("Pairs", vec![(1_u32, 1_i64)]);
            let one = pairs.window_into("One", FixedWindows::of(millis(1)));
            let two = pairs.window_into("Two", FixedWindows::of(millis(2)));
            if join {
                drop(one.co_group_by_key("Both", &two));
            } else {
                drop(one.flatten("Both", &[two]));
            }
        });
        kept.lock()
            .unwrap()
            .extend(built.err().map(|e| e.to_string()));
    }
    let errors = kept.lock().unwrap();
    assert_eq!(errors.len(), 2);
    for error in errors.iter() {
        assert!(
            error.contains("'One'") && error.contains("'Two'"),
            "{error}"
        );
    }
}
