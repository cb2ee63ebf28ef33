//! `--drain`: ends a run early and in good order, one that is under way or one that is not.

use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

use rusqlite::Connection;

use crate::child::{EXPECTED, Ended, Place, Running, SAMPLE, fed, fed_as};

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
    // To say it several times is to say it.
    for drain in [(); 3].map(|()| place.start(&["--drain"])) {
        let drain = drain.end_within(SOON);
        assert_eq!(drain.code, Some(0), "{}", drain.stderr);
        assert!(drain.stdout.contains(&pid), "{}", drain.stdout);
    }
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
fn a_job_that_does_not_end_is_waited_for_so_long_and_no_longer() {
    let place = Place::new();
    let mut running = place.start(&["--publish_interval", "5ms"]);
    running.wait_for("300 rows", || place.base_rows() >= 300);
    running.signal("-STOP");
    let pid = running.id();
    let drain = place.start(&["--drain", "--drain_timeout", "1s"]);
    let drain = drain.end_within(SOON);
    let waits = format!("waiting for the job (pid {pid}) to end, 1s at most");
    let gives_up = format!("the job (pid {pid}) was told, and has not ended within 1s");
    drain.assert_failed(1, &[&waits, &gives_up, "--drain_timeout"]);
    // It was told all the same, and somebody who waits on hears of its end.
    let drain = place.start(&["--drain"]);
    std::thread::sleep(Duration::from_millis(300));
    running.signal("-CONT");
    let drain = drain.end_within(SOON);
    assert_eq!(drain.code, Some(0), "{}", drain.stderr);
    let ended = running.end_within(SOON);
    assert_drained(&place, &ended);
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

#[test]
fn a_run_that_is_killed_while_it_is_drained_is_drained_when_it_goes_on() {
    for input in ["-", "in.json"] {
        let place = Place::new();
        place.file("in.json", SAMPLE);
        // The second snapshot is that of the drained run.
        let flags = [
            "--input",
            input,
            "--publish_interval",
            "3ms",
            "--snapshot_interval",
            "2s",
        ];
        let (mut running, mut stdin) = fed_as(input, &place, &flags[2..]);
        for line in SAMPLE.lines().take(300) {
            // Of the file, no line of these is read.
            writeln!(stdin, "{line}").unwrap();
        }
        running.wait_for("a row", || place.base_rows() > 0);
        let begun = place.newest();
        // It gets on disk, and its rows not into the tables.
        let foreign = Connection::open(place.warehouse().join("warehouse.sqlite")).unwrap();
        foreign.busy_timeout(Duration::from_secs(30)).unwrap();
        foreign.execute_batch("BEGIN IMMEDIATE").unwrap();
        running.signal("-USR1");
        running.wait_for("a snapshot", || place.newest() > begun);
        running.kill();
        foreign.execute_batch("ROLLBACK").unwrap();
        drop((foreign, stdin));

        let mut command = place.command(&flags);
        let ended = Running::of(command.stdin(Stdio::null())).end_within(SOON);
        assert!(ended.resumed().is_some(), "{}", ended.stdout);
        assert_drained(&place, &ended);
        assert!((1..1801).contains(&place.lines().len()));
    }
}

impl Place {
    /// The number of the newest snapshot, while somebody has the folder.
    fn newest(&self) -> u64 {
        let entries = std::fs::read_dir(self.state()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let epochs = names.filter_map(|name| name.strip_prefix("snapshot-")?.parse().ok());
        epochs.max().unwrap_or(0)
    }
}
