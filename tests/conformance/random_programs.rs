//! Random windowed programs against the oracle.
//!
//! A failure prints its seed and the program without the steps that do not matter;
//! `CONFORMANCE_SEED=<seed> cargo test -p pipeline-tests --test conformance replay_one` runs it.

use crate::oracle::{Pane, Timing};
use crate::programs::{Program, Shape, expected, run};

/// Programs of each of the four tests below, which run side by side.
const PROGRAMS: u64 = 1_000;

/// Says what differs between the engine and the oracle.
fn difference(program: &Program) -> Option<String> {
    let right_first = difference_from(program, true)?;
    // Which of two streams at rest goes on is not promised.
    difference_from(program, false).map(|_| right_first)
}

fn difference_from(program: &Program, right_first: bool) -> Option<String> {
    let expected = expected(program, right_first);
    let mut program = program.clone();
    if expected.needs_one_worker {
        program.workers = 1;
    }
    let (got, dropped) = match run(&program) {
        Ok(result) => result,
        Err(error) => return Some(format!("the run failed: {error}")),
    };
    let forget_last = expected.last_may_differ && program.workers > 1;
    let sorted = |mut panes: Vec<Pane>| {
        for pane in &mut panes {
            pane.is_last = pane.is_last && !forget_last;
        }
        panes.sort();
        panes
    };
    let (got, wanted) = (sorted(got), sorted(expected.panes));
    if got == wanted && dropped == expected.dropped_late {
        return None;
    }
    let only = |a: &[Pane], b: &[Pane]| {
        let only = a.iter().filter(|pane| !b.contains(pane));
        only.map(|pane| format!("  {pane:?}\n")).collect::<String>()
    };
    Some(format!(
        "with {} workers; dropped late: {dropped}, expected {}\nonly the engine has:\n{}\
         only the oracle has:\n{}",
        program.workers,
        expected.dropped_late,
        only(&got, &wanted),
        only(&wanted, &got)
    ))
}

/// Leaves out the steps without which the two still differ.
fn shrunk(mut program: Program) -> Program {
    let mut at = 0;
    while let Some(less) = program.without_step(at) {
        if difference(&less).is_some() {
            program = less;
        } else {
            at += 1;
        }
    }
    program
}

fn check(seed: u64) {
    let program = Program::generate(seed);
    if difference(&program).is_some() {
        let program = shrunk(program);
        let difference = difference(&program).unwrap_or_default();
        panic!("CONFORMANCE_SEED={seed}\n{program:#?}\n{difference}");
    }
}

fn check_all(part: u64) {
    for n in 0..PROGRAMS {
        check(n * 4 + part);
    }
}

#[test]
fn first_quarter() {
    check_all(0);
}

#[test]
fn second_quarter() {
    check_all(1);
}

#[test]
fn third_quarter() {
    check_all(2);
}

#[test]
fn fourth_quarter() {
    check_all(3);
}

#[test]
fn replay_one() {
    if let Ok(seed) = std::env::var("CONFORMANCE_SEED") {
        check(seed.parse().unwrap());
    }
}

/// The programs above are worth something only if they come to where the rules differ.
#[test]
fn the_programs_are_varied() {
    let mut counts = std::collections::BTreeMap::new();
    for seed in 0..PROGRAMS {
        let program = Program::generate(seed);
        let expected = expected(&program, true);
        let any = |what: &'static str, holds: bool| (what, u32::from(holds));
        let panes = &expected.panes;
        let cases = [
            any(
                "a late pane",
                panes.iter().any(|p| p.timing == Timing::Late),
            ),
            any("a third pane", panes.iter().any(|p| p.index >= 2)),
            any(
                "a pane that is not the last",
                panes.iter().any(|p| !p.is_last),
            ),
            any(
                "a window before the epoch",
                panes.iter().any(|p| p.window.1 < 0),
            ),
            any("a drop", expected.dropped_late > 0),
            any(
                "several workers",
                program.workers > 1 && !expected.needs_one_worker,
            ),
            any("two stages", matches!(program.shape, Shape::Twice { .. })),
            any(
                "two stages, late in the second, several workers",
                matches!(program.shape, Shape::Twice { .. })
                    && program.workers > 1
                    && !expected.needs_one_worker
                    && panes.iter().any(|p| p.timing == Timing::Late),
            ),
        ];
        for (what, holds) in cases {
            *counts.entry(what).or_insert(0) += holds;
        }
    }
    let rare: Vec<_> = counts.iter().filter(|(_, count)| **count < 20).collect();
    assert!(rare.is_empty(), "of {PROGRAMS}: {counts:?}");
    println!("of {PROGRAMS}: {counts:?}");
}
