//! Orders with two cities, and with none.

use crate::child::Place;
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
