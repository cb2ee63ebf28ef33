//! Dead letters as newline-delimited JSON.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use chrono::{DateTime, Datelike, SecondsFormat};
use serde::{Deserialize, Serialize};

use super::{BadRecord, Failure};
use crate::time::Timestamp;

/// A line, in the order of its fields.
#[derive(Serialize)]
struct Line<'a> {
    reason: &'a str,
    errors: &'a [String],
    transform: &'a str,
    event_time: Option<String>,
    ingestion_time: Option<String>,
    attempts: u32,
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
        attempts: record.attempts,
        original: text,
        original_base64: text.is_none().then(|| STANDARD.encode(&record.original)),
    };
    serde_json::to_writer(&mut *out, &line)?;
    out.push(b'\n');
    Ok(())
}

/// What a line must have to be read.
#[derive(Deserialize)]
struct ReadLine {
    errors: Vec<String>,
    transform: String,
    event_time: Option<String>,
    ingestion_time: Option<String>,
    #[serde(default = "once")]
    attempts: u32,
    original: Option<String>,
    original_base64: Option<String>,
}

fn once() -> u32 {
    1
}

/// Reads a line that [`write_ndjson`] wrote: the original bytes exactly. A time that no calendar has comes back as the
/// earliest one.
pub(crate) fn read_ndjson(line: &[u8]) -> Result<BadRecord, Failure> {
    let line: ReadLine = serde_json::from_slice(line)?;
    let original = match (line.original, line.original_base64) {
        (Some(text), None) => text.into_bytes().into(),
        (None, Some(base64)) => Bytes::from(STANDARD.decode(base64)?),
        _ => {
            return Err(Failure::new(
                "a dead letter must have either `original` or `original_base64`",
            ));
        }
    };
    let time = |text: Option<String>| match text {
        None => Ok::<_, Failure>(Timestamp::MIN),
        Some(text) => {
            let time = DateTime::parse_from_rfc3339(&text)?;
            Ok(Timestamp::from_millis(time.timestamp_millis()))
        }
    };
    Ok(BadRecord {
        original,
        errors: line.errors,
        transform: line.transform,
        event_time: time(line.event_time)?,
        ingestion_time: time(line.ingestion_time)?,
        attempts: line.attempts,
    })
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
    use super::*;

    fn line(original: &'static [u8], event_time: Timestamp) -> String {
        let record = BadRecord {
            original: Bytes::from_static(original),
            errors: vec!["no \"id\"".into(), "cause".into()],
            transform: "Read/Parse".into(),
            event_time,
            ingestion_time: Timestamp::from_millis(1_706_781_656_120),
            attempts: 2,
        };
        let mut out = Vec::new();
        write_ndjson(&record, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_record_is_one_line() {
        let expected = r#"{"reason":"no \"id\"","errors":["no \"id\"","cause"],"transform":"Read/Parse","event_time":"1970-01-01T00:00:01Z","ingestion_time":"2024-02-01T10:00:56.120Z","attempts":2,"original":"a\r\nb ö"}"#;
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

    #[test]
    fn what_was_written_is_read_to_the_byte() {
        let originals = [
            &b""[..],
            b"a\r\n\"b\" \xc3\xb6",
            b"\xff\x00a",
            b"{\"json\": 1}",
        ];
        let times = [0, -1, 1_706_781_656_120, 253_402_300_799_999];
        for original in originals {
            for millis in times {
                let text = line(original, Timestamp::from_millis(millis));
                let read = read_ndjson(text.trim_end().as_bytes()).unwrap();
                assert_eq!(read.original, original);
                assert_eq!(read.event_time.millis(), millis);
                assert_eq!(read.ingestion_time.millis(), 1_706_781_656_120);
                assert_eq!(read.errors, ["no \"id\"", "cause"]);
                assert_eq!((read.transform.as_str(), read.attempts), ("Read/Parse", 2));
            }
        }
        let without = line(b"x", Timestamp::MIN).replace("\"attempts\":2,", "");
        let read = read_ndjson(without.as_bytes()).unwrap();
        assert_eq!((read.attempts, read.event_time), (1, Timestamp::MIN));
        for wrong in ["{}", "1", "{\"errors\":[],\"transform\":\"\"}"] {
            assert!(read_ndjson(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
