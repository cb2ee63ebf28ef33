//! Decompresses what is read, as told or as found.

use std::{
    io::{self, BufReader, Chain, Cursor, Read},
    path::{Path, PathBuf},
};

use flate2::bufread::MultiGzDecoder;

use super::FileError;
use super::zstd::Zstd;

const GZIP_MAGIC: &[u8] = &[0x1F, 0x8B, 0x08];
const ZSTD_MAGIC: &[u8] = &[0x28, 0xB5, 0x2F, 0xFD];

/// The bytes at the beginning of a file that tell how it is compressed.
pub const HEAD_BYTES: usize = ZSTD_MAGIC.len();

/// Says how a file is compressed; the names are those of Beam's `Compression`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Reading: gzip or zstd if the first bytes say so. Writing: gzip if the name ends with `.gz`.
    ///
    /// A file that is named `.gz`, `.zst` or `.zstd` and is none is refused.
    #[default]
    Auto,
    /// Bytes as they are.
    Uncompressed,
    /// gzip (RFC 1952), of one or several members.
    Gzip,
    /// Zstandard (RFC 8878), of one or several frames, with windows of at most 100 MiB. It is only read,
    /// and needs the feature `zstd`.
    Zstd,
}

/// Says what the bytes of a file are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// The content itself.
    Plain,
    /// gzip.
    Gzip,
    /// Zstandard.
    Zstd,
}

impl Packing {
    /// Tells what the first [`HEAD_BYTES`] bytes say.
    fn found(head: &[u8]) -> Packing {
        if head.starts_with(GZIP_MAGIC) {
            Packing::Gzip
        } else if head.starts_with(ZSTD_MAGIC) {
            Packing::Zstd
        } else {
            Packing::Plain
        }
    }

    /// Tells what a name says.
    fn named(path: &Path) -> Packing {
        let extension = path.extension().and_then(|extension| extension.to_str());
        match extension.map(str::to_ascii_lowercase).as_deref() {
            Some("gz") => Packing::Gzip,
            Some("zst" | "zstd") => Packing::Zstd,
            _ => Packing::Plain,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Packing::Plain => "plain",
            Packing::Gzip => "gzip",
            Packing::Zstd => "zstd",
        }
    }
}

impl Compression {
    /// Tells how a file with this name and these first [`HEAD_BYTES`] bytes (fewer, if it has no more)
    /// is to be read.
    ///
    /// # Errors
    /// When it is not what it should be, or is zstd and the feature is off.
    pub fn packing(self, path: &Path, head: &[u8]) -> Result<Packing, FileError> {
        let found = Packing::found(head);
        let expected = match self {
            Compression::Auto => Packing::named(path),
            Compression::Uncompressed => return Ok(Packing::Plain),
            Compression::Gzip => Packing::Gzip,
            Compression::Zstd => Packing::Zstd,
        };
        let refused = |kind, why: String| Err(FileError::because("read", path, kind, why));
        if expected != Packing::Plain && found != expected {
            let why = format!(
                "it is no {} file; if it is not compressed, say so (Compression::Uncompressed) or rename it",
                expected.words()
            );
            return refused(io::ErrorKind::InvalidData, why);
        }
        if found == Packing::Zstd && !cfg!(feature = "zstd") {
            let why = "it is zstd, which this build cannot read; build with the feature `zstd` of pipeline-core";
            return refused(io::ErrorKind::Unsupported, why.to_owned());
        }
        Ok(found)
    }

    /// Tells whether a file with this name is to be written as gzip.
    pub(crate) fn writes_gzip(self, path: &Path) -> Result<bool, FileError> {
        let packing = match self {
            Compression::Auto => Packing::named(path),
            Compression::Uncompressed => Packing::Plain,
            Compression::Gzip => Packing::Gzip,
            Compression::Zstd => Packing::Zstd,
        };
        if packing == Packing::Zstd {
            let why = "zstd can only be read; write gzip, or say that it is not compressed (Compression::Uncompressed)";
            let kind = io::ErrorKind::Unsupported;
            return Err(FileError::because("write", path, kind, why));
        }
        Ok(packing == Packing::Gzip)
    }
}

/// Reads the first bytes, as many as it takes to tell how it is compressed.
pub(super) fn read_head(reader: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    reader.take(HEAD_BYTES as u64).read_to_end(&mut head)?;
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
    Zstd(Box<Zstd<BufReader<Whole<R>>>>),
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
        let packing = self.compression.packing(&self.path, &head)?;
        let whole = Cursor::new(head).chain(reader);
        let buffered = |whole| BufReader::with_capacity(64 * 1024, whole);
        Ok(match packing {
            Packing::Plain => State::Plain(whole),
            Packing::Gzip => State::Gzip(Box::new(MultiGzDecoder::new(buffered(whole)))),
            Packing::Zstd => State::Zstd(Box::new(Zstd::new(buffered(whole)))),
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
            State::Zstd(reader) => reader.read(buffer),
            State::Unread(_) | State::Over => Ok(0),
        };
        result.map_err(|error| match error.kind() {
            io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock => error,
            io::ErrorKind::UnexpectedEof => {
                let what = match self.state {
                    State::Zstd(_) => "zstd",
                    _ => "gzip",
                };
                let why = format!(
                    "the {what} data ends too early; the file was not copied or written to its end"
                );
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

    /// "one two one two …", of `zstd -3` of the reference implementation, with checksum.
    #[cfg(feature = "zstd")]
    fn zstd() -> Vec<u8> {
        ZSTD_HEX
            .as_bytes()
            .chunks(2)
            .map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap())
            .collect()
    }

    #[cfg(feature = "zstd")]
    const ZSTD_HEX: &str = "28b52ffd04587d0000406f6e652074776f0a0100959f5fb8fbf6c799";

    #[cfg(feature = "zstd")]
    #[test]
    fn zstd_is_told_by_its_first_bytes() {
        let one = "one two\n".repeat(500);
        let skippable = [&[0x50, 0x2A, 0x4D, 0x18, 3, 0, 0, 0][..], b"xyz"].concat();
        let frames = [zstd(), skippable, zstd()].concat();
        let twice = one.repeat(2);
        for (name, compression) in [
            ("x.zst", Compression::Auto),
            ("-", Compression::Auto),
            ("-", Compression::Zstd),
        ] {
            assert_eq!(read(&frames, name, compression).unwrap(), twice.as_bytes());
        }
        let error = read(b"plain", "x.zst", Compression::Auto).unwrap_err();
        assert!(error.contains("it is no zstd file"), "{error}");
        for end in [zstd().len() - 1, zstd().len() - 6, 6] {
            let error = read(&zstd()[..end], "x.zst", Compression::Auto).unwrap_err();
            assert!(error.contains("the zstd data ends too early"), "{error}");
        }
        let mut damaged = zstd();
        let last = damaged.len() - 1;
        damaged[last] ^= 1;
        let error = read(&damaged, "x.zst", Compression::Auto).unwrap_err();
        assert!(error.contains("its checksum is another"), "{error}");
    }

    #[cfg(not(feature = "zstd"))]
    #[test]
    fn zstd_without_the_feature_says_so() {
        let error = read(ZSTD_MAGIC, "x", Compression::Auto).unwrap_err();
        assert!(error.contains("build with the feature `zstd`"), "{error}");
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
