//! What the oracle says about a program.

use super::{Input, Mode, Program, Shape, Step};
use crate::oracle::{
    self, Bundle, GLOBAL, MAX, MIN, Outcome, OutputTime, Pane, Windowing, Windows,
};

pub struct Expected {
    pub panes: Vec<Pane>,
    pub dropped_late: u64,
    /// With several workers the model allows more than one result.
    pub needs_one_worker: bool,
    /// With several workers a pane may fire before the watermark has come all the way, when it
    /// is not yet known to be the last.
    pub last_may_differ: bool,
}

/// Returns what the program must put out; `right_first` is the order in which two streams are
/// read.
pub fn expected(program: &Program, right_first: bool) -> Expected {
    let bundles = bundles(program, right_first);
    let mut windowing = program.windowing;
    if matches!(program.shape, Shape::CoGroup | Shape::Flatten(_)) {
        windowing.lateness = windowing.lateness.max(program.right_lateness);
    }
    let outcome = oracle::run(&windowing, &bundles);
    let dropped_late = outcome.dropped_late;
    let count = |pane: Pane| Pane {
        values: vec![(0, pane.values.len() as i64)],
        ..pane
    };
    let sum = |pane: Pane| Pane {
        values: vec![(0, pane.values.iter().map(|v| v.1).sum())],
        ..pane
    };
    let unbounded = !matches!(program.input, Input::Bounded(_));
    match program.shape {
        Shape::Group(_) | Shape::CoGroup | Shape::Flatten(_) => simple(outcome, |pane| pane),
        Shape::CountPerElement | Shape::CountPerKey => simple(outcome, count),
        Shape::Sum => simple(outcome, sum),
        Shape::Twice {
            windowing: second,
            rekey,
            ..
        } => {
            let held_behind = outcome.held_behind;
            let second = second.unwrap_or(Windowing {
                windows: Windows::AsTheyAre,
                ..windowing
            });
            let again = outcome.bundles.iter().map(|fired| Bundle {
                elements: fired.panes.iter().map(|p| onward(p, rekey)).collect(),
                watermark: fired.watermark,
            });
            let again = oracle::run(&second, &again.collect::<Vec<_>>());
            let held = windowing.output_time != OutputTime::EndOfWindow;
            Expected {
                dropped_late: dropped_late + again.dropped_late,
                needs_one_worker: unbounded
                    && (held_behind
                        || again.mixed_late
                        || windowing.output_time == OutputTime::Latest),
                last_may_differ: unbounded && held,
                ..simple(again, |pane| pane)
            }
        }
    }
}

fn simple(outcome: Outcome, result: impl Fn(Pane) -> Pane) -> Expected {
    let panes = outcome.bundles.into_iter().flat_map(|b| b.panes);
    Expected {
        panes: panes.map(result).collect(),
        dropped_late: outcome.dropped_late,
        needs_one_worker: false,
        last_may_differ: false,
    }
}

/// The element that the program makes of a pane, between two groupings.
fn onward(pane: &Pane, rekey: bool) -> oracle::Input {
    let values = pane.values.iter().map(|(_, value)| *value);
    oracle::Input {
        key: if rekey { pane.key % 2 } else { pane.key },
        side: 0,
        value: values.sum::<i64>() + 1_000_000 * pane.values.len() as i64,
        timestamp: pane.timestamp,
        window: pane.window,
        origin: pane.key,
    }
}

fn bundles(program: &Program, right_first: bool) -> Vec<Bundle> {
    let sides = program.shape == Shape::CoGroup;
    let mut bundles = Vec::new();
    let side_of = |value: i64| if sides { value.rem_euclid(2) as u8 } else { 0 };
    match &program.input {
        Input::Bounded(steps) => {
            play(program, steps, side_of, |_| MIN, &mut bundles);
        }
        Input::One(steps) => play(program, steps, side_of, |w| w, &mut bundles),
        Input::Two(left, right) => {
            let side = |side: u8| move |_| if sides { side } else { 0 };
            let ((a, a_side), (b, b_side)) = if right_first {
                ((right, side(1)), (left, side(0)))
            } else {
                ((left, side(0)), (right, side(1)))
            };
            // The stream that has not begun holds the watermark; the one that has ended does not.
            play(program, a, a_side, |_| MIN, &mut bundles);
            play(program, b, b_side, |w| w, &mut bundles);
        }
    }
    bundles.push(Bundle {
        elements: Vec::new(),
        watermark: MAX,
    });
    bundles
}

fn play(
    program: &Program,
    steps: &[Step],
    side_of: impl Fn(i64) -> u8,
    seen: impl Fn(i64) -> i64,
    bundles: &mut Vec<Bundle>,
) {
    let mut watermark = MIN;
    for step in steps {
        match step {
            Step::Watermark(to) => {
                watermark = watermark.max(*to);
                bundles.push(Bundle {
                    elements: Vec::new(),
                    watermark: seen(watermark),
                });
            }
            Step::Elements(elements) => {
                let inputs = elements
                    .iter()
                    .map(|&(key, value, timestamp)| oracle::Input {
                        key,
                        side: side_of(value),
                        value,
                        timestamp,
                        window: GLOBAL,
                        origin: 0,
                    });
                let inputs: Vec<oracle::Input> = inputs.collect();
                let most = match program.mode {
                    Mode::OneElementBundles => 1,
                    _ => inputs.len().max(1),
                };
                for elements in inputs.chunks(most) {
                    bundles.push(Bundle {
                        elements: elements.to_vec(),
                        watermark: seen(watermark),
                    });
                }
            }
        }
    }
}
