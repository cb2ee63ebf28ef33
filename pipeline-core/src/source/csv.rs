//! `read_csv`: records of tables, and how lines become records.

use bytes::{Bytes, BytesMut};
use csv::ReaderBuilder;
use memchr::memchr_iter;

use super::Source;
use super::text::whole;
use crate::coder::Element;
use crate::dead_letter::{Failure, Outcome};
use crate::files::Line;
use crate::pipeline::Pipeline;

/// A source of records of CSV files: what [`read_csv`](Pipeline::read_csv) reads. Each [`Line`] holds the
/// header of its file, `\n`, and one record, as [`CsvRecords`] makes them.
pub trait CsvSource: Source<Item = Line> {}

impl Pipeline {
    /// Reads comma-separated values (RFC 4180): every record of the files is a `T`, by its serde and the names
    /// in the header, the first record of each file.
    ///
    /// A record that is none, or is too long, is a dead letter with the record and the reason. Blank lines
    /// between records are skipped. The name of a column that `T` does not have is no error.
    pub fn read_csv<T: Element>(&self, name: &str, source: impl CsvSource) -> Outcome<T> {
        self.scope(name, || {
            self.read("Read", source)
                .try_map("Parse", |line| parse(line))
        })
    }
}

fn parse<T: Element>(line: &Line) -> Result<T, Failure> {
    // The offset is that of the record; what stands before it is its file's header.
    let start = line.bytes.len() - record_length(line);
    let record = || line.bytes.slice(start..);
    let about = |failure: Failure| failure.with_original(record());
    whole(line).map_err(about)?;
    let mut reader = ReaderBuilder::new()
        .buffer_capacity(line.bytes.len().max(16))
        .from_reader(&line.bytes[..]);
    match reader.deserialize::<T>().next() {
        Some(Ok(parsed)) => Ok(parsed),
        Some(Err(error)) => Err(about(Failure::from(error))),
        None => Err(about(Failure::new("the record is empty"))),
    }
}

/// Returns the length of the record behind the header.
fn record_length(line: &Line) -> usize {
    let mut quotes = 0;
    for (at, byte) in line.bytes.iter().enumerate() {
        match byte {
            b'"' => quotes += 1,
            b'\n' if quotes % 2 == 0 => return line.bytes.len() - at - 1,
            _ => {}
        }
    }
    0
}

/// Puts the lines of one CSV file together to records: a line break within quotes is one of the record. The
/// lines must have their `\r` ([`LineOptions::strip_cr`](crate::files::LineOptions::strip_cr)).
///
/// ```
/// use pipeline_core::files::{LineOptions, LineReader};
/// use pipeline_core::source::CsvRecords;
///
/// let text = &b"name,text\n1,\"two\nlines\"\n"[..];
/// let mut reader = LineReader::new(text, LineOptions::default().strip_cr(false));
/// let mut lines = Vec::new();
/// while reader.next_batch(100, &mut lines)? > 0 {}
/// let mut records = CsvRecords::new(1000);
/// let mut out = Vec::new();
/// lines.into_iter().for_each(|line| records.push(line, &mut out));
/// assert_eq!(out[0].bytes, "name,text\n1,\"two\nlines\"");
/// assert_eq!((out.len(), out[0].offset), (1, 10));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct CsvRecords {
    max_record_bytes: usize,
    header: Option<Bytes>,
    /// The record whose quotes are open.
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    bytes: BytesMut,
    offset: u64,
    quotes: usize,
}

impl CsvRecords {
    /// Begins a file. A record of more bytes is cut: a quote that is never closed does not take the whole file.
    pub fn new(max_record_bytes: usize) -> Self {
        CsvRecords {
            max_record_bytes,
            header: None,
            open: None,
        }
    }

    /// Takes the next line; appends the record that it ends, if any.
    pub fn push(&mut self, line: Line, out: &mut Vec<Line>) {
        let quotes = memchr_iter(b'"', &line.bytes).count();
        let (record, quotes) = match self.open.take() {
            Some(mut open) => {
                open.bytes.extend_from_slice(b"\n");
                open.bytes.extend_from_slice(&line.bytes);
                open.quotes += quotes;
                let record = Line {
                    offset: open.offset,
                    cut: line.cut,
                    bytes: Bytes::new(),
                };
                let quotes = open.quotes;
                (
                    Line {
                        bytes: open.bytes.freeze(),
                        ..record
                    },
                    quotes,
                )
            }
            None => (line, quotes),
        };
        let is_open = quotes % 2 == 1 && !record.is_cut();
        if is_open && record.bytes.len() <= self.max_record_bytes {
            self.open = Some(Open {
                offset: record.offset,
                bytes: BytesMut::from(record.bytes),
                quotes,
            });
            return;
        }
        self.end(record, is_open, out);
    }

    /// Ends the file: what is open is its last record.
    pub fn finish(&mut self, out: &mut Vec<Line>) {
        if let Some(open) = self.open.take() {
            let record = Line {
                bytes: open.bytes.freeze(),
                offset: open.offset,
                cut: None,
            };
            self.end(record, false, out);
        }
    }

    fn end(&mut self, mut record: Line, too_long: bool, out: &mut Vec<Line>) {
        if !too_long && !record.is_cut() && record.bytes.ends_with(b"\r") {
            record.bytes.truncate(record.bytes.len() - 1);
        }
        let Some(header) = &self.header else {
            self.header = Some(record.bytes);
            return;
        };
        if record.bytes.trim_ascii().is_empty() {
            return;
        }
        if too_long && record.cut.is_none() {
            let full_length = record.bytes.len() as u64;
            record.cut = Some(Box::new(crate::files::Cut {
                full_length,
                source: None,
            }));
            record.bytes.truncate(self.max_record_bytes);
        }
        let mut bytes = BytesMut::with_capacity(header.len() + 1 + record.bytes.len());
        bytes.extend_from_slice(header);
        bytes.extend_from_slice(b"\n");
        bytes.extend_from_slice(&record.bytes);
        record.bytes = bytes.freeze();
        out.push(record);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::files::{LineOptions, LineReader};

    fn records(text: &str, limit: usize) -> Vec<(String, u64, bool)> {
        let options = LineOptions::default().strip_cr(false);
        let mut reader = LineReader::new(text.as_bytes(), options);
        let mut lines = Vec::new();
        while reader.next_batch(2, &mut lines).unwrap() > 0 {}
        let (mut records, mut out) = (CsvRecords::new(limit), Vec::new());
        for line in lines {
            records.push(line, &mut out);
        }
        records.finish(&mut out);
        let shown = |line: Line| {
            let text =
                String::from_utf8(line.bytes[line.bytes.len() - record_length(&line)..].to_vec());
            (text.unwrap(), line.offset, line.is_cut())
        };
        out.into_iter().map(shown).collect()
    }

    #[test]
    fn quotes_hold_lines_together() {
        let text = "a,\"b\nc\"\r\n1,2\r\n\r\n\"x\r\ny \"\"z\"\"\",3\nlast,\"open\nend";
        let expected = [
            ("1,2", 9, false),
            ("\"x\r\ny \"\"z\"\"\",3", 16, false),
            ("last,\"open\nend", 31, false),
        ];
        let expected = expected.map(|(text, offset, cut)| (text.to_owned(), offset, cut));
        assert_eq!(records(text, 1000), expected);
        assert!(records("only,a,header\n", 10).is_empty());
    }

    #[test]
    fn a_quote_that_stays_open_is_cut() {
        let text = format!("a\n\"{}\n2\n3\n", "x\n".repeat(20));
        let cut = records(&text, 10);
        assert_eq!((cut[0].0.len(), cut[0].2), (10, true));
        assert_eq!(cut.last().unwrap().0, "3");
    }
}
