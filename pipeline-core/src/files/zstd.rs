//! Zstandard: one frame after the other, each held to its checksum.

use std::io::{self, BufRead, Read};

#[cfg(feature = "zstd")]
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
#[cfg(feature = "zstd")]
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

/// Decompresses Zstandard frames.
pub(super) struct Zstd<R> {
    source: R,
    #[cfg(feature = "zstd")]
    frame: FrameDecoder,
    /// The decoder stands within a frame.
    #[cfg(feature = "zstd")]
    open: bool,
}

#[cfg(feature = "zstd")]
impl<R: BufRead> Zstd<R> {
    pub(super) fn new(source: R) -> Self {
        Zstd {
            source,
            frame: FrameDecoder::new(),
            open: false,
        }
    }

    /// Begins the next frame; returns whether there is one.
    fn begin(&mut self) -> io::Result<bool> {
        while !self.source.fill_buf()?.is_empty() {
            match self.frame.reset(&mut self.source) {
                Ok(()) => {
                    self.open = true;
                    return Ok(true);
                }
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    let length = u64::from(length);
                    let skipped = io::copy(&mut (&mut self.source).take(length), &mut io::sink())?;
                    if skipped < length {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(error) => return Err(self.failed(error)),
            }
        }
        Ok(false)
    }

    /// Holds the frame that has ended to its checksum, if it has one.
    fn end(&mut self) -> io::Result<()> {
        self.open = false;
        let told = self.frame.get_checksum_from_data();
        if told.is_some() && told != self.frame.get_calculated_checksum() {
            let why = "the zstd data is damaged: its checksum is another";
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        Ok(())
    }

    fn failed(&mut self, error: FrameDecoderError) -> io::Error {
        // What lacks bytes has met the end; the decoder has a kind of error for each of its fields.
        match self.source.fill_buf() {
            Ok([]) => io::ErrorKind::UnexpectedEof.into(),
            Ok(_) => io::Error::new(io::ErrorKind::InvalidData, error.to_string()),
            Err(error) => error,
        }
    }
}

#[cfg(feature = "zstd")]
impl<R: BufRead> Read for Zstd<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while !buffer.is_empty() {
            if !self.open && !self.begin()? {
                return Ok(0);
            }
            while self.frame.can_collect() < buffer.len() && !self.frame.is_finished() {
                let missing = buffer.len() - self.frame.can_collect();
                let strategy = BlockDecodingStrategy::UptoBytes(missing);
                let decoded = self.frame.decode_blocks(&mut self.source, strategy);
                if let Err(error) = decoded {
                    return Err(self.failed(error));
                }
            }
            match self.frame.read(buffer)? {
                0 => self.end()?,
                read => return Ok(read),
            }
        }
        Ok(0)
    }
}

/// Stands in where the feature is off; a file that would need it is refused before.
#[cfg(not(feature = "zstd"))]
impl<R: BufRead> Zstd<R> {
    pub(super) fn new(source: R) -> Self {
        Zstd { source }
    }
}

#[cfg(not(feature = "zstd"))]
impl<R: BufRead> Read for Zstd<R> {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        let _ = &self.source;
        Err(io::ErrorKind::Unsupported.into())
    }
}
