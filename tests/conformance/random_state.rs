//! Random stateful programs against a model of state and timers, in memory and on disk.
//!
//! The model is written from the rules: a map from key and window to two cells and two timers, and
//! after every step the earliest timer of all that the watermark has passed, again and again.
//! `STATE_SEED=<seed> cargo test -p pipeline-tests --test conformance replay_state` runs one.

use std::collections::BTreeMap;

use pipeline_core::DROPPED_LATE;
use pipeline_core::prelude::*;
use pipeline_core::testing::TestStream;
use serde::{Deserialize, Serialize};

use crate::programs::Random;
use crate::support::{Kept, at, keep, millis, take};

const PROGRAMS: u64 = 100;

/// What an element has done; times are from the element's, and no later than its window's end.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
enum Act {
    Write(i64),
    Take,
    Add(i64),
    TakeBag,
    /// Sets the first timer; when it fires it sets itself again, so often.
    Set(i64, i64),
    /// Sets the second, which holds the watermark on the way, at so many percent of it.
    Hold(i64, i64),
    Clear(usize),
}

/// How long after it fired the first timer is set again.
const AGAIN: i64 = 7;

#[derive(Clone)]
struct Acts {
    value: ValueCell<i64>,
    again: ValueCell<i64>,
    bag: BagCell<i64>,
    timers: [EventTimer; 2],
}

impl Acts {
    fn tell(&self, key: u32, why: &str, state: &StateContext<'_>) -> String {
        let value = self.value.read(state);
        let window = state.window().end().millis();
        let kept = (value, self.bag.read(state), self.again.read(state));
        format!("{key} until {window}: {why} with {kept:?}")
    }
}

impl StatefulDoFn for Acts {
    type Key = u32;
    type Value = Vec<Act>;
    type Outputs = Out<String>;

    fn process(
        &mut self,
        key: &u32,
        acts: Vec<Act>,
        state: &mut StateContext<'_>,
        out: &mut Out<String>,
    ) -> Result<(), BoxError> {
        let (now, last) = (state.timestamp(), state.window().max_timestamp());
        for act in acts {
            match act {
                Act::Write(value) => self.value.write(state, value),
                Act::Take => self.value.clear(state),
                Act::Add(value) => self.bag.add(state, value),
                Act::TakeBag => drop(self.bag.take(state)),
                Act::Set(after, times) => {
                    self.again.write(state, times);
                    self.timers[0].set(state, now.plus_millis(after).min(last));
                }
                Act::Hold(after, percent) => {
                    let at = now.plus_millis(after).min(last);
                    let way = (at.millis() - now.millis()) * percent / 100;
                    self.timers[1].set_with_output(state, at, now.plus_millis(way));
                }
                Act::Clear(timer) => self.timers[timer].clear(state),
            }
        }
        out.emit(self.tell(*key, "element", state));
        Ok(())
    }

    fn on_timer(
        &mut self,
        key: &u32,
        timer: EventTimer,
        state: &mut StateContext<'_>,
        out: &mut Out<String>,
    ) -> Result<(), BoxError> {
        if timer == self.timers[1] {
            out.emit(self.tell(*key, "second timer", state));
            self.bag.clear(state);
            return Ok(());
        }
        out.emit(self.tell(*key, "first timer", state));
        let times = self.again.take(state).unwrap_or(0);
        let later = state.timestamp().plus_millis(AGAIN);
        if times > 0 && later <= state.window().max_timestamp() {
            self.again.write(state, times - 1);
            self.timers[0].set(state, later);
        }
        Ok(())
    }
}

#[derive(Clone, Debug)]
enum Step {
    Elements(Vec<(u32, Vec<Act>, i64)>),
    Watermark(i64),
}

#[derive(Clone, Debug)]
struct Program {
    /// The size and the period of windows; `None` is the global one.
    windows: Option<(i64, i64)>,
    lateness: i64,
    steps: Vec<Step>,
}

/// The windows of the lines behind, and of the model.
const BEHIND: i64 = 10;

fn generate(seed: u64) -> Program {
    let random = &mut Random::new(seed);
    let size = random.between(5, 60);
    let windows = match random.between(0, 3) {
        0 => None,
        1 | 2 => Some((size, size)),
        _ => Some((size, (size / 2).max(1))),
    };
    let keys = random.between(1, 12);
    let (mut steps, mut watermark, mut values) = (Vec::new(), 0, 0);
    for _ in 0..random.between(2, 25) {
        if random.one_in(3) {
            watermark += random.between(0, 30);
            steps.push(Step::Watermark(watermark));
            continue;
        }
        let elements = (0..random.between(1, 6)).map(|_| {
            let key = random.between(0, keys - 1) as u32;
            let time = (watermark + random.between(-30, 40)).max(0);
            let acts = (0..random.between(0, 3)).map(|_| {
                values += 1;
                match random.between(0, 9) {
                    0 | 1 => Act::Write(values),
                    2 => Act::Take,
                    3 | 4 => Act::Add(values),
                    5 => Act::TakeBag,
                    6 => Act::Set(random.between(0, 40), random.between(0, 3)),
                    7 | 8 => Act::Hold(random.between(0, 40), random.between(0, 100)),
                    _ => Act::Clear(random.between(0, 1) as usize),
                }
            });
            (key, acts.collect(), time)
        });
        steps.push(Step::Elements(elements.collect()));
    }
    Program {
        windows,
        lateness: random.pick(&[0, 0, 5, 50]),
        steps,
    }
}

/// What is shown of a run, or must be.
#[derive(Default)]
struct Shown {
    /// Lines of which the order is not told, set by set.
    lines: Vec<Vec<String>>,
    dropped: u64,
    /// The lines that came too late for the windows behind: it tells how the watermark was held.
    too_late: u64,
}

#[derive(Clone, Default)]
struct State {
    value: Option<i64>,
    again: Option<i64>,
    bag: Vec<i64>,
    timers: [Option<(i64, i64)>; 2],
}

/// The model: state by the end and the beginning of its window, and the key.
#[derive(Default)]
struct Model {
    states: BTreeMap<(i64, i64, u32), State>,
    watermark: i64,
    behind: i64,
    shown: Shown,
}

impl Model {
    fn tell(&mut self, of: (i64, i64, u32), why: &str, time: i64) -> String {
        let state = &self.states[&of];
        let kept = (state.value.as_ref(), &state.bag, state.again.as_ref());
        if self.behind > time - time.rem_euclid(BEHIND) + BEHIND - 1 {
            self.shown.too_late += 1;
        }
        format!("{} until {}: {why} with {kept:?}", of.2, of.0)
    }

    fn act(&mut self, of: (i64, i64, u32), acts: &[Act], time: i64) -> String {
        let last = of.0 - 1;
        let state = self.states.entry(of).or_default();
        for act in acts {
            match *act {
                Act::Write(value) => state.value = Some(value),
                Act::Take => state.value = None,
                Act::Add(value) => state.bag.push(value),
                Act::TakeBag => state.bag.clear(),
                Act::Set(after, times) => {
                    state.again = Some(times);
                    let at = (time + after).min(last);
                    state.timers[0] = Some((at, at));
                }
                Act::Hold(after, percent) => {
                    let at = (time + after).min(last);
                    state.timers[1] = Some((at, time + (at - time) * percent / 100));
                }
                Act::Clear(timer) => state.timers[timer] = None,
            }
        }
        self.tell(of, "element", time)
    }

    /// Fires what the watermark has passed, forgets what has expired, and tells the watermark.
    fn end_step(&mut self, lateness: i64) {
        // Of one time all fire in any order, unless they are of one state.
        let (mut set, mut of_set) = (Vec::new(), None);
        loop {
            let timers = self.states.iter().flat_map(|(of, state)| {
                let timers = state.timers.iter().enumerate();
                timers.filter_map(move |(n, timer)| timer.map(|(at, output)| (at, n, *of, output)))
            });
            let first = timers.filter(|(at, ..)| *at < self.watermark).min();
            if first.map(|(at, ..)| at) != of_set && !set.is_empty() {
                self.shown.lines.push(std::mem::take(&mut set));
            }
            let Some((at, n, of, output)) = first else {
                break;
            };
            of_set = Some(at);
            let why = ["first timer", "second timer"][n];
            set.push(self.tell(of, why, output));
            let state = self.states.get_mut(&of).unwrap();
            state.timers[n] = None;
            if n == 1 {
                state.bag.clear();
                continue;
            }
            let times = state.again.take().unwrap_or(0);
            if times > 0 && at + AGAIN < of.0 {
                state.again = Some(times - 1);
                state.timers[0] = Some((at + AGAIN, at + AGAIN));
            }
        }
        let watermark = self.watermark;
        self.states
            .retain(|of, _| of.0 == i64::MAX || watermark <= of.0 - 1 + lateness);
        let holds = self.states.values().flat_map(|state| state.timers);
        let holds = holds.flatten().filter(|(at, output)| output < at);
        let hold = holds.map(|(_, output)| output).min().unwrap_or(i64::MAX);
        self.behind = self.behind.max(watermark.min(hold));
    }
}

fn windows_of(windows: Option<(i64, i64)>, time: i64) -> Vec<(i64, i64)> {
    let Some((size, period)) = windows else {
        return vec![(i64::MAX, i64::MIN)];
    };
    let last = time - time.rem_euclid(period);
    let starts = (0..size).map(|n| last - n * period);
    let starts = starts.filter(|start| *start <= time && time < start + size);
    starts.map(|start| (start + size, start)).collect()
}

fn expected(program: &Program) -> Shown {
    let mut model = Model {
        watermark: i64::MIN,
        behind: i64::MIN,
        ..Model::default()
    };
    let end = Step::Watermark(i64::MAX);
    for step in program.steps.iter().chain([&end]) {
        match step {
            Step::Watermark(to) => model.watermark = model.watermark.max(*to),
            Step::Elements(elements) => {
                for (key, acts, time) in elements {
                    let mut lines = Vec::new();
                    for (end, start) in windows_of(program.windows, *time) {
                        if end < i64::MAX && model.watermark > end - 1 + program.lateness {
                            model.shown.dropped += 1;
                        } else {
                            lines.push(model.act((end, start, *key), acts, *time));
                        }
                    }
                    model.shown.lines.push(lines);
                }
            }
        }
        model.end_step(program.lateness);
    }
    let global = format!("until {}", i64::MAX);
    let end = Timestamp::END_OF_GLOBAL_WINDOW.millis() + 1;
    let known = format!("until {end}");
    for line in model.shown.lines.iter_mut().flatten() {
        *line = line.replace(&global, &known);
    }
    model.shown
}

/// Runs a program; returns its lines in their order, and what was dropped by it and behind.
fn run(program: &Program, runner: &DirectRunner) -> Result<(Vec<String>, u64, u64), Error> {
    let kept = Kept::default();
    let pipeline = Pipeline::build(|p| {
        let mut stream = TestStream::new();
        for step in &program.steps {
            stream = match step {
                Step::Watermark(to) => stream.watermark(at(*to)),
                Step::Elements(all) => stream.elements(
                    all.iter()
                        .map(|(key, acts, time)| ((*key, acts.clone()), at(*time))),
                ),
            };
        }
        let windows = match program.windows {
            None => WindowInto::new(GlobalWindows),
            Some((size, period)) => {
                let size = SlidingWindows::of(millis(size as u64));
                WindowInto::new(size.every(millis(period as u64)))
            }
        };
        let windows = windows.allowed_lateness(millis(program.lateness as u64));
        let lines = p
            .read("Stream", stream)
            .window_into("Windows", windows)
            .par_do_stateful("Acts", |cells| Acts {
                value: cells.value("value"),
                again: cells.value("again"),
                bag: cells.bag("bag"),
                timers: [cells.event_timer("first"), cells.event_timer("second")],
            });
        keep(&lines, "Keep", &kept);
        lines
            .key_by("Key", |_| ())
            .window_into("Behind", FixedWindows::of(millis(BEHIND as u64)))
            .group_by_key("Group")
            .check("Nothing", |_| ());
    })?;
    let metrics = runner.run(&pipeline)?;
    let dropped = |path| metrics.metrics().get(path, DROPPED_LATE);
    let lines = take(&kept).into_iter().map(|timed| timed.value);
    let lines = lines.collect();
    Ok((lines, dropped("Acts/Process"), dropped("Group/Group")))
}

fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort();
    lines
}

fn check(seed: u64) -> Shown {
    let program = generate(seed);
    let expected = expected(&program);
    let all = || sorted(expected.lines.concat());
    let plain = DirectRunner::new().seed(seed);
    let (few, some) = (seed as usize % 3, 1 + seed as usize % 2);
    // In memory if there is such a place: many stores are opened.
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
    let folder = folder.unwrap().path().join("spill");
    let away = plain.clone().memory_limit(1).spill_folder(folder);
    for (name, runner) in [
        ("in memory", plain.clone()),
        ("in parts", plain.clone().fire_at_once(few)),
        ("away", away.clone()),
        ("away, in parts", away.fire_at_once(few)),
    ] {
        let told = |what: &str| format!("STATE_SEED={seed}, {name}, {what}: {program:#?}");
        let (lines, dropped, too_late) = run(&program, &runner.clone().workers(1)).unwrap();
        assert_eq!(dropped, expected.dropped, "{}", told("dropped"));
        assert_eq!(too_late, expected.too_late, "{}", told("behind"));
        assert_eq!(sorted(lines.clone()), all(), "{}", told("lines"));
        let mut rest = &lines[..];
        for set in &expected.lines {
            let (now, after) = rest.split_at(set.len());
            let (now, set) = (sorted(now.to_vec()), sorted(set.clone()));
            assert_eq!(now, set, "{}", told("order"));
            rest = after;
        }
        let (lines, dropped, _) = run(&program, &runner.workers(1 + some)).unwrap();
        assert_eq!(dropped, expected.dropped, "{}", told("dropped, workers"));
        assert_eq!(sorted(lines), all(), "{}", told("lines, workers"));
    }
    expected
}

#[test]
fn random_programs_keep_the_rules_of_state_wherever_it_is() {
    let (mut fired, mut together, mut dropped, mut too_late) = (0, 0, 0, 0);
    for seed in 0..PROGRAMS {
        let shown = check(seed);
        let timers = |set: &Vec<String>| set.iter().any(|line| line.contains("timer"));
        fired += shown.lines.iter().filter(|set| timers(set)).count();
        together += shown
            .lines
            .iter()
            .filter(|s| timers(s) && s.len() > 1)
            .count();
        dropped += shown.dropped;
        too_late += shown.too_late;
    }
    println!("{fired} times with timers, {together} with several, {dropped}, {too_late} dropped");
    assert!(fired > 200 && together > 15 && dropped > 60 && too_late > 30);
}

#[test]
fn replay_state() {
    if let Ok(seed) = std::env::var("STATE_SEED") {
        check(seed.parse().unwrap());
    }
}
