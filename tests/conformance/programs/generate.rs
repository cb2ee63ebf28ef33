//! Programs out of a seed.

use super::{Grouping, Input, Mode, Program, Random, Shape, Step};
use crate::oracle::{END_OF_GLOBAL, MIN, OutputTime, Windowing, Windows};

impl Program {
    pub fn generate(seed: u64) -> Program {
        let random = &mut Random::new(seed);
        let bounded = random.one_in(5);
        let grouping = [Grouping::ByKey, Grouping::Combine];
        let shape = match random.between(0, 9) {
            0 | 1 => Shape::Group(random.pick(&grouping)),
            2 => Shape::CountPerElement,
            3 => Shape::CountPerKey,
            4 => Shape::Sum,
            5 => Shape::CoGroup,
            6 => Shape::Flatten(random.pick(&grouping)),
            _ => Shape::Twice {
                first: random.pick(&grouping),
                second: random.pick(&grouping),
                windowing: (!random.one_in(4)).then(|| windowing(random, bounded)),
                rekey: random.one_in(2),
            },
        };
        let two_sides = matches!(shape, Shape::CoGroup | Shape::Flatten(_));
        let values = &mut 0;
        let input = if bounded {
            Input::Bounded(steps(random, values, true))
        } else if two_sides && random.one_in(2) {
            Input::Two(steps(random, values, false), steps(random, values, false))
        } else {
            Input::One(steps(random, values, false))
        };
        let windowing = windowing(random, bounded);
        let modes = [Mode::Plain, Mode::EncodeEdges, Mode::OneElementBundles];
        let threads = bounded && random.one_in(4);
        Program {
            input,
            windowing,
            right_lateness: lateness(random),
            shape,
            workers: random.between(1, 3) as usize,
            mode: if threads {
                Mode::Threads
            } else {
                random.pick(&modes)
            },
            scheduler_seed: random.next(),
        }
    }
}

fn windowing(random: &mut Random, bounded: bool) -> Windowing {
    let windows = match random.between(if bounded { 0 } else { 1 }, 6) {
        0 => Windows::Global,
        1 | 2 => Windows::Fixed {
            size: random.between(1, 60),
            offset: random.between(0, 100),
        },
        3 => {
            let size = random.between(1, 40);
            Windows::Sliding {
                size,
                period: random.between((size / 4).max(1), size),
                offset: random.between(0, 60),
            }
        }
        _ => Windows::Sessions {
            gap: random.between(1, 30),
        },
    };
    Windowing {
        windows,
        lateness: lateness(random),
        output_time: random.pick(&[
            OutputTime::EndOfWindow,
            OutputTime::EndOfWindow,
            OutputTime::Earliest,
            OutputTime::Latest,
        ]),
        accumulating: random.one_in(2),
    }
}

fn lateness(random: &mut Random) -> i64 {
    match random.between(0, 5) {
        0 | 1 => 0,
        // Ten days reach behind the end of time, where the expiry of every window is capped.
        2 => random.pick(&[1_000, 864_000_000]),
        _ => random.between(1, 80),
    }
}

/// Elements around a watermark that goes on by fits and starts.
fn steps(random: &mut Random, values: &mut i64, bounded: bool) -> Vec<Step> {
    let mut watermark = random.between(-150, -20);
    let keys = random.between(1, 4);
    let mut steps = Vec::new();
    for _ in 0..random.between(1, 18) {
        if !bounded && random.one_in(3) {
            watermark += match random.between(0, 4) {
                0 => 0,
                1 => random.between(50, 150),
                _ => random.between(1, 40),
            };
            steps.push(Step::Watermark(watermark));
            continue;
        }
        let elements = (0..random.between(0, 4)).map(|_| {
            *values += 1;
            let timestamp = match random.between(0, 40) {
                0 => random.pick(&[MIN, MIN + 1, END_OF_GLOBAL, END_OF_GLOBAL - 1]),
                1..=4 => random.between(-200, 250),
                _ => watermark + random.between(-60, 60),
            };
            (random.between(0, keys - 1) as u32, *values, timestamp)
        });
        steps.push(Step::Elements(elements.collect()));
    }
    steps
}
