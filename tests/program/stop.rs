//! Ctrl-C and SIGTERM.

use std::io::Write;
use std::time::{Duration, Instant};

use pipeline_gcp::bigquery::Value;
use rusqlite::Connection;

use crate::child::{EXPECTED, Ended, Place, SAMPLE, fed};

/// How long a stop may take.
const SOON: Duration = Duration::from_secs(10);

/// Stopped by Ctrl-C; returns how many groups it abandoned.
#[track_caller]
fn abandoned(ended: &Ended) -> u64 {
    abandoned_by(ended, 130, "press Ctrl-C again")
}

#[track_caller]
fn abandoned_by(ended: &Ended, code: i32, says: &str) -> u64 {
    assert_eq!(ended.code, Some(code), "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stderr.contains(says), "{}", ended.stderr);
    let line = ended
        .stdout
        .lines()
        .find(|line| line.starts_with("Stopped: "));
    let line = line.unwrap_or_else(|| panic!("{}", ended.stdout));
    line.split(' ').nth(1).unwrap().parse().unwrap()
}

/// The numbers of the lines that are in the base tables.
fn lines(place: &Place) -> Vec<usize> {
    let union = "SELECT message_id FROM conversations UNION ALL SELECT message_id FROM orders";
    let rows = place.query(&format!(
        "SELECT message_id FROM ({union}) ORDER BY message_id"
    ));
    let line = |row: Vec<Value>| match &row[0] {
        Value::String(id) => id[..12].parse().unwrap(),
        other => panic!("{other:?}"),
    };
    rows.into_iter().map(line).collect()
}

#[test]
fn a_stopped_run_keeps_what_it_took_in_and_a_further_run_completes_it() {
    let place = Place::new();
    let mut running = place.start(&["--publish_interval", "5ms"]);
    running.wait_for("300 rows", || place.base_rows() >= 300);
    let before = place.base_rows();
    running.interrupt();
    let ended = running.end_within(SOON);
    assert!(abandoned(&ended) > 0, "{}", ended.stdout);

    // No line is missing in front of one that is there.
    let taken_in = lines(&place);
    assert!(taken_in.len() as i64 >= before && taken_in.len() < 1801);
    assert_eq!(taken_in, (1..=taken_in.len()).collect::<Vec<_>>());
    assert_eq!(ended.count("records taken in"), taken_in.len() as u64);

    // The files show how far it came.
    let last = place.rows("customer_courier_conversations") as usize;
    assert_eq!(place.csv().lines().count(), 1 + last);
    assert_eq!(place.letters().len(), 0);

    let again = place.finish(&[]);
    assert_eq!(place.csv(), EXPECTED);
    assert_eq!(place.base_rows(), 1801);
    again.assert_agrees(400);
}

#[test]
fn a_run_that_waits_for_its_input_can_be_stopped() {
    for flags in [&[][..], &["--streaming", "false"]] {
        let place = Place::new();
        let (mut running, mut stdin) = fed(&place, flags);
        for line in SAMPLE.lines().take(50) {
            writeln!(stdin, "{line}").unwrap();
        }
        running.wait_for("50 rows", || place.base_rows() == 50);
        running.interrupt();
        let ended = running.end_within(SOON);
        assert!(abandoned(&ended) > 0, "{flags:?}: {}", ended.stdout);
        assert!(!ended.stdout.contains("SQL view"), "{}", ended.stdout);
        assert_eq!(place.base_rows(), 50);
        drop(stdin);
    }
}

#[test]
fn a_run_without_any_input_yet_can_be_stopped() {
    for flags in [&[][..], &["--streaming", "false"]] {
        let place = Place::new();
        let (mut running, stdin) = fed(&place, flags);
        // The view comes last, before the run.
        let view = "SELECT COUNT(*) FROM customer_courier_conversations_view";
        running.wait_for("the view", || place.try_query(view).is_some());
        std::thread::sleep(Duration::from_millis(300));
        running.interrupt();
        assert_eq!(abandoned(&running.end_within(SOON)), 0);
        drop(stdin);
    }
}

#[test]
fn sigterm_stops_a_run_in_the_same_good_order() {
    let place = Place::new();
    let mut running = place.start(&["--publish_interval", "5ms"]);
    running.wait_for("300 rows", || place.base_rows() >= 300);
    running.signal("-TERM");
    let ended = running.end_within(SOON);
    assert!(abandoned_by(&ended, 143, "stopping at SIGTERM") > 0);
    let taken_in = lines(&place);
    assert!(taken_in.len() < 1801);
    assert_eq!(taken_in, (1..=taken_in.len()).collect::<Vec<_>>());
    assert_eq!(ended.count("records taken in"), taken_in.len() as u64);

    place.finish(&[]);
    assert_eq!(place.csv(), EXPECTED);
}

#[test]
fn the_second_ctrl_c_quits_at_once() {
    for first in ["-INT", "-TERM"] {
        a_ctrl_c_quits_at_once_after(first);
    }
}

fn a_ctrl_c_quits_at_once_after(first: &str) {
    let place = Place::new();
    let mut running = place.start(&["--publish_interval", "5ms"]);
    running.wait_for("50 rows", || place.base_rows() >= 50);
    // Held up by a foreign tool that writes, the run cannot end what it has begun, and so does not stop at once.
    let foreign = Connection::open(place.warehouse().join("warehouse.sqlite")).unwrap();
    foreign.busy_timeout(Duration::from_secs(30)).unwrap();
    foreign.execute_batch("BEGIN IMMEDIATE").unwrap();
    running.signal(first);
    std::thread::sleep(Duration::from_millis(500));
    // To be told several times, as `timeout` may do, is no reason to lose rows.
    running.signal("-TERM");
    std::thread::sleep(Duration::from_millis(500));
    assert!(
        running.is_running(),
        "{first} did not wait for rows in flight"
    );
    let pressed = Instant::now();
    running.interrupt();
    let ended = running.end_within(SOON);
    assert!(pressed.elapsed() < Duration::from_secs(2));
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(130), ""));
    foreign.execute_batch("ROLLBACK").unwrap();
    drop(foreign);
    place.assert_no_finals();

    place.finish(&[]);
    assert_eq!(place.csv(), EXPECTED);
}

impl Place {
    /// No result is there under its final name.
    #[track_caller]
    fn assert_no_finals(&self) {
        assert!(!self.output().exists() && !self.dead_letter_output().exists());
    }
}
