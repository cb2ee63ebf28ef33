//! Groups without any memory of their own beside the same ones that have all they want: what they
//! emit, hold and say must be the same, also when they are saved and taken back.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::files::scratch::Scratch;
use crate::graph::snapshot::{Frame, SavedFrames};
use crate::state::spill::Memory;
use crate::window::SlidingWindows;

/// Stores in memory, where there is such a place.
struct Limit {
    memory: Arc<Memory>,
    areas: AtomicUsize,
    _scratch: Scratch,
}

impl Limit {
    fn new(name: &str, share: u64) -> Self {
        let scratch = Scratch::new(name);
        let shared = Path::new("/dev/shm");
        let folder = match shared.is_dir() {
            true => shared.join(scratch.path().file_name().unwrap()),
            false => scratch.path().join("spill"),
        };
        Limit {
            memory: Arc::new(Memory::new(1, Some(share), folder)),
            areas: AtomicUsize::new(0),
            _scratch: scratch,
        }
    }

    /// Gives an area of its own to groups.
    fn on(&self, mut numbers: Numbers) -> Numbers {
        let area = self.areas.fetch_add(1, Ordering::Relaxed);
        let share = Share::new(&self.memory, 0, area);
        numbers.groups = numbers.groups.sharing(share);
        numbers
    }
}

struct Frames(Vec<Frame>);

impl SavedFrames for Frames {
    fn for_each(
        &self,
        _: &str,
        name: &str,
        each: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let mut of_name = self.0.iter().filter(|frame| frame.name == name);
        of_name.try_for_each(|frame| each(&frame.payload))
    }
}

impl Numbers {
    fn saved(&self) -> (u64, NodeState) {
        let mut frames = Vec::new();
        let mut keep = |frame| {
            frames.push(frame);
            Ok(())
        };
        self.groups
            .save(&mut StateOut::new(0, 0, &mut keep))
            .unwrap();
        let keys = frames.iter().map(|frame: &Frame| frame.keys).sum();
        let state = NodeState {
            frames: Arc::new(Frames(frames)),
            path: "Group".into(),
        };
        (keys, state)
    }
}

fn sorted(mut fired: Fired) -> Vec<(u32, Vec<i64>, Stamp)> {
    for (_, values, _) in &mut fired {
        values.sort_unstable();
    }
    fired.sort_by_key(|(key, values, stamp)| (*key, stamp.window, values.clone()));
    fired
}

#[derive(Clone, Debug)]
enum Limited {
    Step(Step),
    /// Some move to the store; without it they stay, so that there is something in both.
    Relieve,
    Resume,
}

fn limited() -> impl Strategy<Value = Vec<Limited>> {
    let add = (0..3_u32, -60..140_i64).prop_map(|(key, time)| Step::Add { key, time });
    let advance = (0..25_i64).prop_map(Step::Advance);
    let step = prop_oneof![
        9 => add.prop_map(Limited::Step),
        3 => advance.prop_map(Limited::Step),
        6 => Just(Limited::Relieve),
        1 => Just(Limited::Resume),
    ];
    prop::collection::vec(step, 0..60)
}

fn windows(window_fn: u8) -> WindowInto {
    match window_fn {
        0 => WindowInto::new(FixedWindows::of(millis(10))),
        1 => WindowInto::new(SlidingWindows::of(millis(30)).every(millis(10))),
        2 | 3 => WindowInto::new(Sessions::with_gap(millis(10))),
        _ => WindowInto::new(AllButTheLast),
    }
}

#[test]
fn a_limit_changes_nothing_but_where_groups_are() {
    let strategy = (
        limited(),
        0..5_u8,
        prop_oneof![Just(0), 1..60_u64],
        prop_oneof![
            Just(TimestampCombiner::EndOfWindow),
            Just(TimestampCombiner::Earliest),
            Just(TimestampCombiner::Latest),
        ],
        prop_oneof![
            Just(AccumulationMode::Discarding),
            Just(AccumulationMode::Accumulating),
        ],
    );
    proptest!(ProptestConfig::with_cases(128), |((steps, window_fn, lateness, combiner, accumulation) in strategy)| {
        let windows = windows(window_fn)
            .allowed_lateness(millis(lateness))
            .timestamp_combiner(combiner)
            .accumulation(accumulation);
        let limit = Limit::new("groups-limited", 0);
        let mut free = Numbers::new(windows.clone());
        let mut limited = limit.on(Numbers::new(windows.clone()));
        let mut watermark = -30;
        for step in steps.into_iter().chain([Limited::Step(Step::Advance(i64::MAX))]) {
            match step {
                Limited::Step(Step::Add { key, time }) => {
                    free.add(key, time);
                    limited.add(key, time);
                }
                Limited::Step(Step::Advance(by)) => {
                    watermark = by.saturating_add(watermark);
                    let expected = sorted(free.advance(watermark));
                    prop_assert_eq!(sorted(limited.advance(watermark)), expected);
                }
                Limited::Relieve => {
                    limited.groups.relieve().unwrap();
                    limited.assert_sound();
                }
                Limited::Resume => {
                    // Groups are saved between bundles.
                    let expected = sorted(free.advance(watermark));
                    prop_assert_eq!(sorted(limited.advance(watermark)), expected);
                    let (keys, state) = limited.saved();
                    prop_assert_eq!(keys, free.saved().0);
                    limited = limit.on(Numbers::new(windows.clone()));
                    let Numbers { groups, gather } = &mut limited;
                    groups.load(gather, &state, |_| true).unwrap();
                    limited.assert_sound();
                }
            }
            prop_assert_eq!(limited.groups.hold(), free.groups.hold());
            prop_assert_eq!(limited.groups.open_groups(), free.groups.open_groups());
        }
        prop_assert_eq!(limited.kept(), (0, 0));
    });
}

#[test]
fn what_was_touched_last_stays() {
    let limit = Limit::new("groups-recent", 0);
    let mut numbers = limit.on(Numbers::new(Sessions::with_gap(millis(10))));
    let in_memory = |numbers: &Numbers| match &numbers.groups.kind {
        GroupsKind::Merging(groups) => {
            let keys = (0..6).filter(|key| !groups.windows_of(key).is_empty());
            keys.collect::<Vec<_>>()
        }
        GroupsKind::Aligned(_) => panic!("sessions merge"),
    };
    let evict = |numbers: &mut Numbers, count| match &mut numbers.groups.kind {
        GroupsKind::Merging(groups) => {
            let (strategy, account) = (&numbers.groups.strategy, &numbers.groups.account);
            groups.evict(strategy, &account.share, count).unwrap();
            groups.batch += 1;
        }
        GroupsKind::Aligned(_) => panic!("sessions merge"),
    };
    for key in 0..6 {
        numbers.add(key, i64::from(key));
    }
    evict(&mut numbers, 2);
    assert_eq!(in_memory(&numbers), [2, 3, 4, 5]);
    numbers.add(3, 5);
    numbers.add(0, 5);
    numbers.assert_sound();
    evict(&mut numbers, 2);
    assert_eq!(in_memory(&numbers), [0, 3, 5]);
    evict(&mut numbers, 9);
    assert_eq!(in_memory(&numbers), [0; 0]);
    // What comes when a key is due leaves the others where they are.
    assert_eq!(numbers.advance(11).len(), 1);
    assert_eq!(in_memory(&numbers), [0; 0]);
    assert_eq!(numbers.kept(), (5, 0));
    assert_eq!(numbers.advance(100).len(), 5);
}

#[test]
fn sessions_are_weighed_while_they_come_and_go() {
    let limit = Limit::new("groups-weighed", 40_000);
    let mut numbers = limit.on(Numbers::new(Sessions::with_gap(millis(10))));
    let mut most = 0;
    for round in 0..8 {
        for key in 0..800 {
            numbers.put(key, round);
            if key % 50 == 0 {
                numbers.groups.relieve().unwrap();
                // Many come back with each round: what they take must neither add up nor be
                // forgotten.
                let entries = numbers.groups.kind.entries();
                assert!(round == 0 || entries > 50, "{entries} keys in memory");
                most = most.max(entries);
            }
        }
    }
    assert!(most < 600, "{most} keys in memory");
    let fired = numbers.advance(1_000);
    assert_eq!(fired.len(), 800);
    assert!(fired.iter().all(|(_, values, _)| values.len() == 8));
}
