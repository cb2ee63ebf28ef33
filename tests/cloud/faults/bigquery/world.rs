//! Tables, streams and jobs, with BigQuery's rules.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::Value as Json;
use tonic::{Code, Status};

/// Says why a row is refused.
type Refuse = Box<dyn Fn(&Json) -> Option<String> + Send>;

#[derive(Default)]
pub(super) struct World {
    pub tables: BTreeMap<String, Table>,
    pub streams: BTreeMap<String, Stream>,
    pub jobs: HashMap<String, Json>,
    /// Uploads by their id: the job and the bytes so far.
    pub uploads: HashMap<String, (Json, Vec<u8>)>,
    /// Results of queries by job: the columns and the rows.
    pub results: HashMap<String, (Json, Vec<Json>)>,
    /// The queries whose results were asked for.
    pub asked: HashSet<String>,
    pub refuse: Option<Refuse>,
    pub numbers: u64,
    /// The rows that were only counted, where they are.
    pub discarded: Option<usize>,
}

#[derive(Default)]
pub(super) struct Table {
    pub meta: Json,
    pub rows: Vec<Json>,
    pub insert_ids: HashSet<String>,
}

pub(super) struct Stream {
    pub table: String,
    pub kind: i32,
    pub rows: Vec<Json>,
    pub visible: usize,
    pub finalized: bool,
    pub committed: bool,
}

pub(super) const COMMITTED: i32 = 1;
pub(super) const PENDING: i32 = 2;
pub(super) const BUFFERED: i32 = 3;

/// Why rows were not appended.
pub(super) enum Refusal {
    Status(Status),
    Rows(Vec<(usize, String)>),
}

impl World {
    pub fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// Says what is wrong with a row.
    pub fn wrong(&self, table: &str, row: &Json) -> Option<String> {
        let fields = self.tables[table].meta["schema"]["fields"].as_array();
        let fields = fields.map(Vec::as_slice).unwrap_or_default();
        let object = row.as_object().expect("a row is an object");
        let unknown = object.keys().find(|key| {
            !fields.iter().any(|field| {
                let name = field["name"].as_str().unwrap_or_default();
                name.eq_ignore_ascii_case(key)
            })
        });
        if let Some(key) = unknown {
            return Some(format!("no such field: {key}."));
        }
        let missing = fields.iter().find(|field| {
            let value = object.get(field["name"].as_str().unwrap_or_default());
            field["mode"] == "REQUIRED" && value.is_none_or(Json::is_null)
        });
        if let Some(field) = missing {
            let name = field["name"].as_str().unwrap_or_default();
            return Some(format!("Missing required field: {name}."));
        }
        self.refuse.as_ref().and_then(|refuse| refuse(row))
    }

    /// Appends rows to a stream, or to the default stream of a table; returns the offset.
    pub fn append(
        &mut self,
        name: &str,
        offset: Option<i64>,
        columns: &[String],
        rows: Vec<Json>,
    ) -> Result<Option<i64>, Refusal> {
        let table = match name.strip_suffix("/streams/_default") {
            Some(table) => table_key(table),
            None => match self.streams.get(name) {
                Some(stream) => stream.table.clone(),
                None => {
                    return Err(status(
                        Code::NotFound,
                        format!("Requested entity was not found. Entity: {name}"),
                    ));
                }
            },
        };
        let Some(there) = self.tables.get(&table) else {
            return Err(status(
                Code::NotFound,
                format!("Table is deleted. Entity: {name}"),
            ));
        };
        let fields = there.meta["schema"]["fields"].as_array().cloned();
        let known: Vec<String> = fields
            .unwrap_or_default()
            .iter()
            .map(|field| {
                field["name"]
                    .as_str()
                    .unwrap_or_default()
                    .to_ascii_lowercase()
            })
            .collect();
        if let Some(extra) = columns
            .iter()
            .find(|c| !known.contains(&c.to_ascii_lowercase()))
        {
            let said = format!(
                "Input schema has more fields than BigQuery schema, extra fields: '{extra}' Entity: {name}"
            );
            return Err(status(Code::InvalidArgument, said));
        }
        if let Some(stream) = self.streams.get(name) {
            if stream.finalized {
                let said =
                    format!("Stream has been finalized and cannot be appended. Entity: {name}");
                return Err(status(Code::InvalidArgument, said));
            }
            let expected = stream.rows.len() as i64;
            match offset {
                Some(offset) if offset < expected => {
                    let said = format!(
                        "The offset is within stream, expected offset {expected}, received {offset}"
                    );
                    return Err(status(Code::AlreadyExists, said));
                }
                Some(offset) if offset > expected => {
                    let said = format!(
                        "The offset is beyond stream, expected offset {expected}, received {offset}"
                    );
                    return Err(status(Code::OutOfRange, said));
                }
                _ => {}
            }
        }
        let wrong: Vec<(usize, String)> = rows
            .iter()
            .enumerate()
            .filter_map(|(at, row)| Some((at, self.wrong(&table, row)?)))
            .collect();
        if !wrong.is_empty() {
            return Err(Refusal::Rows(wrong));
        }
        let there = self.tables.get_mut(&table).expect("it is there");
        let Some(stream) = self.streams.get_mut(name) else {
            there.rows.extend(rows);
            return Ok(None);
        };
        let offset = stream.rows.len();
        if stream.kind == COMMITTED {
            there.rows.extend(rows.iter().cloned());
            stream.visible += rows.len();
        }
        stream.rows.extend(rows);
        Ok(Some(offset as i64))
    }

    pub fn flush(&mut self, name: &str, offset: i64) -> Result<i64, Status> {
        let stream = self.streams.get_mut(name);
        let stream = stream.ok_or_else(|| {
            Status::not_found(format!("Requested entity was not found. Entity: {name}"))
        })?;
        if stream.kind != BUFFERED {
            return Err(Status::invalid_argument(
                "FlushRows is for BUFFERED streams",
            ));
        }
        let end = usize::try_from(offset + 1).map_err(|_| Status::invalid_argument("offset"))?;
        if end > stream.rows.len() {
            return Err(Status::out_of_range(format!(
                "Offset {offset} is beyond the end of the stream Entity: {name}"
            )));
        }
        if end <= stream.visible {
            return Err(Status::already_exists(format!(
                "Offset {offset} is already flushed Entity: {name}"
            )));
        }
        let rows = stream.rows[stream.visible..end].to_vec();
        stream.visible = end;
        let table = stream.table.clone();
        self.tables
            .get_mut(&table)
            .expect("its table")
            .rows
            .extend(rows);
        Ok(offset)
    }

    pub fn finalize(&mut self, name: &str) -> Result<i64, Status> {
        let stream = self.streams.get_mut(name);
        let stream = stream.ok_or_else(|| Status::not_found(name.to_owned()))?;
        if stream.committed {
            return Err(Status::invalid_argument("Stream is already committed"));
        }
        stream.finalized = true;
        Ok(stream.rows.len() as i64)
    }

    /// Commits a stream; an error is one of the stream's.
    pub fn commit(&mut self, name: &str) -> Result<(), (i32, String)> {
        let Some(stream) = self.streams.get_mut(name) else {
            return Err((2, format!("STREAM_NOT_FOUND {name}")));
        };
        if stream.committed {
            return Err((3, format!("Stream is already committed: {name}")));
        }
        if stream.kind != PENDING || !stream.finalized {
            return Err((5, format!("Stream is not finalized: {name}")));
        }
        stream.committed = true;
        let (table, rows) = (stream.table.clone(), stream.rows.clone());
        self.tables
            .get_mut(&table)
            .expect("its table")
            .rows
            .extend(rows);
        Ok(())
    }
}

fn status(code: Code, said: String) -> Refusal {
    Refusal::Status(Status::new(code, said))
}

/// Reads `projects/p/datasets/d/tables/t`.
pub(super) fn table_key(resource: &str) -> String {
    let parts: Vec<&str> = resource.split('/').collect();
    format!("{}.{}", parts[3], parts[5])
}
