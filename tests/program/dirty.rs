//! Every kind of bad record, between good conversations.

use std::collections::BTreeSet;

use crate::child::Place;

/// The head of the final table's file.
pub const HEAD: &str = "order_id,city_code,first_courier_message,first_customer_message,num_messages_courier,\
    num_messages_customer,first_message_by,conversation_started_at,first_responsetime_delay_seconds,\
    last_message_time,last_message_order_stage";

/// A good message of 1 February 2024.
pub fn message(order: i64, sender: &str, time: &str) -> String {
    format!(
        r#"{{"senderAppType": "{sender} Android", "courierId": 1, "fromId": 1, "toId": 2, "chatStartedByMessage": false, "orderId": {order}, "orderStage": "DELIVERED", "customerId": 2, "messageSentTime": "2024-02-01T{time}Z"}}"#
    )
}

/// A good order event.
pub fn order(order: i64, city: &str) -> String {
    format!(r#"{{"orderId": {order}, "cityCode": "{city}"}}"#)
}

/// Records that are accepted, odd as some are.
fn good() -> Vec<String> {
    vec![
        // Extra fields of any shape, and an unknown one twice.
        message(1, "Courier", "10:00:00").replacen(
            '{',
            r#"{"x": [{"orderId": "y"}, 1e999], "x": null, "#,
            1,
        ),
        r#"{"orderId": 1, "cityCode": "IST", "courierId": null, "senderAppType": 7}"#.to_owned(),
        message(1, "Customer", "10:00:07").replace("orderStage", r"order\u0053tage"),
        // An unknown sender, a fraction and an offset, an empty stage; a city that has to be quoted.
        message(2, "Robot", "12:00:02.5")
            .replace("2.5Z", "2.5+02:00")
            .replace("DELIVERED", ""),
        order(2, "LON, \\\"W\\\""),
        // The greatest id and the smallest; further digits than microseconds are cut off.
        message(i64::MAX, "Courier", "10:00:03.1234567"),
        order(i64::MAX, "BER"),
        message(0, "Customer", "10:00:04").replace(
            r#""chatStartedByMessage": false"#,
            r#""chatStartedByMessage": true"#,
        ),
        order(0, "ROM"),
        // As long as a record may be.
        padded(order(3, "SAN"), 10_000_000),
        message(3, "Courier", "10:00:05"),
        // As deep as a record may be.
        order(4, "CAI").replacen(
            '{',
            &format!(r#"{{"x": {}{}, "#, "[".repeat(63), "]".repeat(63)),
            1,
        ),
        message(4, "Courier", "10:00:06"),
    ]
}

/// The rows that they give, by hand.
const ROWS: &str = r#"
0,ROM,,2024-02-01T10:00:04Z,0,1,Customer,2024-02-01T10:00:04Z,,2024-02-01T10:00:04Z,DELIVERED
1,IST,2024-02-01T10:00:00Z,2024-02-01T10:00:07Z,1,1,Courier,2024-02-01T10:00:00Z,7,2024-02-01T10:00:07Z,DELIVERED
2,"LON, ""W""",,,0,0,Unknown,2024-02-01T10:00:02.500Z,,2024-02-01T10:00:02.500Z,
3,SAN,2024-02-01T10:00:05Z,,1,0,Courier,2024-02-01T10:00:05Z,,2024-02-01T10:00:05Z,DELIVERED
4,CAI,2024-02-01T10:00:06Z,,1,0,Courier,2024-02-01T10:00:06Z,,2024-02-01T10:00:06Z,DELIVERED
9223372036854775807,BER,2024-02-01T10:00:03.123456Z,,1,0,Courier,2024-02-01T10:00:03.123456Z,,2024-02-01T10:00:03.123456Z,DELIVERED
"#;

/// Lengthens a record to so many bytes by an extra field.
fn padded(record: String, length: usize) -> String {
    let field = r#"{"pad": "", "#;
    let pad = " ".repeat(length + 1 - record.len() - field.len());
    record.replacen('{', &field.replace(r#""""#, &format!("\"{pad}\"")), 1)
}

/// Bad records as text, with a part of the reason.
fn bad() -> Vec<(String, &'static str)> {
    let id = "expected an integer from 0 to 9223372036854775807";
    let time = "expected an RFC 3339 time";
    let m = || message(7, "Courier", "10:00:00");
    let mut bad = vec![
        (
            m().replacen('{', r#"{"cityCode": "IST", "#, 1),
            "has both messageSentTime and cityCode",
        ),
        (
            r#"{"orderId": 7, "cityCode": null, "messageSentTime": null}"#.to_owned(),
            "has both",
        ),
        (
            r#"{"orderId": 7}"#.to_owned(),
            "has neither messageSentTime nor cityCode",
        ),
        ("{}".to_owned(), "has neither"),
        (r#"{"cityCode": "IST"}"#.to_owned(), "orderId: missing"),
        (
            r#"{"orderId": 7, "orderId": 7, "cityCode": "IST"}"#.to_owned(),
            "orderId: given twice",
        ),
        (
            r#"{"orderId": 7, "cityCode": "IST", "toId": 1, "toId": 2}"#.to_owned(),
            "toId: given twice",
        ),
        (
            m().replace("false", "0"),
            "chatStartedByMessage: expected true or false",
        ),
        (
            m().replace("\"DELIVERED\"", "null"),
            "orderStage: expected text",
        ),
        (
            m().replace("\"Courier Android\"", "[]"),
            "senderAppType: expected text",
        ),
        (
            m().replace("\"2024-02-01T10:00:00Z\"", "1706781600"),
            "messageSentTime: expected RFC 3339 text",
        ),
        (order(7, ""), "cityCode: expected the code of a city"),
        (order(7, "  "), "cityCode: expected the code of a city"),
        (
            order(7, "IST").replace("\"IST\"", "null"),
            "cityCode: expected the code of a city",
        ),
        (order(7, "\\ud800"), "not one JSON object"),
        (order(7, "IST") + " {}", "not one JSON object"),
        (r#"["orderId", 7]"#.to_owned(), "not one JSON object"),
        (
            r#"{"orderId": 7, "cityCode": "IST""#.to_owned(),
            "not one JSON object",
        ),
        ("no event at all".to_owned(), "not one JSON object"),
        // A byte order mark in the middle of the input.
        (
            format!("\u{feff}{}", order(7, "IST")),
            "not one JSON object",
        ),
        (
            order(7, "IST").replacen(
                '{',
                &format!(r#"{{"x": {}{}, "#, "[".repeat(64), "]".repeat(64)),
                1,
            ),
            "nested deeper than 64",
        ),
        ("[".repeat(100_000), "nested deeper than 64"),
        (
            format!(r#"{}1{}"#, r#"{"x":"#.repeat(100_000), "}".repeat(100_000)),
            "nested deeper than 64",
        ),
        (m().replace("10:00:00Z", "10:00:00"), time),
        (m().replace("02-01T", "02-30T"), time),
        (m().replace("10:00:00", "24:00:00"), time),
        (m().replace("10:00:00", "23:59:60"), time),
        (
            m().replace("2024-02-01T10:00:00Z", "0001-01-01T00:00:00+01:00"),
            time,
        ),
        (m().replace("2024-02-01T10:00:00Z", ""), time),
    ];
    for field in [
        "senderAppType",
        "courierId",
        "fromId",
        "toId",
        "chatStartedByMessage",
        "orderId",
        "orderStage",
        "customerId",
    ] {
        bad.push((m().replace(field, "renamed"), "missing"));
    }
    for value in [
        "\"7\"",
        "7.0",
        "7e3",
        "-7",
        "9223372036854775808",
        "null",
        "true",
        "[7]",
    ] {
        bad.push((order(7, "IST").replace('7', value), id));
        bad.push((
            m().replace("\"courierId\": 1", &format!("\"courierId\": {value}")),
            id,
        ));
    }
    bad
}

#[test]
fn each_bad_record_is_one_dead_letter_and_good_ones_are_unharmed() {
    let bad = bad();
    let mut input = b"\xEF\xBB\xBF".to_vec();
    let mut good = good().into_iter();
    let mut line = |bytes: &[u8], end: &str| {
        input.extend_from_slice(bytes);
        input.extend_from_slice(end.as_bytes());
    };
    for (number, (record, _)) in bad.iter().enumerate() {
        // One carriage return belongs to the end of the line.
        line(
            record.as_bytes(),
            if number % 10 == 0 { "\r\n" } else { "\n" },
        );
        if number % 4 == 0
            && let Some(good) = good.next()
        {
            line(good.as_bytes(), if number % 8 == 0 { "\r\n" } else { "\n" });
        }
        if number % 20 == 0 {
            line(b" \t", "\r\n");
            line(b"", "\n");
        }
    }
    assert_eq!(good.next(), None);
    let not_utf8 = b"{\"orderId\": 1, \"cityCode\": \"\xFF\"}";
    line(not_utf8, "\n");
    // One byte more than a record may have. The last line ends without a line feed.
    let too_long = padded(order(8, "IST"), 10_000_001);
    line(too_long.as_bytes(), "");
    let carriage_returns = input.windows(2).filter(|pair| pair == b"\r\n").count() as u64;
    let letters = bad.len() + 2;

    let mut runs = Vec::new();
    for flags in [
        &[][..],
        &["--streaming", "false"],
        &["--direct_num_workers=3"],
    ] {
        let place = Place::new();
        let path = place.file("in.json", &input);
        let ended = place.finish(&[flags, &["--input", &path]].concat());
        assert_eq!(place.csv(), format!("{HEAD}{ROWS}"));
        ended.assert_agrees(6);
        for (name, number) in [
            ("records taken in", letters as u64 + 13),
            ("messages", 7),
            ("order events", 6),
            ("dead letters", letters as u64),
            ("orders without a partner", 0),
            ("dropped as late", 0),
            ("blank lines skipped", 2 * bad.len().div_ceil(20) as u64),
            ("carriage returns stripped", carriage_returns),
            ("byte order marks stripped", 1),
        ] {
            assert_eq!(ended.count(name), number, "{name}");
        }
        let mut found = place.letters();
        assert_eq!(found.len(), letters);
        for letter in &mut found {
            checked(letter);
        }
        for (record, reason) in &bad {
            assert_one(&found, record, reason);
        }
        assert_one(&found, &too_long[..1024], "the record has 10000001 bytes");
        let base64: Vec<_> = found
            .iter()
            .filter_map(|letter| letter.get("original_base64"))
            .collect();
        // By another program, from the bytes above.
        assert_eq!(base64, ["eyJvcmRlcklkIjogMSwgImNpdHlDb2RlIjogIv8ifQ=="]);
        runs.push((found, place.tables()));
    }
    assert!(
        runs[0] == runs[1] && runs[0] == runs[2],
        "streaming and batch differ"
    );
}

/// Looks at the fields that all letters have, and takes the times away: one is the wall's, the other, of a record
/// without a time, where the source's watermark stood.
#[track_caller]
fn checked(letter: &mut serde_json::Value) {
    let fields: BTreeSet<String> = letter.as_object().unwrap().keys().cloned().collect();
    let expected = |original| {
        [
            "reason",
            "errors",
            "transform",
            "event_time",
            "ingestion_time",
            "attempts",
            original,
        ]
    };
    let expected = |original| expected(original).map(str::to_owned).into_iter().collect();
    assert!(
        fields == expected("original") || fields == expected("original_base64"),
        "{fields:?}"
    );
    assert_eq!(letter["transform"], "Parse");
    assert_eq!(letter["errors"][0], letter["reason"]);
    assert_eq!(letter["attempts"], 1);
    let letter = letter.as_object_mut().unwrap();
    let refused = letter.remove("ingestion_time").unwrap();
    let refused: chrono::DateTime<chrono::Utc> = refused.as_str().unwrap().parse().unwrap();
    assert!(
        (chrono::Utc::now() - refused).num_minutes().abs() < 10,
        "{refused}"
    );
    let time = letter.remove("event_time").unwrap();
    if let Some(time) = time.as_str() {
        let time: chrono::DateTime<chrono::Utc> = time.parse().unwrap();
        assert_eq!(time.date_naive().to_string(), "2024-02-01");
    } else {
        assert!(time.is_null(), "{time}");
    }
}

/// Among the letters there is just one of these very bytes, and its reason is the right one.
#[track_caller]
fn assert_one(letters: &[serde_json::Value], original: &str, reason: &str) {
    let same: Vec<_> = letters
        .iter()
        .filter(|letter| letter["original"] == original)
        .collect();
    let shown: String = original.chars().take(200).collect();
    assert_eq!(same.len(), 1, "{shown}");
    let found = same[0]["reason"].as_str().unwrap();
    assert!(found.contains(reason), "{shown}: {found}");
}
