//! Crashes, simulated: a streaming job is crashed again and again, and what its sinks hold at the
//! end is compared with what a plain loop over its input gives.
//!
//! A case is drawn from one seed, which is printed when it fails: the messages, their order and
//! how often each is delivered, the workers and their interleaving, when snapshots are taken, and
//! where each life of the job ends: at a moment of a snapshot, within a read, within a write.
//! `SIMULATION_SEEDS=5000 cargo test -p pipeline-tests --test simulation` runs so many;
//! `SIMULATION_FIRST=17` begins at that seed.

mod ends;
mod job;
mod world;

use job::By;
use pipeline_core::runners::direct::Disorder;

/// The cases of an ordinary run of the tests.
const SEEDS: u64 = 60;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn all(by: By) {
    let first = number("SIMULATION_FIRST").unwrap_or(1);
    let seeds = number("SIMULATION_SEEDS").unwrap_or(SEEDS);
    let (mut lives, mut snapshots) = (0, 0);
    for seed in first..first + seeds {
        match job::simulate(seed, by, None) {
            Ok(told) => {
                lives += told.lives;
                snapshots += told.snapshots;
            }
            Err(wrong) => panic!("seed {seed}: {wrong}"),
        }
    }
    println!("{seeds} seeds, {lives} lives, {snapshots} snapshots");
    // A simulation without crashes shows nothing.
    assert!(lives > seeds * 2, "{lives} lives of {seeds} jobs");
    assert!(
        snapshots * 2 > lives,
        "{snapshots} snapshots in {lives} lives"
    );
}

#[test]
fn every_row_is_there_once_whatever_crashes() {
    all(By::Seed);
}

#[test]
fn every_row_is_there_once_with_workers_as_threads() {
    all(By::Threads);
}

#[test]
fn a_seed_gives_the_same_lives_again() {
    for seed in 1..=5 {
        let lives = || job::simulate(seed, By::Seed, None).unwrap();
        assert_eq!(lives(), lives(), "seed {seed}");
    }
}

/// Returns the first seed at which a broken rule shows, and how.
fn noticed(disorder: Disorder) -> (u64, String) {
    for seed in 1..=300 {
        if let Err(wrong) = job::simulate(seed, By::Seed, Some(disorder)) {
            println!("{disorder:?}: seed {seed}: {wrong}");
            return (seed, wrong);
        }
    }
    panic!("nobody notices {disorder:?}");
}

#[test]
fn a_commit_before_the_snapshot_is_noticed() {
    noticed(Disorder::CommitFirst);
}

#[test]
fn an_acknowledgement_before_the_snapshot_is_noticed() {
    let (_, wrong) = noticed(Disorder::AcknowledgeFirst);
    assert!(wrong.contains("acknowledged"), "{wrong}");
}

#[test]
fn a_commit_that_is_not_repeated_is_noticed() {
    noticed(Disorder::ForgetCommit);
}

#[test]
fn positions_that_are_not_saved_are_noticed() {
    noticed(Disorder::ForgetPositions);
}

#[test]
fn messages_between_workers_that_are_not_waited_for_are_noticed() {
    noticed(Disorder::LeaveMessages);
}
