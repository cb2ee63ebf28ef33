//! What is saved and taken back, by any number of workers, goes on as if nothing had happened.

use std::time::Duration;

use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use super::remember::Remember;
use super::stage::{Emitted, Stage};
use crate::batch::Stamp;
use crate::coder::Element;
use crate::graph::{Kind, Progress};
use crate::pipeline::Pipeline;
use crate::state::{BagCell, StateCells};
use crate::time::Timestamp;
use crate::transforms::{CoGrouped, CombineFn};
use crate::window::{
    AccumulationMode, FixedWindows, GlobalWindows, PaneInfo, Sessions, SlidingWindows,
    TimestampCombiner, WindowInto,
};

pub(super) type Key = u8;

#[derive(Clone, Debug)]
enum Event {
    Element {
        input: usize,
        key: Key,
        value: u32,
        /// Event time, from the watermark.
        behind: i64,
    },
    /// Ends the bundle; the watermark moves on by so much.
    EndBundle(i64),
    /// Ends the bundle, saves, and goes on with so many new workers.
    Restart { workers: usize, told_again: bool },
}

fn event() -> impl Strategy<Value = Event> {
    let element = (0..2_usize, 0..6_u8, 0..1_000_u32, -60..60_i64);
    let element = element.prop_map(|(input, key, value, behind)| Event::Element {
        input,
        key,
        value,
        behind,
    });
    let restart = (1..5_usize, any::<bool>()).prop_map(|(workers, told_again)| Event::Restart {
        workers,
        told_again,
    });
    prop_oneof![
        8 => element,
        2 => (0..30_i64).prop_map(Event::EndBundle),
        1 => restart,
    ]
}

fn windows() -> impl Strategy<Value = WindowInto> {
    let ms = Duration::from_millis;
    let windows = prop_oneof![
        Just(WindowInto::from(FixedWindows::of(ms(20)))),
        Just(WindowInto::from(SlidingWindows::of(ms(30)).every(ms(10)))),
        Just(WindowInto::from(Sessions::with_gap(ms(8)))),
        Just(WindowInto::from(GlobalWindows)),
    ];
    let combiner = prop_oneof![
        Just(TimestampCombiner::EndOfWindow),
        Just(TimestampCombiner::Earliest),
        Just(TimestampCombiner::Latest),
    ];
    let mode = prop_oneof![
        Just(AccumulationMode::Discarding),
        Just(AccumulationMode::Accumulating)
    ];
    let lateness = prop_oneof![Just(0), Just(15), Just(50)];
    (windows, combiner, mode, lateness).prop_map(move |(windows, combiner, mode, lateness)| {
        windows
            .timestamp_combiner(combiner)
            .accumulation(mode)
            .allowed_lateness(ms(lateness))
    })
}

/// What a run showed to the outside.
#[derive(Debug, PartialEq)]
struct Shown {
    emitted: Vec<Emitted>,
    dropped: u64,
    /// What is still open at the end: state in the global window.
    left: u64,
}

/// How an input is made of a number, and text of an output.
type Ways<V, O> = (fn(u32) -> V, fn(O) -> String);

/// Runs the events; restarts are only taken if `restarts` says so. Of the lives between them every
/// second one has `share` bytes for what it keeps.
fn run<V: Element, O: Element>(
    stage: &Stage,
    events: &[Event],
    (input, show): Ways<V, O>,
    restarts: bool,
    mut share: Option<u64>,
) -> Shown {
    let mut life = stage.start_within::<Key, V, O>(share, 1, show);
    let mut other = None;
    let mut watermark = Timestamp::from_millis(0);
    let mut shown = Shown {
        emitted: Vec::new(),
        dropped: 0,
        left: 0,
    };
    let at = |watermark| Progress {
        watermark,
        closed: false,
    };
    for event in events {
        match *event {
            Event::Element {
                input: number,
                key,
                value,
                behind,
            } => {
                let timestamp = watermark.plus_millis(behind);
                for window in stage.windows(timestamp) {
                    let stamp = Stamp {
                        timestamp,
                        window,
                        pane: PaneInfo::NO_FIRING,
                    };
                    life.push(number, key, input(value), stamp);
                }
            }
            Event::EndBundle(by) => {
                watermark = watermark.plus_millis(by);
                life.end_bundle(at(watermark));
            }
            Event::Restart {
                workers,
                told_again,
            } => {
                let before = life.end_bundle(at(watermark));
                if !restarts {
                    continue;
                }
                let saved = life.save();
                std::mem::swap(&mut share, &mut other);
                let next = stage.start_within::<Key, V, O>(share, workers, show);
                next.load(&saved).unwrap();
                assert_eq!(next.open_groups(), life.open_groups());
                shown.emitted.append(&mut life.emitted.borrow_mut());
                shown.dropped += life.dropped();
                life = next;
                // Exchanges begin anew, and what was put out does not go back for it.
                let least = before.iter().min().copied().unwrap();
                for now in life.end_bundle(Progress::START) {
                    assert_eq!(now, least, "before: {before:?}");
                }
                if told_again {
                    let now = life.end_bundle(at(watermark));
                    let now_least = now.iter().min().copied().unwrap();
                    assert!(now_least >= least, "{before:?} {now:?}");
                    if workers == 1 {
                        // All holds are there: nothing runs ahead.
                        assert_eq!(now_least, least, "{before:?} {now:?}");
                    }
                }
            }
        }
    }
    life.end_bundle(Progress::ENDED);
    shown.left = life.open_groups();
    shown.emitted.append(&mut life.emitted.borrow_mut());
    shown.dropped += life.dropped();
    shown
        .emitted
        .sort_by_key(|(text, stamp)| format!("{text} {stamp:?}"));
    shown
}

fn goes_on<V: Element, O: Element>(
    kind: Kind,
    events: &[Event],
    ways: Ways<V, O>,
    build: impl FnOnce(&Pipeline),
) -> Result<(), TestCaseError> {
    let stage = Stage::new(kind, build);
    let undisturbed = run(&stage, events, ways, false, None);
    let resumed = run(&stage, events, ways, true, None);
    prop_assert_eq!(undisturbed, resumed);
    Ok(())
}

/// Sums, with an accumulator that has fields.
#[derive(Clone)]
struct Mean;

#[derive(Clone, Default, Serialize, Deserialize)]
struct Total {
    sum: u64,
    count: Option<u64>,
}

impl CombineFn for Mean {
    type Input = u64;
    type Accumulator = Total;
    type Output = (u64, u64);

    fn create_accumulator(&self) -> Total {
        Total::default()
    }

    fn add_input(&self, total: &mut Total, input: u64) {
        self.merge_accumulators(total, of_one(input));
    }

    fn merge_accumulators(&self, total: &mut Total, other: Total) {
        total.sum += other.sum;
        if let Some(count) = other.count {
            *total.count.get_or_insert(0) += count;
        }
    }

    fn extract_output(&self, total: Total) -> (u64, u64) {
        (total.sum, total.count.unwrap_or(0))
    }
}

fn of_one(value: u64) -> Total {
    Total {
        sum: value,
        count: Some(1),
    }
}

fn pairs(p: &Pipeline, name: &str) -> crate::PCollection<(Key, u32)> {
    p.create(name, vec![(0, 0)])
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn groups(events in prop::collection::vec(event(), 1..120), windows in windows()) {
        let show = |(key, mut values): (Key, Vec<u32>)| {
            values.sort_unstable();
            format!("{key} {values:?}")
        };
        goes_on(Kind::GroupByKey, &events, (|value| value, show), |p| {
            let _ = pairs(p, "In").window_into("Window", windows).group_by_key("Group");
        })?;
    }

    #[test]
    fn groups_of_two_collections(
        events in prop::collection::vec(event(), 1..120),
        windows in windows(),
    ) {
        let show = |(key, mut values): (Key, CoGrouped<u32, u32>)| {
            values.left.sort_unstable();
            values.right.sort_unstable();
            format!("{key} {values:?}")
        };
        goes_on(Kind::CoGroupByKey, &events, (|value| value, show), |p| {
            let left = pairs(p, "Left").window_into("WindowLeft", windows.clone());
            let right = pairs(p, "Right").window_into("WindowRight", windows);
            let _ = left.co_group_by_key("Group", &right);
        })?;
    }

    #[test]
    fn combined_values(events in prop::collection::vec(event(), 1..120), windows in windows()) {
        let show = |(key, mean): (Key, (u64, u64))| format!("{key} {mean:?}");
        let input = |value| (of_one(u64::from(value)), 1_u64);
        goes_on(Kind::CombineMerge, &events, (input, show), |p| {
            let values = pairs(p, "In").map("Long", |(key, value)| (key, u64::from(value)));
            let _ = values.window_into("Window", windows).combine_per_key("Mean", Mean);
        })?;
    }

    #[test]
    fn keyed_state(
        events in prop::collection::vec(event(), 1..120),
        windows in windows().prop_filter("sessions merge", |w| !w.strategy.merges()),
    ) {
        goes_on(Kind::StatefulParDo, &events, (|value| value, |text: String| text), |p| {
            let values = pairs(p, "In").window_into("Window", windows);
            let _ = values.par_do_stateful("Remember", Remember::declare);
        })?;
    }
}

proptest! {
    // Each of the many lives of a case opens a store.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(40) })]

    #[test]
    #[cfg_attr(not(feature = "spill"), ignore)]
    fn keyed_state_that_is_away(
        events in prop::collection::vec(event(), 1..120),
        windows in windows().prop_filter("sessions merge", |w| !w.strategy.merges()),
        // All of it, or what some keys have.
        share in prop_oneof![Just(1), 600..3_000_u64],
    ) {
        let stage = Stage::new(Kind::StatefulParDo, |p| {
            let values = pairs(p, "In").window_into("Window", windows);
            let _ = values.par_do_stateful("Remember", Remember::declare);
        });
        let ways: Ways<u32, String> = (|value| value, |text| text);
        let in_memory = run(&stage, &events, ways, false, None);
        let away = run(&stage, &events, ways, false, Some(share));
        prop_assert_eq!(&in_memory, &away);
        let resumed = run(&stage, &events, ways, true, Some(share));
        prop_assert_eq!(&in_memory, &resumed);
    }
}

/// Saves on two workers what `declare` makes of some elements; returns what it puts out at the end
/// when `later` has taken it back on three.
fn taken_back(
    declare: fn(&mut StateCells) -> Remember,
    later: fn(&mut StateCells) -> Remember,
) -> crate::Result<Vec<Emitted>> {
    let stage = |declare: fn(&mut StateCells) -> Remember| {
        Stage::new(Kind::StatefulParDo, |p| {
            let windows = FixedWindows::of(Duration::from_secs(1));
            let values = pairs(p, "In").window_into("Window", windows);
            let _ = values.par_do_stateful("Remember", declare);
        })
    };
    let (before, after) = (stage(declare), stage(later));
    let mut life = before.start::<Key, u32, String>(2, |text| text);
    for (key, value) in [(0, 3), (1, 6), (2, 7), (3, 11), (0, 4), (3, 14)] {
        let timestamp = Timestamp::from_millis(i64::from(value));
        for window in before.windows(timestamp) {
            let stamp = Stamp {
                timestamp,
                window,
                pane: PaneInfo::NO_FIRING,
            };
            life.push(0, key, value, stamp);
        }
    }
    life.end_bundle(Progress::START);
    let saved = life.save();
    let mut life = after.start::<Key, u32, String>(3, |text| text);
    life.load(&saved)?;
    assert_eq!(life.open_groups(), 4);
    life.end_bundle(Progress::ENDED);
    let mut emitted = life.emitted.take();
    emitted.sort_by_key(|(text, stamp)| format!("{text} {stamp:?}"));
    Ok(emitted)
}

#[test]
fn cells_and_timers_are_found_by_name() {
    let same = taken_back(Remember::declare, Remember::declare).unwrap();
    assert_eq!(same.len(), 7, "{same:?}");
    let otherwise = taken_back(Remember::declare, Remember::declare_otherwise).unwrap();
    assert_eq!(same, otherwise);
}

#[test]
fn state_of_a_cell_that_is_gone_or_another_is_refused() {
    let refused = taken_back(Remember::declare_otherwise, Remember::declare);
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("'Remember/Process'"), "{refused}");
    assert!(refused.contains("declares no 'new'"), "{refused}");
    let refused = taken_back(Remember::declare, |cells| {
        let bag: BagCell<String> = cells.bag("all");
        let _ = bag;
        let mut others = StateCells::default();
        let all = others.bag("all");
        Remember {
            all,
            last: cells.value("last"),
            soon: cells.event_timer("soon"),
            end: cells.event_timer("end"),
        }
    });
    let refused = refused.unwrap_err().to_string();
    assert!(
        refused.contains("cell 'all'") && refused.contains("String"),
        "{refused}"
    );
}

#[test]
fn the_result_of_nothing_comes_once_whoever_has_it() {
    let stage = Stage::new(Kind::CombineMerge, |p| {
        let values = p.create("In", Vec::<u64>::new());
        let _ = values.combine_globally("Mean", Mean);
    });
    let show = |((), mean): ((), (u64, u64))| format!("{mean:?}");
    type Input = (Total, u64);
    for something in [false, true] {
        let mut life = stage.start::<(), Input, _>(3, show);
        life.end_bundle(Progress::START);
        for workers in [1, 4, 2] {
            let next = stage.start::<(), Input, _>(workers, show);
            next.load(&life.save()).unwrap();
            life = next;
            if something && workers == 4 {
                life.push(0, (), (of_one(5), 1), Stamp::ROOT);
            }
            life.end_bundle(Progress::START);
        }
        life.end_bundle(Progress::ENDED);
        let expected = if something { "(5, 1)" } else { "(0, 0)" };
        let emitted: Vec<String> = life
            .emitted
            .take()
            .into_iter()
            .map(|(text, _)| text)
            .collect();
        assert_eq!(emitted, [expected]);
        let next = stage.start::<(), Input, _>(2, show);
        next.load(&life.save()).unwrap();
        life = next;
        life.end_bundle(Progress::ENDED);
        assert!(life.emitted.take().is_empty());
    }
}
