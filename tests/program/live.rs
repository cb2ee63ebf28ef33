//! Results are there while the input still comes.

use std::io::Write;
use std::time::{Duration, Instant};

use crate::child::{EXPECTED, Place, SAMPLE, fed};

#[test]
fn rows_are_there_before_further_lines_are_published() {
    let place = Place::new();
    let (mut running, mut stdin) = fed(&place, &[]);
    let lines: Vec<&str> = SAMPLE.lines().collect();
    let mut write = |lines: &[&str]| writeln!(stdin, "{}", lines.join("\n")).unwrap();
    // What was not written cannot have been published, however slow this machine is.
    write(&lines[..99]);
    running.wait_for("99 base rows", || place.base_rows() == 99);
    write(&lines[99..1800]);
    running.wait_for("300 rows of the final table", || {
        place.rows("customer_courier_conversations") >= 300
    });
    write(&lines[1800..]);
    drop(stdin);

    let ended = running.end();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(place.csv(), EXPECTED);
}

#[test]
fn rows_are_there_before_the_publisher_has_come_to_the_end() {
    // The n-th line goes out no earlier than n - 1 intervals after the start.
    let interval = Duration::from_millis(5);
    let begun = Instant::now();
    let place = Place::new();
    let mut running = place.start(&["--publish_interval", "5ms"]);
    running.wait_for("200 rows of the final table", || {
        place.rows("customer_courier_conversations") >= 200
    });
    let waited = begun.elapsed();
    let ended = running.end();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(waited < interval * 1800, "{waited:?}: all was published");
    assert!(
        begun.elapsed() >= interval * 1800,
        "lines went out too early"
    );
    assert_eq!(place.csv(), EXPECTED);
    // Nobody sees a bar that is not drawn on a terminal; a line now and then says how far it is.
    assert!(ended.stderr.contains(" records in, "), "{}", ended.stderr);
}
