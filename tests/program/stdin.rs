//! Standard input, which may be slow.

use std::io::Write;
use std::thread;
use std::time::Duration;

use crate::child::{EXPECTED, Place, SAMPLE, fed};

#[test]
fn a_slow_pipe_gives_the_same_in_streaming_and_batch() {
    for flags in [&[][..], &["--streaming", "false"]] {
        let place = Place::new();
        let (running, mut stdin) = fed(&place, flags);
        // Pieces end within lines.
        for piece in SAMPLE.as_bytes().chunks(20_011) {
            stdin.write_all(piece).unwrap();
            stdin.flush().unwrap();
            thread::sleep(Duration::from_millis(30));
        }
        drop(stdin);
        let ended = running.end();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert_eq!(place.csv(), EXPECTED, "{flags:?}");
        assert!(ended.stdout.contains("standard input"));
        ended.assert_agrees(400);
    }
}

#[test]
fn rows_are_there_while_the_pipe_is_open() {
    for flags in [&[][..], &["--streaming", "false"]] {
        let place = Place::new();
        let (mut running, mut stdin) = fed(&place, flags);
        stdin.write_all(SAMPLE.as_bytes()).unwrap();
        stdin.write_all(b"\n").unwrap();
        running.wait_for("the base tables", || place.base_rows() == 1801);
        drop(stdin);
        assert_eq!(running.end().code, Some(0));
        assert_eq!(place.csv(), EXPECTED, "{flags:?}");
    }
}

#[test]
fn a_stopped_run_tells_what_it_skipped_and_stripped() {
    for flags in [&[][..], &["--streaming", "false"]] {
        let place = Place::new();
        let (mut running, mut stdin) = fed(&place, flags);
        stdin.write_all(b"\xEF\xBB\xBF\n \n\t\n").unwrap();
        for line in SAMPLE.lines().take(50) {
            write!(stdin, "{line}\r\n").unwrap();
        }
        // Blank lines behind the last record, and none after them.
        stdin.write_all(b"\n\n").unwrap();
        running.wait_for("50 rows", || place.base_rows() == 50);
        thread::sleep(Duration::from_millis(100));
        running.interrupt();
        let ended = running.end();
        assert_eq!(ended.code, Some(130), "{}", ended.stderr);
        assert_eq!(ended.count("records taken in"), 50);
        assert_eq!(ended.count("blank lines skipped"), 5, "{flags:?}");
        assert_eq!(ended.count("carriage returns stripped"), 50);
        assert_eq!(ended.count("byte order marks stripped"), 1);
        drop(stdin);
    }
}

#[test]
fn nothing_at_all_is_an_empty_table() {
    for flags in [&[][..], &["--streaming", "false"]] {
        let place = Place::new();
        let (running, stdin) = fed(&place, flags);
        drop(stdin);
        let ended = running.end();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        ended.assert_agrees(0);
        assert_eq!(place.csv().lines().count(), 1);
        assert_eq!(place.letters().len(), 0);
    }
}
