//! How a [`TextSink`] goes through lives: its parts keep their temporary names, and a snapshot says how long they were.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::TextSink;
use super::writer::{InEpochs, Part, TextWriter};
use crate::coder::{Element, decode, encode_to};
use crate::error::{Error, Result};
use crate::files::{AtomicFile, FilePosition, SavedFile};
use crate::sink::Recovery;

/// What is written in a run, shared by the sink and its writers.
pub(super) type Parts = Arc<Mutex<Written>>;

/// The parts of a run.
#[derive(Default)]
pub(super) struct Written {
    /// What writers have written to the end.
    pub(super) closed: Vec<Part>,
    /// The parts of the life before whose worker has not come, by its index.
    waiting: BTreeMap<usize, (Part, Saved)>,
    /// How parts are named, in a run with snapshots.
    names: Option<Names>,
    /// A life before had begun to publish; that was done to the end, and nothing may follow. The
    /// parts that were published, for later snapshots to name: a life behind this one must not take
    /// its empty parts for the output.
    published: Option<Vec<Saved>>,
    /// What others have left behind has been removed.
    is_tidy: bool,
}

/// All parts of a run that ends.
pub(super) struct Taken {
    pub(super) parts: Vec<Part>,
    /// What their names have in common, in a run with snapshots.
    pub(super) tag: Option<String>,
    /// They were published by a life before.
    pub(super) published: bool,
}

/// The tag of the names, and the next number behind it. A number is not given twice: the last snapshot of a run that
/// has ended may still name what had it.
struct Names {
    tag: String,
    next: usize,
    /// A snapshot that names the parts has been committed, and the tag bears the mark of it.
    marked: bool,
    /// Of a life before, the parts that its last snapshot names, until the others are removed: not before a writer is
    /// opened, since a run that is refused must leave all as it was.
    named: Option<Vec<String>>,
}

/// Where a part is, and how it goes on.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Saved {
    pub(super) tag: String,
    pub(super) name: String,
    pub(super) worker: usize,
    pub(super) position: FilePosition,
    #[serde(default)]
    pub(super) checksum: Option<u32>,
    /// What its records are shown as, and whether that is compressed; what earlier programs saved does not say.
    #[serde(default)]
    pub(super) format: Option<String>,
    pub(super) records_at: Option<FilePosition>,
    pub(super) fields: usize,
}

impl Written {
    /// Encodes what a worker has saved; the first one speaks for the parts without a worker as well.
    pub(super) fn encode(&self, saved: Saved) -> Result<Vec<u8>> {
        let first = saved.worker == 0;
        let mut all = match &self.published {
            Some(published) if first => published.clone(),
            Some(_) => Vec::new(),
            None => vec![saved],
        };
        if first {
            all.extend(self.waiting.values().map(|(_, saved)| saved.clone()));
        }
        let mut bytes = Vec::new();
        encode_to(&all, &mut bytes).map_err(Error::connector)?;
        Ok(bytes)
    }

    /// Removes what processes have left behind that were killed, once; warns of what a snapshot may need that is not the
    /// one of this run.
    pub(super) fn tidy(&mut self, path: &Path) -> Result<()> {
        if std::mem::replace(&mut self.is_tidy, true) {
            return Ok(());
        }
        let mut needed = AtomicFile::remove_left_behind(path)?;
        if let Some(names) = &self.names {
            let own = format!(".{}-", names.tag);
            needed.retain(|name| !name.contains(&own));
        }
        if !needed.is_empty() {
            eprintln!(
                "warning: beside {} is what another run has written there that has not ended: {}; end that run, or \
                 remove it if its snapshots are gone",
                path.display(),
                needed.join(", ")
            );
        }
        Ok(())
    }

    /// Removes what the life before had begun behind its last snapshot, once.
    fn remove_others(&mut self, path: &Path) -> Result<()> {
        if let Some(names) = &mut self.names
            && let Some(named) = names.named.take()
        {
            let named: Vec<&str> = named.iter().map(String::as_str).collect();
            AtomicFile::remove_tagged(path, &names.tag, &named)?;
        }
        Ok(())
    }
}

impl<T> TextSink<T> {
    /// Removes what killed processes have left behind, once a run.
    pub(super) fn tidy(&self) -> Result<()> {
        let path = self.path("");
        self.lock().tidy(&path)
    }

    fn lock(&self) -> MutexGuard<'_, Written> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands out all parts; nothing of the run is left.
    pub(super) fn take_parts(&self) -> Taken {
        let written = std::mem::take(&mut *self.lock());
        let waiting = written.waiting.into_values().map(|(part, _)| part);
        Taken {
            parts: written.closed.into_iter().chain(waiting).collect(),
            tag: written.names.map(|names| names.tag),
            published: written.published.is_some(),
        }
    }
}

impl<T: Element> TextSink<T> {
    /// Names what the files hold.
    fn format_name(&self) -> Result<String> {
        let gzip = self.compression.writes_gzip(&self.path(""))?;
        Ok(format!(
            "{}{}",
            self.shown_as,
            if gzip { ", gzip" } else { "" }
        ))
    }

    /// Opens the part of a worker, or goes on with it.
    pub(super) fn open_part(&self, worker: usize) -> Result<TextWriter<T>> {
        let (format, parts) = ((self.format)(), Arc::clone(&self.parts));
        let mut written = self.lock();
        let path = self.path("");
        written.remove_others(&path)?;
        written.tidy(&path)?;
        if let Some((part, saved)) = written.waiting.remove(&worker) {
            return TextWriter::resumed(format, self.format_name()?, part, saved, parts);
        }
        let names = match &mut written.names {
            Some(names) => names,
            none => none.insert(Names {
                tag: AtomicFile::new_tag(&path)?,
                next: 0,
                marked: false,
                named: None,
            }),
        };
        let tag = names.tag.clone();
        let file = AtomicFile::create_tagged(&path, self.compression, &tag, &mut names.next)?;
        let epochs = InEpochs {
            tag,
            format: self.format_name()?,
        };
        Ok(TextWriter::new(format, worker, file, parts, Some(epochs)))
    }

    /// Goes on with the parts where the snapshot was taken; publishes them if the run had ended.
    ///
    /// The files bear no epoch, so that none is known to be committed.
    pub(super) fn recover_parts(&self, last: Option<Recovery>) -> Result<u64> {
        *self.lock() = Written::default();
        let Some(last) = last else {
            return Ok(0);
        };
        let mut saved = Vec::new();
        for bytes in last.prepared.iter().filter(|bytes| !bytes.is_empty()) {
            let parts: Vec<Saved> = decode(&mut bytes.as_slice()).map_err(|error| {
                Error::connector(format!(
                    "what was prepared of {} cannot be read: {error}",
                    self.path("").display()
                ))
            })?;
            saved.extend(parts);
        }
        // A sink that the run before did not have.
        let Some(tag) = saved.first().map(|saved| saved.tag.clone()) else {
            return Ok(0);
        };
        saved.sort_by_key(|saved| saved.worker);
        let path = self.path("");
        let named: Vec<String> = saved.iter().map(|saved| saved.name.clone()).collect();
        let next = named.iter().filter_map(|name| number_of(name)).max();
        let names = Names {
            tag,
            next: next.map_or(0, |number| number + 1),
            marked: false,
            named: Some(named),
        };
        let is_there = |saved: &Saved| AtomicFile::is_there(&path, &saved.name);
        if last.drained && !saved.iter().all(is_there) {
            self.publish_again(saved.clone(), last.epoch)?;
            *self.lock() = Written {
                names: Some(names),
                published: Some(saved),
                ..Written::default()
            };
            return Ok(0);
        }
        let mut waiting = BTreeMap::new();
        for saved in saved {
            let part = self.resumed(&saved, last.epoch)?;
            waiting.insert(saved.worker, (part, saved));
        }
        *self.lock() = Written {
            closed: Vec::new(),
            waiting,
            names: Some(names),
            published: None,
            is_tidy: false,
        };
        self.mark_parts()?;
        Ok(0)
    }

    /// Marks the parts, once: a snapshot that names them has been committed, and what they hold may have been
    /// acknowledged. Before, they are rubbish to any other run.
    pub(super) fn mark_parts(&self) -> Result<()> {
        let mut written = self.lock();
        if let Some(names) = written.names.as_mut().filter(|names| !names.marked) {
            AtomicFile::mark(&self.path(""), &names.tag)?;
            names.marked = true;
        }
        Ok(())
    }

    /// Ends a run whose output the life before had begun to publish: there is nothing more.
    pub(super) fn end_published(&self, parts: Vec<Part>, tag: &str) -> Result<()> {
        if parts.iter().any(|part| part.records_at.is_some()) {
            return Err(Error::connector(format!(
                "{} was published when the run before had read all its input, and records came \
                 that it has not: run again with another folder for snapshots",
                self.path("").display()
            )));
        }
        drop(parts);
        AtomicFile::remove_tagged(&self.path(""), tag, &[])?;
        AtomicFile::unmark(&self.path(""), tag);
        Ok(())
    }

    fn resumed(&self, saved: &Saved, epoch: u64) -> Result<Part> {
        let part = SavedFile {
            name: saved.name.clone(),
            position: saved.position,
            checksum: saved.checksum,
        };
        let format = self.format_name()?;
        if let Some(was) = saved.format.as_ref().filter(|was| **was != format) {
            return Err(Error::option(format!(
                "{} was written as {was}, and is to go on as {format}: give snapshot {epoch} the sink that it had, or \
                 begin anew with another folder for snapshots",
                self.path("").display()
            )));
        }
        let file = AtomicFile::resume(&self.path(""), self.compression, &part);
        let file = file.map_err(|error| {
            Error::connector(format!(
                "{error}; snapshot {epoch} goes on with it: give it back, or begin anew with another folder for \
                 snapshots"
            ))
        })?;
        Ok(Part {
            worker: saved.worker,
            file,
            records_at: saved.records_at,
            bare_header: (self.format)().bare_header(),
        })
    }

    /// Publishes what a run that has ended may have published in part, or wholly. A part that is gone has been: its
    /// file may have been taken away since.
    fn publish_again(&self, saved: Vec<Saved>, epoch: u64) -> Result<()> {
        let path = self.path("");
        let count = saved.len();
        let is_there = |saved: &Saved| AtomicFile::is_there(&path, &saved.name);
        if self.sharded {
            for (number, saved) in saved.iter().enumerate() {
                if is_there(saved) {
                    let shard = self.shard(number, count);
                    self.publish_shard(self.resumed(saved, epoch)?, &shard)?;
                }
            }
            return Ok(());
        }
        let first = saved
            .iter()
            .min_by_key(|s| (s.records_at.is_none(), s.worker));
        if first.is_some_and(is_there) {
            let parts = saved.iter().map(|saved| self.resumed(saved, epoch));
            self.publish(parts.collect::<Result<_>>()?)?;
        } else if let Some(first) = first {
            // It has become the file, with the others in it.
            AtomicFile::remove_tagged(&path, &first.tag, &[])?;
        }
        Ok(())
    }
}

/// Returns the number at the end of a part's name.
fn number_of(name: &str) -> Option<usize> {
    let (_, number) = name.strip_suffix(".part")?.rsplit_once('-')?;
    number.parse().ok()
}
