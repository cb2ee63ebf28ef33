//! How elements are shown as comma-separated values.

use std::cell::RefCell;
use std::io::{self, Write};
use std::rc::Rc;

use csv::{ReaderBuilder, Writer, WriterBuilder};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::field_names::field_names;
use super::format::Format;
use crate::dead_letter::Failure;

/// Shows records, by their serde, as comma-separated values (RFC 4180, with `\n`); all of the same number of fields.
pub struct Csv {
    writer: Writer<Shared>,
    /// What the writer has written.
    shown: Shared,
    /// The number of fields of every record, once there was one.
    fields: usize,
}

/// The writer keeps what it writes into; this is the other handle.
#[derive(Clone, Default)]
struct Shared(Rc<RefCell<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Default for Csv {
    fn default() -> Self {
        let shown = Shared::default();
        Csv {
            writer: WriterBuilder::new()
                .has_headers(false)
                .from_writer(shown.clone()),
            shown,
            fields: 0,
        }
    }
}

impl Csv {
    /// Returns one that has written a record with so many fields.
    fn with_fields(fields: usize) -> Result<Self, Failure> {
        let mut csv = Csv {
            fields,
            ..Csv::default()
        };
        if fields > 0 {
            csv.writer.write_record(vec![""; fields])?;
            csv.writer.flush()?;
            csv.shown.0.borrow_mut().clear();
        }
        Ok(csv)
    }
}

impl<T: Serialize + DeserializeOwned> Format<T> for Csv {
    fn encode(&mut self, record: &T, out: &mut Vec<u8>) -> Result<(), Failure> {
        if let Err(error) = self.writer.serialize(record) {
            // The writer may stand within the record.
            *self = Csv::with_fields(self.fields)?;
            return Err(error.into());
        }
        self.writer.flush()?;
        let mut shown = self.shown.0.borrow_mut();
        if self.fields == 0 {
            self.fields = count_fields(&shown)?;
        }
        out.append(&mut shown);
        Ok(())
    }

    fn header(&mut self, first: &T) -> Result<Vec<u8>, Failure> {
        let [with, without] = [true, false].map(|has_header| {
            let mut writer = WriterBuilder::new()
                .has_headers(has_header)
                .from_writer(Vec::new());
            writer.serialize(first)?;
            Ok::<_, Failure>(writer.into_inner()?)
        });
        let (mut header, record) = (with?, without?);
        header.truncate(header.len() - record.len());
        Ok(header)
    }

    fn bare_header(&self) -> Vec<u8> {
        let names = field_names::<T>();
        if names.is_empty() {
            return Vec::new();
        }
        let mut writer = WriterBuilder::new().from_writer(Vec::new());
        let written = writer.write_record(names);
        let header = written.ok().and_then(|()| writer.into_inner().ok());
        header.unwrap_or_default()
    }

    fn fields(&self) -> usize {
        self.fields
    }

    fn resume(&mut self, fields: usize) -> Result<(), Failure> {
        *self = Csv::with_fields(fields)?;
        Ok(())
    }
}

fn count_fields(record: &[u8]) -> Result<usize, Failure> {
    let mut reader = ReaderBuilder::new().has_headers(false).from_reader(record);
    Ok(reader.byte_headers()?.len())
}
