//! Decompresses what is read, as told or as found.

use std::{
    io::{self, BufReader, Chain, Cursor, Read},
    path::{Path, PathBuf},
};

use flate2::bufread::MultiGzDecoder;

use super::FileError;

const GZIP_MAGIC: &[u8] = &[0x1F, 0x8B, 0x08];

/// Says how a file is compressed; the names are those of Beam's `Compression`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Reading: gzip if the first bytes say so. Writing: gzip if the name ends with `.gz`.
    ///
    /// A file that is named `.gz` and is none is refused.
    #[default]
    Auto,
    /// Bytes as they are.
    Uncompressed,
    /// gzip (RFC 1952), of one or several members.
    Gzip,
}

impl Compression {
    /// Tells whether a file with this name and these first bytes is to be read as gzip.
    pub(super) fn reads_gzip(self, path: &Path, head: &[u8]) -> Result<bool, FileError> {
        let found = head == GZIP_MAGIC;
        let expected = match self {
            Compression::Auto => named_gzip(path),
            Compression::Uncompressed => return Ok(false),
            Compression::Gzip => true,
        };
        if expected && !found {
            let why = "it is no gzip file; if it is not compressed, say so (Compression::Uncompressed) or rename it";
            return Err(FileError::because(
                "read",
                path,
                io::ErrorKind::InvalidData,
                why,
            ));
        }
        Ok(found)
    }

    /// Tells whether a file with this name is to be written as gzip.
    pub(super) fn writes_gzip(self, path: &Path) -> bool {
        match self {
            Compression::Auto => named_gzip(path),
            Compression::Uncompressed => false,
            Compression::Gzip => true,
        }
    }
}

fn named_gzip(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("gz"))
}

/// Reads the first bytes, as many as it takes to tell gzip.
pub(super) fn read_head(reader: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    reader
        .take(GZIP_MAGIC.len() as u64)
        .read_to_end(&mut head)?;
    Ok(head)
}

/// Reads decompressed bytes. It looks at the input at the first read, not before; its errors name the file.
///
/// ```
/// use std::{io::Read, path::Path};
/// use pipeline_core::files::{Compression, Decompressed};
///
/// let mut text = String::new();
/// let mut input = Decompressed::new(&b"as it is"[..], Path::new("-"), Compression::Auto);
/// input.read_to_string(&mut text)?;
/// assert_eq!(text, "as it is");
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Decompressed<R> {
    path: PathBuf,
    compression: Compression,
    state: State<R>,
}

type Whole<R> = Chain<Cursor<Vec<u8>>, R>;

enum State<R> {
    Unread(R),
    Plain(Whole<R>),
    Gzip(Box<MultiGzDecoder<BufReader<Whole<R>>>>),
    /// The input could not be told, or the end was met.
    Over,
}

impl<R: Read> Decompressed<R> {
    /// Reads what `reader` gives of the file at `path`, which is not opened: it names the file, in errors too.
    pub fn new(reader: R, path: &Path, compression: Compression) -> Self {
        Decompressed {
            path: path.into(),
            compression,
            state: State::Unread(reader),
        }
    }

    fn look(&mut self, mut reader: R) -> io::Result<State<R>> {
        let head = read_head(&mut reader).map_err(|e| FileError::new("read", &self.path, e))?;
        let gzip = self.compression.reads_gzip(&self.path, &head)?;
        let whole = Cursor::new(head).chain(reader);
        Ok(if gzip {
            let buffered = BufReader::with_capacity(64 * 1024, whole);
            State::Gzip(Box::new(MultiGzDecoder::new(buffered)))
        } else {
            State::Plain(whole)
        })
    }
}

impl<R: Read> Read for Decompressed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if matches!(self.state, State::Unread(_))
            && let State::Unread(reader) = std::mem::replace(&mut self.state, State::Over)
        {
            self.state = self.look(reader)?;
        }
        let result = match &mut self.state {
            State::Plain(reader) => reader.read(buffer),
            State::Gzip(reader) => reader.read(buffer),
            State::Unread(_) | State::Over => Ok(0),
        };
        result.map_err(|error| match error.kind() {
            io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock => error,
            io::ErrorKind::UnexpectedEof => {
                let why =
                    "the gzip data ends too early; the file was not copied or written to its end";
                FileError::because("read", &self.path, error.kind(), why).into()
            }
            _ => FileError::new("read", &self.path, error).into(),
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Write;

    use flate2::{Compression as Level, write::GzEncoder};

    use super::*;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Level::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn read(bytes: &[u8], name: &str, compression: Compression) -> Result<Vec<u8>, String> {
        let mut out = Vec::new();
        let mut reader = Decompressed::new(bytes, Path::new(name), compression);
        reader.read_to_end(&mut out).map_err(|e| e.to_string())?;
        Ok(out)
    }

    #[test]
    fn gzip_is_told_by_its_first_bytes() {
        let members = [gzip(b"one "), gzip(b""), gzip(b"two")].concat();
        assert_eq!(
            read(&members, "x.gz", Compression::Auto).unwrap(),
            b"one two"
        );
        assert_eq!(read(&members, "-", Compression::Auto).unwrap(), b"one two");
        assert_eq!(read(&members, "-", Compression::Gzip).unwrap(), b"one two");
        assert_eq!(
            read(&members, "x.gz", Compression::Uncompressed).unwrap(),
            members
        );
        for plain in [&b""[..], b"a", b"\x1f\x8b", b"plain text"] {
            assert_eq!(read(plain, "x.txt", Compression::Auto).unwrap(), plain);
        }
    }

    #[test]
    fn what_is_no_gzip_is_refused_by_name() {
        for (name, compression) in [("in/x.gz", Compression::Auto), ("in/x", Compression::Gzip)] {
            for plain in [&b""[..], b"plain"] {
                let error = read(plain, name, compression).unwrap_err();
                assert!(
                    error.starts_with(&format!("cannot read {name}: it is no gzip file")),
                    "{error}"
                );
            }
        }
        let whole = gzip(b"some text that is long enough");
        let error = read(&whole[..whole.len() - 4], "x.gz", Compression::Auto).unwrap_err();
        assert!(
            error.starts_with("cannot read x.gz: the gzip data ends too early"),
            "{error}"
        );
        let mut damaged = whole.clone();
        damaged[whole.len() - 6] ^= 1;
        assert!(
            read(&damaged, "x.gz", Compression::Auto)
                .unwrap_err()
                .starts_with("cannot read x.gz: ")
        );
    }
}
