//! The numbered names of fields and variants within one value, kept alike by the encoder and the decoder.

use super::format::{MAX_INTERNED_NAME, MAX_NAMES};

/// Most values have few names: these cost no allocation.
const INLINE: usize = 16;

/// Numbers names in the order of their first appearance.
pub(super) struct Names<'a> {
    inline: [&'a str; INLINE],
    rest: Vec<&'a str>,
    len: usize,
    /// The number that is tried first: names tend to come in the order of last time.
    next: usize,
    /// A filter: a name whose bit is not set has not been seen.
    seen: u64,
}

impl<'a> Names<'a> {
    pub(super) fn new() -> Self {
        Names {
            inline: [""; INLINE],
            rest: Vec::new(),
            len: 0,
            next: 0,
            seen: 0,
        }
    }

    /// Returns the name with this number.
    pub(super) fn get(&self, index: usize) -> Option<&'a str> {
        if index >= self.len {
            None
        } else if index < INLINE {
            Some(self.inline[index])
        } else {
            self.rest.get(index - INLINE).copied()
        }
    }

    /// Numbers a name, unless it is too long or there are too many.
    pub(super) fn push(&mut self, name: &'a str) {
        if name.len() > MAX_INTERNED_NAME || self.len >= MAX_NAMES {
            return;
        }
        if self.len < INLINE {
            self.inline[self.len] = name;
        } else {
            self.rest.push(name);
        }
        self.len += 1;
    }

    /// Returns the number of a name, or gives it one and returns `None`.
    pub(super) fn intern(&mut self, name: &'a str) -> Option<usize> {
        let bit = fingerprint(name);
        if self.seen & bit != 0 {
            if self.get(self.next) == Some(name) {
                self.next += 1;
                return Some(self.next - 1);
            }
            if let Some(index) = self.find(name) {
                self.next = index + 1;
                return Some(index);
            }
        }
        self.seen |= bit;
        self.push(name);
        None
    }

    fn find(&self, name: &str) -> Option<usize> {
        let inline = &self.inline[..self.len.min(INLINE)];
        inline
            .iter()
            .chain(&self.rest)
            .position(|known| *known == name)
    }
}

/// Chooses one of 64 bits by length, first and last byte.
fn fingerprint(name: &str) -> u64 {
    let bytes = name.as_bytes();
    let ends = bytes
        .first()
        .zip(bytes.last())
        .map_or(0, |(a, z)| usize::from(*a) * 7 + usize::from(*z));
    1 << ((ends + bytes.len() * 13) % 64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_survive_the_spill_and_the_limits() {
        let texts: Vec<String> = (0..MAX_NAMES + 10).map(|n| format!("name{n}")).collect();
        let mut names = Names::new();
        for text in &texts {
            assert_eq!(names.intern(text), None);
        }
        assert_eq!(names.intern("name0"), Some(0));
        assert_eq!(names.intern("name1"), Some(1));
        assert_eq!(names.intern("name500"), Some(500));
        assert_eq!(names.intern("name15"), Some(15));
        assert_eq!(names.intern("name16"), Some(16));
        assert_eq!(names.intern("name1023"), Some(1023));
        assert_eq!(
            names.intern("name1024"),
            None,
            "beyond the limit nothing is numbered"
        );
        assert_eq!(names.get(1024), None);
        assert_eq!(names.get(17), Some("name17"));

        let long = "n".repeat(MAX_INTERNED_NAME + 1);
        let mut names = Names::new();
        assert_eq!(names.intern(&long), None);
        assert_eq!(names.intern(&long), None);
        assert_eq!(names.get(0), None);
    }
}
