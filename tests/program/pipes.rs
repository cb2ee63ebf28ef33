//! Inputs that are pipes, though they are not called `-`.

use std::fs::File;
use std::io::Write;
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::child::{EXPECTED, Place, Running, SAMPLE, fed_as};

/// How long a run over a pipe may take, and a stop.
const SOON: Duration = Duration::from_secs(20);

/// The ways to read: through the topic, and by itself.
const WAYS: [&str; 2] = ["--streaming=true", "--streaming=false"];

/// Makes a named pipe, and returns its path as text.
fn named_pipe(place: &Place) -> String {
    let path = place.path().join("pipe").to_str().unwrap().to_owned();
    let made = Command::new("mkfifo").arg(&path).status().unwrap();
    assert!(made.success());
    path
}

#[track_caller]
fn assert_stops(running: Running) {
    running.interrupt();
    let ended = running.end_within(SOON);
    assert_eq!(ended.code, Some(130), "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stdout.contains("\nStopped: "), "{}", ended.stdout);
}

#[test]
fn a_named_pipe_is_opened_once_and_read_to_its_end() {
    for way in WAYS {
        let place = Place::new();
        let pipe = named_pipe(&place);
        let running = place.start(&["--input", &pipe, way]);
        let writer = thread::spawn(move || {
            // Waits for the program to open the other end.
            let mut pipe = File::options().write(true).open(pipe)?;
            for piece in SAMPLE.as_bytes().chunks(50_021) {
                pipe.write_all(piece)?;
                thread::sleep(Duration::from_millis(20));
            }
            Ok::<(), std::io::Error>(())
        });
        let ended = running.end_within(SOON);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        writer.join().unwrap().unwrap();
        assert_eq!(place.csv(), EXPECTED, "{way}");
        ended.assert_agrees(400);
    }
}

#[test]
fn a_run_over_a_pipe_that_is_quiet_can_be_stopped() {
    for way in WAYS {
        let place = Place::new();
        let (mut running, mut stdin) = fed_as("/dev/stdin", &place, &[way]);
        for line in SAMPLE.lines().take(50) {
            writeln!(stdin, "{line}").unwrap();
        }
        running.wait_for("50 rows", || place.base_rows() == 50);
        assert_stops(running);
        assert_eq!(place.base_rows(), 50);
        drop(stdin);
    }
}

#[test]
fn a_run_over_a_pipe_that_nobody_writes_to_can_be_stopped() {
    for way in WAYS {
        let place = Place::new();
        let mut running = place.start(&["--input", &named_pipe(&place), way]);
        // The view comes last, before the run.
        let view = "SELECT COUNT(*) FROM customer_courier_conversations_view";
        running.wait_for("the view", || place.try_query(view).is_some());
        thread::sleep(Duration::from_millis(300));
        assert_stops(running);
    }
}
