//! Results are there while the input still comes.

use crate::child::{EXPECTED, Place};

#[test]
fn rows_are_there_before_the_input_has_ended() {
    let place = Place::new();
    let mut running = place.start(&["--publish_interval", "5ms"]);
    running.wait_for("a first message", || place.rows("conversations") > 0);
    let seen = place.base_rows();
    assert!(
        seen < 100,
        "{seen} lines were published before a row was seen"
    );

    running.wait_for("300 rows of the final table", || {
        place.rows("customer_courier_conversations") >= 300
    });
    // Asked later than the rows above were seen: it can only be more than it was then.
    let published = place.base_rows();
    assert!(
        published < 1801,
        "everything was published before 300 rows were seen"
    );
    assert!(running.is_running());

    let ended = running.end();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(place.csv(), EXPECTED);
    // Nobody sees a bar that is not drawn on a terminal; a line now and then says how far it is.
    assert!(ended.stderr.contains(" records in, "), "{}", ended.stderr);
}
