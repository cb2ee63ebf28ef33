//! `--drain`: ends a run early and in good order, one that is under way or one that is not.

use std::io::Write;
use std::time::Duration;

use crate::child::{EXPECTED, Ended, Place, SAMPLE, fed};

/// How long it may take.
const SOON: Duration = Duration::from_secs(10);

/// All that was taken in is in the tables, open visits too, and no line is missing in front of one that is there.
#[track_caller]
fn assert_drained(place: &Place, ended: &Ended) {
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stdout.contains("\nDrained: "), "{}", ended.stdout);
    let taken_in = place.lines();
    assert_eq!(taken_in, (1..=taken_in.len()).collect::<Vec<_>>());
    assert_eq!(ended.count("records taken in"), taken_in.len() as u64);
    assert!(ended.stdout.contains("gives the same"), "{}", ended.stdout);
    assert_eq!(place.unfinished(), None);
    place.assert_no_parts();
}

#[test]
fn a_running_job_is_told_and_waited_for() {
    let place = Place::new();
    let mut running = place.start(&["--publish_interval", "5ms"]);
    running.wait_for("300 rows", || place.base_rows() >= 300);
    let pid = format!("drained: the job (pid {}) has ended", running.id());
    let drain = place.start(&["--drain"]).end_within(SOON);
    assert_eq!(drain.code, Some(0), "{}", drain.stderr);
    assert!(drain.stdout.contains(&pid), "{}", drain.stdout);
    // It was waited for, so it has ended; its parent is here, and has to see so.
    let ended = running.end_within(SOON);
    assert!(
        ended.stderr.contains("draining at SIGUSR1"),
        "{}",
        ended.stderr
    );
    assert!(place.lines().len() < 1801);
    assert_drained(&place, &ended);

    let again = place.finish(&[]);
    assert_eq!(again.resumed(), None);
    assert_eq!(place.csv(), EXPECTED);
    assert_eq!(place.base_rows(), 1801);
}

#[test]
fn a_job_that_waits_for_its_input_is_drained_by_the_signal() {
    let place = Place::new();
    let (mut running, mut stdin) = fed(&place, &[]);
    for line in SAMPLE.lines().take(50) {
        writeln!(stdin, "{line}").unwrap();
    }
    running.wait_for("50 rows", || place.base_rows() == 50);
    running.signal("-USR1");
    let ended = running.end_within(SOON);
    assert_drained(&place, &ended);
    assert_eq!(place.lines().len(), 50);
    drop(stdin);
}

#[test]
fn a_job_that_was_killed_is_ended_where_its_snapshot_was_taken() {
    let place = Place::new();
    let input = place.file("in.json", SAMPLE);
    let flags = ["--input", &input, "--publish_interval", "3ms"];
    let mut running = place.start(&flags);
    running.wait_for("300 rows", || place.base_rows() >= 300);
    running.kill();
    let (epoch, messages) = place.unfinished().unwrap();
    // Nothing is read of it any more.
    std::fs::remove_file(&input).unwrap();
    let ended = place.run(&["--input", &input, "--drain"]);
    assert_drained(&place, &ended);
    assert_eq!(ended.resumed(), Some(epoch));
    assert_eq!(place.lines().len() as u64, messages);

    place.file("in.json", SAMPLE);
    place.finish(&flags);
    assert_eq!(place.csv(), EXPECTED);
}

#[test]
fn where_nothing_is_left_nothing_is_done() {
    let place = Place::new();
    for _ in 0..2 {
        let ended = place.run(&["--drain"]);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert!(
            ended.stdout.starts_with("nothing to drain: "),
            "{}",
            ended.stdout
        );
        if !place.warehouse().exists() {
            place.finish(&[]);
        }
    }
    assert_eq!(place.csv(), EXPECTED);
}
