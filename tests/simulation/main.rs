//! Crashes, simulated: a streaming job is crashed again and again, and what its sinks hold at the
//! end is compared with what a plain loop over its input gives.
//!
//! A case is drawn from one seed, which is printed when it fails: the messages, their order and
//! how often each is delivered, the workers and their interleaving, when snapshots are taken, how the
//! clock goes on and jumps, sinks that are slow or fail for a whole life, and where each life of the
//! job ends: at a moment of a snapshot, before or after a call of a source or a sink (open, read,
//! acknowledge; recover, write, prepare, commit, finish), between two sinks' finish, before and
//! after the folder says that the run has finished. In some cases the topic can deliver again what
//! it had acknowledged, and then the newest snapshot is removed between two lives.
//!
//! `SIMULATION_SEEDS=5000 cargo test -p pipeline-tests --test simulation every_row` runs so many of
//! each kind (a seed of its own world, interleaved by it or by threads, and of `library`, with the
//! library's own topic, table and files); `SIMULATION_FIRST=17` begins at that seed.
//!
//! # That it would notice
//! With a rule of the order broken on purpose, the seed named here is the first from 1 on that shows
//! it; `every_broken_rule_is_noticed` holds the table to it, give or take what timers change.
//!
//! | rule | broken | first seed |
//! |---|---|---|
//! | everything comes to rest before the cut | `LeaveMessages` | 4 |
//! | sinks prepare before the snapshot | `PrepareLate` | 1 |
//! | positions are in the snapshot | `ForgetPositions` | 1 |
//! | the snapshot is durable before sinks commit | `CommitFirst` | 1 |
//! | a commit is repeated after a restart | `ForgetCommit` | 1 |
//! | the snapshot is durable before sources are acknowledged | `AcknowledgeFirst` | 1 |
//! | sinks have committed before sources are acknowledged | `CommitLate` | 1 |
//! | sinks have finished before the folder says so | `MarkFirst` | 22 |

mod clock;
mod ends;
mod job;
mod library;
mod sinks;
mod topic;
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
fn every_row_is_there_once_with_the_librarys_own_parts() {
    let first = number("SIMULATION_FIRST").unwrap_or(1);
    let seeds = number("SIMULATION_SEEDS").unwrap_or(SEEDS / 3);
    let mut lives = 0;
    for seed in first..first + seeds {
        match library::simulate(seed) {
            Ok(of_it) => lives += of_it,
            Err(wrong) => panic!("seed {seed}: {wrong}"),
        }
    }
    println!("{seeds} seeds, {lives} lives");
    assert!(lives > seeds * 2, "{lives} lives of {seeds} jobs");
}

#[test]
fn a_seed_gives_the_same_lives_again() {
    for seed in 1..=5 {
        let lives = || job::simulate(seed, By::Seed, None).unwrap();
        assert_eq!(lives(), lives(), "seed {seed}");
    }
}

/// The rules of the order, each with the first seed that shows when it is broken.
const RULES: [(Disorder, u64); 8] = [
    (Disorder::LeaveMessages, 4),
    (Disorder::PrepareLate, 1),
    (Disorder::ForgetPositions, 1),
    (Disorder::CommitFirst, 1),
    (Disorder::ForgetCommit, 1),
    (Disorder::AcknowledgeFirst, 1),
    (Disorder::CommitLate, 1),
    (Disorder::MarkFirst, 22),
];

/// How much later a rule may show: where a topic waits, or a write is tried again, a timer of the
/// machine has a say, and the same seed is another case.
const SLACK: u64 = 40;

/// Returns the first seed at which a broken rule shows, and how.
fn noticed(disorder: Disorder) -> (u64, String) {
    for seed in 1..=300 {
        if let Err(wrong) = job::simulate(seed, By::Seed, Some(disorder)) {
            return (seed, wrong);
        }
    }
    panic!("nobody notices {disorder:?}");
}

#[test]
fn every_broken_rule_is_noticed() {
    let late = RULES.map(|(disorder, first)| {
        let (seed, how) = noticed(disorder);
        println!("| `{disorder:?}` | {first} | {seed}: {how} |");
        (seed > first + SLACK).then(|| format!("{disorder:?}: seed {seed}, not {first}"))
    });
    let late: Vec<String> = late.into_iter().flatten().collect();
    assert!(
        late.is_empty(),
        "the table at the top of main.rs is not up to date: {late:?}"
    );
}
