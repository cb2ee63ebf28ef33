//! What groups keep, which no output shows: holds, timers, state that should be gone.

#[cfg(feature = "spill")]
mod limited;

use std::cell::Cell;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::window::window_fn::merge_intersecting;
use crate::window::{FixedWindows, Sessions, WindowFn, WindowInto};

/// Gathers numbers, and counts how often what was gathered is copied.
#[derive(Default)]
struct Gather {
    copies: Cell<u32>,
}

impl Aggregate for Gather {
    type Input = i64;
    type Accumulator = Vec<i64>;
    type Output = Vec<i64>;

    fn create(&self) -> Vec<i64> {
        Vec::new()
    }

    fn add(&self, accumulator: &mut Vec<i64>, input: i64) {
        accumulator.push(input);
    }

    fn merge(&self, accumulator: &mut Vec<i64>, other: Vec<i64>) {
        accumulator.extend(other);
    }

    fn extract(&self, accumulator: Vec<i64>) -> Vec<i64> {
        accumulator
    }

    fn peek(&self, accumulator: &Vec<i64>) -> Vec<i64> {
        self.copies.set(self.copies.get() + 1);
        accumulator.clone()
    }
}

type Fired = Vec<(u32, Vec<i64>, Stamp)>;

impl Emit<u32, Vec<i64>> for Fired {
    fn emit(&mut self, key: u32, output: Vec<i64>, stamp: Stamp) -> Result<(), Fault> {
        self.push((key, output, stamp));
        Ok(())
    }
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

/// Groups of numbers, each its own timestamp.
struct Numbers {
    groups: Groups<u32, Gather>,
    gather: Gather,
}

impl Numbers {
    fn new(windows: impl Into<WindowInto>) -> Self {
        Numbers {
            groups: Groups::new(windows.into().strategy),
            gather: Gather::default(),
        }
    }

    fn add(&mut self, key: u32, time: i64) {
        self.put(key, time);
        self.assert_sound();
    }

    fn put(&mut self, key: u32, time: i64) {
        let strategy = self.groups.strategy.clone();
        let mut windows = Vec::new();
        strategy.window_fn.assign(at(time), &mut windows);
        for window in windows {
            let output_time = strategy.timestamp_combiner.assign(window, at(time));
            let arrival = Arrival {
                input: time,
                window,
                output_time,
            };
            let added = self.groups.add(&self.gather, key, arrival);
            match added {
                Ok(Admission::Taken) => assert_eq!(self.groups.current_key(), Some(&key)),
                Ok(Admission::DroppedLate) => {}
                Err(_) => panic!("no user code can fail here"),
            }
        }
    }

    fn advance(&mut self, watermark: i64) -> Fired {
        let mut fired = Fired::new();
        let advanced = self
            .groups
            .advance(&self.gather, at(watermark), &mut fired, 2);
        let mut done = advanced.ok();
        while done == Some(false) {
            assert!(self.groups.is_firing());
            done = self.groups.fire_on(&self.gather, &mut fired, 1).ok();
        }
        assert_eq!((done, self.groups.is_firing()), (Some(true), false));
        self.assert_sound();
        fired
    }

    /// What is held, timed and kept is what the groups call for.
    fn assert_sound(&self) {
        let stage = Stage {
            aggregate: &self.gather,
            strategy: &self.groups.strategy,
            watermark: self.groups.watermark,
        };
        let earliest = match &self.groups.kind {
            GroupsKind::Aligned(groups) => groups.assert_sound(&stage),
            GroupsKind::Merging(groups) => groups.assert_sound(&stage),
        };
        let expected = match self.groups.strategy.timestamp_combiner {
            TimestampCombiner::EndOfWindow => None,
            _ => earliest,
        };
        assert_eq!(self.groups.hold(), expected.unwrap_or(Timestamp::MAX));
    }

    /// Returns the number of windows and of timers that are kept, whatever their state.
    fn kept(&self) -> (usize, usize) {
        match &self.groups.kind {
            GroupsKind::Aligned(groups) => (groups.kept(), 0),
            GroupsKind::Merging(groups) => groups.kept(),
        }
    }
}

fn panes(fired: &Fired) -> Vec<(i64, i64, u32)> {
    let pane = |stamp: &Stamp| {
        let (end, time) = (stamp.window.end().millis(), stamp.timestamp.millis());
        (end, time, stamp.pane.index())
    };
    fired.iter().map(|(_, _, stamp)| pane(stamp)).collect()
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Merges windows that intersect, then all but the last if there are three or more.
#[derive(Clone, Debug, PartialEq)]
struct AllButTheLast;

impl WindowFn for AllButTheLast {
    fn assign(&self, timestamp: Timestamp, windows: &mut Vec<Window>) {
        windows.push(Window::interval(timestamp, timestamp.plus_millis(3)));
    }

    fn is_merging(&self) -> bool {
        true
    }

    fn merge(&self, windows: &[Window]) -> Vec<Window> {
        let windows = merge_intersecting(windows);
        match &windows[..] {
            [first, between @ .., last] if !between.is_empty() => {
                let merged = between.iter().fold(*first, |all, w| all.span(*w));
                vec![merged, *last]
            }
            _ => windows,
        }
    }
}

#[test]
fn the_time_of_a_pane_is_that_of_the_window_that_grew_under_it() {
    let lateness = WindowInto::new(AllButTheLast).allowed_lateness(millis(1_000));
    let mut numbers = Numbers::new(lateness);
    numbers.add(1, 1);
    numbers.add(1, 11);
    assert_eq!(panes(&numbers.advance(50)), [(4, 3, 0), (14, 13, 0)]);
    // The late element's window grows when the next comes, which is not in it.
    numbers.add(1, 1);
    numbers.add(1, 60);
    assert_eq!(panes(&numbers.advance(51)), [(14, 13, 0)]);
}

#[test]
fn what_is_pending_in_either_of_two_windows_that_merge_is_pending_in_the_one() {
    for late in [1, 11] {
        let lateness = WindowInto::new(AllButTheLast).allowed_lateness(millis(1_000));
        let mut numbers = Numbers::new(lateness);
        numbers.add(1, 1);
        numbers.add(1, 11);
        numbers.advance(50);
        numbers.add(1, late);
        numbers.add(1, 60);
        let fired = numbers.advance(51);
        assert_eq!(panes(&fired), [(14, 13, 0)]);
        assert_eq!(fired[0].1, [late]);
    }
}

#[test]
fn the_times_of_windows_that_merge_are_folded() {
    for (combiner, time) in [
        (TimestampCombiner::Earliest, 0),
        (TimestampCombiner::Latest, 15),
    ] {
        let windows = WindowInto::new(Sessions::with_gap(millis(10)));
        let mut numbers = Numbers::new(windows.timestamp_combiner(combiner));
        for time in [0, 15, 8] {
            numbers.add(1, time);
        }
        assert_eq!(panes(&numbers.advance(25)), [(25, time, 0)]);
    }
}

#[test]
fn a_late_group_holds_the_watermark_once_it_is_in_a_window_that_has_not_ended() {
    let windows = WindowInto::new(Sessions::with_gap(millis(10)))
        .allowed_lateness(millis(1_000))
        .timestamp_combiner(TimestampCombiner::Earliest);
    let mut numbers = Numbers::new(windows);
    numbers.advance(20);
    numbers.add(1, 5);
    assert_eq!(numbers.groups.hold(), Timestamp::MAX);
    numbers.add(1, 14);
    assert_eq!(numbers.groups.hold(), at(5));
    assert_eq!(panes(&numbers.advance(24)), [(24, 5, 0)]);
    assert_eq!(numbers.groups.hold(), Timestamp::MAX);
}

#[test]
fn what_has_expired_is_gone_and_not_copied() {
    let accumulating = |windows: WindowInto| {
        let mode = AccumulationMode::Accumulating;
        windows.accumulation(mode).allowed_lateness(millis(20))
    };
    let aligned = WindowInto::new(FixedWindows::of(millis(10)));
    let merging = WindowInto::new(Sessions::with_gap(millis(10)));
    for windows in [aligned, merging] {
        let mut numbers = Numbers::new(accumulating(windows));
        numbers.add(1, 0);
        numbers.add(2, 0);
        assert_eq!(numbers.groups.open_groups(), 2);
        // Fired, and kept for late elements.
        assert_eq!(numbers.advance(10).len(), 2);
        assert_eq!((numbers.kept().0, numbers.gather.copies.get()), (2, 2));
        assert_eq!(numbers.groups.open_groups(), 0);
        // Late elements of the very window.
        numbers.add(2, 0);
        assert_eq!(
            panes(&numbers.advance(11)).last().map(|pane| pane.2),
            Some(1)
        );
        numbers.add(2, 0);
        assert_eq!(
            panes(&numbers.advance(12)).last().map(|pane| pane.2),
            Some(2)
        );
        let copies = numbers.gather.copies.replace(2);
        assert_eq!(copies, 4);
        numbers.advance(29);
        assert_eq!(numbers.kept().0, 2);
        numbers.advance(30);
        assert_eq!(numbers.kept(), (0, 0));
        // Fired by a watermark that is past their expiry.
        numbers.add(1, 40);
        numbers.add(2, 40);
        assert_eq!(numbers.advance(200).len(), 2);
        assert_eq!((numbers.kept(), numbers.gather.copies.get()), ((0, 0), 2));
    }
}

#[test]
fn a_timer_that_was_overtaken_is_gone_when_it_comes_up() {
    let windows = WindowInto::new(Sessions::with_gap(millis(10)));
    let mut numbers = Numbers::new(windows.allowed_lateness(millis(1_000)));
    // Each window is due before those that came before it.
    for n in (0..20).rev() {
        numbers.add(1, 20 * n);
    }
    // Elements that change no time queue nothing.
    for _ in 0..5 {
        numbers.add(1, 0);
    }
    assert_eq!(numbers.kept(), (20, 20));
    assert_eq!(numbers.advance(500).len(), 20);
    assert_eq!(numbers.kept(), (20, 1));
}

/// A step of a stream.
#[derive(Clone, Debug)]
enum Step {
    Add { key: u32, time: i64 },
    Advance(i64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let add = (0..3_u32, -60..140_i64).prop_map(|(key, time)| Step::Add { key, time });
    let advance = (0..25_i64).prop_map(Step::Advance);
    prop::collection::vec(prop_oneof![3 => add, 1 => advance], 0..60)
}

proptest! {
    #[test]
    fn nothing_is_held_timed_or_kept_without_need(
        steps in steps(),
        window_fn in 0..3_u8,
        lateness in prop_oneof![Just(0), 1..60_u64],
        combiner in prop_oneof![
            Just(TimestampCombiner::EndOfWindow),
            Just(TimestampCombiner::Earliest),
            Just(TimestampCombiner::Latest),
        ],
    ) {
        let windows = match window_fn {
            0 => WindowInto::new(FixedWindows::of(millis(10))),
            1 => WindowInto::new(Sessions::with_gap(millis(10))),
            _ => WindowInto::new(AllButTheLast),
        };
        let windows = windows.allowed_lateness(millis(lateness)).timestamp_combiner(combiner);
        let mut numbers = Numbers::new(windows);
        let mut watermark = -30;
        for step in steps {
            match step {
                Step::Add { key, time } => numbers.add(key, time),
                Step::Advance(by) => {
                    watermark += by;
                    numbers.advance(watermark);
                }
            }
        }
        numbers.advance(Timestamp::MAX.millis());
        prop_assert_eq!(numbers.kept(), (0, 0));
        prop_assert_eq!(numbers.groups.open_groups(), 0);
    }
}
