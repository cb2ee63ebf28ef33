//! What operators write into a snapshot, and read from one: frames, found by the path of the node
//! and by name.
//!
//! Everything goes through the private coder. A frame holds one value, or a sequence of records;
//! which worker wrote it is told, but nothing may depend on how many there were.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::coder::{decode_strictly, encode_to};
use crate::error::{Error, Result};
use crate::time::Timestamp;

/// The name of the frame with what a sink has prepared.
pub(crate) const PREPARED: &str = "prepared";

/// The records of a frame at most, and the bytes that it should have.
const FRAME_RECORDS: usize = 512;
const FRAME_BYTES: usize = 64 << 10;

/// A piece of a node's state, as one worker wrote it.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) node: usize,
    pub(crate) worker: usize,
    pub(crate) name: &'static str,
    /// The number of keyed records in it.
    pub(crate) keys: u64,
    pub(crate) payload: Vec<u8>,
}

/// Takes what the operators of a worker save.
pub(crate) struct StateOut<'a> {
    node: usize,
    worker: usize,
    emit: &'a mut dyn FnMut(Frame) -> Result<()>,
}

impl<'a> StateOut<'a> {
    pub(crate) fn new(
        node: usize,
        worker: usize,
        emit: &'a mut dyn FnMut(Frame) -> Result<()>,
    ) -> Self {
        StateOut { node, worker, emit }
    }

    /// Writes one value.
    pub(crate) fn put<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<()> {
        let mut payload = Vec::new();
        encode_to(value, &mut payload).map_err(|error| Error::connector(error.to_string()))?;
        self.put_bytes(name, payload)
    }

    /// Writes bytes that somebody else reads.
    pub(crate) fn put_bytes(&mut self, name: &'static str, payload: Vec<u8>) -> Result<()> {
        self.frame(name, 0, payload)
    }

    /// Writes records of keys, in as many frames as it takes. A frame is one sequence: the names
    /// of fields are in it once, not once a record.
    pub(crate) fn put_keyed<R: Serialize>(
        &mut self,
        name: &'static str,
        records: impl Iterator<Item = R>,
    ) -> Result<()> {
        self.put_chunks(name, records, |chunk, payload| {
            encode_to(chunk, payload).map_err(|error| Error::connector(error.to_string()))
        })
    }

    /// Writes records as [`StateOut::put_keyed`] does, of which several may be of one key: only
    /// those that say so count as keys.
    pub(crate) fn put_parts<R: Serialize>(
        &mut self,
        name: &'static str,
        records: impl Iterator<Item = (bool, R)>,
    ) -> Result<()> {
        let counts = |chunk: &[(bool, R)]| chunk.iter().filter(|(counts, _)| *counts).count();
        self.put_frames(name, records, counts, |chunk, payload| {
            let records: Vec<&R> = chunk.iter().map(|(_, record)| record).collect();
            encode_to(&records, payload).map_err(|error| Error::connector(error.to_string()))
        })
    }

    /// Writes records of keys as [`StateOut::put_keyed`] does, each frame as `encode` makes it of
    /// some of them.
    pub(crate) fn put_chunks<R>(
        &mut self,
        name: &'static str,
        records: impl Iterator<Item = R>,
        encode: impl FnMut(&[R], &mut Vec<u8>) -> Result<()>,
    ) -> Result<()> {
        self.put_frames(name, records, <[R]>::len, encode)
    }

    fn put_frames<R>(
        &mut self,
        name: &'static str,
        records: impl Iterator<Item = R>,
        keys: impl Fn(&[R]) -> usize,
        mut encode: impl FnMut(&[R], &mut Vec<u8>) -> Result<()>,
    ) -> Result<()> {
        let mut records = records.peekable();
        let mut most = 16;
        while records.peek().is_some() {
            let chunk: Vec<R> = records.by_ref().take(most).collect();
            let mut payload = Vec::new();
            encode(&chunk, &mut payload)?;
            most = match payload.len() {
                length if length > FRAME_BYTES => (most / 2).max(1),
                length if length < FRAME_BYTES / 2 => (most * 2).min(FRAME_RECORDS),
                _ => most,
            };
            self.frame(name, keys(&chunk) as u64, payload)?;
        }
        Ok(())
    }

    fn frame(&mut self, name: &'static str, keys: u64, payload: Vec<u8>) -> Result<()> {
        (self.emit)(Frame {
            node: self.node,
            worker: self.worker,
            name,
            keys,
            payload,
        })
    }
}

/// The frames of a snapshot that a run resumes from.
pub(crate) trait SavedFrames: Send + Sync {
    /// Hands over the frames of a node, by its path, that have that name, in the order in which
    /// they were written.
    fn for_each(
        &self,
        path: &str,
        name: &str,
        each: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<()>;
}

/// What all workers of the run before have saved of a node.
#[derive(Clone)]
pub(crate) struct NodeState {
    pub(crate) frames: Arc<dyn SavedFrames>,
    pub(crate) path: Arc<str>,
}

impl NodeState {
    /// Returns the values of that name, one for each worker that wrote one.
    pub(crate) fn values<T: DeserializeOwned>(&self, name: &str) -> Result<Vec<T>> {
        let mut values = Vec::new();
        self.chunks(name, |value| {
            values.push(value);
            Ok(())
        })?;
        Ok(values)
    }

    /// Hands over the keyed records of that name, of all workers.
    pub(crate) fn records<R: DeserializeOwned>(
        &self,
        name: &str,
        mut each: impl FnMut(R) -> Result<()>,
    ) -> Result<()> {
        self.chunks(name, |chunk: Vec<R>| {
            chunk.into_iter().try_for_each(&mut each)
        })
    }

    /// Returns the watermark by which lateness was judged: behind an exchange it is the same on all
    /// workers when everything is at rest.
    pub(crate) fn common_watermark(&self, name: &str) -> Result<Option<Timestamp>> {
        let values: Vec<Timestamp> = self.values(name)?;
        if values.iter().any(|value| *value != values[0]) {
            return Err(Error::internal(format!(
                "the workers of the run before had different watermarks at '{}': {values:?}",
                self.path
            )));
        }
        Ok(values.first().copied())
    }

    /// Returns the watermark of what all workers had put out.
    pub(crate) fn least_watermark(&self, name: &str) -> Result<Option<Timestamp>> {
        Ok(self.values(name)?.into_iter().min())
    }

    /// Says that what was saved under a name does not fit.
    pub(crate) fn misfit(&self, name: &str, why: impl fmt::Display) -> Error {
        Error::option(format!(
            "the saved state of '{}' ({name}) does not fit the program: {why}; finish it with the \
             program that wrote it (--drain), or give another folder for snapshots",
            self.path
        ))
    }

    /// Hands over what each frame of that name holds.
    pub(crate) fn chunks<T: DeserializeOwned>(
        &self,
        name: &str,
        mut each: impl FnMut(T) -> Result<()>,
    ) -> Result<()> {
        self.frames
            .for_each(&self.path, name, &mut |mut payload: &[u8]| {
                each(decode_strictly(&mut payload).map_err(|error| self.misfit(name, error))?)
            })
    }

    /// Returns the frames of that name as they are.
    pub(crate) fn bytes(&self, name: &str) -> Result<Vec<Vec<u8>>> {
        let mut frames = Vec::new();
        self.frames.for_each(&self.path, name, &mut |payload| {
            frames.push(payload.to_vec());
            Ok(())
        })?;
        Ok(frames)
    }
}
