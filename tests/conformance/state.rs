//! State and timers, one rule each.

use pipeline_core::prelude::*;
use pipeline_core::testing::{TestStream, Timed};
use pipeline_core::{DROPPED_LATE, Element};
use serde::{Deserialize, Serialize};

use crate::support::{at, fails, millis, run, run_seeded};

/// What an element tells [`Script`] to do; timers are 0 and 1.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Do {
    Set(usize, i64),
    SetWithOutput(usize, i64, i64),
    Clear(usize),
    Write(i64),
    TakeValue,
    ClearValue,
    Add(i64),
    TakeBag,
    ClearBag,
    /// Emits what is kept, and the input watermark.
    Tell,
    /// When a timer fires, sets it again 10 ms later, so often.
    Again(i64),
}

#[derive(Clone)]
struct Script {
    value: ValueCell<i64>,
    again: ValueCell<i64>,
    bag: BagCell<i64>,
    timers: [EventTimer; 2],
}

impl Script {
    fn declare(cells: &mut StateCells) -> Script {
        Script {
            value: cells.value("value"),
            again: cells.value("again"),
            bag: cells.bag("bag"),
            timers: [cells.event_timer("first"), cells.event_timer("second")],
        }
    }

    fn kept(&self, state: &StateContext<'_>) -> String {
        let value = self.value.read(state);
        let value = value.map_or("-".to_owned(), i64::to_string);
        format!("{value} {:?}", self.bag.read(state))
    }
}

impl StatefulDoFn for Script {
    type Key = u32;
    type Value = Vec<Do>;
    type Outputs = Out<String>;

    fn process(
        &mut self,
        key: &u32,
        script: Vec<Do>,
        state: &mut StateContext<'_>,
        out: &mut Self::Outputs,
    ) -> Result<(), BoxError> {
        for step in script {
            match step {
                Do::Set(timer, time) => self.timers[timer].set(state, at(time)),
                Do::SetWithOutput(timer, time, output) => {
                    self.timers[timer].set_with_output(state, at(time), at(output));
                }
                Do::Clear(timer) => self.timers[timer].clear(state),
                Do::Write(value) => self.value.write(state, value),
                Do::TakeValue => {
                    let taken = self.value.take(state);
                    out.emit(format!("{key} took {taken:?}"));
                }
                Do::ClearValue => self.value.clear(state),
                Do::Add(value) => self.bag.add(state, value),
                Do::TakeBag => {
                    let taken = self.bag.take(state);
                    out.emit(format!("{key} took {taken:?}"));
                }
                Do::ClearBag => self.bag.clear(state),
                Do::Tell => {
                    let watermark = state.input_watermark().millis();
                    out.emit(format!("{key} has {} at {watermark}", self.kept(state)));
                }
                Do::Again(times) => self.again.write(state, times),
            }
        }
        Ok(())
    }

    fn on_timer(
        &mut self,
        key: &u32,
        timer: EventTimer,
        state: &mut StateContext<'_>,
        out: &mut Self::Outputs,
    ) -> Result<(), BoxError> {
        let number = usize::from(timer == self.timers[1]);
        let kept = self.kept(state);
        out.emit(format!("{key} timer {number} with {kept}"));
        if let Some(times) = self.again.take(state)
            && times > 0
        {
            self.again.write(state, times - 1);
            let later = state.timestamp() + millis(10);
            timer.set(state, later);
        }
        Ok(())
    }
}

type Scripts = TestStream<(u32, Vec<Do>)>;

fn script(stream: Scripts, key: u32, time: i64, script: Vec<Do>) -> Scripts {
    stream.element((key, script), at(time))
}

/// (what, timestamp) in the order of emission: the same wherever state is, at once or in parts.
fn told(stream: Scripts) -> Vec<(String, i64)> {
    let runner = DirectRunner::new().workers(1).seed(1);
    let parts = runner.clone().fire_at_once(1);
    let away = [runner.clone(), parts.clone()].map(|runner| runner.memory_limit(1));
    let [plain, others @ ..] = [&runner, &parts, &away[0], &away[1]].map(|runner| {
        let stream = stream.clone();
        let (all, _) = run(runner, |p| {
            p.read("Stream", stream)
                .par_do_stateful("Script", Script::declare)
        })
        .unwrap();
        lines(all)
    });
    assert!(
        others.iter().all(|told| *told == plain),
        "{plain:?} {others:?}"
    );
    plain
}

fn lines(all: Vec<Timed<String>>) -> Vec<(String, i64)> {
    let line = |timed: Timed<String>| (timed.value, timed.timestamp.millis());
    all.into_iter().map(line).collect()
}

fn is(told: &[(String, i64)], expected: &[(&str, i64)]) {
    let told: Vec<(&str, i64)> = told.iter().map(|(what, t)| (what.as_str(), *t)).collect();
    assert_eq!(told, expected);
}

#[test]
fn cells_keep_what_was_put_per_key() {
    let stream = script(TestStream::new(), 1, 0, vec![Do::Tell, Do::Write(5)]);
    let stream = script(stream, 2, 1, vec![Do::Add(7), Do::Add(7), Do::Add(3)]);
    let stream = script(stream, 1, 2, vec![Do::Write(6), Do::Tell, Do::Add(1)]);
    let stream = script(stream, 2, 3, vec![Do::Tell, Do::TakeBag, Do::Tell]);
    let stream = script(stream, 1, 4, vec![Do::TakeValue, Do::TakeValue, Do::Tell]);
    let stream = script(stream, 1, 5, vec![Do::Write(9), Do::ClearValue, Do::Tell]);
    let stream = script(stream, 1, 6, vec![Do::ClearBag, Do::Tell, Do::TakeBag]);
    let expected = [
        ("1 has - [] at -9223372036854775", 0),
        ("1 has 6 [] at -9223372036854775", 2),
        ("2 has - [7, 7, 3] at -9223372036854775", 3),
        ("2 took [7, 7, 3]", 3),
        ("2 has - [] at -9223372036854775", 3),
        ("1 took Some(6)", 4),
        ("1 took None", 4),
        ("1 has - [1] at -9223372036854775", 4),
        ("1 has - [1] at -9223372036854775", 5),
        ("1 has - [] at -9223372036854775", 6),
        ("1 took []", 6),
    ];
    is(&told(stream), &expected);
}

#[test]
fn timers_fire_in_the_order_of_their_times_when_the_watermark_is_past() {
    let stream = script(
        TestStream::new(),
        1,
        0,
        vec![Do::Set(0, 30), Do::Set(1, 10)],
    );
    let stream = script(stream, 2, 0, vec![Do::Set(0, 20)]);
    // At its time a timer has not fired yet: the watermark must be past it.
    let stream = script(stream.watermark(at(10)), 1, 10, vec![Do::Tell]);
    let stream = script(stream.watermark(at(11)), 1, 11, vec![Do::Tell]);
    let stream = script(stream.watermark(at(100)), 1, 12, vec![Do::Tell]);
    let expected = [
        ("1 has - [] at 10", 10),
        ("1 timer 1 with - []", 10),
        ("1 has - [] at 11", 11),
        ("2 timer 0 with - []", 20),
        ("1 timer 0 with - []", 30),
        ("1 has - [] at 100", 12),
    ];
    is(&told(stream), &expected);
}

#[test]
fn the_last_setting_of_a_timer_wins() {
    // To later, to earlier, cleared, cleared and set again: in one element and across elements.
    let stream = script(
        TestStream::new(),
        1,
        0,
        vec![Do::Set(0, 10), Do::Set(0, 50)],
    );
    let stream = script(stream, 2, 0, vec![Do::Set(0, 50), Do::Set(0, 20)]);
    let stream = script(stream, 3, 0, vec![Do::Set(0, 30), Do::Clear(0)]);
    let stream = script(stream, 4, 0, vec![Do::Clear(0), Do::Set(0, 40)]);
    let stream = script(stream, 5, 0, vec![Do::Set(0, 10), Do::Set(1, 12)]);
    let stream = script(stream, 5, 0, vec![Do::Clear(0), Do::Set(1, 60)]);
    let stream = script(stream, 5, 0, vec![Do::Set(0, 45)]);
    let told = told(stream.watermark(at(35)).watermark(at(100)));
    let expected = [
        ("2 timer 0 with - []", 20),
        ("4 timer 0 with - []", 40),
        ("5 timer 0 with - []", 45),
        ("1 timer 0 with - []", 50),
        ("5 timer 1 with - []", 60),
    ];
    is(&told, &expected);
}

#[test]
fn a_timer_set_to_the_past_fires_at_the_end_of_the_bundle() {
    let stream = TestStream::new().watermark(at(100));
    let stream = stream.elements([
        ((1, vec![Do::Set(0, 50)]), at(40)),
        ((1, vec![Do::Tell, Do::Write(1)]), at(41)),
    ]);
    let stream = script(stream, 1, 42, vec![Do::Tell]);
    let expected = [
        ("1 has - [] at 100", 41),
        ("1 timer 0 with 1 []", 50),
        ("1 has 1 [] at 100", 42),
    ];
    is(&told(stream), &expected);
}

#[test]
fn a_timer_may_be_set_to_before_the_element_that_sets_it() {
    let stream = script(TestStream::new(), 1, 60, vec![Do::Set(0, 50)]);
    is(
        &told(stream.watermark(at(51))),
        &[("1 timer 0 with - []", 50)],
    );
}

#[test]
fn a_timer_fires_once_and_may_set_itself_again() {
    let stream = script(TestStream::new(), 1, 0, vec![Do::Again(3), Do::Set(0, 10)]);
    let stream = script(stream.watermark(at(25)), 1, 25, vec![Do::Tell]);
    let told = told(stream.watermark(at(200)));
    let expected = [
        ("1 timer 0 with - []", 10),
        ("1 timer 0 with - []", 20),
        ("1 has - [] at 25", 25),
        ("1 timer 0 with - []", 30),
        ("1 timer 0 with - []", 40),
    ];
    is(&told, &expected);
}

#[test]
fn an_output_timestamp_holds_the_watermark() {
    // Without the hold the group of [0, 10) would have ended at the first watermark, and what the
    // timer emits at 5 would be dropped.
    let pipeline = |output: i64| {
        move |p: &Pipeline| {
            let set = vec![Do::SetWithOutput(0, 50, output)];
            let stream = script(TestStream::new(), 1, 5, set);
            let stream = stream.watermark(at(40));
            let stream = script(stream, 2, 41, vec![Do::Tell]).watermark(at(51));
            p.read("Stream", stream)
                .par_do_stateful("Script", Script::declare)
                .map("Key", |line| ((), line))
                .window_into("Windows", FixedWindows::of(millis(10)))
                .group_by_key("Group")
                .map("Lines", |(_, lines)| lines.join(", "))
        }
    };
    for workers in [1, 2, 3] {
        for seed in 0..5 {
            let runner = DirectRunner::new().workers(workers).seed(seed);
            let (all, result) = run(&runner, pipeline(5)).unwrap();
            let mut all = lines(all);
            all.sort();
            let expected = [("1 timer 0 with - []", 9), ("2 has - [] at 40", 49)];
            is(&all, &expected);
            assert_eq!(result.metrics().total(DROPPED_LATE), 0);
        }
    }
}

#[test]
fn a_hold_goes_when_the_timer_is_cleared_or_moved() {
    // A group behind tells the watermark by firing: at 40 the one of [0, 10) must.
    let steps = [
        vec![Do::Clear(0)],
        vec![Do::Set(0, 90)],
        vec![Do::SetWithOutput(0, 90, 60)],
    ];
    for release in steps {
        let (all, _) = run_seeded(|p| {
            let early = vec![Do::SetWithOutput(0, 80, 3), Do::Tell];
            let stream = script(TestStream::new(), 1, 2, early);
            let stream = stream.watermark(at(30));
            let stream = script(stream, 1, 31, release.clone());
            let stream = stream.watermark(at(40));
            let late = script(stream, 2, 1, vec![Do::Tell]);
            p.read("Stream", late)
                .par_do_stateful("Script", Script::declare)
                .map("Key", |line| ((), line))
                .window_into("Windows", FixedWindows::of(millis(10)))
                .group_by_key("Group")
                .map("Lines", |(_, lines)| lines.join(", "))
        });
        let first = lines(all).into_iter().filter(|(_, t)| *t == 9);
        let first: Vec<_> = first.collect();
        // Key 2's line at 1 is dropped: the window has gone.
        is(&first, &[("1 has - [] at -9223372036854775", 9)]);
    }
}

/// Runs scripts in windows of 10 ms with 5 ms of lateness, in memory and on disk.
fn windowed(stream: Scripts, workers: usize) -> (Vec<(String, i64)>, u64, u64) {
    let runner = DirectRunner::new().workers(workers).seed(3);
    let [plain, away] = [&runner, &runner.clone().memory_limit(1)].map(|runner| {
        let stream = stream.clone();
        let (all, result) = run(runner, |p| {
            let windows = WindowInto::new(FixedWindows::of(millis(10))).allowed_lateness(millis(5));
            p.read("Stream", stream)
                .window_into("Windows", windows)
                .par_do_stateful("Script", Script::declare)
        })
        .unwrap();
        let metrics = result.metrics();
        let dropped = metrics.get("Script/Process", DROPPED_LATE);
        (lines(all), dropped, metrics.total(DROPPED_LATE))
    });
    assert_eq!(plain, away);
    plain
}

#[test]
fn state_is_kept_per_window_and_goes_at_its_expiry() {
    for workers in [1, 2] {
        let stream = script(TestStream::new(), 1, 0, vec![Do::Write(1)]);
        let stream = script(stream, 1, 10, vec![Do::Tell, Do::Write(2)]);
        let stream = script(stream, 1, 9, vec![Do::Tell]);
        // The expiry of [0, 10) is 9 + 5: at 14 it is still there, past that it is gone.
        let stream = script(stream.watermark(at(14)), 1, 8, vec![Do::Tell]);
        let stream = script(stream.watermark(at(15)), 1, 8, vec![Do::Tell]);
        let stream = script(stream, 1, 11, vec![Do::Tell]);
        let (told, dropped, total) = windowed(stream, workers);
        let expected = [
            ("1 has - [] at -9223372036854775", 10),
            ("1 has 1 [] at -9223372036854775", 9),
            ("1 has 1 [] at 14", 8),
            ("1 has 2 [] at 15", 11),
        ];
        is(&told, &expected);
        assert_eq!((dropped, total), (1, 1));
    }
}

#[test]
fn timers_belong_to_a_window_and_fire_before_its_state_goes() {
    let stream = script(TestStream::new(), 1, 0, vec![Do::Write(1), Do::Set(0, 14)]);
    let stream = script(stream, 1, 10, vec![Do::Write(2), Do::Set(0, 12)]);
    let (told, ..) = windowed(stream.watermark(at(1_000)), 1);
    let expected = [("1 timer 0 with 2 []", 12), ("1 timer 0 with 1 []", 14)];
    is(&told, &expected);
}

#[test]
fn a_window_that_comes_again_after_its_state_was_cleared_expires_all_the_same() {
    // The entry is forgotten while it is empty, and made again in the same slot by another key.
    let stream = script(TestStream::new(), 1, 0, vec![Do::Write(1), Do::ClearValue]);
    let stream = script(stream, 2, 1, vec![Do::Write(2), Do::Set(0, 14)]);
    let stream = script(stream, 1, 12, vec![Do::Write(3)]);
    let stream = script(stream.watermark(at(15)), 2, 13, vec![Do::Tell]);
    let stream = script(stream, 1, 13, vec![Do::Tell]);
    let (told, dropped, _) = windowed(stream, 1);
    let expected = [
        ("2 timer 0 with 2 []", 14),
        ("2 has - [] at 15", 13),
        ("1 has 3 [] at 15", 13),
    ];
    is(&told, &expected);
    assert_eq!(dropped, 0);
}

#[test]
fn a_timer_past_the_expiry_is_an_error_that_names_it() {
    let with = |time: i64, output: i64| {
        move |p: &Pipeline| {
            let set = vec![Do::SetWithOutput(0, time, output)];
            let stream = script(TestStream::new(), 77, 5, set);
            let windows = WindowInto::new(FixedWindows::of(millis(10))).allowed_lateness(millis(5));
            p.read("Stream", stream)
                .window_into("Windows", windows)
                .par_do_stateful("Script", Script::declare)
        }
    };
    let error = fails(with(15, 15));
    assert!(error.contains("'Script/Process'"), "{error}");
    assert!(error.contains("77") && error.contains("expiry"), "{error}");
    // So is an output timestamp before the element, or behind the timer.
    for output in [4, 13] {
        let error = fails(with(12, output));
        assert!(error.contains("'Script/Process'"), "{error}");
        assert!(error.contains("output timestamp"), "{error}");
    }
    let (all, _) = run_seeded(with(14, 5));
    is(&lines(all), &[("77 timer 0 with - []", 5)]);
}

#[test]
fn state_in_the_global_window_lasts_to_the_end() {
    let stream = script(TestStream::new(), 1, 0, vec![Do::Write(4)]);
    let end = Timestamp::END_OF_GLOBAL_WINDOW.millis();
    let stream = script(
        stream.watermark(at(end)),
        1,
        end,
        vec![Do::Tell, Do::Set(0, end)],
    );
    let expected = [
        (format!("1 has 4 [] at {end}"), end),
        ("1 timer 0 with 4 []".to_owned(), end),
    ];
    assert_eq!(told(stream), expected);
}

#[test]
fn two_cells_of_one_name_are_refused() {
    fn declare(cells: &mut StateCells) -> Script {
        let _: ValueCell<u8> = cells.value("first");
        Script::declare(cells)
    }
    fn refused<T: Element>(built: Result<T, Error>) -> String {
        built.err().map(|e| e.to_string()).unwrap_or_default()
    }
    let built = Pipeline::build(|p| {
        let pairs: Vec<(u32, Vec<Do>)> = vec![];
        let _ = p.create("Pairs", pairs).par_do_stateful("Script", declare);
    });
    let error = refused(built.map(|_| ()));
    assert!(
        error.contains("'Script'") && error.contains("'first'"),
        "{error}"
    );
}

#[test]
fn state_in_windows_that_merge_is_refused_until_they_have() {
    let build = |group: bool| {
        Pipeline::build(|p| {
            let pairs: Vec<(u32, Vec<Do>)> = vec![];
            let sessions = p
                .create("Pairs", pairs)
                .window_into("Sessions", Sessions::with_gap(millis(10)));
            let pairs = match group {
                false => sessions,
                true => sessions
                    .group_by_key("Group")
                    .map("First", |(key, mut scripts)| (key, scripts.remove(0))),
            };
            let _ = pairs.par_do_stateful("Script", Script::declare);
        })
    };
    let error = build(false)
        .err()
        .map(|e| e.to_string())
        .unwrap_or_default();
    assert!(
        error.contains("'Script'") && error.contains("Sessions"),
        "{error}"
    );
    assert!(build(true).is_ok());
}
