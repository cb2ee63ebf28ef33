//! Dead letters as newline-delimited JSON.

use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{DateTime, Datelike, SecondsFormat};
use serde::Serialize;

use super::BadRecord;
use crate::time::Timestamp;

/// A line, in the order of its fields.
#[derive(Serialize)]
struct Line<'a> {
    reason: &'a str,
    errors: &'a [String],
    transform: &'a str,
    event_time: Option<String>,
    ingestion_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    original: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    original_base64: Option<String>,
}

/// Appends a record, on a line of its own.
pub(crate) fn write_ndjson(record: &BadRecord, out: &mut Vec<u8>) -> serde_json::Result<()> {
    let text = std::str::from_utf8(&record.original).ok();
    let line = Line {
        reason: record.reason(),
        errors: &record.errors,
        transform: &record.transform,
        event_time: rfc_3339(record.event_time),
        ingestion_time: rfc_3339(record.ingestion_time),
        original: text,
        original_base64: text.is_none().then(|| STANDARD.encode(&record.original)),
    };
    serde_json::to_writer(&mut *out, &line)?;
    out.push(b'\n');
    Ok(())
}

/// Returns a time as RFC 3339 has it: its years have four digits, so `MIN`, the end of the global
/// window and `MAX` are no times.
fn rfc_3339(timestamp: Timestamp) -> Option<String> {
    let time = DateTime::from_timestamp_millis(timestamp.millis())?;
    let has_year = (0..=9999).contains(&time.year());
    has_year.then(|| time.to_rfc3339_opts(SecondsFormat::AutoSi, true))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn line(original: &'static [u8], event_time: Timestamp) -> String {
        let record = BadRecord {
            original: Bytes::from_static(original),
            errors: vec!["no \"id\"".into(), "cause".into()],
            transform: "Read/Parse".into(),
            event_time,
            ingestion_time: Timestamp::from_millis(1_706_781_656_120),
        };
        let mut out = Vec::new();
        write_ndjson(&record, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_record_is_one_line() {
        let expected = r#"{"reason":"no \"id\"","errors":["no \"id\"","cause"],"transform":"Read/Parse","event_time":"1970-01-01T00:00:01Z","ingestion_time":"2024-02-01T10:00:56.120Z","original":"a\r\nb ö"}"#;
        let got = line("a\r\nb ö".as_bytes(), Timestamp::from_millis(1_000));
        assert_eq!(got, format!("{expected}\n"));
    }

    #[test]
    fn bytes_that_are_no_text_are_in_base64() {
        let got = line(b"\xff\x00a", Timestamp::from_millis(0));
        assert!(got.ends_with("\"original_base64\":\"/wBh\"}\n"), "{got}");
        assert!(!got.contains("\"original\""), "{got}");
        assert!(line(b"", Timestamp::MIN).contains("\"original\":\"\""));
    }

    #[test]
    fn what_no_calendar_has_is_null() {
        let ends = [
            Timestamp::MIN,
            Timestamp::END_OF_GLOBAL_WINDOW,
            Timestamp::MAX,
        ];
        for event_time in ends {
            assert!(line(b"", event_time).contains("\"event_time\":null,"));
        }
        let last = Timestamp::from_millis(253_402_300_799_999);
        assert!(line(b"", last).contains("\"9999-12-31T23:59:59.999Z\""));
        assert!(line(b"", last.plus_millis(1)).contains("\"event_time\":null,"));
    }
}
