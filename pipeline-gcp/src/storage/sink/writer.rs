//! Writes the files of one worker.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use pipeline_core::prelude::*;
use pipeline_core::sink::format::Format;
use pipeline_core::{Result, Timestamp};
use tokio::task::JoinHandle;

use super::epochs::{Prepared, SavedFile, Shared};
use super::naming::FileKey;
use super::spool::{BUFFER_BYTES, SpoolFile};
use super::target::{Over, Uploaded};
use super::{FileSink, MakeFormat};

/// What all open files of a worker may have collected before it goes to disk.
const BUFFERED: usize = 32 * 1024 * 1024;

/// The uploads of a worker that are under way at once.
const UPLOADS: usize = 8;

/// Writes the files of one worker for a [`FileSink`].
pub struct FileWriter<T> {
    sink: FileSink<T>,
    worker: usize,
    in_epochs: bool,
    files: BTreeMap<FileKey, OpenFile<T>>,
    /// The end of the window that is over next, of the open files.
    next_over: Timestamp,
    buffered: usize,
    watermark: Timestamp,
    uploads: VecDeque<JoinHandle<Result<Uploaded>>>,
    /// What waits for the commit of the epoch.
    uploaded: Vec<Uploaded>,
}

/// A file that takes records.
struct OpenFile<T> {
    format: Box<dyn Format<T>>,
    id: String,
    spool: SpoolFile,
    records: u64,
    /// It was opened when its window was over.
    late: bool,
    /// Where the watermark stood then.
    opened_at: Timestamp,
}

impl<T: Element> FileWriter<T> {
    pub(super) fn new(sink: FileSink<T>, worker: usize, in_epochs: bool) -> Self {
        FileWriter {
            sink,
            worker,
            in_epochs,
            files: BTreeMap::new(),
            next_over: Timestamp::MAX,
            buffered: 0,
            watermark: Timestamp::MIN,
            uploads: VecDeque::new(),
            uploaded: Vec::new(),
        }
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.sink.shared
    }

    /// Appends a record to its file.
    fn append(
        &mut self,
        shard: u32,
        record: &T,
        stamp: pipeline_core::sink::Stamp,
    ) -> Result<Result<(), Failure>> {
        let destination = match &self.sink.destination {
            None => String::new(),
            Some(destination) => match destination(record, stamp) {
                Ok(destination) => destination,
                Err(failure) => return Ok(Err(failure)),
            },
        };
        let key = FileKey {
            destination,
            window: stamp.window,
            shard,
        };
        if !self.files.contains_key(&key) {
            if let Err(why) = self.sink.target.name(&key, 0) {
                return Ok(Err(Failure::new(why)));
            }
            let file = self.open(&key)?;
            if !file.late {
                self.next_over = self.next_over.min(key.window.end());
            }
            self.files.insert(key.clone(), file);
        }
        let Some(file) = self.files.get_mut(&key) else {
            return Ok(Ok(()));
        };
        let before = file.spool.buffer.len();
        let encoded = file.encode(record);
        if let Err(failure) = encoded {
            file.spool.buffer.truncate(before);
            return Ok(Err(failure));
        }
        file.records += 1;
        self.buffered += file.spool.buffer.len() - before;
        if file.spool.buffer.len() >= BUFFER_BYTES {
            self.buffered -= file.spool.buffer.len();
            file.spool.flush()?;
        }
        if file.spool.len() >= self.sink.max_file_bytes {
            self.end(&key)?;
        }
        Ok(Ok(()))
    }

    /// Opens a file, or goes on with one of the life before.
    fn open(&self, key: &FileKey) -> Result<OpenFile<T>> {
        let (id, path) = self.shared().new_file()?;
        if let Some((spool, saved)) = self.shared().take_waiting(key)? {
            return resumed(&self.sink.format, id, spool, &saved, self.watermark);
        }
        Ok(OpenFile {
            format: (self.sink.format)(),
            id,
            spool: SpoolFile::new(path),
            records: 0,
            late: key.window.end() <= self.watermark,
            opened_at: self.watermark,
        })
    }

    /// Ends a file: it is uploaded meanwhile.
    fn end(&mut self, key: &FileKey) -> Result<()> {
        let Some(mut file) = self.files.remove(key) else {
            return Ok(());
        };
        self.buffered = self.buffered.saturating_sub(file.spool.buffer.len());
        if file.records == 0 {
            // Its only records were refused.
            return Ok(());
        }
        file.spool.flush()?;
        self.start_upload(key.clone(), file.id, file.spool, file.opened_at);
        Ok(())
    }

    fn start_upload(&mut self, key: FileKey, id: String, spool: SpoolFile, opened_at: Timestamp) {
        let target = Arc::clone(&self.sink.target);
        let registry = Arc::clone(&self.shared().registry);
        let over = Over {
            is_forgotten: target.is_forgotten(&key, &registry, opened_at),
            part: registry.take(&key),
            key,
            id,
            path: spool.path,
        };
        let upload = async move { target.upload(over, &registry).await };
        self.uploads.push_back(tokio::spawn(upload));
    }

    /// Waits until so many uploads are under way at most.
    async fn await_uploads(&mut self, most: usize) -> Result<()> {
        while self.uploads.len() > most {
            // A future that is dropped here must not lose an upload.
            let Some(first) = self.uploads.front_mut() else {
                break;
            };
            let ended = first.await;
            self.uploads.pop_front();
            self.uploaded.push(ended.map_err(Error::connector)??);
        }
        Ok(())
    }

    /// Ends the files for which `is_over` holds, of this worker and of those that no worker has.
    async fn end_files(
        &mut self,
        is_over: impl Fn(&FileKey, bool, Timestamp) -> bool,
    ) -> Result<()> {
        let over = self
            .files
            .iter()
            .filter(|(key, file)| is_over(key, file.late, file.opened_at));
        let over: Vec<FileKey> = over.map(|(key, _)| key.clone()).collect();
        for key in over {
            self.end(&key)?;
            self.await_uploads(UPLOADS).await?;
        }
        loop {
            let key = {
                let state = self.shared().lock();
                let mut waiting = state.waiting.iter();
                waiting
                    .find(|(key, _)| is_over(key, false, Timestamp::MIN))
                    .map(|(key, _)| key.clone())
            };
            let Some(key) = key else { break };
            let (id, _) = self.shared().new_file()?;
            if let Some((spool, _)) = self.shared().take_waiting(&key)? {
                self.start_upload(key, id, spool, Timestamp::MIN);
            }
            self.await_uploads(UPLOADS).await?;
        }
        let on_time = self.files.iter().filter(|(_, file)| !file.late);
        let ends = on_time.map(|(key, _)| key.window.end());
        self.next_over = ends.min().unwrap_or(Timestamp::MAX);
        Ok(())
    }

    /// Publishes, in a run without snapshots, the files of windows that are over.
    async fn publish_over(&mut self) -> Result<()> {
        self.await_uploads(0).await?;
        let is_over = |uploaded: &Uploaded| uploaded.key.window.end() <= self.watermark;
        let (over, open) = std::mem::take(&mut self.uploaded)
            .into_iter()
            .partition(is_over);
        self.uploaded = open;
        let spool = self.shared().spool_path(&self.shared().lock())?;
        self.sink.target.publish_all(over, &spool).await
    }

    /// Clears away, once a run, what others have left; a run with snapshots has done it.
    async fn begin(&self) -> Result<()> {
        if self.in_epochs {
            return Ok(());
        }
        let run = self.shared().lock().run.clone();
        let mut cleared = self.shared().cleared.lock().await;
        if *cleared != run {
            self.sink.target.clear(Some(&run)).await?;
            *cleared = run;
        }
        Ok(())
    }
}

/// Uploads that are under way are given up with their writer.
impl<T> Drop for FileWriter<T> {
    fn drop(&mut self) {
        self.uploads.iter().for_each(JoinHandle::abort);
    }
}

impl<T: Element> OpenFile<T> {
    fn encode(&mut self, record: &T) -> Result<(), Failure> {
        if self.records == 0 {
            let header = self.format.header(record)?;
            self.spool.buffer.extend_from_slice(&header);
        }
        self.format.encode(record, &mut self.spool.buffer)
    }
}

fn resumed<T>(
    format: &MakeFormat<T>,
    id: String,
    spool: SpoolFile,
    saved: &SavedFile,
    watermark: Timestamp,
) -> Result<OpenFile<T>> {
    let mut format = format();
    format.resume(saved.fields).map_err(refused)?;
    Ok(OpenFile {
        format,
        id,
        spool,
        records: saved.records,
        late: false,
        opened_at: watermark,
    })
}

fn refused(failure: Failure) -> Error {
    Error::connector(format!("a file cannot be gone on with: {failure:?}"))
}

impl<T: Element> Writer<(u32, T)> for FileWriter<T> {
    async fn write(&mut self, batch: &WriteBatch<'_, (u32, T)>) -> Result<Vec<Rejected>> {
        self.write_batch(batch).await.map_err(for_good)
    }

    async fn advance(&mut self, watermark: Timestamp) -> Result<()> {
        self.advance_to(watermark).await.map_err(for_good)
    }

    async fn prepare(&mut self, _epoch: u64) -> Result<Vec<u8>> {
        self.prepare_files().await.map_err(for_good)
    }

    async fn close(&mut self) -> Result<()> {
        self.close_files().await.map_err(for_good)
    }
}

/// The storage has tried several times; what was under way cannot be tried again here.
fn for_good(error: Error) -> Error {
    match error.is_transient() {
        true => Error::connector(error),
        false => error,
    }
}

impl<T: Element> FileWriter<T> {
    async fn write_batch(&mut self, batch: &WriteBatch<'_, (u32, T)>) -> Result<Vec<Rejected>> {
        self.begin().await?;
        let mut rejected = Vec::new();
        for (index, (shard, record)) in batch.records.iter().enumerate() {
            if let Err(failure) = self.append(*shard, record, batch.stamp(index))? {
                let failure = failure.about(record);
                rejected.push(Rejected { index, failure });
            }
        }
        if self.buffered > BUFFERED {
            for file in self.files.values_mut() {
                file.spool.flush()?;
            }
            self.buffered = 0;
        }
        self.await_uploads(UPLOADS).await?;
        Ok(rejected)
    }

    async fn advance_to(&mut self, watermark: Timestamp) -> Result<()> {
        self.watermark = watermark;
        let has_waiting = !self.shared().lock().waiting.is_empty();
        let has_late = !self.in_epochs && self.files.values().any(|file| file.late);
        if watermark < self.next_over && !has_waiting && !has_late {
            return Ok(());
        }
        let in_epochs = self.in_epochs;
        self.end_files(|key, late, opened_at| {
            let window = key.window;
            if !late || watermark == Timestamp::MAX {
                return window.end() <= watermark;
            }
            // Late records come in ones and twos: they are gathered for an epoch, or the length of a window.
            let length = window
                .end()
                .millis()
                .saturating_sub(window.start().millis());
            !in_epochs && opened_at.plus_millis(length) <= watermark
        })
        .await?;
        // At the end nothing is forgotten: what is still to be named may be of windows that were over.
        let goes_on = watermark < Timestamp::MAX;
        if !self.in_epochs && goes_on {
            self.publish_over().await?;
            if self.worker == 0 {
                self.shared().registry.next_round();
            }
        }
        if self.worker == 0 && goes_on {
            let remember = self.sink.target.remember;
            self.shared().registry.forget(watermark, remember);
        }
        Ok(())
    }

    async fn prepare_files(&mut self) -> Result<Vec<u8>> {
        if !self.in_epochs {
            return Ok(Vec::new());
        }
        self.end_files(|_, late, _| late).await?;
        self.await_uploads(0).await?;
        let mut prepared = Prepared {
            uploaded: std::mem::take(&mut self.uploaded),
            ..Prepared::default()
        };
        let mut has_new = false;
        for (key, file) in &mut self.files {
            has_new |= file.spool.save()?;
            let saved = SavedFile {
                name: file.spool.name(),
                length: file.spool.len(),
                records: file.records,
                fields: file.format.fields(),
            };
            prepared.open.push((key.clone(), saved));
        }
        self.buffered = 0;
        let state = self.shared().lock();
        if let Some(folder) = state.spool.as_ref().filter(|_| has_new) {
            folder.sync()?;
        }
        if self.worker == 0 {
            let waiting = state.waiting.iter();
            prepared
                .open
                .extend(waiting.map(|(key, saved)| (key.clone(), saved.clone())));
            prepared.parts = self.shared().registry.parts();
            self.shared().registry.next_round();
        }
        prepared.encode()
    }

    async fn close_files(&mut self) -> Result<()> {
        self.begin().await?;
        if !self.in_epochs {
            self.end_files(|_, _, _| true).await?;
            self.await_uploads(0).await?;
            let uploaded = std::mem::take(&mut self.uploaded);
            self.shared().lock().closed.extend(uploaded);
        }
        Ok(())
    }
}
