//! How a sink writes by load jobs: rows are kept in a file until their job.

use std::collections::BTreeMap;
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use pipeline_core::Result;
use pipeline_core::prelude::*;

use super::config::Config;
use super::final_error;
use super::ready::locked;
use super::writer::Outcome;
use crate::bigquery::load::LoadJob;
use crate::bigquery::row::Row;
use crate::bigquery::schema::TableSchema;
use crate::bigquery::table_options::WriteDisposition;

/// The rows of a run without snapshots, by table.
#[derive(Default)]
pub(super) struct Loads(Mutex<BTreeMap<String, Spool>>);

/// Rows in a file of the system's folder for such files, gone when it is dropped.
struct Spool {
    path: PathBuf,
    file: BufWriter<File>,
}

impl Spool {
    fn new() -> Result<Spool> {
        let name = format!(
            "pipeline-load-{}-{:016x}.json",
            std::process::id(),
            random()
        );
        let path = std::env::temp_dir().join(name);
        let file = File::create_new(&path);
        let file = file.map_err(|error| Error::io(format!("making {}", path.display()), error))?;
        Ok(Spool {
            path,
            file: BufWriter::new(file),
        })
    }

    fn add(&mut self, rows: &[Row], schema: &TableSchema) -> Result<()> {
        let path = &self.path;
        let wrong = |error| Error::io(format!("writing {}", path.display()), error);
        for row in rows {
            writeln!(self.file, "{}", row.to_object(schema)).map_err(wrong)?;
        }
        Ok(())
    }

    fn flushed(&mut self) -> Result<&Path> {
        let path = &self.path;
        let flushed = self.file.flush();
        flushed.map_err(|error| Error::io(format!("writing {}", path.display()), error))?;
        Ok(&self.path)
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Loads {
    pub fn keep<T>(&self, config: &Config<T>, table: &str, rows: &[Row]) -> Result<Outcome> {
        let mut spools = locked(&self.0);
        if !spools.contains_key(table) {
            spools.insert(table.to_owned(), Spool::new()?);
        }
        if let Some(spool) = spools.get_mut(table) {
            spool.add(rows, &config.schema)?;
        }
        Ok(Outcome::default())
    }

    /// Drops all rows.
    pub fn clear(&self) {
        locked(&self.0).clear();
    }

    /// Loads the rows, one table after the other.
    pub async fn load<T>(&self, config: &Config<T>) -> Result<()> {
        let spools = std::mem::take(&mut *locked(&self.0));
        for (table, mut spool) in spools {
            let job_id = job_id(&config.owner, random(), 0, &table);
            let write = config.options.write;
            run(config, &table, job_id, write, &mut spool).await?;
        }
        Ok(())
    }
}

/// Loads the rows of an epoch; a job that is repeated does nothing.
pub(super) async fn load_epoch<T>(
    config: &Config<T>,
    table: &str,
    life: u64,
    epoch: u64,
    rows: &[Row],
) -> Result<()> {
    let mut spool = Spool::new()?;
    spool.add(rows, &config.schema)?;
    let job_id = job_id(&config.owner, life, epoch, table);
    run(config, table, job_id, WriteDisposition::Append, &mut spool).await
}

async fn run<T>(
    config: &Config<T>,
    table: &str,
    job_id: String,
    write: WriteDisposition,
    spool: &mut Spool,
) -> Result<()> {
    let Some(jobs) = config.service.load_jobs() else {
        return Err(Error::connector("this service has no load jobs"));
    };
    let job = LoadJob {
        table: table.to_owned(),
        job_id,
        schema: config.schema.clone(),
        write,
    };
    let loaded = jobs.load(&job, spool.flushed()?).await;
    loaded.map(|_| ()).map_err(final_error)
}

/// Names a job: letters, digits, `_` and `-`, at most 1,024.
fn job_id(owner: &str, life: u64, epoch: u64, table: &str) -> String {
    let plain = |text: &str| -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
        text.chars().take(300).map(plain).collect()
    };
    // What is not plain must not make two names one.
    let sum = text_sum(owner) ^ text_sum(table).rotate_left(1);
    let (owner, table) = (plain(owner), plain(table));
    format!("pipeline-{owner}-{table}-{life:016x}-{epoch}-{sum:016x}")
}

/// FNV-1a, which is the same in every process.
fn text_sum(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |sum, byte| {
        (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}

/// Returns a number that no other run has.
pub(super) fn random() -> u64 {
    RandomState::new().hash_one(std::process::id())
}
