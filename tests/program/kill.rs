//! `kill -9` at any moment, again and again, and sometimes Ctrl-C: in the end nothing is lost, and nothing there twice.
//!
//! Each case draws its input (with or without lines that are no events), whether it goes through the topic, whether the
//! dead letters are compressed, and for each life the workers, the time between snapshots, and how and when it ends.
//!
//! `KILLS` is the number of cases, 20 if it is not set; `KILL_SEED` what they are drawn from. The moments are drawn, but
//! what the program is doing then is up to the machine: a case may fail that passed before.

use std::env;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use oorandom::Rand64;
use pipeline_gcp::bigquery::Value;

use crate::child::{EXPECTED, Ended, Place, Running, SAMPLE};

/// The cases that are under way at a time: most of their time, they wait.
const AT_A_TIME: usize = 4;

/// Any line that is no event goes behind every so many lines of the dirty input.
const EVERY: usize = 10;

fn number(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// What a run that nobody kills leaves behind.
struct Whole {
    /// With lines that are no events between those of the sample.
    dirty: bool,
    input: String,
    bad: Vec<String>,
    tables: [Vec<Vec<Value>>; 3],
    /// How many times as long as on an idle machine it took: lives are given so much more time.
    slower: u64,
}

/// What a whole run takes on an idle machine, in milliseconds.
const USUAL: u128 = 300;

impl Whole {
    fn of(dirty: bool) -> Self {
        let (mut input, mut bad) = (String::new(), Vec::new());
        for (number, line) in SAMPLE.lines().enumerate() {
            input.push_str(&format!("{line}\n"));
            if dirty && number % EVERY == 0 {
                bad.push(format!("no event: {number:04}"));
                input.push_str(&format!("no event: {number:04}\n"));
            }
        }
        let place = Place::new();
        let file = place.file("in.json", &input);
        let begun = Instant::now();
        place.finish(&["--input", &file, "--streaming", "false"]);
        let slower = u64::try_from(begun.elapsed().as_millis() / USUAL).unwrap();
        let tables = place.tables();
        assert_eq!(tables.each_ref().map(Vec::len), [1401, 400, 400]);
        Whole {
            dirty,
            input,
            bad,
            tables,
            slower: slower.max(1),
        }
    }

    #[track_caller]
    fn assert_same(&self, place: &Place, ended: &Ended, streaming: bool) {
        place.assert_no_parts();
        assert_eq!(place.csv(), EXPECTED);
        assert!(place.tables() == self.tables, "the tables differ");
        let letters = place.letters();
        let mut originals: Vec<String> = letters.iter().map(original).collect();
        originals.sort();
        assert_eq!(originals, self.bad, "dead letters");
        ended.assert_agrees(400);
        let bad = self.bad.len() as u64;
        // Counted over all lives, and each message once.
        assert_eq!(ended.count("records taken in"), 1801 + bad);
        assert_eq!(ended.count("dead letters"), bad);
        assert_eq!(ended.count("dropped as late"), 0);
        // The publisher goes on behind the last line that is in the snapshot.
        assert_eq!(ended.count("duplicates dropped"), 0);
        if streaming {
            let delivered = ended.count("delivered by the topic since the start");
            assert_eq!(ended.count("acknowledged since the start"), delivered);
        }
    }
}

fn original(letter: &serde_json::Value) -> String {
    letter["original"].as_str().unwrap().to_owned()
}

/// What the cases came to.
#[derive(Default)]
struct Tally {
    killed: AtomicU64,
    stopped: AtomicU64,
    resumed: AtomicU64,
    ended_before: AtomicU64,
}

/// A case: killed so many times, and then run to the end.
fn case(whole: &Whole, seed: u64, tally: &Tally) {
    let mut draw = Rand64::new(u128::from(seed));
    let (streaming, gzip) = (draw.rand_range(0..4) > 0, draw.rand_range(0..3) == 0);
    let place = if gzip {
        Place::new().with_gzip()
    } else {
        Place::new()
    };
    let (state, streams) = (place.state(), streaming.to_string());
    let state = state.to_str().unwrap();
    let input = place.file("in.json", &whole.input);
    let kills = draw.rand_range(1..5);
    // At a pace in the middle of which most kills come, and at full speed: at the beginning and the end.
    let (pace, longest) = [("1ms", 1_200_000), ("0ms", 500_000)][draw.rand_range(0..2) as usize];
    let mut story = format!(
        "KILL_SEED={seed} KILLS=1 (dirty: {}, pace {pace}, streaming: {streaming}, gzip: {gzip})",
        whole.dirty
    );
    let mut known = None;
    for life in 0..=kills {
        // One that was killed before anything was there has no folder.
        let before = if place.state().exists() {
            place.unfinished()
        } else {
            None
        };
        if let (Some((epoch, messages)), Some((last, taken_in))) = (before, known) {
            assert!(epoch >= last && messages >= taken_in, "{story}: goes back");
        }
        known = before;
        let workers = draw.rand_range(1..5).to_string();
        let interval = ["5ms", "20ms", "60ms", "250ms"][draw.rand_range(0..4) as usize];
        let after = Duration::from_micros(draw.rand_range(0..longest * whole.slower));
        let stops = draw.rand_range(0..5) == 0;
        story.push_str(&format!(
            "\n  life {life}: {workers} workers, a snapshot every {interval}, after {before:?}"
        ));
        let flags = [
            "--input",
            &input,
            "--publish_interval",
            pace,
            "--direct_num_workers",
            &workers,
            "--snapshot_interval",
            interval,
            "--state_dir",
            state,
            "--streaming",
            &streams,
        ];
        let running = place.start(&flags);
        let ended = if life < kills && stops {
            story.push_str(&format!(", stopped after {after:?}"));
            stopped(running, after)
        } else if life < kills {
            story.push_str(&format!(", killed after {after:?}"));
            killed(running, after)
        } else {
            running.end()
        };
        let told = ended.resumed();
        tally
            .resumed
            .fetch_add(told.is_some().into(), Ordering::Relaxed);
        match ended.code {
            None => {
                tally.killed.fetch_add(1, Ordering::Relaxed);
                // It may not have come to say so.
                assert!(told.is_none() || told == before.map(|b| b.0), "{story}");
            }
            Some(130) if life < kills && stops => {
                tally.stopped.fetch_add(1, Ordering::Relaxed);
                assert_eq!(told, before.map(|b| b.0), "{story}");
                let (_, messages) = place.unfinished().unwrap();
                let new = messages - before.map_or(0, |b| b.1);
                if streaming {
                    // Exactly what is in the last snapshot, and was not in the one before this life.
                    let acknowledged = ended.count("acknowledged since the start");
                    assert_eq!(acknowledged, new, "{story}\n{}", ended.stdout);
                }
            }
            Some(code) => {
                let said = format!("{}{}", ended.stdout, ended.stderr);
                assert_eq!(code, 0, "{story}\n{said}");
                assert_eq!(told, before.map(|b| b.0), "{story}\n{said}");
                if life < kills {
                    tally.ended_before.fetch_add(1, Ordering::Relaxed);
                    known = None;
                } else {
                    println!("{story}");
                    whole.assert_same(&place, &ended, streaming);
                }
            }
        }
    }
    assert_eq!(place.unfinished(), None);
}

/// One that does not hear the signal yet dies of it.
fn stopped(running: Running, after: Duration) -> Ended {
    thread::sleep(after);
    running.interrupt();
    running.end()
}

fn killed(running: Running, after: Duration) -> Ended {
    thread::sleep(after);
    running.kill()
}

#[test]
fn killed_at_any_moment_it_goes_on_and_nothing_is_lost_or_there_twice() {
    let (cases, seed) = (number("KILLS", 20), number("KILL_SEED", 20_240_201));
    let inputs = [Whole::of(false), Whole::of(true)];
    let (next, tally, begun) = (AtomicU64::new(0), Tally::default(), Instant::now());
    let failed: Vec<String> = thread::scope(|scope| {
        let threads = (0..AT_A_TIME).map(|_| {
            scope.spawn(|| {
                let mut failed = Vec::new();
                loop {
                    let number = next.fetch_add(1, Ordering::SeqCst);
                    if number >= cases {
                        return failed;
                    }
                    let seed = seed + number;
                    let whole = &inputs[usize::from(seed.is_multiple_of(3))];
                    let run = || case(whole, seed, &tally);
                    let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
                    failed.extend(ran.is_err().then(|| format!("KILL_SEED={seed} KILLS=1")));
                }
            })
        });
        let threads: Vec<_> = threads.collect();
        threads
            .into_iter()
            .flat_map(|t| t.join().unwrap())
            .collect()
    });
    let [killed, stopped, resumed, ended] = [
        &tally.killed,
        &tally.stopped,
        &tally.resumed,
        &tally.ended_before,
    ]
    .map(|n| n.load(Ordering::Relaxed));
    println!(
        "{cases} cases in {:?}: {killed} kills, {stopped} stops, {resumed} lives that went on, {ended} that ended before they were killed",
        begun.elapsed()
    );
    assert!(failed.is_empty(), "of {cases}: {failed:?}");
    // It is of no use if nothing is ever resumed.
    assert!(cases < 10 || resumed > cases / 2, "{resumed}");
}
