//! The file of a snapshot: frames, each with a checksum.
//!
//! ```text
//! file  = "PIPESNAP" version:u32 frame*
//! frame = kind:u8 length:u32 checksum:u32 payload
//! ```
//!
//! Integers are little endian; the checksum is the CRC-32 of kind, length and payload. There is
//! one head first, then states, then one end, which counts the frames before it and has the
//! checksum of their checksums: what is missing, or stands at another place, is noticed.
//!
//! | kind | payload |
//! |---|---|
//! | 1 head | a [`Head`], by the private coder |
//! | 2 state | node:u32 worker:u32 keys:u64 length:u8 name, then what the operator wrote |
//! | 3 piece | the same up to the name, then of:u64 number:u64 log:u64 offset:u64 length:u32 checksum:u32: where in which log the operator's bytes are |
//! | 255 end | frames:u64 checksum:u32 |

use std::io::{self, Read};

use crc32fast::Hasher;
use serde::{Deserialize, Serialize};

use super::fingerprint::NodePrint;
use super::logs::Place;
use crate::coder::{decode, encode_to};
use crate::error::{Error, Result};
use crate::graph::snapshot::Frame;
use crate::time::Timestamp;

/// The version that this program writes, and the only one that it reads.
pub(super) const VERSION: u32 = 2;

const MAGIC: &[u8; 8] = b"PIPESNAP";
/// The bytes of a frame before its payload.
const PREFIX: usize = 9;
const HEAD: u8 = 1;
const STATE: u8 = 2;
const PIECE: u8 = 3;
const END: u8 = 255;

/// What a snapshot says about the run, besides the state of its nodes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::runners::direct) struct Head {
    pub(in crate::runners::direct) epoch: u64,
    /// All input was read, and everything done that it leads to but the end of the sinks.
    pub(in crate::runners::direct) drained: bool,
    /// The run had ended, and its sinks too: the next one begins anew.
    pub(in crate::runners::direct) finished: bool,
    /// What the clock showed.
    pub(in crate::runners::direct) now: Timestamp,
    pub(in crate::runners::direct) workers: usize,
    /// The paths of the nodes, by number: frames name nodes by number.
    pub(in crate::runners::direct) paths: Vec<String>,
    pub(in crate::runners::direct) prints: Vec<NodePrint>,
    /// The elements that sources had taken in.
    pub(in crate::runners::direct) messages: u64,
    /// The state of what is outside the graph, by name.
    #[serde(with = "besides")]
    pub(in crate::runners::direct) beside: Vec<(String, Vec<u8>)>,
    /// Counts, by path and name.
    pub(in crate::runners::direct) metrics: Vec<(String, String, u64)>,
}

/// Bytes as bytes: serde takes a vector of them for a sequence of numbers.
mod besides {
    use bytes::Bytes;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    struct Raw<'a>(&'a [u8]);

    impl Serialize for Raw<'_> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_bytes(self.0)
        }
    }

    pub(super) fn serialize<S: Serializer>(
        besides: &[(String, Vec<u8>)],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(besides.iter().map(|(name, bytes)| (name, Raw(bytes))))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<(String, Vec<u8>)>, D::Error> {
        let besides = Vec::<(String, Bytes)>::deserialize(deserializer)?;
        Ok(besides
            .into_iter()
            .map(|(name, bytes)| (name, bytes.into()))
            .collect())
    }
}

/// Makes the bytes of frames, and the end that proves that all are there.
pub(super) struct Framing {
    frames: u64,
    checksums: Hasher,
}

impl Framing {
    /// Begins a file; appends its first bytes.
    pub(super) fn begin(out: &mut Vec<u8>, head: &Head) -> Result<Framing> {
        let mut framing = Framing {
            frames: 0,
            checksums: Hasher::new(),
        };
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        let mut payload = Vec::new();
        encode_to(head, &mut payload).map_err(Error::internal)?;
        framing.frame(out, HEAD, &[], &payload)?;
        Ok(framing)
    }

    /// Appends a frame of state: what it holds, or where in the logs that is.
    pub(super) fn state(
        &mut self,
        out: &mut Vec<u8>,
        frame: &Frame,
        place: Option<Place>,
    ) -> Result<()> {
        let number = |n: usize| u32::try_from(n).map_err(Error::internal);
        let length = u8::try_from(frame.name.len()).map_err(Error::internal)?;
        let mut about = Vec::with_capacity(64);
        about.extend_from_slice(&number(frame.node)?.to_le_bytes());
        about.extend_from_slice(&number(frame.worker)?.to_le_bytes());
        about.extend_from_slice(&frame.keys.to_le_bytes());
        about.push(length);
        about.extend_from_slice(frame.name.as_bytes());
        let Some((piece, place)) = frame.piece.as_ref().zip(place) else {
            return self.frame(out, STATE, &about, &frame.payload);
        };
        let mut payload = Vec::with_capacity(40);
        for number in [piece.of, piece.number, place.log, place.offset] {
            payload.extend_from_slice(&number.to_le_bytes());
        }
        payload.extend_from_slice(&place.length.to_le_bytes());
        payload.extend_from_slice(&place.checksum.to_le_bytes());
        self.frame(out, PIECE, &about, &payload)
    }

    /// Appends the end.
    pub(super) fn end(mut self, out: &mut Vec<u8>) -> Result<()> {
        let mut payload = self.frames.to_le_bytes().to_vec();
        let checksum = self.checksums.clone().finalize();
        payload.extend_from_slice(&checksum.to_le_bytes());
        self.frame(out, END, &[], &payload)
    }

    fn frame(&mut self, out: &mut Vec<u8>, kind: u8, about: &[u8], payload: &[u8]) -> Result<()> {
        let length = u32::try_from(about.len() + payload.len()).map_err(|_| {
            Error::connector(format!(
                "a piece of state has {} bytes, and the most that a snapshot can hold in one \
                 piece is 4 GiB: keep less under one key",
                payload.len()
            ))
        })?;
        let checksum = checksum(kind, length, &[about, payload]).to_le_bytes();
        self.frames += 1;
        self.checksums.update(&checksum);
        out.push(kind);
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&checksum);
        out.extend_from_slice(about);
        out.extend_from_slice(payload);
        Ok(())
    }
}

fn checksum(kind: u8, length: u32, payload: &[&[u8]]) -> u32 {
    let mut hasher = Hasher::new();
    hasher.update(&[kind]);
    hasher.update(&length.to_le_bytes());
    payload.iter().for_each(|part| hasher.update(part));
    hasher.finalize()
}

/// Why a file is not a snapshot that can be used.
#[derive(Debug)]
pub(super) enum Unusable {
    /// It is not whole.
    Damaged(String),
    /// A later version of the library wrote it.
    Newer(u32),
    /// The system could not read it.
    Unreadable(io::Error),
    /// It is whole, and its head is not what this program writes.
    Foreign(String),
}

fn damaged<T>(why: impl Into<String>) -> Result<T, Unusable> {
    Err(Unusable::Damaged(why.into()))
}

/// A frame of state as it was found.
pub(super) struct FoundState<'a> {
    pub(super) node: usize,
    pub(super) keys: u64,
    pub(super) name: &'a str,
    /// Where the frame begins in the file.
    pub(super) offset: u64,
    /// Its length with all that stands before the payload.
    pub(super) length: usize,
    /// If it is a piece: of what, its number, and where it is.
    pub(super) piece: Option<(u64, u64, Place)>,
}

/// Reads a whole file of `length` bytes: hands over each piece of state, and returns the head.
///
/// Nothing that it hands over may be used unless it returns: only the end proves the whole.
pub(super) fn read_all(
    input: &mut impl Read,
    length: u64,
    mut each: impl FnMut(FoundState<'_>),
) -> Result<Head, Unusable> {
    let mut reader = FrameReader {
        input,
        left: length,
        payload: Vec::new(),
    };
    let first: [u8; 12] = reader.array()?;
    if first[..8] != *MAGIC {
        return damaged("it does not begin as a snapshot does");
    }
    let version = u32::from_le_bytes([first[8], first[9], first[10], first[11]]);
    match version {
        VERSION => {}
        0 => return damaged("it has the version 0"),
        1..VERSION => {
            let why = format!("its format version is {version}, and this program reads {VERSION}");
            return Err(Unusable::Foreign(why));
        }
        _ => return Err(Unusable::Newer(version)),
    }
    let mut head: Option<Head> = None;
    let (mut frames, mut checksums) = (0_u64, Hasher::new());
    loop {
        let offset = length - reader.left;
        let (kind, checksum) = reader.frame()?;
        let payload = reader.payload.as_slice();
        match (kind, &head) {
            (HEAD, None) => {
                let mut input = payload;
                let decoded = decode(&mut input);
                head = Some(decoded.map_err(|e| Unusable::Foreign(e.to_string()))?);
            }
            (STATE, Some(head)) => match state_of(payload) {
                Some((node, keys, name, _)) if node < head.paths.len() => each(FoundState {
                    node,
                    keys,
                    name,
                    offset,
                    length: PREFIX + payload.len(),
                    piece: None,
                }),
                _ => return damaged(format!("the frame at byte {offset} is no state")),
            },
            (PIECE, Some(head)) => match state_of(payload).map(|of| (of, piece_of(of.3))) {
                Some(((node, keys, name, _), Some(piece))) if node < head.paths.len() => {
                    each(FoundState {
                        node,
                        keys,
                        name,
                        offset,
                        length: PREFIX + payload.len(),
                        piece: Some(piece),
                    });
                }
                _ => return damaged(format!("the frame at byte {offset} is no piece")),
            },
            (END, Some(_)) => {
                let mut expected = frames.to_le_bytes().to_vec();
                expected.extend_from_slice(&checksums.finalize().to_le_bytes());
                if payload != expected {
                    return damaged("frames are missing, or not in their order");
                }
                break;
            }
            _ => return damaged(format!("the frame at byte {offset} does not belong there")),
        }
        frames += 1;
        checksums.update(&checksum);
    }
    if reader.left > 0 {
        return damaged(format!("{} bytes stand behind its end", reader.left));
    }
    head.map_or_else(|| damaged("it has no head"), Ok)
}

/// Checks one frame of state that is in memory, and returns its payload.
pub(super) fn state_in(frame: &[u8]) -> Result<&[u8], Unusable> {
    let mut input = frame;
    let mut reader = FrameReader {
        left: frame.len() as u64,
        input: &mut input,
        payload: Vec::new(),
    };
    let (kind, _) = reader.frame()?;
    match state_of(frame.get(PREFIX..).unwrap_or_default()) {
        Some((.., payload)) if kind == STATE && reader.left == 0 => Ok(payload),
        _ => damaged("it has changed while it was read"),
    }
}

fn state_of(payload: &[u8]) -> Option<(usize, u64, &str, &[u8])> {
    let (node, rest) = payload.split_first_chunk()?;
    let (_worker, rest) = rest.split_first_chunk::<4>()?;
    let (keys, rest) = rest.split_first_chunk()?;
    let (length, rest) = rest.split_first()?;
    let (name, rest) = rest.split_at_checked(usize::from(*length))?;
    let node = u32::from_le_bytes(*node) as usize;
    let name = std::str::from_utf8(name).ok()?;
    Some((node, u64::from_le_bytes(*keys), name, rest))
}

fn piece_of(payload: &[u8]) -> Option<(u64, u64, Place)> {
    let (numbers, rest) = payload.split_first_chunk::<32>()?;
    let (length, checksum) = rest.split_first_chunk::<4>()?;
    let number = |at: usize| {
        let bytes = numbers.get(at..at + 8)?.try_into().ok()?;
        Some(u64::from_le_bytes(bytes))
    };
    let place = Place {
        log: number(16)?,
        offset: number(24)?,
        length: u32::from_le_bytes(*length),
        checksum: u32::from_le_bytes(checksum.try_into().ok()?),
    };
    Some((number(0)?, number(8)?, place))
}

struct FrameReader<'a, R> {
    input: &'a mut R,
    /// The bytes of the file that have not been read: no length is believed beyond it.
    left: u64,
    payload: Vec<u8>,
}

impl<R: Read> FrameReader<'_, R> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Unusable> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), Unusable> {
        let Some(left) = self.left.checked_sub(bytes.len() as u64) else {
            return damaged("it ends too early");
        };
        self.left = left;
        self.input.read_exact(bytes).map_err(|error| match error {
            error if error.kind() == io::ErrorKind::UnexpectedEof => {
                Unusable::Damaged("it ends too early".to_owned())
            }
            error => Unusable::Unreadable(error),
        })
    }

    /// Reads a frame into `payload`; returns its kind and the bytes of its checksum.
    fn frame(&mut self) -> Result<(u8, [u8; 4]), Unusable> {
        let [kind] = self.array()?;
        let length = u32::from_le_bytes(self.array()?);
        let stored: [u8; 4] = self.array()?;
        if u64::from(length) > self.left {
            return damaged("it ends too early");
        }
        let mut payload = std::mem::take(&mut self.payload);
        payload.resize(length as usize, 0);
        let filled = self.fill(&mut payload);
        self.payload = payload;
        filled?;
        if checksum(kind, length, &[&self.payload]).to_le_bytes() != stored {
            return damaged("a checksum does not hold");
        }
        Ok((kind, stored))
    }
}
