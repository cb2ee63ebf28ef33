//! Holds a line that does not lie within the reader's buffer.

use super::{BOM, MAX_RECORD, PREFIX};

/// The most bytes of a line whose record may still turn out not to be too long: BOM and CR do not count.
const MAX_RAW: usize = BOM.len() + MAX_RECORD + 1;

/// Keeps a line, or only its beginning once it is known to be too long.
#[derive(Default)]
pub(super) struct RawLine {
    kept: Vec<u8>,
    length: u64,
    last: Option<u8>,
}

impl RawLine {
    pub(super) fn clear(&mut self) {
        self.kept.clear();
        self.length = 0;
        self.last = None;
    }

    pub(super) fn extend(&mut self, bytes: &[u8]) {
        let too_long_before = self.length > MAX_RAW as u64;
        self.length += bytes.len() as u64;
        self.last = bytes.last().copied().or(self.last);
        if too_long_before {
            return;
        }
        if self.length <= MAX_RAW as u64 {
            self.reserve(bytes.len());
            self.kept.extend_from_slice(bytes);
            return;
        }
        let prefix = BOM.len() + PREFIX;
        let missing = prefix.saturating_sub(self.kept.len()).min(bytes.len());
        self.kept.extend_from_slice(&bytes[..missing]);
        self.kept.truncate(prefix);
        self.kept.shrink_to_fit();
    }

    /// Grows by doubling, as `Vec` does, but never beyond what a line may have.
    fn reserve(&mut self, more: usize) {
        let needed = self.kept.len() + more;
        if needed > self.kept.capacity() {
            let wanted = needed.max(2 * self.kept.capacity()).min(MAX_RAW);
            self.kept.reserve_exact(wanted - self.kept.len());
        }
    }

    /// Gives the line, or at least the first [`PREFIX`] bytes of its record once it is too long.
    pub(super) fn kept(&self) -> &[u8] {
        &self.kept
    }

    /// Counts all bytes of the line.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Gives the last byte of the line.
    pub(super) fn last(&self) -> Option<u8> {
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_holds_more_than_a_record() {
        let mut line = RawLine::default();
        let chunk = vec![b'x'; 65_536];
        let mut most = 0;
        for _ in 0..400 {
            line.extend(&chunk);
            most = most.max(line.kept.capacity());
        }
        assert_eq!(line.length(), 400 * 65_536);
        assert!(most <= MAX_RAW, "{most}");
        assert!(line.kept.capacity() < 10_000, "{}", line.kept.capacity());
        assert_eq!(line.kept().len(), BOM.len() + PREFIX);
        line.clear();
        line.extend(b"ab");
        assert_eq!(
            (line.kept(), line.length(), line.last()),
            (&b"ab"[..], 2, Some(b'b'))
        );
    }
}
