//! Orders with two cities, with none, and with one that is forgotten.

use std::io::Write;
use std::thread;
use std::time::Duration;

use crate::child::{Place, fed};
use crate::dirty::{HEAD, message, order};

#[test]
fn the_smaller_id_wins_and_the_other_city_is_a_dead_letter() {
    let loser = r#"{"cityCode":  "PAR", "note": "späte Stadt", "orderId": 1}"#;
    let lines = [
        message(1, "Courier", "10:00:00"),
        order(1, "IST"),
        loser.to_owned(),
        // The same city again is no conflict.
        order(1, "IST"),
        message(2, "Customer", "10:00:05"),
        order(2, "LON"),
    ];
    for flags in [&[][..], &["--streaming", "false"]] {
        let place = Place::new();
        let input = place.file("in.json", lines.join("\n"));
        let ended = place.finish(&[flags, &["--input", &input]].concat());
        let expected = format!(
            "{HEAD}\n\
             1,IST,2024-02-01T10:00:00Z,,1,0,Courier,2024-02-01T10:00:00Z,,2024-02-01T10:00:00Z,DELIVERED\n\
             2,LON,,2024-02-01T10:00:05Z,0,1,Customer,2024-02-01T10:00:05Z,,2024-02-01T10:00:05Z,DELIVERED\n"
        );
        assert_eq!(place.csv(), expected);
        ended.assert_agrees(2);
        assert_eq!(ended.count("dead letters"), 1);
        let letters = place.letters();
        assert_eq!(letters.len(), 1);
        assert_eq!(letters[0]["original"], loser);
        assert_eq!(letters[0]["transform"], "JoinCity/RefuseSecondCity");
        let reason = letters[0]["reason"].as_str().unwrap();
        assert!(
            reason.starts_with("order 1 has two cities: PAR of record 000000000003-"),
            "{reason}"
        );
        assert!(
            reason.contains("gives way to IST of record 000000000002-"),
            "{reason}"
        );
    }
}

#[test]
fn what_has_no_partner_is_counted_and_shown_nowhere() {
    let lines = [
        message(1, "Courier", "10:00:00"),
        order(1, "IST"),
        // Two messages of one order are one that lacks its city.
        message(2, "Courier", "10:00:01"),
        message(2, "Customer", "10:00:02"),
        order(3, "LON"),
    ];
    for flags in [&[][..], &["--streaming", "false"]] {
        let place = Place::new();
        let input = place.file("in.json", lines.join("\n"));
        let ended = place.finish(&[flags, &["--input", &input]].concat());
        assert_eq!(ended.count("orders without a partner"), 2);
        assert_eq!(ended.count("conversations in the final table"), 1);
        assert_eq!(ended.count("dead letters"), 0);
        ended.assert_agrees(1);
        assert_eq!(place.base_rows(), 5);
    }
}

#[test]
fn an_order_that_was_silent_for_24_hours_begins_anew() {
    let on = |day: &str, message: String| message.replace("2024-02-01", &format!("2024-02-{day}"));
    let place = Place::new();
    let (mut running, mut stdin) = fed(&place, &[]);
    let lines = [
        message(1, "Courier", "10:00:00"),
        order(1, "IST"),
        on("03", message(2, "Customer", "09:00:00")),
        order(2, "LON"),
    ];
    writeln!(stdin, "{}", lines.join("\n")).unwrap();
    // The first visit ends as the watermark comes to 3 February, and so does the patience with its order.
    running.wait_for("a row", || {
        place.rows("customer_courier_conversations") == 1
    });
    thread::sleep(Duration::from_millis(500));
    let again = on("03", message(1, "Customer", "09:30:00"));
    writeln!(stdin, "{again}").unwrap();
    drop(stdin);
    let ended = running.end();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);

    let expected = format!(
        "{HEAD}\n\
         1,IST,2024-02-01T10:00:00Z,,1,0,Courier,2024-02-01T10:00:00Z,,2024-02-01T10:00:00Z,DELIVERED\n\
         2,LON,,2024-02-03T09:00:00Z,0,1,Customer,2024-02-03T09:00:00Z,,2024-02-03T09:00:00Z,DELIVERED\n"
    );
    assert_eq!(place.csv(), expected);
    assert_eq!(ended.count("orders without a partner"), 1);
    let reasons = "differs in 2 rows:\n  - an order that is silent for more than 24 h begins anew in the final \
        table; such silences: 1\n\n";
    assert!(ended.stdout.contains(reasons), "{}", ended.stdout);

    // At once, no order is silent; nor is one that the end of the input lets go.
    let once = format!("{}\n{again}\n", lines.join("\n"));
    let place = Place::new();
    let ended = place.finish(&["--input", &place.file("in.json", once), "--streaming=false"]);
    ended.assert_agrees(2);
    assert!(!ended.stdout.contains("silen"), "{}", ended.stdout);
}
