//! What the model says a grouping puts out, computed in the most naive way.
//!
//! It is written from the documents (Beam's programming and runner guides), not from the engine:
//! instants are plain milliseconds, a stage is a list of everything that was ever admitted, and
//! every bundle goes through all of it again. It shares no code with windows, groups or executor.

/// Beam's TIMESTAMP_MIN_VALUE, TIMESTAMP_MAX_VALUE and end of the global window.
pub const MIN: i64 = -9_223_372_036_854_775;
pub const MAX: i64 = 9_223_372_036_854_775;
pub const END_OF_GLOBAL: i64 = MAX - 24 * 60 * 60 * 1000;

/// `[start, end)`.
pub type Interval = (i64, i64);

pub const GLOBAL: Interval = (MIN, END_OF_GLOBAL + 1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Windows {
    Global,
    Fixed {
        size: i64,
        offset: i64,
    },
    Sliding {
        size: i64,
        period: i64,
        offset: i64,
    },
    Sessions {
        gap: i64,
    },
    /// The windows that a grouping before has put its panes into.
    AsTheyAre,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputTime {
    EndOfWindow,
    Earliest,
    Latest,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windowing {
    pub windows: Windows,
    pub lateness: i64,
    pub output_time: OutputTime,
    pub accumulating: bool,
}

/// An element on its way into a stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    pub key: u32,
    /// Which input of the stage it comes by, where there are two.
    pub side: u8,
    pub value: i64,
    pub timestamp: i64,
    /// Set where the stage takes windows as they are.
    pub window: Interval,
    /// The key that it had a stage before.
    pub origin: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timing {
    OnTime,
    Late,
    Unknown,
}

/// One pane of one group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pane {
    pub key: u32,
    pub window: Interval,
    pub index: u32,
    pub timing: Timing,
    pub is_first: bool,
    pub is_last: bool,
    pub on_time_index: i32,
    pub timestamp: i64,
    /// (side, value), sorted.
    pub values: Vec<(u8, i64)>,
}

/// Elements that come together, and the input watermark after them.
#[derive(Clone, Debug, Default)]
pub struct Bundle {
    pub elements: Vec<Input>,
    pub watermark: i64,
}

/// What a stage does in a bundle.
#[derive(Clone, Debug, Default)]
pub struct Fired {
    pub panes: Vec<Pane>,
    /// The watermark behind the stage.
    pub watermark: i64,
}

/// All that a stage has done.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    pub bundles: Vec<Fired>,
    pub dropped_late: u64,
    /// An element that was not late by its window had an output time behind the watermark. How
    /// far that holds the watermark back depends on how many workers tell theirs.
    pub held_behind: bool,
    /// Late elements of several origins met in one bundle. With several workers they may come in
    /// bundles of their own.
    pub mixed_late: bool,
}

#[derive(Clone, Debug)]
struct Admitted {
    input: Input,
    window: Interval,
    fired: bool,
    admitted_in: usize,
}

/// The windows of an element by its timestamp alone.
pub fn assign(windows: Windows, timestamp: i64) -> Vec<Interval> {
    match windows {
        Windows::Global => vec![GLOBAL],
        Windows::AsTheyAre => unreachable!("the window comes with the element"),
        Windows::Sessions { gap } => vec![(timestamp, (timestamp + gap).min(GLOBAL.1))],
        Windows::Fixed { size, offset } => holding(timestamp, size, size, offset),
        Windows::Sliding {
            size,
            period,
            offset,
        } => holding(timestamp, size, period, offset),
    }
}

/// Tries every multiple of the period around the timestamp.
fn holding(timestamp: i64, size: i64, period: i64, offset: i64) -> Vec<Interval> {
    let about = timestamp / period;
    let mut found = Vec::new();
    for n in about - size / period - 4..=about + 4 {
        // The offset counts modulo the period: with any offset the same starts exist.
        let start = n * period + offset % period;
        if start <= timestamp && timestamp < start + size {
            // Java's FixedWindows: a window ends with the global one at the latest.
            found.push((start.max(MIN), (start + size).min(GLOBAL.1)));
        }
    }
    found
}

fn max_timestamp(window: Interval) -> i64 {
    window.1 - 1
}

impl Windowing {
    fn expiry(&self, window: Interval) -> i64 {
        (max_timestamp(window) + self.lateness).min(END_OF_GLOBAL)
    }

    /// The window that `of` has become by merging with those of its key: grown until it stops.
    fn merged(&self, of: Interval, of_its_key: &[Interval]) -> Interval {
        let mut grown = of;
        if !matches!(self.windows, Windows::Sessions { .. }) {
            return grown;
        }
        loop {
            let before = grown;
            for other in of_its_key {
                if other.0 < grown.1 && grown.0 < other.1 {
                    grown = (grown.0.min(other.0), grown.1.max(other.1));
                }
            }
            if grown == before {
                return grown;
            }
        }
    }

    /// The timestamp of a pane of elements at `timestamps`.
    fn fold(&self, window: Interval, timestamps: &[i64]) -> i64 {
        match self.output_time {
            OutputTime::EndOfWindow => max_timestamp(window),
            OutputTime::Earliest => *timestamps.iter().min().unwrap(),
            OutputTime::Latest => *timestamps.iter().max().unwrap(),
        }
    }
}

/// Runs a grouping stage over its input.
pub fn run(windowing: &Windowing, bundles: &[Bundle]) -> Outcome {
    let mut outcome = Outcome::default();
    let mut live: Vec<Admitted> = Vec::new();
    let mut log: Vec<Pane> = Vec::new();
    let (mut watermark, mut told) = (MIN, MIN);
    for (number, bundle) in bundles.iter().enumerate() {
        let mut panes = Vec::new();
        for input in &bundle.elements {
            let windows = match windowing.windows {
                Windows::AsTheyAre => vec![input.window],
                windows => assign(windows, input.timestamp),
            };
            for window in windows {
                if watermark > windowing.expiry(window) {
                    outcome.dropped_late += 1;
                    continue;
                }
                let hold = windowing.fold(window, &[input.timestamp]);
                outcome.held_behind |= hold < watermark && watermark <= max_timestamp(window);
                live.push(Admitted {
                    input: input.clone(),
                    window,
                    fired: false,
                    admitted_in: number,
                });
            }
        }
        outcome.mixed_late |= mixed_late(&live, number, watermark);
        // The bundle ends: a late pane for each group that it brought late elements.
        fire(
            windowing,
            watermark,
            Timing::Late,
            &mut live,
            &mut log,
            &mut panes,
        );
        if bundle.watermark > watermark {
            watermark = bundle.watermark;
            fire(
                windowing,
                watermark,
                Timing::OnTime,
                &mut live,
                &mut log,
                &mut panes,
            );
            let expired: Vec<bool> = (0..live.len())
                .map(|at| watermark > windowing.expiry(group_of(windowing, &live, at)))
                .collect();
            let mut expired = expired.into_iter();
            live.retain(|_| !expired.next().unwrap());
        }
        let mut hold = MAX;
        for at in 0..live.len() {
            if !live[at].fired {
                let window = group_of(windowing, &live, at);
                let timestamps = unfired(windowing, &live, live[at].input.key, window);
                hold = hold.min(windowing.fold(window, &timestamps));
            }
        }
        told = told.max(watermark.min(hold));
        outcome.bundles.push(Fired {
            panes,
            watermark: told,
        });
    }
    outcome
}

/// The window of the group that an element is in by now.
fn group_of(windowing: &Windowing, live: &[Admitted], at: usize) -> Interval {
    let key = live[at].input.key;
    let of_its_key: Vec<Interval> = live
        .iter()
        .filter(|e| e.input.key == key)
        .map(|e| e.window)
        .collect();
    windowing.merged(live[at].window, &of_its_key)
}

/// The timestamps of a group's elements that no pane has held.
fn unfired(windowing: &Windowing, live: &[Admitted], key: u32, window: Interval) -> Vec<i64> {
    (0..live.len())
        .filter(|&at| !live[at].fired && live[at].input.key == key)
        .filter(|&at| group_of(windowing, live, at) == window)
        .map(|at| live[at].input.timestamp)
        .collect()
}

/// Fires each group whose window the watermark has passed and that has something new.
fn fire(
    windowing: &Windowing,
    watermark: i64,
    timing: Timing,
    live: &mut [Admitted],
    log: &mut Vec<Pane>,
    panes: &mut Vec<Pane>,
) {
    for at in 0..live.len() {
        let (key, window) = (live[at].input.key, group_of(windowing, live, at));
        if live[at].fired || watermark <= max_timestamp(window) {
            continue;
        }
        let timestamps = unfired(windowing, live, key, window);
        let members: Vec<usize> = (0..live.len())
            .filter(|&m| live[m].input.key == key && group_of(windowing, live, m) == window)
            .collect();
        let mut values: Vec<(u8, i64)> = members
            .iter()
            .filter(|&&m| windowing.accumulating || !live[m].fired)
            .map(|&m| (live[m].input.side, live[m].input.value))
            .collect();
        values.sort_unstable();
        let before = log
            .iter()
            .filter(|p| p.key == key && p.window == window)
            .count();
        let pane = Pane {
            key,
            window,
            index: before as u32,
            timing,
            is_first: before == 0,
            is_last: watermark > windowing.expiry(window),
            on_time_index: before as i32,
            timestamp: windowing.fold(window, &timestamps),
            values,
        };
        log.push(pane.clone());
        panes.push(pane);
        for m in members {
            live[m].fired = true;
        }
    }
}

fn mixed_late(live: &[Admitted], number: usize, watermark: i64) -> bool {
    let new: Vec<&Admitted> = live.iter().filter(|e| e.admitted_in == number).collect();
    new.iter().any(|late| {
        watermark > max_timestamp(late.window)
            && new.iter().any(|other| {
                other.input.key == late.input.key && other.input.origin != late.input.origin
            })
    })
}
