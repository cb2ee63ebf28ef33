//! Reads a part of an [`ObjectSource`]: its shares one after the other, or what is new again and again.

use std::collections::VecDeque;
use std::time::Duration;

use pipeline_core::files::{FileRange, Line};
use pipeline_core::prelude::*;
use pipeline_core::source::{CsvRecords, Position, WatermarkPolicy};
use pipeline_core::{Counter, Error, Result, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep_until};

use super::opened::Opened;
use super::plan::{Seen, Share, find};
use super::{ObjectSource, ObjectSplit, Split};
use crate::storage::error::{StorageError, StorageErrorKind};
use crate::storage::service::ObjectInfo;

/// Reads a part of an [`ObjectSource`].
pub struct ObjectLineReader {
    source: ObjectSource,
    waiting: VecDeque<Share>,
    open: Option<Opened>,
    /// Where the next share is gone on with, if a snapshot says so.
    next_line: u64,
    /// The shares that were read to their end.
    ended: u64,
    watching: Option<Watching>,
    policy: WatermarkPolicy,
    blank_lines: Counter,
    objects: Counter,
    lines: Vec<Line>,
}

/// What a watch knows.
struct Watching {
    number: u64,
    of: u64,
    seen: Seen,
    next_poll: Instant,
    /// Since when nothing new has been there.
    quiet_since: Instant,
    /// The object that a snapshot goes on with.
    resumed: Option<SavedShare>,
}

/// What a snapshot holds of a part.
#[derive(Serialize, Deserialize)]
struct SavedPosition {
    ended: u64,
    /// What is being read, or comes next.
    share: Option<SavedShare>,
    next_line: u64,
    /// What a watch has read, and its horizon.
    seen: Vec<(String, u64, i64)>,
    horizon: i64,
    latest: Timestamp,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
struct SavedShare {
    name: String,
    generation: u64,
    start: u64,
    end: u64,
}

impl SavedShare {
    fn of(share: &Share) -> Self {
        SavedShare {
            name: share.object.name.clone(),
            generation: share.object.generation.0,
            start: share.range.start,
            end: share.range.end,
        }
    }
}

impl ObjectLineReader {
    pub(super) fn new(
        source: ObjectSource,
        split: ObjectSplit,
        context: &ReadContext,
    ) -> Result<Self> {
        let now = Instant::now();
        let position: Option<SavedPosition> = context.position()?;
        let mut reader = ObjectLineReader {
            policy: WatermarkPolicy::with_disorder(source.max_disorder),
            source,
            waiting: VecDeque::new(),
            open: None,
            next_line: 0,
            ended: 0,
            watching: None,
            blank_lines: context.counter("blank_lines"),
            objects: context.counter("objects"),
            lines: Vec::new(),
        };
        match split.0 {
            Split::Shares(shares) => reader.waiting = shares.into(),
            Split::Watched { number, of } => {
                reader.watching = Some(Watching {
                    number,
                    of,
                    seen: Seen::nothing(),
                    next_poll: now,
                    quiet_since: now,
                    resumed: None,
                });
            }
        }
        if let Some(position) = position {
            reader.resume(position)?;
        }
        Ok(reader)
    }

    fn resume(&mut self, position: SavedPosition) -> Result<()> {
        self.next_line = position.next_line;
        self.ended = position.ended;
        if position.latest > Timestamp::MIN {
            self.policy.observe(position.latest);
        }
        if let Some(watching) = &mut self.watching {
            watching.seen = Seen::restore(position.seen, position.horizon);
            watching.resumed = position.share;
            return Ok(());
        }
        let ended = usize::try_from(position.ended).unwrap_or(usize::MAX);
        self.waiting.drain(..ended.min(self.waiting.len()));
        let now = self.waiting.front().map(SavedShare::of);
        if now == position.share {
            return Ok(());
        }
        let storage = &self.source.place.storage;
        let words = |share: &Option<SavedShare>| match share {
            Some(share) => {
                let name = storage.full_name(&share.name);
                format!(
                    "generation {} of {name} from byte {} on",
                    share.generation, share.start
                )
            }
            None => "the end".to_owned(),
        };
        Err(Error::option(format!(
            "the objects are not those of the snapshot: {} was being read, and in its place is {}; give the same \
             objects, or begin anew with another folder for snapshots",
            words(&position.share),
            words(&now)
        )))
    }

    /// Opens the next share; `false` if there is none now.
    async fn open_next(&mut self) -> Result<bool> {
        let Some(share) = self.waiting.front() else {
            return Ok(false);
        };
        let ObjectSource {
            place,
            compression,
            options,
            ..
        } = &self.source;
        let opened = Opened::open(
            &place.storage,
            share.clone(),
            *compression,
            *options,
            self.source
                .csv
                .then(|| CsvRecords::new(self.source.max_line_bytes)),
            self.next_line,
        );
        self.open = Some(opened.await?);
        self.waiting.pop_front();
        self.next_line = 0;
        Ok(true)
    }

    /// Looks for new objects when it is time; `false` at the end of the watch. A future that is dropped has
    /// changed nothing.
    async fn look(&mut self) -> Result<bool> {
        let source = &self.source;
        let (Some(watching), Some(watch)) = (&mut self.watching, &source.watch) else {
            return Ok(false);
        };
        if let Some(saved) = &watching.resumed {
            let object = resumed(source, saved).await?;
            let range = FileRange {
                start: saved.start,
                end: saved.end,
            };
            self.waiting.push_back(Share { object, range });
            watching.resumed = None;
            return Ok(true);
        }
        let idle = watch.stop_when_idle.map(|time| watching.quiet_since + time);
        let until = watching.next_poll;
        if let Some(idle) = idle.filter(|idle| *idle < until) {
            sleep_until(idle).await;
            return Ok(false);
        }
        sleep_until(until).await;
        let mut found = match find(&source.place).await {
            Ok(found) => found,
            Err(error) if error.kind() == StorageErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        found.retain(|object| {
            let of = hash(&object.name) % watching.of;
            of == watching.number && !watching.seen.has(object)
        });
        found.sort_by(|a, b| (a.updated, &a.name).cmp(&(b.updated, &b.name)));
        let now = Instant::now();
        watching.next_poll = now + watch.every;
        if !found.is_empty() {
            watching.quiet_since = now;
        }
        let range = FileRange::ALL;
        let shares = found.into_iter().map(|object| Share { object, range });
        self.waiting.extend(shares);
        Ok(true)
    }

    /// Closes the share that was read to its end.
    fn close(&mut self) {
        let Some(opened) = self.open.take() else {
            return;
        };
        self.ended += 1;
        if opened.share.range.end == u64::MAX {
            self.objects.add(1);
        }
        if let (Some(watching), Some(watch)) = (&mut self.watching, &self.source.watch) {
            watching.seen.add(&opened.share.object, watch.forget_after);
            watching.quiet_since = Instant::now();
        }
    }

    /// Puts lines into the batch, each with its time.
    fn deliver(&mut self, batch: &mut ReadBatch<Line, ()>) {
        let Some(opened) = &self.open else { return };
        let is_watch = self.watching.is_some();
        let mut blank_lines = 0;
        for line in self.lines.drain(..) {
            if self.source.skips_blank_lines && !line.is_cut() && line.bytes.trim_ascii().is_empty()
            {
                blank_lines += 1;
                continue;
            }
            let timestamp = match &self.source.timestamp_with {
                Some(timestamp_with) => timestamp_with(&line),
                None if is_watch => Some(opened.share.object.updated),
                None => Some(Timestamp::MIN),
            };
            if let Some(timestamp) = timestamp.filter(|_| is_watch) {
                self.policy.observe(timestamp);
            }
            // What has no time takes that of the watermark, and does not move it.
            let timestamp = timestamp.unwrap_or_else(|| self.policy.watermark());
            batch.push(line, timestamp);
        }
        self.blank_lines.add(blank_lines);
    }
}

impl Reader<Line, ()> for ObjectLineReader {
    async fn read(&mut self, batch: &mut ReadBatch<Line, ()>) -> Result<ReadStatus> {
        while batch.room() > 0 {
            if let Some(opened) = &mut self.open {
                let more = opened.next_lines(batch.room(), &mut self.lines).await?;
                self.deliver(batch);
                if !more {
                    self.close();
                } else if self.watching.is_some() && !batch.is_empty() {
                    break;
                }
            } else if !self.waiting.is_empty() {
                self.open_next().await?;
            } else if self.watching.is_none() {
                return Ok(ReadStatus::Ended);
            } else if !batch.is_empty() {
                break;
            } else if !self.look().await? {
                return Ok(ReadStatus::Ended);
            }
        }
        Ok(ReadStatus::More)
    }

    fn watermark(&self) -> Timestamp {
        match self.watching {
            Some(_) => self.policy.watermark(),
            None => Timestamp::MIN,
        }
    }

    fn position(&mut self) -> Result<Position> {
        let (share, next_line) = match &self.open {
            Some(opened) => (Some(SavedShare::of(&opened.share)), opened.next_line),
            None => (self.waiting.front().map(SavedShare::of), self.next_line),
        };
        let watching = self.watching.as_ref();
        let share = match watching {
            // What waits is found again; only what was begun must be gone on with.
            Some(watching) if self.open.is_none() && self.next_line == 0 => {
                watching.resumed.clone()
            }
            Some(watching) if share.is_none() => watching.resumed.clone(),
            _ => share,
        };
        let (seen, horizon) = watching.map_or((Vec::new(), 0), |w| w.seen.save());
        Position::of(&SavedPosition {
            ended: self.ended,
            share,
            next_line,
            seen,
            horizon,
            latest: self.policy.latest(),
        })
    }
}

/// Finds the object that a snapshot goes on with, as it was.
async fn resumed(source: &ObjectSource, saved: &SavedShare) -> Result<ObjectInfo> {
    let storage = &source.place.storage;
    let object = storage.stat(&saved.name).await?;
    if object.generation.0 != saved.generation {
        let why = format!(
            "the snapshot goes on with generation {}, and it was replaced since",
            saved.generation
        );
        let name = storage.full_name(&saved.name);
        return Err(StorageError::new("read", name, StorageErrorKind::Replaced, why).into());
    }
    Ok(object)
}

/// A hash that is the same in every process (FNV-1a).
fn hash(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// The default of [`ObjectSource::max_disorder`].
pub(super) const MAX_DISORDER: Duration = Duration::from_secs(60);
