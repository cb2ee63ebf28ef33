//! Holds the parser to its table, a test a row.

use super::*;
use crate::courier_chat::Sender;

const MESSAGE: &str = r#"{"senderAppType": "Courier Android", "courierId": 17935441, "fromId": 17935441, "toId": 31685802, "chatStartedByMessage": true, "orderId": 82414506, "orderStage": "RETURNED", "customerId": 31685802, "messageSentTime": "2024-02-01T10:00:56Z"}"#;
const ORDER: &str = r#"{"orderId": 82414506, "cityCode": "IST"}"#;

/// Gives [`MESSAGE`] with the value of one field replaced.
fn message_with(field: &str, value: &str) -> String {
    with(MESSAGE, field, value)
}

fn with(record: &str, field: &str, value: &str) -> String {
    let start = record.find(&format!("\"{field}\": ")).unwrap() + field.len() + 4;
    let end = start + record[start..].find([',', '}']).unwrap();
    format!("{}{value}{}", &record[..start], &record[end..])
}

/// Gives a record without one field.
fn without(record: &str, field: &str) -> String {
    let renamed = record.replace(&format!("\"{field}\""), "\"other\"");
    assert_ne!(renamed, record);
    renamed
}

fn message(record: &str) -> ChatMessage {
    match parse(record.as_bytes()) {
        Ok(ChatEvent::Message(message)) => message,
        other => panic!("{record}: {other:?}"),
    }
}

fn order(record: &str) -> OrderEvent {
    match parse(record.as_bytes()) {
        Ok(ChatEvent::Order(order)) => order,
        other => panic!("{record}: {other:?}"),
    }
}

#[track_caller]
fn refused(record: impl AsRef<[u8]>, says: &str) {
    let record = record.as_ref();
    match parse(record) {
        Ok(event) => panic!("{}: {event:?}", String::from_utf8_lossy(record)),
        Err(error) => assert_eq!(error.to_string(), says),
    }
}

const ID: &str = "an integer from 0 to 9223372036854775807";

#[test]
fn reads_a_message() {
    assert_eq!(
        message(MESSAGE),
        ChatMessage {
            sender_app_type: "Courier Android".into(),
            courier_id: 17_935_441,
            from_id: 17_935_441,
            to_id: 31_685_802,
            chat_started_by_message: true,
            order_id: 82_414_506,
            order_stage: "RETURNED".into(),
            customer_id: 31_685_802,
            message_sent_time: EventTime::from_micros(1_706_781_656_000_000).unwrap(),
        }
    );
}

#[test]
fn reads_an_order_event_and_ignores_message_fields_in_it() {
    let expected = OrderEvent {
        order_id: 82_414_506,
        city_code: "IST".into(),
    };
    assert_eq!(order(ORDER), expected);
    assert_eq!(
        order(r#"{"courierId": null, "fromId": [], "cityCode": "IST", "orderId": 82414506}"#),
        expected
    );
}

#[test]
fn refuses_both_kinds_and_neither() {
    let both = "has both messageSentTime and cityCode: neither a message nor an order event";
    refused(
        MESSAGE.replace("\"courierId\"", "\"cityCode\": \"IST\", \"courierId\""),
        both,
    );
    refused(
        r#"{"orderId": 1, "cityCode": null, "messageSentTime": null}"#,
        both,
    );
    let neither = "has neither messageSentTime nor cityCode: neither a message nor an order event";
    refused("{}", neither);
    refused(without(MESSAGE, "messageSentTime"), neither);
    refused(without(ORDER, "cityCode"), neither);
}

#[test]
fn ignores_extra_fields() {
    let extra = r#"{"x": {"orderId": [1e999, {"y": null}]}, "x": "\ud800", "": 1, "orderid": 2, "#;
    assert_eq!(message(&MESSAGE.replacen('{', extra, 1)), message(MESSAGE));
    assert_eq!(order(&ORDER.replacen('{', extra, 1)), order(ORDER));
}

#[test]
fn refuses_missing_fields() {
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
        refused(without(MESSAGE, field), &format!("{field}: missing"));
    }
    refused(without(ORDER, "orderId"), "orderId: missing");
}

#[test]
fn refuses_a_known_field_given_twice() {
    for (record, field) in [
        (
            r#"{"orderId": 1, "orderId": 1, "cityCode": "IST"}"#,
            "orderId",
        ),
        (
            r#"{"orderId": 1, "cityCode": "IST", "city\u0043ode": "IST"}"#,
            "cityCode",
        ),
        (
            r#"{"orderId": 1, "cityCode": "IST", "toId": 1, "toId": 2}"#,
            "toId",
        ),
        (
            r#"{"orderId": null, "orderId": 1, "cityCode": "IST"}"#,
            "orderId",
        ),
    ] {
        refused(record, &format!("{field}: given twice"));
    }
}

#[test]
fn takes_ids_from_zero_to_the_bound_only() {
    assert_eq!(message(&message_with("orderId", "0")).order_id, 0);
    assert_eq!(
        message(&message_with("orderId", "9223372036854775807")).order_id,
        i64::MAX
    );
    for field in ["orderId", "courierId", "customerId", "fromId", "toId"] {
        for (value, found) in [
            ("\"82414506\"", "the text \"82414506\""),
            ("82414506.0", "the number 82414506.0"),
            ("1e3", "the number 1000.0"),
            ("-1", "the number -1"),
            ("-0", "the number -0.0"),
            ("9223372036854775808", "the number 9223372036854775808"),
            ("18446744073709551616", "the number 1.8446744073709552e19"),
            ("null", "null"),
            ("true", "true"),
            ("[]", "an array"),
            ("{}", "an object"),
        ] {
            refused(
                message_with(field, value),
                &format!("{field}: expected {ID}, found {found}"),
            );
        }
    }
    refused(
        with(ORDER, "orderId", "-5"),
        &format!("orderId: expected {ID}, found the number -5"),
    );
}

#[test]
fn takes_true_and_false_only() {
    assert!(!message(&message_with("chatStartedByMessage", "false")).chat_started_by_message);
    for (value, found) in [
        ("\"true\"", "the text \"true\""),
        ("1", "the number 1"),
        ("null", "null"),
    ] {
        let says = format!("chatStartedByMessage: expected true or false, found {found}");
        refused(message_with("chatStartedByMessage", value), &says);
    }
}

#[test]
fn takes_any_sender_and_stage_that_is_text() {
    for (app, sender) in [
        ("Courier", Sender::Courier),
        ("CourierX", Sender::Courier),
        ("Customer iOS", Sender::Customer),
        ("courier Android", Sender::Unknown),
        ("My Courier", Sender::Unknown),
        ("", Sender::Unknown),
    ] {
        assert_eq!(
            message(&message_with("senderAppType", &format!("\"{app}\""))).sender(),
            sender,
            "{app}"
        );
    }
    assert_eq!(message(&message_with("orderStage", "\"\"")).order_stage, "");
    for field in ["senderAppType", "orderStage"] {
        refused(
            message_with(field, "null"),
            &format!("{field}: expected text, found null"),
        );
        refused(
            message_with(field, "7"),
            &format!("{field}: expected text, found the number 7"),
        );
    }
}

#[test]
fn refuses_a_blank_city() {
    for (value, found) in [
        ("\"\"", "the text \"\""),
        ("\" \\t\"", "the text \" \\t\""),
        ("null", "null"),
        ("5", "the number 5"),
    ] {
        let says = format!("cityCode: expected the code of a city, not blank, found {found}");
        refused(with(ORDER, "cityCode", value), &says);
    }
    assert_eq!(order(&with(ORDER, "cityCode", "\" X\"")).city_code, " X");
}

#[test]
fn normalises_times_and_keeps_microseconds() {
    let time = |text: &str| {
        message(&message_with("messageSentTime", &format!("\"{text}\""))).message_sent_time
    };
    assert_eq!(
        time("2024-02-01T10:00:56.1234567Z").micros(),
        1_706_781_656_123_456
    );
    assert_eq!(
        time("2024-02-01T10:00:56.1234567Z").millis(),
        1_706_781_656_123
    );
    assert_eq!(
        time("2024-02-01T12:00:56+02:00").to_string(),
        "2024-02-01T10:00:56Z"
    );
}

#[test]
fn refuses_times_that_are_none() {
    for (text, reason) in [
        (
            "2024-02-30T10:00:56Z",
            "not an RFC 3339 time (input is out of range)",
        ),
        (
            "2024-02-01T24:00:00Z",
            "not an RFC 3339 time (input is out of range)",
        ),
        (
            "2024-02-01T10:00:56",
            "not an RFC 3339 time (premature end of input)",
        ),
        (
            "2024/02/01T10:00:56Z",
            "not an RFC 3339 time (input contains invalid characters)",
        ),
        (
            "2016-12-31T23:59:60Z",
            "a leap second (second 60 has no place on the UTC time line)",
        ),
        (
            "0000-01-01T00:00:00Z",
            "outside 0001-01-01T00:00:00Z to 9999-12-31T23:59:59.999999Z",
        ),
    ] {
        let says = format!(
            "messageSentTime: expected an RFC 3339 time such as 2024-02-01T10:00:56Z, found the text {text:?}: {reason}"
        );
        refused(message_with("messageSentTime", &format!("{text:?}")), &says);
    }
    for (value, found) in [("null", "null"), ("1706781656", "the number 1706781656")] {
        let says = format!("messageSentTime: expected RFC 3339 text, found {found}");
        refused(message_with("messageSentTime", value), &says);
    }
}

#[test]
fn reads_escapes_and_refuses_half_a_pair() {
    assert_eq!(
        order(r#"{"order\u0049d": 82414506, "cityCode": "\u0049ST"}"#),
        order(ORDER)
    );
    assert_eq!(
        order(r#"{"orderId": 1, "cityCode": "\ud83d\ude00"}"#).city_code,
        "😀"
    );
    let error = parse(br#"{"orderId": 1, "cityCode": "\ud83d"}"#).unwrap_err();
    assert!(
        matches!(
            error.kind(),
            ParseErrorKind::Json {
                field: Some("cityCode"),
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn refuses_deep_nesting_without_recursion() {
    let nested = |depth: usize, open: &str, close: &str| {
        format!(
            r#"{{"orderId": 1, "cityCode": "IST", "x": {}1{}}}"#,
            open.repeat(depth),
            close.repeat(depth)
        )
    };
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        assert_eq!(order(&nested(63, open, close)).order_id, 1);
        // The same depth with more brackets beside it.
        let beside = nested(63, open, close).replacen('{', "{\"y\": [[]], ", 1);
        assert_eq!(order(&beside).order_id, 1);
        for depth in [64, 3_000_000] {
            refused(
                nested(depth, open, close),
                "arrays and objects are nested deeper than 64",
            );
        }
    }
    // The depth is that of the JSON: brackets in texts and brackets side by side are not nested.
    let text = format!(
        r#"{{"orderId": 1, "cityCode": "IST", "x": "\"{}\\", "y": [{}0]}}"#,
        "[".repeat(99),
        "[],".repeat(99)
    );
    assert_eq!(order(&text).order_id, 1);
    // A text that ends in an escaped backslash has ended.
    refused(
        nested(70, "[", "]").replacen('{', r#"{"y": "\\", "#, 1),
        "arrays and objects are nested deeper than 64",
    );
    refused(
        "[".repeat(1_000_000),
        "arrays and objects are nested deeper than 64",
    );
    // In a known field too.
    refused(
        with(ORDER, "orderId", &"[".repeat(100)),
        "arrays and objects are nested deeper than 64",
    );
}

#[test]
fn refuses_what_is_not_one_object() {
    for record in [
        "[]",
        "null",
        "1",
        "\"text\"",
        "{",
        "{\"orderId\" 1}",
        "{\"orderId\": 1,}",
        "{'orderId': 1}",
        "{\"orderId\": 01}",
        "{\"orderId\": NaN}",
        "{\"x\": \"\u{1}\"}",
        &format!("{ORDER}{ORDER}"),
        &format!("{ORDER} x"),
        &format!("{ORDER},"),
        &format!("\u{FEFF}{ORDER}"),
        &ORDER[..ORDER.len() - 1],
    ] {
        let error = parse(record.as_bytes()).unwrap_err();
        assert!(
            matches!(error.kind(), ParseErrorKind::Json { .. }),
            "{record}: {error}"
        );
    }
    let says = "not one JSON object: trailing characters at line 1 column 42";
    refused(format!("{ORDER} x"), says);
    let says = "orderId: not one JSON object: invalid number at line 1 column 14";
    refused("{\"orderId\": 01}", says);
}

#[test]
fn allows_white_space_around() {
    assert_eq!(order(&format!(" \t{ORDER}\r\n")), order(ORDER));
}

#[test]
fn refuses_an_empty_record() {
    for record in ["", " ", "\t\r\n"] {
        refused(record, "the record is empty");
    }
}

#[test]
fn refuses_what_is_not_utf_8_wherever_it_is() {
    let mut record = ORDER.as_bytes().to_vec();
    record[36] = 0xFF;
    refused(
        &record,
        "the record is not UTF-8: byte 36 (from 0) begins no character",
    );
    refused(
        b"\xFF\xFE",
        "the record is not UTF-8: byte 0 (from 0) begins no character",
    );
    refused(
        b"{\"orderId\": 1, \"cityCode\": \"IST\", \"x\": \"\xC3\"}",
        "the record is not UTF-8: byte 40 (from 0) begins no character",
    );
}

#[test]
fn quotes_long_texts_in_part() {
    let long = format!("\"{}\"", "é".repeat(1_000));
    let quoted = "é".repeat(64);
    let says = format!("orderId: expected {ID}, found the text \"{quoted}\" and 1872 bytes more");
    refused(with(ORDER, "orderId", &long), &says);
}
